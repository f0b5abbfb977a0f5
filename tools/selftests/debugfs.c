// SPDX-License-Identifier: GPL-2.0-only
/*
 * The debugfs tree: every file is there and can be read as described, and says
 * what the ioctls say.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include "tree.h"

FIXTURE(debugfs)
{
	int fd;
	int id;
};

FIXTURE_SETUP(debugfs)
{
	if (!tree_mounted())
		SKIP(return, "debugfs is not mounted");
	ASSERT_RET(0, IO_RET(access(TREE, F_OK)));
	self->fd = heap_open();
	self->id = tree_own_heap();
	ASSERT_GT(self->id, 0);
}

FIXTURE_TEARDOWN(debugfs)
{
	if (self->fd >= 0)
		EXPECT_RET(0, IO_RET(close(self->fd)));
}

/* Some objects of every kind, some of them freed. */
static void use_heap(struct __test_metadata *_metadata, int fd)
{
	static const uint64_t sizes[] = { 0, 1, 3, 8, 16, 100, 1000, 5000, 32768, 40000, 9 * MIB };
	uint64_t addr[ARRAY_SIZE(sizes) * 4];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(addr); i++) {
		uint64_t bytes = sizes[i % ARRAY_SIZE(sizes)];

		addr[i] = heap_new(fd, bytes);
		EXPECT_TRUE(bytes == 0 || obj_write(fd, addr[i], bytes < 100 ? bytes : 100, i));
	}
	for (i = 0; i < ARRAY_SIZE(addr); i += 3)
		EXPECT_RET(0, heap_free(fd, addr[i]));
}

static unsigned int lines(const char *text)
{
	unsigned int n = 0;

	for (; text && *text; text++)
		n += *text == '\n';
	return n;
}

TEST_F(debugfs, version)
{
	char *text;

	text = tree_read(TREE "/version");
	ASSERT_NE(NULL, text);
	EXPECT_TRUE(isdigit((unsigned char)text[0]));
	EXPECT_EQ(1, lines(text));
	TH_LOG("version %.*s", (int)strcspn(text, "\n"), text);
	free(text);
}

/* Heap 0 is the module's own and is always there. */
TEST_F(debugfs, kernel_heap)
{
	char *text;

	text = tree_read_heap(0, "name");
	ASSERT_NE(NULL, text);
	EXPECT_STREQ("kernel\n", text);
	free(text);
	text = tree_read_heap(0, "summary");
	ASSERT_NE(NULL, text);
	EXPECT_EQ(ARRAY_SIZE(tree_fields), lines(text));
	free(text);
}

/* A heap's directory comes and goes with its file. */
TEST_F(debugfs, comes_and_goes)
{
	int before = tree_heaps(NULL, 0), fd, id;
	char path[64];

	/* The module's own, and this test's. */
	EXPECT_GE(before, 2);
	fd = heap_open();
	id = tree_own_heap();
	EXPECT_GT(id, self->id);
	EXPECT_EQ(before + 1, tree_heaps(NULL, 0));
	EXPECT_RET(0, IO_RET(close(fd)));
	EXPECT_EQ(before, tree_wait_heaps(before));
	snprintf(path, sizeof(path), TREE "/heaps/%d", id);
	EXPECT_RET(-ENOENT, IO_RET(access(path, F_OK)));
}

/* One "name value" line a field, in the order of the struct, and a file for each. */
TEST_F(debugfs, memstats_files)
{
	uint64_t value, wanted;
	char *text, *file, *end;
	char name[64];
	size_t i;

	use_heap(_metadata, self->fd);
	text = tree_read_heap(self->id, "summary");
	ASSERT_NE(NULL, text);
	EXPECT_EQ(ARRAY_SIZE(tree_fields), lines(text));
	for (i = 0, end = text; i < ARRAY_SIZE(tree_fields); i++) {
		size_t len = strlen(tree_fields[i].name);

		EXPECT_TRUE(!strncmp(end, tree_fields[i].name, len) && end[len] == ' ')
			TH_LOG("where %s should be: %.40s", tree_fields[i].name, end);
		EXPECT_TRUE(tree_value(text, tree_fields[i].name, &wanted));
		snprintf(name, sizeof(name), "memstats/%s", tree_fields[i].name);
		file = tree_read_heap(self->id, name);
		EXPECT_NE(NULL, file)
			TH_LOG("no %s", name);
		if (file) {
			char *rest;

			value = strtoull(file, &rest, 10);
			EXPECT_NE(file, rest);
			EXPECT_STREQ("\n", rest);
			EXPECT_EQ(wanted, value)
				TH_LOG("in %s", name);
		}
		free(file);
		end = strchr(end, '\n');
		end = end ? end + 1 : "";
	}
	free(text);
}

