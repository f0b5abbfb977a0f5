/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs: what can be called with what, making them up, changing them, and their
 * text.
 */
#ifndef FUZZ_PROGRAM_H
#define FUZZ_PROGRAM_H

#include "fuzz_memory.h"

enum type {
	NONE,
	FD,		/* one of the program's heaps */
	STRUCT_SIZE,	/* of an ioctl, see below */
	MEM,		/* where something lies, see fuzz_memory.h */
	FLAGS,
	SIZE,		/* of an object */
	ALIGN,
	ADDR,		/* of an object, or nearly, see below */
	COUNT,		/* of a batch */
	ID,		/* of a parameter */
	VALUE,		/* of one */
	LEN,		/* to read or write */
	MAP,		/* one of the program's mappings */
	PROT,
	ADVICE,
	FILES,		/* one of the program's files of debugfs */
	NAME,		/* of a file there */
	SMALL,		/* below 16 */
	BITS,		/* any */
};

/* The struct's own size; the bytes behind what the kernel knows are not 0. */
#define SIZE_NATURAL	(1ULL << 32)
#define SIZE_TAIL	(1ULL << 33)

/* Bits 56 up: an object of so many below, anything. Below 48 and signed: from there. */
#define ADDR_OBJECT	0ULL
#define ADDR_BASE	1ULL
#define ADDR_RAW	2ULL
#define ADDR_MAKE(kind, object, delta)						\
	((kind) << 56 | (uint64_t)(object) << 48 | ((uint64_t)(delta) & 0xffffffffffffULL))

/* What madvise() may be asked for; no page is to be taken for broken. */
static const int advices[] = {
	MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE,
	MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE,
	MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD,
	MADV_PAGEOUT, 22 /* POPULATE_READ */, 23 /* POPULATE_WRITE */, 24 /* DONTNEED_LOCKED */,
	25 /* COLLAPSE */, 99,
};

#define OP_ALLOC	1	/* makes something for others */
#define OP_RARE		2
#define OP_SELDOM	4	/* takes its time */

enum {
	OP_open, OP_close, OP_dup, OP_info, OP_alloc, OP_free, OP_alloc_batch, OP_free_batch,
	OP_query, OP_set_param, OP_get_param, OP_memstats, OP_scavenge, OP_set_name,
	OP_unknown, OP_pread, OP_pwrite, OP_preadv, OP_pwritev, OP_seek, OP_read, OP_write,
	OP_poll, OP_fdinfo, OP_misc, OP_splice, OP_map, OP_unmap, OP_remap, OP_protect,
	OP_advise, OP_sync, OP_lock, OP_load, OP_store, OP_remote, OP_look, OP_futex, OP_pass,
	OP_fly, OP_child, OP_tree_open, OP_tree_read, OP_tree_write, OP_tree_close, OP_machine,
	OP_ring, OP_signal, OP_join, OP_wait,
	NUM_OPS,
};

