/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters that one writes at a time, who holds a lock or owns them, and anybody
 * may read with READ_ONCE().
 */
#ifndef GOALLOC_COUNTER_H
#define GOALLOC_COUNTER_H

#include <linux/compiler.h>

/*
 * Adds to one. It stands for a WRITE_ONCE(), for which the compiler makes a load, an
 * addition and a store out of the one instruction that an aligned word takes. KCSAN is
 * shown the WRITE_ONCE(), and that what it adds to is read plainly: so a second
 * writer, whose counts would be lost, is a race to it.
 */
#ifdef CONFIG_KCSAN
#define one_writer_add(counter, n)				\
do {								\
	typeof(counter) *__counter = &(counter);		\
								\
	WRITE_ONCE(*__counter, *__counter + (n));		\
} while (0)
#else
#define one_writer_add(counter, n)	((counter) += (n))
#endif

#endif /* GOALLOC_COUNTER_H */