/* At rest the summary is what MEMSTATS says. */
TEST_F(debugfs, summary_is_memstats)
{
	struct goalloc_memstats ms;
	uint64_t value;
	char *text;
	size_t i;

	use_heap(_metadata, self->fd);
	ms = heap_stats(self->fd);
	text = tree_read_heap(self->id, "summary");
	ASSERT_NE(NULL, text);
	for (i = 0; i < ARRAY_SIZE(tree_fields); i++) {
		EXPECT_TRUE(tree_value(text, tree_fields[i].name, &value));
		EXPECT_EQ(tree_field(&ms, i), value)
			TH_LOG("%s", tree_fields[i].name);
	}
	free(text);
}

TEST_F(debugfs, by_size)
{
	struct goalloc_memstats ms;
	char *text, *line;
	unsigned int i;

	use_heap(_metadata, self->fd);
	ms = heap_stats(self->fd);
	text = tree_read_heap(self->id, "memstats/by_size");
	ASSERT_NE(NULL, text);
	EXPECT_EQ(GOALLOC_BY_SIZE_MAX + 1, lines(text));
	line = text;
	for (i = 0; i < GOALLOC_BY_SIZE_MAX; i++) {
		unsigned long long mallocs, frees;
		unsigned int class, bytes;
		int fields;

		line = strchr(line, '\n');
		ASSERT_NE(NULL, line);
		line++;
		fields = sscanf(line, "%u %u %llu %llu", &class, &bytes, &mallocs, &frees);
		ASSERT_EQ(4, fields);
		EXPECT_EQ(i, class);
		EXPECT_EQ(ms.by_size[i].object_size, bytes);
		EXPECT_EQ(ms.by_size[i].mallocs, mallocs);
		EXPECT_EQ(ms.by_size[i].frees, frees);
	}
	free(text);
}

/* "name value" lines with Go's names; the memory classes add up. */
TEST_F(debugfs, metrics)
{
	uint64_t sum = 0, total = 0, value;
	char *text, *line, *save;
	unsigned int classes = 0;
	struct goalloc_memstats ms;
	char name[128];

	use_heap(_metadata, self->fd);
	ms = heap_stats(self->fd);
	text = tree_read_heap(self->id, "metrics");
	ASSERT_NE(NULL, text);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long number;
		int end = 0;

		bool good = sscanf(line, "%127s %llu%n", name, &number, &end) == 2 &&
			    !line[end] && name[0] == '/' && strchr(name, ':');

		EXPECT_TRUE(good)
			TH_LOG("line: %s", line);
		if (!good)
			continue;
		value = number;
		if (!strcmp(name, "/memory/classes/total:bytes")) {
			total = value;
		} else if (!strncmp(name, "/memory/classes/", 16)) {
			sum += value;
			classes++;
		}
		if (!strcmp(name, "/memory/classes/heap/objects:bytes"))
			EXPECT_EQ(ms.heap_alloc, value);
		if (!strcmp(name, "/gc/heap/allocs:bytes"))
			EXPECT_EQ(ms.total_alloc, value);
	}
	EXPECT_GE(classes, 8);
	EXPECT_EQ(total, sum);
	EXPECT_EQ(ms.sys, total);
	free(text);
}

/* A header line that names the columns, and as many of them in each line. */
static void check_table(struct __test_metadata *_metadata, const char *name, char *text)
{
	unsigned int columns = 0, have, rows = 0;
	char *line, *save, *word, *inner;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), rows++) {
		have = 0;
		for (word = strtok_r(line, " \t", &inner); word;
		     word = strtok_r(NULL, " \t", &inner)) {
			if (!rows) {
				EXPECT_TRUE(isalnum((unsigned char)word[0]))
					TH_LOG("%s, column %s", name, word);
			}
			have++;
		}
		if (!rows)
			columns = have;
		EXPECT_EQ(columns, have)
			TH_LOG("%s, line %u", name, rows + 1);
	}
	EXPECT_GT(columns, 1)
		TH_LOG("%s", name);
	EXPECT_GT(rows, 1)
		TH_LOG("%s", name);
}

