/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory to hand to the kernel: as it should be, ending too early, read-only, in a
 * mapped heap, changing all the time, no memory at all, and such that a copy from
 * it or to it stands still for as long as somebody else likes: by userfaultfd and
 * by a file of FUSE. That somebody is a process of its own, which has no part in
 * what the fuzzer's others hold.
 */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "fuzz.h"

enum memory {
	MEM_PLAIN,
	MEM_ENDS,	/* mapped up to somewhere inside */
	MEM_READ_ONLY,
	MEM_MISSING,	/* userfaultfd: not there yet */
	MEM_PROTECTED,	/* userfaultfd: there, and not to be written yet */
	MEM_FILE,	/* of FUSE, not read yet */
	MEM_HEAP,	/* in a mapped heap */
	MEM_CHANGING,
	MEM_NONE,	/* an address of nothing */
	NUM_MEMORIES,
};

/* Each thread that runs calls has a piece of each kind for each of a call's pointers. */
#define MEM_PAGE	4096UL
#define MEM_THREADS	2
#define MEM_PIECES	3
#define MEM_ROOM	(32 * MEM_PAGE)
#define MEM_STRIDE	(36 * MEM_PAGE)	/* the rest is not mapped */
#define MEM_BYTES	(MEM_THREADS * MEM_PIECES * MEM_STRIDE)

#define CANARY_BYTES	64
#define CANARY		0xa5

static char *mem_base[NUM_MEMORIES];
static char *mem_template;	/* what the server gives, for MISSING and FILE */
static char *mem_writable;	/* the same as READ_ONLY */
static int mem_uffd = -1;
static int mem_file = -1;	/* of FUSE */
static char mem_mount[32];

/* What the changing of MEM_CHANGING is about. */
static struct {
	volatile uint64_t *volatile at;
	uint64_t value[2];
} changing;

/*
 * An argument that says which memory: the kind; if not 0 so many bytes of it lie in
 * front of a page's end, 1 to 255; whether that first page is there already; which
 * mapping, and which object in it.
 */
#define MEM_KIND(mem)	((enum memory)((mem) % 256 % NUM_MEMORIES))
#define MEM_BEFORE(mem)	((mem) >> 8 & 0xff)
#define MEM_FIRST(mem)	((mem) >> 16 & 1)
#define MEM_MAP(mem)	((mem) >> 24 & 0xff)
#define MEM_OBJECT(mem)	((mem) >> 32 & 0xff)

/* Copies from or to what may not be there; how far it came nobody knows. */
static bool guarded_copy(void *to, const void *from, size_t len)
{
	if (sigsetjmp(probe_env, 0))
		return false;
	probe_armed = 1;
	memcpy(to, from, len);
	probe_armed = 0;
	return true;
}

static bool mem_uffd_begin(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	enum memory kind;
	int i;

	mem_uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (mem_uffd < 0 || ioctl(mem_uffd, UFFDIO_API, &api))
		return false;
	for (kind = MEM_MISSING; kind <= MEM_PROTECTED; kind++)
		for (i = 0; i < MEM_THREADS * MEM_PIECES; i++) {
			struct uffdio_register reg = {
				.range = { (uintptr_t)mem_base[kind] + i * MEM_STRIDE, MEM_ROOM },
				.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
			};

			if (ioctl(mem_uffd, UFFDIO_REGISTER, &reg))
				return false;
		}
	return true;
}

/* The server. A program's calls stand still for as long as it sleeps. */

/* Mostly not at all, so that much gets done. */
static void server_dawdle(uint64_t *rnd)
{
	uint64_t die = dev_random(rnd) % 100;

	if (die >= 95)
		usleep(20000);
	else if (die >= 60)
		usleep(1000 + dev_random(rnd) % 2000);
}

static void server_uffd(uint64_t *rnd)
{
	struct uffd_msg msg;
	uint64_t page, die = dev_random(rnd) % 100;

	if (read(mem_uffd, &msg, sizeof(msg)) != sizeof(msg) || msg.event != UFFD_EVENT_PAGEFAULT)
		return;
	server_dawdle(rnd);
	page = msg.arg.pagefault.address & ~(MEM_PAGE - 1);
	if (msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
		struct uffdio_writeprotect arg = { .range = { page, MEM_PAGE } };

		ioctl(mem_uffd, UFFDIO_WRITEPROTECT, &arg);
	} else if (die < 5) {
		struct uffdio_zeropage arg = { .range = { page, MEM_PAGE } };

		ioctl(mem_uffd, UFFDIO_ZEROPAGE, &arg);
	} else {
		/* Both kinds have their content at the same place. */
		uint64_t off = page - (uintptr_t)mem_base[MEM_MISSING];
		struct uffdio_copy arg = { .dst = page, .len = MEM_PAGE };

		if (off >= MEM_BYTES)
			off = page - (uintptr_t)mem_base[MEM_PROTECTED];
		arg.src = (uintptr_t)mem_template + off;
		ioctl(mem_uffd, UFFDIO_COPY, &arg);
	}
}

