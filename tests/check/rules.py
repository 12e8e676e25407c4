#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rules.py SOURCE_ROOT - each rule of the contract has a test, or a reason.

doc/contract.md has the rules, one in each row of a table: number, promise, and
how it is tested. A test covers a rule if its name contains the number
(test_range_rf16_...) or a comment in its file does (RF16). A range of numbers
does not count. For a rule without a test the third column has a reason:
`differs:` and what HMMU does instead, `none:` and why there is nothing to test,
or `todo:`, which is printed.
"""

import pathlib
import re
import sys

from tap import Tap

KINDS = {"RF": 43, "IN": 32, "MV": 34, "DP": 16, "DC": 5, "EX": 12, "FK": 7,
         "PN": 4, "DM": 5, "E": 15}
ROW = re.compile(r"^\| *([A-Z]+\d+) *\| *(.*?) *\| *(.*?) *\|$")
RANGE = re.compile(r"\b[A-Z]{1,2}\d+(?: to |-)[A-Z]{0,2}\d+\b")
CITED = re.compile(r"\b(RF|IN|MV|DP|DC|EX|FK|PN|DM|E)(\d+)\b")
NAMED = re.compile(r"_(rf|in|mv|dp|dc|ex|fk|pn|dm|e)(\d+)(?=_|\b)")


def all_rules():
    return [f"{kind}{n}" for kind, last in KINDS.items()
            for n in range(1, last + 1)]


def read_document(text):
    """{rule: (promise, test or reason)}"""
    rows = {}
    for line in text.splitlines():
        if match := ROW.match(line):
            rows[match[1]] = (match[2], match[3])
    return rows


def cited_in(text):
    text = RANGE.sub("", text)
    names = {kind.upper() + n for kind, n in NAMED.findall(text)}
    return names | {kind + n for kind, n in CITED.findall(text)}


def tested_rules(root):
    rules = set()
    for path in (root / "tests").rglob("*.c"):
        rules |= cited_in(path.read_text())
    return rules


def has_reason(how):
    return bool(re.match(r"(differs|none|todo): .{7}", how))


def untested(rows, tested):
    """The rules with neither a test nor a reason."""
    return [f"{rule}: no test names it, and no reason is given"
            for rule, (_, how) in rows.items()
            if rule not in tested and not has_reason(how)]


def report(rows, tested):
    for rule, (promise, how) in rows.items():
        if how.startswith("todo:"):
            state = "now has a test" if rule in tested else how
            print(f"# {rule} ({promise}) {state}")


def check_itself(tap):
    rows = read_document("| RF1 | a | |\n| RF2 | b | |\n"
                         "| RF3 | c | none: there is nothing to hold it to |")
    found = untested(rows, cited_in("/* RF2 to RF9 */ test_x_rf1_y(void)"))
    tap.case("a rule without a test is found",
             [] if [f.split(":")[0] for f in found] == ["RF2"] else found)


def main():
    root = pathlib.Path(sys.argv[1])
    rows = read_document((root / "doc/contract.md").read_text())
    tap = Tap()
    check_itself(tap)
    tap.case("doc/contract.md has each rule",
             [rule for rule in all_rules() if rule not in rows])
    tap.case("and no others", sorted(set(rows) - set(all_rules())))
    tap.case("each says what HMMU promises",
             [rule for rule, (promise, _) in rows.items() if not promise])
    tested = tested_rules(root)
    tap.case("each has a test or a reason", untested(rows, tested))
    report(rows, tested)
    tap.done()


if __name__ == "__main__":
    main()
