/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/goalloc for the tests on the kernel's harness: calls that answer 0 or a
 * negative errno, accesses that survive their signal, and looks at /proc and
 * debugfs. Nothing here judges; that is for the tests.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/goalloc.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEV_PATH	"/dev/goalloc"
#define DEV_TREE	"/sys/kernel/debug/goalloc"
#define DEV_BASE	0xc000000000ULL
#define DEV_SPACE	(1ULL << 40)
#define DEV_PAGE	8192ULL
#define DEV_LARGE	65536ULL	/* a large object: a span of its own */
#define DEV_KIB		1024ULL
#define DEV_MIB		(1024 * DEV_KIB)
#define DEV_GIB		(1024 * DEV_MIB)

/* The ioctls. */

static inline int dev_open(void)
{
	return open(DEV_PATH, O_RDWR | O_CLOEXEC);
}

static inline long dev_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

static inline long dev_alloc(int fd, uint64_t bytes, uint32_t flags, uint64_t *addr)
{
	struct goalloc_alloc arg = { .size = sizeof(arg), .flags = flags, .bytes = bytes };
	long ret = dev_ioctl(fd, GOALLOC_IOC_ALLOC, &arg);

	*addr = ret ? 0 : arg.addr;
	return ret;
}

/* The address, or 0. */
static inline uint64_t dev_new(int fd, uint64_t bytes)
{
	uint64_t addr;

	dev_alloc(fd, bytes, 0, &addr);
	return addr;
}

static inline long dev_free(int fd, uint64_t addr)
{
	struct goalloc_free arg = { .size = sizeof(arg), .addr = addr };

	return dev_ioctl(fd, GOALLOC_IOC_FREE, &arg);
}

/* A batch that gives or takes one array of addresses; how many, or an errno. */
static inline long dev_alloc_batch(int fd, const uint64_t *sizes, uint64_t *addrs, uint32_t n)
{
	struct goalloc_batch arg = {
		.size = sizeof(arg), .count = n,
		.sizes = (uintptr_t)sizes, .addrs = (uintptr_t)addrs,
	};
	long ret = dev_ioctl(fd, GOALLOC_IOC_ALLOC_BATCH, &arg);

	return ret ? ret : (long)arg.done;
}

static inline long dev_free_batch(int fd, const uint64_t *addrs, uint32_t n)
{
	struct goalloc_batch arg = {
		.size = sizeof(arg), .count = n, .addrs = (uintptr_t)addrs,
	};
	long ret = dev_ioctl(fd, GOALLOC_IOC_FREE_BATCH, &arg);

	return ret ? ret : (long)arg.done;
}

static inline long dev_query(int fd, uint64_t addr, struct goalloc_query *q)
{
	memset(q, 0, sizeof(*q));
	q->size = sizeof(*q);
	q->addr = addr;
	return dev_ioctl(fd, GOALLOC_IOC_QUERY, q);
}

static inline long dev_set(int fd, uint32_t id, uint64_t value)
{
	struct goalloc_param arg = { .size = sizeof(arg), .id = id, .value = value };

	return dev_ioctl(fd, GOALLOC_IOC_SET_PARAM, &arg);
}

static inline long dev_get(int fd, uint32_t id, uint64_t *value)
{
	struct goalloc_param arg = { .size = sizeof(arg), .id = id };
	long ret = dev_ioctl(fd, GOALLOC_IOC_GET_PARAM, &arg);

	*value = arg.value;
	return ret;
}

/* Bytes given back, or a negative errno. */
static inline int64_t dev_scavenge(int fd, uint64_t bytes)
{
	struct goalloc_scavenge arg = { .size = sizeof(arg), .bytes = bytes };
	long ret = dev_ioctl(fd, GOALLOC_IOC_SCAVENGE, &arg);

	return ret ? ret : (int64_t)arg.released;
}

static inline long dev_set_name(int fd, const char *name)
{
	struct goalloc_name arg = { .size = sizeof(arg) };

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	return dev_ioctl(fd, GOALLOC_IOC_SET_NAME, &arg);
}

