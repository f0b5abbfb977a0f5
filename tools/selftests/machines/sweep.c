// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation fails once. Each operation of the device, of debugfs, of the
 * kernel API (modules/sweep.c) and of the module's own life is done with its n-th
 * allocation failing, for n from 1 until it does not ask for so many; in three ways:
 *
 *	any	the n-th call of the slab, of the page allocator, of a copy from or to
 *		this process or of goalloc's own points, by /proc/thread-self/fail-nth
 *	own	the n-th of goalloc's points, by debugfs' fail_goalloc
 *	rest	the n-th of those and all behind it: there is no second choice left
 *
 * Afterwards it says what it should, the books balance, what lives is what was
 * made and not freed, the same operation succeeds when nothing is in the way, and
 * with the heap goes all that was counted for it. What is counted nowhere kmemleak
 * is to find.
 *
 * sweep [NAME]...: only operations whose name begins so. To load the module asks for some
 * 700 allocations, most of them about sysfs; only each $SWEEP_STEP-th (7) of those fails.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdarg.h>
#include <sys/rseq.h>
#include "kselftest.h"
#include "kheap.h"

#define SWEEP_FILE	"/sys/kernel/debug/sweep"
#define POINTS_MAX	20000
#define OBJECTS_MAX	4096
#define BATCH		80	/* more than are copied at once */
#define FAILS_FOREVER	1000000

enum mode { ANY, OWN, REST, MODES };

static const char * const mode_names[] = { "any", "own", "rest" };

/* TAP */

static unsigned int planned, told;
static bool bad;			/* what is being tried failed somewhere */
static bool any_bad;
static char where[160];
static unsigned int complaints;

static void complain(const char *format, ...)
{
	va_list args;

	bad = true;
	if (complaints++ > 40)
		return;
	printf("# %s: ", where);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

static void tell(const char *what)
{
	static double last;

	printf("%sok %u %s\n", bad ? "not " : "", ++told, what);
	if (last)
		printf("# in %.1f s\n", dev_seconds() - last);
	last = dev_seconds();
	fflush(stdout);
	any_bad |= bad;
	bad = false;
}

/* How failures are brought about. */

static int nth_file = -1;
static int space_file, times_file;

static bool number_put(int fd, unsigned int value)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", value);

	return write(fd, text, len) == len;
}

static uint64_t number_get(const char *path)
{
	char *text = dev_read_file(path);
	uint64_t value = text ? strtoull(text, NULL, 10) : 0;

	free(text);
	return value;
}

/* Both are quick: pages of this program are there already. */
static void arm(enum mode mode, unsigned int nth)
{
	if (mode == ANY) {
		number_put(nth_file, nth);
		return;
	}
	number_put(space_file, nth);
	number_put(times_file, mode == OWN ? 1 : FAILS_FOREVER);
}

/* Whether the failure came. */
static bool disarm(enum mode mode)
{
	uint64_t left = 1;
	char text[16] = "";

	if (mode == ANY) {
		/* Reading fails by itself if it was the next one. */
		if (pread(nth_file, text, sizeof(text) - 1, 0) > 0)
			left = strtoul(text, NULL, 10);
		while (!number_put(nth_file, 0))
			;
		return !left;
	}
	left = number_get("/sys/kernel/debug/fail_goalloc/times");
	number_put(times_file, 0);
	return left < (mode == OWN ? 1 : FAILS_FOREVER);
}

static int file_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return fd;
}

static void set(const char *dir, const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", dir, name);
	if (dev_write_file(path, value)) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

/* Our own attribute is there as long as the module is. */
static void own_begin(void)
{
	set("fail_goalloc", "verbose", "0");
	set("fail_goalloc", "interval", "1");
	set("fail_goalloc", "times", "0");
	set("fail_goalloc", "probability", "100");
	space_file = file_open("/sys/kernel/debug/fail_goalloc/space");
	times_file = file_open("/sys/kernel/debug/fail_goalloc/times");
}

static void own_end(void)
{
	close(space_file);
	close(times_file);
}

/* What the checkers have for themselves fails without anybody's noticing. */
static bool checkers_cache(const char *name)
{
	return !strncmp(name, "kmemleak", 8) || !strncmp(name, "debug_objects", 13) ||
	       !strncmp(name, "lsm", 3);
}

/* All caches that there are now fail; those of a module come with it. */
static void caches_begin(void)
{
	DIR *dir = opendir("/sys/kernel/slab");
	struct dirent *entry;
	char path[320];

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/failslab", entry->d_name);
		if (*entry->d_name != '.' && !checkers_cache(entry->d_name) &&
		    dev_write_file(path, "1"))
			printf("# %s: %s\n", path, strerror(errno));
	}
	if (dir)
		closedir(dir);
}

/*
 * What the kernel may say when something of its own, around us, gets no memory: any
 * words that do not name us, and some that do. Of our own caches it may say nothing.
 */
static void announce(void)
{
	static const char * const lines[] = {
		"said ^(?!.*goalloc)",
		"said ^debugfs: out of free dentries, can not create",
		"said ^kobject: kobject_\\w+ failed for \\S+ \\(error: -12",
		"said ^workqueue: Failed to (allocate|create) a rescuer",
		"said ^goalloc: module_enable_rodata_ro_after_init\\(\\) returned -12",
		/*
		 * A stack for the child of a fork; of all such reports of the kernel
		 * one is printed in ten seconds, and any may be that one.
		 */
		"any ^sweep: vmalloc error: size \\d+, ",
		"any ^percpu: allocation failed, size=\\d+ ",
		"any kmemleak: \\d+ new suspected memory leaks",
		"any kmem_cache_create\\w*\\(goalloc\\w+\\) failed with error -(12|22)$",
	};
	char text[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		snprintf(text, sizeof(text), "<6>goalloc-expect: %s\n", lines[i]);
		dev_write_file("/dev/kmsg", text);
	}
}

