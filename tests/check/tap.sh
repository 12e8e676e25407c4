# SPDX-License-Identifier: MIT
# TAP for shell tests: source it, call tap_run or tap_skip, end with tap_done.
# shellcheck shell=bash

tap_count=0
tap_failed=0

# tap_run NAME COMMAND... - one case, which passes if the command succeeds.
# The output of the command becomes comments of a failed case.
tap_run() {
	local name=$1 output
	shift
	tap_count=$((tap_count + 1))
	if output=$("$@" 2>&1); then
		echo "ok $tap_count - $name"
		return 0
	fi
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_count - $name"
	printf '%s\n' "$output" | head -n 100 | sed 's/^/# /'
	return 1
}

# tap_skip NAME CAPABILITY - one skipped case, and the missing capability.
tap_skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1 # SKIP $2"
}

tap_done() {
	echo "1..$tap_count"
	[ "$tap_failed" -eq 0 ]
	exit
}
