#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""counting.py SOURCE_ROOT HARNESS_CASES - no failure is lost.

Runs the harness with one case for each way to end, and tally.py with records of
each kind, and checks their output.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from tap import Tap

ENDINGS = {
    "test_passes": ("ok", "ok 99"),
    "test_skips": ("ok", "# SKIP a fifth wheel"),
    "test_check_fails": ("not ok", "failed: 1 + 1 == 3"),
    "test_int_fails": ("not ok", "7 == 8: 7 (0x7), 8 (0x8)"),
    "test_ok_fails": ("not ok", "-EBUSY: -16 (EBUSY)"),
    "test_mem_fails": ("not ok", "byte 2 of 3: 0x63, 0x64"),
    "test_signal": ("not ok", "ended by signal 9"),
    "test_exit_status": ("not ok", "exit status 3"),
    "test_skip_status": ("not ok", "exit status 77"),
    "test_stray_grandchild": ("ok", ""),
    "test_hangs": ("not ok", "still running after"),
}

# Name, output, exit status, meson's result, and the expected counts.
RECORDS = [
    ("two cases", "1..2\nok 1 - a\nok 2 - b\n", 0, "OK", (2, 0, 0)),
    ("plan at the end", "ok 1 - a\n1..1\n", 0, "OK", (1, 0, 0)),
    ("a failed case", "1..2\nok 1 - a\nnot ok 2 - b\n", 1, "FAIL", (1, 1, 0)),
    ("a skipped case", "1..1\nok 1 - a # SKIP x\n", 0, "OK", (0, 0, 1)),
    ("cmocka's skipped case", "1..2\nok 1 - a\nnot ok 2 # SKIP b\n", 0, "OK",
     (1, 0, 1)),
    ("a case that did not run", "1..2\nok 1 - a\n", 0, "OK", (1, 1, 0)),
    ("a crash between cases", "1..2\nok 1 - a\n", -11, "FAIL", (1, 1, 0)),
    ("a bad end after good cases", "1..1\nok 1 - a\n", 66, "FAIL", (1, 1, 0)),
    ("the time limit after good cases", "1..1\nok 1 - a\n", 0, "TIMEOUT",
     (1, 1, 0)),
    ("two groups", "1..1\nok 1 - a\n1..1\nok 1 - b\n", 0, "OK", (2, 0, 0)),
    ("no TAP, good", "hello\n", 0, "OK", (1, 0, 0)),
    ("no TAP, bad", "hello\n", 1, "FAIL", (0, 1, 0)),
    ("no TAP, time limit", "", -15, "TIMEOUT", (0, 1, 0)),
]


def check_endings(output):
    problems = []
    blocks = re.split(r"^(?=ok |not ok )", output, flags=re.M)
    for number, (name, (verdict, text)) in enumerate(ENDINGS.items(), 1):
        found = [block for block in blocks
                 if block.startswith(f"{verdict} {number} - {name}")]
        if not found or text not in found[0]:
            problems.append(f"{name}: wanted {verdict} and '{text}'")
    if f"1..{len(ENDINGS)}" not in output.splitlines():
        problems.append("no plan")
    return problems


def is_running(pid):
    """A zombie does not count as running."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def check_grandchildren(output):
    pids = re.findall(r"grandchild (\d+)", output)
    problems = [] if len(pids) == 2 else [f"{len(pids)} grandchildren"]
    deadline = time.monotonic() + 5
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return problems + [f"{pid} is still running"
                       for pid in pids if is_running(pid)]


def harness(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True,
                          text=True, check=False)


def tally(root, *arguments):
    done = subprocess.run(
        [sys.executable, str(root / "scripts/lib/tally.py"), *arguments],
        capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [""])[-1], done.returncode


def check_tally(root, folder, records, expected):
    path = pathlib.Path(folder, "records.json")
    path.write_text("".join(
        json.dumps({"name": "hmmu:x / y", "stdout": stdout,
                    "returncode": status, "result": result}) + "\n"
        for _, stdout, status, result, _ in records))
    passed, failed, skipped = expected
    wanted = (f"{passed} passed, {failed} failed, {skipped} skipped",
              int(failed > 0 or passed == 0))
    got = tally(root, f"x={path}")
    return [] if got == wanted else [f"wanted {wanted}", f"got {got}"]


def main():
    root, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    tap = Tap()
    done = harness(program)
    tap.case("the harness tells how each case ended",
             check_endings(done.stdout))
    tap.case("the harness leaves no process behind",
             check_grandchildren(done.stdout))
    tap.case("the harness fails when a case fails",
             [] if done.returncode == 1 else [f"status {done.returncode}"])
    done = harness(program, "--only", "test_passes")
    tap.case("the harness runs one case",
             [] if done.returncode == 0 and "1..1" in done.stdout
             else [done.stdout])
    done = harness(program, "--list")
    tap.case("the harness lists the cases",
             [] if done.stdout.split() == list(ENDINGS) else [done.stdout])
    done = harness(program, "--only", "test_nothing")
    tap.case("the harness knows no other case",
             [] if done.returncode == 2 else [f"status {done.returncode}"])
    with tempfile.TemporaryDirectory() as folder:
        for record in RECORDS:
            tap.case(f"counts {record[0]}",
                     check_tally(root, folder, [record], record[4]))
        total = tuple(map(sum, zip(*(record[4] for record in RECORDS))))
        tap.case("sums all programs",
                 check_tally(root, folder, RECORDS, total))
    for name, argument in [("a build that failed", "x=build-failed"),
                           ("a run without records", "x=/nonexistent"),
                           ("a run without tests", "x=/dev/null")]:
        got = tally(root, argument)
        tap.case(f"counts {name}",
                 [] if got == ("0 passed, 1 failed, 0 skipped", 1)
                 else [str(got)])
    tap.case("nothing ran is no success",
             [] if tally(root)[1] == 1 else ["status 0"])
    tap.done()


main()