static void failures_begin(void)
{
	static const char * const all[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	size_t i;

	for (i = 0; i < 3; i++) {
		set(all[i], "verbose", "0");
		set(all[i], "probability", "0");
	}
	/* Whoever could wait for memory fails, too, and for single pages. */
	set("failslab", "ignore-gfp-wait", "N");
	set("failslab", "cache-filter", "Y");
	set("fail_page_alloc", "ignore-gfp-wait", "N");
	set("fail_page_alloc", "ignore-gfp-highmem", "N");
	set("fail_page_alloc", "min-order", "0");
	caches_begin();
	nth_file = file_open("/proc/thread-self/fail-nth");
	own_begin();
}

/* The device's operations */

static struct {
	int fd;
	char *map;			/* the whole heap, or NULL */
	uint64_t objects[OBJECTS_MAX];	/* that the program knows of */
	unsigned int n;
	unsigned int filled;		/* of which the first ones had contents beforehand */
} heap = { .fd = -1 };

/* One of them: @undo takes back what happened to others than the heap. */
struct operation {
	const char *name;
	void (*prepare)(const struct operation *op);
	long (*run)(const struct operation *op);
	void (*undo)(const struct operation *op);
	uint64_t size;
	uint64_t arg;
	const char *text;
	bool keep;		/* it leaves a heap as it was: the next one is for it, too */
	long errors[3];		/* what it may say besides ENOMEM and EFAULT */
};

static const uint64_t mixed[] = {
	3, 5, 8, 100, 100, 100, 1000, 8192, 8192, 20000, 40000, 40000, 300000, 4 * DEV_MIB,
};

/* The last one, of whose chunks nothing has been touched. */
#define UNTOUCHED	(ARRAY_SIZE(mixed) - 1)

static uint64_t sizes[BATCH], addrs[BATCH];
static char buffer[64 * DEV_KIB];

static void know(uint64_t addr)
{
	heap.objects[heap.n++] = addr;
}

static void need(bool true_one, const char *what)
{
	if (!true_one)
		complain("%s: %s", what, strerror(errno));
}

static void with_heap(const struct operation *op)
{
	(void)op;
	heap.fd = dev_open();
	need(heap.fd >= 0, "open");
}

static void with_objects(const struct operation *op)
{
	size_t i;

	with_heap(op);
	for (i = 0; i < ARRAY_SIZE(mixed); i++) {
		uint64_t addr = dev_new(heap.fd, mixed[i]);

		need(addr, "an object beforehand");
		know(addr);
		if (i == UNTOUCHED)
			continue;
		pattern_put(buffer, 16, addr);
		need(pwrite(heap.fd, buffer, 3, addr) == 3, "its contents");
	}
	heap.filled = UNTOUCHED;
}

static void with_mapping(const struct operation *op)
{
	size_t i;

	with_objects(op);
	heap.map = dev_map_heap(heap.fd);
	if (heap.map == MAP_FAILED)
		heap.map = NULL;
	need(heap.map, "mmap");
	for (i = 0; heap.map && i < UNTOUCHED; i++)
		*(volatile char *)heap.objects[i];
}

/* What one large object needs, and not a page more. */
static void with_max(const struct operation *op)
{
	with_heap(op);
	need(!dev_set(heap.fd, GOALLOC_PARAM_MAX,
		      (op->size + DEV_PAGE - 1) / DEV_PAGE * DEV_PAGE), "max");
}

/* Some were made and freed, so that memory is idle. */
static void with_idle(const struct operation *op)
{
	unsigned int i;

	with_objects(op);
	for (i = 0; i < 20; i++) {
		uint64_t addr = dev_new(heap.fd, 100000);

		need(pwrite(heap.fd, buffer, sizeof(buffer), addr) == sizeof(buffer), "writing");
		dev_free(heap.fd, addr);
	}
}

/* A batch that is to be freed. */
static void with_batch(const struct operation *op)
{
	unsigned int i;

	with_heap(op);
	for (i = 0; i < BATCH; i++)
		sizes[i] = op->size ? op->size : mixed[i % ARRAY_SIZE(mixed)];
	need(dev_alloc_batch(heap.fd, sizes, addrs, BATCH) == BATCH, "a batch beforehand");
	for (i = 0; i < BATCH; i++)
		know(addrs[i]);
}

static long run_open(const struct operation *op)
{
	(void)op;
	heap.fd = dev_open();
	return heap.fd < 0 ? -errno : 0;
}

static void nothing(const struct operation *op)
{
	(void)op;
	heap.fd = -1;
}

/* The file itself always goes. */
static long run_close(const struct operation *op)
{
	(void)op;
	if (heap.map && munmap(heap.map, DEV_SPACE))
		return -errno;
	heap.map = NULL;
	close(heap.fd);
	heap.fd = -1;
	heap.n = 0;
	return 0;
}

static long run_info(const struct operation *op)
{
	struct goalloc_info arg = { .size = sizeof(arg) };
	long ret = dev_ioctl(heap.fd, GOALLOC_IOC_INFO, &arg);

	(void)op;
	return ret ? ret : arg.heap_base == DEV_BASE ? 0 : -EPROTO;
}

static long run_alloc(const struct operation *op)
{
	struct goalloc_alloc arg = {
		.size = sizeof(arg), .bytes = op->size, .align = op->arg,
		.flags = op->text ? GOALLOC_SCAN | GOALLOC_UNINIT : 0,
	};
	long ret = dev_ioctl(heap.fd, GOALLOC_IOC_ALLOC, &arg);

	if (ret)
		return ret;
	know(arg.addr);
	return 0;
}

static long run_free_all(const struct operation *op)
{
	(void)op;
	while (heap.n) {
		long ret = dev_free(heap.fd, heap.objects[heap.n - 1]);

		if (ret)
			return ret;
		heap.n--;
	}
	return 0;
}

static long run_alloc_batch(const struct operation *op)
{
	unsigned int i;
	long ret;

	for (i = 0; i < BATCH; i++)
		sizes[i] = op->size ? op->size : mixed[i % ARRAY_SIZE(mixed)];
	ret = dev_alloc_batch(heap.fd, sizes, addrs, BATCH);
	for (i = 0; (long)i < ret; i++)
		know(addrs[i]);
	/* What there was no memory for was not done, and is said. */
	return ret < 0 ? ret : ret < BATCH ? -ENOMEM : 0;
}

static bool lives(uint64_t addr)
{
	struct goalloc_query q;

	return !dev_query(heap.fd, addr, &q) && q.state != GOALLOC_QUERY_FREE && q.base == addr;
}

/* What is not there any more was freed without its number having been told. */
static void forget_the_dead(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < heap.n; i++)
		if (lives(heap.objects[i]))
			heap.objects[n++] = heap.objects[i];
	heap.n = n;
}

