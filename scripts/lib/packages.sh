# SPDX-License-Identifier: MIT
# Finds the missing requirements of the build and installs them with apt-get.
# Checks for commands and files, not for packages: a requirement that was
# installed in another way is not installed again.
# shellcheck shell=bash

has_command() {
	command -v "$1" >/dev/null 2>&1
}

# Without pkg-config, check for the package.
has_library() {
	if has_command pkg-config; then
		pkg-config --exists "$1"
	else
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$2" \
			2>/dev/null)" = installed ]
	fi
}

has_libc_headers() {
	has_command gcc &&
		echo '#include <stdio.h>' | gcc -E - >/dev/null 2>&1
}

clang_major() {
	if has_command clang; then
		clang -dumpversion | cut -d. -f1
	else
		echo 14
	fi
}

# has_clang_runtime NAME - asan, tsan, fuzzer
has_clang_runtime() {
	has_command clang &&
		[ -e "$(clang -print-file-name="libclang_rt.$1-x86_64.a")" ]
}

has_clang_runtimes() {
	has_clang_runtime asan && has_clang_runtime tsan &&
		has_clang_runtime fuzzer
}

# The missing packages, and a line about each.
missing=()
missing_why=()

# need PACKAGE WHY PROBE... - PACKAGE is missing unless PROBE succeeds
need() {
	local package=$1 why=$2
	shift 2
	if ! "$@"; then
		missing+=("$package")
		missing_why+=("$package: $why")
	fi
}

need_for_build() {
	need gcc "the C compiler" has_command gcc
	need libc6-dev "the headers of libc and of the kernel" has_libc_headers
	need meson "configures the build" has_command meson
	need ninja-build "runs the build" has_command ninja
	need pkg-config "finds libraries" has_command pkg-config
	need libjson-c-dev "--json of the tool" has_library json-c libjson-c-dev
	need libncurses-dev "colours of the tool's pictures" \
		has_library tinfo libncurses-dev
}

need_for_tests() {
	need libcmocka-dev "the unit tests" has_library cmocka libcmocka-dev
	need g++ "the headers are tried as C++" has_command g++
	need scdoc "the manual pages" has_command scdoc
}

need_for_clang_builds() {
	need clang "lock annotations, ThreadSanitizer, fuzzing" \
		has_command clang
	need "libclang-rt-$(clang_major)-dev" \
		"clang's sanitizer and fuzzer runtimes" has_clang_runtimes
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		env "$@"
	else
		sudo env "$@"
	fi
}

apt_install() {
	as_root DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends "${missing[@]}"
}

# Fetch package lists only if the first try fails: they may be missing or old.
install_missing() {
	say "apt-get install ${missing[*]}"
	apt_install && return
	say "apt-get update, because the package lists are missing or old"
	as_root apt-get update && apt_install
}

# try_package PACKAGE WHY - installs one that can be done without; 1 where it
# can not be installed
try_package() {
	local failed=0
	say "missing on this machine:"
	say "  $1: $2"
	missing=("$1")
	can_install && install_missing || failed=1
	missing=() missing_why=()
	return $failed
}

can_install() {
	has_command apt-get && { [ "$(id -u)" -eq 0 ] || has_command sudo; }
}

print_missing() {
	local line
	say "missing on this machine:"
	for line in "${missing_why[@]}"; do
		say "  $line"
	done
}

# ensure_packages MAY_INSTALL NEED... - ends the script with status 1 if
# something is still missing
ensure_packages() {
	local may_install=$1 list
	shift
	for list in "$@"; do "$list"; done
	[ ${#missing[@]} -gt 0 ] || return 0
	print_missing
	$may_install || die "missing, and --no-install is set: ${missing[*]}"
	has_command apt-get || die "no apt-get here; install: ${missing[*]}"
	[ "$(id -u)" -eq 0 ] || has_command sudo ||
		die "neither root nor sudo; as root: apt-get install ${missing[*]}"
	install_missing || die "apt-get failed; needed: ${missing[*]}"
	missing=() missing_why=()
	hash -r
	for list in "$@"; do "$list"; done
	[ ${#missing[@]} -eq 0 ] ||
		die "installed, but still not found: ${missing[*]}"
}
