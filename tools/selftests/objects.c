// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects: where they lie, what is in them, what QUERY says about them; tiny
 * ones packed and freed one by one.
 */
#define _GNU_SOURCE
#include "heap.h"

/* The size classes of Go, from class 1 on. */
static const struct {
	uint64_t bytes;		/* of an object */
	uint32_t pages;		/* of a span, in heap pages */
} classes[] = {
	{ 8, 1 }, { 16, 1 }, { 24, 1 }, { 32, 1 }, { 48, 1 }, { 64, 1 }, { 80, 1 }, { 96, 1 },
	{ 112, 1 }, { 128, 1 }, { 144, 1 }, { 160, 1 }, { 176, 1 }, { 192, 1 }, { 208, 1 },
	{ 224, 1 }, { 240, 1 }, { 256, 1 }, { 288, 1 }, { 320, 1 }, { 352, 1 }, { 384, 1 },
	{ 416, 1 }, { 448, 1 }, { 480, 1 }, { 512, 1 }, { 576, 1 }, { 640, 1 }, { 704, 1 },
	{ 768, 1 }, { 896, 1 }, { 1024, 1 }, { 1152, 1 }, { 1280, 1 }, { 1408, 2 },
	{ 1536, 1 }, { 1792, 2 }, { 2048, 1 }, { 2304, 2 }, { 2688, 1 }, { 3072, 3 },
	{ 3200, 2 }, { 3456, 3 }, { 4096, 1 }, { 4864, 3 }, { 5376, 2 }, { 6144, 3 },
	{ 6528, 4 }, { 6784, 5 }, { 6912, 6 }, { 8192, 1 }, { 9472, 7 }, { 9728, 6 },
	{ 10240, 5 }, { 10880, 4 }, { 12288, 3 }, { 13568, 5 }, { 14336, 7 }, { 16384, 2 },
	{ 18432, 9 }, { 19072, 7 }, { 20480, 5 }, { 21760, 8 }, { 24576, 3 }, { 27264, 10 },
	{ 28672, 7 }, { 32768, 4 },
};

FIXTURE(objects)
{
	int fd;
};

FIXTURE_SETUP(objects)
{
	self->fd = heap_open();
}

FIXTURE_TEARDOWN(objects)
{
	EXPECT_RET(0, IO_RET(close(self->fd)));
}

/* Every size class, its smallest object and its largest. */
TEST_F(objects, size_classes)
{
	uint64_t addr, usable, smallest = TINY_BLOCK;
	struct goalloc_query q;
	unsigned int scan, i, k;

	EXPECT_EQ(GOALLOC_BY_SIZE_MAX, ARRAY_SIZE(classes) + 1);
	for (i = 1; i < ARRAY_SIZE(classes); i++) {
		uint64_t sizes[] = { smallest, classes[i].bytes };

		for (k = 0; k < 4; k++) {
			scan = k & 1;
			ASSERT_RET(0, heap_alloc(self->fd, sizes[k / 2], scan ? GOALLOC_SCAN : 0,
						 &addr, &usable));
			EXPECT_EQ(classes[i].bytes, usable);
			EXPECT_EQ(0, addr % natural_align(sizes[k / 2], usable));
			ASSERT_RET(0, heap_query(self->fd, addr, &q));
			EXPECT_EQ(addr, q.base);
			EXPECT_EQ(usable, q.usable);
			EXPECT_EQ((i + 1) << 1 | !scan, q.spanclass);
			EXPECT_EQ(classes[i].pages, q.span_pages);
			EXPECT_EQ(0, q.span_base % HEAP_PAGE);
			EXPECT_EQ(0, (addr - q.span_base) % classes[i].bytes);
			EXPECT_GE(addr, q.span_base);
			EXPECT_LE(addr + usable, q.span_base + q.span_pages * HEAP_PAGE);
			EXPECT_EQ(GOALLOC_QUERY_LIVE, q.state);
			EXPECT_TRUE(obj_is_zero(self->fd, addr, usable));
			EXPECT_TRUE(obj_write(self->fd, addr, usable, addr));
			EXPECT_TRUE(obj_is(self->fd, addr, usable, addr));
			EXPECT_RET(0, heap_free(self->fd, addr));
		}
		smallest = classes[i].bytes + 1;
	}
	EXPECT_EMPTY(self->fd);
}

