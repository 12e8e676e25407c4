#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""floors.py SOURCE_ROOT - check the layers of the sources, and find circles.

FLOORS lists the files of each floor and the other floors that they may include.
The script reports a file that includes another floor, circles of folders that
include each other, and circles of files in src/ and bench/ that use each other.
EXCEPTIONS lists the exceptions. An exception that is no longer needed is
reported, too.

A file uses another file if it includes it, or if its code names a function or a
variable that the other file defines. So a header that declares the functions of
many files does not hide a circle between these files. A declaration alone is
not a use. A macro is a use in the files that expand it, not in the file that
defines it. foo.c, foo.h and foo_internal.h count as one file.
"""

import pathlib
import re
import sys

from tap import Tap

# Lowest first: (floor, its files or folders, other floors that it may use).
# mm is the seam: core calls an address space through the table in mm.h, and an
# address space calls core through the functions at its end.
FLOORS = [
    ("interface", ["include"], []),
    ("uapi", ["uapi"], []),
    ("base", ["src/base"], ["interface"]),
    ("mm", ["src/mm.h"], ["interface", "base"]),
    ("pagetable", ["src/pagetable"], ["interface", "base"]),
    ("memory", ["src/memory"], ["interface", "base", "mm"]),
    ("core", ["src/core"],
     ["interface", "base", "mm", "pagetable", "memory"]),
    ("policy", ["src/policy"], ["interface", "base", "mm", "memory", "core"]),
    ("live", ["src/live"], ["interface", "uapi", "base", "mm"]),
    ("sim", ["src/sim"], ["interface", "base", "mm"]),
    ("api", ["src/api"],
     ["interface", "uapi", "base", "mm", "memory", "core", "policy", "live", "sim"]),
    ("soft", ["src/soft"], ["interface", "base"]),
    ("tool", ["tools"], ["interface"]),
    ("bench", ["bench"], ["interface", "uapi", "tool"]),
    ("dmirror", ["compat/dmirror"], ["interface"]),
    ("examples", ["examples"], ["interface"]),
]

# The floors above and below mm.h define the functions that it declares. All
# other headers declare only functions of their own floor.
SEAM = "mm"

# (file, the include or name). Remove entries; never add one.
EXCEPTIONS = []

SCANNED = ["src", "tools", "bench", "examples", "compat"]
# The compiler's search path, after the folder of the file itself.
INCLUDE_PATHS = ["", "src", "include", "tools/hmmu", "bench"]
SYSTEM_INCLUDE_PATHS = ["include"]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
# Names that files share, without names of types.
NAME = r"(?<!struct )(?<!enum )(?<!union )\b((?:hmmu_|bench_)\w+)"
# At the start of a line, up to the brace of a body or the end of a statement.
FUNCTION = re.compile(rf"^(?:[a-zA-Z][^\n;{{}}()=]*)?{NAME}\([^;{{}}]*(\{{|;)",
                      re.M)
VARIABLE = re.compile(rf"^([a-zA-Z][^\n;{{}}()=]*){NAME}( =|;|\[)", re.M)
MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)((?:.*\\\n)*.*)", re.M)
WORD = re.compile(r"(?<!struct )(?<!enum )(?<!union )\b[a-zA-Z_]\w*")


class Source:
    """One file: its includes from this tree, and the names that it declares,
    defines and mentions."""

    def __init__(self, root, path):
        self.path = path
        self.floor = floor_of(path)
        text = COMMENT.sub("", (root / path).read_text())
        found = [(name, resolve(root, path, kind, name))
                 for kind, name in INCLUDE.findall(text)]
        self.missing = [name for name, target in found if target is None]
        self.includes = [(name, target) for name, target in found if target]
        functions = {name: end for name, end in FUNCTION.findall(text)}
        variables = {name: before for before, name, _ in VARIABLE.findall(text)}
        self.defines = ({name for name, end in functions.items()
                         if end == "{"} |
                        {name for name, before in variables.items()
                         if not before.startswith("extern")})
        self.declares = (set(functions) | set(variables)) - self.defines
        code = STRING.sub('""', text)
        self.macros = [(name, set(WORD.findall(body)))
                       for name, body in MACRO.findall(code)]
        code = VARIABLE.sub(without_declaration,
                            FUNCTION.sub(without_declaration,
                                         MACRO.sub("", code)))
        self.words = set(WORD.findall(code))


def without_declaration(match):
    declares = (match.group().endswith(";") and match.re is FUNCTION
                or match.group().startswith("extern "))
    return "" if declares else match.group()


def resolve(root, path, kind, name):
    """The file, "" for a system header, None if it is missing."""
    folders = ([path.parent, *INCLUDE_PATHS] if kind == '"'
               else SYSTEM_INCLUDE_PATHS)
    for folder in folders:
        if (root / folder / name).is_file():
            target = (root / folder / name).resolve()
            return target.relative_to(root.resolve())
    return None if kind == '"' else ""


def floor_of(path):
    for floor, places, _ in FLOORS:
        for place in map(pathlib.PurePath, places):
            if path == place or place in path.parents:
                return floor
    return None


def read_sources(root):
    return [Source(root, path.relative_to(root)) for folder in SCANNED
            for path in sorted((root / folder).rglob("*.[ch]"))]


def module_of(path):
    """src/x/foo for foo.c, foo.h and foo_internal.h; None in other folders."""
    if path.parts[0] not in ("src", "bench"):
        return None
    return str(path.with_name(path.stem.removesuffix("_internal")))


def folder_of(path):
    return str(path if path.parent == pathlib.Path("src") else path.parent)


def misplaced(source, name, target):
    """The reason why the file may not include it, or None."""
    floor = floor_of(target)
    uses = next((uses for f, _, uses in FLOORS if f == source.floor), [])
    if source.floor in (None, floor) or floor in uses:
        return None
    return (f"{source.path} includes {name}: {source.floor} may not use "
            f"{floor or target} (it may use {', '.join(uses)})")


def foreign(source, name, definer):
    """The reason why the file may not declare it, or None."""
    if source.floor in (SEAM, definer.floor):
        return None
    return (f"{source.path} declares {name}, which {definer.path} defines: "
            f"{source.floor} may not declare for {definer.floor}")


def components(edges):
    """Strongly connected components of two or more nodes (Tarjan)."""
    graph = {}
    for a, b in edges:
        graph.setdefault(a, set()).add(b)
        graph.setdefault(b, set())
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(set(stack[at:]))
            del stack[at:]

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def edges_of(ties, node_of, left_out):
    """[(node, node, file, name)] of the ties, without @left_out."""
    found = [(node_of(a), node_of(b), str(a), name) for a, b, name in ties]
    return [edge for edge in found
            if edge[0] and edge[1] and edge[0] != edge[1]
            and edge[2:] not in left_out]


def circles(ties, node_of, what, left_out):
    edges = edges_of(ties, node_of, left_out)
    for nodes in components([edge[:2] for edge in edges]):
        lines = [f"{file} ({floor_of(pathlib.PurePath(file))}) includes {name}"
                 if name.endswith(".h") else f"{file} uses {name} of {b}"
                 for a, b, file, name in edges if a in nodes and b in nodes]
        yield (f"circle of {what}s {', '.join(sorted(nodes))}: "
               f"{'; '.join(lines)}")


def closes_circle(ties, node_of, pair, exceptions):
    """True if there is a circle with all exceptions except @pair."""
    edges = edges_of(ties, node_of, set(exceptions) - {pair})
    found = components([edge[:2] for edge in edges])
    return any(edge[2:] == pair and {*edge[:2]} <= nodes
               for edge in edges for nodes in found)


class House:
    """All files, and the problems that are not exceptions."""

    def __init__(self, root, exceptions):
        self.sources = read_sources(root)
        self.exceptions = exceptions
        self.definers = {name: source for source in self.sources
                         if source.floor for name in source.defines}
        self.macros = {}
        for source in self.sources:
            for name, words in source.macros:
                self.macros.setdefault(name, set()).update(words)
        includes = [(source.path, target, name) for source in self.sources
                    for name, target in source.includes]
        uses = [(source.path, self.definers[name].path, name)
                for source in self.sources for name in self.used_by(source)]
        self.ties = {module_of: includes + uses, folder_of: includes}

    def used_by(self, source):
        """Names of other files in its code and in the macros it expands."""
        found, left = set(), set(source.words)
        while left:
            found |= left
            left = set().union(*(self.macros.get(word, ()) for word in left))
            left -= found
        return sorted(name for name in found if name in self.definers)

    def homeless(self):
        for source in self.sources:
            if source.floor is None:
                yield f"{source.path} stands on no floor"
            for name in source.missing:
                yield f"{source.path} includes {name}, which is not there"

    def all_misplaced(self):
        """{(file, include): reason}"""
        return {(str(source.path), name): why for source in self.sources
                for name, target in source.includes
                if (why := misplaced(source, name, target))}

    def all_foreign(self):
        """{(file, function or variable): reason}"""
        return {(str(source.path), name): why for source in self.sources
                for name in source.declares if name in self.definers
                if (why := foreign(source, name, self.definers[name]))}

    def uncovered(self, problems):
        return [why for pair, why in problems.items()
                if pair not in self.exceptions]

    def circles(self, node_of, what):
        return list(circles(self.ties[node_of], node_of, what,
                            set(self.exceptions)))

    def stale(self):
        needed = {*self.all_misplaced(), *self.all_foreign()}
        for pair in self.exceptions:
            if not (pair in needed or
                    any(closes_circle(ties, node_of, pair, self.exceptions)
                        for node_of, ties in self.ties.items())):
                yield (f"{pair[0]}, {pair[1]}: take this exception out of "
                       "tests/check/floors.py, it is not needed any more")


def unordered():
    """A floor may use only floors that precede it in FLOORS."""
    below = set()
    for floor, _, uses in FLOORS:
        for name in sorted(set(uses) - below):
            yield f"{floor} uses {name}, which does not stand below it"
        below.add(floor)


def report(root, exceptions, tap):
    house = House(root, exceptions)
    tap.case("each floor uses lower ones", list(unordered()))
    tap.case("each file stands on a floor, and so do its includes",
             list(house.homeless()))
    tap.case("no file includes a header of a floor that it may not use",
             house.uncovered(house.all_misplaced()))
    tap.case("no file declares what another floor defines",
             house.uncovered(house.all_foreign()))
    tap.case("no circle of files", house.circles(module_of, "file"))
    tap.case("no circle of folders", house.circles(folder_of, "folder"))
    tap.case("each exception is needed", list(house.stale()))


if __name__ == "__main__":
    result = Tap()
    report(pathlib.Path(sys.argv[1]), EXCEPTIONS, result)
    result.done()
