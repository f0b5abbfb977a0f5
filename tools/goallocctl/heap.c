// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heap that a command works on, found by its number, its name or a process
 * that has it open. Its file is taken from that process by pidfd_getfd(), but
 * only when a command needs it, and not kept for longer: a heap lives as long
 * as somebody has it open, and to look at one should not make it live longer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "debugfs.h"
#include "dev.h"
#include "heap.h"
#include "json.h"
#include "list.h"
#include "proc.h"

bool heap_is_chosen(const struct heap_choice *c)
{
	return c->heap || c->pid || c->fd;
}

static void from_list(struct heap *h, const struct list_heap *l)
{
	h->id = l->id;
	h->pid = l->pid;
	h->file = l->fd;
	snprintf(h->name, sizeof(h->name), "%s", l->name);
}

/* PID, or PID:FD, or PID and --fd FD. */
static bool choose_process(const struct heap_choice *c, struct heap *h)
{
	const char *file = strchr(c->pid, ':');
	uint64_t pid, fd = 0;
	struct proc_heap p;
	char digits[24];

	snprintf(digits, sizeof(digits), "%.*s", (int)strcspn(c->pid, ":"), c->pid);
	file = file ? file + 1 : c->fd;
	if (!parse_number(digits, &pid) || !pid || pid > INT32_MAX) {
		complain("%s is neither PID nor PID:FD", c->pid);
		return false;
	}
	if (file && (!parse_number(file, &fd) || fd > INT32_MAX)) {
		complain("%s is not the number of a file", file);
		return false;
	}
	h->pid = pid;
	h->file = fd;
	if (file ? proc_heap_read(pid, fd, &p) : proc_heap_first(pid, &p)) {
		h->id = p.id;
		h->file = p.fd;
		snprintf(h->name, sizeof(h->name), "%s", p.name);
		return true;
	}
	return dev_explain_no_heap(pid, file ? (int)fd : -1);
}

static bool choose_listed(const char *wanted, struct heap *h)
{
	struct list_heap *heaps;
	bool found = false, by_id;
	int partial;
	uint64_t id;
	size_t n, i;

	if (!list_heaps(&heaps, &n, &partial))
		return false;
	by_id = parse_number(wanted, &id);
	for (i = 0; i < n && !found; i++) {
		found = by_id ? heaps[i].id == id : !strcmp(heaps[i].name, wanted);
		if (found)
			from_list(h, &heaps[i]);
	}
	for (; i < n && found && !by_id; i++) {
		if (!strcmp(heaps[i].name, wanted)) {
			complain("several heaps are named %s, %u and %u for two: use the number",
				 wanted, h->id, heaps[i].id);
			free(heaps);
			return false;
		}
	}
	free(heaps);
	if (!found)
		complain("there is no heap %s%s; \"goallocctl heaps\" lists them", wanted,
			 !partial ? "" : " among those that can be seen without root");
	return found;
}

/* Nothing was chosen: the only one a process has open, or else the module's own. */
static bool choose_only(struct heap *h)
{
	struct list_heap *heaps, *only = NULL;
	unsigned int others = 0;
	int partial;
	size_t n, i;

	if (!list_heaps(&heaps, &n, &partial))
		return false;
	for (i = 0; i < n; i++) {
		if (!only || !only->id)
			only = &heaps[i];
		others += heaps[i].id != 0;
	}
	if (only && others <= 1)
		from_list(h, only);
	free(heaps);
	if (!only)
		debugfs_complain(partial);
	else if (others > 1)
		complain("choose one of %u heaps with --heap or --pid; \"heaps\" lists them",
			 others);
	return only && others <= 1;
}

bool heap_choose(const struct heap_choice *c, struct heap *h)
{
	*h = (struct heap){ .id = HEAP_NO_ID, .fd = -1 };
	if (c->fd && !c->pid) {
		complain("--fd needs --pid");
		return false;
	}
	if (c->heap && c->pid) {
		complain("--heap and --pid both choose a heap: use one of them");
		return false;
	}
	if (c->pid)
		return choose_process(c, h);
	return c->heap ? choose_listed(c->heap, h) : choose_only(h);
}

/* A heap of this process, that ends with it. */
bool heap_new(struct heap *h)
{
	struct proc_heap p;

	*h = (struct heap){ .id = HEAP_NO_ID };
	if (!dev_open(&h->fd))
		return false;
	if (proc_heap_read(0, h->fd, &p)) {
		h->id = p.id;
		snprintf(h->name, sizeof(h->name), "%s", p.name);
	}
	return true;
}

bool heap_choose_or_new(const struct heap_choice *c, struct heap *h)
{
	if (!heap_is_chosen(c))
		return heap_new(h);
	return heap_choose(c, h) && heap_open(h);
}

/* Makes sure that there is a file. */
bool heap_open(struct heap *h)
{
	struct proc_heap p;

	if (h->fd >= 0)
		return true;
	if (!h->pid) {
		if (h->id)
			complain("no process that has heap %u open can be seen", h->id);
		else
			complain("heap 0 is the kernel's: no file reaches its objects");
		return false;
	}
	if (!dev_borrow(h->pid, h->file, &h->fd))
		return false;
	/* The number may be another file's by now. */
	if (h->id != HEAP_NO_ID && proc_heap_read(0, h->fd, &p) && p.id != h->id) {
		complain("heap %u has gone", h->id);
		heap_close(h);
		return false;
	}
	return true;
}