/* The books; all ones if they cannot be had. */
static inline struct goalloc_memstats dev_stats(int fd)
{
	struct goalloc_memstats ms = { .size = sizeof(ms) };

	if (dev_ioctl(fd, GOALLOC_IOC_MEMSTATS, &ms))
		memset(&ms, 0xff, sizeof(ms));
	return ms;
}

/* Whether the books of a heap at rest balance (I6). */
static inline bool dev_balanced(int fd)
{
	struct goalloc_memstats ms = dev_stats(fd);

	return ms.heap_objects == ms.mallocs - ms.frees &&
	       ms.heap_sys == ms.heap_inuse + ms.heap_idle &&
	       ms.heap_released <= ms.heap_idle && ms.heap_alloc <= ms.heap_inuse &&
	       ms.sys == ms.heap_sys + ms.stack_sys + ms.mspan_sys + ms.mcache_sys +
			 ms.buck_hash_sys + ms.gc_sys + ms.other_sys;
}

/* Memory. */

static inline char *dev_map_at(int fd, void *where, uint64_t len, int prot, uint64_t offset)
{
	return mmap(where, len, prot, MAP_SHARED | (where ? MAP_FIXED_NOREPLACE : 0), fd, offset);
}

/* The bytes of one object somewhere. */
static inline char *dev_map(int fd, uint64_t addr, uint64_t len)
{
	return dev_map_at(fd, NULL, len, PROT_READ | PROT_WRITE, addr);
}

/* The whole heap where its addresses are pointers. */
static inline char *dev_map_heap(int fd)
{
	return dev_map_at(fd, (void *)DEV_BASE, DEV_SPACE, PROT_READ | PROT_WRITE, DEV_BASE);
}

/*
 * Accesses that may end in a signal: 0 or the signal's number, of which
 * probe_code and probe_addr tell more. For any thread, after probe_begin().
 */
static __thread sigjmp_buf probe_env;
static __thread volatile sig_atomic_t probe_armed;
static __thread volatile int probe_code;
static __thread void *volatile probe_addr;

static inline void probe_handler(int sig, siginfo_t *info, void *context)
{
	static const char stray[] = "# a signal that nobody waits for, once more ends it\n";

	(void)context;
	if (!probe_armed) {
		signal(sig, SIG_DFL);
		if (write(STDOUT_FILENO, stray, sizeof(stray) - 1) < 0)
			_exit(1);
		return;
	}
	probe_armed = 0;
	probe_code = info->si_code;
	probe_addr = info->si_addr;
	siglongjmp(probe_env, sig);
}

