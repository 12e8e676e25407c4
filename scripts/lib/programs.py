# SPDX-License-Identifier: MIT
"""Runs test programs of a meson build, as whoever runs this or as nobody."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

NOBODY = 65534
ROOT = pathlib.Path(__file__).resolve().parents[2]


def introspect(build):
    done = subprocess.run(["meson", "introspect", "--tests", build],
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def suites(test):
    """Meson puts the project before each."""
    return {suite.rpartition(":")[2] for suite in test["suite"]}


def is_needed(path):
    """A program or a shared library, not an object file of one."""
    return path.is_file() and (os.access(path, os.X_OK)
                               or ".so" in path.name)


def copy_build(build, copy):
    """The programs keep their places: they find libhmmu.so by $ORIGIN."""
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


def execute(test, command, environment, timeout_s, **how):
    """Runs one program in its own session, and ends all of it in time."""
    start = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", start_new_session=True, **how)
    timed_out = False
    try:
        stdout, stderr = process.communicate(timeout=timeout_s or None)
    except subprocess.TimeoutExpired:
        timed_out = True
        # SIGTERM first: the harness takes its case with it.
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
    result = {0: "OK", 77: "SKIP"}.get(process.returncode, "FAIL")
    return {"name": test["name"], "stdout": stdout, "stderr": stderr,
            "result": "TIMEOUT" if timed_out else result,
            "returncode": process.returncode,
            "duration": time.monotonic() - start, "command": command}


class Here:
    """Runs programs where they are, as whoever runs this."""

    who = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, test, arguments=(), more_s=0):
        return execute(test, [*test["cmd"], *arguments],
                       {**os.environ, **test["env"]},
                       test["timeout"] + more_s)


class AsNobody:
    """Runs programs as nobody, from a copy of the build that nobody can read
    (a clone under /root is closed to others)."""

    who = " as nobody"

    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="hmmu-user-")
        scratch = pathlib.Path(self.folder.name)
        scratch.chmod(0o755)
        os.umask(0o022)
        self.copy, self.source_copy = scratch / "build", scratch / "source"
        self.home = scratch / "home"
        self.home.mkdir()
        os.chown(self.home, NOBODY, NOBODY)
        copy_build(self.build, self.copy)
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def moved(self, word):
        """Meson names files by their whole path or from the build folder."""
        path = pathlib.Path(os.path.normpath(self.build / word))
        if "/" not in word or not path.exists():
            return word
        if path.is_relative_to(self.build):
            return str(self.copy / path.relative_to(self.build))
        if path.is_relative_to(ROOT):
            return self.copied(path)
        return word

    def copied(self, path):
        target = self.source_copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, target)
        return str(target)

    def environment(self, test):
        kept = {name: value for name, value in os.environ.items()
                if name == "PATH" or name.startswith("HMMU_TEST_")}
        return {**kept, "LC_ALL": "C.UTF-8", "HOME": str(self.home),
                "TMPDIR": str(self.home),
                **{name: self.moved(value)
                   for name, value in test["env"].items()}}

    def run(self, test, arguments=(), more_s=0):
        command = [self.moved(word) for word in test["cmd"]]
        return execute(test, [*command, *arguments], self.environment(test),
                       test["timeout"] + more_s, cwd=self.home, user=NOBODY,
                       group=NOBODY, extra_groups=[])
