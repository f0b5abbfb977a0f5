/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Running a program: its calls by two threads, and by children that may be killed.
 */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include <sys/time.h>
#include "fuzz_files.h"
#include "fuzz_ioctl.h"

static void racer_join(void);

static void call_small(struct thread *t, const struct call *call)
{
	struct pollfd fds = { heap_fd(call->arg[0]), POLLIN | POLLOUT | POLLPRI, 0 };
	struct itimerval soon = { .it_value.tv_usec = 500 + 100 * call->arg[0] % 16 };
	char path[64];
	int fd;

	switch (call->op) {
	case OP_open:
		heap_set(call->arg[0], dev_open());
		break;
	case OP_close:
		heap_set(call->arg[0], -1);
		break;
	case OP_dup:
		fd = heap_fd(call->arg[0]);
		heap_set(call->arg[1], fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0));
		break;
	case OP_seek:
		lseek(heap_fd(call->arg[0]), address(call->arg[1]), call->arg[2] % 6);
		break;
	case OP_poll:
		fds.events = call->arg[1] & 1 ? POLLPRI : POLLIN;
		poll(&fds, 1, call->arg[1] & 2);
		break;
	case OP_fdinfo:
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", heap_fd(call->arg[0]));
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (read(fd, t->bytes, 4096) < 0)
			errno = 0;
		close(fd);
		break;
	case OP_signal:
		if (call->arg[0] & 1 && !t->number && racer.alive)
			pthread_kill(racer.thread, SIGUSR1);
		else
			setitimer(ITIMER_REAL, &soon, NULL);
		break;
	case OP_join:
		if (!t->number)
			racer_join();
		break;
	default:
		usleep(call->arg[0] % 2000);
	}
}

static void op_time(unsigned int op, double begin)
{
	__atomic_fetch_add(&shared->op_calls[op], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&shared->op_us[op], (dev_seconds() - begin) * 1e6, __ATOMIC_RELAXED);
}

static void call_do(struct thread *t, const struct call *call)
{
	double begin = dev_seconds();

	switch (call->op) {
	case OP_alloc:
		call_alloc(t, call);
		break;
	case OP_free:
		call_free(t, call);
		break;
	case OP_alloc_batch:
		call_alloc_batch(t, call);
		break;
	case OP_free_batch:
		call_free_batch(t, call);
		break;
	case OP_query:
		call_query(t, call);
		break;
	case OP_info:
	case OP_set_param:
	case OP_get_param:
	case OP_memstats:
	case OP_scavenge:
	case OP_set_name:
	case OP_unknown:
		call_plain_ioctl(t, call);
		break;
	case OP_pread ... OP_pwritev:
	case OP_read ... OP_write:
		call_io(t, call);
		break;
	case OP_splice:
		call_splice(t, call);
		break;
	case OP_misc:
		call_misc(call);
		break;
	case OP_map:
		call_map(call);
		break;
	case OP_remap:
		call_remap(call);
		break;
	case OP_remote:
		call_remote(t, call);
		break;
	case OP_look:
		call_look(t, call);
		break;
	case OP_unmap:
	case OP_protect ... OP_store:
	case OP_futex:
		call_mapping(call);
		break;
	case OP_pass:
	case OP_fly:
		call_pass(call);
		break;
	case OP_tree_open:
		call_tree_open(call);
		break;
	case OP_tree_read:
	case OP_tree_write:
		call_tree(t, call);
		break;
	case OP_tree_close:
		file_set(call->arg[0], -1);
		break;
	case OP_machine:
		call_machine(call);
		break;
	case OP_ring:
		call_ring(t, call);
		break;
	default:
		call_small(t, call);
	}
	mem_calm();
	__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
	op_time(call->op, begin);
	if (t->trace)
		t->news |= cover_take(t->trace);
}

/* The other thread. */

static void *racer_main(void *arg)
{
	struct thread *t = &threads[1];

	(void)arg;
	if (!run.child)
		t->trace = cover_begin();
	pthread_mutex_lock(&racer.lock);
	for (;;) {
		while (!racer.busy)
			pthread_cond_wait(&racer.cond, &racer.lock);
		pthread_mutex_unlock(&racer.lock);
		call_do(t, racer.call);
		pthread_mutex_lock(&racer.lock);
		racer.busy = false;
		pthread_cond_broadcast(&racer.cond);
	}
	return NULL;
}

static void racer_join(void)
{
	pthread_mutex_lock(&racer.lock);
	while (racer.busy)
		pthread_cond_wait(&racer.cond, &racer.lock);
	pthread_mutex_unlock(&racer.lock);
}

