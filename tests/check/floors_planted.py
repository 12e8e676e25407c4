#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""floors_planted.py - floors.py finds what is planted in a tree of its own."""

import pathlib
import tempfile

import floors
from tap import Tap

# A tree in order: (file, its lines).
TREE = {
    "include/hmmu/base.h": [],
    "src/base/list.h": ["#include <hmmu/base.h>"],
    "src/base/list.c": ['#include "base/list.h"', "#include <string.h>"],
    "src/mm.h": ['#include "base/list.h"', "int hmmu__core_told(void);"],
    "src/core/core.h": ['#include "mm.h"', "int hmmu__core_own(void);"],
    "src/core/core.c": ['#include "core/core.h"',
                        "int hmmu__core_told(void)", "{", "}",
                        "int hmmu__core_own(void)", "{", "}"],
    "src/live/live.h": ['#include "mm.h"'],
    "src/live/live.c": ['#include "live/live.h"',
                        "int hmmu__live_make(int a,", "\t\tint b)", "{", "}",
                        "int hmmu__live_word = 1;"],
    "tools/hmmu/main.c": ["#include <hmmu/base.h>"],
}


class Recorder:
    """In place of Tap: keeps the problems."""

    def __init__(self):
        self.problems = []

    def case(self, _name, problems):
        self.problems += problems


def problems_of(planted, exceptions=()):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, lines in {**TREE, **planted}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(line + "\n" for line in lines))
        recorder = Recorder()
        floors.report(root, list(exceptions), recorder)
    return recorder.problems


def difference(have, want):
    """Each of @want is a list of words that one problem has, and no more."""
    lines = [f"no problem names {', '.join(words)}" for words in want
             if not any(all(word in problem for word in words)
                        for problem in have)]
    if len(have) != len(want):
        lines.append(f"{len(have)} problems, {len(want)} planted")
    return lines + [f"found: {problem}" for problem in have] if lines else []


CASES = [
    ("a tree in order", {}, (), []),
    ("a floor that may not be used",
     {"src/live/look.c": ['#include "live/live.h"', '#include "core/core.h"']},
     (), [["src/live/look.c includes core/core.h: live may not use core",
           "interface, uapi, base, mm"]]),
    ("the same from a comment and from the system",
     {"src/live/look.c": ["/*", '#include "core/core.h"', "*/",
                          "#include <core.h>"]}, (), []),
    ("a tool that goes around the interface",
     {"tools/hmmu/info.c": ['#include "base/list.h"']},
     (), [["tools/hmmu/info.c includes base/list.h: tool may not use base"]]),
    ("a header of the same folder, by its short name",
     {"src/base/tree.c": ['#include "list.h"']}, (), []),
    ("a file on no floor and an include of nothing",
     {"src/other/a.c": ['#include "base/gone.h"']}, (),
     [["src/other/a.c stands on no floor"],
      ["src/other/a.c includes base/gone.h, which is not there"]]),
    ("declarations of what is defined above",
     {"src/core/make.c": ["int hmmu__live_make(int a, int b);",
                          "extern int hmmu__live_word;"]}, (),
     [["src/core/make.c declares hmmu__live_make, which src/live/live.c",
       "core may not declare for live"],
      ["src/core/make.c declares hmmu__live_word, which src/live/live.c"]]),
    ("a circle of files",
     {"src/base/tree.h": ['#include "base/list.h"'],
      "src/base/list.c": ['#include "base/tree.h"']}, (),
     [["circle of files src/base/list, src/base/tree:",
       "src/base/list.c (base) includes base/tree.h",
       "src/base/tree.h (base) includes base/list.h"]]),
    ("a longer circle of files",
     {"src/base/a.h": ['#include "base/b.h"'],
      "src/base/b.h": ['#include "base/c.h"'],
      "src/base/c.h": ['#include "base/a.h"']}, (),
     [["circle of files src/base/a, src/base/b, src/base/c:"]]),
    ("no circle: the insides of a file and its header",
     {"src/base/list_internal.h": ['#include "base/list.h"'],
      "src/base/list.c": ['#include "base/list_internal.h"']}, (), []),
    ("a circle of folders of one floor",
     {"src/live/hooks/hooks.h": ['#include "live/live.h"'],
      "src/live/space.c": ['#include "live/hooks/hooks.h"']}, (),
     [["circle of folders src/live, src/live/hooks:",
       "src/live/space.c (live) includes live/hooks/hooks.h",
       "src/live/hooks/hooks.h (live) includes live/live.h"]]),
    ("a circle of folders across floors",
     {"src/base/up.c": ['#include "live/live.h"'],
      "src/live/down.c": ['#include "base/list.h"']}, (),
     [["src/base/up.c includes live/live.h: base may not use live"],
      ["circle of folders src/base, src/live, src/mm.h:",
       "src/base/up.c (base) includes live/live.h",
       "src/live/down.c (live) includes base/list.h"]]),
    ("exceptions that cover them",
     {"src/live/look.c": ['#include "core/core.h"'],
      "src/core/make.c": ["extern int hmmu__live_word;"],
      "src/base/tree.h": ['#include "base/list.h"'],
      "src/base/list.c": ['#include "base/tree.h"']},
     [("src/live/look.c", "core/core.h"),
      ("src/core/make.c", "hmmu__live_word"),
      ("src/base/list.c", "base/tree.h")], []),
    ("exceptions that are not needed",
     {"src/live/look.c": ['#include "live/live.h"']},
     [("src/live/look.c", "core/core.h"), ("src/live/look.c", "live/live.h")],
     [["src/live/look.c, core/core.h: take this exception out"],
      ["src/live/look.c, live/live.h: take this exception out"]]),
]


def main():
    tap = Tap()
    for name, planted, exceptions, want in CASES:
        tap.case(name, difference(problems_of(planted, exceptions), want))
    tap.done()


main()