static const struct op {
	const char *name;
	unsigned int flags;
	uint8_t type[MAX_ARGS];
} ops[NUM_OPS] = {
	[OP_open] = { "open", OP_RARE, { FD } },
	[OP_close] = { "close", 0, { FD } },
	[OP_dup] = { "dup", 0, { FD, FD } },
	[OP_info] = { "info", OP_RARE, { FD, STRUCT_SIZE, MEM } },
	[OP_alloc] = { "alloc", OP_ALLOC, { FD, STRUCT_SIZE, MEM, FLAGS, SIZE, ALIGN } },
	[OP_free] = { "free", OP_ALLOC, { FD, STRUCT_SIZE, MEM, FLAGS, ADDR } },
	[OP_alloc_batch] = { "alloc_batch", OP_ALLOC,
		{ FD, STRUCT_SIZE, MEM, FLAGS, COUNT, BITS, MEM, MEM } },
	[OP_free_batch] = { "free_batch", OP_ALLOC,
		{ FD, STRUCT_SIZE, MEM, FLAGS, COUNT, BITS, MEM } },
	[OP_query] = { "query", 0, { FD, STRUCT_SIZE, MEM, FLAGS, ADDR } },
	[OP_set_param] = { "set_param", 0, { FD, STRUCT_SIZE, MEM, ID, VALUE } },
	[OP_get_param] = { "get_param", OP_RARE, { FD, STRUCT_SIZE, MEM, ID } },
	[OP_memstats] = { "memstats", OP_RARE, { FD, STRUCT_SIZE, MEM } },
	[OP_scavenge] = { "scavenge", 0, { FD, STRUCT_SIZE, MEM, FLAGS, VALUE } },
	[OP_set_name] = { "set_name", OP_RARE, { FD, STRUCT_SIZE, MEM, FLAGS, BITS } },
	[OP_unknown] = { "unknown", OP_RARE, { FD, BITS, MEM } },
	[OP_pread] = { "pread", 0, { FD, ADDR, LEN, MEM } },
	[OP_pwrite] = { "pwrite", OP_ALLOC, { FD, ADDR, LEN, MEM } },
	[OP_preadv] = { "preadv", 0, { FD, ADDR, LEN, MEM, LEN, MEM } },
	[OP_pwritev] = { "pwritev", 0, { FD, ADDR, LEN, MEM, LEN, MEM } },
	[OP_seek] = { "seek", 0, { FD, ADDR, SMALL } },
	[OP_read] = { "read", OP_RARE, { FD, LEN, MEM } },
	[OP_write] = { "write", OP_RARE, { FD, LEN, MEM } },
	[OP_poll] = { "poll", OP_RARE, { FD, SMALL } },
	[OP_fdinfo] = { "fdinfo", OP_RARE, { FD } },
	[OP_misc] = { "misc", 0, { FD, SMALL, ADDR, LEN } },
	[OP_splice] = { "splice", OP_RARE, { FD, ADDR, LEN, SMALL } },
	[OP_map] = { "map", OP_ALLOC, { MAP, FD, ADDR, SIZE, PROT, SMALL } },
	[OP_unmap] = { "unmap", 0, { MAP, ADDR, SIZE } },
	[OP_remap] = { "remap", 0, { MAP, SIZE, SMALL } },
	[OP_protect] = { "protect", 0, { MAP, ADDR, LEN, PROT } },
	[OP_advise] = { "advise", 0, { MAP, ADDR, SIZE, ADVICE } },
	[OP_sync] = { "sync", OP_RARE, { MAP, ADDR, SIZE, SMALL } },
	[OP_lock] = { "lock", OP_RARE, { MAP, ADDR, LEN, SMALL } },
	[OP_load] = { "load", 0, { MAP, ADDR } },
	[OP_store] = { "store", OP_ALLOC, { MAP, ADDR, BITS } },
	[OP_remote] = { "remote", OP_RARE, { MAP, ADDR, LEN, SMALL } },
	[OP_look] = { "look", OP_RARE, { MAP, SMALL } },
	[OP_futex] = { "futex", OP_RARE, { MAP, ADDR, SMALL } },
	[OP_pass] = { "pass", OP_RARE, { FD, FD } },
	[OP_fly] = { "fly", OP_RARE, { FD } },
	[OP_child] = { "child", OP_SELDOM, { SMALL, BITS } },
	[OP_tree_open] = { "tree_open", 0, { FILES, FD, NAME } },
	[OP_tree_read] = { "tree_read", 0, { FILES, LEN, MEM, VALUE } },
	[OP_tree_write] = { "tree_write", 0, { FILES, VALUE, MEM, SMALL } },
	[OP_tree_close] = { "tree_close", 0, { FILES } },
	[OP_machine] = { "machine", OP_SELDOM, { SMALL, VALUE } },
	[OP_ring] = { "ring", 0, { FD, ADDR, LEN, MEM, SMALL } },
	[OP_signal] = { "signal", OP_RARE, { SMALL } },
	[OP_join] = { "join", OP_RARE, { SMALL } },
	[OP_wait] = { "wait", OP_RARE, { LEN } },
};

static inline uint64_t below(uint64_t *rnd, uint64_t n)
{
	return dev_random(rnd) % n;
}

