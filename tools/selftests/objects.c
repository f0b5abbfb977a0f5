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

static int fd;

static bool pow2(uint64_t n)
{
	return !(n & (n - 1));
}

/* Every size class, its smallest object and its largest. */
static void size_classes(void)
{
	uint64_t addr, usable, smallest = TINY_BLOCK;
	struct goalloc_query q;
	unsigned int scan, i, k;

	fd = heap_open();
	CHECK_EQ(ARRAY_SIZE(classes) + 1, GOALLOC_BY_SIZE_MAX);
	for (i = 1; i < ARRAY_SIZE(classes); i++) {
		uint64_t sizes[] = { smallest, classes[i].bytes };

		for (k = 0; k < 4; k++) {
			scan = k & 1;
			REQUIRE(CHECK_RET(heap_alloc(fd, sizes[k / 2], scan ? GOALLOC_SCAN : 0,
						     &addr, &usable), 0));
			CHECK_EQ(usable, classes[i].bytes);
			CHECK_EQ(addr % natural_align(sizes[k / 2], usable), 0);
			REQUIRE(CHECK_RET(heap_query(fd, addr, &q), 0));
			CHECK_EQ(q.base, addr);
			CHECK_EQ(q.usable, usable);
			CHECK_EQ(q.spanclass, (i + 1) << 1 | !scan);
			CHECK_EQ(q.span_pages, classes[i].pages);
			CHECK_EQ(q.span_base % HEAP_PAGE, 0);
			CHECK_EQ((addr - q.span_base) % classes[i].bytes, 0);
			CHECK(addr >= q.span_base &&
			      addr + usable <= q.span_base + q.span_pages * HEAP_PAGE);
			CHECK_EQ(q.state, GOALLOC_QUERY_LIVE);
			CHECK(obj_is_zero(fd, addr, usable));
			CHECK(obj_write(fd, addr, usable, addr));
			CHECK(obj_is(fd, addr, usable, addr));
			CHECK_RET(heap_free(fd, addr), 0);
		}
		smallest = classes[i].bytes + 1;
	}
	heap_check_empty(fd);
}

/* Every size there is a class for. */
static void every_size(void)
{
	uint64_t addr, usable, bytes, wanted;
	unsigned int i = 0;

	fd = heap_open();
	for (bytes = TINY_BLOCK; bytes <= MAX_SMALL; bytes += bytes < 2048 ? 1 : 61) {
		while (classes[i].bytes < bytes)
			i++;
		wanted = classes[i].bytes;
		REQUIRE(CHECK_RET(heap_alloc(fd, bytes, 0, &addr, &usable), 0));
		CHECK_EQ(usable, wanted);
		CHECK_RET(heap_free(fd, addr), 0);
	}
	heap_check_empty(fd);
}

