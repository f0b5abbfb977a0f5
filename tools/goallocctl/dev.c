// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/goalloc: the ioctls as functions, and errors in words.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "dev.h"
#include "goallocctl.h"

static const char *open_hint(int err)
{
	switch (err) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return ": is the module loaded? try: modprobe goalloc";
	case EACCES:
	case EPERM:
		return ": it is for root, unless its mode says otherwise";
	default:
		return "";
	}
}

/* A heap of our own, gone when the file is closed. */
bool dev_open(int *fd)
{
	*fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		complain("%s: %s%s", DEVICE, strerror(errno), open_hint(errno));
	return *fd >= 0;
}

/* The first of a process's files that is a goalloc heap, or -1. */
static int heap_file_of(int pid)
{
	char path[64], target[64];
	struct dirent *entry;
	int found = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while (found < 0 && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		if (!strcmp(target, DEVICE))
			found = atoi(entry->d_name);
	}
	closedir(dir);
	return found;
}

/* Another process's heap: "PID:FD", or "PID" for the first heap it has open. */
bool dev_borrow(const char *whose, int *fd)
{
	struct goalloc_info info = { .size = sizeof(info) };
	int pid, file, pidfd, end = 0;

	*fd = -1;
	if (sscanf(whose, "%d:%d%n", &pid, &file, &end) != 2 || whose[end]) {
		if (sscanf(whose, "%d%n", &pid, &end) != 1 || whose[end] || pid <= 0) {
			complain("%s is neither PID nor PID:FD", whose);
			return false;
		}
		file = heap_file_of(pid);
		if (file < 0) {
			complain("process %d has no heap of goalloc open that can be seen", pid);
			return false;
		}
	}
	pidfd = pidfd_open(pid, 0);
	if (pidfd >= 0) {
		*fd = pidfd_getfd(pidfd, file, 0);
		close(pidfd);
	}
	if (*fd < 0) {
		complain("file %d of process %d: %s", file, pid, strerror(errno));
		return false;
	}
	if (ioctl(*fd, GOALLOC_IOC_INFO, &info) < 0) {
		complain("file %d of process %d is no heap of goalloc", file, pid);
		close(*fd);
		return false;
	}
	return true;
}

bool dev_info(int fd, struct goalloc_info *info)
{
	*info = (struct goalloc_info){ .size = sizeof(*info) };
	if (!ioctl(fd, GOALLOC_IOC_INFO, info))
		return true;
	complain("INFO: %s", strerror(errno));
	return false;
}

bool dev_stats(int fd, struct goalloc_memstats *ms)
{
	memset(ms, 0, sizeof(*ms));
	ms->size = sizeof(*ms);
	if (!ioctl(fd, GOALLOC_IOC_MEMSTATS, ms))
		return true;
	complain("MEMSTATS: %s", strerror(errno));
	return false;
}

int dev_alloc(int fd, uint64_t bytes, uint64_t align, uint32_t flags, uint64_t *addr,
	      uint64_t *usable)
{
	struct goalloc_alloc arg = {
		.size = sizeof(arg), .flags = flags, .bytes = bytes, .align = align,
	};

	if (ioctl(fd, GOALLOC_IOC_ALLOC, &arg) < 0)
		return -errno;
	*addr = arg.addr;
	*usable = arg.usable;
	return 0;
}

int dev_free(int fd, uint64_t addr)
{
	struct goalloc_free arg = { .size = sizeof(arg), .addr = addr };

	return ioctl(fd, GOALLOC_IOC_FREE, &arg) < 0 ? -errno : 0;
}

static int batch(int fd, unsigned long cmd, const uint64_t *bytes, const uint64_t *addrs,
		 uint32_t count, uint32_t *done)
{
	struct goalloc_batch arg = {
		.size = sizeof(arg), .count = count,
		.sizes = (uintptr_t)bytes, .addrs = (uintptr_t)addrs,
	};

	*done = 0;
	if (ioctl(fd, cmd, &arg) < 0)
		return -errno;
	*done = arg.done;
	return 0;
}

/* Success means that at least one was done. */
int dev_alloc_batch(int fd, const uint64_t *bytes, uint64_t *addrs, uint32_t count,
		    uint32_t *done)
{
	return batch(fd, GOALLOC_IOC_ALLOC_BATCH, bytes, addrs, count, done);
}

int dev_free_batch(int fd, const uint64_t *addrs, uint32_t count, uint32_t *done)
{
	return batch(fd, GOALLOC_IOC_FREE_BATCH, NULL, addrs, count, done);
}

int dev_query(int fd, uint64_t addr, struct goalloc_query *q)
{
	*q = (struct goalloc_query){ .size = sizeof(*q), .addr = addr };
	return ioctl(fd, GOALLOC_IOC_QUERY, q) < 0 ? -errno : 0;
}

/* All of it, or an error: -EIO if it ends too early. */
int dev_write(int fd, uint64_t addr, const void *from, uint64_t bytes)
{
	ssize_t n = pwrite(fd, from, bytes, addr);

	return n < 0 ? -errno : (uint64_t)n < bytes ? -EIO : 0;
}

int dev_read(int fd, uint64_t addr, void *to, uint64_t bytes)
{
	ssize_t n = pread(fd, to, bytes, addr);

	return n < 0 ? -errno : (uint64_t)n < bytes ? -EIO : 0;
}

/* What an errno means that goalloc answers to an allocation. */
const char *dev_alloc_error(int err)
{
	switch (-err) {
	case EINVAL:
		return "not an alignment: 0 or a power of two up to 2 MiB";
	case EFBIG:
		return "larger than a heap's address space";
	case ENOMEM:
		return "no memory, or over the heap's limit";
	case EOPNOTSUPP:
		return "a flag that this module does not know";
	default:
		return "refused";
	}
}

/* What an errno means that goalloc answers to an address. */
const char *dev_address_error(int err)
{
	switch (-err) {
	case EALREADY:
		return "freed already";
	case EINVAL:
		return "not the first byte of an object";
	case ENOENT:
		return "in no span in use";
	case EFAULT:
		return "outside of every span in use";
	case EIO:
		return "runs out of the spans in use";
	default:
		return "refused";
	}
}

const char *dev_state_text(uint32_t state)
{
	switch (state) {
	case GOALLOC_QUERY_FREE:
		return "free";
	case GOALLOC_QUERY_LIVE:
		return "live";
	case GOALLOC_QUERY_TINY:
		return "tiny";
	default:
		return "?";
	}
}
