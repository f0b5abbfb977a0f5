// SPDX-License-Identifier: GPL-2.0-only
/*
 * The debugfs tree: every file is there and can be read as described, and says
 * what the ioctls say.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include "tree.h"

static int fd, id;

static void setup(void)
{
	tree_need();
	fd = heap_open();
	id = tree_own_heap();
	REQUIRE(id > 0);
}

/* Some objects of every kind, some of them freed. */
static void use_heap(void)
{
	static const uint64_t sizes[] = { 0, 1, 3, 8, 16, 100, 1000, 5000, 32768, 40000, 9 * MIB };
	uint64_t addr[ARRAY_SIZE(sizes) * 4];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(addr); i++) {
		uint64_t bytes = sizes[i % ARRAY_SIZE(sizes)];

		addr[i] = heap_new(fd, bytes);
		CHECK(bytes == 0 || obj_write(fd, addr[i], bytes < 100 ? bytes : 100, i));
	}
	for (i = 0; i < ARRAY_SIZE(addr); i += 3)
		CHECK_RET(heap_free(fd, addr[i]), 0);
}

static unsigned int lines(const char *text)
{
	unsigned int n = 0;

	for (; text && *text; text++)
		n += *text == '\n';
	return n;
}

static void version(void)
{
	char *text;

	tree_need();
	text = tree_read(TREE "/version");
	REQUIRE(text);
	CHECK(isdigit((unsigned char)text[0]));
	CHECK_EQ(lines(text), 1);
	tap_note("version %.*s", (int)strcspn(text, "\n"), text);
	free(text);
}

/* Heap 0 is the module's own and is always there. */
static void kernel_heap(void)
{
	char *text;

	tree_need();
	text = tree_read_heap(0, "name");
	REQUIRE(text);
	CHECK(!strcmp(text, "kernel\n"));
	free(text);
	text = tree_read_heap(0, "summary");
	REQUIRE(text);
	CHECK_EQ(lines(text), ARRAY_SIZE(tree_fields));
	free(text);
}

/* A heap's directory comes and goes with its file. */
static void comes_and_goes(void)
{
	char path[64];
	int before;

	tree_need();
	before = tree_heaps(NULL, 0);
	CHECK(before >= 1);
	setup();
	CHECK_EQ(tree_heaps(NULL, 0), before + 1);
	heap_close(fd);
	CHECK(tree_wait_heaps(before));
	snprintf(path, sizeof(path), TREE "/heaps/%d", id);
	CHECK(access(path, F_OK) < 0 && errno == ENOENT);
}

/* One "name value" line a field, in the order of the struct, and a file for each. */
static void memstats_files(void)
{
	uint64_t value, wanted;
	char *text, *file, *end;
	char name[64];
	size_t i;

	setup();
	use_heap();
	text = tree_read_heap(id, "summary");
	REQUIRE(text);
	CHECK_EQ(lines(text), ARRAY_SIZE(tree_fields));
	for (i = 0, end = text; i < ARRAY_SIZE(tree_fields); i++) {
		size_t len = strlen(tree_fields[i].name);

		if (!CHECK(!strncmp(end, tree_fields[i].name, len) && end[len] == ' '))
			tap_note("where %s should be: %.40s", tree_fields[i].name, end);
		CHECK(tree_value(text, tree_fields[i].name, &wanted));
		snprintf(name, sizeof(name), "memstats/%s", tree_fields[i].name);
		file = tree_read_heap(id, name);
		if (CHECK(file)) {
			char *rest;

			value = strtoull(file, &rest, 10);
			CHECK(rest != file && !strcmp(rest, "\n"));
			if (!CHECK_EQ(value, wanted))
				tap_note("in %s", name);
		}
		free(file);
		end = strchr(end, '\n');
		end = end ? end + 1 : "";
	}
	free(text);
}

/* At rest the summary is what MEMSTATS says. */
static void summary_is_memstats(void)
{
	struct goalloc_memstats ms;
	uint64_t value;
	char *text;
	size_t i;

	setup();
	use_heap();
	ms = heap_stats(fd);
	text = tree_read_heap(id, "summary");
	REQUIRE(text);
	for (i = 0; i < ARRAY_SIZE(tree_fields); i++) {
		CHECK(tree_value(text, tree_fields[i].name, &value));
		if (!CHECK_EQ(value, tree_field(&ms, i)))
			tap_note("%s", tree_fields[i].name);
	}
	free(text);
}

static void by_size(void)
{
	struct goalloc_memstats ms;
	char *text, *line;
	unsigned int i;

	setup();
	use_heap();
	ms = heap_stats(fd);
	text = tree_read_heap(id, "memstats/by_size");
	REQUIRE(text);
	CHECK_EQ(lines(text), GOALLOC_BY_SIZE_MAX + 1);
	line = text;
	for (i = 0; i < GOALLOC_BY_SIZE_MAX; i++) {
		unsigned long long mallocs, frees;
		unsigned int class, bytes;

		line = strchr(line, '\n');
		REQUIRE(line++);
		REQUIRE(sscanf(line, "%u %u %llu %llu", &class, &bytes, &mallocs, &frees) == 4);
		CHECK_EQ(class, i);
		CHECK_EQ(bytes, ms.by_size[i].object_size);
		CHECK_EQ(mallocs, ms.by_size[i].mallocs);
		CHECK_EQ(frees, ms.by_size[i].frees);
	}
	free(text);
}

