# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# Kernels, kept in the cache:
#
#   stock/<release>/       Debian's 6.1 and 6.12 for amd64, for virtual machines and
#                          with PREEMPT_RT, image and headers, unpacked from their
#                          packages
#   src/linux-source-6.12/ Debian's source of 6.12
#   kunit/<version>-<key>/ built from that source with kunit.config; the key
#                          covers source, configuration and compiler
#   kcsan/<version>-<key>/ the same with kcsan.config on top of that
#   uml/<version>-<key>/   the same for User-Mode Linux, with uml.config
#
# A directory counts once its .complete exists, so that an interrupted run
# leaves nothing that looks ready.  A cached kernel is used as it is: remove it
# to get Debian's latest.
#
# kernel_use NAME sets KIMAGE (what to boot), KDIR (what to build against) and
# KRELEASE for NAME = 6.1, 6.12, kunit, kcsan or uml, and KMAKE to what make has to be told
# to build for it.

KERNEL_BUILD_PACKAGES=(gcc make bc flex bison libelf-dev libssl-dev perl
		       python3 xz-utils libc6-dev kmod)

kernel_use()
{
	KMAKE=()
	case $1 in
	6.1)	stock_use 6.1 cloud linux-image-cloud-amd64 ;;
	6.12)	stock_use 6.12 cloud linux-image-6.12-cloud-amd64 ;;
	6.1-rt)	stock_use 6.1 rt linux-image-rt-amd64 ;;
	6.12-rt) stock_use 6.12 rt linux-image-6.12-rt-amd64 ;;
	kunit)	kunit_use ;;
	kcsan)	kcsan_use ;;
	uml)	uml_use ;;
	*)	die "no such kernel: $1" ;;
	esac
}

# stock_cached SERIES FLAVOUR: the newest complete kernel of them in the cache.
stock_cached()
{
	local complete

	for complete in "$CACHE/stock/$1".*-"$2"-amd64/.complete; do
		[ ! -e "$complete" ] || echo "${complete%/.complete}"
	done | sort -V | tail -n 1
}

# stock_use SERIES FLAVOUR META: META is the package that depends on the latest one.
stock_use()
{
	local dir

	dir=$(stock_cached "$1" "$2")
	if [ -z "$dir" ]; then
		cache_lock "stock-$1-$2"
		dir=$(stock_cached "$1" "$2")
		[ -n "$dir" ] || stock_fetch "$3" "linux-image-${1/./[.]}[.+].*-$2-amd64"
		cache_unlock
		dir=$(stock_cached "$1" "$2")
	fi
	KRELEASE=$(basename "$dir")
	KIMAGE=$dir/boot/vmlinuz-$KRELEASE
	KDIR=$dir/usr/src/linux-headers-$KRELEASE
}

stock_fetch()
{
	local meta=$1 pattern=$2 image release common kbuild dir tmp

	packages_need gcc-12 libelf1 libssl3 pahole
	apt_update	# an old list names kernels that are gone
	image=$(package_depends "$meta" "$pattern")
	[ -n "$image" ] || die "Debian offers no $meta here"
	release=${image#linux-image-}
	common=$(package_depends "linux-headers-$release" 'linux-headers-.*-common(-rt)?')
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

# kernel_config NAME: the lines of the fragment that say something.  kcsan's is
# kunit's with some of the options in another way.
kernel_config()
{
	local files=("$VM/$1.config")

	[ "$1" != kcsan ] || files=("$VM/kunit.config" "${files[@]}")
	awk '
		match($0, /^(# )?CONFIG_[A-Za-z0-9_]+(=| is not set)/) {
			option = $0
			gsub(/^# |=.*| is not set$/, "", option)
			line[option] = $0
		}
		END { for (option in line) print line[option] }
	' "${files[@]}" | LC_ALL=C sort
}

# kernel_dir NAME: where the kernel of this fragment and compiler is kept.
kernel_dir()
{
	local key

	key=$({
		gcc --version | sed -n 1p
		kernel_config "$1"
	} | sha256sum | cut -c 1-12)
	echo "$CACHE/$1/$KSRC_VERSION-$key"
}

kunit_use()
{
	packages_need "${KERNEL_BUILD_PACKAGES[@]}"
	source_use
	kernel_built kunit 'about 8 minutes on 2 CPUs' bzImage modules
	KIMAGE=$KDIR/arch/x86/boot/bzImage
}

kcsan_use()
{
	packages_need "${KERNEL_BUILD_PACKAGES[@]}"
	source_use
	kernel_built kcsan 'about 10 minutes on 2 CPUs' bzImage modules
	KIMAGE=$KDIR/arch/x86/boot/bzImage
}

# uml_use: a kernel that is a program.  Its makefiles know the processor as x86_64
# only; uname has other names for some.
uml_use()
{
	packages_need "${KERNEL_BUILD_PACKAGES[@]}"
	source_use
	KMAKE=(ARCH=um SUBARCH=x86_64)
	kernel_built uml 'about 3 minutes on 2 CPUs' linux modules
	KIMAGE=$KDIR/linux
}

# kernel_built NAME TIME TARGET...: set KDIR and KRELEASE, and build it if need be.
kernel_built()
{
	local name=$1
	shift

	KDIR=$(kernel_dir "$name")
	if [ ! -e "$KDIR/.complete" ]; then
		cache_lock "$name"
		[ -e "$KDIR/.complete" ] || kernel_build "$name" "$@"
		cache_unlock
	fi
	KRELEASE=$(<"$KDIR/include/config/kernel.release")
}

kernel_build()
{
	local name=$1 time=$2 log=$BUILD/log/$1-kernel.log make
	shift 2

	make=(make -C "$KSRC" O="$KDIR" "${KMAKE[@]}")
	say "configuring the $name kernel $KSRC_VERSION in $KDIR"
	mkdir -p "$KDIR"
	logged "$log" "${make[@]}" tinyconfig
	kernel_config "$name" >"$KDIR/$name.config"
	logged "$log" env "${KMAKE[@]}" "$KSRC/scripts/kconfig/merge_config.sh" -m -O "$KDIR" \
		"$KDIR/.config" "$KDIR/$name.config"
	logged "$log" "${make[@]}" olddefconfig
	kernel_config_check "$name" "$KDIR/.config"

	say "building it, $time (log: $log)"
	with_progress "$log" 'objects built' '^  (CC|AS|LD|AR) ' \
		"${make[@]}" -j "$JOBS" "$@" ||
		{ tail -n 40 "$log" >&2; die "the kernel did not build, see $log"; }
	touch "$KDIR/.complete"
	say "the $name kernel is ready"
}

# kernel_config_check NAME FILE: what olddefconfig dropped or turned on again was
# wanted otherwise, and the tests would silently check less.
kernel_config_check()
{
	local line option bad=

	while read -r line; do
		case $line in
		CONFIG_*)
			grep -qxF -e "$line" "$2" || bad+=" $line" ;;
		'# CONFIG_'*)
			option=${line#\# }
			grep -q "^${option%% *}=" "$2" && bad+=" no-${option%% *}" ;;
		esac
	done < <(kernel_config "$1")
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
