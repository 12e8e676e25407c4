#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""example.py TAP_DIR HELLO - the example says what it should."""

import errno
import os
import re
import subprocess
import sys

sys.path.insert(0, sys.argv[1])
from tap import Tap  # pylint: disable=wrong-import-position

SAID = re.compile(r"(\d+) pages moved, sum 5000050000, last 100000\n")
# 100,000 items of 32 bytes, heap header included
PAGES = 100000 * 32 // 4096


def run(**variables):
    return subprocess.run([sys.argv[2]], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, check=False,
                          env=os.environ | variables)


def pages_moved(done):
    """The number, or None and the problems."""
    said = SAID.fullmatch(done.stdout)
    if done.returncode or not said:
        return None, [f"status {done.returncode}", done.stdout, done.stderr]
    return int(said.group(1)), []


def migrates(done):
    pages, problems = pages_moved(done)
    if not problems and pages < PAGES:
        return [f"only {pages} pages moved of about {PAGES}"]
    return problems


def works_in_system_memory(done):
    pages, problems = pages_moved(done)
    return problems or ([f"{pages} pages moved"] if pages else [])


def names_no_error(stderr):
    """It is why a space cannot be opened: a sentence, not of strerror()."""
    return stderr not in [f"hello: {os.strerror(number)}\n"
                          for number in errno.errorcode]


def kernel_can_move():
    return tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 8)


def main():
    tap = Tap()
    done = run()
    name = "a device adds up a list of malloc in its own memory"
    if done.returncode == 1 and names_no_error(done.stderr):
        print(f"ok 1 - {name} # SKIP {done.stderr.strip()}\n1..1")
        return
    tap.case(name, migrates(done) if kernel_can_move()
             else works_in_system_memory(done))
    tap.case("without UFFDIO_MOVE it does so in system memory",
             works_in_system_memory(run(HMMU_FORCE_NO_MOVE="1")))
    tap.done()


main()
