/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The ioctl interface of /dev/goalloc.
 *
 * Every open file is a heap of its own. An object's address is also its
 * offset in the file. Each struct begins with its own size and may grow at
 * its end: a caller sets @size to sizeof() of the struct it was built with,
 * the kernel accepts any size from ABI version 1's up, refuses a longer
 * struct whose unknown tail is not zero (E2BIG), and writes back no more than
 * the caller has room for. Fields after the "out" comment are written by the
 * kernel. The layout is one for 32- and 64-bit callers.
 */
#ifndef _UAPI_LINUX_GOALLOC_H
#define _UAPI_LINUX_GOALLOC_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GOALLOC_ABI_VERSION	1

#define GOALLOC_IOC_MAGIC	0xB9

#define GOALLOC_IOC_INFO	_IO(GOALLOC_IOC_MAGIC, 0x00)
#define GOALLOC_IOC_ALLOC	_IO(GOALLOC_IOC_MAGIC, 0x01)
#define GOALLOC_IOC_FREE	_IO(GOALLOC_IOC_MAGIC, 0x02)
#define GOALLOC_IOC_ALLOC_BATCH	_IO(GOALLOC_IOC_MAGIC, 0x03)
#define GOALLOC_IOC_FREE_BATCH	_IO(GOALLOC_IOC_MAGIC, 0x04)
#define GOALLOC_IOC_QUERY	_IO(GOALLOC_IOC_MAGIC, 0x05)
#define GOALLOC_IOC_SET_PARAM	_IO(GOALLOC_IOC_MAGIC, 0x06)
#define GOALLOC_IOC_GET_PARAM	_IO(GOALLOC_IOC_MAGIC, 0x07)
#define GOALLOC_IOC_MEMSTATS	_IO(GOALLOC_IOC_MAGIC, 0x08)
#define GOALLOC_IOC_SCAVENGE	_IO(GOALLOC_IOC_MAGIC, 0x09)
#define GOALLOC_IOC_SET_NAME	_IO(GOALLOC_IOC_MAGIC, 0x0a)	/* GOALLOC_FEATURE_NAME */

/* goalloc_info.features: what there is beyond ABI version 1. */
#define GOALLOC_FEATURE_NAME	0x1	/* GOALLOC_IOC_SET_NAME */
#define GOALLOC_FEATURE_SEEK	0x2	/* lseek() with SEEK_DATA and SEEK_HOLE */
#define GOALLOC_FEATURE_POLL	0x4	/* poll(): POLLPRI at the soft limit */

/* Allocation flags. */
#define GOALLOC_SCAN	0x1	/* the object may hold pointers */
#define GOALLOC_UNINIT	0x2	/* the memory need not be zeroed */

/* goalloc_param.id */
#define GOALLOC_PARAM_LIMIT		1	/* soft limit of the memory held, in bytes */
#define GOALLOC_PARAM_MAX		2	/* hard limit of the pages in spans, in bytes */
#define GOALLOC_PARAM_GC_PERCENT	3	/* GOGC: 0 to GOALLOC_GC_PERCENT_MAX */

/* No limit; the collector is off; all that is idle. */
#define GOALLOC_NO_LIMIT	(~(__u64)0)

#define GOALLOC_GC_PERCENT_MAX	100000

/* Bytes of a heap's name, its terminating NUL included. */
#define GOALLOC_NAME_MAX	48

/* goalloc_query.state */
#define GOALLOC_QUERY_FREE	0	/* a free slot */
#define GOALLOC_QUERY_LIVE	1	/* a live object */
#define GOALLOC_QUERY_TINY	2	/* a live object in a tiny block */

/* The address of every object of 0 bytes. Freeing it always succeeds. */
#define GOALLOC_ZERO_ADDR	0x10

/* Size classes, class 0 (large objects) included. */
#define GOALLOC_BY_SIZE_MAX	68

