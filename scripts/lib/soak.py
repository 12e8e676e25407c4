#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""soak.py BUILD SECONDS RECORDS - the stress programs for so long.

Each case runs for a while in each way - as it is, with each fallback and, where
root runs this, as nobody - and then they all run again. Each has a seed of its
own, which is printed before it begins. RECORDS becomes what meson's
testlog.json is.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import time

from programs import AsNobody, Here, introspect, suites

# Short enough that all ways get their turn in an hour.
LEAST_S, MOST_S = 2, 30


def cases(test):
    done = subprocess.run([*test["cmd"], "--list"], check=True,
                          capture_output=True, text=True,
                          env={**os.environ, **test["env"]})
    return done.stdout.split()


def turns(tests, ways):
    """(way, test, case), first those without a fallback."""
    for test in sorted(tests, key=lambda test: "fallback" in suites(test)):
        for case in cases(test):
            for way in ways:
                # An ordinary user has it from the kernel.
                if not (way.who and "user-mode" in suites(test)):
                    yield way, test, case


def reproduce(test, arguments):
    """What to type: the environment that decides, and the command."""
    forced = [f"{name}={value}" for name, value in test["env"].items()
              if name.startswith("HMMU_FORCE_")]
    return " ".join([*forced, *test["cmd"], *arguments])


def run(turn, seconds):
    way, test, case = turn
    arguments = ["--only", case, "--seed", str(random.getrandbits(63)),
                 "--seconds", str(seconds)]
    print(f"{test['name']}{way.who} {' '.join(arguments[1:])}: ", end="",
          flush=True)
    record = way.run(test, arguments, more_s=seconds)
    is_skipped = "# SKIP" in record["stdout"]
    print("skipped" if is_skipped else "passed" if record["result"] == "OK"
          else "FAILED\n    " + reproduce(test, arguments), flush=True)
    return record


def soak(all_turns, seconds, records):
    """Every turn once, as the time allows, and again until it is over."""
    start, number = time.monotonic(), 0
    each_s = min(MOST_S, max(LEAST_S, seconds // len(all_turns)))
    while (passed := time.monotonic() - start) < seconds:
        print(f"{passed:6.0f}/{seconds} s  ", end="")
        record = run(all_turns[number % len(all_turns)], each_s)
        records.write(json.dumps(record) + "\n")
        number += 1


def main():
    build, seconds, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    tests = [test for test in introspect(build) if "stress" in suites(test)]
    with contextlib.ExitStack() as stack:
        ways = [Here()]
        if os.geteuid() == 0:
            ways.append(stack.enter_context(AsNobody(build)))
        records = stack.enter_context(open(path, "w", encoding="utf-8"))
        soak(list(turns(tests, ways)), seconds, records)


main()
