/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All that is done to the device besides ioctls: reading, writing, mapping, passing
 * it on, and what debugfs and io_uring have of it.
 */
#ifndef FUZZ_FILES_H
#define FUZZ_FILES_H

#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include "fuzz_state.h"

/* Reading and writing. */

static size_t io_len(uint64_t arg)
{
	return arg < MEM_ROOM - 4 * MEM_PAGE ? arg : arg % (MEM_ROOM - 4 * MEM_PAGE);
}

static void call_io(struct thread *t, const struct call *call)
{
	int fd = heap_fd(call->arg[0]);
	bool at_offset = call->op != OP_read && call->op != OP_write;
	const uint64_t *arg = &call->arg[at_offset ? 2 : 1];
	uint64_t addr = at_offset ? address(call->arg[1]) : 0;
	struct iovec iov[2];
	ssize_t ret;
	size_t i;

	memset(t->bytes, (int)addr | 1, sizeof(t->bytes));
	for (i = 0; i < 2; i++) {
		iov[i].iov_len = io_len(arg[2 * i]);
		iov[i].iov_base = i && call->op != OP_preadv && call->op != OP_pwritev ? NULL :
			put(t, i, arg[2 * i + 1], t->bytes, iov[i].iov_len);
	}
	switch (call->op) {
	case OP_pread:
		ret = pread(fd, iov[0].iov_base, iov[0].iov_len, addr);
		break;
	case OP_pwrite:
		ret = pwrite(fd, iov[0].iov_base, iov[0].iov_len, addr);
		break;
	case OP_preadv:
		ret = preadv(fd, iov, 2, addr);
		break;
	case OP_pwritev:
		ret = pwritev(fd, iov, 2, addr);
		break;
	case OP_read:
		ret = read(fd, iov[0].iov_base, iov[0].iov_len);
		break;
	default:
		ret = write(fd, iov[0].iov_base, iov[0].iov_len);
	}
	/* What two opened into one place at once may be closed, and the number another file's. */
	if (ret < 0 && fd >= 0 && alone(t) && errno != EFAULT && errno != ENOMEM &&
	    errno != EINVAL && errno != EBADF && errno != ESPIPE)
		trouble(TROUBLE_ANSWER, run.program, "%s: error %d", ops[call->op].name, errno);
}

static void call_splice(struct thread *t, const struct call *call)
{
	int fd = heap_fd(call->arg[0]), ends[2], i;
	loff_t at = address(call->arg[1]);
	size_t len = io_len(call->arg[2]) + 1;
	struct iovec iov = { map_pointer(0, at), len };

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return;
	switch (call->arg[3] % 6) {
	case 0:
		splice(fd, &at, ends[1], NULL, len, SPLICE_F_NONBLOCK);
		break;
	case 1:
		if (write(ends[1], t->bytes, len % MEM_PAGE) > 0)
			splice(ends[0], NULL, fd, &at, len, SPLICE_F_NONBLOCK);
		break;
	case 2:
		vmsplice(ends[1], &iov, 1, SPLICE_F_NONBLOCK);
		break;
	case 3:
		vmsplice(ends[1], &iov, 1, SPLICE_F_NONBLOCK | SPLICE_F_GIFT);
		splice(ends[0], NULL, fd, &at, len, SPLICE_F_NONBLOCK);
		break;
	case 4:
		sendfile(ends[1], fd, &at, len);
		break;
	default:
		copy_file_range(fd, &at, fd, NULL, len, 0);
	}
	/* The pages in the pipe stay for a while. */
	for (i = 0; i < 2; i++) {
		int old = __atomic_exchange_n(&run.pipe[i], ends[i], __ATOMIC_ACQ_REL);

		if (old >= 0)
			close(old);
	}
}

