# SPDX-License-Identifier: MIT
"""TAP for tests written in Python."""

import sys


class Tap:
    """Prints one line for each case; done() prints the plan and exits."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def case(self, name, problems):
        """A case passes if its list of problems is empty."""
        self.count += 1
        self.failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.count} - {name}")
        for problem in problems:
            print(f"# {problem}")

    def done(self):
        print(f"1..{self.count}")
        sys.exit(self.failed != 0)
