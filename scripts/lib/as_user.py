#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""as_user.py BUILD_DIR RECORDS - run tests again without privileges.

Root runs each program of the suites live, stress and tool as the user nobody.
The programs run from a copy of the build, because other users cannot read a
clone under /root. RECORDS gets the format of meson's testlog.json.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SUITES = {"live", "stress", "tool"}
NOBODY = 65534


def introspect(build):
    done = subprocess.run(["meson", "introspect", "--tests", build],
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def wanted(test):
    return any(suite.split(":")[-1] in SUITES for suite in test["suite"])


def is_needed(path):
    """A program or a shared library, not an object file of one."""
    return path.is_file() and (os.access(path, os.X_OK)
                               or ".so" in path.name)


def copy_build(build, copy):
    """Keeps relative paths, because programs find libhmmu.so by $ORIGIN."""
    for folder, folders, names in os.walk(build):
        folders[:] = [name for name in folders
                      if not name.endswith(".p")
                      and not name.startswith("meson-")]
        target = copy / pathlib.Path(folder).relative_to(build)
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = pathlib.Path(folder, name)
            if is_needed(path):
                shutil.copy2(path, target / name, follow_symlinks=False)


class Places:
    """Maps paths of the build and of the sources to their copies."""

    def __init__(self, build, source, scratch):
        self.build, self.source = build, source
        self.copy, self.source_copy = scratch / "build", scratch / "source"

    def moved(self, word):
        """Meson's paths are absolute or relative to the build folder."""
        path = pathlib.Path(os.path.normpath(self.build / word))
        if "/" not in word or not path.exists():
            return word
        if path.is_relative_to(self.build):
            return str(self.copy / path.relative_to(self.build))
        if path.is_relative_to(self.source):
            return self.copied(path)
        return word

    def copied(self, path):
        target = self.source_copy / path.relative_to(self.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, target)
        return str(target)


def run(test, places, home):
    """Runs one program in its own session, and kills it at the time limit."""
    command = [places.moved(word) for word in test["cmd"]]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                   "HOME": home, "TMPDIR": home}
    environment.update({name: places.moved(value)
                        for name, value in test["env"].items()})
    start = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, cwd=home, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", user=NOBODY, group=NOBODY, extra_groups=[],
        start_new_session=True)
    timed_out = False
    try:
        stdout, stderr = process.communicate(timeout=test["timeout"] or None)
    except subprocess.TimeoutExpired:
        timed_out = True
        # SIGTERM first, so that the harness kills its case.
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
    result = {0: "OK", 77: "SKIP"}.get(process.returncode, "FAIL")
    return {"name": test["name"], "stdout": stdout, "stderr": stderr,
            "result": "TIMEOUT" if timed_out else result,
            "returncode": process.returncode,
            "duration": time.monotonic() - start, "command": command}


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    source = pathlib.Path(__file__).resolve().parents[2]
    tests = [test for test in introspect(str(build)) if wanted(test)]
    with tempfile.TemporaryDirectory(prefix="hmmu-user-") as folder:
        scratch = pathlib.Path(folder)
        scratch.chmod(0o755)
        os.umask(0o022)
        home = scratch / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        places = Places(build, source, scratch)
        copy_build(build, places.copy)
        with open(sys.argv[2], "w", encoding="utf-8") as records:
            for number, test in enumerate(tests, 1):
                record = run(test, places, str(home))
                records.write(json.dumps(record) + "\n")
                print(f"{number:3}/{len(tests)} {record['name']:40} "
                      f"{record['result']} {record['duration']:.2f}s",
                      flush=True)


main()
