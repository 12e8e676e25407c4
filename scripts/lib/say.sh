# SPDX-License-Identifier: MIT
# Messages of the scripts. Set $program before you source it.
# shellcheck shell=bash

say() {
	printf '%s: %s\n' "$program" "$*"
}

die() {
	printf '%s: %s\n' "$program" "$*" >&2
	exit 1
}

# usage_error TEXT - end with status 2 because of wrong arguments
usage_error() {
	printf '%s: %s; see --help\n' "$program" "$*" >&2
	exit 2
}
