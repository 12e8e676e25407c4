#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""example.py TAP_DIR HELLO - the example says what it should."""

import re
import subprocess
import sys

sys.path.insert(0, sys.argv[1])
from tap import Tap  # pylint: disable=wrong-import-position

SAID = re.compile(r"(\d+) pages moved, sum 5000050000, last 100000\n")
# 100,000 items of 32 bytes, heap header included
PAGES = 100000 * 32 // 4096


def run():
    return subprocess.run([sys.argv[2]], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, check=False)


def problems_of(done):
    said = SAID.fullmatch(done.stdout)
    if done.returncode or not said:
        return [f"status {done.returncode}", done.stdout, done.stderr]
    if int(said.group(1)) < PAGES:
        return [f"only {said.group(1)} pages moved of about {PAGES}"]
    return []


def main():
    tap = Tap()
    done = run()
    name = "a device adds up a list of malloc in its own memory"
    # Why a space cannot be opened is a sentence, else it says "failed".
    if done.returncode == 1 and done.stderr != "hello: failed\n":
        print(f"ok 1 - {name} # SKIP {done.stderr.strip()}\n1..1")
        return
    tap.case(name, problems_of(done))
    tap.done()


main()
