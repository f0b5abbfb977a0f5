# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make shell: the module is loaded, the rest is up to you.

insmod /goalloc.ko
cat <<'END'

  goalloc is loaded.  The books:   cat /sys/kernel/debug/goalloc/heaps/0/summary
                      The tool:    goallocctl --help
                      To end:      exit (or Ctrl-A x)

END
cd /root || :
setsid cttyhack sh
