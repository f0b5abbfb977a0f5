# SPDX-License-Identifier: GPL-2.0-only
#
# For people; what kbuild reads is Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build
SUITE ?=

.PHONY: modules modules_install goallocctl run test shell check clean help

modules: $(KDIR)/Makefile
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

modules_install: $(KDIR)/Makefile
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install

$(KDIR)/Makefile:
	@echo "No kernel headers in $(KDIR)." >&2
	@echo "Install linux-headers-$$(uname -r), or give KDIR=<headers or built kernel>." >&2
	@false

goallocctl: tools/goallocctl/goallocctl

tools/goallocctl/goallocctl: $(wildcard tools/goallocctl/*.[ch]) \
			     goalloc/include/uapi/linux/goalloc.h
	$(CC) -std=gnu11 -O2 -Wall -Wextra $(CFLAGS) -I goalloc/include/uapi \
		-o $@ $(filter %.c,$^) $(LDFLAGS)

run:
	@tools/vm/run.sh

test:
	@tools/vm/test.sh $(if $(SUITE),'$(SUITE)')

shell:
	@tools/vm/shell.sh

check:
	@tools/vm/check.sh

# Not through kbuild: this works without headers too.
clean:
	rm -rf build
	rm -f tools/goallocctl/goallocctl
	find . -path ./.git -prune -o \( -name '*.o' -o -name '*.ko' -o -name '*.mod' \
		-o -name '*.mod.c' -o -name '.*.cmd' -o -name '.*.o.d' -o -name .module-common.o \
		-o -name Module.symvers -o -name modules.order \) -type f -exec rm -f {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@echo 'In a virtual machine, nothing is installed on this one but Debian packages:'
	@echo '  make run               see it work: load, use and unload the module'
	@echo '  make test              every test: KUnit suites, then Debian 6.1 and 6.12'
	@echo '  make test SUITE=<name> one KUnit suite, or a pattern: goalloc_m*'
	@echo '  make shell             a shell in the virtual machine, module loaded'
	@echo ''
	@echo 'The module and its tool:'
	@echo '  make                   goalloc.ko for the running kernel'
	@echo '  make KDIR=<dir>        goalloc.ko for another one'
	@echo '  make modules_install   as kbuild does'
	@echo '  make goallocctl        the command line tool'
	@echo ''
	@echo '  make check             style, static checks, builds without warnings'
	@echo '  make clean             remove what was built here'
	@echo ''
	@echo 'Kernels are kept in $${XDG_CACHE_HOME:-$$HOME/.cache}/goalloc; removing that is safe.'
	@echo 'GOALLOC_CPUS (2), GOALLOC_MEMORY (1G), GOALLOC_ACCEL (tcg,thread=multi; kvm),'
	@echo 'GOALLOC_TIMEOUT (seconds for each guest) and GOALLOC_JOBS change the defaults.'
