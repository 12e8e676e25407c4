#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# headers.sh SOURCE_ROOT - compile each public header alone, included twice, as
# strict C11 and as C++17, with every installed compiler.
# shellcheck disable=SC2317 # tap_run calls the functions
set -u
here=$(dirname "$0")
# shellcheck source=tests/check/tap.sh
. "$here/tap.sh"
cd "$1/include" || exit 1

flags=(-I. -fsyntax-only -pedantic -Wall -Wextra -Wundef -Werror)

# compile COMPILER LANGUAGE STANDARD HEADER
compile() {
	printf '#include <%s>\n#include <%s>\n' "$4" "$4" |
		"$1" -x "$2" -std="$3" "${flags[@]}" -
}

# each COMPILER LANGUAGE STANDARD
each() {
	local header
	for header in hmmu.h hmmu/*.h; do
		[ -e "$header" ] || continue
		if command -v "$1" >/dev/null; then
			tap_run "$1 -std=$3 $header" compile "$@" "$header"
		else
			tap_skip "$1 -std=$3 $header" "$1"
		fi
	done
}

each gcc c c11
each clang c c11
each g++ c++ c++17
each clang++ c++ c++17
tap_done