static long run_free_batch(const struct operation *op)
{
	long ret;

	(void)op;
	if (!heap.n)
		return 0;
	ret = dev_free_batch(heap.fd, heap.objects, heap.n);
	if (ret < 0)
		return ret;
	if (ret == (long)heap.n) {
		heap.n = 0;
		return 0;
	}
	heap.n -= ret;
	memmove(heap.objects, heap.objects + ret, heap.n * sizeof(*heap.objects));
	return -ENOMEM;
}

static long run_query(const struct operation *op)
{
	struct goalloc_query q;
	long ret = dev_query(heap.fd, heap.objects[4], &q);

	(void)op;
	return ret ? ret : q.base == heap.objects[4] ? 0 : -EPROTO;
}

static long run_set(const struct operation *op)
{
	return dev_set(heap.fd, op->arg, op->size);
}

static long run_get(const struct operation *op)
{
	uint64_t value;
	long ret = dev_get(heap.fd, op->arg, &value);

	return ret ? ret : value == GOALLOC_NO_LIMIT ? 0 : -EPROTO;
}

static long run_memstats(const struct operation *op)
{
	struct goalloc_memstats ms = { .size = sizeof(ms) };
	long ret = dev_ioctl(heap.fd, GOALLOC_IOC_MEMSTATS, &ms);

	(void)op;
	return ret ? ret : ms.heap_objects == heap.n ? 0 : -EPROTO;
}

static long run_scavenge(const struct operation *op)
{
	int64_t ret = dev_scavenge(heap.fd, op->size);

	return ret < 0 ? ret : 0;
}

static long run_set_name(const struct operation *op)
{
	return dev_set_name(heap.fd, op->text);
}

/* Reading and writing: short is where memory, or the program's, ended. */
static long moved(ssize_t n, size_t wanted)
{
	return n < 0 ? -errno : n < (ssize_t)wanted ? -ENOMEM : 0;
}

static uint64_t target(const struct operation *op)
{
	/* In a chunk that has no table of pages yet. */
	return heap.objects[op->arg] + (op->arg == UNTOUCHED ? 3 * DEV_MIB : 0);
}

static long run_pread(const struct operation *op)
{
	memset(buffer, 0xee, op->size);
	return moved(pread(heap.fd, buffer, op->size, target(op)), op->size);
}

static long run_pwrite(const struct operation *op)
{
	return moved(pwrite(heap.fd, buffer, op->size, target(op) + 5), op->size);
}

/* Of pieces that are too many for the kernel's stack. */
static long run_vectors(const struct operation *op)
{
	struct iovec iov[20];
	ssize_t n;
	int i;

	for (i = 0; i < 20; i++)
		iov[i] = (struct iovec){ buffer + i * 1000, 1000 };
	n = op->arg ? pwritev(heap.fd, iov, 20, heap.objects[11]) :
		      preadv(heap.fd, iov, 20, heap.objects[11]);
	return moved(n, 20 * 1000);
}

static long run_seek(const struct operation *op)
{
	return lseek(heap.fd, DEV_BASE, op->arg) < 0 ? -errno : 0;
}

static long run_poll(const struct operation *op)
{
	struct pollfd p = { .fd = heap.fd, .events = POLLIN | POLLPRI };

	(void)op;
	return poll(&p, 1, 0) < 0 ? -errno : 0;
}

/* Mappings. */

static long run_mmap(const struct operation *op)
{
	char *map = op->arg ? dev_map(heap.fd, heap.objects[UNTOUCHED], op->size) :
			      dev_map_heap(heap.fd);

	if (map == MAP_FAILED)
		return -errno;
	return munmap(map, op->arg ? op->size : DEV_SPACE) ? -errno : 0;
}

static long run_populate(const struct operation *op)
{
	char *map = mmap(NULL, op->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			 heap.fd, heap.objects[UNTOUCHED]);

	if (map == MAP_FAILED)
		return -errno;
	return munmap(map, op->size) ? -errno : 0;
}

/* A hole in the middle makes two of it; and it comes back. */
static long run_munmap_middle(const struct operation *op)
{
	char *at = heap.map + DEV_GIB;

	(void)op;
	if (munmap(at, DEV_MIB))
		return -errno;
	return dev_map_at(heap.fd, at, DEV_MIB, PROT_READ | PROT_WRITE, DEV_BASE + DEV_GIB) ==
	       at ? 0 : errno == EEXIST ? 0 : -errno;
}

static long run_mremap(const struct operation *op)
{
	char *map = dev_map(heap.fd, heap.objects[UNTOUCHED], DEV_MIB), *moved_to;

	(void)op;
	if (map == MAP_FAILED)
		return -errno;
	moved_to = mremap(map, DEV_MIB, 2 * DEV_MIB, MREMAP_MAYMOVE);
	if (moved_to == MAP_FAILED) {
		long err = -errno;

		while (munmap(map, DEV_MIB))
			;
		return err;
	}
	while (munmap(moved_to, 2 * DEV_MIB))
		;
	return 0;
}

