# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Debian packages: what is missing is named and installed; kernels are only
# unpacked, never installed.

case $(dpkg --print-architecture 2>/dev/null) in
amd64) ;;
*) die "the rig needs Debian (12 or later) on amd64" ;;
esac

# as_root COMMAND...
as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "need root for: $*  (become root or install sudo)"
	fi
}

apt_updated=
apt_update()
{
	[ -z "$apt_updated" ] || return 0
	apt_updated=yes
	note "apt-get update"
	logged "$BUILD/log/apt-update.log" as_root apt-get -q update
}

# packages_missing PACKAGE...: the ones that are not installed.
packages_missing()
{
	local package

	for package; do
		# shellcheck disable=SC2016 # dpkg-query's own variable
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
			grep '^install ok installed$' >/dev/null || echo "$package"
	done
}

# packages_need PACKAGE...
packages_need()
{
	local missing

	mapfile -t missing < <(packages_missing "$@")
	[ "${#missing[@]}" -gt 0 ] || return 0
	say "installing packages: ${missing[*]}"
	apt_install "${missing[@]}" || {
		apt_update
		apt_install "${missing[@]}"
	} || {
		tail -n 20 "$BUILD/log/apt-install.log" >&2
		die "could not install: ${missing[*]}"
	}
}

apt_install()
{
	mkdir -p "$BUILD/log"
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y --no-install-recommends install "$@" \
		>"$BUILD/log/apt-install.log" 2>&1 </dev/null
}

# package_depends PACKAGE PATTERN: the first dependency that matches, which is
# how a meta package is resolved to the kernel it stands for.
package_depends()
{
	apt-cache depends --important "$1" 2>/dev/null |
		awk -v pattern="^$2\$" '$1 ~ /^\|?Depends:$/ && $2 ~ pattern && !n++ { print $2 }'
}

# package_unpack DIR PACKAGE...: download packages and unpack them under DIR.
package_unpack()
{
	local dir=$1 deb download
	shift

	mkdir -p "$dir"
	download=$(mktemp -d "$CACHE/download.XXXXXX")
	apt_download "$download" "$@" || {
		apt_update
		apt_download "$download" "$@"
	} || {
		cat "$BUILD/log/apt-download.log" >&2
		rm -rf "$download"
		die "could not download: $*"
	}
	for deb in "$download"/*.deb; do
		dpkg-deb -x "$deb" "$dir"
	done
	rm -rf "$download"
}

apt_download()
{
	local dir=$1
	shift
	mkdir -p "$BUILD/log"
	(cd "$dir" && apt-get -q -o APT::Sandbox::User=root download "$@") \
		>"$BUILD/log/apt-download.log" 2>&1 </dev/null
}