static void fuse_answer(int dev, const struct fuse_in_header *in, int error, const void *data,
			size_t len)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + (error ? 0 : len), .error = error, .unique = in->unique,
	};
	struct iovec iov[] = { { &out, sizeof(out) }, { (void *)data, error ? 0 : len } };

	if (writev(dev, iov, 2) < 0)
		return;	/* it was not waited for any more */
}

static struct fuse_attr fuse_attributes(uint64_t node)
{
	return (struct fuse_attr) {
		.ino = node, .size = node == FUSE_ROOT_ID ? 0 : MEM_BYTES, .nlink = 1,
		.mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666,
		.blksize = MEM_PAGE,
	};
}

static void server_fuse_read(int dev, const struct fuse_in_header *in,
			     const struct fuse_read_in *arg, uint64_t *rnd)
{
	uint64_t len = arg->size, die = dev_random(rnd) % 100;

	server_dawdle(rnd);
	if (arg->offset >= MEM_BYTES)
		len = 0;
	else if (len > MEM_BYTES - arg->offset)
		len = MEM_BYTES - arg->offset;
	fuse_answer(dev, in, die < 5 ? -EIO : 0, mem_template + arg->offset, len);
}

/* Return: false when the file system is gone. */
static bool server_fuse(int dev, uint64_t *rnd)
{
	static char request[1 << 18];
	const struct fuse_in_header *in = (const void *)request;
	const void *arg = in + 1;
	struct fuse_entry_out entry = { .nodeid = 2, .attr_valid = 1000, .entry_valid = 1000 };
	struct fuse_attr_out attr = { .attr_valid = 1000 };
	struct fuse_open_out opened = { .open_flags = FOPEN_KEEP_CACHE };
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = MEM_PAGE, .max_write = MEM_PAGE,
	};

	if (read(dev, request, sizeof(request)) < 0)
		return errno != ENODEV;
	switch (in->opcode) {
	case FUSE_INIT:
		fuse_answer(dev, in, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		entry.attr = fuse_attributes(2);
		fuse_answer(dev, in, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		attr.attr = fuse_attributes(in->nodeid);
		fuse_answer(dev, in, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		fuse_answer(dev, in, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		server_fuse_read(dev, in, arg, rnd);
		break;
	case FUSE_RELEASE:
		fuse_answer(dev, in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		fuse_answer(dev, in, -ENOSYS, NULL, 0);
	}
	return true;
}

__attribute__((noreturn))
static void server(int dev, pid_t parent, uint64_t seed)
{
	struct pollfd fds[] = { { dev, POLLIN, 0 }, { mem_uffd, POLLIN, 0 } };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "fuzz-server");
	while (getppid() == parent && poll(fds, 2, 1000) >= 0) {
		if (fds[0].revents && !server_fuse(dev, &seed))
			break;
		if (fds[1].revents & (POLLERR | POLLHUP))
			break;
		if (fds[1].revents & POLLIN)
			server_uffd(&seed);
	}
	_exit(0);
}

/* Each worker has its own. Return: the server's process, or -1. */
static pid_t mem_begin(unsigned int worker, uint64_t seed)
{
	const size_t shm = MAP_SHARED | MAP_ANONYMOUS;
	int fd = memfd_create("read-only", MFD_CLOEXEC), dev, i;
	pid_t pid, parent = getpid();
	char path[64], options[96];
	enum memory kind;

	mem_template = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, shm, -1, 0);
	for (kind = MEM_PLAIN; kind < MEM_HEAP; kind++)
		mem_base[kind] = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mem_base[MEM_CHANGING] = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, shm, -1, 0);
	if (fd < 0 || ftruncate(fd, MEM_BYTES))
		return -1;
	mem_writable = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	mem_base[MEM_READ_ONLY] = mmap(NULL, MEM_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (!mem_uffd_begin())
		return -1;

	snprintf(mem_mount, sizeof(mem_mount), "/tmp/fuzz.%u", worker);
	mkdir(mem_mount, 0700);
	/* A request may go with its process between poll() and read(). */
	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	if (dev < 0 || mount("fuzz", mem_mount, "fuse", MS_NOSUID | MS_NODEV, options))
		return -1;
	pid = fork();
	if (!pid)
		server(dev, parent, seed);
	close(dev);
	snprintf(path, sizeof(path), "%s/file", mem_mount);
	mem_file = open(path, O_RDWR | O_CLOEXEC);
	if (mem_file < 0)
		return -1;
	mem_base[MEM_FILE] = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE,
				  mem_file, 0);
	for (kind = MEM_PLAIN; kind <= MEM_FILE; kind++)
		for (i = 0; i < MEM_THREADS * MEM_PIECES; i++)
			mprotect(mem_base[kind] + i * MEM_STRIDE + MEM_ROOM,
				 MEM_STRIDE - MEM_ROOM, PROT_NONE);
	return pid;
}

static void mem_uffd_give(char *page, bool protect)
{
	uint64_t off = (page - mem_base[protect ? MEM_PROTECTED : MEM_MISSING]);
	struct uffdio_copy arg = {
		.dst = (uintptr_t)page, .src = (uintptr_t)mem_template + off, .len = MEM_PAGE,
		.mode = protect ? UFFDIO_COPY_MODE_WP : 0,
	};

	ioctl(mem_uffd, UFFDIO_COPY, &arg);
}

/*
 * Puts bytes where the kernel shall find them, for one of the threads and one of
 * its pointers. @heap is where the memory is if it is to be a heap's. Return: the
 * pointer.
 */
static char *mem_put(unsigned int thread, unsigned int piece, uint64_t mem, const void *bytes,
		     size_t len, char *heap)
{
	static const uintptr_t nothings[] = {
		0, 0xffff888000000000, 0x7ffffffff000, 0x800000000000, -8L, 0x10,
	};
	size_t off = (thread * MEM_PIECES + piece) * MEM_STRIDE, first = MEM_BEFORE(mem), pages;
	enum memory kind = MEM_KIND(mem);
	char *at = mem_base[kind];

	if (len > MEM_ROOM - 2 * MEM_PAGE)
		len = MEM_ROOM - 2 * MEM_PAGE;
	if (first)
		off += MEM_PAGE - first;
	pages = (off % MEM_PAGE + len + MEM_PAGE - 1) & ~(MEM_PAGE - 1);
	switch (kind) {
	case MEM_PLAIN:
		memcpy(at + off, bytes, len);
		memset(at + off + len, CANARY, CANARY_BYTES);
		break;
	case MEM_ENDS:
		off = off / MEM_STRIDE * MEM_STRIDE + MEM_ROOM - first;
		memcpy(at + off, bytes, len < first ? len : first);
		break;
	case MEM_READ_ONLY:
		memcpy(mem_writable + off, bytes, len);
		break;
	case MEM_MISSING:
	case MEM_PROTECTED:
	case MEM_FILE:
		memcpy(mem_template + off, bytes, len);
		at += off & ~(MEM_PAGE - 1);
		madvise(at, pages, MADV_DONTNEED);
		if (kind == MEM_FILE) {
			posix_fadvise(mem_file, off & ~(MEM_PAGE - 1), pages,
				      POSIX_FADV_DONTNEED);
		} else if (kind == MEM_PROTECTED) {
			for (; pages; pages -= MEM_PAGE, at += MEM_PAGE)
				mem_uffd_give(at, true);
		} else if (MEM_FIRST(mem)) {
			mem_uffd_give(at, false);
		}
		at = mem_base[kind];
		break;
	case MEM_HEAP:
		guarded_copy(heap, bytes, len);
		return heap;
	case MEM_CHANGING:
		memcpy(at + off, bytes, len);
		changing.value[0] = *(uint64_t *)(at + off);
		changing.value[1] = changing.value[0] ^ (mem >> 40 & 0xffff);
		__atomic_store_n(&changing.at, (volatile uint64_t *)(at + off), __ATOMIC_RELEASE);
		break;
	case MEM_NONE:
	default:
		return (char *)nothings[first % ARRAY_SIZE(nothings)];
	}
	return at + off;
}

/* Whether the bytes behind what was put are as they were; for MEM_PLAIN. */
static bool mem_canary(const char *at, size_t len)
{
	return bytes_are(at + len, CANARY_BYTES, CANARY);
}

/* That nobody changes anything any more. */
static void mem_calm(void)
{
	__atomic_store_n(&changing.at, NULL, __ATOMIC_RELEASE);
}

static void *mem_changer(void *arg)
{
	uint64_t i;

	(void)arg;
	prctl(PR_SET_NAME, "fuzz-changer");
	for (;;) {
		volatile uint64_t *at = __atomic_load_n(&changing.at, __ATOMIC_ACQUIRE);

		if (!at) {
			usleep(500);
			continue;
		}
		for (i = 0; i < 64; i++)
			*at = changing.value[i & 1];
		sched_yield();
	}
	return NULL;
}

#endif /* FUZZ_MEMORY_H */