/* A file is a table, or several with an empty line between them. */
TEST_F(debugfs, tables)
{
	static const char * const names[] = {
		"size_classes", "mcache", "mcentral", "spans", "arenas", "faults", "scavenger",
	};
	char *text, *table, *next;
	size_t i;

	use_heap(_metadata, self->fd);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		text = tree_read_heap(self->id, names[i]);
		EXPECT_NE(NULL, text)
			TH_LOG("no %s", names[i]);
		for (table = text; table; table = next) {
			next = strstr(table, "\n\n");
			if (next) {
				*next = '\0';
				next += 2;
			}
			check_table(_metadata, names[i], table);
		}
		free(text);
	}
	text = tree_read_heap(self->id, "pagealloc");
	ASSERT_NE(NULL, text);
	EXPECT_GT(lines(text), 10);
	free(text);
}

/* Every span once, in the order of addresses, and no page of two. */
TEST_F(debugfs, spans)
{
	unsigned long long addr, pages, inuse = 0, last = 0;
	char *text, *line;

	use_heap(_metadata, self->fd);
	text = tree_read_heap(self->id, "spans");
	ASSERT_NE(NULL, text);
	for (line = strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
		int fields = sscanf(line + 1, "%llx %llu", &addr, &pages);

		ASSERT_EQ(2, fields);
		EXPECT_GE(addr, HEAP_BASE);
		EXPECT_GE(addr, last);
		EXPECT_GT(pages, 0);
		last = addr + pages * HEAP_PAGE;
		inuse += pages * HEAP_PAGE;
	}
	EXPECT_EQ(heap_stats(self->fd).heap_inuse, inuse);
	free(text);
}

static uint64_t fault(int id, const char *name)
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
TEST_F(debugfs, faults)
{
	uint64_t a, b;
	int i;

	EXPECT_EQ(0, fault(self->id, "double_free"));
	EXPECT_EQ(0, fault(self->id, "stray_free"));
	EXPECT_EQ(0, fault(self->id, "wild_free"));
	a = heap_new(self->fd, 100);
	b = heap_new(self->fd, 100);
	EXPECT_RET(0, heap_free(self->fd, a));
	for (i = 0; i < 3; i++)
		EXPECT_RET(-EALREADY, heap_free(self->fd, a));
	for (i = 0; i < 4; i++)
		EXPECT_RET(-EINVAL, heap_free(self->fd, b + 1));
	for (i = 0; i < 5; i++)
		EXPECT_RET(-ENOENT, heap_free(self->fd, HEAP_BASE + 1 * GIB));
	EXPECT_EQ(3, fault(self->id, "double_free"));
	EXPECT_EQ(4, fault(self->id, "stray_free"));
	EXPECT_EQ(5, fault(self->id, "wild_free"));
	/* What is no mistake does not count. */
	EXPECT_RET(0, heap_free(self->fd, 0));
	EXPECT_RET(0, heap_free(self->fd, GOALLOC_ZERO_ADDR));
	EXPECT_RET(0, heap_free(self->fd, b));
	EXPECT_EQ(12, fault(self->id, "double_free") + fault(self->id, "stray_free") +
		      fault(self->id, "wild_free"));
}

