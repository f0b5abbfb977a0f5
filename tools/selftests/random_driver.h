/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver of random work (modules/random.c) for programs: what it is told, what it
 * says, and whether the books of its heaps are what its model has.
 *
 * What is found wrong is written to driver_wrong; the first thing stays.
 */
#ifndef RANDOM_DRIVER_H
#define RANDOM_DRIVER_H

#include <stdarg.h>
#include "kheap.h"
#include "modules/random.h"

#define DRIVER_CLASSES	68
#define DRIVER_TINY	68	/* counted behind the size classes, */
#define DRIVER_EXACT	69	/* and these */

static char driver_wrong[24576];

__attribute__((format(printf, 1, 2)))
static inline bool driver_fail(const char *format, ...)
{
	va_list args;

	if (driver_wrong[0])
		return false;
	va_start(args, format);
	vsnprintf(driver_wrong, sizeof(driver_wrong), format, args);
	va_end(args);
	return false;
}

/* 0 or a negative errno. */
__attribute__((format(printf, 1, 2)))
static inline long driver(const char *format, ...)
{
	char line[128];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return dev_write_file(RANDOM_DIR "/control", line);
}

static inline uint64_t driver_value(const char *name)
{
	uint64_t value;

	dev_line(RANDOM_DIR "/result", name, 1, &value);
	return value;
}

/* Is all well? Else what is wrong is in driver_wrong. */
static inline bool driver_well(void)
{
	char *text, *what;

	text = dev_read_file(RANDOM_DIR "/result");
	what = text ? strstr(text, "\nfailed ") : NULL;
	if (!what)
		driver_fail("no result: %s", strerror(errno));
	else if (strcmp(what, "\nfailed 0\n"))
		driver_fail("%s", what + 1);
	free(text);
	return !driver_wrong[0];
}

/* The paths of the heaps' directories; the module's own is the first. */
static char driver_heaps[RANDOM_HEAPS][128];

static inline void driver_find_heaps(void)
{
	DIR *dir = opendir(DEV_TREE "/heaps");
	struct dirent *entry;
	int i;

	memset(driver_heaps, 0, sizeof(driver_heaps));
	snprintf(driver_heaps[0], sizeof(driver_heaps[0]), DEV_TREE "/heaps/0");
	while (dir && (entry = readdir(dir))) {
		char path[320], *name;

		snprintf(path, sizeof(path), DEV_TREE "/heaps/%s/name", entry->d_name);
		name = dev_read_file(path);
		if (name && sscanf(name, "random%d", &i) == 1 && i > 0 && i < RANDOM_HEAPS)
			snprintf(driver_heaps[i], sizeof(driver_heaps[i]), DEV_TREE "/heaps/%.20s",
				 entry->d_name);
		free(name);
	}
	if (dir)
		closedir(dir);
}

static inline const char *driver_path(int heap, const char *file)
{
	static __thread char path[1024];

	snprintf(path, sizeof(path), "%s/%s", driver_heaps[heap], file);
	return path;
}

static inline uint64_t driver_tree(int heap, const char *file, const char *name, int word)
{
	uint64_t value;

	dev_line(driver_path(heap, file), name, word, &value);
	return value;
}

/* One line of a text that was read. */
static inline uint64_t line_value(const char *text, const char *name)
{
	size_t len = strlen(name);

	while (text && (strncmp(text, name, len) || text[len] != ' ')) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return text ? strtoull(text + len, NULL, 10) : ~0ULL;
}

/* What the books of the module's own heap had when the driver came. */
struct driver_base {
	uint64_t mallocs, frees, stray, wild, late;
	uint64_t class_mallocs[DRIVER_CLASSES], class_frees[DRIVER_CLASSES];
};

static struct driver_base driver_base;

static inline void driver_read(int heap, struct driver_base *b)
{
	unsigned int class, size;
	uint64_t mallocs, frees;
	char *text, *line;

	memset(b, 0, sizeof(*b));
	text = dev_read_file(driver_path(heap, "summary"));
	b->mallocs = line_value(text, "mallocs");
	b->frees = line_value(text, "frees");
	free(text);
	text = dev_read_file(driver_path(heap, "faults"));
	b->stray = line_value(text, "stray_free");
	b->wild = line_value(text, "wild_free");
	b->late = line_value(text, "late_double_free");
	free(text);
	text = dev_read_file(driver_path(heap, "memstats/by_size"));
	for (line = text; line && (line = strchr(line, '\n')); line++)
		if (sscanf(line, "%u %u %" SCNu64 " %" SCNu64, &class, &size, &mallocs, &frees) ==
		    4 && class < DRIVER_CLASSES) {
			b->class_mallocs[class] = mallocs;
			b->class_frees[class] = frees;
		}
	free(text);
}

static inline void driver_begin(void)
{
	driver_find_heaps();
	driver_read(0, &driver_base);
}