/**
 * struct goalloc_info - what this heap and this module can do
 * @size: sizeof(struct goalloc_info) of the caller
 * @abi_version: GOALLOC_ABI_VERSION of the module
 * @features: a bit for each capability beyond ABI version 1
 * @heap_base: the lowest address an object can have
 * @heap_max: bytes of address space from @heap_base on
 * @page_size: bytes of a heap page
 * @max_small_size: the largest object that comes from a size class, in bytes
 * @num_size_classes: size classes, class 0 included
 * @batch_max: the most objects one batch may have
 */
struct goalloc_info {
	__u32 size;
	/* out */
	__u32 abi_version;
	__u64 features;
	__u64 heap_base;
	__u64 heap_max;
	__u32 page_size;
	__u32 max_small_size;
	__u32 num_size_classes;
	__u32 batch_max;
};

/**
 * struct goalloc_alloc - make an object
 * @size: sizeof(struct goalloc_alloc) of the caller
 * @flags: GOALLOC_SCAN, GOALLOC_UNINIT
 * @bytes: how many bytes are wanted; 0 gives GOALLOC_ZERO_ADDR
 * @align: 0, or a power of two up to 2 MiB
 * @addr: the object's address
 * @usable: how many bytes of it may be used, at least @bytes
 */
struct goalloc_alloc {
	__u32 size;
	__u32 flags;
	__u64 bytes;
	__u64 align;
	/* out */
	__u64 addr;
	__u64 usable;
};

/**
 * struct goalloc_free - free an object
 * @size: sizeof(struct goalloc_free) of the caller
 * @flags: 0
 * @addr: the object's first byte
 */
struct goalloc_free {
	__u32 size;
	__u32 flags;
	__u64 addr;
};

/**
 * struct goalloc_batch - make or free many objects
 * @size: sizeof(struct goalloc_batch) of the caller
 * @flags: as in struct goalloc_alloc; 0 for GOALLOC_IOC_FREE_BATCH
 * @sizes: address of @count __u64: how many bytes each object is to have; 0
 *	for GOALLOC_IOC_FREE_BATCH
 * @addrs: address of @count __u64: where the objects' addresses go, or what is
 *	to be freed
 * @count: 1 to batch_max of struct goalloc_info
 * @done: how many objects were made or freed; less than @count when one could
 *	not be
 */
struct goalloc_batch {
	__u32 size;
	__u32 flags;
	__u64 sizes;
	__u64 addrs;
	__u32 count;
	/* out */
	__u32 done;
};

/**
 * struct goalloc_query - what lies at an address
 * @size: sizeof(struct goalloc_query) of the caller
 * @flags: 0
 * @addr: any address inside an object
 * @base: the object's first byte
 * @usable: its bytes from @base on; a tiny object's run to the next one's
 *	beginning or the end of the block
 * @span_base: the first byte of the span it lies in
 * @span_pages: the span's length in heap pages
 * @spanclass: Go's: size class << 1 | noscan
 * @state: GOALLOC_QUERY_FREE, _LIVE or _TINY
 * @reserved: 0
 */
struct goalloc_query {
	__u32 size;
	__u32 flags;
	__u64 addr;
	/* out */
	__u64 base;
	__u64 usable;
	__u64 span_base;
	__u32 span_pages;
	__u32 spanclass;
	__u32 state;
	__u32 reserved;
};

/**
 * struct goalloc_param - a parameter of the heap
 * @size: sizeof(struct goalloc_param) of the caller
 * @id: GOALLOC_PARAM_LIMIT, _MAX or _GC_PERCENT
 * @value: what it is to be, or what it is; GOALLOC_NO_LIMIT for none
 */
struct goalloc_param {
	__u32 size;
	__u32 id;
	__u64 value;
};

/**
 * struct goalloc_scavenge - give idle memory back to the system
 * @size: sizeof(struct goalloc_scavenge) of the caller
 * @flags: 0
 * @bytes: how much is wanted; GOALLOC_NO_LIMIT for all that is idle
 * @released: how much was given back: at least @bytes, rounded up to heap
 *	pages, unless less was idle
 */
