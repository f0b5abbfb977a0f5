// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/goalloc: the ioctls as functions, and errors in words.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
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
		return ": try as root, or with the udev rule as a member of group goalloc";
	case EBUSY:
		return ": try again when the module has been loaded or unloaded";
	case EMFILE:
	case ENFILE:
		return ": close some files, or raise the limit (ulimit -n)";
	case ENOMEM:
		return ": a new heap needs a little memory, and there is none";
	default:
		return "";
	}
}

/* strerror() begins with a capital, what it is put behind here does not. */
static const char *reason(int err)
{
	return err == ENOENT ? "no such file" : err == EACCES || err == EPERM ?
		"no permission" : strerror(err);
}

/* Why it cannot be used. */
void dev_complain(int err)
{
	complain("%s: %s%s", DEVICE, reason(err), open_hint(err));
}

/* A heap of our own, gone when the file is closed. */
bool dev_open(int *fd)
{
	*fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		dev_complain(errno);
	return *fd >= 0;
}

bool dev_process_lives(int pid)
{
	return !kill(pid, 0) || errno == EPERM;
}

/* Why no heap was found; a @file of -1 is any. Return: false. */
bool dev_explain_no_heap(int pid, int file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	if (!dev_process_lives(pid))
		complain("there is no process %d", pid);
	else if (access(path, R_OK | X_OK))
		complain("the files of process %d: %s: this takes its owner or root", pid,
			 reason(errno));
	else if (file >= 0)
		complain("file %d of process %d is no heap of goalloc", file, pid);
	else
		complain("process %d has no heap of goalloc open", pid);
	return false;
}

/* Another process's file, as one of ours. */
bool dev_borrow(int pid, int file, int *fd)
{
	struct goalloc_info info = { .size = sizeof(info) };
	int pidfd, err;

	*fd = -1;
	pidfd = pidfd_open(pid, 0);
	if (pidfd >= 0)
		*fd = pidfd_getfd(pidfd, file, 0);
	err = errno;
	if (pidfd >= 0)
		close(pidfd);
	if (*fd < 0) {
		if (err == ESRCH || err == EBADF)
			complain("process %d has closed its file %d", pid, file);
		else
			complain("file %d of process %d: %s%s", file, pid, reason(err),
				 err == EPERM || err == EACCES ?
				 ": this takes the right to trace that process; try as root" : "");
		return false;
	}
	if (ioctl(*fd, GOALLOC_IOC_INFO, &info) < 0) {
		complain("file %d of process %d is no heap of goalloc", file, pid);
		close(*fd);
		*fd = -1;
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

int dev_get_param(int fd, uint32_t id, uint64_t *value)
{
	struct goalloc_param arg = { .size = sizeof(arg), .id = id };

	if (ioctl(fd, GOALLOC_IOC_GET_PARAM, &arg) < 0)
		return -errno;
	*value = arg.value;
	return 0;
}

int dev_set_param(int fd, uint32_t id, uint64_t value)
{
	struct goalloc_param arg = { .size = sizeof(arg), .id = id, .value = value };

	return ioctl(fd, GOALLOC_IOC_SET_PARAM, &arg) < 0 ? -errno : 0;
}

int dev_scavenge(int fd, uint64_t bytes, uint64_t *released)
{
	struct goalloc_scavenge arg = { .size = sizeof(arg), .bytes = bytes };

	if (ioctl(fd, GOALLOC_IOC_SCAVENGE, &arg) < 0)
		return -errno;
	*released = arg.released;
	return 0;
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

/* A module that is older than this program. */
const char *dev_old_hint(int err)
{
	return err == -ENOTTY ? ": the module that is loaded is too old for that" : "";
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
		return "no memory, or over the heap's max (goallocctl limit shows it)";
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