static void call_misc(const struct call *call)
{
	int fd = heap_fd(call->arg[0]), other;
	uint64_t addr = address(call->arg[2]), len = call->arg[3];
	struct epoll_event event = { .events = EPOLLIN | EPOLLPRI };
	struct stat st;

	switch (call->arg[1] % 16) {
	case 0:
		if (ftruncate(fd, len))
			break;
		break;
	case 1:
		fallocate(fd, 0, addr, len);
		break;
	case 2:
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, addr, len);
		break;
	case 3:
		fsync(fd);
		break;
	case 4:
		flock(fd, LOCK_EX | LOCK_NB);
		break;
	case 5:
		fcntl(fd, F_SETFL, (int)(len & (O_NONBLOCK | O_APPEND | O_ASYNC | O_DIRECT)));
		break;
	case 6:
		posix_fadvise(fd, addr, len, (int)(len % 6));
		break;
	case 7:
		sync_file_range(fd, addr, len, 7);
		break;
	case 8:
		readahead(fd, addr, len);
		break;
	case 9:
		fstat(fd, &st);
		break;
	case 10:
		other = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(other, EPOLL_CTL_ADD, fd, &event);
		epoll_wait(other, &event, 1, 0);
		close(other);
		break;
	case 11:
		ioctl(fd, 0x5421 /* FIONBIO */, &(int){ 1 });
		break;
	case 12:
		fcntl(fd, F_SETLEASE, F_WRLCK);
		break;
	case 13:
		other = openat(AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(other);
		break;
	default:
		lseek(fd, addr, len & 1 ? SEEK_DATA : SEEK_HOLE);
	}
}

/* Mappings. */

static void call_map(const struct call *call)
{
	uint64_t i = call->arg[0] % NUM_MAPS, how = call->arg[5] % 16;
	uint64_t offset = how & 1 ? 0 : PAGE_DOWN(address(call->arg[2]));
	uint64_t len = map_len(i, (char *)map_base(i), call->arg[3]);
	int flags = MAP_FIXED | (how == 15 ? MAP_PRIVATE : MAP_SHARED);

	if (len <= TOUCH_BYTES && how & 2)
		flags |= MAP_POPULATE;
	if (len <= TOUCH_BYTES && how == 4)
		flags |= MAP_LOCKED;
	if (how == 8)
		flags |= MAP_NORESERVE;
	if (how == 9)
		flags = MAP_FIXED | MAP_SHARED_VALIDATE | MAP_SYNC;
	if (mmap((void *)map_base(i), len, call->arg[4] & 7, flags, heap_fd(call->arg[1]),
		 offset) == MAP_FAILED)
		return;
	run.map[i].len = len;
	run.map[i].offset = offset ?: DEV_BASE;
}

static void call_remap(const struct call *call)
{
	uint64_t i = call->arg[0] % NUM_MAPS, to = (i + call->arg[2]) % NUM_MAPS;
	uint64_t len = map_len(to, (char *)map_base(to), call->arg[1]);
	int flags = to == i ? 0 : MREMAP_MAYMOVE | MREMAP_FIXED;
	uint64_t old = run.map[i].len;

	if (call->arg[2] == 15)
		flags |= 4;	/* MREMAP_DONTUNMAP */
	if (mremap((void *)map_base(i), call->arg[2] == 14 ? 0 : old, flags & 4 ? old : len, flags,
		   (void *)map_base(to)) == MAP_FAILED)
		return;
	run.map[to].len = len;
	run.map[to].offset = run.map[i].offset;
}

static void call_remote(struct thread *t, const struct call *call)
{
	char *at = map_pointer(call->arg[0], address(call->arg[1]));
	size_t len = io_len(call->arg[2]);
	struct iovec local = { t->bytes, len }, there = { at, len };
	int fd;

	switch (call->arg[3] % 4) {
	case 0:
		process_vm_readv(getpid(), &local, 1, &there, 1, 0);
		break;
	case 1:
		process_vm_writev(getpid(), &local, 1, &there, 1, 0);
		break;
	default:
		fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		if ((call->arg[3] & 1 ? pread(fd, t->bytes, len, (uintptr_t)at) :
					pwrite(fd, t->bytes, len, (uintptr_t)at)) < 0)
			errno = 0;
		close(fd);
	}
}