/* "name value" lines with Go's names; the memory classes add up. */
static void metrics(void)
{
	uint64_t sum = 0, total = 0, value;
	char *text, *line, *save;
	unsigned int classes = 0;
	struct goalloc_memstats ms;
	char name[128];

	setup();
	use_heap();
	ms = heap_stats(fd);
	text = tree_read_heap(id, "metrics");
	REQUIRE(text);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long number;
		int end = 0;

		if (!CHECK(sscanf(line, "%127s %llu%n", name, &number, &end) == 2 &&
			   !line[end] && name[0] == '/' && strchr(name, ':'))) {
			tap_note("line: %s", line);
			continue;
		}
		value = number;
		if (!strcmp(name, "/memory/classes/total:bytes")) {
			total = value;
		} else if (!strncmp(name, "/memory/classes/", 16)) {
			sum += value;
			classes++;
		}
		if (!strcmp(name, "/memory/classes/heap/objects:bytes"))
			CHECK_EQ(value, ms.heap_alloc);
		if (!strcmp(name, "/gc/heap/allocs:bytes"))
			CHECK_EQ(value, ms.total_alloc);
	}
	CHECK(classes >= 8);
	CHECK_EQ(sum, total);
	CHECK_EQ(total, ms.sys);
	free(text);
}

/* Tables have a header line that names their columns, and as many of them in each line. */
static void tables(void)
{
	static const char * const names[] = {
		"size_classes", "mcache", "mcentral", "spans", "arenas", "faults",
	};
	char *text, *line, *save;
	size_t i;

	setup();
	use_heap();
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		unsigned int columns = 0, have, rows = 0;
		char *word, *inner;

		text = tree_read_heap(id, names[i]);
		if (!CHECK(text)) {
			tap_note("no %s", names[i]);
			continue;
		}
		for (line = strtok_r(text, "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save), rows++) {
			have = 0;
			for (word = strtok_r(line, " \t", &inner); word;
			     word = strtok_r(NULL, " \t", &inner)) {
				if (!rows)
					CHECK(isalpha((unsigned char)word[0]));
				have++;
			}
			if (!rows)
				columns = have;
			if (!CHECK_EQ(have, columns))
				tap_note("%s, line %u", names[i], rows + 1);
		}
		CHECK(columns > 1 && rows > 1);
		free(text);
	}
	text = tree_read_heap(id, "pagealloc");
	CHECK(text && lines(text) > 10);
	free(text);
}

/* Every span once, in the order of addresses, and no page of two. */
static void spans(void)
{
	unsigned long long addr, pages, inuse = 0, last = 0;
	char *text, *line;

	setup();
	use_heap();
	text = tree_read_heap(id, "spans");
	REQUIRE(text);
	for (line = strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
		REQUIRE(sscanf(line + 1, "%llx %llu", &addr, &pages) == 2);
		CHECK(addr >= HEAP_BASE && addr >= last && pages > 0);
		last = addr + pages * HEAP_PAGE;
		inuse += pages * HEAP_PAGE;
	}
	CHECK_EQ(inuse, heap_stats(fd).heap_inuse);
	free(text);
}

static uint64_t fault(const char *name)
{
	char *text = tree_read_heap(id, "faults");
	uint64_t value = ~0ULL, n;
	char word[64], *line;

	for (line = text; line && *line; line = strchr(line, '\n'), line += !!line)
		if (sscanf(line, "%63s %" SCNu64, word, &n) == 2 && !strcmp(word, name))
			value = n;
	free(text);
	return value;
}

/* Each mistake counts as what it is. */
static void faults(void)
{
	uint64_t a, b;
	int i;

	setup();
	CHECK_EQ(fault("double_free"), 0);
	CHECK_EQ(fault("stray_free"), 0);
	CHECK_EQ(fault("wild_free"), 0);
	a = heap_new(fd, 100);
	b = heap_new(fd, 100);
	CHECK_RET(heap_free(fd, a), 0);
	for (i = 0; i < 3; i++)
		CHECK_RET(heap_free(fd, a), -EALREADY);
	for (i = 0; i < 4; i++)
		CHECK_RET(heap_free(fd, b + 1), -EINVAL);
	for (i = 0; i < 5; i++)
		CHECK_RET(heap_free(fd, HEAP_BASE + 1 * GIB), -ENOENT);
	CHECK_EQ(fault("double_free"), 3);
	CHECK_EQ(fault("stray_free"), 4);
	CHECK_EQ(fault("wild_free"), 5);
	/* What is no mistake does not count. */
	CHECK_RET(heap_free(fd, 0), 0);
	CHECK_RET(heap_free(fd, GOALLOC_ZERO_ADDR), 0);
	CHECK_RET(heap_free(fd, b), 0);
	CHECK_EQ(fault("double_free") + fault("stray_free") + fault("wild_free"), 12);
}