void heap_close(struct heap *h)
{
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

/* For what only debugfs tells. */
bool heap_need_id(const struct heap *h, const char *what)
{
	if (h->id == HEAP_NO_ID)
		complain("the heap's number is unknown, but %s come from debugfs: use --heap",
			 what);
	return h->id != HEAP_NO_ID;
}

/* To tell an end from a failure. */
bool heap_is_gone(const struct heap *h)
{
	struct proc_heap p;

	if (h->id == HEAP_NO_ID)
		return h->pid && access("/proc", F_OK) == 0 && !dev_process_lives(h->pid);
	if (debugfs_readable())
		return !debugfs_has_heap(h->id);
	return h->pid && !(proc_heap_read(h->pid, h->file, &p) && p.id == h->id);
}

const char *heap_text(const struct heap *h)
{
	static char text[128];

	if (h->id != HEAP_NO_ID)
		snprintf(text, sizeof(text), "heap %u (%s)", h->id, h->name);
	else
		snprintf(text, sizeof(text), "heap of process %d, file %d", h->pid, h->file);
	return text;
}

/* debugfs where it can be read, for it does not keep the heap alive. */
static bool by_debugfs(const struct heap *h)
{
	return h->fd < 0 && h->id != HEAP_NO_ID && (debugfs_readable() || !h->pid);
}

/* Takes the file for one call. @was is whether it was there before. */
static bool begin(struct heap *h, bool *was)
{
	*was = h->fd >= 0;
	return heap_open(h);
}

static void end(struct heap *h, bool was)
{
	if (!was)
		heap_close(h);
}

bool heap_stats(struct heap *h, struct goalloc_memstats *ms)
{
	bool was, done;

	if (by_debugfs(h))
		return debugfs_summary(h->id, ms) && debugfs_by_size(h->id, ms);
	if (!begin(h, &was))
		return false;
	done = dev_stats(h->fd, ms);
	end(h, was);
	return done;
}

static const char *param_file(uint32_t id)
{
	return id == GOALLOC_PARAM_LIMIT ? "limit" : id == GOALLOC_PARAM_MAX ? "max" : "gc_percent";
}

bool heap_get_param(struct heap *h, uint32_t id, uint64_t *value)
{
	bool was;
	int err;

	if (by_debugfs(h))
		return debugfs_number(h->id, param_file(id), value);
	if (!begin(h, &was))
		return false;
	err = dev_get_param(h->fd, id, value);
	end(h, was);
	if (err)
		complain("%s of %s: %s%s", param_file(id), heap_text(h), errno_text(err),
			 dev_old_hint(err));
	return !err;
}

/* By the file if there is one, as debugfs is for those who may do anything. */
bool heap_set_param(struct heap *h, uint32_t id, uint64_t value)
{
	bool was;
	int err;

	if (!h->pid && h->fd < 0)
		return debugfs_write(h->id, param_file(id), value == GOALLOC_NO_LIMIT ? "none" :
				     plain_text(value));
	if (!begin(h, &was))
		return false;
	err = dev_set_param(h->fd, id, value);
	end(h, was);
	if (err == -EINVAL)
		complain("%s of %s cannot be %llu", param_file(id), heap_text(h),
			 (unsigned long long)value);
	else if (err)
		complain("%s of %s: %s%s", param_file(id), heap_text(h), errno_text(err),
			 dev_old_hint(err));
	return !err;
}

/* What debugfs does not say is how much came back: the books do. */
static bool scavenge_debugfs(struct heap *h, uint64_t bytes, uint64_t *released)
{
	struct goalloc_memstats before, after;

	if (!debugfs_summary(h->id, &before) ||
	    !debugfs_write(h->id, "scavenge", bytes == GOALLOC_NO_LIMIT ? "all" :
			   plain_text(bytes)) ||
	    !debugfs_summary(h->id, &after))
		return false;
	*released = after.heap_released > before.heap_released ?
		after.heap_released - before.heap_released : 0;
	return true;
}

bool heap_scavenge(struct heap *h, uint64_t bytes, uint64_t *released)
{
	bool was;
	int err;

	if (!h->pid && h->fd < 0)
		return scavenge_debugfs(h, bytes, released);
	if (!begin(h, &was))
		return false;
	err = dev_scavenge(h->fd, bytes, released);
	end(h, was);
	if (err)
		complain("scavenging %s: %s%s", heap_text(h), errno_text(err), dev_old_hint(err));
	return !err;
}

/* As the first member of an object. */
void heap_json(const struct heap *h)
{
	json_object("heap");
	if (h->id == HEAP_NO_ID)
		json_null("id");
	else
		json_number("id", h->id);
	json_text("name", h->name);
	if (h->pid)
		json_number("pid", h->pid);
	else
		json_null("pid");
	json_end();
}