static inline bool one_in(uint64_t *rnd, uint64_t n)
{
	return !below(rnd, n);
}

/* Near a power of two. */
static uint64_t draw_edge(uint64_t *rnd, unsigned int bits)
{
	return (1ULL << below(rnd, bits)) + below(rnd, 3) - 1;
}

static uint64_t draw_size(uint64_t *rnd)
{
	switch (below(rnd, 16)) {
	case 0:
		return below(rnd, 3);
	case 1 ... 4:
		return below(rnd, 17);
	case 5 ... 8:
		return below(rnd, 2048);
	case 9 ... 10:
		return below(rnd, 32770);
	case 11:
		return draw_edge(rnd, 24);
	case 12:
		return DEV_PAGE * below(rnd, 64);
	case 13:
		return below(rnd, 16 * DEV_MIB);
	case 14:
		return draw_edge(rnd, 33);
	default:
		if (!one_in(rnd, 16))
			return below(rnd, 64 * DEV_MIB);
		return one_in(rnd, 2) ? draw_edge(rnd, 64) : DEV_SPACE - below(rnd, 3) * DEV_PAGE;
	}
}

static uint64_t draw_address(uint64_t *rnd)
{
	static const int64_t deltas[] = {
		1, 7, 8, 16, -1, -8, 64, 4095, 4096, 8191, 8192, 8193, -8192, 32768, 65536,
		DEV_MIB, 4 * DEV_MIB, 64 * DEV_MIB,
	};
	static const uint64_t raw[] = {
		0, 1, 0x10, 0x11, DEV_BASE - 1, DEV_BASE + DEV_SPACE - 1, DEV_BASE + DEV_SPACE,
		0x7fffffffffffULL, 0xffffffffffffULL,
	};
	uint64_t object = below(rnd, one_in(rnd, 4) ? NUM_OBJECTS : 4);

	switch (below(rnd, 16)) {
	case 0 ... 9:
		return ADDR_MAKE(ADDR_OBJECT, object, 0);
	case 10 ... 12:
		return ADDR_MAKE(ADDR_OBJECT, object, deltas[below(rnd, ARRAY_SIZE(deltas))]);
	case 13:
		return ADDR_MAKE(ADDR_BASE, 0, DEV_PAGE * below(rnd, 64));
	case 14:
		return ADDR_MAKE(ADDR_BASE, 0, below(rnd, 1ULL << below(rnd, 41)));
	default:
		return ADDR_MAKE(ADDR_RAW, 0, raw[below(rnd, ARRAY_SIZE(raw))]);
	}
}

static uint64_t draw_mem(uint64_t *rnd)
{
	uint64_t kind = one_in(rnd, 2) ? MEM_PLAIN : below(rnd, NUM_MEMORIES);
	uint64_t before = one_in(rnd, 2) ? 0 : one_in(rnd, 2) ? 8 * below(rnd, 8) : below(rnd, 256);

	if (kind == MEM_ENDS && !before)
		before = 4 + below(rnd, 64);
	return kind | before << 8 | below(rnd, 2) << 16 | below(rnd, NUM_MAPS) << 24 |
	       below(rnd, 4) << 32 | below(rnd, 1 << 16) << 40;
}

static uint64_t draw_struct_size(uint64_t *rnd)
{
	static const uint32_t sizes[] = {
		0, 4, 8, 15, 16, 17, 23, 24, 25, 32, 39, 40, 41, 48, 55, 56, 57, 64, 96, 1864,
		1871, 1872, 1880, 4096, 65535, 65536, 65537, 0x80000000U, 0xffffffffU,
	};

	if (!one_in(rnd, 5))
		return SIZE_NATURAL;
	return sizes[below(rnd, ARRAY_SIZE(sizes))] | (one_in(rnd, 3) ? SIZE_TAIL : 0);
}