static long run_mprotect(const struct operation *op)
{
	(void)op;
	if (mprotect(heap.map + DEV_GIB, DEV_MIB, PROT_READ))
		return -errno;
	return mprotect(heap.map + DEV_GIB, DEV_MIB, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static long run_madvise(const struct operation *op)
{
	return madvise(heap.map, op->size, op->arg) ? -errno : 0;
}

/* First touches; no memory is SIGBUS. */
static long run_touch(const struct operation *op)
{
	uint64_t addr = target(op), off;

	for (off = 0; off < op->size; off += DEV_PAGE) {
		int sig = op->text ? probe_write((char *)addr + off, 1) :
				     probe_read((char *)addr + off, NULL);

		if (sig)
			return sig == SIGBUS && probe_code == BUS_ADRERR ? -ENOMEM : -EPROTO;
	}
	return 0;
}

/* Arguments that are in the heap themselves, in pages not touched yet. */
static long run_ioctl_in_heap(const struct operation *op)
{
	uint64_t *list = (uint64_t *)(heap.objects[UNTOUCHED] + 3 * DEV_MIB);
	long ret = dev_alloc_batch(heap.fd, list, list + 1024, 20);

	(void)op;
	/* They were zeroes, and what comes of zeroes is nobody's. */
	return ret < 0 ? ret : ret < 20 ? -ENOMEM : 0;
}

/* Processes. */

static long run_fork(const struct operation *op)
{
	pid_t pid = fork();

	(void)op;
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(heap.map && probe_write((char *)heap.objects[10], 7) ? 3 : 0);
	return dev_wait(pid) ? -EPROTO : 0;
}

static long run_send(const struct operation *op)
{
	int pair[2], got;
	bool sent;

	(void)op;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -errno;
	errno = 0;
	sent = dev_send_file(pair[0], heap.fd);
	got = sent ? dev_receive_file(pair[1]) : -1;
	if (got < 0 && !errno)
		errno = ENOMEM;
	if (got < 0) {
		long err = -errno;

		close(pair[0]);
		close(pair[1]);
		return err;
	}
	close(got);
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* Files in debugfs and /proc. */

static char heap_dir[64];

static void with_files(const struct operation *op)
{
	uint64_t id = 0;

	with_idle(op);
	need(dev_fdinfo(heap.fd, "heap-id", &id), "fdinfo");
	snprintf(heap_dir, sizeof(heap_dir), DEV_TREE "/heaps/%" PRIu64, id);
}

static long read_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long ret = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		;
	if (n < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static long run_read_file(const struct operation *op)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", heap_dir, op->text);
	return read_path(path);
}

static long run_fdinfo(const struct operation *op)
{
	char path[64];

	(void)op;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", heap.fd);
	return read_path(path);
}

/* "file value" */
static long write_words(const char *dir, const char *words)
{
	const char *value = strchr(words, ' ') + 1;
	char path[128];
	long ret;
	int fd;

	snprintf(path, sizeof(path), "%s/%.*s", dir, (int)(value - words - 1), words);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static long run_write_file(const struct operation *op)
{
	return write_words(heap_dir, op->text);
}

static long run_write_param(const struct operation *op)
{
	return write_words("/sys/module/goalloc/parameters", op->text);
}

static long run_read_param(const struct operation *op)
{
	char path[96];

	snprintf(path, sizeof(path), DEV_PARAMS "%s", op->text);
	return read_path(path);
}

static void unlimited(const struct operation *op)
{
	(void)op;
	dev_module_set("limit", "none");
	dev_module_set("max", "none");
	dev_module_set("scavenge_percent", "0");
}

#define ALLOC(_name, _size, _align, _flags) \
	{ "alloc-" _name, with_heap, run_alloc, NULL, _size, _align, _flags, false, {} }
#define READS(_name, _file) \
	{ "debugfs-" _name, with_files, run_read_file, NULL, 0, 0, _file, true, {} }
#define WRITES(_name, _text) \
	{ "debugfs-write-" _name, with_files, run_write_file, NULL, 0, 0, _text, true, {} }
#define PARAM(_name, _text) \
	{ "param-" _name, with_objects, run_write_param, unlimited, 0, 0, _text, true, {} }
#define SETS(_name, _id, _value) \
	{ "set-" _name, with_idle, run_set, NULL, _value, _id, NULL, true, {} }

static const struct operation operations[] = {
	{ "open", nothing, run_open, NULL, 0, 0, NULL, false, {} },
	{ "close", with_mapping, run_close, NULL, 0, 0, NULL, false, {} },
	{ "info", with_heap, run_info, NULL, 0, 0, NULL, true, {} },
	ALLOC("tiny", 3, 0, NULL),
	ALLOC("8-scan", 8, 0, "scan"),
	ALLOC("100", 100, 0, NULL),
	ALLOC("1024", 1024, 0, NULL),
	ALLOC("8192-scan", 8192, 0, "scan"),
	ALLOC("32768", 32768, 0, NULL),
	ALLOC("large", 100000, 0, NULL),
	ALLOC("aligned", 5000, DEV_MIB, NULL),
	ALLOC("chunk", 4 * DEV_MIB, 2 * DEV_MIB, NULL),
	ALLOC("arenas", 70 * DEV_MIB, 0, NULL),
	ALLOC("zero", 0, 0, NULL),
	{ "alloc-tight-max", with_max, run_alloc, NULL, 300000, 0, NULL, false, {} },
	{ "alloc-second", with_objects, run_alloc, NULL, 100, 0, NULL, false, {} },
	{ "alloc-from-idle", with_idle, run_alloc, NULL, 100000, 0, NULL, false, {} },
	{ "alloc-batch-small", with_heap, run_alloc_batch, NULL, 100, 0, NULL, false, {} },
	{ "alloc-batch-mixed", with_heap, run_alloc_batch, NULL, 0, 0, NULL, false, {} },
	{ "free", with_objects, run_free_all, NULL, 0, 0, NULL, false, {} },
	{ "free-mapped", with_mapping, run_free_all, NULL, 0, 0, NULL, false, {} },
	{ "free-batch-small", with_batch, run_free_batch, NULL, 100, 0, NULL, false, {} },
	{ "free-batch-mixed", with_batch, run_free_batch, NULL, 0, 0, NULL, false, {} },
	{ "query", with_objects, run_query, NULL, 0, 0, NULL, true, {} },
	SETS("limit", GOALLOC_PARAM_LIMIT, 100000),
	SETS("max", GOALLOC_PARAM_MAX, DEV_GIB),
	SETS("gc-percent", GOALLOC_PARAM_GC_PERCENT, 100),
	{ "get-limit", with_heap, run_get, NULL, 0, GOALLOC_PARAM_LIMIT, NULL, true, {} },
	{ "memstats", with_objects, run_memstats, NULL, 0, 0, NULL, true, {} },
	{ "scavenge", with_idle, run_scavenge, NULL, ~0ULL, 0, NULL, false, {} },
	{ "scavenge-page", with_idle, run_scavenge, NULL, DEV_PAGE, 0, NULL, false, {} },
	{ "set-name", with_heap, run_set_name, NULL, 0, 0, "sweep", true, {} },
	{ "pread", with_objects, run_pread, NULL, 40000, 10, NULL, true, {} },
	{ "pread-untouched", with_objects, run_pread, NULL, 60000, 13, NULL, true, {} },
	{ "pwrite-first", with_objects, run_pwrite, NULL, 30000, 11, NULL, false, {} },
	{ "pwrite-new-chunk", with_objects, run_pwrite, NULL, 60000, 13, NULL, false, {} },
	{ "pwrite-small", with_objects, run_pwrite, NULL, 50, 3, NULL, false, {} },
	{ "preadv", with_objects, run_vectors, NULL, 0, 0, NULL, true, {} },
	{ "pwritev", with_objects, run_vectors, NULL, 0, 1, NULL, false, {} },
	{ "seek-data", with_objects, run_seek, NULL, 0, SEEK_DATA, NULL, true, {} },
	{ "seek-hole", with_objects, run_seek, NULL, 0, SEEK_HOLE, NULL, true, {} },
	{ "poll", with_objects, run_poll, NULL, 0, 0, NULL, true, {} },
	{ "mmap", with_objects, run_mmap, NULL, 0, 0, NULL, true, {} },
	{ "mmap-object", with_objects, run_mmap, NULL, DEV_MIB, 1, NULL, true, {} },
	{ "mmap-populate", with_objects, run_populate, NULL, 256 * DEV_KIB, 0, NULL, false, {} },
	{ "munmap-middle", with_mapping, run_munmap_middle, NULL, 0, 0, NULL, true, {} },
	{ "mremap", with_objects, run_mremap, NULL, 0, 0, NULL, true, {} },
	{ "mprotect", with_mapping, run_mprotect, NULL, 0, 0, NULL, true, {} },
	{ "madvise-dontneed", with_mapping, run_madvise, NULL, 4 * DEV_MIB, MADV_DONTNEED, NULL,
	  true, {} },
	{ "madvise-populate", with_mapping, run_madvise, NULL, 64 * DEV_KIB, MADV_POPULATE_READ,
	  NULL, false, {} },
	{ "touch-read", with_mapping, run_touch, NULL, 40000, 11, NULL, false, {} },
	{ "touch-write", with_mapping, run_touch, NULL, 256 * DEV_KIB, 13, "write", false, {} },
	{ "ioctl-in-heap", with_mapping, run_ioctl_in_heap, NULL, 0, 0, NULL, false, {} },
	{ "fork", with_mapping, run_fork, NULL, 0, 0, NULL, true, { -EAGAIN } },
	{ "send-file", with_objects, run_send, NULL, 0, 0, NULL, true,
	  { -ENFILE, -ENOBUFS, -EAGAIN } },
	{ "fdinfo", with_objects, run_fdinfo, NULL, 0, 0, NULL, true, {} },
	READS("summary", "summary"), READS("metrics", "metrics"), READS("faults", "faults"),
	READS("name", "name"), READS("limit", "limit"), READS("max", "max"),
	READS("gc_percent", "gc_percent"), READS("size_classes", "size_classes"),
	READS("mcache", "mcache"), READS("mcentral", "mcentral"), READS("spans", "spans"),
	READS("pages", "pages"), READS("arenas", "arenas"), READS("pagealloc", "pagealloc"),
	READS("scavenger", "scavenger"), READS("memstats/alloc", "memstats/alloc"),
	READS("memstats/by_size", "memstats/by_size"),
	WRITES("limit", "limit 200000"), WRITES("max", "max 1000000000"),
	WRITES("gc_percent", "gc_percent 50"), WRITES("name", "name sweep"),
	WRITES("scavenge", "scavenge all"),
	PARAM("limit", "limit 1000000"), PARAM("max", "max 1G"),
	PARAM("scavenge_percent", "scavenge_percent 0"),
	{ "param-read", with_heap, run_read_param, NULL, 0, 0, "limit", true, {} },
};

/* Bytes that all heaps hold, memory and metadata, to the byte. */
static uint64_t all_held(void)
{
	uint64_t value;

	dev_line(DEV_TREE "/heaps/0/scavenger", "all_held", 1, &value);
	return value;
}

/* Work items that return spans may take a moment. */
static void look_at_held(uint64_t wanted, bool exactly)
{
	uint64_t held = all_held();
	int wait;

	for (wait = 0; wait < 12000; wait++) {
		if (held == wanted || (held < wanted && !exactly))
			return;
		usleep(5000);
		held = all_held();
	}
	complain("%" PRIu64 " bytes are held, %" PRIu64 " were", held, wanted);
}

static void heap_end(void)
{
	if (heap.map)
		munmap(heap.map, DEV_SPACE);
	if (heap.fd >= 0)
		close(heap.fd);
	heap.map = NULL;
	heap.fd = -1;
	heap.n = 0;
	heap.filled = 0;
}

static bool allowed(const struct operation *op, long ret)
{
	size_t i;

	if (!ret || ret == -ENOMEM || ret == -EFAULT)
		return true;
	for (i = 0; i < ARRAY_SIZE(op->errors); i++)
		if (op->errors[i] == ret)
			return true;
	return false;
}

/* What lives is what the program knows of, as the books have it, and is as it was. */
static void look(const char *when)
{
	struct goalloc_memstats ms;
	unsigned int i, known = 0;
	char is[16], was[16];

	if (heap.fd < 0)
		return;
	ms = dev_stats(heap.fd);
	if (ms.heap_objects != ms.mallocs - ms.frees ||
	    ms.heap_sys != ms.heap_inuse + ms.heap_idle || ms.heap_released > ms.heap_idle ||
	    ms.sys != ms.heap_sys + ms.mspan_sys + ms.mcache_sys + ms.gc_sys + ms.other_sys)
		complain("the books do not balance %s", when);
	for (i = 0; i < heap.n; i++) {
		if (heap.objects[i] == GOALLOC_ZERO_ADDR)
			continue;
		known++;
		if (!lives(heap.objects[i]))
			complain("an object is gone %s", when);
	}
	if (ms.heap_objects != known)
		complain("%" PRIu64 " objects live %s, %u are known", ms.heap_objects, when,
			 known);
	/* No operation writes to these. */
	for (i = 0; heap.filled && i < heap.n && i < heap.filled; i += 4) {
		pattern_put(was, sizeof(was), heap.objects[i]);
		if (pread(heap.fd, is, 3, heap.objects[i]) != 3 || memcmp(is, was, 3))
			complain("an object is not as it was %s", when);
	}
}

struct count {
	unsigned int points, refused;
};

/*
 * Which point comes next, 0 for none. How many there are depends on what slabs and the
 * checkers have at hand: when one did not come those before it are tried again, so
 * that the last, where an answer is told, is among them.
 */
#define TAIL	3

struct course {
	unsigned int nth, again;
};

static bool course_next(struct course *c, bool came, unsigned int step)
{
	if (bad || c->nth >= POINTS_MAX)
		return false;
	if (came && !c->again) {
		c->nth += step;
		return true;
	}
	if (c->again == TAIL || c->nth == 1)
		return false;
	c->again++;
	c->nth--;
	return true;
}

/* One failure; whether it came. */
static bool point(const struct operation *op, enum mode way, unsigned int nth, uint64_t held,
		  struct count *count)
{
	long ret;
	bool came;

	snprintf(where, sizeof(where), "%s, %s %u", op->name, mode_names[way], nth);
	if (heap.fd < 0)
		op->prepare(op);
	arm(way, nth);
	ret = op->run(op);
	came = disarm(way);
	if (!allowed(op, ret))
		complain("it said %s", strerror(-ret));
	if (ret && !came)
		complain("it said %s, and nothing failed", strerror(-ret));
	if (ret == -EFAULT && op->run == run_free_batch)
		forget_the_dead();
	look("after the failure");
	count->points += came;
	count->refused += !!ret;
	if (ret) {
		ret = op->run(op);
		if (ret)
			complain("then it said %s", strerror(-ret));
		look("after the second try");
	}
	if (op->undo)
		op->undo(op);
	if (!op->keep)
		heap_end();
	look_at_held(held, !op->keep);
	return came;
}

static struct count total;

static void describe(char *line, size_t size, const char *what, const char *name,
		     const struct count *count)
{
	snprintf(line, size, "%s %s: any %u (%u refused), own %u (%u), rest %u (%u)", what, name,
		 count[ANY].points, count[ANY].refused, count[OWN].points, count[OWN].refused,
		 count[REST].points, count[REST].refused);
}

static void sweep_device(const struct operation *op)
{
	struct count count[MODES] = {};
	uint64_t held, before;
	char line[160];
	int mode, heaps;

	/* What others keep once they were asked is there by then. */
	snprintf(where, sizeof(where), "%s", op->name);
	heaps = dev_heaps();
	op->prepare(op);
	op->run(op);
	if (op->undo)
		op->undo(op);
	heap_end();
	before = all_held();
	held = before;
	if (op->keep) {
		op->prepare(op);
		op->run(op);
		held = all_held();
	}
	for (mode = ANY; mode < MODES; mode++) {
		struct course c = { .nth = 1 };

		while (course_next(&c, point(op, mode, c.nth, held, &count[mode]), 1))
			;
		total.points += count[mode].points;
		total.refused += count[mode].refused;
	}
	heap_end();
	look_at_held(before, true);
	if (dev_heaps() != heaps)
		complain("%d heaps are left, there were %d", dev_heaps(), heaps);
	if (!count[ANY].points)
		snprintf(line, sizeof(line), "device %s: nothing that could fail", op->name);
	else
		describe(line, sizeof(line), "device", op->name, count);
	tell(line);
}

/*
 * A process that ends with a heap in its hands. How far its failure came is seen of
 * what is left of it until it is waited for.
 */
static bool exit_point(unsigned int nth, struct count *count)
{
	char path[64], *text;
	siginfo_t info;
	bool came;
	pid_t pid;

	snprintf(where, sizeof(where), "exit %u", nth);
	pid = fork();
	if (!pid) {
		int fd = dev_open();
		uint64_t addr = dev_new(fd, 100000);
		char *map = dev_map_heap(fd);

		memset(map + (addr - DEV_BASE), 1, 100000);
		nth_file = file_open("/proc/thread-self/fail-nth");
		number_put(nth_file, nth);
		_exit(0);
	}
	need(pid > 0 && !waitid(P_PID, pid, &info, WEXITED | WNOWAIT), "a child");
	snprintf(path, sizeof(path), "/proc/%d/task/%d/fail-nth", (int)pid, (int)pid);
	text = dev_read_file(path);
	came = text && !strtol(text, NULL, 10);
	if (!text)
		complain("it left nothing: %s", strerror(errno));
	free(text);
	if (dev_wait(pid))
		complain("it did not end as it should");
	count->points += came;
	return came;
}

static void sweep_exit(void)
{
	uint64_t held = all_held();
	int heaps = dev_heaps();
	struct count count = {};
	struct course c = { .nth = 1 };
	char line[80];
	bool came;

	do {
		came = exit_point(c.nth, &count);
		if (!dev_wait_heaps(heaps))
			complain("%d heaps are left", dev_heaps());
		look_at_held(held, true);
	} while (course_next(&c, came, 1));
	total.points += count.points;
	snprintf(line, sizeof(line), "device exit: any %u", count.points);
	tell(line);
}

/* The kernel API's operations, in the module. */

/* What is behind a name in what was read of a file. */
static uint64_t number_of(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *line;

	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, len) && line[len] == ' ')
			return strtoull(line + len, NULL, 10);
	}
	complain("nothing says what %s is", name);
	return ~0ULL;
}

static struct {
	uint64_t ret, again, fired, wrong, objects;
} said;

static void hear(void)
{
	char *text = dev_read_file(SWEEP_FILE);

	said.ret = number_of(text, "ret");
	said.again = number_of(text, "again");
	said.fired = number_of(text, "fired");
	said.wrong = number_of(text, "wrong");
	said.objects = number_of(text, "objects");
	free(text);
}

static long api(const char *format, ...)
{
	char line[80];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return dev_write_file(SWEEP_FILE, line);
}

/* The id of the heap that is there for operations, the oldest but the module's own. */
static long stage_heap(void)
{
	DIR *dir = opendir(DEV_TREE "/heaps");
	struct dirent *entry;
	long oldest = 0;

	while (dir && (entry = readdir(dir))) {
		long id = strtol(entry->d_name, NULL, 10);

		if (id > 0 && (!oldest || id < oldest))
			oldest = id;
	}
	if (dir)
		closedir(dir);
	return oldest;
}

/* The books of the heap that was made for the operation. */
static void look_at_kernel_heap(long id, const char *when)
{
	static const char * const parts[] = {
		"heap_sys", "stack_sys", "mspan_sys", "mcache_sys", "buck_hash_sys", "gc_sys",
		"other_sys",
	};
	uint64_t sum = 0, live;
	char path[96], *text;
	size_t i;

	hear();
	snprintf(path, sizeof(path), DEV_TREE "/heaps/%ld/summary", id);
	text = dev_read_file(path);
	if (!text) {
		complain("%s: %s", path, strerror(errno));
		return;
	}
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		sum += number_of(text, parts[i]);
	live = number_of(text, "heap_objects");
	if (number_of(text, "mallocs") - number_of(text, "frees") != live ||
	    number_of(text, "heap_inuse") + number_of(text, "heap_idle") !=
	    number_of(text, "heap_sys") || number_of(text, "sys") != sum)
		complain("the books do not balance %s", when);
	if (live != said.objects)
		complain("%" PRIu64 " objects live %s, %" PRIu64 " are known", live, when,
			 said.objects);
	free(text);
}

static void scavenge_kernel_heap(long id)
{
	char path[96];

	snprintf(path, sizeof(path), DEV_TREE "/heaps/%ld/scavenge", id);
	if (dev_write_file(path, "all"))
		complain("%s: %s", path, strerror(errno));
}

/* @fresh: of a heap of its own there is nothing left; else nothing more than before. */
static bool api_point(const char *name, bool fresh, enum mode mode, unsigned int nth,
		      uint64_t held, struct count *count)
{
	bool came;
	long id;

	snprintf(where, sizeof(where), "%s, %s %u", name, mode_names[mode], nth);
	if (api("begin %s", name)) {
		complain("it cannot begin");
		return false;
	}
	id = stage_heap();
	if (mode != ANY)
		arm(mode, nth);
	api("run %u", mode == ANY ? nth : 0);
	came = mode != ANY && disarm(mode);
	look_at_kernel_heap(id, "after the failure");
	if (mode == ANY)
		came = said.fired;
	if (said.ret && (said.ret != ENOMEM || !came))
		complain("it said %s", strerror(said.ret));
	count->points += came;
	count->refused += !!said.ret;
	if (said.ret) {
		api("again");
		look_at_kernel_heap(id, "after the second try");
		if (said.again)
			complain("then it said %s", strerror(said.again));
	}
	api("finish");
	hear();
	if (said.wrong)
		complain("%" PRIu64 " times something was not as it should be", said.wrong);
	if (fresh)
		api("end");
	else
		scavenge_kernel_heap(id);
	look_at_held(held, fresh);
	return came;
}

static void sweep_api(const char *name, bool fresh)
{
	struct count count[MODES] = {};
	int mode, heaps = dev_heaps();
	uint64_t held, before;
	char line[160];

	/* The module's own heap keeps what it made once. */
	snprintf(where, sizeof(where), "%s", name);
	if (api("begin %s", name) || api("run 0") || api("finish") || api("end"))
		complain("without any failure");
	before = all_held();
	held = before;
	if (!fresh) {
		api("begin %s", name);
		api("run 0");
		api("finish");
		scavenge_kernel_heap(stage_heap());
		held = all_held();
	}
	for (mode = ANY; mode < MODES; mode++) {
		struct course c = { .nth = 1 };

		while (course_next(&c, api_point(name, fresh, mode, c.nth, held, &count[mode]), 1))
			;
		total.points += count[mode].points;
		total.refused += count[mode].refused;
	}
	if (!fresh)
		api("end");
	look_at_held(before, true);
	if (dev_heaps() != heaps)
		complain("%d heaps are left, there were %d", dev_heaps(), heaps);
	describe(line, sizeof(line), "kernel API", name, count);
	tell(line);
}

/* CPUs that come and go while a heap has something in their caches. */

#define CPU_FILE	"/sys/devices/system/cpu/cpu1/online"

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	need(!sched_setaffinity(0, sizeof(set), &set), "a CPU");
}

