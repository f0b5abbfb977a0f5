# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# A Debian 12 root filesystem for programs nobody wrote for goalloc, kept in the
# cache as an image:
#
#   rootfs/<key>/root.img   ext4, without a journal; the key covers what is in it
#                           and how it is made
#
# A guest has it as an NVMe disk, for which Debian's kernels need no module, and
# writes to a copy that is gone with the guest.  A cached image is used as it is:
# remove it to get Debian's latest.

ROOTFS_SUITE=bookworm
ROOTFS_PACKAGES=(python3 libpython3.11-testsuite sqlite3 gcc libc6-dev coreutils
		 util-linux udev systemd-standalone-sysusers kmod pkgconf)
# What stress-ng needs to start; libegl1, too, but that depends on all of Mesa.
ROOTFS_PACKAGES+=(libapparmor1 libbsd0 libgbm1 libgles2 libipsec-mb1 libjpeg62-turbo
		  libjudydebian1 libkmod2 libsctp1 libxxhash0)

# rootfs_use: set ROOTFS, the image.
rootfs_use()
{
	local key

	key=$({
		declare -p ROOTFS_SUITE ROOTFS_PACKAGES
		declare -f rootfs_make rootfs_test_sqlite3 rootfs_stress_ng rootfs_image
	} | sha256sum | cut -c 1-12)
	ROOTFS=$CACHE/rootfs/$key/root.img
	if [ ! -e "$CACHE/rootfs/$key/.complete" ]; then
		cache_lock rootfs
		[ -e "$CACHE/rootfs/$key/.complete" ] || rootfs_make "$CACHE/rootfs/$key"
		cache_unlock
	fi
}

# rootfs_sources: where this machine has its Debian packages from, for sources of
# its own suite; otherwise the file is empty and Debian's servers are asked.
rootfs_sources()
{
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg

	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null | sort -u |
		awk -v suite="$ROOTFS_SUITE" -v keyring="$keyring" '
			$1 == "Debian" && $3 == "main" &&
			($2 == suite || $2 == suite "-updates" || $2 == suite "-security") {
				print "deb [signed-by=" keyring "]", $4, $2, $3
				print "deb-src [signed-by=" keyring "]", $4, $2, $3
			}'
}

rootfs_default_sources()
{
	local suite kind

	for suite in "debian $ROOTFS_SUITE" "debian $ROOTFS_SUITE-updates" \
		     "debian-security $ROOTFS_SUITE-security"; do
		for kind in deb deb-src; do
			echo "$kind http://deb.debian.org/$suite main"
		done
	done
}

# rootfs_make DIR: as mmdebstrap makes it, without documents and translations.
rootfs_make()
{
	local dir=$1 tmp=$CACHE/part-rootfs log=$BUILD/log/rootfs.log option options=()

	packages_need mmdebstrap e2fsprogs debian-archive-keyring
	say "making a Debian 12 root filesystem, about 2 minutes (log: $log)"
	as_root rm -rf "$tmp" "$dir"
	mkdir -p "$tmp" "$(dirname "$log")"
	rootfs_sources >"$tmp/sources.list"
	[ -s "$tmp/sources.list" ] || rootfs_default_sources >"$tmp/sources.list"
	# How this machine reaches the network is known to its apt only.
	while read -r option; do
		options+=(--aptopt="$option")
	done < <(apt-config dump | grep -E '^Acquire::https?::')
	for option in doc man info locale; do
		options+=(--dpkgopt="path-exclude=/usr/share/$option/*")
	done
	# shellcheck disable=SC2016 # the hooks' own variables
	logged "$log" as_root mmdebstrap --mode=root --variant=minbase --format=dir \
		--include="$(IFS=,; echo "${ROOTFS_PACKAGES[*]}")" "${options[@]}" \
		--customize-hook="$(declare -f rootfs_test_sqlite3); rootfs_test_sqlite3 \"\$1\"" \
		--customize-hook="$(declare -f rootfs_stress_ng); rootfs_stress_ng \"\$1\"" \
		--customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"' \
		--customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
		"$ROOTFS_SUITE" "$tmp/root" "$tmp/sources.list"
	rootfs_image "$tmp/root" "$tmp/root.img"
	as_root rm -rf "$tmp/root"
	touch "$tmp/.complete"
	mkdir -p "$CACHE/rootfs"
	mv "$tmp" "$dir"
	note "kept in $dir"
}

# rootfs_test_sqlite3 ROOT: Debian's package of Python's tests leaves this one
# out.  Its source package has it.
rootfs_test_sqlite3()
{
	local dir

	set -e
	dir=$(mktemp -d)
	(cd "$dir" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q \
		-o APT::Sandbox::User=root source --download-only --tar-only python3.11)
	tar -C "$1/usr/lib/python3.11/test" --strip-components=3 --no-same-owner \
		--wildcards -xf "$dir"/python3.11_*.orig.tar.* '*/Lib/test/test_sqlite3'
	rm -rf "$dir"
}

# rootfs_stress_ng ROOT: without what it depends on for stressing graphics.
rootfs_stress_ng()
{
	local dir deb

	set -e
	dir=$(mktemp -d)
	(cd "$dir" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q \
		-o APT::Sandbox::User=root download stress-ng libegl1)
	for deb in "$dir"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" |
			tar -C "$1" --exclude='./usr/share/doc*' --exclude='./usr/share/man*' \
				--keep-directory-symlink --no-same-owner -xf -
	done
	rm -rf "$dir"
}

# rootfs_image ROOT IMAGE: room for a tenth more.
rootfs_image()
{
	local size

	size=$(as_root du -sm --apparent-size "$1" | cut -f 1)
	logged "$BUILD/log/rootfs-image.log" as_root mke2fs -q -t ext4 \
		-O ^has_journal,^metadata_csum -m 0 -L goalloc -d "$1" "$2" \
		"$((size * 5 / 4 + 64))M"
	as_root chown "$(id -u):$(id -g)" "$2"
}
