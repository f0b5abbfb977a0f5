// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/goalloc: what heaps there are and what their files say.
 * Functions that return a bool have said what went wrong.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "books.h"
#include "debugfs.h"
#include "goallocctl.h"

#define DEBUGFS	"/sys/kernel/debug"
#define TREE	DEBUGFS "/goalloc"

static const char *tree_hint(int err)
{
	if (err == EACCES || err == EPERM)
		return ": debugfs is for root: try as root";
	if (err != ENOENT)
		return "";
	/* An empty directory there is in any case. */
	if (access(DEBUGFS "/bdi", F_OK) && access(DEBUGFS "/tracing", F_OK) &&
	    access(TREE, F_OK))
		return ": is debugfs mounted? try: mount -t debugfs none " DEBUGFS;
	return access(TREE, F_OK) ? ": is the module loaded? try: modprobe goalloc" : "";
}

static void complain_of(const char *path, int err)
{
	complain("%s: %s%s", path, err == ENOENT ? "no such file" : err == EACCES ||
		 err == EPERM ? "no permission" : strerror(err), tree_hint(err));
}

/* What debugfs_heaps() returned, in words. */
void debugfs_complain(int err)
{
	complain_of(TREE "/heaps", -err);
}

bool debugfs_readable(void)
{
	return !access(TREE "/heaps", R_OK | X_OK);
}

static int id_cmp(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return x < y ? -1 : x > y;
}

/* Ids of all heaps in order; free() them. Return: 0 or a negative errno, silently. */
int debugfs_heaps(unsigned int **ids, size_t *n)
{
	size_t room = 64;
	struct dirent *entry;
	DIR *dir = opendir(TREE "/heaps");

	if (!dir)
		return -errno;
	*n = 0;
	*ids = malloc(room * sizeof(**ids));
	while (*ids && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (*n == room)
			*ids = reallocarray(*ids, room *= 2, sizeof(**ids));
		if (*ids)
			(*ids)[(*n)++] = strtoul(entry->d_name, NULL, 10);
	}
	closedir(dir);
	if (!*ids)
		return -ENOMEM;
	qsort(*ids, *n, sizeof(**ids), id_cmp);
	return 0;
}

static char *read_all(const char *path)
{
	size_t len = 0, room = 1 << 14;
	char *text = malloc(room);
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	ssize_t n = fd;

	while (n >= 0 && text && (n = read(fd, text + len, room - len - 1)) > 0) {
		len += n;
		if (room - len < 4096)
			text = realloc(text, room *= 2);
	}
	err = errno;
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		free(text);
		errno = err;
		return NULL;
	}
	if (text)
		text[len] = '\0';
	return text;
}

/* A heap's file as a string, to be freed; NULL and errno if it cannot be read. */
char *debugfs_read(unsigned int heap, const char *file)
{
	char path[128];

	snprintf(path, sizeof(path), TREE "/heaps/%u/%s", heap, file);
	return read_all(path);
}

/* The heap that was read last. */
static unsigned int seen = ~0U;

/* Is it on its way out? Its files go first, then the directory. */
static bool is_going(unsigned int heap)
{
	int tries;

	for (tries = 0; tries < 6000 && debugfs_has_heap(heap); tries++)
		usleep(10000);
	return !debugfs_has_heap(heap);
}

static void complain_of_file(unsigned int heap, const char *file, int err)
{
	bool missing = (err == ENOENT || err == EIO) && !access(TREE "/heaps/0", F_OK);
	char path[128];

	snprintf(path, sizeof(path), TREE "/heaps/%u/%s", heap, file);
	if (missing && heap == seen && is_going(heap))
		complain("heap %u has gone", heap);
	else if (missing && !debugfs_has_heap(heap))
		complain("there is no heap %u; \"goallocctl heaps\" lists them", heap);
	else
		complain_of(path, err);
}

/* As debugfs_read(), but not silent. */
char *debugfs_need(unsigned int heap, const char *file)
{
	char *text = debugfs_read(heap, file);

	if (!text)
		complain_of_file(heap, file, errno);
	else
		seen = heap;
	return text;
}

bool debugfs_write(unsigned int heap, const char *file, const char *value)
{
	char path[128];
	ssize_t n = -1;
	int fd, err;

	snprintf(path, sizeof(path), TREE "/heaps/%u/%s", heap, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		n = write(fd, value, strlen(value));
	err = errno;
	if (fd >= 0)
		close(fd);
	if (n < 0 && err == EINVAL)
		complain("%s of heap %u cannot be %s", file, heap, value);
	else if (n < 0)
		complain_of_file(heap, file, err);
	return n >= 0;
}

/* A file with one number in it. */
bool debugfs_number(unsigned int heap, const char *file, uint64_t *value)
{
	char *text = debugfs_need(heap, file);
	bool number;

	if (!text)
		return false;
	number = isdigit((unsigned char)*text);
	*value = strtoull(text, NULL, 10);
	if (!number)
		complain("%s of heap %u is no number: %s", file, heap, text);
	free(text);
	return number;
}

/* Silent, as heaps come and go. */
bool debugfs_name(unsigned int heap, char *name, size_t size)
{
	char *text = debugfs_read(heap, "name");

	if (!text)
		return false;
	text[strcspn(text, "\n")] = '\0';
	snprintf(name, size, "%s", text);
	clean_text(name);
	free(text);
	return true;
}

bool debugfs_has_heap(unsigned int heap)
{
	char path[128];

	snprintf(path, sizeof(path), TREE "/heaps/%u", heap);
	return !access(path, F_OK);
}

bool debugfs_summary(unsigned int heap, struct goalloc_memstats *ms)
{
	char *text = debugfs_need(heap, "summary");
	bool whole;

	if (!text)
		return false;
	whole = books_parse(text, ms);
	free(text);
	if (!whole)
		complain("the summary of heap %u lacks fields, or has others behind them", heap);
	return whole;
}

/* Adds what summary does not have. */
bool debugfs_by_size(unsigned int heap, struct goalloc_memstats *ms)
{
	char *text = debugfs_need(heap, "memstats/by_size"), *line;
	unsigned int class, bytes;
	uint64_t mallocs, frees;

	if (!text)
		return false;
	for (line = strchr(text, '\n'); line; line = strchr(line + 1, '\n')) {
		if (sscanf(line, "%u %u %" SCNu64 " %" SCNu64, &class, &bytes, &mallocs,
			   &frees) != 4 || class >= GOALLOC_BY_SIZE_MAX)
			continue;
		ms->by_size_count++;
		ms->by_size[class] = (struct goalloc_by_size){
			.object_size = bytes, .mallocs = mallocs, .frees = frees,
		};
	}
	free(text);
	return true;
}

/* The heap of the file that this process opened last. */
bool debugfs_own_heap(unsigned int *heap)
{
	char *comm = read_all("/proc/self/comm"), name[64], own[64];
	unsigned int *ids;
	bool found = false;
	size_t n, i;
	int err;

	err = debugfs_heaps(&ids, &n);
	if (err) {
		debugfs_complain(err);
		free(comm);
		return false;
	}
	if (comm)
		comm[strcspn(comm, "\n")] = '\0';
	snprintf(own, sizeof(own), "%s:%d", comm ? comm : "", (int)getpid());
	for (i = 0; i < n; i++) {
		if (debugfs_name(ids[i], name, sizeof(name)) && !strcmp(name, own)) {
			*heap = ids[i];
			found = true;
		}
	}
	free(ids);
	free(comm);
	if (!found)
		complain("no heap in %s/heaps is named %s", TREE, own);
	return found;
}
