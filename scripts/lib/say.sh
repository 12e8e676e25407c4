# SPDX-License-Identifier: MIT
# What the scripts say. Source it with $program set.
# shellcheck shell=bash

say() {
	printf '%s: %s\n' "$program" "$*"
}

die() {
	printf '%s: %s\n' "$program" "$*" >&2
	exit 1
}

# usage_error TEXT - wrong arguments; --help says the right ones
usage_error() {
	printf '%s: %s; see --help\n' "$program" "$*" >&2
	exit 2
}
