#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""style.py SOURCE_ROOT - check the limits on files, functions and lines.

Also reports sources and tests in no meson.build, which are never built.
"""

import pathlib
import re
import sys

from tap import Tap

FOLDERS = ["include", "src", "uapi", "tools", "examples", "compat", "bench",
           "tests"]
COLUMNS, FUNCTION_LINES, C_LINES, HEADER_LINES = 100, 100, 900, 400

# Static functions of src/ that still share a name, and in how many files: to
# be emptied, never to grow.
SHARED_NAMES = {}

COMMENT = re.compile(r"/\*.*?\*/", re.S)
# Skips the parentheses of an attribute before the name.
STATIC_FUNCTION = re.compile(r"^(?:[A-Z_]+ )*static\b[^;{}=]*?"
                             r"\b(\w+)\((?!\()[^;{}]*\{", re.M)


def sources(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".c", ".h", ".cpp"):
                yield path.relative_to(root), path.read_text().splitlines()


def licence(path, lines):
    if not lines or lines[0] != "/* SPDX-License-Identifier: MIT */":
        yield f"{path}:1: no SPDX line"


def columns(path, lines):
    for number, line in enumerate(lines, 1):
        width = len(line.expandtabs(8))
        if width > COLUMNS:
            yield f"{path}:{number}: {width} columns"


def trailing_space(path, lines):
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield f"{path}:{number}: space at the end"


def functions(lines):
    """Yields (line of the brace, lines between the braces)."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start:
            yield start, number - start - 1
            start = None


def long_functions(path, lines):
    for start, length in functions(lines):
        if length > FUNCTION_LINES:
            yield f"{path}:{start}: function of {length} lines"


def long_files(path, lines):
    public = path.parts[0] == "include"
    limit = HEADER_LINES if public else C_LINES
    if (public or path.suffix == ".c") and len(lines) > limit:
        yield f"{path}: {len(lines)} lines, at most {limit}"


def typedefs(path, lines):
    for number, line in enumerate(lines, 1):
        if re.match(r"\s*typedef\s+(struct|enum|union)\b", line):
            yield f"{path}:{number}: typedef of a struct, enum or union"


def open_ends(path, lines):
    for number, line in enumerate(lines, 1):
        if path.parts[0] == "include" and re.search(r"\b(TODO|FIXME|XXX)\b",
                                                    line):
            yield f"{path}:{number}: unfinished"


def lists(root, folder):
    """The text of the meson.build files of a folder and its parents."""
    text = ""
    while True:
        build = root / folder / "meson.build"
        text += build.read_text() if build.exists() else ""
        if folder == pathlib.Path("."):
            return text
        folder = folder.parent


def unlisted(root):
    for path, _ in sources(root):
        if path.suffix != ".c" or path.parent == pathlib.Path("tests/install"):
            continue
        text = lists(root, path.parent)
        # fuzz_x.c is listed as 'x', test_x.c as 'test_x', x.c as 'x.c'; a
        # folder's list may name it from above, as 'sub/x.c'.
        name = re.escape(path.stem.removeprefix("fuzz_"))
        if not re.search(rf"['/](fuzz_)?{name}(\.c)?'", text):
            yield f"{path}: in no meson.build"


def shared_names(files):
    """Static functions whose names are in more files than allowed."""
    homes = {}
    for path, lines in files:
        if path.parts[0] == "src":
            text = COMMENT.sub("", "\n".join(lines))
            for name in STATIC_FUNCTION.findall(text):
                homes.setdefault(name, set()).add(str(path))
    for name, paths in sorted(homes.items()):
        if len(paths) > SHARED_NAMES.get(name, 1):
            yield f"{name}() is static in {', '.join(sorted(paths))}"
    for name, allowed in SHARED_NAMES.items():
        have = len(homes.get(name, ()))
        if have < allowed:
            yield (f"{name}() is in {have} files: SHARED_NAMES of "
                   f"tests/check/style.py still has {allowed}")


def main():
    root = pathlib.Path(sys.argv[1])
    files = list(sources(root))
    tap = Tap()
    for name, check in [
            ("each source names its licence", licence),
            (f"no line has more than {COLUMNS} columns", columns),
            ("no line ends in space", trailing_space),
            (f"no function has more than {FUNCTION_LINES} lines",
             long_functions),
            (f"no .c over {C_LINES}, no public header over {HEADER_LINES} "
             "lines", long_files),
            ("no struct, enum or union is typedef'd", typedefs),
            ("no public header is unfinished", open_ends)]:
        tap.case(name, [problem for path, lines in files
                        for problem in check(path, lines)])
    tap.case("no two files of src/ have a static function of the same name",
             list(shared_names(files)))
    tap.case("each .c is listed in a meson.build", list(unlisted(root)))
    tap.done()


main()