/* More objects of a class than a few spans hold: all apart, all keep their contents. */
static void many_of_a_class(void)
{
	static const uint64_t sizes[] = { 16, 24, 48, 100, 1024, 1408, 6912, 9472, 32768 };
	struct obj *objs;
	size_t i, k, n;

	fd = heap_open();
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		n = 4 * 8192 / sizes[k] + 40;
		objs = calloc(n, sizeof(*objs));
		for (i = 0; i < n; i++) {
			objs[i].bytes = sizes[k];
			objs[i].seed = i + 1;
			REQUIRE(CHECK_RET(heap_alloc(fd, sizes[k], 0, &objs[i].addr,
						     &objs[i].usable), 0));
			objs[i].bytes = objs[i].usable;
			CHECK(obj_write(fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		}
		CHECK_EQ(obj_overlaps(objs, n), 0);
		for (i = 0; i < n; i++)
			CHECK(obj_is(fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		for (i = 0; i < n; i++)
			CHECK_RET(heap_free(fd, objs[i].addr), 0);
		free(objs);
	}
	heap_check_empty(fd);
}

/* Random sizes, freed and made anew in random order, against a list of what lives. */
static void random_objects(void)
{
	enum { N = 1500, ROUNDS = 6000 };
	uint64_t state = rnd_seed();
	struct obj *objs;
	unsigned int round;
	size_t i;

	fd = heap_open();
	objs = calloc(N, sizeof(*objs));
	for (round = 0; round < ROUNDS; round++) {
		struct obj *o = &objs[rnd_below(&state, N)];
		uint32_t flags = rnd_below(&state, 4) ? 0 : GOALLOC_SCAN;

		if (o->addr) {
			if (!CHECK(obj_is(fd, o->addr, o->bytes, o->seed)))
				tap_note("object at %#" PRIx64 ", %" PRIu64 " bytes",
					 o->addr, o->bytes);
			CHECK_RET(heap_free(fd, o->addr), 0);
		}
		o->bytes = rnd_size(&state, 17);
		o->seed = rnd(&state);
		REQUIRE(CHECK_RET(heap_alloc(fd, o->bytes, flags, &o->addr, &o->usable), 0));
		CHECK(o->usable >= o->bytes);
		if (!(flags & GOALLOC_SCAN))
			CHECK_EQ(o->addr % natural_align(o->bytes, o->usable), 0);
		if (!CHECK(obj_is_zero(fd, o->addr, o->bytes)))
			tap_note("object at %#" PRIx64 ", %" PRIu64 " bytes", o->addr, o->bytes);
		CHECK(obj_write(fd, o->addr, o->bytes, o->seed));
	}
	/* Those that were never made lie at 0 with no bytes. */
	CHECK_EQ(obj_overlaps(objs, N), 0);
	obj_shuffle(objs, N, &state);
	for (i = 0; i < N; i++) {
		CHECK(obj_is(fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		CHECK_RET(heap_free(fd, objs[i].addr), 0);
	}
	heap_check_empty(fd);
	free(objs);
}

/* Memory that was written, freed and handed out again is zero to its last usable byte. */
static void zeroed_on_reuse(void)
{
	static const uint64_t sizes[] = {
		1, 5, 8, 15, 16, 24, 100, 1000, 1152, 4096, 10000, 32768, 32769, 100000, 2 * MIB,
	};
	uint64_t addr, usable, reused;
	struct obj objs[64];
	size_t i, j, k, n;

	fd = heap_open();
	CHECK(pin_to_cpu(0));
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		n = sizes[k] > 1 * MIB ? 3 : ARRAY_SIZE(objs);
		for (i = 0; i < n; i++) {
			REQUIRE(CHECK_RET(heap_alloc(fd, sizes[k], 0, &objs[i].addr,
						     &objs[i].usable), 0));
			objs[i].bytes = sizes[k] < TINY_BLOCK ? sizes[k] : objs[i].usable;
			CHECK(obj_write(fd, objs[i].addr, objs[i].bytes, i + 1));
		}
		for (i = 0; i < n; i++)
			CHECK_RET(heap_free(fd, objs[i].addr), 0);
		reused = 0;
		/* Until the memory has come round: a whole span of it if need be. */
		for (i = 0; i < n + 2048 && !(reused >= n / 2 && i >= n); i++) {
			REQUIRE(CHECK_RET(heap_alloc(fd, sizes[k], 0, &addr, &usable), 0));
			for (j = 0; j < n; j++)
				reused += objs[j].addr == addr;
			CHECK(obj_is_zero(fd, addr, sizes[k] < TINY_BLOCK ? sizes[k] : usable));
			if (sizes[k] > MAX_SMALL)
				CHECK_RET(heap_free(fd, addr), 0);
		}
		if (!CHECK(reused > 0))
			tap_note("objects of %" PRIu64 " bytes never came back", sizes[k]);
	}
	unpin();
}

static void uninit(void)
{
	static const uint64_t sizes[] = { 1, 12, 16, 100, 4096, 32768, 100000, 1 * MIB };
	uint64_t addr, usable;
	size_t k;
	int i;

	fd = heap_open();
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		for (i = 0; i < 20; i++) {
			REQUIRE(CHECK_RET(heap_alloc(fd, sizes[k], GOALLOC_UNINIT, &addr,
						     &usable), 0));
			CHECK(usable >= sizes[k]);
			CHECK(obj_write(fd, addr, sizes[k], k));
			CHECK(obj_is(fd, addr, sizes[k], k));
			CHECK_RET(heap_free(fd, addr), 0);
		}
	}
	heap_check_empty(fd);
}

static void zero_size(void)
{
	static const uint32_t flags[] = {
		0, GOALLOC_SCAN, GOALLOC_UNINIT, GOALLOC_SCAN | GOALLOC_UNINIT,
	};
	struct goalloc_memstats before;
	uint64_t addr, usable;
	size_t i;

	fd = heap_open();
	before = heap_stats(fd);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		usable = 1;
		CHECK_RET(heap_alloc(fd, 0, flags[i], &addr, &usable), 0);
		CHECK_EQ(addr, GOALLOC_ZERO_ADDR);
		CHECK_EQ(usable, 0);
		CHECK_RET(heap_free(fd, addr), 0);
		CHECK_RET(heap_free(fd, addr), 0);
	}
	heap_check_unchanged(&before, fd);
}

static void asked_alignment(void)
{
	static const uint64_t sizes[] = { 1, 8, 15, 16, 24, 100, 3000, 32768, 50000, 3 * MIB };
	struct obj objs[ARRAY_SIZE(sizes) * 22];
	uint64_t align;
	size_t i, n = 0;

	fd = heap_open();
	for (align = 1; align <= 2 * MIB; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++, n++) {
			struct obj *o = &objs[n];

			o->bytes = sizes[i];
			o->seed = n;
			REQUIRE(CHECK_RET(heap_alloc_aligned(fd, o->bytes, align, 0, &o->addr,
							     &o->usable), 0));
			if (!CHECK_EQ(o->addr % align, 0))
				tap_note("%" PRIu64 " bytes aligned to %" PRIu64, o->bytes, align);
			CHECK(o->usable >= o->bytes);
			CHECK(obj_is_zero(fd, o->addr, o->bytes));
			CHECK(obj_write(fd, o->addr, o->bytes, o->seed));
		}
	}
	CHECK_EQ(obj_overlaps(objs, n), 0);
	for (i = 0; i < n; i++) {
		CHECK(obj_is(fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		CHECK_RET(heap_free(fd, objs[i].addr), 0);
	}
	heap_check_empty(fd);
}

/* Any address inside an object leads to it. */
static void query_interior(void)
{
	static const uint64_t sizes[] = { 16, 48, 100, 1024, 9000, 32768, 40000, 5 * MIB };
	struct goalloc_query q;
	uint64_t addr, usable, off;
	size_t k;

	fd = heap_open();
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		/* Not the span's first. */
		heap_new(fd, sizes[k]);
		REQUIRE(CHECK_RET(heap_alloc(fd, sizes[k], 0, &addr, &usable), 0));
		for (off = 0; off < usable; off += 1 + usable / 50) {
			REQUIRE(CHECK_RET(heap_query(fd, addr + off, &q), 0));
			CHECK_EQ(q.base, addr);
			CHECK_EQ(q.usable, usable);
			CHECK_EQ(q.addr, addr + off);
			CHECK_EQ(q.state, GOALLOC_QUERY_LIVE);
		}
		CHECK_RET(heap_query(fd, addr + usable - 1, &q), 0);
		CHECK_EQ(q.base, addr);
	}
}

static void query_free_slot(void)
{
	uint64_t neighbour, addr, usable;
	struct goalloc_query q;

	fd = heap_open();
	neighbour = heap_new(fd, 100);
	REQUIRE(CHECK_RET(heap_alloc(fd, 100, 0, &addr, &usable), 0));
	CHECK_RET(heap_free(fd, addr), 0);
	REQUIRE(CHECK_RET(heap_query(fd, addr + 5, &q), 0));
	CHECK_EQ(q.state, GOALLOC_QUERY_FREE);
	CHECK_EQ(q.base, addr);
	CHECK_EQ(q.usable, usable);
	CHECK_RET(heap_query(fd, neighbour, &q), 0);
	CHECK_EQ(q.state, GOALLOC_QUERY_LIVE);
}

/* A span whose objects are all gone goes back, if not at once then as others follow. */
static void spans_go_back(void)
{
	struct goalloc_memstats peak, end;
	struct obj *objs;
	size_t i, n = 4000;

	fd = heap_open();
	objs = calloc(n, sizeof(*objs));
	for (i = 0; i < n; i++)
		objs[i].addr = heap_new(fd, 1024);
	peak = heap_stats(fd);
	CHECK(peak.heap_inuse >= n * 1024);
	for (i = 0; i < n; i++)
		CHECK_RET(heap_free(fd, objs[i].addr), 0);
	end = heap_stats(fd);
	CHECK(end.heap_inuse <= 64 * HEAP_PAGE);
	CHECK_EQ(end.heap_inuse + end.heap_idle, end.heap_sys);
	free(objs);
	heap_check_empty(fd);
}

static uint64_t tiny_blocks(struct obj *objs, size_t n)
{
	uint64_t blocks = 0, last = 0;
	size_t i;

	qsort(objs, n, sizeof(*objs), obj_cmp);
	for (i = 0; i < n; i++) {
		CHECK_EQ(objs[i].addr / TINY_BLOCK,
			 (objs[i].addr + objs[i].bytes - 1) / TINY_BLOCK);
		if (objs[i].addr / TINY_BLOCK != last)
			blocks++;
		last = objs[i].addr / TINY_BLOCK;
	}
	return blocks;
}

/* How many blocks objects of so many bytes take when nothing else comes between. */
static void tiny_packing(void)
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
		SKIP("cannot stay on one CPU");
	for (k = 0; k < ARRAY_SIZE(rows); k++) {
		fd = heap_open();
		for (i = 0; i < rows[k].objects; i++) {
			objs[i].bytes = rows[k].bytes;
			REQUIRE(CHECK_RET(heap_alloc(fd, rows[k].bytes, 0, &objs[i].addr,
						     &objs[i].usable), 0));
			CHECK(objs[i].usable >= rows[k].bytes && objs[i].usable <= TINY_BLOCK);
			CHECK_EQ(objs[i].addr % natural_align(rows[k].bytes, 16), 0);
			REQUIRE(CHECK_RET(heap_query(fd, objs[i].addr, &q), 0));
			CHECK_EQ(q.state, GOALLOC_QUERY_TINY);
			CHECK_EQ(q.base, objs[i].addr);
			CHECK_EQ(q.spanclass, 2 << 1 | 1);
			CHECK(q.usable >= rows[k].bytes);
			CHECK(objs[i].addr % TINY_BLOCK + q.usable <= TINY_BLOCK);
		}
		CHECK_EQ(obj_overlaps(objs, rows[k].objects), 0);
		if (!CHECK_EQ(tiny_blocks(objs, rows[k].objects), rows[k].blocks))
			tap_note("%u objects of %" PRIu64 " bytes", rows[k].objects,
				 rows[k].bytes);
		CHECK_EQ(heap_stats(fd).heap_objects, rows[k].objects);
		for (i = 0; i < rows[k].objects; i++)
			CHECK_RET(heap_free(fd, objs[i].addr), 0);
		CHECK_EQ(heap_stats(fd).heap_objects, 0);
		heap_close(fd);
	}
	unpin();
}

/* An object that may hold pointers is never packed. */
static void tiny_scan(void)
{
	struct goalloc_query q;
	uint64_t addr, usable, bytes;

	fd = heap_open();
	for (bytes = 1; bytes < TINY_BLOCK; bytes++) {
		REQUIRE(CHECK_RET(heap_alloc(fd, bytes, GOALLOC_SCAN, &addr, &usable), 0));
		CHECK_EQ(usable, bytes <= 8 ? 8 : 16);
		REQUIRE(CHECK_RET(heap_query(fd, addr, &q), 0));
		CHECK_EQ(q.state, GOALLOC_QUERY_LIVE);
		CHECK_EQ(q.spanclass, (bytes <= 8 ? 1 : 2) << 1);
		CHECK_RET(heap_free(fd, addr), 0);
		/* Also without the block keeping it in use: refused in every case. */
		CHECK(heap_free(fd, addr) < 0);
	}
	heap_check_empty(fd);
}

/* Objects of one block are freed by themselves; the others stay as they are. */
static void tiny_free(void)
{
	struct obj objs[4], other;
	struct goalloc_query q;
	size_t i, k;

	if (!pin_to_cpu(0))
		SKIP("cannot stay on one CPU");
	fd = heap_open();
	/* One block: bytes 0 to 2, 4 to 7, 8 to 11, 12 to 15. */
	for (i = 0; i < 4; i++) {
		objs[i].bytes = i ? 4 : 3;
		objs[i].seed = i;
		objs[i].addr = heap_new(fd, objs[i].bytes);
		CHECK(obj_write(fd, objs[i].addr, objs[i].bytes, i));
	}
	CHECK_EQ(objs[0].addr % TINY_BLOCK, 0);
	CHECK_EQ(objs[1].addr, objs[0].addr + 4);
	CHECK_EQ(objs[2].addr, objs[0].addr + 8);
	CHECK_EQ(objs[3].addr, objs[0].addr + 12);
	/* The next block is now the one that is filled. */
	other.addr = heap_new(fd, 8);

	/* Inside an object, and where none began. */
	CHECK_RET(heap_free(fd, objs[0].addr + 1), -EINVAL);
	CHECK_RET(heap_free(fd, objs[0].addr + 3), -EINVAL);
	CHECK_RET(heap_free(fd, objs[1].addr + 2), -EINVAL);
	CHECK_RET(heap_query(fd, objs[1].addr + 2, &q), 0);
	CHECK_EQ(q.base, objs[1].addr);
	CHECK_EQ(q.usable, 4);
	CHECK_EQ(q.state, GOALLOC_QUERY_TINY);

	for (i = 0; i < 4; i++) {
		static const int order[] = { 1, 3, 0, 2 };

		CHECK_EQ(heap_stats(fd).heap_objects, 5 - i);
		CHECK_RET(heap_free(fd, objs[order[i]].addr), 0);
		if (i < 3) {
			CHECK_RET(heap_free(fd, objs[order[i]].addr), -EALREADY);
			CHECK_RET(heap_free(fd, objs[order[i]].addr + 1), -EINVAL);
			CHECK_RET(heap_query(fd, objs[order[i]].addr, &q), 0);
			CHECK_EQ(q.state, GOALLOC_QUERY_FREE);
		} else {
			CHECK(heap_free(fd, objs[order[i]].addr) < 0);
		}
		for (k = i + 1; k < 4; k++) {
			struct obj *o = &objs[order[k]];

			CHECK(obj_is(fd, o->addr, o->bytes, o->seed));
			CHECK_RET(heap_query(fd, o->addr, &q), 0);
			CHECK_EQ(q.state, GOALLOC_QUERY_TINY);
			CHECK_EQ(q.base, o->addr);
		}
	}
	CHECK_EQ(heap_stats(fd).heap_objects, 1);
	CHECK_RET(heap_free(fd, other.addr), 0);
	heap_check_empty(fd);
	unpin();
}

/* All sizes of tiny objects in random order, each block live in part for long. */
static void tiny_random(void)
{
	enum { N = 2000, ROUNDS = 8000 };
	uint64_t state = rnd_seed();
	struct obj *objs;
	size_t i, live = 0;
	int round;

	fd = heap_open();
	objs = calloc(N, sizeof(*objs));
	for (round = 0; round < ROUNDS; round++) {
		struct obj *o = &objs[rnd_below(&state, N)];

		if (o->addr) {
			CHECK(obj_is(fd, o->addr, o->bytes, o->seed));
			CHECK_RET(heap_free(fd, o->addr), 0);
			if (o->bytes > 1)
				CHECK(heap_free(fd, o->addr + 1) < 0);
			o->addr = 0;
			o->bytes = 0;
			live--;
			continue;
		}
		o->bytes = 1 + rnd_below(&state, 15);
		o->seed = rnd(&state);
		REQUIRE(CHECK_RET(heap_alloc(fd, o->bytes, 0, &o->addr, &o->usable), 0));
		CHECK_EQ(o->addr % natural_align(o->bytes, 16), 0);
		CHECK(obj_is_zero(fd, o->addr, o->bytes));
		CHECK(obj_write(fd, o->addr, o->bytes, o->seed));
		live++;
	}
	CHECK_EQ(heap_stats(fd).heap_objects, live);
	CHECK_EQ(obj_overlaps(objs, N), 0);
	for (i = 0; i < N; i++) {
		CHECK(obj_is(fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		CHECK_RET(heap_free(fd, objs[i].addr), 0);	/* 0 is freed with success */
	}
	heap_check_empty(fd);
	free(objs);
}

/* A power of two is aligned to itself, up to a heap page. */
static void powers_of_two(void)
{
	uint64_t addr, usable, bytes;
	int i;

	fd = heap_open();
	for (bytes = 8; bytes <= 1 * MIB; bytes *= 2) {
		for (i = 0; i < 5; i++) {
			REQUIRE(CHECK_RET(heap_alloc(fd, bytes, GOALLOC_SCAN, &addr, &usable), 0));
			CHECK(pow2(bytes) && usable == bytes);
			CHECK_EQ(addr % (bytes < HEAP_PAGE ? bytes : HEAP_PAGE), 0);
		}
	}
}

static const struct tap_test tests[] = {
	TEST(size_classes),
	TEST(every_size),
	TEST(many_of_a_class),
	TEST(random_objects),
	TEST(zeroed_on_reuse),
	TEST(uninit),
	TEST(zero_size),
	TEST(asked_alignment),
	TEST(powers_of_two),
	TEST(query_interior),
	TEST(query_free_slot),
	TEST(spans_go_back),
	TEST(tiny_packing),
	TEST(tiny_scan),
	TEST(tiny_free),
	TEST(tiny_random),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests), heap_close_all);
}