/* Every size there is a class for. */
TEST_F(objects, every_size)
{
	uint64_t addr, usable, bytes, wanted;
	unsigned int i = 0;

	for (bytes = TINY_BLOCK; bytes <= MAX_SMALL; bytes += bytes < 2048 ? 1 : 61) {
		while (classes[i].bytes < bytes)
			i++;
		wanted = classes[i].bytes;
		ASSERT_RET(0, heap_alloc(self->fd, bytes, 0, &addr, &usable));
		EXPECT_EQ(wanted, usable);
		EXPECT_RET(0, heap_free(self->fd, addr));
	}
	EXPECT_EMPTY(self->fd);
}

/* More objects of a class than a few spans hold: all apart, all keep their contents. */
TEST_F_TIMEOUT(objects, many_of_a_class, LONG_TEST)
{
	static const uint64_t sizes[] = { 16, 24, 48, 100, 1024, 1408, 6912, 9472, 32768 };
	struct obj *objs;
	size_t i, k, n;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		n = 4 * 8192 / sizes[k] + 40;
		objs = calloc(n, sizeof(*objs));
		for (i = 0; i < n; i++) {
			objs[i].bytes = sizes[k];
			objs[i].seed = i + 1;
			ASSERT_RET(0, heap_alloc(self->fd, sizes[k], 0, &objs[i].addr,
						 &objs[i].usable));
			objs[i].bytes = objs[i].usable;
			EXPECT_TRUE(obj_write(self->fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		}
		EXPECT_EQ(0, obj_overlaps(objs, n));
		for (i = 0; i < n; i++)
			EXPECT_TRUE(obj_is(self->fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		for (i = 0; i < n; i++)
			EXPECT_RET(0, heap_free(self->fd, objs[i].addr));
		free(objs);
	}
	EXPECT_EMPTY(self->fd);
}

/* Random sizes, freed and made anew in random order, against a list of what lives. */
TEST_F_TIMEOUT(objects, random_objects, LONG_TEST)
{
	enum { N = 1500, ROUNDS = 6000 };
	uint64_t state = rnd_seed();
	struct obj *objs;
	unsigned int round;
	size_t i;

	objs = calloc(N, sizeof(*objs));
	for (round = 0; round < ROUNDS; round++) {
		struct obj *o = &objs[rnd_below(&state, N)];
		uint32_t flags = rnd_below(&state, 4) ? 0 : GOALLOC_SCAN;

		if (o->addr) {
			EXPECT_TRUE(obj_is(self->fd, o->addr, o->bytes, o->seed))
				TH_LOG("object at %#" PRIx64 ", %" PRIu64 " bytes",
				       o->addr, o->bytes);
			EXPECT_RET(0, heap_free(self->fd, o->addr));
		}
		o->bytes = rnd_size(&state, 17);
		o->seed = rnd(&state);
		ASSERT_RET(0, heap_alloc(self->fd, o->bytes, flags, &o->addr, &o->usable));
		EXPECT_GE(o->usable, o->bytes);
		if (!(flags & GOALLOC_SCAN))
			EXPECT_EQ(0, o->addr % natural_align(o->bytes, o->usable));
		EXPECT_TRUE(obj_is_zero(self->fd, o->addr, o->bytes))
			TH_LOG("object at %#" PRIx64 ", %" PRIu64 " bytes", o->addr, o->bytes);
		EXPECT_TRUE(obj_write(self->fd, o->addr, o->bytes, o->seed));
	}
	/* Those that were never made lie at 0 with no bytes. */
	EXPECT_EQ(0, obj_overlaps(objs, N));
	obj_shuffle(objs, N, &state);
	for (i = 0; i < N; i++) {
		EXPECT_TRUE(obj_is(self->fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		EXPECT_RET(0, heap_free(self->fd, objs[i].addr));
	}
	EXPECT_EMPTY(self->fd);
	free(objs);
}

/* Memory that was written, freed and handed out again is zero to its last usable byte. */
TEST_F_TIMEOUT(objects, zeroed_on_reuse, LONG_TEST)
{
	static const uint64_t sizes[] = {
		1, 5, 8, 15, 16, 24, 100, 1000, 1152, 4096, 10000, 32768, 32769, 100000, 2 * MIB,
	};
	uint64_t addr, usable, reused;
	struct obj objs[64];
	size_t i, j, k, n;

	EXPECT_TRUE(pin_to_cpu(0));
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		n = sizes[k] > 1 * MIB ? 3 : ARRAY_SIZE(objs);
		for (i = 0; i < n; i++) {
			ASSERT_RET(0, heap_alloc(self->fd, sizes[k], 0, &objs[i].addr,
						 &objs[i].usable));
			objs[i].bytes = sizes[k] < TINY_BLOCK ? sizes[k] : objs[i].usable;
			EXPECT_TRUE(obj_write(self->fd, objs[i].addr, objs[i].bytes, i + 1));
		}
		for (i = 0; i < n; i++)
			EXPECT_RET(0, heap_free(self->fd, objs[i].addr));
		reused = 0;
		/* Until the memory has come round: a whole span of it if need be. */
		for (i = 0; i < n + 2048 && !(reused >= n / 2 && i >= n); i++) {
			ASSERT_RET(0, heap_alloc(self->fd, sizes[k], 0, &addr, &usable));
			for (j = 0; j < n; j++)
				reused += objs[j].addr == addr;
			EXPECT_TRUE(obj_is_zero(self->fd, addr,
						sizes[k] < TINY_BLOCK ? sizes[k] : usable));
			if (sizes[k] > MAX_SMALL)
				EXPECT_RET(0, heap_free(self->fd, addr));
		}
		EXPECT_GT(reused, 0)
			TH_LOG("objects of %" PRIu64 " bytes never came back", sizes[k]);
	}
	unpin();
}

TEST_F_TIMEOUT(objects, uninit, LONG_TEST)
{
	static const uint64_t sizes[] = { 1, 12, 16, 100, 4096, 32768, 100000, 1 * MIB };
	uint64_t addr, usable;
	size_t k;
	int i;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		for (i = 0; i < 20; i++) {
			ASSERT_RET(0, heap_alloc(self->fd, sizes[k], GOALLOC_UNINIT, &addr,
						 &usable));
			EXPECT_GE(usable, sizes[k]);
			EXPECT_TRUE(obj_write(self->fd, addr, sizes[k], k));
			EXPECT_TRUE(obj_is(self->fd, addr, sizes[k], k));
			EXPECT_RET(0, heap_free(self->fd, addr));
		}
	}
	EXPECT_EMPTY(self->fd);
}

TEST_F(objects, zero_size)
{
	static const uint32_t flags[] = {
		0, GOALLOC_SCAN, GOALLOC_UNINIT, GOALLOC_SCAN | GOALLOC_UNINIT,
	};
	struct goalloc_memstats before;
	uint64_t addr, usable;
	size_t i;

	before = heap_stats(self->fd);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		usable = 1;
		EXPECT_RET(0, heap_alloc(self->fd, 0, flags[i], &addr, &usable));
		EXPECT_EQ(GOALLOC_ZERO_ADDR, addr);
		EXPECT_EQ(0, usable);
		EXPECT_RET(0, heap_free(self->fd, addr));
		EXPECT_RET(0, heap_free(self->fd, addr));
	}
	EXPECT_UNCHANGED(&before, self->fd);
}

TEST_F_TIMEOUT(objects, asked_alignment, LONG_TEST)
{
	static const uint64_t sizes[] = { 1, 8, 15, 16, 24, 100, 3000, 32768, 50000, 3 * MIB };
	struct obj objs[ARRAY_SIZE(sizes) * 22];
	uint64_t align;
	size_t i, n = 0;

	for (align = 1; align <= 2 * MIB; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++, n++) {
			struct obj *o = &objs[n];

			o->bytes = sizes[i];
			o->seed = n;
			ASSERT_RET(0, heap_alloc_aligned(self->fd, o->bytes, align, 0, &o->addr,
							 &o->usable));
			EXPECT_EQ(0, o->addr % align)
				TH_LOG("%" PRIu64 " bytes aligned to %" PRIu64, o->bytes, align);
			EXPECT_GE(o->usable, o->bytes);
			EXPECT_TRUE(obj_is_zero(self->fd, o->addr, o->bytes));
			EXPECT_TRUE(obj_write(self->fd, o->addr, o->bytes, o->seed));
		}
	}
	EXPECT_EQ(0, obj_overlaps(objs, n));
	for (i = 0; i < n; i++) {
		EXPECT_TRUE(obj_is(self->fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		EXPECT_RET(0, heap_free(self->fd, objs[i].addr));
	}
	EXPECT_EMPTY(self->fd);
}

/* Any address inside an object leads to it. */
TEST_F(objects, query_interior)
{
	static const uint64_t sizes[] = { 16, 48, 100, 1024, 9000, 32768, 40000, 5 * MIB };
	struct goalloc_query q;
	uint64_t addr, usable, off;
	size_t k;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		/* Not the span's first. */
		heap_new(self->fd, sizes[k]);
		ASSERT_RET(0, heap_alloc(self->fd, sizes[k], 0, &addr, &usable));
		for (off = 0; off < usable; off += 1 + usable / 50) {
			ASSERT_RET(0, heap_query(self->fd, addr + off, &q));
			EXPECT_EQ(addr, q.base);
			EXPECT_EQ(usable, q.usable);
			EXPECT_EQ(addr + off, q.addr);
			EXPECT_EQ(GOALLOC_QUERY_LIVE, q.state);
		}
		EXPECT_RET(0, heap_query(self->fd, addr + usable - 1, &q));
		EXPECT_EQ(addr, q.base);
	}
}

TEST_F(objects, query_free_slot)
{
	uint64_t neighbour, addr, usable;
	struct goalloc_query q;

	neighbour = heap_new(self->fd, 100);
	ASSERT_RET(0, heap_alloc(self->fd, 100, 0, &addr, &usable));
	EXPECT_RET(0, heap_free(self->fd, addr));
	ASSERT_RET(0, heap_query(self->fd, addr + 5, &q));
	EXPECT_EQ(GOALLOC_QUERY_FREE, q.state);
	EXPECT_EQ(addr, q.base);
	EXPECT_EQ(usable, q.usable);
	EXPECT_RET(0, heap_query(self->fd, neighbour, &q));
	EXPECT_EQ(GOALLOC_QUERY_LIVE, q.state);
}

/* A span whose objects are all gone goes back, if not at once then as others follow. */
TEST_F_TIMEOUT(objects, spans_go_back, LONG_TEST)
{
	struct goalloc_memstats peak, end;
	struct obj *objs;
	size_t i, n = 4000;

	objs = calloc(n, sizeof(*objs));
	for (i = 0; i < n; i++)
		objs[i].addr = heap_new(self->fd, 1024);
	peak = heap_stats(self->fd);
	EXPECT_GE(peak.heap_inuse, n * 1024);
	for (i = 0; i < n; i++)
		EXPECT_RET(0, heap_free(self->fd, objs[i].addr));
	end = heap_stats(self->fd);
	EXPECT_LE(end.heap_inuse, 64 * HEAP_PAGE);
	EXPECT_EQ(end.heap_sys, end.heap_inuse + end.heap_idle);
	free(objs);
	EXPECT_EMPTY(self->fd);
}

static uint64_t tiny_blocks(struct __test_metadata *_metadata, struct obj *objs, size_t n)
{
	uint64_t blocks = 0, last = 0;
	size_t i;

	qsort(objs, n, sizeof(*objs), obj_cmp);
	for (i = 0; i < n; i++) {
		EXPECT_EQ((objs[i].addr + objs[i].bytes - 1) / TINY_BLOCK,
			  objs[i].addr / TINY_BLOCK);
		if (objs[i].addr / TINY_BLOCK != last)
			blocks++;
		last = objs[i].addr / TINY_BLOCK;
	}
	return blocks;
}

/* How many blocks objects of so many bytes take when nothing else comes between. */
TEST_F_TIMEOUT(objects, tiny_packing, LONG_TEST)
{
	static const struct {
		uint64_t bytes;
		unsigned int objects, blocks;
	} rows[] = {
		{ 1, 64, 4 }, { 2, 64, 8 }, { 3, 50, 10 }, { 4, 64, 16 }, { 5, 30, 10 },
		{ 6, 30, 15 }, { 7, 30, 15 }, { 8, 64, 32 }, { 9, 20, 20 }, { 12, 20, 20 },
		{ 15, 20, 20 },
	};
	struct goalloc_query q;
	struct obj objs[64];
	size_t i, k;

	if (!pin_to_cpu(0))
		SKIP(return, "cannot stay on one CPU");
	for (k = 0; k < ARRAY_SIZE(rows); k++) {
		int fd = heap_open();

		for (i = 0; i < rows[k].objects; i++) {
			objs[i].bytes = rows[k].bytes;
			ASSERT_RET(0, heap_alloc(fd, rows[k].bytes, 0, &objs[i].addr,
						 &objs[i].usable));
			EXPECT_GE(objs[i].usable, rows[k].bytes);
			EXPECT_LE(objs[i].usable, TINY_BLOCK);
			EXPECT_EQ(0, objs[i].addr % natural_align(rows[k].bytes, 16));
			ASSERT_RET(0, heap_query(fd, objs[i].addr, &q));
			EXPECT_EQ(GOALLOC_QUERY_TINY, q.state);
			EXPECT_EQ(objs[i].addr, q.base);
			EXPECT_EQ(2 << 1 | 1, q.spanclass);
			EXPECT_GE(q.usable, rows[k].bytes);
			EXPECT_LE(objs[i].addr % TINY_BLOCK + q.usable, TINY_BLOCK);
		}
		EXPECT_EQ(0, obj_overlaps(objs, rows[k].objects));
		EXPECT_EQ(rows[k].blocks, tiny_blocks(_metadata, objs, rows[k].objects))
			TH_LOG("%u objects of %" PRIu64 " bytes", rows[k].objects, rows[k].bytes);
		EXPECT_EQ(rows[k].objects, heap_stats(fd).heap_objects);
		for (i = 0; i < rows[k].objects; i++)
			EXPECT_RET(0, heap_free(fd, objs[i].addr));
		EXPECT_EQ(0, heap_stats(fd).heap_objects);
		EXPECT_RET(0, IO_RET(close(fd)));
	}
	unpin();
}

/* An object that may hold pointers is never packed. */
TEST_F(objects, tiny_scan)
{
	struct goalloc_query q;
	uint64_t addr, usable, bytes;

	for (bytes = 1; bytes < TINY_BLOCK; bytes++) {
		ASSERT_RET(0, heap_alloc(self->fd, bytes, GOALLOC_SCAN, &addr, &usable));
		EXPECT_EQ(bytes <= 8 ? 8 : 16, usable);
		ASSERT_RET(0, heap_query(self->fd, addr, &q));
		EXPECT_EQ(GOALLOC_QUERY_LIVE, q.state);
		EXPECT_EQ((bytes <= 8 ? 1 : 2) << 1, q.spanclass);
		EXPECT_RET(0, heap_free(self->fd, addr));
		/* Also without the block keeping it in use: refused in every case. */
		EXPECT_LT(heap_free(self->fd, addr), 0);
	}
	EXPECT_EMPTY(self->fd);
}

/* Objects of one block are freed by themselves; the others stay as they are. */
TEST_F(objects, tiny_free)
{
	struct obj objs[4], other;
	struct goalloc_query q;
	size_t i, k;

	if (!pin_to_cpu(0))
		SKIP(return, "cannot stay on one CPU");
	/* One block: bytes 0 to 2, 4 to 7, 8 to 11, 12 to 15. */
	for (i = 0; i < 4; i++) {
		objs[i].bytes = i ? 4 : 3;
		objs[i].seed = i;
		objs[i].addr = heap_new(self->fd, objs[i].bytes);
		EXPECT_TRUE(obj_write(self->fd, objs[i].addr, objs[i].bytes, i));
	}
	EXPECT_EQ(0, objs[0].addr % TINY_BLOCK);
	EXPECT_EQ(objs[0].addr + 4, objs[1].addr);
	EXPECT_EQ(objs[0].addr + 8, objs[2].addr);
	EXPECT_EQ(objs[0].addr + 12, objs[3].addr);
	/* The next block is now the one that is filled. */
	other.addr = heap_new(self->fd, 8);

	/* Inside an object, and where none began. */
	EXPECT_RET(-EINVAL, heap_free(self->fd, objs[0].addr + 1));
	EXPECT_RET(-EINVAL, heap_free(self->fd, objs[0].addr + 3));
	EXPECT_RET(-EINVAL, heap_free(self->fd, objs[1].addr + 2));
	EXPECT_RET(0, heap_query(self->fd, objs[1].addr + 2, &q));
	EXPECT_EQ(objs[1].addr, q.base);
	EXPECT_EQ(4, q.usable);
	EXPECT_EQ(GOALLOC_QUERY_TINY, q.state);

	for (i = 0; i < 4; i++) {
		static const int order[] = { 1, 3, 0, 2 };

		EXPECT_EQ(5 - i, heap_stats(self->fd).heap_objects);
		EXPECT_RET(0, heap_free(self->fd, objs[order[i]].addr));
		if (i < 3) {
			EXPECT_RET(-EALREADY, heap_free(self->fd, objs[order[i]].addr));
			EXPECT_RET(-EINVAL, heap_free(self->fd, objs[order[i]].addr + 1));
			EXPECT_RET(0, heap_query(self->fd, objs[order[i]].addr, &q));
			EXPECT_EQ(GOALLOC_QUERY_FREE, q.state);
		} else {
			EXPECT_LT(heap_free(self->fd, objs[order[i]].addr), 0);
		}
		for (k = i + 1; k < 4; k++) {
			struct obj *o = &objs[order[k]];

			EXPECT_TRUE(obj_is(self->fd, o->addr, o->bytes, o->seed));
			EXPECT_RET(0, heap_query(self->fd, o->addr, &q));
			EXPECT_EQ(GOALLOC_QUERY_TINY, q.state);
			EXPECT_EQ(o->addr, q.base);
		}
	}
	EXPECT_EQ(1, heap_stats(self->fd).heap_objects);
	EXPECT_RET(0, heap_free(self->fd, other.addr));
	EXPECT_EMPTY(self->fd);
	unpin();
}

/* All sizes of tiny objects in random order, each block live in part for long. */
TEST_F_TIMEOUT(objects, tiny_random, LONG_TEST)
{
	enum { N = 2000, ROUNDS = 8000 };
	uint64_t state = rnd_seed();
	struct obj *objs;
	size_t i, live = 0;
	int round;

	objs = calloc(N, sizeof(*objs));
	for (round = 0; round < ROUNDS; round++) {
		struct obj *o = &objs[rnd_below(&state, N)];

		if (o->addr) {
			EXPECT_TRUE(obj_is(self->fd, o->addr, o->bytes, o->seed));
			EXPECT_RET(0, heap_free(self->fd, o->addr));
			if (o->bytes > 1)
				EXPECT_LT(heap_free(self->fd, o->addr + 1), 0);
			o->addr = 0;
			o->bytes = 0;
			live--;
			continue;
		}
		o->bytes = 1 + rnd_below(&state, 15);
		o->seed = rnd(&state);
		ASSERT_RET(0, heap_alloc(self->fd, o->bytes, 0, &o->addr, &o->usable));
		EXPECT_EQ(0, o->addr % natural_align(o->bytes, 16));
		EXPECT_TRUE(obj_is_zero(self->fd, o->addr, o->bytes));
		EXPECT_TRUE(obj_write(self->fd, o->addr, o->bytes, o->seed));
		live++;
	}
	EXPECT_EQ(live, heap_stats(self->fd).heap_objects);
	EXPECT_EQ(0, obj_overlaps(objs, N));
	for (i = 0; i < N; i++) {
		EXPECT_TRUE(obj_is(self->fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		/* 0 is freed with success. */
		EXPECT_RET(0, heap_free(self->fd, objs[i].addr));
	}
	EXPECT_EMPTY(self->fd);
	free(objs);
}

/* A power of two is aligned to itself, up to a heap page. */
TEST_F(objects, powers_of_two)
{
	uint64_t addr, usable, bytes;
	int i;

	for (bytes = 8; bytes <= 1 * MIB; bytes *= 2) {
		for (i = 0; i < 5; i++) {
			ASSERT_RET(0, heap_alloc(self->fd, bytes, GOALLOC_SCAN, &addr, &usable));
			EXPECT_EQ(bytes, usable);
			EXPECT_EQ(0, addr % (bytes < HEAP_PAGE ? bytes : HEAP_PAGE));
		}
	}
}

TEST_HARNESS_MAIN
