// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fuzzer for the device: programs of a few calls each, which know what the
 * interface looks like and keep to it most of the time. Those that make the module
 * run what none before has are kept, and most others are made by changing them.
 *
 * Of the calls' pointers half are to memory that lets a copy fail, change or stand
 * still; a sixth of the calls race with those that follow. The kernel's checkers
 * judge, and what is looked at here: answers that the interface does not have,
 * books that do not balance, and calls that a fatal signal does not end.
 *
 * FUZZ_SECONDS, FUZZ_WORKERS and SEED say how long, in how many processes and from
 * which seed. Each program has a name, which is also its process's while it runs:
 * from which program of the corpus it was made, with which, and from which seed.
 * What enters the corpus is printed, so that
 *
 *	fuzz show LOG NAME	prints a program by its name, from what fuzz printed
 *
 * which is run, and nothing else, if that is in PROGRAM_FILE.
 */
#define _GNU_SOURCE
#include "fuzz_calls.h"

#define SECONDS		100
#define PROGRAM_FILE	"/rig/fuzz_program"
/* Of the module's points; the rest is for kernel heaps and for what has to fail first. */
#define LEAST_PERCENT	25

/* Workers. */

static void nothing(int sig)
{
	(void)sig;
}

static void origin_name(const struct origin *o, char *name)
{
	snprintf(name, 16, "%03x%03x%08x", o->from % 4096, o->with % 4096, o->seed);
}

/* All a process needs to run programs. Return: its server, or -1. */
static pid_t runner_begin(unsigned int worker, uint64_t seed, bool cover)
{
	struct sigaction action = { .sa_handler = nothing };
	pthread_t changer;
	pid_t pid;
	int i;

	for (i = 0; i < NUM_FDS; i++)
		run.fd[i] = -1;
	for (i = 0; i < NUM_FILES; i++)
		run.file[i] = -1;
	for (i = 0; i < NUM_MAPS; i++)
		run.map[i].offset = DEV_BASE;
	run.pipe[0] = -1;
	run.pipe[1] = -1;
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);
	probe_begin();
	pid = mem_begin(worker, seed);
	if (pid < 0)
		return -1;
	if (pthread_create(&changer, NULL, mem_changer, NULL))
		return -1;
	if (cover)
		threads[0].trace = cover_begin();
	return cover && !threads[0].trace ? -1 : pid;
}

