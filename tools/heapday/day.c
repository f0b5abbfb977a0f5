// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap through a day: a file heap under a load that grows, stays, falls, changes
 * its sizes and ends, and what becomes of its pages, as a log for draw.py. An hour
 * takes HOUR seconds, or what is given.
 *
 * Lines of the log, with blanks between; times are in seconds, lengths in bytes:
 *
 *	version	the module's
 *	hour	<seconds>
 *	phase	<time> <name>
 *	sample	<time> <live> <in use> <idle, memory behind it> <held> <limit>
 *		<given back at a request> <for the limit> <in the background>
 *		<by reclaim> <ns the background took> <ns the sample took>
 *	row	<number> <small> <medium> <large> <untouched> <idle> <given back>
 *
 * A row is ROW bytes of addresses, the numbers after it are heap pages: in spans of
 * small, medium and large objects, in spans but never touched, in none with memory
 * and without. A row that is not grown has no line.
 */
#define _GNU_SOURCE
#include "device.h"

#define HOUR		5.0
#define HOURS		24.0
#define TICK		0.1		/* seconds between two looks at the load */
#define SAMPLE		0.6		/* between two samples */
#define ROW		(4 * DEV_MIB)	/* a chunk */
#define ROWS		128
#define ROW_PAGES	(ROW / DEV_PAGE)
#define OBJECTS		(1 << 18)
#define SMALL		512		/* a small object, at most */
#define MEDIUM		32768		/* one of a size class */

enum sort { IN_SMALL, IN_MEDIUM, IN_LARGE, UNTOUCHED, IDLE, RELEASED, SORTS };

/**
 * struct phase - a part of the day
 * @begins: hour
 * @name: what it is called
 * @target: bytes that live at its end; it goes there in a straight line
 * @least: size of its objects, at least
 * @most: and at most; sizes between are equally likely by their logarithm
 * @churn: so much of what lives is replaced in an hour
 * @drop: so much of what lives is freed when it begins, at random
 * @limit: the soft limit from then on
 */
struct phase {
	double begins;
	const char *name;
	uint64_t target;
	uint64_t least;
	uint64_t most;
	double churn;
	double drop;
	uint64_t limit;
};

static const struct phase phases[] = {
	{ 0, "night", 6 * DEV_MIB, 64, 4096, 0.1, 0, GOALLOC_NO_LIMIT },
	{ 5, "morning: it grows", 96 * DEV_MIB, 256, 16384, 0.1, 0, GOALLOC_NO_LIMIT },
	{ 9, "noon: the peak", 96 * DEV_MIB, 256, 16384, 1, 0, GOALLOC_NO_LIMIT },
	{ 12, "90 % freed, at random", 10 * DEV_MIB, 256, 16384, 0.3, 0.9, GOALLOC_NO_LIMIT },
	{ 15, "other sizes", 56 * DEV_MIB, 16384, 262144, 1, 0, GOALLOC_NO_LIMIT },
	{ 18, "limit 56 MiB", 48 * DEV_MIB, 1024, 65536, 2, 0.4, 56 * DEV_MIB },
	{ 21, "night", 2 * DEV_MIB, 64, 4096, 0, 0.95, GOALLOC_NO_LIMIT },
	{ 23, "all freed", 0, 64, 4096, 0, 1, GOALLOC_NO_LIMIT },
};

#define PHASES	(sizeof(phases) / sizeof(*phases))

static struct {
	uint64_t addr;
	uint64_t bytes;
} objects[OBJECTS];