static bool write_max(int id, const char *text)
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
TEST_F(debugfs, max)
{
	struct goalloc_memstats before;
	uint64_t addr;
	char *text;

	text = tree_read_heap(self->id, "max");
	ASSERT_NE(NULL, text);
	EXPECT_EQ(~0ULL, strtoull(text, NULL, 0))
		TH_LOG("max is %s", text);
	free(text);
	EXPECT_TRUE(write_max(self->id, "1048576"));
	text = tree_read_heap(self->id, "max");
	ASSERT_NE(NULL, text);
	EXPECT_STREQ("1048576\n", text);
	free(text);
	before = heap_stats(self->fd);
	EXPECT_RET(-ENOMEM, heap_alloc(self->fd, 2 * MIB, 0, &addr, NULL));
	EXPECT_UNCHANGED(&before, self->fd);
	EXPECT_RET(0, heap_alloc(self->fd, 512 * KIB, 0, &addr, NULL));
	EXPECT_RET(0, heap_free(self->fd, addr));
	EXPECT_FALSE(write_max(self->id, "much"));
	EXPECT_FALSE(write_max(self->id, "-5"));
	EXPECT_TRUE(write_max(self->id, "18446744073709551615"));
	EXPECT_RET(0, heap_alloc(self->fd, 2 * MIB, 0, &addr, NULL));
	EXPECT_RET(0, heap_free(self->fd, addr));
}

/* Debugging is not for everybody: nothing of the tree is open to others. */
TEST_F(debugfs, modes)
{
	struct dirent *entry;
	struct stat st;
	char path[512];
	DIR *dir;

	snprintf(path, sizeof(path), TREE "/heaps/%d", self->id);
	dir = opendir(path);
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || entry->d_type == DT_DIR)
			continue;
		snprintf(path, sizeof(path), TREE "/heaps/%d/%s", self->id, entry->d_name);
		ASSERT_RET(0, IO_RET(stat(path, &st)));
		EXPECT_EQ(0, st.st_mode & 0077)
			TH_LOG("%s has mode %o", path, st.st_mode & 07777);
	}
	closedir(dir);
}

/* Files held open and read while the heap goes: an error, and no more than that. */
TEST_F(debugfs, read_after_close)
{
	static const char * const names[] = {
		"name", "summary", "spans", "mcache", "faults", "memstats/alloc", "limit",
		"max", "gc_percent", "scavenger",
	};
	int files[ARRAY_SIZE(names)];
	char path[128], buf[64];
	size_t i;

	use_heap(_metadata, self->fd);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), TREE "/heaps/%d/%s", self->id, names[i]);
		files[i] = open(path, O_RDONLY | O_CLOEXEC);
		EXPECT_GE(files[i], 0)
			TH_LOG("%s: %s", path, errno_name(IO_RET(files[i])));
		EXPECT_GT(read(files[i], buf, 4), 0)
			TH_LOG("%s", path);
	}
	EXPECT_RET(0, IO_RET(close(self->fd)));
	self->fd = -1;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_LE(read(files[i], buf, sizeof(buf)), 0);
		close(files[i]);
	}
}

struct churn {
	struct __test_metadata *_metadata;
	int fd;
	bool on;
};

static void *churn(void *arg)
{
	uint64_t state = 1, addr[200] = { 0 };
	struct churn *c = arg;
	struct __test_metadata *_metadata = c->_metadata;
	unsigned long ops = 0;

	while (__atomic_load_n(&c->on, __ATOMIC_RELAXED)) {
		size_t i = rnd_below(&state, ARRAY_SIZE(addr));

		EXPECT_RET(0, heap_free(c->fd, addr[i]));
		addr[i] = heap_new(c->fd, rnd_size(&state, 20));
		ops++;
	}
	TH_LOG("%lu objects made meanwhile", ops);
	return NULL;
}

/* Reading while everything moves: no crash, no file that fails or never ends. */
TEST_F_TIMEOUT(debugfs, read_while_busy, LONG_TEST)
{
	static const char * const names[] = {
		"summary", "metrics", "size_classes", "mcache", "mcentral", "spans", "arenas",
		"pagealloc", "faults", "memstats/by_size", "scavenger",
	};
	struct churn c = { ._metadata = _metadata, .fd = self->fd, .on = true };
	double end = seconds() + 1.5;
	unsigned int reads = 0;
	pthread_t thread;

	use_heap(_metadata, self->fd);
	ASSERT_EQ(0, pthread_create(&thread, NULL, churn, &c));
	while (seconds() < end) {
		const char *name = names[reads++ % ARRAY_SIZE(names)];
		char *text = tree_read_heap(self->id, name);

		EXPECT_GT(lines(text), 1)
			TH_LOG("%s", name);
		free(text);
	}
	__atomic_store_n(&c.on, false, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	TH_LOG("%u files read", reads);
}

TEST_HARNESS_MAIN