static inline void probe_begin(void)
{
	struct sigaction action = {
		.sa_sigaction = probe_handler, .sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

static inline int probe_read(const void *addr, unsigned char *byte)
{
	unsigned char seen;
	int sig;

	sig = sigsetjmp(probe_env, 0);
	if (sig)
		return sig;
	probe_armed = 1;
	seen = *(const volatile unsigned char *)addr;
	probe_armed = 0;
	if (byte)
		*byte = seen;
	return 0;
}

static inline int probe_write(void *addr, unsigned char byte)
{
	int sig;

	sig = sigsetjmp(probe_env, 0);
	if (sig)
		return sig;
	probe_armed = 1;
	*(volatile unsigned char *)addr = byte;
	probe_armed = 0;
	return 0;
}

/* Contents: eight bytes at a time from a seed, none of them 0. */
static inline uint64_t pattern_at(uint64_t seed, uint64_t i)
{
	uint64_t x = (seed * 0x100000001b3ULL + i + 1) * 0x9e3779b97f4a7c15ULL;

	return (x ^ (x >> 29)) | 0x0101010101010101ULL;
}

static inline void pattern_put(void *buf, size_t len, uint64_t seed)
{
	uint64_t *word = buf;
	size_t i;

	for (i = 0; i < len / 8; i++)
		word[i] = pattern_at(seed, i);
}

static inline bool pattern_is(const void *buf, size_t len, uint64_t seed)
{
	const uint64_t *word = buf;
	size_t i;

	for (i = 0; i < len / 8; i++)
		if (word[i] != pattern_at(seed, i))
			return false;
	return true;
}

/* Whether all bytes are @byte. */
static inline bool bytes_are(const void *buf, size_t len, unsigned char byte)
{
	const unsigned char *p = buf;

	return !len || (*p == byte && !memcmp(p, p + 1, len - 1));
}

/* Random numbers: splitmix64. */
static inline uint64_t dev_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* The seed of a test that goes by chance: $SEED, or always the same. */
static inline uint64_t dev_seed(void)
{
	const char *given = getenv("SEED");

	return given ? strtoull(given, NULL, 0) : 20261122;
}

static inline double dev_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Stays on the CPU it is on, whose caches then serve all allocations. */
static inline bool dev_stay(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/* Whether this kernel checks itself at every step, and takes its time for that. */
static inline bool dev_slow(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

/* Files. */

/* All of a file as a string to be freed, or NULL and errno. */
static inline char *dev_read_file(const char *path)
{
	size_t len = 0, room = 1 << 16;
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	char *text;
	ssize_t n = 0;

	if (fd < 0)
		return NULL;
	text = malloc(room);
	while (text && (n = read(fd, text + len, room - len - 1)) > 0) {
		len += n;
		if (room - len < 4096)
			text = realloc(text, room *= 2);
	}
	err = errno;
	close(fd);
	if (text && n < 0) {
		free(text);
		text = NULL;
	}
	errno = err;
	if (text)
		text[len] = '\0';
	return text;
}

/* 0 or a negative errno. */
static inline long dev_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	long ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/*
 * A CPU has some seconds to come up, and cannot before it has gone for good; it may
 * stand still meanwhile.
 */
static inline long dev_cpu(int cpu, bool online)
{
	double until = dev_seconds() + 60;
	char path[64];
	long ret;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	for (;;) {
		ret = dev_write_file(path, online ? "1" : "0");
		if ((ret != -EIO && ret != -EAGAIN) || dev_seconds() > until)
			return ret;
		usleep(100000);
	}
}

/* What /proc/self/fdinfo says after "key:\t", without the line's end; false if nothing. */
static inline bool dev_fdinfo_text(int fd, const char *key, char *value, size_t room)
{
	size_t len = strlen(key);
	char path[64], *text, *line;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	text = dev_read_file(path);
	for (line = text; line && !found; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) || line[len] != ':' || line[len + 1] != '\t')
			continue;
		snprintf(value, room, "%.*s", (int)strcspn(line + len + 2, "\n"),
			 line + len + 2);
		found = true;
	}
	free(text);
	return found;
}

static inline bool dev_fdinfo(int fd, const char *key, uint64_t *value)
{
	char text[64], *end;

	if (!dev_fdinfo_text(fd, key, text, sizeof(text)) || !isdigit((unsigned char)*text))
		return false;
	*value = strtoull(text, &end, 10);
	return !*end;
}

/* Bytes of memory behind the heap; ~0 if fdinfo does not say. */
static inline uint64_t dev_backed(int fd)
{
	uint64_t value;

	return dev_fdinfo(fd, "heap-backed", &value) ? value : ~0ULL;
}

static inline bool dev_tree(void)
{
	return !access(DEV_TREE "/heaps", F_OK);
}

/* The path of a file of a heap in debugfs. */
static inline const char *dev_tree_path(int fd, const char *file)
{
	static __thread char path[256];
	uint64_t id = 0;

	dev_fdinfo(fd, "heap-id", &id);
	snprintf(path, sizeof(path), DEV_TREE "/heaps/%" PRIu64 "/%s", id, file);
	return path;
}

/* The @word-th word, from 1, behind a name at a line's beginning; ~0 if it is none. */
static inline bool dev_line(const char *path, const char *name, int word, uint64_t *value)
{
	char *text = dev_read_file(path), *line, *end;
	size_t len = strlen(name);
	bool found = false;

	*value = ~0ULL;
	for (line = text; line && !found; line = strchr(line, '\n')) {
		char *at = line += *line == '\n';
		int i;

		if (strncmp(line, name, len) || !strchr(" :\t", line[len]))
			continue;
		at += len + (line[len] == ':');
		for (i = 1; i < word; i++) {
			at += strspn(at, " \t");
			at += strcspn(at, " \t\n");
		}
		*value = strtoull(at, &end, 0);
		found = end != at && strchr(" \t\n", *end);
	}
	if (!found)
		*value = ~0ULL;
	free(text);
	return found;
}

/* A number of a heap's file in debugfs; ~0 if it does not say. */
static inline uint64_t dev_tree_value(int fd, const char *file, const char *name, int word)
{
	uint64_t value;

	dev_line(dev_tree_path(fd, file), name, word, &value);
	return value;
}

/* How many heaps there are, the module's own included; -1 if that cannot be told. */
static inline int dev_heaps(void)
{
	DIR *dir = opendir(DEV_TREE "/heaps");
	struct dirent *entry;
	int n = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		n += !!isdigit((unsigned char)entry->d_name[0]);
	closedir(dir);
	return n;
}

/* The last reference to a file may be given up a moment after its process is gone. */
static inline bool dev_wait_heaps(int wanted)
{
	int wait;

	for (wait = 0; wait < 1200; wait++) {
		if (dev_heaps() == wanted)
			return true;
		usleep(50000);
	}
	return false;
}

/* Whether a page of a process is there, by /proc/PID/pagemap; -1 if that cannot be told. */
static inline int dev_page_present(pid_t pid, const void *addr)
{
	uint64_t entry;
	char path[64];
	int fd, ret = -1;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (pread(fd, &entry, sizeof(entry), (uintptr_t)addr / 4096 * 8) == sizeof(entry))
		ret = !!(entry >> 62);	/* present, or swapped out */
	close(fd);
	return ret;
}

/* The machine's memory in bytes, by the name it has in /proc/meminfo; 0 without. */
static inline uint64_t dev_memory(const char *name)
{
	uint64_t kib;

	return dev_line("/proc/meminfo", name, 1, &kib) ? kib * 1024 : 0;
}

/*
 * Bytes of memory that nobody uses: free pages, and those that each CPU keeps
 * at hand.
 */
static inline uint64_t dev_memory_free(void)
{
	uint64_t kib = 0, pages = 0, count;
	char line[128];
	FILE *f;

	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %" SCNu64, &count) == 1)
			kib = count;
	if (f)
		fclose(f);
	f = fopen("/proc/zoneinfo", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %" SCNu64, &count) == 1)
			pages += count;
	if (f)
		fclose(f);
	return kib * 1024 + pages * 4096;
}

/* The module's parameters. */

#define DEV_PARAMS	"/sys/module/goalloc/parameters/"

static inline long dev_module_set(const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), DEV_PARAMS "%s", name);
	return dev_write_file(path, value);
}

/* A string to be freed, without the line's end; NULL if there is no such thing. */
static inline char *dev_module_get(const char *name)
{
	char path[96], *text;

	snprintf(path, sizeof(path), DEV_PARAMS "%s", name);
	text = dev_read_file(path);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	return text;
}

/*
 * What of a CPU the background may take to give idle memory back, and what it was:
 * for those who count idle memory, or wait for it to go. A negative errno if it
 * cannot be told.
 */
static inline long dev_background(long percent)
{
	char *text = dev_module_get("scavenge_percent"), value[24];
	long before = text ? strtol(text, NULL, 10) : -errno, ret;

	free(text);
	if (before < 0)
		return before;
	snprintf(value, sizeof(value), "%ld", percent);
	ret = dev_module_set("scavenge_percent", value);
	return ret ?: before;
}

/* Says which lines of the kernel's log are wanted; they follow. */
static inline void dev_expect(unsigned int n, const char *regex)
{
	char line[256];

	snprintf(line, sizeof(line), "<6>goalloc-expect: %u %s\n", n, regex);
	dev_write_file("/dev/kmsg", line);
}

/* A file over a socket. */
static inline bool dev_send_file(int socket, int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = sizeof(room),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket, &msg, 0) == 1;
}

static inline int dev_receive_file(int socket)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = sizeof(room),
	};
	int fd = -1;

	if (recvmsg(socket, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* The exit status of a child that ended by itself, or -1. */
static inline int dev_wait(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* A token from one process to another over a pipe. */
static inline bool dev_tell(int fd, uint64_t word)
{
	return write(fd, &word, sizeof(word)) == sizeof(word);
}

/* ~0 if the other end is gone. */
static inline uint64_t dev_hear(int fd)
{
	uint64_t word;

	return read(fd, &word, sizeof(word)) == sizeof(word) ? word : ~0ULL;
}

#endif /* DEVICE_H */
