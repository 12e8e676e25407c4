#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""demo.py TAP_DIR HMMU [MALLOC] - what `hmmu demo` computes, moves and prints.

MALLOC names an allocator other than glibc's, which can be asked for large
pages.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, sys.argv[1])
from tap import Tap  # pylint: disable=wrong-import-position

HMMU = sys.argv[2]
MALLOC = sys.argv[3] if len(sys.argv) > 3 else None
UNSUPPORTED = 3

# libc is wanted by all, directly or through a virtual package; the cycle and
# the two leaves make every part of the formula count.
PACKAGES = """\
Package: app
Version: 1.0-1
Architecture: amd64
Depends: libc (>= 2), mail-agent | tiny

Package: postbox
Version: 3
Architecture: amd64
Provides: mail-agent
Pre-Depends: libc
Depends: tiny

Package: libc
Version: 2.36
Architecture: amd64
Depends: data

Package: data
Version: 1
Architecture: all
Depends: libc

Package: tiny
Version: 0.1
Architecture: amd64
"""
EDGES = {"app": ["libc", "postbox", "tiny"], "postbox": ["libc", "tiny"],
         "libc": ["data"], "data": ["libc"], "tiny": []}


def demo(*words, **environment):
    return subprocess.run([HMMU, "demo", *map(str, words)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=100,
                          check=False, env=os.environ | environment)


def problems_of(done):
    if done.returncode:
        return [f"{done.args[2:]}: status {done.returncode}",
                *done.stderr.splitlines()]
    return [f"{done.args[2:]}: {done.stderr!r}"] if done.stderr else []


def demo_json(*words, **environment):
    """Returns what it found and the problems."""
    done = demo("--json", *words, **environment)
    problems = problems_of(done)
    return (None, problems) if problems else (json.loads(done.stdout), [])


def unequal(*triples):
    return [f"{name} is {got}, not {wanted}"
            for name, got, wanted in triples if got != wanted]


def page_rank(edges, iterations, damping=0.85):
    """The definition, in no particular order of additions."""
    ranks = {name: 1 / len(edges) for name in edges}
    for _ in range(iterations):
        dangling = sum(ranks[name] for name in edges if not edges[name])
        ranks = {name: (1 - damping + damping * dangling) / len(edges)
                 + damping * sum(ranks[other] / len(edges[other])
                                 for other in edges if name in edges[other])
                 for name in edges}
    return ranks


def small_graph(packages):
    found, problems = demo_json("--input", packages, "--iterations", 30)
    if problems:
        return problems
    wanted = page_rank(EDGES, 30)
    for entry in found["top"]:
        rank = wanted.pop(entry["name"], -1)
        if abs(rank - entry["rank"]) > 1e-12:
            problems.append(f"{entry}: rank {rank} expected")
    order = [entry["rank"] for entry in found["top"]]
    return problems + unequal(
        ("ranks_equal", found["ranks_equal"], True),
        ("nodes", found["nodes"], 5), ("edges", found["edges"], 7),
        ("order of top", order, sorted(order, reverse=True)),
        ("packages left out", list(wanted), []))


def no_iterations(packages):
    found, problems = demo_json("--input", packages, "--iterations", 0,
                                "--top", 2)
    if problems:
        return problems
    return unequal(("ranks", [entry["rank"] for entry in found["top"]],
                    [0.2, 0.2]),
                   ("ranks_equal", found["ranks_equal"], True))


def write_edges(path, vertices=20000, edges=120000):
    numbers = random.Random(1)
    with open(path, "w", encoding="utf-8") as out:
        out.write("# as SNAP writes them\n")
        for _ in range(edges):
            out.write(f"{numbers.randrange(vertices)}\t"
                      f"{numbers.randrange(vertices // 4)}\n")


def lacks_large_pages():
    path = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not path.exists() or "[never]" in path.read_text():
        return "transparent large pages (the kernel has them at never)"
    return f"a heap of large pages (it is of {MALLOC})" if MALLOC else None


def moved_to_device(found):
    system, device, home = found["phases"]
    migration, done = device["migration"], device["counters"]
    problems = unequal(
        ("ranks_equal", found["ranks_equal"], True),
        ("graph in system memory at first", system["graph_pages_in_system"],
         found["graph_pages"]),
        ("graph in system memory after migration",
         migration["graph_pages_in_system"], 0),
        ("graph in system memory after the device ran",
         device["graph_pages_in_system"], 0),
        ("pages on the device before", system["residency"]["device_pages"],
         0))
    for name, count in [
            ("moved", migration["pages_moved"]),
            ("counted as moved", done["pages_to_device"]),
            ("seen on the device", device["residency"]["device_pages"])]:
        if count < found["graph_pages"]:
            problems.append(f"only {count} pages {name}")
    for name, count in [
            ("device faults in phase 1", system["counters"]["device_faults"]),
            ("CPU faults in phase 3", home["counters"]["cpu_faults"]),
            ("pages home in phase 3", home["counters"]["pages_home"]),
            ("full blocks", device["residency"]["full_blocks"])]:
        if not count:
            problems.append(f"no {name}")
    return problems


def moved_large(found):
    _, device, home = found["phases"]
    problems = []
    for name, count in [
            ("large pages moved", device["migration"]["large_moved"]),
            ("large pages brought home", home["counters"]["large_home"]),
            ("full blocks in use", device["residency"]["mapped_full_blocks"])]:
        if not count:
            problems.append(f"no {name}")
    seen = device["residency"]
    problems += unequal(("full blocks the device maps by large leaves",
                         seen["large_leaf_blocks"],
                         seen["mapped_full_blocks"]))
    letters = "".join(row["blocks"] for row in seen["map"])
    if "D" not in letters:
        problems.append(f"the map has no D: {letters}")
    return problems


def without_move(packages):
    """It runs, and says that and why the heap stays in system memory."""
    words = ["--input", packages, "--iterations", 30]
    done = demo(*words, HMMU_FORCE_NO_MOVE="1")
    found, problems = demo_json(*words, HMMU_FORCE_NO_MOVE="1")
    problems += problems_of(done)
    if problems:
        return problems
    why = found["stays_in_system_memory"]
    if "HMMU_FORCE_NO_MOVE" not in why or "install" in why:
        problems.append(f"{why!r} does not name the variable alone")
    folded = " ".join(done.stdout.split())
    for text in "stays in system memory", why, "ranks equal", "libc":
        if text not in folded:
            problems.append(f"no `{text}`")
    phase = found["phases"][0]
    return problems + unequal(
        ("phases", len(found["phases"]), 1),
        ("ranks_equal", found["ranks_equal"], True),
        ("graph in system memory", phase["graph_pages_in_system"],
         found["graph_pages"]),
        ("pages moved", phase["counters"]["pages_to_device"], 0))


def workers_agree(edges):
    tops = []
    for workers in 1, 2, 3:
        found, problems = demo_json("--input", edges, "--workers", workers,
                                    "--iterations", 5, "--top", 100)
        if problems:
            return problems
        tops.append(found["top"])
    return [] if tops[0] == tops[1] == tops[2] else ["they differ"]


def text_report(packages):
    done = demo("--input", packages)
    plain = demo("--input", packages, "--no-picture", "--top", 0)
    problems = problems_of(done) + problems_of(plain)
    for words in ("5 nodes, 7 edges", "ranks equal those of the CPU run", "libc",
                  "m mixed"):
        if words not in done.stdout:
            problems.append(f"no `{words}`")
    for words in "m mixed", "libc":
        if words in plain.stdout:
            problems.append(f"`{words}` in spite of --no-picture --top 0")
    return problems


def bad_inputs(folder):
    damaged = folder / "damaged"
    damaged.write_text("Package: a\nVersion 1\n")
    empty = folder / "empty"
    empty.write_text("")
    problems = []
    for path, words in [(damaged, "damaged:2: "), (empty, "empty"),
                        (folder / "absent", "absent")]:
        done = demo("--input", path)
        if done.returncode != 1 or words not in done.stderr or done.stdout:
            problems.append(f"{path.name}: {done}")
    return problems


def migration_cases(tap, edges):
    names = ["the graph moves to the device and comes home",
             "large pages stay large both ways",
             "so does a heap as malloc makes it"]
    found, problems = demo_json("--input", edges, "--iterations", 5)
    if found and found["stays_in_system_memory"]:
        for name in names:
            skip(tap, name, "UFFDIO_MOVE")
        return
    tap.case(names[0], problems or moved_to_device(found))
    lacking = lacks_large_pages()
    if lacking:
        skip(tap, names[1], lacking)
    else:
        tap.case(names[1], problems or moved_large(found))
    found, problems = demo_json("--input", edges, "--iterations", 5,
                                "--no-thp")
    tap.case(names[2], problems or moved_to_device(found))


def live_cases(tap, packages, edges):
    tap.case("the ranks of a small graph are right", small_graph(packages))
    tap.case("without iterations all ranks are equal",
             no_iterations(packages))
    tap.case("the text has ranks, phases and pictures", text_report(packages))
    tap.case("without UFFDIO_MOVE it runs in system memory",
             without_move(packages))
    migration_cases(tap, edges)
    tap.case("the number of workers changes no bit", workers_agree(edges))


def skip(tap, name, capability):
    tap.count += 1
    print(f"ok {tap.count} - {name} # SKIP {capability}")


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        packages, edges = folder / "Packages", folder / "edges.txt"
        packages.write_text(PACKAGES)
        write_edges(edges)
        tap.case("a damaged or absent input is named", bad_inputs(folder))
        tried = demo("--input", packages, "--iterations", 1)
        if tried.returncode == UNSUPPORTED:
            skip(tap, "hmmu demo", tried.stderr.strip())
        else:
            live_cases(tap, packages, edges)
    tap.done()


main()
