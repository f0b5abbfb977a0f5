# SPDX-License-Identifier: GPL-2.0-only
#
# For people; what kbuild reads is Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build
SUITE ?=
QUICK ?=
KEEP ?=
SOAK ?= 3600

# Where install puts things; DESTDIR goes before all of it.
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d

# Where the tool and the library are built: beside their sources, or elsewhere.
BUILDDIR ?=
CTL := $(or $(BUILDDIR),tools/goallocctl)/goallocctl
LIBO := $(if $(BUILDDIR),$(abspath $(BUILDDIR))/lib,$(CURDIR)/tools/lib)

.PHONY: modules modules_install goallocctl lib install run test test-kcsan test-preempt soak programs bench shell check clean help

modules: $(KDIR)/Makefile
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

modules_install: $(KDIR)/Makefile
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install

$(KDIR)/Makefile:
	@echo "No kernel headers in $(KDIR)." >&2
	@echo "Install linux-headers-$$(uname -r), or give KDIR=<headers or built kernel>." >&2
	@false

goallocctl: $(CTL)

$(CTL): $(wildcard tools/goallocctl/*.[ch]) \
	goalloc/include/uapi/linux/goalloc.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -Wextra $(CFLAGS) -pthread -I goalloc/include/uapi \
		-o $@ $(filter %.c,$^) $(LDFLAGS)

lib:
	$(MAKE) -C tools/lib O=$(LIBO)

# The module is modules_install's.
install: goallocctl
	rm -f $(LIBO)/goalloc.pc	# it may name another prefix
	$(MAKE) -C tools/lib install O=$(LIBO) DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) \
		LIBDIR=$(LIBDIR) INCLUDEDIR=$(INCLUDEDIR) MANDIR=$(MANDIR)
	install -D -m 755 -t $(DESTDIR)$(BINDIR) $(CTL)
	install -D -m 644 -t $(DESTDIR)$(INCLUDEDIR)/linux goalloc/include/uapi/linux/goalloc.h
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man1 Documentation/goallocctl.1
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man4 Documentation/goalloc.4
	install -D -m 644 tools/goallocctl/completion.bash $(DESTDIR)$(COMPLETIONDIR)/goallocctl
	install -D -m 644 -t $(DESTDIR)$(UDEVDIR) tools/udev/60-goalloc.rules
	install -D -m 644 -t $(DESTDIR)$(SYSUSERSDIR) tools/udev/goalloc.conf

run:
	@tools/vm/run.sh

test:
	@tools/vm/test.sh $(if $(SUITE),'$(SUITE)')

# RUNS: some of what tools/vm/test.sh names, e.g. 6.12-rt-8cpu.
test-kcsan:
	@tools/vm/test.sh --kcsan $(if $(SUITE),'$(SUITE)')

test-preempt:
	@tools/vm/test.sh --preempt $(RUNS)

soak:
	@tools/vm/test.sh --soak $(SOAK)

programs:
	@tools/vm/test.sh --programs

bench:
	@QUICK=$(QUICK) KEEP=$(KEEP) tools/vm/bench.sh

shell:
	@tools/vm/shell.sh

check:
	@tools/vm/check.sh

# Not through kbuild: this works without headers too.
clean:
	rm -rf build
	rm -f tools/goallocctl/goallocctl
	$(MAKE) -s -C tools/lib clean
	find . -path ./.git -prune -o \( -name '*.o' -o -name '*.ko' -o -name '*.mod' \
		-o -name '*.mod.c' -o -name '.*.cmd' -o -name '.*.o.d' -o -name .module-common.o \
		-o -name Module.symvers -o -name modules.order \) -type f -exec rm -f {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@echo 'In a virtual machine, nothing is installed on this one but Debian packages:'
	@echo '  make run               see it work: load, use and unload the module'
	@echo '  make test              KUnit suites, selftests on Debian 6.1 and 6.12, programs'
	@echo '  make test SUITE=<name> one KUnit suite, or a pattern: goalloc_m*; one program of'
	@echo '                         tools/selftests; machines: those with a guest of their own'
	@echo '  make test-kcsan        data races: suites and selftests with KCSAN'
	@echo '  make test-preempt      selftests on PREEMPT_RT and with preempt=full, suites too, on'
	@echo '                         1, 2 and 8 CPUs; RUNS=6.12-rt-8cpu: one of them'
	@echo '  make soak              random work on 8 CPUs, and the fuzzer, for an hour;'
	@echo '                         SOAK=<seconds>, or SOAK=<operations>ops'
	@echo '  make programs          python3, sqlite3, gcc and sort with goalloc as malloc'
	@echo '  make bench             what goalloc costs beside its peers, in instructions,'
	@echo '                         nanoseconds, locks and bytes; QUICK=1: a few sizes'
	@echo '  make shell             a shell in the virtual machine, module loaded'
	@echo ''
	@echo 'The module, its tool and its library:'
	@echo '  make                   goalloc.ko for the running kernel'
	@echo '  make KDIR=<dir>        goalloc.ko for another one'
	@echo '  make modules_install   as kbuild does'
	@echo '  make goallocctl        the command line tool'
	@echo '  make lib               libgoalloc and libgoalloc-preload.so, in tools/lib'
	@echo '  make install           both, headers, man pages, completion and udev rule;'
	@echo '                         PREFIX=/usr/local, DESTDIR= and what the Makefile names'
	@echo ''
	@echo '  make check             style, static checks, builds without warnings'
	@echo '  make clean             remove what was built here'
	@echo ''
	@echo 'Kernels are kept in $${XDG_CACHE_HOME:-$$HOME/.cache}/goalloc; removing that is safe.'
	@echo 'GOALLOC_CPUS (2), GOALLOC_MEMORY (1G), GOALLOC_ACCEL (tcg,thread=multi; kvm),'
	@echo 'GOALLOC_TIMEOUT (seconds for each guest) and GOALLOC_JOBS change the defaults.'
