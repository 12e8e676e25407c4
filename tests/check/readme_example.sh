#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# readme_example.sh README - print the first C block with a main().
set -u
awk '
/^```c[ \t]*$/ { inside = 1; text = ""; next }
/^```/ && inside {
	inside = 0
	if (text ~ /main\(/) { printf "%s", text; found = 1; exit }
	next
}
inside { text = text $0 "\n" }
END { exit !found }
' "$1"
