#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""doc.py SOURCE_ROOT - check that documents agree with the sources."""

import pathlib
import re
import subprocess
import sys

from tap import Tap

ROOT = pathlib.Path(sys.argv[1])


def read(path):
    return (ROOT / path).read_text()


def different(what, have, want):
    """The problem if two lists differ, also in their order."""
    return [f"{what}: has {', '.join(have)}",
            f"the sources have {', '.join(want)}"] if have != want else []


def ranks():
    enum = re.search(r"enum hmmu_rank \{(.*?)\}", read("src/base/lock.h"),
                     re.S).group(1)
    table = re.findall(r"^\| (HMMU_RANK_\w+) \|", read("doc/locking.md"), re.M)
    return different("doc/locking.md", table,
                     re.findall(r"HMMU_RANK_\w+", enum))


def switches():
    want = sorted(set(re.findall(r'"(HMMU_FORCE_\w+)"',
                                 read("src/live/probe.c"))))
    problems = []
    for path in ("doc/environment.md", "man/hmmu.1.scd",
                 "man/hmmu_platform.3.scd"):
        have = sorted(set(re.findall(r"HMMU_FORCE_\w+", read(path))))
        problems += different(path, have, want)
    return problems


def readme_example():
    block = re.search(r"```c\n(.*?)```", read("README.md"), re.S).group(1)
    licence, _, hello = read("examples/hello.c").partition("\n")
    assert "SPDX" in licence
    return [] if block == hello else ["README.md is not examples/hello.c"]


def pages():
    return sorted((ROOT / "man").glob("*.scd"))


def old_calls():
    """The names of 0.1, which are inline functions in the headers."""
    text = "".join(path.read_text()
                   for path in sorted((ROOT / "include").rglob("*.h")))
    return re.findall(r"^HMMU_NAME_OF_0_1\b[^({;]*?\b(hmmu_\w+)\(", text,
                      re.M)


def uses_of_old_calls():
    """The project uses none of them, but in their own test."""
    call = re.compile(rf"\b({'|'.join(old_calls())})\s*\(")
    return [f"{path.relative_to(ROOT)}: {found[1]} is a name of 0.1"
            for folder in ("src", "tools", "bench", "compat", "examples",
                           "tests")
            for path in sorted((ROOT / folder).rglob("*.[ch]"))
            if path.name != "test_names_0_1.c"
            for found in call.finditer(path.read_text())]


def public_calls():
    """Each exported call is in the NAME of one page. A name of 0.1 is in NAMES
    OF 0.1 instead."""
    calls = re.findall(r"\b(hmmu_[a-z0-9]\w*);", read("src/libhmmu.map"))
    old = old_calls()
    names, old_names = [], []
    for page in pages():
        text = page.read_text()
        name = re.search(r"# NAME\n\n(.*?)\s-\s", text, re.S)
        names += re.split(r",\s+", name.group(1))
        part = text.partition("# NAMES OF 0.1\n")[2].partition("\n# ")[0]
        old_names += re.findall(r"^\*(hmmu_\w+)\*", part, re.M)
    return ([f"{call}: in the NAME of {names.count(call)} pages"
             for call in calls if call not in old and names.count(call) != 1] +
            [f"{call}: in NAMES OF 0.1 of {old_names.count(call)} pages"
             for call in old if old_names.count(call) != 1 or call in names])


def listed_pages():
    listed = re.findall(r"^  '(\S+)',$", read("man/meson.build"), re.M)
    return different("man/meson.build", sorted(listed),
                     [page.stem for page in pages()])


def page_examples():
    """Compiles the C blocks of EXAMPLE."""
    problems = []
    for page in pages():
        part = page.read_text().partition("# EXAMPLE\n")[2]
        code = re.search(r"```\n(.*?)```", part.partition("\n# ")[0], re.S)
        if page.suffixes[0] == ".1":
            continue
        if not code:
            problems.append(f"{page.name}: no example")
            continue
        done = subprocess.run(
            ["gcc", "-x", "c", "-std=gnu11", "-Wall", "-Wextra", "-Werror",
             "-fsyntax-only", f"-I{ROOT}/include", "-"],
            input=code.group(1).replace("\\\\", "\\"), text=True,
            capture_output=True, check=False)
        if done.returncode:
            problems += [page.name, *done.stderr.splitlines()]
    return problems


def test_runs():
    """doc/testing.md says of each build and fallback what it is for."""
    builds = re.search(r"^all_builds=\((.*?)\)", read("scripts/test"),
                       re.M).group(1).split()
    fallbacks = re.search(r"^live_fallbacks = \{(.*?)^\}",
                          read("tests/live/meson.build"),
                          re.M | re.S).group(1)
    want = [*builds, "user", *("@" + name for name in
                               re.findall(r"^  '(\S+)':", fallbacks, re.M))]
    table = re.findall(r"^\| (\S+) \|(?: [^|\n]+ \|){2,}$",
                       read("doc/testing.md"), re.M)
    return [f"doc/testing.md: {name} is in {table.count(name)} rows"
            for name in want if table.count(name) != 1]


def main():
    tap = Tap()
    tap.case("doc/locking.md lists the ranks in their order", ranks())
    tap.case("each HMMU_FORCE switch is described", switches())
    tap.case("each build and each fallback run has its purpose", test_runs())
    tap.case("the example of the README is examples/hello.c",
             readme_example())
    tap.case("each public call is in one manual page", public_calls())
    tap.case("the project uses no name of 0.1", uses_of_old_calls())
    tap.case("each manual page is built", listed_pages())
    tap.case("the examples of the manual pages compile", page_examples())
    tap.done()


main()