static uint64_t draw_value(uint64_t *rnd)
{
	switch (below(rnd, 6)) {
	case 0:
		return 0;
	case 1:
		return ~0ULL;
	case 2:
		return below(rnd, 200000);
	case 3:
		return below(rnd, 4 * DEV_MIB);
	case 4:
		return draw_edge(rnd, 40);
	default:
		return below(rnd, 16) * DEV_PAGE;
	}
}

static uint64_t draw(enum type type, uint64_t *rnd)
{
	switch (type) {
	case FD:
		return one_in(rnd, 3) ? below(rnd, NUM_FDS) : 0;
	case STRUCT_SIZE:
		return draw_struct_size(rnd);
	case MEM:
		return draw_mem(rnd);
	case FLAGS:
		return one_in(rnd, 2) ? 0 : one_in(rnd, 8) ? 1U << below(rnd, 32) : below(rnd, 4);
	case SIZE:
		return draw_size(rnd);
	case ALIGN:
		return !one_in(rnd, 4) ? 0 : one_in(rnd, 4) ? draw_edge(rnd, 63) :
					     1ULL << below(rnd, 22);
	case ADDR:
		return draw_address(rnd);
	case COUNT:
		switch (below(rnd, 6)) {
		case 0 ... 2:
			return 1 + below(rnd, 16);
		case 3:
			return 63 + below(rnd, 3);
		case 4:
			return below(rnd, 1026);
		default:
			return one_in(rnd, 3) ? dev_random(rnd) : 1024;
		}
	case ID:
		return one_in(rnd, 8) ? dev_random(rnd) >> below(rnd, 64) : 1 + below(rnd, 3);
	case VALUE:
		return draw_value(rnd);
	case LEN:
		return one_in(rnd, 2) ? below(rnd, 64) : one_in(rnd, 2) ? below(rnd, 20000) :
								       draw_edge(rnd, 17);
	case MAP:
		return one_in(rnd, 3) ? below(rnd, NUM_MAPS) : 0;
	case PROT:
		return one_in(rnd, 4) ? below(rnd, 8) : PROT_READ | PROT_WRITE;
	case ADVICE:
		return below(rnd, ARRAY_SIZE(advices));
	case FILES:
		return below(rnd, NUM_FILES);
	case NAME:
		return below(rnd, 64);
	case SMALL:
		return below(rnd, 16);
	case BITS:
		return dev_random(rnd);
	default:
		return 0;
	}
}

static unsigned int draw_op(uint64_t *rnd)
{
	unsigned int op;

	for (;;) {
		op = below(rnd, NUM_OPS);
		if (ops[op].flags & OP_RARE && !one_in(rnd, 3))
			continue;
		if (ops[op].flags & OP_SELDOM && !one_in(rnd, 8))
			continue;
		if (ops[op].flags & OP_ALLOC || one_in(rnd, 2))
			return op;
	}
}

static struct call draw_call(unsigned int op, uint64_t *rnd)
{
	struct call call = { .op = op, .racing = one_in(rnd, 6) };
	int i;

	for (i = 0; i < MAX_ARGS; i++)
		call.arg[i] = draw(ops[op].type[i], rnd);
	return call;
}

/* One that has a heap with something in it. */
static void program_make(struct program *p, uint64_t *rnd)
{
	uint32_t n = 4 + below(rnd, MAX_CALLS - 3);

	p->n = 0;
	p->call[p->n++] = (struct call) { .op = OP_open };
	if (one_in(rnd, 2))
		p->call[p->n++] = (struct call) {
			.op = OP_map, .arg = { 0, 0, ADDR_MAKE(ADDR_BASE, 0, 0), DEV_SPACE,
					       PROT_READ | PROT_WRITE, 0 },
		};
	while (p->n < n) {
		unsigned int op = p->n < 4 ? (unsigned int)OP_alloc : draw_op(rnd);

		p->call[p->n++] = draw_call(op, rnd);
	}
}

static void program_insert(struct program *p, uint32_t at, struct call call)
{
	if (p->n == MAX_CALLS)
		return;
	memmove(&p->call[at + 1], &p->call[at], (p->n - at) * sizeof(call));
	p->call[at] = call;
	p->n++;
}

