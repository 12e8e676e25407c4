#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kinds.py SOURCE_ROOT TEST_KINDS - compare doc/kinds.md with the test."""

import pathlib
import re
import subprocess
import sys

from tap import Tap

FIRST = "| memory | rules |"


def table_of(text):
    """The lines of the table whose first line begins with FIRST."""
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith(FIRST)]
    if len(starts) != 1:
        return []
    end = starts[0]
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return lines[starts[0]:end]


def different(have, want):
    """The rows that only one side has."""
    return ([f"only in doc/kinds.md: {line}" for line in have
             if line not in want]
            + [f"only in the test: {line}" for line in want
               if line not in have])


def tests_named(text):
    return re.findall(r"`(test_\w+)`", text)


def unknown_tests(root, text):
    sources = "".join(path.read_text()
                      for path in (root / "tests/live").glob("*.c"))
    return [f"doc/kinds.md names {name}: no such test"
            for name in tests_named(text)
            if not re.search(rf"\b{name}\b", sources)]


def main():
    root = pathlib.Path(sys.argv[1])
    text = (root / "doc/kinds.md").read_text()
    done = subprocess.run([sys.argv[2], "--table"], check=True,
                          capture_output=True, text=True)
    want = table_of(done.stdout)
    tap = Tap()
    tap.case("a difference is found",
             [] if len(different(["a", "b"], ["a", "c"])) == 2 else ["none"])
    tap.case("the test prints a table", [] if len(want) > 2 else ["none"])
    tap.case("doc/kinds.md has it", different(table_of(text), want))
    tap.case("the tests that it names are there", unknown_tests(root, text))
    tap.done()


main()
