// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first program of a guest with another page size: loads the module and its
 * suites, runs the selftests there are, unloads both, and ends the machine. What it
 * has to say goes to the kernel log, which is on the console.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
	int fd = open("/dev/kmsg", O_WRONLY);
	char line[400];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (fd < 0 || write(fd, line, n) != n)
		perror(line);
	if (fd >= 0)
		close(fd);
}

/* What went wrong is said in the same way as by a test. */
static void not_ok(const char *what)
{
	say("<3>not ok %s: %s\n", what, strerror(errno));
}

static void load(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		not_ok(path);
	if (fd >= 0)
		close(fd);
}

static void unload(const char *name)
{
	if (syscall(SYS_delete_module, name, O_NONBLOCK))
		not_ok(name);
}

static void run(const char *name)
{
	char path[300];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "/selftests/%s", name);
	say("<6>goalloc-rig: running %s\n", name);
	pid = fork();
	if (!pid) {
		execl(path, path, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		errno = 0;
		not_ok(name);
	}
}

static void run_all(void)
{
	DIR *dir = opendir("/selftests");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			run(entry->d_name);
	if (dir)
		closedir(dir);
}

int main(void)
{
	int fd;

	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) && errno != EBUSY)
		not_ok("/dev");
	if (mount("proc", "/proc", "proc", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL) ||
	    mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL) ||
	    mount("tmpfs", "/tmp", "tmpfs", 0, NULL))
		not_ok("mounts");
	fd = open("/dev/console", O_RDWR);
	if (fd >= 0) {
		dup2(fd, 0);
		dup2(fd, 1);
		dup2(fd, 2);
	}
	say("<6>goalloc-rig: pages of %ld bytes\n", sysconf(_SC_PAGESIZE));
	load("/goalloc.ko");
	load("/goalloc_kunit.ko");
	unload("goalloc_kunit");
	run_all();
	unload("goalloc");
	say("<6>goalloc-rig: done\n");
	/* So that all of it is on the console. */
	sleep(1);
	reboot(RB_POWER_OFF);
	return 1;
}