static long run_cpu(const struct operation *op)
{
	return dev_cpu(1, *op->text == '1');
}

static void with_cpu(const struct operation *op)
{
	run_on(1);
	with_objects(op);
	run_on(0);
	if (!strcmp(op->text, "1"))
		need(!dev_cpu(1, false), "offline");
}

/* Whatever came of it, objects can be made and freed; then it is back. */
static void cpu_back(const struct operation *op)
{
	uint64_t addr = dev_new(heap.fd, 100);

	(void)op;
	if (!addr || dev_free(heap.fd, addr))
		complain("no object where CPUs come and go");
	look("with CPUs coming and going");
	if (number_get(CPU_FILE) != 1)
		need(!dev_cpu(1, true), "online");
}

static const struct operation cpus[] = {
	{ "cpu-offline", with_cpu, run_cpu, cpu_back, 0, 0, "0", false, {} },
	{ "cpu-online", with_cpu, run_cpu, cpu_back, 0, 0, "1", false, {} },
};

/* The module's own life. */

static char *module_image;
static size_t module_size;

/* From memory: to read a file is not what is to fail here. */
static long load(void)
{
	return syscall(SYS_init_module, module_image, module_size, "") ? -errno : 0;
}

static bool read_module(void)
{
	struct stat st;
	int fd = open("/goalloc.ko", O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && !fstat(fd, &st);

	if (ok) {
		module_size = st.st_size;
		module_image = malloc(module_size);
		ok = read(fd, module_image, module_size) == (ssize_t)module_size;
	}
	close(fd);
	return ok;
}

static void look_for_nothing(const char *when)
{
	static const char * const names[] = {
		DEV_PATH, DEV_TREE, "/sys/kernel/debug/fail_goalloc", "/sys/module/goalloc",
		"/sys/class/misc/goalloc", "/sys/kernel/slab/goalloc_mcache",
		"/sys/kernel/slab/goalloc_mspan_4", "/sys/kernel/slab/goalloc_pagealloc_node",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!access(names[i], F_OK))
			complain("%s is there %s", names[i], when);
}

/* It is in use for a moment where somebody looks at it just now. */
static long unload(void)
{
	long ret = module_unload("goalloc");
	int wait;

	for (wait = 0; ret == -EWOULDBLOCK && wait < 3000; wait++) {
		usleep(20000);
		ret = module_unload("goalloc");
	}
	return ret;
}

/* Whatever of debugfs and sysfs is missing then, files can be opened. */
static void look_at_module(const char *when)
{
	int fd = dev_open();
	uint64_t addr = dev_new(fd, 100);

	if (!addr || dev_free(fd, addr))
		complain("no object %s: %s", when, strerror(errno));
	close(fd);
}

static bool load_point(unsigned int nth, struct count *count)
{
	bool came;
	long ret;

	snprintf(where, sizeof(where), "load, any %u", nth);
	arm(ANY, nth);
	ret = load();
	came = disarm(ANY);
	count->points += came;
	count->refused += !!ret;
	if (ret) {
		if (ret != -ENOMEM && ret != -EFAULT)
			complain("it said %s", strerror(-ret));
		look_for_nothing("after it could not be loaded");
	} else {
		look_at_module("after it was loaded");
		if (unload())
			complain("it does not go");
	}
	return came;
}

static bool unload_point(unsigned int nth, struct count *count)
{
	bool came;
	long ret;

	snprintf(where, sizeof(where), "unload, any %u", nth);
	if (load())
		complain("it cannot be loaded");
	arm(ANY, nth);
	ret = module_unload("goalloc");
	came = disarm(ANY);
	count->points += came;
	count->refused += !!ret;
	if (ret) {
		if (ret != -ENOMEM && ret != -EFAULT)
			complain("it said %s", strerror(-ret));
		look_at_module("after it could not be unloaded");
		if (unload())
			complain("it does not go");
	}
	look_for_nothing("after it was unloaded");
	return came;
}

static void sweep_module(const char *name, bool (*a_point)(unsigned int nth, struct count *count))
{
	const char *given = getenv("SWEEP_STEP");
	unsigned int step = given ? strtoul(given, NULL, 10) : 7;
	struct course c = { .nth = 1 };
	struct count count = {};
	char line[80];

	while (course_next(&c, a_point(c.nth, &count), a_point == load_point ? step : 1))
		;
	total.points += count.points;
	total.refused += count.refused;
	snprintf(line, sizeof(line), "module %s: any %u (%u refused)", name, count.points,
		 count.refused);
	tell(line);
}

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"

/*
 * Up to here all leaks would be ours. Where the kernel gets no memory for a slab
 * cache's entry in sysfs it forgets the entry's name; that is not for the rig to find.
 */
static void look_for_leaks(void)
{
	char *text, *report, *next;

	snprintf(where, sizeof(where), "kmemleak");
	/* An object is reported when it was 5 s old. */
	need(!dev_write_file(KMEMLEAK, "scan"), "scan");
	sleep(6);
	need(!dev_write_file(KMEMLEAK, "scan"), "scan");
	text = dev_read_file(KMEMLEAK);
	for (report = text; report && *report; report = next) {
		next = strstr(report + 1, "unreferenced object");
		if (next)
			next[-1] = '\0';
		if (!strstr(report, "sysfs_slab_add") || !strstr(report, "kobject_set_name_vargs"))
			complain("%s", report);
	}
	free(text);
	need(!dev_write_file(KMEMLEAK, "clear"), "clear");
	tell("module: no leak but of the kernel's own");
}

static const struct {
	const char *name;
	bool (*point)(unsigned int nth, struct count *count);
} lives_of_module[] = {
	{ "load", load_point },
	{ "unload", unload_point },
};

/* @only: beginnings of names; none is all. */
static bool wanted(const char *name, char **only)
{
	char **one = only;

	for (; *one; one++)
		if (!strncmp(name, *one, strlen(*one)))
			return true;
	return one == only;
}

int main(int argc, char **argv)
{
	char **only = argv + 1;
	char *list, *name, *rest;
	unsigned int apis = 0;
	size_t i;

	(void)argc;
	/* The kernel writes there after a preemption, and kills who gets no page for it. */
	need(!__rseq_size || !syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset,
				      32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG), "no rseq");
	probe_begin();
	run_on(0);
	announce();
	failures_begin();
	if (module_load("sweep", "") || api("list")) {
		printf("Bail out! no module sweep: %s\n", strerror(errno));
		return 1;
	}
	list = dev_read_file(SWEEP_FILE);
	for (i = 0; i < ARRAY_SIZE(operations); i++)
		planned += wanted(operations[i].name, only);
	for (rest = strdup(list); (name = strsep(&rest, "\n"));)
		apis += *name && wanted(name, only);
	for (i = 0; i < 2; i++)
		planned += wanted(cpus[i].name, only) + wanted(lives_of_module[i].name, only);
	planned += apis + wanted("exit", only) + wanted("load", only);
	dev_background(0);
	printf("TAP version 13\n1..%u\n", planned);
	for (rest = list; (name = strsep(&rest, "\n"));)
		if (*name && wanted(name, only)) {
			char *how = strchr(name, ' ');

			*how = '\0';
			sweep_api(name, !strcmp(how + 1, "fresh"));
		}
	for (i = 0; i < ARRAY_SIZE(operations); i++)
		if (wanted(operations[i].name, only))
			sweep_device(&operations[i]);
	if (wanted("exit", only))
		sweep_exit();
	for (i = 0; i < 2; i++)
		if (wanted(cpus[i].name, only))
			sweep_device(&cpus[i]);

	own_end();
	module_unload("sweep");
	snprintf(where, sizeof(where), "module");
	if (!read_module() || unload())
		complain("it does not go: %s", strerror(errno));
	for (i = 0; i < 2; i++)
		if (wanted(lives_of_module[i].name, only))
			sweep_module(lives_of_module[i].name, lives_of_module[i].point);
	if (wanted("load", only))
		look_for_leaks();
	/* For whoever unloads it last. */
	load();
	printf("# points: %u, of which %u were refused\n", total.points, total.refused);
	return bad || any_bad;
}