static void racer_do(const struct call *call)
{
	racer_join();
	pthread_mutex_lock(&racer.lock);
	if (!racer.alive)
		racer.alive = !pthread_create(&racer.thread, NULL, racer_main, NULL);
	racer.call = call;
	racer.busy = racer.alive;
	pthread_cond_broadcast(&racer.cond);
	pthread_mutex_unlock(&racer.lock);
}

/* Processes. */

static void stuck_say(pid_t pid)
{
	char path[64], *text, *line, *next;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	text = dev_read_file(path);
	for (line = text; line && *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		say("#   %s", line);
	}
	free(text);
}

/*
 * Ends a child after so many microseconds, and waits for it. Return: false if it
 * lives on for @deadly seconds after that.
 */
static bool child_end(pid_t pid, uint64_t after, double deadly)
{
	double begin = dev_seconds(), killed = 0;

	while (!waitpid(pid, NULL, WNOHANG)) {
		double now = dev_seconds();

		if (killed && now - killed > deadly)
			return false;
		if (!killed && (now - begin) * 1e6 >= after) {
			kill(pid, SIGKILL);
			killed = now;
			__atomic_fetch_add(&shared->killed, 1, __ATOMIC_RELAXED);
		}
		usleep(300);
	}
	if (killed)
		greatest(&shared->deadly_us, (dev_seconds() - killed) * 1e6);
	return true;
}

static void program_calls(const struct program *p, uint32_t from, uint32_t to);

/*
 * A child that does the next calls, to its end or until it is killed. In that case
 * nobody answers when one of its copies waits for memory.
 */
static uint32_t call_child(const struct program *p, uint32_t at)
{
	const struct call *call = &p->call[at];
	uint32_t to = at + 2 + call->arg[0] % 4;
	uint64_t how = call->arg[1] % 4, after = (call->arg[1] >> 8) % 20000;
	double begin = dev_seconds();
	pid_t pid;

	if (to > p->n)
		to = p->n;
	if (run.child || at + 1 >= p->n)
		return at + 1;
	racer_join();
	run.disturbed = how == 3;
	pid = fork();
	if (!pid) {
		run.child = true;
		threads[0].trace = NULL;
		memset(&racer, 0, sizeof(racer));
		if (how == 1 || how == 2)
			mem_uffd_begin();
		program_calls(p, at + 1, to);
		if (how != 3)
			racer_join();
		_exit(0);
	}
	if (pid < 0)
		return to;
	if (how == 3)
		program_calls(p, at + 1, to);
	if (!child_end(pid, how == 1 || how == 2 ? after : 2000000, DEADLY_SECONDS)) {
		trouble(TROUBLE_STUCK, p, "a killed process lives on");
		stuck_say(pid);
	}
	op_time(OP_child, begin);
	return to;
}

static void program_calls(const struct program *p, uint32_t from, uint32_t to)
{
	while (from < to) {
		const struct call *call = &p->call[from];

		if (call->op == OP_child) {
			from = call_child(p, from);
			continue;
		}
		if (call->racing)
			racer_do(call);
		else
			call_do(&threads[0], call);
		from++;
	}
}

static void program_clean(void)
{
	int i;

	module_restore();
	for (i = 0; i < 2; i++) {
		if (run.pipe[i] >= 0)
			close(run.pipe[i]);
		run.pipe[i] = -1;
	}
	for (i = 0; i < NUM_FILES; i++)
		file_set(i, -1);
	for (i = 0; i < NUM_MAPS; i++) {
		if (run.map[i].len)
			munmap((void *)map_base(i), map_room(i));
		run.map[i].len = 0;
		run.map[i].offset = DEV_BASE;
	}
	for (i = 0; i < NUM_FDS; i++)
		heap_set(i, -1);
}

/* Runs a program in this process. Return: whether it did what none had done. */
static bool program_run(const struct program *p)
{
	double begin;
	int i;

	memset((void *)run.object, 0, sizeof(run.object));
	run.num_objects = 0;
	run.program = p;
	run.disturbed = false;
	threads[0].news = false;
	threads[1].news = false;
	program_calls(p, 0, p->n);
	racer_join();
	for (i = 0; i < MEM_THREADS; i++)
		ring_drain(&threads[i].ring);
	for (i = 0; i < NUM_FDS; i++)
		if (run.fd[i] >= 0 && !dev_balanced(run.fd[i]))
			trouble(TROUBLE_BOOKS, p, "the books of heap %d do not balance", i);
	begin = dev_seconds();
	program_clean();
	op_time(NUM_OPS, begin);
	return threads[0].news || threads[1].news;
}

#endif /* FUZZ_CALLS_H */
