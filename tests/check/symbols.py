#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""symbols.py SOURCE_ROOT LIBRARY - headers, symbol map and library agree.

Three lists must be equal: the HMMU_API declarations of include/ with the names
of 0.1 and the hooked calls of libc (hooks.txt), the global names of
src/libhmmu.map, and the symbols that the shared library exports. The library
must not call functions that may access the program's memory: the allocator and
stdio.

Without LIBRARY it prints the global names that the map should have.
"""

import pathlib
import re
import subprocess
import sys

from tap import Tap

FORBIDDEN = re.compile(
    r"^(malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|"
    r"posix_memalign|aligned_alloc|memalign|"
    r"(v?[fsd]?n?printf)(_chk)?|__v?[fsd]?n?printf_chk|puts|fputs|fputc|"
    r"putchar|fwrite|fopen|fdopen|fclose|fread|fgets|getline|fflush|perror|"
    r"opendir|readdir|stdout|stderr)$")


EXPORTED = re.compile(r"\b(?:HMMU_API|HMMU_NAME_OF_0_1)\b([^;{]*)[;{]")

# Destroy, close and unpin; a predicate; functions that inline functions call.
MAY_BE_IGNORED = re.compile(
    r"_(destroy|close|unpin|unpin_range)$|^hmmu_signal_handle$|^hmmu__")


def strip_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def declared_name(declaration):
    """The first hmmu_ name before a parenthesis, or else the last one."""
    call = re.search(r"\b(hmmu_\w+)\s*\(", declaration)
    if call:
        return call.group(1)
    declaration = declaration.split("__attribute__")[0]
    names = re.findall(r"\bhmmu_\w+", declaration)
    return names[-1] if names else None


def declarations(root):
    """Returns {name: declaration} of the exported functions, and of names of
    0.1, which are inline in the headers but still exported."""
    found = {}
    for header in [*sorted((root / "include").rglob("*.h")),
                   root / "src" / "api" / "compat_0_1.c"]:
        text = strip_comments(header.read_text())
        text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
        for match in EXPORTED.finditer(text):
            name = declared_name(match.group(1))
            if name:
                found[name] = match.group(1)
    return found


def unchecked(declared):
    """Each int must be checked, except of functions that end something."""
    for name, text in sorted(declared.items()):
        checked = "HMMU_MUST_CHECK" in text
        if MAY_BE_IGNORED.search(name):
            if checked:
                yield f"{name}: HMMU_MUST_CHECK"
        elif re.search(rf"\bint\s+{name}\b", text) and not checked:
            yield f"{name}: no HMMU_MUST_CHECK"


def map_names(root):
    """Returns {name: node}, and the problems of the map."""
    text = strip_comments((root / "src" / "libhmmu.map").read_text())
    names, problems = {}, []
    for node, body in re.findall(r"([\w.]+)\s*\{(.*?)\}", text, flags=re.S):
        scope = "global"
        for token in re.findall(r"global:|local:|[^\s;]+(?=\s*;)", body):
            if token.endswith(":"):
                scope = token[:-1]
            elif scope == "global" and not token.isidentifier():
                problems.append(f"{node}: {token} is not one name")
            elif scope == "global":
                if token in names:
                    problems.append(f"{token} stands there twice")
                names[token] = node
    return names, problems


def hook_names():
    lines = pathlib.Path(__file__).with_name("hooks.txt").read_text()
    return {line.strip() for line in lines.splitlines()
            if line.strip() and not line.startswith("#")}


def nm(library, *options):
    done = subprocess.run(["nm", "-D", "-P", *options, library], check=True,
                          capture_output=True, text=True)
    return [line.split() for line in done.stdout.splitlines()]


def exported_names(library):
    """Returns {name: node} of the library."""
    names = {}
    for name, kind, *_ in nm(library, "--defined-only"):
        symbol, _, node = name.partition("@")
        if kind != "A":
            names[symbol] = node.lstrip("@")
    return names


def needed_names(library):
    return {name.partition("@")[0]
            for name, *_ in nm(library, "--undefined-only")}


def minus(left, right, what):
    return [f"{name}: {what}" for name in sorted(set(left) - set(right))]


def main():
    root = pathlib.Path(sys.argv[1])
    declared, hooks = declarations(root), hook_names()
    if len(sys.argv) == 2:
        print("\n".join(f"\t\t{name};"
                        for name in sorted(set(declared) | hooks)))
        return
    library = sys.argv[2]
    mapped, map_problems = map_names(root)
    exported = exported_names(library)
    tap = Tap()
    tap.case("the headers declare something",
             [] if declared else ["no HMMU_API declaration found"])
    tap.case("results that must be checked are, others not",
             list(unchecked(declared)))
    tap.case("the map lists names only", map_problems)
    tap.case("the map has what the headers declare",
             minus(declared, mapped, "declared, not in src/libhmmu.map"))
    tap.case("the map has nothing else but the hooks",
             minus(mapped, set(declared) | hooks,
                   "in the map, neither HMMU_API nor in hooks.txt"))
    tap.case("each hook is in the map",
             minus(hooks, mapped, "in hooks.txt, not in the map"))
    tap.case("the library exports what the map lists",
             minus(mapped, exported, "in the map, not exported"))
    tap.case("the library exports nothing else",
             minus(exported, mapped, "exported, not in the map"))
    tap.case("each symbol has the version of its node",
             [f"{name}: {node}, the map says {mapped[name]}"
              for name, node in sorted(exported.items())
              if name in mapped and node != mapped[name]])
    tap.case("no allocator and no stdio is called",
             [f"{name}: undefined in the library"
              for name in sorted(needed_names(library))
              if FORBIDDEN.match(name)])
    tap.done()


main()
