// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run a program and say what it took, as one line of values between tabs:
 *
 *	status wall_ms cpu_ms rss_kib held_kib heaps
 *
 * wall and cpu (user and system) are of the program with all its children. rss
 * is what getrusage() calls the maximum resident set: of the largest process.
 * held is what the goalloc heaps of all its processes held together, backed
 * pages and the kernel's metadata, the most of what was seen every SAMPLE_MS; a
 * peak between two looks is missed. heaps is the most seen at once.
 *
 * The program runs in a cgroup of its own, which is how its processes are known
 * and how they are ended when the time is over (status 124).
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE_MS	100
#define MAX_HEAPS	256

static char group[64];			/* the cgroup's directory */

static uint64_t heaps[MAX_HEAPS];	/* seen in this look */
static unsigned int num_heaps;

static void fail(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(125);
}

static bool write_file(const char *name, const char *text)
{
	char path[128];
	bool written;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", group, name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return written;
}

/* The value after the name at the start of a line of the file, 0 if there is none. */
static uint64_t value_in(const char *path, const char *name)
{
	size_t length = strlen(name);
	uint64_t value = 0;
	char line[256];
	FILE *file;

	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length)) {
			value = strtoull(line + length, NULL, 10);
			break;
		}
	fclose(file);
	return value;
}

/* What the kernel keeps for a heap besides its pages. */
static uint64_t metadata(uint64_t id)
{
	char path[128];
	uint64_t sys, heap_sys;

	snprintf(path, sizeof(path), "/sys/kernel/debug/goalloc/heaps/%llu/summary",
		 (unsigned long long)id);
	sys = value_in(path, "sys ");
	heap_sys = value_in(path, "heap_sys ");
	return sys > heap_sys ? sys - heap_sys : 0;
}

/* Return: what a file of a process holds, if it is a heap not seen in this look. */
static uint64_t held_by_file(const char *path)
{
	uint64_t id = value_in(path, "heap-id:");
	unsigned int i;

	if (!id || num_heaps == MAX_HEAPS)
		return 0;
	for (i = 0; i < num_heaps; i++)
		if (heaps[i] == id)
			return 0;
	heaps[num_heaps++] = id;
	return value_in(path, "heap-backed:") + metadata(id);
}

static uint64_t held_by_process(const char *pid)
{
	struct dirent *entry;
	uint64_t held = 0;
	char path[320];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
	dir = opendir(path);
	if (!dir)
		return 0;		/* it has ended */
	while ((entry = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, entry->d_name);
		held += held_by_file(path);
	}
	closedir(dir);
	return held;
}

/* One look at all the processes. */
static uint64_t held_by_group(void)
{
	uint64_t held = 0;
	char path[128];
	char pid[32];
	FILE *file;

	num_heaps = 0;
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	file = fopen(path, "re");
	if (!file)
		fail(path);
	while (fgets(pid, sizeof(pid), file)) {
		pid[strcspn(pid, "\n")] = '\0';
		held += held_by_process(pid);
	}
	fclose(file);
	return held;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

static uint64_t ms_of(struct timeval time)
{
	return time.tv_sec * 1000ULL + time.tv_usec / 1000;
}

/* Nobody of the program may stay: they would be counted with the next one. */
static void group_end(void)
{
	struct timespec wait = { .tv_nsec = 20000000 };
	int tries;

	write_file("cgroup.kill", "1");
	for (tries = 0; rmdir(group) && tries < 500; tries++)
		nanosleep(&wait, NULL);
}

int main(int argc, char **argv)
{
	struct timespec sample = { .tv_nsec = SAMPLE_MS * 1000000L };
	uint64_t begin, end, held, held_most = 0;
	unsigned int heaps_most = 0;
	bool timeout = false;
	struct rusage usage;
	int status;
	sigset_t set;
	FILE *result;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: measure RESULT SECONDS PROGRAM [ARGUMENT]...\n");
		return 125;
	}
	result = fopen(argv[1], "we");
	if (!result)
		fail(argv[1]);
	snprintf(group, sizeof(group), "/sys/fs/cgroup/measure-%d", getpid());
	if (mkdir(group, 0755))
		fail(group);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);

	begin = now_ms();
	end = begin + strtoull(argv[2], NULL, 10) * 1000;
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid) {
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		if (!write_file("cgroup.procs", "0"))
			fail("cgroup.procs");
		execvp(argv[3], argv + 3);
		fail(argv[3]);
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		held = held_by_group();
		if (held > held_most)
			held_most = held;
		if (num_heaps > heaps_most)
			heaps_most = num_heaps;
		if (!timeout && now_ms() >= end) {
			timeout = true;
			write_file("cgroup.kill", "1");
		}
		sigtimedwait(&set, NULL, &sample);
	}
	end = now_ms();
	group_end();
	getrusage(RUSAGE_CHILDREN, &usage);
	status = timeout ? 124 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	fprintf(result, "%d\t%llu\t%llu\t%ld\t%llu\t%u\n", status,
		(unsigned long long)(end - begin),
		(unsigned long long)(ms_of(usage.ru_utime) + ms_of(usage.ru_stime)),
		usage.ru_maxrss, (unsigned long long)(held_most / 1024), heaps_most);
	if (fclose(result))
		fail(argv[1]);
	return status;
}
