// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device as a 32-bit program sees it: every ioctl, pointers above 2 GiB in
 * fields of 64 bits, heap addresses as file offsets. For 64 bits the program is
 * the same, and has to come to the same.
 *
 * The kernel's harness is not made for -m32 everywhere, so this one brings what
 * little of it is needed.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/goalloc.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAP_BASE	0xc000000000ULL
#define HEAP_SPACE	(1ULL << 40)
#define HEAP_PAGE	8192
#define LARGE		65536

_Static_assert(sizeof(off_t) == 8, "off_t");
_Static_assert(sizeof(struct goalloc_info) == 48, "goalloc_info");
_Static_assert(sizeof(struct goalloc_alloc) == 40, "goalloc_alloc");
_Static_assert(sizeof(struct goalloc_free) == 16, "goalloc_free");
_Static_assert(sizeof(struct goalloc_batch) == 32, "goalloc_batch");
_Static_assert(sizeof(struct goalloc_query) == 56, "goalloc_query");
_Static_assert(sizeof(struct goalloc_param) == 16, "goalloc_param");
_Static_assert(sizeof(struct goalloc_scavenge) == 24, "goalloc_scavenge");
_Static_assert(sizeof(struct goalloc_name) == 56, "goalloc_name");
_Static_assert(sizeof(struct goalloc_by_size) == 24, "goalloc_by_size");
_Static_assert(sizeof(struct goalloc_memstats) == 1864, "goalloc_memstats");
_Static_assert(offsetof(struct goalloc_info, features) == 8, "features");
_Static_assert(offsetof(struct goalloc_info, batch_max) == 44, "batch_max");
_Static_assert(offsetof(struct goalloc_alloc, bytes) == 8, "bytes");
_Static_assert(offsetof(struct goalloc_alloc, addr) == 24, "addr");
_Static_assert(offsetof(struct goalloc_free, addr) == 8, "addr");
_Static_assert(offsetof(struct goalloc_batch, sizes) == 8, "sizes");
_Static_assert(offsetof(struct goalloc_batch, count) == 24, "count");
_Static_assert(offsetof(struct goalloc_query, base) == 16, "base");
_Static_assert(offsetof(struct goalloc_query, state) == 48, "state");
_Static_assert(offsetof(struct goalloc_param, value) == 8, "value");
_Static_assert(offsetof(struct goalloc_scavenge, released) == 16, "released");
_Static_assert(offsetof(struct goalloc_name, name) == 8, "name");
_Static_assert(offsetof(struct goalloc_memstats, alloc) == 8, "alloc");
_Static_assert(offsetof(struct goalloc_memstats, by_size) == 232, "by_size");

static int failures;