static void program_remove(struct program *p, uint32_t at)
{
	if (p->n < 2)
		return;
	p->n--;
	memmove(&p->call[at], &p->call[at + 1], (p->n - at) * sizeof(p->call[0]));
}

static void call_change(struct call *call, uint64_t *rnd)
{
	unsigned int i, n = 0;

	while (n < MAX_ARGS && ops[call->op].type[n] != NONE)
		n++;
	if (!n || one_in(rnd, 8)) {
		call->racing ^= 1;
		return;
	}
	i = below(rnd, n);
	switch (below(rnd, 8)) {
	case 0:
		call->arg[i] += below(rnd, 17) - 8;
		break;
	case 1:
		call->arg[i] ^= 1ULL << below(rnd, 64);
		break;
	default:
		call->arg[i] = draw(ops[call->op].type[i], rnd);
	}
}

/* From @at on as another one goes on from somewhere. */
static void program_cross(struct program *p, const struct program *with, uint64_t *rnd)
{
	uint32_t at = 1 + below(rnd, p->n), from = below(rnd, with->n);

	for (p->n = at; p->n < MAX_CALLS && from < with->n; from++)
		p->call[p->n++] = with->call[from];
}

static void program_change(struct program *p, const struct program *with, uint64_t *rnd)
{
	unsigned int times = 1 + below(rnd, 4);

	while (times--) {
		uint32_t at = below(rnd, p->n);

		switch (below(rnd, 10)) {
		case 0 ... 4:
			call_change(&p->call[at], rnd);
			break;
		case 5 ... 6:
			program_insert(p, at, draw_call(draw_op(rnd), rnd));
			break;
		case 7:
			program_remove(p, at);
			break;
		case 8:
			program_insert(p, at, p->call[below(rnd, p->n)]);
			break;
		default:
			program_cross(p, with, rnd);
		}
	}
}

static void program_text(const struct program *p, char *text, size_t room)
{
	size_t at = 0;
	uint32_t i;
	int k;

	*text = '\0';
	for (i = 0; i < p->n && room - at > 256; i++) {
		const struct call *call = &p->call[i];

		at += snprintf(text + at, room - at, "%s%s%s", i ? ";" : "",
			       call->racing ? "&" : "", ops[call->op].name);
		for (k = 0; k < MAX_ARGS && ops[call->op].type[k] != NONE; k++)
			at += snprintf(text + at, room - at, "%c%" PRIx64, k ? ',' : ' ',
				       call->arg[k]);
	}
}

/*
 * What is run first, so that all parts have been entered before chance begins:
 * 100000000 is a struct's own size, 1000000000000 the second object known.
 */
