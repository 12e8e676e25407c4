#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check that core waits, wakes and orders only through base/sched.h.

With HMMU_EXPLORE, an explorer controls the threads. So core and the floors
below it must not have instructions that a compiler's instrumentation cannot
see: no system call, no pause, no fence by a locked operation on the stack.
base/sched.h is the only place for these. The accesses of ports to the program's
memory are inline assembly, too, but they are loads and stores of the address
space and are not checked.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from concurrent.futures import ThreadPoolExecutor
from tap import Tap

FILES = ["src/core/*.c", "src/memory/*.c", "src/pagetable/*.c",
         "src/base/epoch.c", "src/base/itree.c", "src/base/lock.c"]
# Exceptions: (file, first word of the instruction).
ALLOWED = {
    # The fence of hmmu_port_begin(), inline in hmmu/port.h.
    ("port_access.c", "lock"),
    # The message before abort() if a thread breaks the lock order.
    ("lock.c", "syscall"),
}
HIDDEN = re.compile(r"\t(syscall|pause|mfence|lfence|sfence|"
                    r"lock or[lq]? +\$0x0,(?:0x0)?\(%rsp\))")
FUNCTION = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")


def hidden(root, source, folder):
    """The functions of @source with such an instruction."""
    obj = pathlib.Path(folder) / (source.name + ".o")
    cc = os.environ.get("CC", "cc").split()
    subprocess.run(
        cc + ["-std=gnu11", "-O1", "-D_GNU_SOURCE", "-DHMMU_EXPLORE=1",
              "-DHMMU_DEBUG=0", "-DHMMU_FAULT_POINTS=0", "-I", root, "-I",
              root / "src", "-I", root / "include", "-c", source, "-o", obj],
        check=True)
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", obj],
                          check=True, capture_output=True, text=True).stdout
    function, found = "", []
    for line in text.splitlines():
        match = FUNCTION.match(line)
        if match:
            function = match.group(1)
        match = HIDDEN.search(line)
        if match and (source.name,
                      match.group(1).split()[0]) not in ALLOWED:
            found.append(f"{source.relative_to(root)}: {function}(): "
                         f"{match.group(1)}: take it to base/sched.h")
    return found


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    sources = [f for pattern in FILES for f in sorted(root.glob(pattern))]
    result = Tap()
    with tempfile.TemporaryDirectory() as folder, \
            ThreadPoolExecutor(os.cpu_count()) as pool:
        lists = pool.map(lambda s: hidden(root, s, folder), sources)
        result.case("an explorer sees all that core waits by",
                     [line for found in lists for line in found])
    result.case("there are files to look at",
                 [] if len(sources) > 20 else [f"only {len(sources)}"])
    result.done()


if __name__ == "__main__":
    main()