static bool write_max(const char *text)
{
	char path[128];
	bool done;
	int file;

	snprintf(path, sizeof(path), TREE "/heaps/%d/max", id);
	file = open(path, O_WRONLY | O_CLOEXEC);
	done = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
	if (file >= 0)
		close(file);
	return done;
}

/* The hard limit: over it allocation fails, with nothing changed. */
static void max(void)
{
	struct goalloc_memstats before;
	uint64_t addr;
	char *text;

	setup();
	text = tree_read_heap(id, "max");
	REQUIRE(text);
	if (!CHECK_EQ(strtoull(text, NULL, 0), ~0ULL))
		tap_note("max is %s", text);
	free(text);
	CHECK(write_max("1048576"));
	text = tree_read_heap(id, "max");
	CHECK(text && !strcmp(text, "1048576\n"));
	free(text);
	before = heap_stats(fd);
	CHECK_RET(heap_alloc(fd, 2 * MIB, 0, &addr, NULL), -ENOMEM);
	heap_check_unchanged(&before, fd);
	CHECK_RET(heap_alloc(fd, 512 * KIB, 0, &addr, NULL), 0);
	CHECK_RET(heap_free(fd, addr), 0);
	CHECK(!write_max("much"));
	CHECK(!write_max("-5"));
	CHECK(write_max("18446744073709551615"));
	CHECK_RET(heap_alloc(fd, 2 * MIB, 0, &addr, NULL), 0);
	CHECK_RET(heap_free(fd, addr), 0);
}

/* Debugging is not for everybody: nothing of the tree is open to others. */
static void modes(void)
{
	struct dirent *entry;
	struct stat st;
	char path[512];
	DIR *dir;

	setup();
	snprintf(path, sizeof(path), TREE "/heaps/%d", id);
	dir = opendir(path);
	REQUIRE(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || entry->d_type == DT_DIR)
			continue;
		snprintf(path, sizeof(path), TREE "/heaps/%d/%s", id, entry->d_name);
		if (!CHECK(!stat(path, &st) && !(st.st_mode & 0077)))
			tap_note("%s has mode %o", path, st.st_mode & 07777);
	}
	closedir(dir);
}

/* Files held open and read while the heap goes: an error, and no more than that. */
static void read_after_close(void)
{
	static const char * const names[] = {
		"name", "summary", "spans", "mcache", "faults", "memstats/alloc",
	};
	int files[ARRAY_SIZE(names)];
	char path[128], buf[64];
	size_t i;

	setup();
	use_heap();
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), TREE "/heaps/%d/%s", id, names[i]);
		files[i] = open(path, O_RDONLY | O_CLOEXEC);
		CHECK(files[i] >= 0);
		CHECK(read(files[i], buf, 4) > 0);
	}
	heap_close(fd);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		CHECK(read(files[i], buf, sizeof(buf)) <= 0);
		close(files[i]);
	}
}

static bool churning;

static void *churn(void *arg)
{
	uint64_t state = 1, addr[200] = { 0 };
	unsigned long ops = 0;

	(void)arg;
	while (__atomic_load_n(&churning, __ATOMIC_RELAXED)) {
		size_t i = rnd_below(&state, ARRAY_SIZE(addr));

		CHECK_RET(heap_free(fd, addr[i]), 0);
		addr[i] = heap_new(fd, rnd_size(&state, 20));
		ops++;
	}
	tap_note("%lu objects made meanwhile", ops);
	return NULL;
}

/* Reading while everything moves: no crash, no file that fails or never ends. */
static void read_while_busy(void)
{
	static const char * const names[] = {
		"summary", "metrics", "size_classes", "mcache", "mcentral", "spans", "arenas",
		"pagealloc", "faults", "memstats/by_size",
	};
	double end = tap_seconds() + 1.5;
	unsigned int reads = 0;
	pthread_t thread;

	setup();
	use_heap();
	churning = true;
	REQUIRE(!pthread_create(&thread, NULL, churn, NULL));
	while (tap_seconds() < end) {
		const char *name = names[reads++ % ARRAY_SIZE(names)];
		char *text = tree_read_heap(id, name);

		if (!CHECK(text && lines(text) > 1))
			tap_note("%s", name);
		free(text);
	}
	churning = false;
	pthread_join(thread, NULL);
	tap_note("%u files read", reads);
}

static const struct tap_test tests[] = {
	TEST(version),
	TEST(kernel_heap),
	TEST(comes_and_goes),
	TEST(memstats_files),
	TEST(summary_is_memstats),
	TEST(by_size),
	TEST(metrics),
	TEST(tables),
	TEST(spans),
	TEST(faults),
	TEST(max),
	TEST(modes),
	TEST(read_after_close),
	TEST(read_while_busy),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests), heap_close_all);
}