static const char *const first_programs[] = {
	/* Every ioctl. */
	"open 0;info 0,100000000,0;alloc 0,100000000,0,0,40,0;query 0,100000000,0,0,0;"
	"get_param 0,100000000,0,1;memstats 0,100000000,0;set_name 0,100000000,0,0,f000000000000003;"
	"free 0,100000000,0,0,0;free 0,100000000,0,0,0;scavenge 0,100000000,0,0,ffffffffffffffff;"
	"unknown 0,3f,0;fdinfo 0;seek 0,100000000000000,3;seek 0,100000000000000,4;poll 0,1",
	/* Tiny objects. */
	"open 0;alloc 0,100000000,0,0,1,0;alloc 0,100000000,0,0,2,0;alloc 0,100000000,0,0,4,0;"
	"alloc 0,100000000,0,0,8,0;query 0,100000000,0,0,1000000000000;free 0,100000000,0,0,0;"
	"free 0,100000000,0,0,1000000000000;free 0,100000000,0,0,1000000000000;"
	"free 0,100000000,0,0,2000000000000;free 0,100000000,0,0,3000000000000",
	/* Batches, and memory given back. */
	"open 0;alloc_batch 0,100000000,0,0,400,1,0,0;alloc_batch 0,100000000,0,1,100,3,0,0;"
	"alloc_batch 0,100000000,0,0,40,4,0,0;free_batch 0,100000000,0,0,20,0,0;"
	"scavenge 0,100000000,0,0,10000;scavenge 0,100000000,0,0,ffffffffffffffff;"
	"alloc_batch 0,100000000,0,2,400,7,0,0;memstats 0,100000000,0",
	/* Large objects by a mapping: touched, freed, touched again. */
	"open 0;map 0,0,100000000000000,10000000000,3,0;alloc 0,100000000,0,0,100000,0;"
	"alloc 0,100000000,0,0,500000,200000;store 0,0,1122;store 0,1000000000000,1122;"
	"store 0,1000000010000,7;load 0,1000000000000;free 0,100000000,0,0,0;load 0,0;"
	"alloc 0,100000000,0,0,f0000,0;load 0,2000000000000;free 0,100000000,0,0,1000000000000;"
	"scavenge 0,100000000,0,0,ffffffffffffffff;alloc 0,100000000,0,0,6000000,0;"
	"unmap 0,0,2000;advise 0,1000000000000,100000,4;lock 0,2000000000000,8000,0",
	/* Limits. */
	"open 0;set_param 0,100000000,0,2,100000;alloc 0,100000000,0,0,200000,0;"
	"set_param 0,100000000,0,1,40000;alloc 0,100000000,0,0,40000,0;pwrite 0,0,10000,0;"
	"alloc 0,100000000,0,0,20000,0;pwrite 0,1000000000000,8000,0;free 0,100000000,0,0,0;"
	"set_param 0,100000000,0,1,2000;alloc 0,100000000,0,0,10000,0;pwrite 0,2000000000000,8000,0;"
	"poll 0,1;set_param 0,100000000,0,3,64",
	/* Every way to read and write. */
	"open 0;alloc 0,100000000,0,0,10000,0;pwrite 0,0,3000,0;pread 0,0,3000,0;"
	"pwritev 0,100,1000,0,1000,0;preadv 0,100,1000,0,1000,0;seek 0,0,0;read 0,100,0;"
	"write 0,100,0;ring 0,0,1000,0,0;ring 0,0,1000,0,5;splice 0,0,1000,0;splice 0,0,1000,4;"
	"pread 0,0,4000,105;pwrite 0,0,4000,105;pwrite 0,8000,4000,3",
	/* debugfs, read and written. */
	"open 0;alloc_batch 0,100000000,0,0,100,2,0,0;tree_open 0,0,0;tree_read 0,4000,0,0;"
	"tree_open 1,0,1;tree_read 1,4000,0,0;tree_open 2,0,2;tree_read 2,4000,0,0;tree_open 0,0,9;"
	"tree_read 0,4000,0,0;tree_open 1,0,a;tree_read 1,4000,0,0;tree_open 2,0,b;tree_read 2,4000,0,0;"
	"tree_open 0,0,c;tree_read 0,4000,0,0;tree_open 1,0,d;tree_read 1,4000,0,0;tree_open 2,0,e;"
	"tree_read 2,4000,0,0;close 0;tree_read 2,4000,0,1",
	"open 0;alloc_batch 0,100000000,0,0,10,2,0,0;tree_open 0,0,3;tree_write 0,5,0,a;"
	"tree_read 0,40,0,1;tree_open 1,0,4;tree_write 1,100000,0,0;tree_read 1,40,0,1;tree_open 2,0,7;"
	"tree_write 2,0,0,3;tree_open 0,0,8;tree_read 0,4000,0,0;tree_open 1,0,f;tree_read 1,4000,0,0;"
	"tree_open 2,0,10;tree_read 2,40,0,0;tree_open 0,0,3f;tree_read 0,40,0,0;tree_close 0",
	/* Copies that fail, stand still, and those who wait for them killed. */
	"open 0;alloc 0,100000000,901,0,40,0;alloc 0,100000000,2002,0,40,0;alloc 0,100000000,4,0,40,0;"
	"alloc 0,100000000,2003,0,40,0;alloc_batch 0,100000000,4,0,64,1,0,0;"
	"alloc_batch 0,100000000,0,0,64,1,0,2001;alloc_batch 0,100000000,0,0,64,1,11003,3;"
	"child 0,400001;alloc_batch 0,100000000,0,0,100,1,3,0;child 0,400001;"
	"alloc 0,100000000,4,0,40,0;child 0,400001;free_batch 0,100000000,0,0,8,0,3",
	/* What races. */
	"open 0;&alloc_batch 0,100000000,0,0,100,1,3,3;close 0;open 0;map 0,0,0,10000000000,3,1;"
	"alloc 0,100000000,0,0,20000,0;&pwrite 0,0,8000,3;free 0,100000000,0,0,0;"
	"&advise 0,0,20000,4;store 0,0,1;&alloc 0,100000000,6,0,40,0;&unmap 0,0,20000;"
	"pass 0,1;fly 1;dup 0,2;child 2,3;alloc 2,100000000,0,0,100,0;free 0,100000000,0,0,0",
	/* The struct goes away while the arrays are waited for. */
	"open 0;map 0,0,100000000000000,10000000000,3,0;alloc 0,100000000,0,0,40000,0;"
	"&alloc_batch 0,100000000,6,0,100,1,3,3;unmap 0,0,4000;join 0;"
	"map 0,0,100000000000000,10000000000,3,0;&alloc_batch 0,100000000,6,0,100,1,3,3;"
	"protect 0,0,4000,1;join 0;&free_batch 0,100000000,6,0,10,1,3;unmap 0,0,4000;join 0",
	/* All of a span written to, and more objects made there. */
	"open 0;alloc 0,100000000,0,0,40,0;pwrite 0,0,2000,0;alloc 0,100000000,0,0,40,0;"
	"alloc 0,100000000,0,0,3,0;pwrite 0,2000000000000,2000,0;alloc 0,100000000,0,0,3,0;"
	"alloc_batch 0,100000000,0,0,40,1,0,0",
	/* Memory wanted by others, and little of it allowed. */
	"open 0;map 0,0,100000000000000,10000000000,3,0;alloc 0,100000000,0,0,100000,0;"
	"lock 0,0,40000,0;alloc 0,100000000,0,0,100000,0;lock 0,1000000000000,40000,0;"
	"free 0,100000000,0,0,0;alloc_batch 0,100000000,0,0,200,3,0,0;machine d,0;machine c,0;"
	"machine 0,10000;alloc 0,100000000,0,0,100000,0;lock 0,2000000000000,40000,0;"
	"machine 1,20000;alloc 0,100000000,0,0,100000,0;machine f,0;machine 2,64;"
	"tree_open 0,0,18;tree_read 0,4000,0,0;tree_open 0,0,19;tree_read 0,4000,0,0",
};