struct goalloc_scavenge {
	__u32 size;
	__u32 flags;
	__u64 bytes;
	/* out */
	__u64 released;
};

/**
 * struct goalloc_name - name the heap
 * @size: sizeof(struct goalloc_name) of the caller
 * @flags: 0
 * @name: not empty, ended by a NUL, no control characters
 */
struct goalloc_name {
	__u32 size;
	__u32 flags;
	__u8 name[GOALLOC_NAME_MAX];
};

/**
 * struct goalloc_by_size - a size class in the books
 * @object_size: bytes of a slot
 * @reserved: 0
 * @mallocs: slots handed out since the heap was made
 * @frees: slots that came back
 */
struct goalloc_by_size {
	__u32 object_size;
	__u32 reserved;
	__u64 mallocs;
	__u64 frees;
};

/**
 * struct goalloc_memstats - the books, named as Go's MemStats names them
 * @size: sizeof(struct goalloc_memstats) of the caller
 * @by_size_count: entries of @by_size, GOALLOC_BY_SIZE_MAX
 * @alloc: bytes of live objects, as @heap_alloc
 * @total_alloc: bytes of all objects ever made
 * @sys: bytes obtained in all, the sum of the _sys fields
 * @lookups: addresses looked up for QUERY
 * @mallocs: objects made, each tiny object counted
 * @frees: objects freed, each tiny object counted
 * @heap_alloc: bytes of live objects, rounding to size classes included
 * @heap_sys: bytes of address space in use or idle
 * @heap_idle: bytes in no span
 * @heap_inuse: bytes in spans
 * @heap_released: bytes of @heap_idle that no memory stands behind
 * @heap_objects: live objects, @mallocs - @frees
 * @stack_inuse: 0, there are no stacks in a heap
 * @stack_sys: 0
 * @mspan_inuse: bytes of span records in use
 * @mspan_sys: bytes of span records obtained
 * @mcache_inuse: bytes of per-CPU caches in use
 * @mcache_sys: bytes of per-CPU caches obtained
 * @buck_hash_sys: 0, there is no profiling hash table
 * @gc_sys: bytes of arena, chunk and page-allocator tables and mark bits
 * @other_sys: bytes of everything else the heap consists of
 * @next_gc: ~0 while no collection is planned
 * @last_gc: end of the last sweep cycle begun, ns since 1970, or 0
 * @pause_total_ns: ns the heap stood still for cycles
 * @num_gc: cycles begun
 * @num_forced_gc: cycles begun by request
 * @gc_cpu_fraction: parts per million of CPU time spent collecting
 * @enable_gc: 1 if a collector runs
 * @by_size: one entry a size class
 */
struct goalloc_memstats {
	__u32 size;
	/* out */
	__u32 by_size_count;
	__u64 alloc;
	__u64 total_alloc;
	__u64 sys;
	__u64 lookups;
	__u64 mallocs;
	__u64 frees;
	__u64 heap_alloc;
	__u64 heap_sys;
	__u64 heap_idle;
	__u64 heap_inuse;
	__u64 heap_released;
	__u64 heap_objects;
	__u64 stack_inuse;
	__u64 stack_sys;
	__u64 mspan_inuse;
	__u64 mspan_sys;
	__u64 mcache_inuse;
	__u64 mcache_sys;
	__u64 buck_hash_sys;
	__u64 gc_sys;
	__u64 other_sys;
	__u64 next_gc;
	__u64 last_gc;
	__u64 pause_total_ns;
	__u64 num_gc;
	__u64 num_forced_gc;
	__u64 gc_cpu_fraction;
	__u64 enable_gc;
	struct goalloc_by_size by_size[GOALLOC_BY_SIZE_MAX];
};

#endif /* _UAPI_LINUX_GOALLOC_H */
