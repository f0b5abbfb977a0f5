// SPDX-License-Identifier: GPL-2.0-only
/*
 * All heaps: from debugfs where that can be read, and from /proc, which knows
 * whose they are and how much memory is behind them. Without debugfs, or for
 * heaps whose opener does not have them, /proc is looked through.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "books.h"
#include "debugfs.h"
#include "dev.h"
#include "goallocctl.h"
#include "json.h"
#include "list.h"
#include "proc.h"

static void from_books(struct list_heap *h, const struct goalloc_memstats *ms)
{
	h->objects = ms->heap_objects;
	h->alloc = ms->heap_alloc;
	h->inuse = ms->heap_inuse;
	h->idle = ms->heap_idle;
	h->released = ms->heap_released;
	h->mallocs = ms->mallocs;
	h->frees = ms->frees;
	/* At most: of a file's heap, pages in use need not have been touched. */
	h->held = ms->heap_sys - ms->heap_released;
}

static void from_proc(struct list_heap *h, const struct proc_heap *p)
{
	h->id = p->id;
	snprintf(h->name, sizeof(h->name), "%s", p->name);
	h->objects = p->objects;
	h->alloc = p->alloc;
	h->inuse = p->inuse;
	h->idle = p->idle;
	h->released = p->released;
	h->mallocs = p->mallocs;
	h->frees = p->frees;
}

/* Those that debugfs lists; one that has gone meanwhile is no error. */
static size_t take_debugfs(struct list_heap *heaps, const unsigned int *ids, size_t n)
{
	struct goalloc_memstats ms;
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		struct list_heap *h = &heaps[k];
		char *summary = debugfs_read(ids[i], "summary");

		if (summary && books_parse(summary, &ms) &&
		    debugfs_name(ids[i], h->name, sizeof(h->name))) {
			h->id = ids[i];
			from_books(h, &ms);
			k++;
		}
		free(summary);
	}
	return k;
}

static void take_process(struct list_heap *h, const struct proc_heap *p)
{
	h->pid = p->pid;
	h->fd = p->fd;
	h->held = p->backed;
}

/*
 * Unless it was named, a heap has its opener's number behind the colon of its
 * name. Return: how many heaps that may be open have to be looked for.
 */
static size_t take_openers(struct list_heap *heaps, size_t n)
{
	size_t i, missing = 0;
	struct proc_heap p;

	for (i = 0; i < n; i++) {
		const char *colon = strrchr(heaps[i].name, ':');
		int pid = colon ? atoi(colon + 1) : 0;

		if (pid > 0 && proc_heap_of(pid, heaps[i].id, &p))
			take_process(&heaps[i], &p);
		else
			missing += heaps[i].id != 0;
	}
	return missing;
}

/* What /proc has. Return: how many heaps there are then. */
static size_t take_proc(struct list_heap *heaps, size_t n, const struct proc_heap *procs,
			size_t num_procs, bool all)
{
	size_t i, k;

	for (i = 0; i < num_procs; i++) {
		const struct proc_heap *p = &procs[i];

		for (k = 0; k < n && heaps[k].id != p->id; k++)
			;
		if (k == n) {
			/* Younger than the list of debugfs is. */
			if (all)
				continue;
			heaps[n] = (struct list_heap){ 0 };
			from_proc(&heaps[n++], p);
		}
		if (!heaps[k].pid)
			take_process(&heaps[k], p);
	}
	return n;
}

/*
 * By id; free() them. @partial is 0, or the errno of debugfs, without which they
 * are only those of processes that may be looked into. Return: whether there is
 * goalloc at all; if not, it has been said.
 */
bool list_heaps(struct list_heap **heaps, size_t *n, int *partial)
{
	struct proc_heap *procs = NULL;
	unsigned int *ids = NULL;
	size_t num_procs = 0, num_ids = 0;
	int err = debugfs_heaps(&ids, &num_ids);
	struct list_heap *more;
	bool done;

	*n = 0;
	*partial = err;
	if (err && access(DEVICE, F_OK)) {
		dev_complain(errno);
		return false;
	}
	*heaps = calloc(num_ids + 1, sizeof(**heaps));
	done = *heaps;
	if (done)
		*n = take_debugfs(*heaps, ids, num_ids);
	free(ids);
	/* All processes are many to look at. */
	if (done && (err || take_openers(*heaps, *n))) {
		done = proc_heaps(&procs, &num_procs);
		more = done ? reallocarray(*heaps, *n + num_procs + 1, sizeof(*more)) : NULL;
		done = more;
		if (done) {
			*heaps = more;
			*n = take_proc(more, *n, procs, num_procs, !err);
		}
		free(procs);
	}
	if (!done) {
		complain("out of memory");
		free(*heaps);
	}
	return done;
}

/* As members of an object that has been begun. */
void list_json(const struct list_heap *h)
{
	json_number("id", h->id);
	json_text("name", h->name);
	if (h->pid)
		json_number("pid", h->pid);
	else
		json_null("pid");
	json_number("objects", h->objects);
	json_number("alloc", h->alloc);
	json_number("inuse", h->inuse);
	json_number("idle", h->idle);
	json_number("released", h->released);
	json_number("held", h->held);
	json_number("mallocs", h->mallocs);
	json_number("frees", h->frees);
}