/* Return: whether it is a program's text. */
static bool program_parse(const char *text, struct program *p)
{
	memset(p, 0, sizeof(*p));
	while (*text && p->n < MAX_CALLS) {
		struct call *call = &p->call[p->n++];
		size_t len;
		char *end;
		int k;

		call->racing = *text == '&';
		text += call->racing;
		len = strcspn(text, " ;");
		for (call->op = 0; call->op < NUM_OPS; call->op++)
			if (strlen(ops[call->op].name) == len &&
			    !strncmp(ops[call->op].name, text, len))
				break;
		if (call->op == NUM_OPS)
			return false;
		text += len;
		for (k = 0; k < MAX_ARGS && (*text == ' ' || *text == ','); k++) {
			call->arg[k] = strtoull(text + 1, &end, 16);
			text = end;
		}
		text += strspn(text, ";");
	}
	return p->n && !*text;
}

/* The program of an origin; the corpus has to be what it was up to those two. */
static void program_of(const struct origin *o, struct program *p)
{
	uint64_t rnd = o->seed;

	if (o->from == NOBODY && o->with < ARRAY_SIZE(first_programs)) {
		program_parse(first_programs[o->with], p);
		return;
	}
	if (o->from == NOBODY) {
		program_make(p, &rnd);
		return;
	}
	*p = shared->corpus[o->from];
	program_change(p, &shared->corpus[o->with], &rnd);
}

#endif /* FUZZ_PROGRAM_H */