static void call_look(struct thread *t, const struct call *call)
{
	static const char *const files[] = {
		"maps", "smaps", "smaps_rollup", "pagemap", "numa_maps", "stat", "status",
		"mountinfo",
	};
	char *at = map_pointer(call->arg[0], DEV_BASE), path[64];
	uint64_t i = call->arg[1] % 16;
	int fd;

	if (i >= ARRAY_SIZE(files)) {
		mincore(at, TOUCH_BYTES, (unsigned char *)t->bytes);
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/%s", files[i]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pread(fd, t->bytes, 8192, i == 3 ? (uintptr_t)at / MEM_PAGE * 8 : 0) < 0)
		errno = 0;
	close(fd);
}

static void call_mapping(const struct call *call)
{
	char *at = map_pointer(call->arg[0], address(call->arg[1])), byte;
	char *page = (char *)PAGE_DOWN((uintptr_t)at);
	uint64_t len = map_len(call->arg[0], page, call->arg[2]);
	uint64_t short_len = len < TOUCH_BYTES ? len : TOUCH_BYTES;
	struct timespec moment = { 0, 1000000 };
	int advice;

	switch (call->op) {
	case OP_unmap:
		munmap(page, len);
		break;
	case OP_protect:
		mprotect(page, len, call->arg[3] & 7);
		break;
	case OP_advise:
		advice = advices[call->arg[3] % ARRAY_SIZE(advices)];
		madvise(page, advice >= 22 || advice == MADV_WILLNEED ? short_len : len, advice);
		break;
	case OP_sync:
		msync(page, len, call->arg[3] & 7);
		break;
	case OP_lock:
		if (call->arg[3] & 1)
			munlock(page, short_len);
		else
			mlock2(page, short_len / 4, call->arg[3] >> 1 & 1);
		break;
	case OP_load:
		guarded_copy(&byte, at, 1);
		break;
	case OP_store:
		guarded_copy(at, &call->arg[2], 1 + call->arg[2] % 8);
		break;
	default:
		syscall(SYS_futex, (uintptr_t)at & ~3UL,
			call->arg[2] & 1 ? FUTEX_WAIT : FUTEX_WAKE, call->arg[2] >> 1, &moment,
			NULL, 0);
	}
}

/* Files that are passed on. */

static void call_pass(const struct call *call)
{
	int ends[2];

	if (heap_fd(call->arg[0]) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return;
	if (dev_send_file(ends[0], heap_fd(call->arg[0])) && call->op == OP_pass)
		heap_set(call->arg[1], dev_receive_file(ends[1]));
	close(ends[0]);
	close(ends[1]);
}

/* debugfs. */

static uint32_t heap_id(uint64_t arg)
{
	uint32_t id = run.id[arg % NUM_FDS];
	char path[64], text[256];
	ssize_t n;
	int fd;

	if (id)
		return id;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", heap_fd(arg));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	if (n > 0 && strstr(text, "heap-id:"))
		id = strtoul(strstr(text, "heap-id:") + 8, NULL, 10);
	run.id[arg % NUM_FDS] = id;
	return id;
}

static const char *const tree_names[] = {
	"summary", "metrics", "faults", "name", "limit", "max", "gc_percent", "scavenge",
	"size_classes", "mcache", "mcentral", "spans", "arenas", "pagealloc", "scavenger",
	"memstats/by_size", "memstats/heap_objects", "memstats/sys", "name", "limit", "max",
	"scavenge", "spans", "arenas", "exact_classes", "pages", "pages",
};

static void file_set(uint64_t arg, int fd)
{
	int old = __atomic_exchange_n(&run.file[arg % NUM_FILES], fd, __ATOMIC_ACQ_REL);

	if (old >= 0)
		close(old);
}

static void call_tree_open(const struct call *call)
{
	uint32_t id = heap_id(call->arg[1]);
	char path[128];
	int fd;

	if (call->arg[2] == 63)
		snprintf(path, sizeof(path), "%s/version", DEV_TREE);
	else
		snprintf(path, sizeof(path), "%s/heaps/%u/%s", DEV_TREE, id,
			 tree_names[call->arg[2] % ARRAY_SIZE(tree_names)]);
	/* The module's own heap keeps its limits. */
	fd = id ? open(path, O_RDWR | O_CLOEXEC) : -1;
	file_set(call->arg[0], fd < 0 ? open(path, O_RDONLY | O_CLOEXEC) : fd);
}

static void call_tree(struct thread *t, const struct call *call)
{
	int fd = run.file[call->arg[0] % NUM_FILES];
	uint64_t value = call->arg[call->op == OP_tree_read ? 3 : 1];
	size_t len = io_len(call->arg[1]);
	char text[64], *at;
	ssize_t ret;

	if (call->op == OP_tree_read) {
		memset(t->bytes, 0, len);
		at = put(t, 0, call->arg[2], t->bytes, len);
		ret = value & 1 ? pread(fd, at, len, value >> 1) : read(fd, at, len);
	} else {
		static const char *const forms[] = {
			"%" PRIu64, "0x%" PRIx64 "\n", "%" PRIu64 "\n", "all", "max",
			"none\n", "-1", "", "\n", "%" PRIu64 " %" PRIu64,
			"a name of %" PRIx64, "\x01%" PRIx64,
			"%040" PRIx64 "%040" PRIx64,
		};

		len = snprintf(text, sizeof(text), forms[call->arg[3] % ARRAY_SIZE(forms)], value,
			       value);
		if (len >= sizeof(text))
			len = sizeof(text) - 1;
		at = put(t, 0, call->arg[2], text, len + 1);
		ret = write(fd, at, len + (call->arg[3] == 13));
	}
	if (ret < 0 && fd < 0 && alone(t) && errno != EBADF)
		trouble(TROUBLE_ANSWER, run.program, "a file of debugfs: error %d", errno);
}

/* What of the machine all heaps feel. */

static const char *const module_names[] = { "limit", "max", "scavenge_percent" };
static char module_was[ARRAY_SIZE(module_names)][32];

static void module_keep(void)
{
	char *text;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(module_names); i++) {
		text = dev_module_get(module_names[i]);
		snprintf(module_was[i], sizeof(module_was[i]), "%s", text ?: "");
		free(text);
	}
}

static void module_restore(void)
{
	size_t i;

	for (i = 0; run.tuned && i < ARRAY_SIZE(module_names); i++)
		dev_module_set(module_names[i], module_was[i]);
	run.tuned = false;
}

/* The module's parameters; and idle memory, pages and a CPU taken away. */
static void call_machine(const struct call *call)
{
	unsigned int how = call->arg[0] % 16;
	char text[64];

	if (run.child)
		return;	/* nobody would set it back */
	if (how < 12) {
		snprintf(text, sizeof(text), "%" PRIu64, how % 3 == 2 ? call->arg[1] % 120 :
								       call->arg[1]);
		run.tuned = true;
		dev_module_set(module_names[how % 3], text);
	} else if (how == 12) {
		dev_write_file("/proc/sys/vm/compact_memory", "1");
	} else if (how < 15) {
		dev_write_file("/proc/sys/vm/drop_caches", "6");
	} else {
		snprintf(text, sizeof(text), "/sys/devices/system/cpu/cpu%ld/online",
			 sysconf(_SC_NPROCESSORS_CONF) - 1);
		dev_write_file(text, "0");
		dev_write_file(text, "1");
	}
}

/* A heap that is read and written by io_uring. */
static void call_ring(struct thread *t, const struct call *call)
{
	size_t len = io_len(call->arg[2]);

	if (run.child)
		return;
	memset(t->bytes, 0x11, len);
	ring_call(&t->ring, call->arg[4] % 16, heap_fd(call->arg[0]), address(call->arg[1]),
		  put(t, 2, call->arg[3], t->bytes, len), len);
}

#endif /* FUZZ_FILES_H */
