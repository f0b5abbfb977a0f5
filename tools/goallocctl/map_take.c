// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap's pages, made of debugfs's tables spans and pages. These are not of
 * the same moment: a page is in use if both say so. Without pages, spans and
 * the file's SEEK_DATA tell the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "map.h"

struct runs {
	struct page_run *runs;
	size_t n;
	size_t room;
};

static bool add_run(struct runs *r, uint64_t addr, uint64_t end, bool inuse, bool backed)
{
	struct page_run *more;

	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 64;
		more = reallocarray(r->runs, r->room, sizeof(*more));
		if (!more) {
			complain("out of memory");
			return false;
		}
		r->runs = more;
	}
	r->runs[r->n++] = (struct page_run){
		.addr = addr, .pages = (end - addr) / HEAP_PAGE, .inuse = inuse, .backed = backed,
	};
	return true;
}

/* Whether there is memory behind an address, and up to where that is so. */
static bool backed_at(int fd, uint64_t addr, uint64_t end, uint64_t *until)
{
	off_t data = lseek(fd, addr, SEEK_DATA), hole;

	*until = end;
	if (data < 0)
		return false;
	if ((uint64_t)data > addr) {
		*until = (uint64_t)data < end ? (uint64_t)data : end;
		return false;
	}
	hole = lseek(fd, addr, SEEK_HOLE);
	if (hole > 0 && (uint64_t)hole > addr && (uint64_t)hole < end)
		*until = hole;
	return true;
}

/* The stretch from @addr to @end, which is all in a span or all in none. */
static bool add_stretch(struct runs *r, int fd, uint64_t addr, uint64_t end, bool inuse)
{
	uint64_t until = end;
	bool backed = true;

	for (; addr < end; addr = until) {
		if (fd >= 0)
			backed = backed_at(fd, addr, end, &until);
		if (!add_run(r, addr, until, inuse, backed))
			return false;
	}
	return true;
}

static bool runs_without_pages(struct heap *h, struct map *map, struct runs *r)
{
	uint64_t addr, end;
	int fd = -1;
	size_t i;

	if (!tables_grown(h->id, &addr, &end))
		return false;
	if (h->pid && heap_open(h))
		fd = h->fd;
	if (fd >= 0 && lseek(fd, addr, SEEK_DATA) < 0 && errno != ENXIO)
		fd = -1;
	map->backing_known = fd >= 0;
	for (i = 0; i < map->num_spans && addr < end; i++) {
		const struct span_row *s = &map->spans[i];
		uint64_t behind = s->addr + s->pages * HEAP_PAGE;

		if (s->addr < addr || behind > end)
			continue;
		if (!add_stretch(r, fd, addr, s->addr, false) ||
		    !add_stretch(r, fd, s->addr, behind, true))
			return false;
		addr = behind;
	}
	return addr >= end || add_stretch(r, fd, addr, end, false);
}

static void add(struct map *map, const struct map_run *run)
{
	struct map_run *last = map->n ? &map->runs[map->n - 1] : NULL;

	map->pages[run->state] += run->pages;
	if (run->state == MAP_INUSE && !run->backed)
		map->untouched += run->pages;
	if (last && last->addr + last->pages * HEAP_PAGE == run->addr &&
	    last->state == run->state && last->backed == run->backed &&
	    last->span == run->span)
		last->pages += run->pages;
	else
		map->runs[map->n++] = *run;
}

/*
 * Cuts a run of pages in use where spans begin and end. What lies between is free,
 * as the books have it: a CPU has set it aside for its next spans.
 */
static void add_inuse(struct map *map, const struct page_run *r, size_t *next)
{
	uint64_t addr = r->addr, end = r->addr + r->pages * HEAP_PAGE;

	while (addr < end) {
		const struct span_row *s = NULL;
		struct map_run run = {
			.addr = addr, .backed = r->backed,
			.state = r->backed ? MAP_IDLE : MAP_RELEASED,
		};
		uint64_t until = end, behind;

		for (; *next < map->num_spans; ++*next) {
			s = &map->spans[*next];
			behind = s->addr + s->pages * HEAP_PAGE;
			if (behind > addr)
				break;
		}
		if (*next < map->num_spans && s->addr <= addr) {
			run.span = s;
			run.state = MAP_INUSE;
			until = behind < end ? behind : end;
		} else if (*next < map->num_spans && s->addr < end) {
			until = s->addr;
		}
		run.pages = (until - addr) / HEAP_PAGE;
		add(map, &run);
		addr = until;
	}
}

static bool join(struct map *map, const struct runs *r)
{
	size_t i, next = 0;

	/* At worst each span and each run begins and ends one. */
	map->runs = calloc(2 * (map->num_spans + r->n) + 1, sizeof(*map->runs));
	if (!map->runs) {
		complain("out of memory");
		return false;
	}
	for (i = 0; i < r->n; i++) {
		const struct page_run *p = &r->runs[i];

		if (p->inuse)
			add_inuse(map, p, &next);
		else
			add(map, &(struct map_run){
				.addr = p->addr, .pages = p->pages, .backed = p->backed,
				.state = p->backed ? MAP_IDLE : MAP_RELEASED,
			});
	}
	return true;
}

static void find_largest(struct map *map)
{
	uint64_t pages = 0, end = 0;
	size_t i;

	for (i = 0; i < map->n; i++) {
		const struct map_run *r = &map->runs[i];

		if (r->state == MAP_INUSE || r->addr != end)
			pages = 0;
		if (r->state != MAP_INUSE)
			pages += r->pages;
		end = r->addr + r->pages * HEAP_PAGE;
		if (pages > map->largest)
			map->largest = pages;
	}
}

bool map_take(struct heap *h, struct map *map)
{
	struct runs r = { 0 };
	bool done;
	size_t i;
	int err;

	*map = (struct map){ .heap = h, .backing_known = true };
	if (!heap_need_id(h, "pages") || !tables_spans(h->id, &map->spans, &map->num_spans))
		return false;
	err = tables_pages(h->id, &r.runs, &r.n);
	done = err ? runs_without_pages(h, map, &r) : true;
	done = done && join(map, &r);
	free(r.runs);
	if (!done) {
		map_end(map);
		return false;
	}
	for (i = 0; i < map->num_spans; i++)
		map->live += map->spans[i].live * map->spans[i].size;
	find_largest(map);
	return true;
}

void map_end(struct map *map)
{
	free(map->runs);
	free(map->spans);
	map->runs = NULL;
	map->spans = NULL;
}

enum map_band map_band(const struct span_row *s)
{
	if (s->tiny)
		return BAND_TINY;
	if (span_is_exact(s))
		return BAND_EXACT;
	if (span_is_large(s))
		return BAND_LARGE;
	return s->size <= 64 ? BAND_64 : s->size <= 512 ? BAND_512 : s->size <= 4096 ? BAND_4K :
		BAND_32K;
}
