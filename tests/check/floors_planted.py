#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""floors_planted.py - check that floors.py finds planted violations."""

import pathlib
import tempfile

import floors
from tap import Tap

# A tree without violations: {file: its lines}.
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
    """Replaces Tap and collects the problems."""

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
    """@want has for each expected problem a list of words in it."""
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
    ("a circle that a header which declares for all hides",
     {"src/base/all.h": ["int hmmu__a(void);", "int hmmu__b(int of_a,",
                         "\t    int of_b);", "extern int hmmu__a_word;"],
      "src/base/a.c": ['#include "base/all.h"', "int hmmu__a_word;",
                       "int hmmu__a(void)", "{", "\thmmu__b(1, 2);", "}"],
      "src/base/b.c": ['#include "base/all.h"', "int hmmu__b(int of_a,",
                       "\t    int of_b)", "{", "\thmmu__a_word = 1;", "}"]},
     (), [["circle of files src/base/a, src/base/b:",
           "src/base/a.c uses hmmu__b of src/base/b",
           "src/base/b.c uses hmmu__a_word of src/base/a"]]),
    ("a circle through an include and a table of functions",
     {"bench/row.h": [],
      "bench/table.c": ['#include "row.h"',
                        "static const fn rows[] = { bench_one };"],
      "bench/one.c": ['#include "row.h"', "int",
                      "bench_one(void)", "{", "\tbench_must(0);", "}"],
      "bench/table.h": ['#include "row.h"',
                        "static inline void bench_must(int err)", "{", "}"]},
     (), [["circle of files bench/one, bench/table:",
           "bench/table.c uses bench_one of bench/one",
           "bench/one.c uses bench_must of bench/table"]]),
    ("a circle through a macro of a macro",
     {"src/base/say.h": ["#define SAY(x) \\", "\thmmu__say(x)",
                         "#define TWICE(x) SAY(SAY(x))"],
      "src/base/say.c": ["void hmmu__say(void)", "{", "\thmmu__a();", "}"],
      "src/base/a.c": ['#include "base/say.h"',
                       "void hmmu__a(void)", "{", "\tTWICE(1);", "}"]},
     (), [["circle of files src/base/a, src/base/say:",
           "src/base/a.c uses hmmu__say of src/base/say"]]),
    ("no circle: comments, strings, types, and a macro that one does not use",
     {"src/base/say.h": ["struct hmmu__a;", "#define SAY hmmu__say()"],
      "src/base/say.c": ["/* Not hmmu__a(). */", "void hmmu__say(void)", "{",
                         '\tstruct hmmu__a *p = word("hmmu__a");', "}"],
      "src/base/a.c": ['#include "base/say.h"',
                       "void hmmu__a(void)", "{", "\tSAY;", "}"]}, (), []),
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
      "src/base/list.c": ['#include "base/tree.h"'],
      "src/live/a.c": ["int hmmu__a(void)", "{", "\thmmu__b();", "}"],
      "src/live/b.c": ["int hmmu__b(void)", "{", "\thmmu__a();", "}"]},
     [("src/live/look.c", "core/core.h"),
      ("src/core/make.c", "hmmu__live_word"),
      ("src/base/list.c", "base/tree.h"),
      ("src/live/b.c", "hmmu__a")], []),
    ("exceptions that are not needed",
     {"src/live/look.c": ['#include "live/live.h"', "int hmmu__look(void)",
                          "{", "\treturn hmmu__live_word;", "}"]},
     [("src/live/look.c", "core/core.h"), ("src/live/look.c", "live/live.h"),
      ("src/live/look.c", "hmmu__live_word")],
     [["src/live/look.c, core/core.h: take this exception out"],
      ["src/live/look.c, hmmu__live_word: take this exception out"],
      ["src/live/look.c, live/live.h: take this exception out"]]),
]


def main():
    tap = Tap()
    for name, planted, exceptions, want in CASES:
        tap.case(name, difference(problems_of(planted, exceptions), want))
    tap.done()


main()
