#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# readme.sh SOURCE_ROOT - check that the README has an example that compiles.
# tests/install links and runs it.
# shellcheck disable=SC2317 # tap_run calls the functions
set -u
here=$(dirname "$0")
# shellcheck source=tests/check/tap.sh
. "$here/tap.sh"
root=$1

example() {
	bash "$here/readme_example.sh" "$root/README.md" ||
		{ echo "README.md: no \`\`\`c block with a main()"; return 1; }
}

compiles() {
	example | gcc -x c -std=gnu11 -Wall -Wextra -Werror -fsyntax-only \
		-I"$root/include" -
}

within_50_lines() {
	local lines
	lines=$(example | wc -l)
	[ "$lines" -le 50 ] || { echo "$lines lines"; return 1; }
}

if tap_run "README.md has an example" example; then
	tap_run "the example compiles" compiles
	tap_run "the example is short" within_50_lines
fi
tap_done