__attribute__((format(printf, 2, 3)))
static void failed(int line, const char *format, ...)
{
	va_list args;

	failures++;
	printf("# compat32.c:%d: ", line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

#define CHECK(what) do {						\
	if (!(what))							\
		failed(__LINE__, "%s", #what);				\
} while (0)

#define CHECK_EQ(seen, wanted) do {					\
	long long _seen = (seen), _wanted = (wanted);			\
									\
	if (_seen != _wanted)						\
		failed(__LINE__, "%s is %lld (%#llx), not %lld (%#llx)", #seen,	\
		       _seen, _seen, _wanted, _wanted);			\
} while (0)

static int fd;

static long call(unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

static uint64_t new_object(uint64_t bytes)
{
	struct goalloc_alloc arg = { .size = sizeof(arg), .bytes = bytes };

	CHECK_EQ(call(GOALLOC_IOC_ALLOC, &arg), 0);
	return arg.addr;
}

static long free_object(uint64_t addr)
{
	struct goalloc_free arg = { .size = sizeof(arg), .addr = addr };

	return call(GOALLOC_IOC_FREE, &arg);
}

static struct goalloc_memstats books(void)
{
	struct goalloc_memstats ms = { .size = sizeof(ms) };

	CHECK_EQ(call(GOALLOC_IOC_MEMSTATS, &ms), 0);
	return ms;
}

/* Memory of which every address has its highest bit set, where pointers have 32. */
static void *high_memory(size_t bytes)
{
	void *where = (void *)0xd0000000UL;
	void *p = mmap(where, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	CHECK(p == where);
	return p;
}

/* A pointer as the interface wants it. */
static uint64_t user_pointer(const void *p)
{
	return (uintptr_t)p;
}

static void info(void)
{
	struct goalloc_info arg;

	memset(&arg, 0xff, sizeof(arg));
	arg.size = sizeof(arg);
	CHECK_EQ(call(GOALLOC_IOC_INFO, &arg), 0);
	CHECK_EQ(arg.abi_version, GOALLOC_ABI_VERSION);
	CHECK_EQ(arg.heap_base, HEAP_BASE);
	CHECK_EQ(arg.heap_max, HEAP_SPACE);
	CHECK_EQ(arg.page_size, HEAP_PAGE);
	CHECK_EQ(arg.max_small_size, 32768);
	CHECK_EQ(arg.num_size_classes, 68);
	CHECK(arg.batch_max >= 1024 && arg.batch_max < 1 << 24);
}

static void objects(void)
{
	struct goalloc_alloc a;
	struct goalloc_query q;

	memset(&a, 0xff, sizeof(a));
	a.size = sizeof(a);
	a.flags = 0;
	a.bytes = 1000;
	a.align = 256;
	CHECK_EQ(call(GOALLOC_IOC_ALLOC, &a), 0);
	CHECK(a.addr >= HEAP_BASE && a.addr < HEAP_BASE + HEAP_SPACE && a.addr % 256 == 0);
	CHECK_EQ(a.usable, 1024);
	memset(&q, 0xff, sizeof(q));
	q.size = sizeof(q);
	q.flags = 0;
	q.addr = a.addr + 999;
	CHECK_EQ(call(GOALLOC_IOC_QUERY, &q), 0);
	CHECK_EQ(q.base, a.addr);
	CHECK_EQ(q.usable, 1024);
	CHECK_EQ(q.span_base % HEAP_PAGE, 0);
	CHECK_EQ(q.span_pages, 1);
	CHECK_EQ(q.state, GOALLOC_QUERY_LIVE);
	CHECK_EQ(q.reserved, 0);
	CHECK_EQ(free_object(a.addr), 0);
	CHECK(free_object(a.addr) < 0);

	/* Sizes beyond 4 GiB are no smaller ones. */
	a.size = sizeof(a);
	a.bytes = HEAP_SPACE + 1;
	a.align = 0;
	CHECK_EQ(call(GOALLOC_IOC_ALLOC, &a), -EFBIG);
	a.bytes = 5ULL << 30;
	CHECK_EQ(call(GOALLOC_IOC_ALLOC, &a), 0);
	CHECK(a.usable >= 5ULL << 30);
	CHECK_EQ(books().heap_objects, 1);
	CHECK(books().heap_inuse >= 5ULL << 30);
	CHECK_EQ(free_object(a.addr + 1), -EINVAL);
	CHECK_EQ(free_object(a.addr + (4ULL << 30)), -EINVAL);
	CHECK_EQ(free_object(a.addr), 0);
	CHECK_EQ(free_object((1ULL << 32) | GOALLOC_ZERO_ADDR), -ENOENT);
	CHECK_EQ(books().heap_objects, 0);
}

static void batches(void)
{
	enum { N = 700 };
	uint64_t *high = high_memory(1 << 16), *addrs = high + N;
	struct goalloc_batch arg;
	int i;

	if (high == MAP_FAILED)
		return;
	for (i = 0; i < N; i++)
		high[i] = 16 + i * 3;
	arg = (struct goalloc_batch){
		.size = sizeof(arg), .count = N, .sizes = user_pointer(high),
		.addrs = user_pointer(addrs),
	};
	CHECK_EQ(call(GOALLOC_IOC_ALLOC_BATCH, &arg), 0);
	CHECK_EQ(arg.done, N);
	CHECK_EQ(books().heap_objects, N);
	for (i = 0; i < N; i++) {
		CHECK(addrs[i] >= HEAP_BASE);
		CHECK_EQ(pwrite(fd, &i, sizeof(i), addrs[i]), sizeof(i));
	}
	for (i = 0; i < N; i++) {
		int seen = -1;

		CHECK_EQ(pread(fd, &seen, sizeof(seen), addrs[i]), sizeof(seen));
		CHECK_EQ(seen, i);
	}
	/* The struct itself up there, too. */
	*(struct goalloc_batch *)high = (struct goalloc_batch){
		.size = sizeof(arg), .count = N, .addrs = user_pointer(addrs),
	};
	CHECK_EQ(call(GOALLOC_IOC_FREE_BATCH, high), 0);
	CHECK_EQ(((struct goalloc_batch *)high)->done, N);
	CHECK_EQ(books().heap_objects, 0);

	/* Pointers of which the upper half is not 0 lead nowhere. */
	if (sizeof(void *) == 4) {
		high[0] = 100;
		arg.size = sizeof(arg);
		arg.count = 1;
		arg.sizes = user_pointer(high) | 0xffffffff00000000;
		CHECK_EQ(call(GOALLOC_IOC_ALLOC_BATCH, &arg), -EFAULT);
		arg.sizes = user_pointer(high);
		arg.addrs = user_pointer(addrs) | 1ULL << 63;
		CHECK_EQ(call(GOALLOC_IOC_ALLOC_BATCH, &arg), -EFAULT);
		CHECK_EQ(books().heap_objects, 0);
	}
	munmap(high, 1 << 16);
}

static void params(void)
{
	static const uint64_t values[] = { 0, 1, 1ULL << 31, (1ULL << 32) + 5, 1ULL << 63, ~0ULL };
	struct goalloc_param arg;
	size_t i;
	int id;

	for (id = GOALLOC_PARAM_LIMIT; id <= GOALLOC_PARAM_MAX; id++) {
		for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
			arg = (struct goalloc_param){
				.size = sizeof(arg), .id = id, .value = values[i],
			};
			CHECK_EQ(call(GOALLOC_IOC_SET_PARAM, &arg), 0);
			arg.value = 77;
			CHECK_EQ(call(GOALLOC_IOC_GET_PARAM, &arg), 0);
			CHECK_EQ(arg.value, values[i]);
		}
	}
	arg = (struct goalloc_param){
		.size = sizeof(arg), .id = GOALLOC_PARAM_GC_PERCENT, .value = (1ULL << 32) + 100,
	};
	CHECK_EQ(call(GOALLOC_IOC_SET_PARAM, &arg), -EINVAL);
	arg.id = 9;
	CHECK_EQ(call(GOALLOC_IOC_GET_PARAM, &arg), -EOPNOTSUPP);
}

static void scavenging(void)
{
	struct goalloc_scavenge arg = { .size = sizeof(arg), .bytes = ~0ULL };
	uint64_t addr = new_object(LARGE), off;
	struct goalloc_memstats ms;
	int tries = 0;

	for (off = 0; off < LARGE; off += HEAP_PAGE)
		CHECK_EQ(pwrite(fd, "s", 1, addr + off), 1);
	CHECK_EQ(free_object(addr), 0);
	/* The background may have a piece in its hands, which it gives back by itself. */
	do {
		CHECK_EQ(call(GOALLOC_IOC_SCAVENGE, &arg), 0);
		ms = books();
		usleep(10000);
	} while (ms.heap_idle != ms.heap_released && ++tries < 6000);
	CHECK_EQ(ms.heap_idle - ms.heap_released, 0);
	arg.bytes = (1ULL << 32) + 1;
	CHECK_EQ(call(GOALLOC_IOC_SCAVENGE, &arg), 0);
	CHECK_EQ(arg.released, 0);
	arg.flags = 1;
	CHECK_EQ(call(GOALLOC_IOC_SCAVENGE, &arg), -EOPNOTSUPP);
}

static void named(void)
{
	struct goalloc_name arg = { .size = sizeof(arg), .name = "thirty-two" };
	char path[64], text[2048];
	FILE *f;
	size_t n;

	CHECK_EQ(call(GOALLOC_IOC_SET_NAME, &arg), 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	CHECK(f);
	if (!f)
		return;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	CHECK(strstr(text, "heap-name:\tthirty-two\n"));
	CHECK(strstr(text, "heap-max:\t18446744073709551615\n"));
	fclose(f);
}

/* Structs of other sizes and in bad places, by the same rules as elsewhere. */
static void refused(void)
{
	static const struct {
		unsigned long cmd;
		uint32_t size;
	} ops[] = {
		{ GOALLOC_IOC_INFO, 48 }, { GOALLOC_IOC_ALLOC, 40 }, { GOALLOC_IOC_FREE, 16 },
		{ GOALLOC_IOC_ALLOC_BATCH, 32 }, { GOALLOC_IOC_FREE_BATCH, 32 },
		{ GOALLOC_IOC_QUERY, 56 }, { GOALLOC_IOC_SET_PARAM, 16 },
		{ GOALLOC_IOC_GET_PARAM, 16 }, { GOALLOC_IOC_MEMSTATS, 1864 },
		{ GOALLOC_IOC_SCAVENGE, 24 }, { GOALLOC_IOC_SET_NAME, 56 },
	};
	static uint32_t arg[1024];
	size_t i;

	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		CHECK_EQ(call(ops[i].cmd, NULL), -EFAULT);
		CHECK_EQ(call(ops[i].cmd, (void *)-1L), -EFAULT);
		CHECK_EQ(call(ops[i].cmd, (void *)0xfffff000UL), -EFAULT);
		memset(arg, 0, sizeof(arg));
		CHECK_EQ(call(ops[i].cmd, arg), -EINVAL);
		arg[0] = ops[i].size - 1;
		CHECK_EQ(call(ops[i].cmd, arg), -EINVAL);
		arg[0] = ops[i].size + 4;
		arg[ops[i].size / 4] = 1;
		CHECK_EQ(call(ops[i].cmd, arg), -E2BIG);
		arg[0] = ~0U;
		CHECK_EQ(call(ops[i].cmd, arg), -E2BIG);
	}
	CHECK_EQ(call(_IO(GOALLOC_IOC_MAGIC, 0x0b), arg), -ENOTTY);
	CHECK_EQ(call(_IOWR(GOALLOC_IOC_MAGIC, 1, struct goalloc_alloc), arg), -ENOTTY);
	CHECK_EQ(books().heap_objects, 0);
}

static void offsets(void)
{
	uint64_t addr = new_object(5ULL << 30), far = addr + (4ULL << 30) + 4321;
	char buf[16] = "";

	CHECK_EQ(pwrite(fd, "far away", 9, far), 9);
	CHECK_EQ(pread(fd, buf, 9, far), 9);
	CHECK(!strcmp(buf, "far away"));
	CHECK_EQ(lseek(fd, far, SEEK_SET), far);
	CHECK_EQ(write(fd, "FAR", 3), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), far + 3);
	CHECK_EQ(lseek(fd, addr, SEEK_DATA), far / HEAP_PAGE * HEAP_PAGE);
	CHECK_EQ(lseek(fd, far, SEEK_HOLE), far / HEAP_PAGE * HEAP_PAGE + HEAP_PAGE);
	CHECK_EQ(pread(fd, buf, 9, far), 9);
	CHECK(!strcmp(buf, "FAR away"));
	/* Not the page of which the lower half of the address is the same. */
	CHECK_EQ(pread(fd, buf, 9, far - (4ULL << 30)), 9);
	CHECK(!buf[0] && !buf[8]);
	CHECK_EQ(pread(fd, buf, 9, HEAP_BASE + HEAP_SPACE), -1);
	CHECK_EQ(errno, EFAULT);
}

static sigjmp_buf on_bus;

static void bus(int sig)
{
	siglongjmp(on_bus, sig);
}

static void mapped(void)
{
	uint64_t addr = new_object(LARGE), far = new_object(5ULL << 30) + (4ULL << 30);
	struct sigaction action = { .sa_handler = bus, .sa_flags = SA_NODEFER };
	char *p, *q, *start, buf[16];

	/* The base is an offset of 40 bits, 28 of them of its page. */
	p = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, addr);
	q = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, far);
	start = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && q != MAP_FAILED && start != MAP_FAILED);
	if (p == MAP_FAILED || q == MAP_FAILED || start == MAP_FAILED)
		return;
	strcpy(p + 100, "near");
	strcpy(q + 100, "far");
	CHECK_EQ(pread(fd, buf, 5, addr + 100), 5);
	CHECK(!strcmp(buf, "near"));
	CHECK_EQ(pread(fd, buf, 4, far + 100), 4);
	CHECK(!strcmp(buf, "far"));
	CHECK(!strcmp(start + (addr - HEAP_BASE) + 100, "near"));
	CHECK_EQ(pwrite(fd, "F", 1, far + 100), 1);
	CHECK(!strcmp(q + 100, "Far"));
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, addr) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, HEAP_BASE + HEAP_SPACE) == MAP_FAILED &&
	      errno == EINVAL);

	CHECK_EQ(sigaction(SIGBUS, &action, NULL), 0);
	CHECK_EQ(free_object(addr), 0);
	if (!sigsetjmp(on_bus, 1))
		failed(__LINE__, "no SIGBUS, but %d", *(volatile char *)(p + 100));
	signal(SIGBUS, SIG_DFL);
	CHECK_EQ(munmap(p, LARGE), 0);
	CHECK_EQ(munmap(q, LARGE), 0);
	CHECK_EQ(munmap(start, 1 << 20), 0);
}

