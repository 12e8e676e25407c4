#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""floors.py SOURCE_ROOT - files use what stands below them, in no circle.

FLOORS says which files make a floor and which other floors they may include.
A file that breaks this is reported, and so are circles of folders that include
each other, and circles of files in src/ and bench/ that use each other.
EXCEPTIONS names what is left out of this for now; an exception that is not
needed any more is reported, too.

A file uses another if it includes it, or if its code names a function or a
variable that the other defines: a header that declares what many files define
hides no circle between these. A declaration is no use. A macro uses nothing
itself; the file in which it stands does. foo.c, foo.h and foo_internal.h count
as one file.
"""

import pathlib
import re
import sys

from tap import Tap

# Lowest first: (floor, where it stands, floors that it may use besides itself).
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

# The functions that mm.h declares are defined in the floors that it stands
# between. All other headers declare what their own floor defines.
SEAM = "mm"

# (file, what it includes, declares or uses): to be emptied, never to grow.
EXCEPTIONS = [
    # Its way to take all pages back before a device goes is the public call.
    ("src/core/device.c", "hmmu_migrate_evict"),
]

SCANNED = ["src", "tools", "bench", "examples", "compat"]
# Where the compiler looks, after the folder of the file itself.
INCLUDE_PATHS = ["", "src", "include", "tools/hmmu", "bench"]
SYSTEM_INCLUDE_PATHS = ["include"]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
# The names that files share, other than those of types.
NAME = r"(?<!struct )(?<!enum )(?<!union )\b((?:hmmu_|bench_)\w+)"
# At the start of a line, up to the brace of a body or the end of a statement.
FUNCTION = re.compile(rf"^(?:[a-zA-Z][^\n;{{}}()=]*)?{NAME}\([^;{{}}]*(\{{|;)",
                      re.M)
VARIABLE = re.compile(rf"^([a-zA-Z][^\n;{{}}()=]*){NAME}( =|;|\[)", re.M)
MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)((?:.*\\\n)*.*)", re.M)
WORD = re.compile(r"(?<!struct )(?<!enum )(?<!union )\b[a-zA-Z_]\w*")


class Source:
    """One file: its includes that lie in the tree, what it declares, defines
    and mentions."""

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
    """The file, "" for one of the system's, None when it is not there."""
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
    """src/x/foo of foo.c, foo.h and foo_internal.h; None elsewhere."""
    if path.parts[0] not in ("src", "bench"):
        return None
    return str(path.with_name(path.stem.removesuffix("_internal")))


def folder_of(path):
    return str(path if path.parent == pathlib.Path("src") else path.parent)


def misplaced(source, name, target):
    """Why the file may not include it, or None."""
    floor = floor_of(target)
    uses = next((uses for f, _, uses in FLOORS if f == source.floor), [])
    if source.floor in (None, floor) or floor in uses:
        return None
    return (f"{source.path} includes {name}: {source.floor} may not use "
            f"{floor or target} (it may use {', '.join(uses)})")


def foreign(source, name, definer):
    """Why the file may not declare it, or None."""
    if source.floor in (SEAM, definer.floor):
        return None
    return (f"{source.path} declares {name}, which {definer.path} defines: "
            f"{source.floor} may not declare for {definer.floor}")


def components(edges):
    """Sets of nodes that reach each other (Tarjan), of two nodes or more."""
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
    """[(node, node, file, name)] of the ties that are not left out."""
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
    """True when @pair alone, of the exceptions, would close a circle."""
    edges = edges_of(ties, node_of, set(exceptions) - {pair})
    found = components([edge[:2] for edge in edges])
    return any(edge[2:] == pair and {*edge[:2]} <= nodes
               for edge in edges for nodes in found)


class House:
    """All files, and the problems that no exception covers."""

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
        """The names of other files that stand in it or in its macros."""
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
        """{(file, include): why}"""
        return {(str(source.path), name): why for source in self.sources
                for name, target in source.includes
                if (why := misplaced(source, name, target))}

    def all_foreign(self):
        """{(file, function or variable): why}"""
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
    """A floor lists only floors that stand before it in FLOORS."""
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
