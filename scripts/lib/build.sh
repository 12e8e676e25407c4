# SPDX-License-Identifier: MIT
# Configures and builds one meson build directory.
# shellcheck shell=bash

# An unchanged directory is only reconfigured; one that cannot be (it was
# moved, or made by another meson) is made anew.
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

# build DIR MESON_OPTION... - quiet; on failure the end of the log is printed
build() {
	local dir=$1 log
	mkdir -p "$dir" 2>/dev/null && [ -w "$dir" ] ||
		die "$dir cannot be written by $(id -un); remove or chown it"
	log=$dir/build.log
	if configure "$@" >"$log" 2>&1 && ninja -C "$dir" >>"$log" 2>&1; then
		return 0
	fi
	say "building $dir failed; the end of $log:"
	tail -n 60 "$log"
	return 1
}