static int fd;
static unsigned int num_objects;
static uint64_t live, seed;
static double began;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("heapday: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Between the two, each power of two as likely as the next. */
static uint64_t choose(uint64_t least, uint64_t most)
{
	unsigned int steps = 0, step;
	uint64_t low;

	while (least << (steps + 1) <= most)
		steps++;
	step = steps ? dev_random(&seed) % steps : 0;
	low = least << step;
	return low + dev_random(&seed) % low;
}

static void make(const struct phase *p)
{
	uint64_t bytes = choose(p->least, p->most), addr;

	must(num_objects < OBJECTS, "too many objects");
	addr = dev_new(fd, bytes);
	must(addr, "GOALLOC_IOC_ALLOC");
	memset((void *)addr, 1, bytes);
	objects[num_objects].addr = addr;
	objects[num_objects++].bytes = bytes;
	live += bytes;
}

static void discard_any(void)
{
	unsigned int i = dev_random(&seed) % num_objects;

	must(!dev_free(fd, objects[i].addr), "GOALLOC_IOC_FREE");
	live -= objects[i].bytes;
	objects[i] = objects[--num_objects];
}

static void discard_down_to(uint64_t bytes)
{
	while (num_objects && live > bytes)
		discard_any();
}

/* One tick of a phase in which @target is to live now; @hours since the last one. */
static void work(const struct phase *p, uint64_t target, double hours)
{
	double replaced = live * p->churn * hours;

	discard_down_to(live > replaced ? live - replaced : 0);
	discard_down_to(target);
	while (live < target)
		make(p);
}

/* The next line of a table from *@at on, or NULL. */
static char *next_line(char **at)
{
	char *line = strsep(at, "\n");

	return line && *line ? line : NULL;
}

/* Of @pages from @addr on; a run may go from one row into the next. */
static void count(uint32_t rows[][SORTS], uint64_t addr, uint64_t pages, enum sort sort)
{
	uint64_t i = (addr - DEV_BASE) / DEV_PAGE;

	for (; pages; pages--, i++) {
		must(i / ROW_PAGES < ROWS, "a heap larger than the log");
		rows[i / ROW_PAGES][sort]++;
	}
}

static enum sort sort_of(uint64_t size)
{
	return size <= SMALL ? IN_SMALL : size <= MEDIUM ? IN_MEDIUM : IN_LARGE;
}

/*
 * Spans say what sizes live in the pages, pages which of them have memory. Both are
 * by address; nobody else uses the heap, so they fit each other.
 */
static void sample_pages(uint32_t rows[][SORTS])
{
	char *pages = dev_read_file(dev_tree_path(fd, "pages"));
	char *spans = dev_read_file(dev_tree_path(fd, "spans"));
	char *at = pages, *span_at = spans, *line;
	uint64_t begin = 0, end = 0, size = 0;

	must(pages && spans, "no pages or spans in debugfs");
	next_line(&at);
	next_line(&span_at);
	while ((line = next_line(&at))) {
		char state[16], backed[16];
		uint64_t addr, n;

		must(sscanf(line, "%" SCNx64 " %" SCNu64 " %15s %15s", &addr, &n, state,
			    backed) == 4, "a line of pages");
		if (!strcmp(state, "idle")) {
			count(rows, addr, n, *backed == 'y' ? IDLE : RELEASED);
			continue;
		}
		for (; n; n--, addr += DEV_PAGE) {
			while (addr >= end && (line = next_line(&span_at))) {
				must(sscanf(line, "%" SCNx64 " %" SCNu64 " %*u %*s %" SCNu64,
					    &begin, &end, &size) == 3, "a line of spans");
				end = begin + end * DEV_PAGE;
			}
			/* Set aside by a CPU: idle, whatever the bits say. */
			if (addr < begin || addr >= end)
				count(rows, addr, 1, *backed == 'y' ? IDLE : RELEASED);
			else
				count(rows, addr, 1, *backed == 'y' ? sort_of(size) : UNTOUCHED);
		}
	}
	free(pages);
	free(spans);
}

/* The last word of the line of the file "scavenger" that begins with a name. */
static uint64_t scavenger(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *at, *word;

	for (at = text; strncmp(at, name, len) || at[len] != ' '; at++) {
		at = strchr(at, '\n');
		must(at, name);
	}
	for (word = at + strcspn(at, "\n"); word[-1] != ' '; word--)
		;
	return strtoull(word, NULL, 0);
}

static void sample(void)
{
	static uint32_t rows[ROWS][SORTS];
	double begin = dev_seconds();
	struct goalloc_memstats ms;
	unsigned int i, sort;
	char *text, *causes;

	memset(rows, 0, sizeof(rows));
	ms = dev_stats(fd);
	text = dev_read_file(dev_tree_path(fd, "scavenger"));
	causes = text ? strstr(text, "\ncause ") : NULL;
	must(causes, "no scavenger in debugfs");
	sample_pages(rows);
	printf("sample %.2f %" PRIu64 " %" PRIu64 " %" PRIu64, begin - began, live,
	       (uint64_t)ms.heap_inuse, scavenger(text, "idle_backed"));
	printf(" %" PRIu64 " %" PRIu64, scavenger(text, "held"), scavenger(text, "limit"));
	printf(" %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %.0f\n",
	       scavenger(causes, "request"), scavenger(causes, "limit"),
	       scavenger(causes, "background"), scavenger(causes, "reclaim"),
	       scavenger(text, "background_ns"), (dev_seconds() - begin) * 1e9);
	free(text);
	for (i = 0; i < ROWS; i++) {
		uint32_t any = 0;

		for (sort = 0; sort < SORTS; sort++)
			any |= rows[i][sort];
		if (!any)
			continue;
		printf("row %u", i);
		for (sort = 0; sort < SORTS; sort++)
			printf(" %u", rows[i][sort]);
		putchar('\n');
	}
	fflush(stdout);
}

static void wait_until(double time)
{
	double left = began + time - dev_seconds();

	if (left > 0)
		usleep(left * 1e6);
}

/* The heap is mapped where its addresses are pointers. */
static void open_heap(void)
{
	fd = dev_open();
	must(fd >= 0, DEV_PATH);
	must(!dev_set_name(fd, "heapday"), "GOALLOC_IOC_SET_NAME");
	must(dev_map_heap(fd) == (char *)DEV_BASE, "mmap");
}

static void begin_phase(const struct phase *p, double time)
{
	printf("phase %.2f %s\n", time, p->name);
	discard_down_to(live * (1 - p->drop));
	must(!dev_set(fd, GOALLOC_PARAM_LIMIT, p->limit), "GOALLOC_IOC_SET_PARAM");
}

int main(int argc, char **argv)
{
	double hour = argc > 1 ? atof(argv[1]) : HOUR, time = 0, sampled = -SAMPLE, last = 0;
	const struct phase *p = NULL;
	uint64_t first = 0;
	char *version;

	must(hour > 0, "seconds of an hour");
	seed = dev_seed();
	open_heap();
	version = dev_read_file(DEV_TREE "/version");
	must(version, "no version in debugfs");
	printf("version %shour %g\n", version, hour);
	free(version);

	began = dev_seconds();
	for (; time < HOURS * hour; time = dev_seconds() - began) {
		const struct phase *now = p ? p : phases;
		double end, part;

		while (now + 1 < phases + PHASES && time >= now[1].begins * hour)
			now++;
		if (now != p) {
			p = now;
			begin_phase(p, time);
			first = live;
		}
		end = p + 1 < phases + PHASES ? p[1].begins : HOURS;
		part = (time / hour - p->begins) / (end - p->begins);
		work(p, first + ((double)p->target - first) * part, (time - last) / hour);
		last = time;
		if (time >= sampled + SAMPLE) {
			sampled = time;
			sample();
		}
		wait_until(time + TICK);
	}
	sample();
	return 0;
}
