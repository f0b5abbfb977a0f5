# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# Three kernels, kept in the cache:
#
#   stock/<release>/       Debian's 6.1 and 6.12 for amd64, image and headers,
#                          unpacked from their packages
#   src/linux-source-6.12/ Debian's source of 6.12
#   kunit/<version>-<key>/ built from that source with kunit.config; the key
#                          covers source, configuration and compiler
#
# A directory counts once its .complete exists, so that an interrupted run
# leaves nothing that looks ready.  A cached kernel is used as it is: remove it
# to get Debian's latest.
#
# kernel_use NAME sets KIMAGE (what to boot), KDIR (what to build against) and
# KRELEASE for NAME = 6.1, 6.12 or kunit.

KERNEL_BUILD_PACKAGES=(gcc make bc flex bison libelf-dev libssl-dev perl
		       python3 xz-utils libc6-dev kmod)

kernel_use()
{
	case $1 in
	6.1)	stock_use 6.1 linux-image-cloud-amd64 'linux-image-6[.]1[.].*-cloud-amd64' ;;
	6.12)	stock_use 6.12 linux-image-6.12-cloud-amd64 'linux-image-6[.]12.*-cloud-amd64' ;;
	kunit)	kunit_use ;;
	*)	die "no such kernel: $1" ;;
	esac
}

# stock_cached SERIES: the newest complete kernel of the series in the cache.
stock_cached()
{
	local complete

	for complete in "$CACHE/stock/$1".*/.complete; do
		[ ! -e "$complete" ] || echo "${complete%/.complete}"
	done | sort -V | tail -n 1
}

stock_use()
{
	local series=$1 meta=$2 pattern=$3 dir

	dir=$(stock_cached "$series")
	if [ -z "$dir" ]; then
		cache_lock "stock-$series"
		dir=$(stock_cached "$series")
		[ -n "$dir" ] || stock_fetch "$series" "$meta" "$pattern"
		cache_unlock
		dir=$(stock_cached "$series")
	fi
	KRELEASE=$(basename "$dir")
	KIMAGE=$dir/boot/vmlinuz-$KRELEASE
	KDIR=$dir/usr/src/linux-headers-$KRELEASE
}

stock_fetch()
{
	local series=$1 meta=$2 pattern=$3 image release common kbuild dir tmp

	packages_need gcc-12 libelf1 libssl3 pahole
	apt_update	# an old list names kernels that are gone
	image=$(package_depends "$meta" "$pattern")
	[ -n "$image" ] || die "Debian offers no $meta here"
	release=${image#linux-image-}
	common=$(package_depends "linux-headers-$release" 'linux-headers-.*-common')
	kbuild=$(package_depends "linux-headers-$release" 'linux-kbuild-.*')
	if [ -z "$common" ] || [ -z "$kbuild" ]; then
		die "Debian offers no headers for $release"
	fi

	say "fetching Debian's kernel $release and its headers"
	dir=$CACHE/stock/$release
	tmp=$CACHE/part-$release
	rm -rf "$tmp" "$dir"
	package_unpack "$tmp" "$image" "linux-headers-$release" "$common" "$kbuild"
	# The guest needs nothing but the image.
	rm -rf "${tmp:?}/lib/modules" "${tmp:?}/usr/share"
	# The headers name each other by where a package would put them; all
	# other references are relative.
	echo "include $dir/usr/src/$common/Makefile" \
		>"$tmp/usr/src/linux-headers-$release/Makefile"
	[ -e "$tmp/boot/vmlinuz-$release" ] || die "$image holds no kernel"
	touch "$tmp/.complete"
	mkdir -p "$CACHE/stock"
	mv "$tmp" "$dir"
	note "kept in $dir"
}

# source_use: set KSRC, Debian's kernel source, and KSRC_VERSION.
source_use()
{
	local tar=/usr/src/linux-source-6.12.tar.xz

	KSRC=$CACHE/src/linux-source-6.12
	if [ ! -e "$KSRC/.complete" ]; then
		cache_lock source
		if [ ! -e "$KSRC/.complete" ]; then
			packages_need linux-source-6.12 xz-utils
			say "unpacking $tar (a minute)"
			rm -rf "$KSRC"
			mkdir -p "$CACHE/src"
			tar -C "$CACHE/src" -xf "$tar"
			touch "$KSRC/.complete"
		fi
		cache_unlock
	fi
	KSRC_VERSION=$(make -s -C "$KSRC" kernelversion)
}

# kunit_config: the lines of the fragment that say something.
kunit_config()
{
	grep -E '^(CONFIG_|# CONFIG_[A-Z0-9_]+ is not set)' "$VM/kunit.config" |
		LC_ALL=C sort
}

kunit_use()
{
	local key dir

	packages_need "${KERNEL_BUILD_PACKAGES[@]}"
	source_use
	key=$({
		gcc --version | sed -n 1p
		kunit_config
	} | sha256sum | cut -c 1-12)
	dir=$CACHE/kunit/$KSRC_VERSION-$key
	if [ ! -e "$dir/.complete" ]; then
		cache_lock kunit
		[ -e "$dir/.complete" ] || kunit_build "$dir"
		cache_unlock
	fi
	KRELEASE=$(<"$dir/include/config/kernel.release")
	KIMAGE=$dir/arch/x86/boot/bzImage
	KDIR=$dir
}

kunit_build()
{
	local dir=$1 log=$BUILD/log/kunit-kernel.log

	say "configuring the KUnit kernel $KSRC_VERSION in $dir"
	mkdir -p "$dir"
	logged "$log" make -C "$KSRC" O="$dir" tinyconfig
	kunit_config >"$dir/kunit.config"
	logged "$log" "$KSRC/scripts/kconfig/merge_config.sh" -m -O "$dir" \
		"$dir/.config" "$dir/kunit.config"
	logged "$log" make -C "$KSRC" O="$dir" olddefconfig
	kunit_config_check "$dir/.config"

	say "building it, about 8 minutes on 2 CPUs (log: $log)"
	with_progress "$log" 'objects built' '^  (CC|AS|LD|AR) ' \
		make -C "$KSRC" O="$dir" -j "$JOBS" bzImage modules ||
		{ tail -n 40 "$log" >&2; die "the kernel did not build, see $log"; }
	touch "$dir/.complete"
	say "the KUnit kernel is ready"
}

# kunit_config_check FILE: what olddefconfig dropped or turned on again was
# wanted otherwise, and the tests would silently check less.
kunit_config_check()
{
	local line option bad=

	while read -r line; do
		case $line in
		CONFIG_*)
			grep -qxF -e "$line" "$1" || bad+=" $line" ;;
		'# CONFIG_'*)
			option=${line#\# }
			grep -q "^${option%% *}=" "$1" && bad+=" no-${option%% *}" ;;
		esac
	done < <(kunit_config)
	[ -z "$bad" ] || die "the configuration did not take:$bad"
}

# with_progress LOG WHAT PATTERN COMMAND...: run with output to LOG, and say
# every 20 seconds how many of its lines match.
with_progress()
{
	local log=$1 what=$2 pattern=$3 pid next=$((SECONDS + 20))
	shift 3

	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		[ "$SECONDS" -ge "$next" ] || continue
		next=$((SECONDS + 20))
		say "$(grep -cE "$pattern" "$log") $what, now $(tail -n 1 "$log" | sed 's/  */ /g')"
	done
	wait "$pid"
}
