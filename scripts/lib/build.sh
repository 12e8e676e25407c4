# SPDX-License-Identifier: MIT
# Configures and builds one meson build directory.
# shellcheck shell=bash

# Reconfigure an existing directory. If that fails, because it was moved or
# created by another version of meson, wipe it.
configure() {
	local dir=$1
	shift
	if [ -e "$dir/meson-private/coredata.dat" ]; then
		meson setup --reconfigure "$dir" "$@" ||
			meson setup --wipe "$dir" "$@"
	else
		meson setup "$dir" "$@"
	fi
}

# build DIR MESON_OPTION... - quiet; after a failure it prints the log's end
build() {
	local dir=$1 log
	mkdir -p "$dir" 2>/dev/null && [ -w "$dir" ] ||
		die "$(id -un) cannot write to $dir; remove or chown it"
	log=$dir/build.log
	if configure "$@" >"$log" 2>&1 && ninja -C "$dir" >>"$log" 2>&1; then
		return 0
	fi
	say "building $dir failed; the end of $log:"
	tail -n 60 "$log"
	return 1
}
