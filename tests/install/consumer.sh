#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# consumer.sh SOURCE_ROOT BUILD_ROOT - installs into a folder of its own and
# is a stranger there: finds HMMU through pkg-config only, compiles, links and
# runs a C and a C++ program, shared and static, and the example of README.md.
# shellcheck disable=SC2317,SC2028 # tap_run calls the functions; \n is for C
set -u
source_root=$1
build_root=$2
# shellcheck source=tests/check/tap.sh
. "$source_root/tests/check/tap.sh"

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
shared=$scratch/shared
static=$scratch/static

install_shared() {
	meson install -C "$build_root" --no-rebuild --destdir "$shared"
}

# The linker takes libhmmu.a only where there is no libhmmu.so.
install_static() {
	cp -r "$shared" "$static" &&
		find "$static" -name 'libhmmu.so*' -delete &&
		[ -n "$(find "$static" -name libhmmu.a)" ]
}

# pc DESTDIR OPTIONS... - pkg-config that knows that installation only
pc() {
	local destdir=$1 folder
	shift
	folder=$(dirname "$(find "$destdir" -name hmmu.pc)")
	PKG_CONFIG_PATH='' PKG_CONFIG_LIBDIR="$folder" \
		PKG_CONFIG_SYSROOT_DIR="$destdir" pkg-config "$@" hmmu
}

files_are_there() {
	local name missing=0
	for name in hmmu.pc libhmmu.so libhmmu.so.0 libhmmu.so.0.1.0 \
		libhmmu.a hmmu.h; do
		[ -n "$(find "$shared" -name "$name")" ] ||
			{ echo "$name is not installed"; missing=1; }
	done
	return "$missing"
}

# Every public header, and nothing but them.
headers_are_there() {
	diff -r "$source_root/include" "$(dirname "$(find "$shared" \
		-name hmmu -type d -path '*/include/*')")"
}

soname_is_right() {
	readelf -d "$(find "$shared" -name libhmmu.so.0.1.0)" |
		grep -F 'soname: [libhmmu.so.0]'
}

needs_only_libc() {
	local others
	others=$(readelf -d "$(find "$shared" -name libhmmu.so.0.1.0)" |
		sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
		grep -v -e '^libc\.so\.6$' -e '^ld-linux-x86-64\.so\.2$')
	[ -z "$others" ] || { echo "also needs $others"; return 1; }
}

versions_agree() {
	[ "$(pc "$shared" --modversion)" = 0.1.0 ]
}

# It finds the library that was installed with it.
tool_starts() {
	env -u LD_LIBRARY_PATH timeout 60 "$tool" --version
}

# The names of 0.1 are inline functions in the headers, and in no NAME.
old_calls() {
	cat "$source_root"/include/hmmu/*.h | tr '\n' ' ' |
		grep -oE 'HMMU_NAME_OF_0_1[^({;]*\(' | grep -oE '\w+\($' |
		tr -d '('
}

# `man CALL` works for each call, and each alias leads to a page.
calls_have_pages() {
	local call missing=0
	for call in $(grep -o '\bhmmu_[a-z0-9][a-z0-9_]*;' \
		"$source_root/src/libhmmu.map" | tr -d ';' |
		grep -vxF "$(old_calls)"); do
		[ -s "$man3/$call.3" ] ||
			{ echo "no $call.3"; missing=1; }
	done
	for call in "$man3"/*.3; do
		call=$(sed -n 's/^\.so man3\///p' "$call")
		[ -z "$call" ] || grep -q '^\.SH NAME' "$man3/$call" ||
			{ echo "no page $call"; missing=1; }
	done
	return "$missing"
}

# A program that takes the address of every public symbol: each is there, and
# has C linkage in C++ too.
write_consumer() {
	{
		echo '#include <hmmu.h>'
		echo '#include <stdint.h>'
		echo '#include <stdio.h>'
		echo 'int main(void) {'
		# Not static: the address of a thread's variable is no constant.
		echo 'const volatile uintptr_t symbols[] = {'
		grep -o '\bhmmu_[a-z0-9_]*;' "$source_root/src/libhmmu.map" |
			sed 's/\(.*\);/(uintptr_t)\&\1,/'
		echo '0 };'
		echo 'unsigned n = 0; while (symbols[n]) n++;'
		echo 'printf("%u symbols\n", n);'
		echo 'return n + 1 == sizeof(symbols) / sizeof(symbols[0])'
		echo ' && n > 0 ? 0 : 1; }'
	} >"$scratch/consumer.c"
	cp "$scratch/consumer.c" "$scratch/consumer.cpp"
	bash "$source_root/tests/check/readme_example.sh" \
		"$source_root/README.md" >"$scratch/example.c"
}

# build COMPILER STANDARD SOURCE KIND - link one program
build() {
	local destdir=$scratch/$4 options=(--cflags --libs)
	[ "$4" = shared ] || options+=(--static)
	# shellcheck disable=SC2046 # pkg-config prints words
	"$1" -std="$2" -Wall -Wextra -Werror "$scratch/$3" \
		$(pc "$destdir" "${options[@]}") -o "$scratch/$3.$4"
}

is_linked_as_asked() {
	if [ "$2" = shared ]; then
		readelf -d "$scratch/$1.$2" | grep -qF '[libhmmu.so.0]'
	else
		! readelf -d "$scratch/$1.$2" | grep -F '[libhmmu.so.0]'
	fi
}

run_it() {
	local folder
	folder=$(dirname "$(find "$shared" -name libhmmu.so.0)")
	LD_LIBRARY_PATH=$folder timeout 60 "$scratch/$1.$2" ||
		{ echo "$1, $2: exit status $?"; return 1; }
}

build_and_run() {
	build "$@" && is_linked_as_asked "$3" "$4" && run_it "$3" "$4"
}

# Whether this kernel gives this user a userfaultfd at all (323, with
# O_CLOEXEC and UFFD_USER_MODE_ONLY).
can_userfaultfd() {
	python3 -c 'import ctypes, os, sys
fd = ctypes.CDLL(None).syscall(323, os.O_CLOEXEC | 1)
sys.exit(fd < 0)'
}

tap_run "installs" install_shared || tap_done
tap_run "installs for static linking" install_static || tap_done
tap_run "the files are there" files_are_there
tap_run "the headers are there" headers_are_there
tap_run "the soname is libhmmu.so.0" soname_is_right
tap_run "needs libc only" needs_only_libc
tap_run "pkg-config says the version" versions_agree
tool=$(find "$shared" -type f -name hmmu -path '*/bin/*')
if [ -n "$tool" ]; then
	tap_run "the tool starts without LD_LIBRARY_PATH" tool_starts
else
	tap_skip "the tool starts without LD_LIBRARY_PATH" "the tool"
fi
man3=$(find "$shared" -type d -name man3)
if [ -n "$man3" ]; then
	tap_run "each call has a manual page" calls_have_pages
else
	tap_skip "each call has a manual page" "scdoc"
fi
write_consumer
for kind in shared static; do
	tap_run "C consumer, $kind" build_and_run gcc c11 consumer.c $kind
	if command -v g++ >/dev/null; then
		tap_run "C++ consumer, $kind" \
			build_and_run g++ c++17 consumer.cpp $kind
	else
		tap_skip "C++ consumer, $kind" "g++"
	fi
	if ! can_userfaultfd; then
		tap_skip "example of README.md, $kind" "userfaultfd"
	else
		tap_run "example of README.md, $kind" \
			build_and_run gcc gnu11 example.c $kind
	fi
done
tap_done