/*
 * The identities of a heap at rest (I6). Of one snapshot: a work item may just give a
 * mapped object back that was freed in an interrupt. So many frees too many may not have
 * been found yet, of objects that were freed twice at once.
 */
static inline bool driver_balanced(int heap, uint64_t twice)
{
	char *text = dev_read_file(driver_path(heap, "summary"));
	uint64_t mallocs = line_value(text, "mallocs"), frees = line_value(text, "frees");
	uint64_t objects = line_value(text, "heap_objects"), sys = line_value(text, "heap_sys");
	uint64_t idle = line_value(text, "heap_idle"), inuse = line_value(text, "heap_inuse");
	uint64_t alloc = line_value(text, "heap_alloc");
	uint64_t released = line_value(text, "heap_released");

	free(text);
	if (mallocs - frees != objects || frees > mallocs + twice)
		return driver_fail("heap %d: %" PRIu64 " made, %" PRIu64 " freed, %" PRIu64 " live",
				   heap, mallocs, frees, objects);
	if ((int64_t)alloc > (int64_t)inuse)
		return driver_fail("heap %d: %" PRIu64 " bytes in %" PRIu64 " of spans", heap,
				   alloc, inuse);
	if (released > idle || sys != inuse + idle)
		return driver_fail("heap %d: %" PRIu64 " bytes, %" PRIu64 " in use, %" PRIu64
				   " idle, %" PRIu64 " released", heap, sys, inuse, idle, released);
	return true;
}

static inline uint64_t books_value(const char *name, int word)
{
	uint64_t value;

	dev_line(RANDOM_DIR "/books", name, word, &value);
	return value;
}

static inline bool driver_differs(int heap, const char *what, uint64_t a, uint64_t b,
				  uint64_t in_books_a, uint64_t in_books_b)
{
	return driver_fail("heap %d, %s: %" PRIu64 " and %" PRIu64 ", the books have %" PRIu64
			   " and %" PRIu64, heap, what, a, b, in_books_a, in_books_b);
}

/*
 * Are the books what the model has, while nobody does anything? Bad frees, which scripts
 * cannot tell from each other, and size classes only if @all.
 */
static inline bool driver_books(bool all)
{
	uint64_t extra = driver_value("extra"), late = 0, frees = 0, model_frees = 0;
	struct driver_base now;
	char name[24];
	int heap, i;

	/* What a cycle found dead the books have once its span is swept. */
	driver("swept");
	driver_find_heaps();
	for (heap = 0; heap < RANDOM_HEAPS; heap++) {
		uint64_t mallocs, freed;

		snprintf(name, sizeof(name), "heap%d", heap);
		mallocs = books_value(name, 1);
		if (mallocs == ~0ULL)
			continue;
		freed = books_value(name, 2);
		driver_read(heap, &now);
		if (!heap) {
			now.mallocs -= driver_base.mallocs;
			now.frees -= driver_base.frees;
			now.stray -= driver_base.stray;
			now.wild -= driver_base.wild;
			now.late -= driver_base.late;
		}
		late += now.late;
		frees += now.frees;
		model_frees += freed;
		if (now.mallocs != mallocs || (!extra && now.frees != freed))
			return driver_differs(heap, "objects made and freed", mallocs, freed,
					      now.mallocs, now.frees);
		if (all && (now.stray != books_value(name, 3) || now.wild != books_value(name, 4)))
			return driver_differs(heap, "stray and wild frees", books_value(name, 3),
					      books_value(name, 4), now.stray, now.wild);
		/* Class 2 counts tiny blocks as well. */
		for (i = 0; all && i < DRIVER_CLASSES; i++) {
			uint64_t base_mallocs = heap ? 0 : driver_base.class_mallocs[i];
			uint64_t base_frees = heap ? 0 : driver_base.class_frees[i];

			if (i == 2 || (i && extra))
				continue;
			snprintf(name, sizeof(name), "heap%d.%d", heap, i);
			if (now.class_mallocs[i] - base_mallocs != books_value(name, 1) ||
			    now.class_frees[i] - base_frees != books_value(name, 2))
				return driver_differs(heap, name, books_value(name, 1),
						      books_value(name, 2),
						      now.class_mallocs[i] - base_mallocs,
						      now.class_frees[i] - base_frees);
		}
		if (!driver_balanced(heap, extra))
			return false;
	}
	/*
	 * A second free that was not found yet is in the books, but where they would have more
	 * frees than mallocs of a size.
	 */
	if (late > extra || frees < model_frees || frees - model_frees > extra - late)
		return driver_differs(-1, "frees in all", model_frees, extra, frees, late);
	return true;
}

/* CPUs: only those that can go. */
static inline bool driver_cpu(int cpu, bool online)
{
	return !dev_cpu(cpu, online);
}

static inline void driver_set(int heap, const char *file, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	dev_write_file(driver_path(heap, file), value == ~0ULL ? "none" : text);
}

static inline void driver_set_module(const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	dev_module_set(name, value == ~0ULL ? "none" : text);
}

#endif /* RANDOM_DRIVER_H */