/* Keeps a program that did something new. */
static void corpus_add(const struct program *p)
{
	static char text[TEXT_ROOM];
	uint32_t n;

	if (pthread_mutex_lock(&shared->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&shared->lock);
	n = shared->num_corpus;
	if (n < MAX_CORPUS) {
		shared->corpus[n] = *p;
		program_text(p, text, sizeof(text));
		say("# corpus %03x: %s", n, text);
		__atomic_store_n(&shared->num_corpus, n + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&shared->lock);
}

/* What was found last is worth the most. */
static uint32_t corpus_pick(uint64_t *rnd)
{
	uint32_t n = __atomic_load_n(&shared->num_corpus, __ATOMIC_ACQUIRE);

	if (n > 32 && one_in(rnd, 3))
		return n - 1 - below(rnd, 32);
	return below(rnd, n);
}

__attribute__((noreturn))
static void worker(unsigned int number, unsigned int num, uint64_t seed)
{
	unsigned int next = number;
	struct program *p = &shared->running[number].program;
	uint64_t rnd = seed + number;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pid = runner_begin(number, dev_random(&rnd), true);
	if (pid < 0) {
		say("# worker %u cannot begin: error %d", number, errno);
		_exit(1);
	}
	while (!shared->stop) {
		struct origin o = { NOBODY, NOBODY, dev_random(&rnd) };
		double begin = dev_seconds();
		char name[16];

		if (next < ARRAY_SIZE(first_programs)) {
			o.with = next;
			next += num;
		} else if (shared->num_corpus && !one_in(&rnd, 5)) {
			o.from = corpus_pick(&rnd);
			o.with = corpus_pick(&rnd);
		}
		program_of(&o, p);
		origin_name(&o, name);
		prctl(PR_SET_NAME, name);
		shared->running[number].origin = o;
		shared->running[number].since = begin;
		if (program_run(p))
			corpus_add(p);
		shared->running[number].since = 0;
		greatest(&shared->slowest_us, (dev_seconds() - begin) * 1e6);
		__atomic_fetch_add(&shared->programs, 1, __ATOMIC_RELAXED);
	}
	kill(pid, SIGKILL);
	_exit(0);
}

/* The supervisor. */

static pid_t workers[MAX_WORKERS];

static void worker_begin(unsigned int i, unsigned int num, uint64_t seed)
{
	shared->running[i].since = 0;
	fflush(stdout);
	workers[i] = fork();
	if (!workers[i])
		worker(i, num, seed);
}

/* A program that takes too long is ended with its process. */
static void worker_look(unsigned int i)
{
	const struct program *p = &shared->running[i].program;
	double since = shared->running[i].since;
	char path[32];
	int status;

	if (!workers[i])
		return;
	if (waitpid(workers[i], &status, WNOHANG) == workers[i]) {
		if (!shared->stop || status)
			trouble(TROUBLE_DIED, p, "worker %u ended with status 0x%x", i, status);
		workers[i] = 0;
	} else if (since && dev_seconds() - since > PROGRAM_SECONDS) {
		trouble(TROUBLE_STUCK, p, "a program takes more than %.0f s", PROGRAM_SECONDS);
		stuck_say(workers[i]);
		if (!child_end(workers[i], 0, DEADLY_SECONDS)) {
			trouble(TROUBLE_STUCK, p, "and does not end");
			stuck_say(workers[i]);
		}
		workers[i] = 0;
	}
	if (!workers[i]) {
		snprintf(path, sizeof(path), "/tmp/fuzz.%u", i);
		umount2(path, MNT_DETACH);
	}
}

static void figures_say(double begin)
{
	say("# %.0f s: %" PRIu64 " programs, %" PRIu64 " calls, %u of %u points, %u pairs, %u kept",
	    dev_seconds() - begin, shared->programs, shared->calls, shared->num_points,
	    code.num_points, shared->num_edges, shared->num_corpus);
}

/* What the calls took, on average in microseconds, with the time for the other side. */
static void times_say(void)
{
	char line[120] = "";
	unsigned int op;

	for (op = 0; op <= NUM_OPS; op++) {
		const char *name = op < NUM_OPS ? ops[op].name : "end";

		if (strlen(line) > 90) {
			say("#  %s", line);
			*line = '\0';
		}
		if (shared->op_calls[op])
			snprintf(line + strlen(line), sizeof(line) - strlen(line),
				 " %s %" PRIu64 "*%" PRIu64, name, shared->op_calls[op],
				 shared->op_us[op] / shared->op_calls[op]);
	}
	say("#  %s", line);
}

/* Of a machine that has little time for it, for longer. */
static bool enough(double took, double seconds)
{
	return took > 4 * seconds ||
	       (took > seconds && shared->num_points * 100 >= code.num_points * LEAST_PERCENT);
}

static void supervise(unsigned int num, uint64_t seed, double seconds)
{
	double begin = dev_seconds(), told = begin, now;
	unsigned int i, left = num;
	uint64_t life = 0;

	for (i = 0; i < num; i++)
		worker_begin(i, num, seed);
	while (left) {
		usleep(20000);
		now = dev_seconds();
		if (enough(now - begin, seconds))
			shared->stop = 1;
		for (left = 0, i = 0; i < num; i++) {
			worker_look(i);
			if (!workers[i] && !shared->stop && ++life < 16)
				worker_begin(i, num, seed + 1000 * life);
			left += !!workers[i];
		}
		if (now - told > 10 || !left) {
			told = now;
			figures_say(begin);
		}
	}
}

/*
 * A process that the kernel does not let go has to be noticed: one that waits for a
 * page of a file whose server has read the request and does not answer. Ended by
 * the server's end.
 */
static bool stuck_is_noticed(void)
{
	char options[96], byte, path[] = "/tmp/fuzz.s/file", request[8192];
	const struct fuse_in_header *in = (const void *)request;
	int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION,
				      .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096 };
	bool noticed;
	pid_t pid;

	mkdir("/tmp/fuzz.s", 0700);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	if (dev < 0 || mount("fuzz", "/tmp/fuzz.s", "fuse", MS_NOSUID | MS_NODEV, options))
		return false;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(dev);
		byte = 0;
		_exit(access(path, F_OK) + byte);
	}
	do {
		if (read(dev, request, sizeof(request)) < 0)
			break;
		if (in->opcode == FUSE_INIT)
			fuse_answer(dev, in, 0, &init, sizeof(init));
	} while (in->opcode != FUSE_LOOKUP);
	noticed = !child_end(pid, 0, 1.0);
	close(dev);
	umount2("/tmp/fuzz.s", MNT_DETACH);
	shared->deadly_us = 0;
	shared->killed = 0;
	return child_end(pid, 0, DEADLY_SECONDS) && noticed;
}

