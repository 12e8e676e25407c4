#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cli.py TAP_DIR HMMU OTHER_VERSION [SANITIZER] - the tool as it is called."""

import json
import os
import subprocess
import sys

sys.path.insert(0, sys.argv[1])
from tap import Tap  # pylint: disable=wrong-import-position

HMMU, OTHER_VERSION = sys.argv[2:4]
COMMANDS = ["info", "demo", "bench"]


def run(*words, stdout=subprocess.PIPE, **variables):
    return subprocess.run([HMMU, *words], stdin=subprocess.DEVNULL,
                          stdout=stdout, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False,
                          env=os.environ | variables)


def expect(done, status, out=(), err=()):
    """The problems: another status, or words that are not there."""
    problems = []
    if done.returncode != status:
        problems.append(f"{done.args[1:]}: status {done.returncode}, "
                        f"not {status}: {done.stderr.strip()}")
    for name, text, words in ("stdout", done.stdout, out), \
                             ("stderr", done.stderr, err):
        problems += [f"{done.args[1:]}: no `{word}` on {name}: {text!r}"
                     for word in words if word not in text]
        if not words and text:
            problems.append(f"{done.args[1:]}: {name}: {text!r}")
    return problems


def help_of_commands():
    problems = []
    for command in COMMANDS:
        asked = run("help", command)
        problems += expect(asked, 0, out=[f"hmmu {command}"])
        option = run(command, "--help")
        if option.stdout != asked.stdout:
            problems.append(f"help {command} is not {command} --help")
    return problems


def usage_errors():
    cases = [
        (["frobnicate"], "`frobnicate`"),
        (["--frobnicate"], "`--frobnicate`"),
        (["help", "frobnicate"], "`frobnicate`"),
        (["demo", "--frobnicate"], "--frobnicate"),
        (["demo", "-q"], "-q"),
        (["demo", "--json=3"], "--json=3"),
        (["demo", "--top"], "--top needs an argument"),
        (["demo", "-t"], "-t needs an argument"),
        (["demo", "Packages"], "`Packages`"),
        (["demo", "--top", "many"], "from 0 to 1000, not `many`"),
        (["demo", "--top", "1001"], "not `1001`"),
        (["demo", "--top", ""], "not ``"),
        (["demo", "--top", "-1"], "not `-1`"),
        (["demo", "--workers", "0"], "from 1 to 64"),
        (["demo", "--workers", "65"], "from 1 to 64"),
        (["demo", "--iterations", "4294967296"], "not `4294967296`"),
    ]
    problems = []
    for words, complaint in cases:
        problems += expect(run(*words), 2, err=["hmmu: ", complaint])
    return problems


def versions():
    """One version, and both where library and tool are not of one."""
    own = run("--version")
    other = run("--version", LD_PRELOAD=OTHER_VERSION)
    info = run("info", LD_PRELOAD=OTHER_VERSION)
    described = json.loads(run("info", "--json").stdout)
    mixed = json.loads(run("info", "--json", LD_PRELOAD=OTHER_VERSION).stdout)
    version = described["hmmu"]
    problems = expect(own, 0, out=[f"hmmu {version}\n"])
    problems += expect(other, 0, out=[f"hmmu {version} with libhmmu 7.8.9\n"])
    problems += expect(info, 0, out=[f"HMMU {version} with libhmmu 7.8.9 on"])
    if "tool" in described or (mixed["hmmu"], mixed["tool"]) != ("7.8.9",
                                                                 version):
        problems.append(f"info --json: {described} {mixed}")
    return problems


def absent_library():
    """The loader would go on without it, and so without the devices."""
    return expect(run("dmirror", "--library", "/nonexistent.so", "--", "true"),
                  1, err=["--library /nonexistent.so: ", "No such file"])


def full_disk():
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = run("help", "demo", stdout=full)
    done.stdout = ""
    return expect(done, 1, err=["standard output"])


def main():
    tap = Tap()
    tap.case("help lists the commands",
             expect(run("help"), 0, out=COMMANDS)
             + expect(run("--help"), 0, out=COMMANDS))
    tap.case("no command is an error that lists them",
             expect(run(), 2, err=COMMANDS))
    tap.case("each command has its help", help_of_commands())
    tap.case("--version", expect(run("--version"), 0, out=["hmmu 0."]))
    # A sanitizer wants to be the first library, before a preloaded one.
    if len(sys.argv) == 4:
        tap.case("a library of another version is named", versions())
    tap.case("wrong arguments are named, with status 2", usage_errors())
    tap.case("dmirror names a library that is absent", absent_library())
    tap.case("output that does not arrive is an error", full_disk())
    tap.done()


main()