static void polled(void)
{
	struct goalloc_param arg = { .size = sizeof(arg), .id = GOALLOC_PARAM_LIMIT, .value = 1 };
	struct pollfd p = { .fd = fd, .events = POLLPRI | POLLIN | POLLOUT };

	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLOUT);
	CHECK_EQ(call(GOALLOC_IOC_SET_PARAM, &arg), 0);
	CHECK_EQ(poll(&p, 1, 1000), 1);
	CHECK_EQ(p.revents, POLLPRI | POLLIN | POLLOUT);
}

static void shared_with_child(void)
{
	uint64_t addr = new_object(LARGE);
	char *p = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, addr);
	int status = -1;
	pid_t pid;

	CHECK(p != MAP_FAILED);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		strcpy(p, "child");
		_exit(free_object(new_object(100)) ? 1 : 0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	CHECK(!strcmp(p, "child"));
	CHECK_EQ(books().mallocs, 2);
	CHECK_EQ(books().frees, 1);
	munmap(p, LARGE);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "info", info },
	{ "objects", objects },
	{ "batches", batches },
	{ "params", params },
	{ "scavenging", scavenging },
	{ "named", named },
	{ "refused", refused },
	{ "offsets", offsets },
	{ "mapped", mapped },
	{ "polled", polled },
	{ "shared_with_child", shared_with_child },
};

int main(void)
{
	const size_t n = sizeof(tests) / sizeof(*tests);
	int bad = 0;
	size_t i;

	printf("TAP version 13\n1..%zu\n# pointers of %zu bits\n", n, sizeof(void *) * 8);
	for (i = 0; i < n; i++) {
		failures = 0;
		fd = open("/dev/goalloc", O_RDWR | O_CLOEXEC);
		if (fd < 0) {
			failed(__LINE__, "/dev/goalloc: %s", strerror(errno));
		} else {
			tests[i].run();
			close(fd);
		}
		printf("%sok %zu compat32.%s\n", failures ? "not " : "", i + 1, tests[i].name);
		fflush(stdout);
		bad |= failures;
	}
	return !!bad;
}