/* The texts of programs are programs, and what makes them goes by the seed. */
static bool texts_are_programs(void)
{
	static struct program p, q;
	static char text[TEXT_ROOM];
	struct origin o = { NOBODY, NOBODY, 0 };
	bool same = true;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(first_programs); i++)
		same &= program_parse(first_programs[i], &p);
	for (o.seed = 0; o.seed < 500; o.seed++) {
		memset(&p, 0, sizeof(p));
		program_of(&o, &p);
		program_text(&p, text, sizeof(text));
		same &= program_parse(text, &q) && p.n == q.n;
		program_text(&q, text, sizeof(text));
		same &= program_parse(text, &p) && !memcmp(&p, &q, sizeof(p));
	}
	return same;
}

static void shared_begin(void)
{
	pthread_mutexattr_t attr;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&shared->lock, &attr);
}

/* fuzz show LOG NAME */
static int show(const char *log, const char *name)
{
	struct origin o;
	static struct program p;
	static char text[TEXT_ROOM];
	char *all = dev_read_file(log), *line;

	if (!all || sscanf(name, "%3x%3x%8x", &o.from, &o.with, &o.seed) != 3)
		return 2;
	for (line = strtok(all, "\r\n"); line; line = strtok(NULL, "\r\n")) {
		unsigned int n;
		int at = 0;

		if (sscanf(line, "# corpus %x: %n", &n, &at) == 1 && at && n < MAX_CORPUS &&
		    program_parse(line + at, &p))
			shared->corpus[n] = p;
	}
	program_of(&o, &p);
	program_text(&p, text, sizeof(text));
	puts(text);
	return 0;
}

/* Whether one program runs so many times without trouble. */
static bool run_again(const char *text, unsigned long times)
{
	static struct program p;
	unsigned int i, troubles = 0;
	unsigned long done = 0;
	pid_t pid;

	if (!program_parse(text, &p))
		return false;
	pid = runner_begin(0, dev_seed(), false);
	for (; pid > 0 && done < times; done++)
		program_run(&p);
	for (i = 0; i < NUM_TROUBLES; i++)
		troubles += shared->troubles[i];
	if (pid > 0)
		kill(pid, SIGKILL);
	umount2(mem_mount, MNT_DETACH);
	ksft_print_msg("%lu times\n", done);
	return done && !troubles;
}

static unsigned long setting(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	unsigned long num = setting("FUZZ_WORKERS", sysconf(_SC_NPROCESSORS_ONLN));
	unsigned long seconds = setting("FUZZ_SECONDS", SECONDS);
	char *again = dev_read_file(PROGRAM_FILE);
	int heaps;

	shared_begin();
	if (argc == 4 && !strcmp(argv[1], "show"))
		return show(argv[2], argv[3]);
	ksft_print_header();
	if (again) {
		ksft_set_plan(1);
		ksft_test_result(run_again(again, setting("FUZZ_TIMES", 100)),
				 "the program runs\n");
		ksft_print_cnts();
		_exit(!!ksft_get_fail_cnt());
	}
	ksft_set_plan(9);
	ksft_print_msg("seed %" PRIu64 ", %lu workers, %lu s\n", dev_seed(), num, seconds);
	ksft_test_result(texts_are_programs(), "a program's text is that program\n");
	ksft_test_result(stuck_is_noticed(), "a process that cannot be killed is noticed\n");
	ksft_test_result(code_begin(), "the module says what of it is run\n");
	heaps = dev_heaps();
	module_keep();
	/* Mappings of a TiB are to be had, and the kernel says nothing of those that are not. */
	dev_write_file("/proc/sys/vm/overcommit_memory", "1");
	fflush(stdout);
	supervise(num < MAX_WORKERS ? num : MAX_WORKERS, dev_seed(), seconds);
	run.tuned = true;
	module_restore();
	ksft_print_msg("%" PRIu64 " processes killed, gone after %.3f s at most\n",
		       shared->killed, shared->deadly_us / 1e6);
	ksft_print_msg("the slowest program took %.3f s\n", shared->slowest_us / 1e6);
	ksft_print_msg("calls and microseconds for each:\n");
	fflush(stdout);
	times_say();
	ksft_print_msg("functions never entered:\n");
	fflush(stdout);
	code_say_missed();
	ksft_test_result(shared->num_points * 100 >= code.num_points * LEAST_PERCENT,
			 "%u of %u points were reached\n", shared->num_points, code.num_points);
	ksft_test_result(no_trouble(TROUBLE_STUCK), "a fatal signal ends every call\n");
	ksft_test_result(no_trouble(TROUBLE_ANSWER), "every answer is one there is\n");
	ksft_test_result(no_trouble(TROUBLE_BOOKS), "the books balance\n");
	ksft_test_result(no_trouble(TROUBLE_DIED), "no worker ended by itself\n");
	ksft_test_result(dev_wait_heaps(heaps), "all heaps are gone\n");
	if (ksft_get_fail_cnt())
		ksft_exit_fail();
	ksft_exit_pass();
}
