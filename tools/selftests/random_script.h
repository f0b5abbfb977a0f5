/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Scripts of random operations: made from a seed, run, and if something goes wrong made
 * shorter as long as it still does, until they can be read.
 */
#ifndef RANDOM_SCRIPT_H
#define RANDOM_SCRIPT_H

#include "random_driver.h"

/* Of what is made: scripts know what they expect to have. */
struct script_state {
	uint64_t random;
	bool full[RANDOM_SLOTS];
	uint8_t heap[RANDOM_SLOTS];
	uint8_t class[RANDOM_SLOTS];	/* counted from 1 */
	bool heaps[RANDOM_HEAPS];
	bool classes[RANDOM_CLASSES];
	uint8_t class_heap[RANDOM_CLASSES];
	/* What it is like for a while. */
	unsigned int left, mask, alloc, sizes, base, context;
	int cpus;
	bool sweeps;
};

static inline uint32_t script_size(struct script_state *s, uint64_t r)
{
	uint32_t more = r >> 32;

	switch (r & 15 ? s->sizes : (r >> 4) % 6) {
	case 0:
		return 1 + more % 15;
	case 1:
		return s->base - more % (s->base / 4);
	case 2:
		return 16 + more % 500;
	case 3:
		return (1U << more % 15) + (more >> 8) % (1U << more % 15);
	case 4:
		return 1024 + more % 31745;
	default:
		if (more & 31)
			return 32769 + (more >> 5) % 200000;
		return 1000000 + (more >> 5) % 3000000;
	}
}

static inline void script_weather(struct script_state *s)
{
	uint64_t r = dev_random(&s->random);

	s->left = 100 + r % 4000;
	s->mask = (64U << (r >> 16) % 7) - 1;
	s->alloc = 20 + (r >> 24) % 60;
	s->sizes = (r >> 32) % 16 ? (r >> 36) % 5 : 5;
	s->base = 16U << (r >> 44) % 9;
	s->base += (r >> 50) % s->base;
	if (s->sizes == 5)
		s->mask = 63;
}

/* The heap and the classes of a script that are there. */
static inline uint8_t script_heap(struct script_state *s, uint64_t r)
{
	uint8_t heap = r % RANDOM_HEAPS;

	return s->heaps[heap] ? heap : 0;
}

static inline struct random_op script_rare(struct script_state *s, uint64_t r)
{
	struct random_op op = { .heap = (r >> 8) % RANDOM_HEAPS, .slot = (r >> 16) % RANDOM_SLOTS };
	uint32_t more = r >> 32;
	int i;

	switch (r & 63) {
	case 0 ... 7:
		if (!op.heap)
			break;
		op.code = s->heaps[op.heap] ? more & 3 ? RANDOM_NOTHING : RANDOM_HEAP_END :
			  RANDOM_HEAP_MAKE;
		if (op.code == RANDOM_HEAP_END) {
			for (i = 0; i < RANDOM_CLASSES; i++)
				s->classes[i] &= s->class_heap[i] != op.heap;
			for (i = 0; i < RANDOM_SLOTS; i++)
				s->full[i] &= s->heap[i] != op.heap;
		}
		s->heaps[op.heap] ^= op.code != RANDOM_NOTHING;
		break;
	case 8 ... 23:
		op.slot %= RANDOM_CLASSES;
		if (s->classes[op.slot]) {
			op.code = RANDOM_CLASS_END;
			for (i = 0; i < RANDOM_SLOTS; i++)
				s->full[i] &= s->class[i] != op.slot + 1;
		} else if (s->heaps[op.heap]) {
			op.code = RANDOM_CLASS_MAKE;
			op.size = more & 7 ? 1 + (more >> 3) % 2000 : 1 + (more >> 3) % 32768;
			op.arg = 1U << (more >> 28);
			op.flags = more >> 27 & 1 ? RANDOM_SCAN : 0;
			if (op.arg > 8192)
				op.arg = 0;
			s->class_heap[op.slot] = op.heap;
		} else {
			break;
		}
		s->classes[op.slot] ^= true;
		break;
	case 24 ... 27:
		op.code = s->sweeps && op.heap ? RANDOM_SWEEP : RANDOM_NOTHING;
		op.arg = more % 101 | (more >> 8 & 0xffff) << 8;
		break;
	case 28 ... 35:
		op.code = s->sweeps && op.heap ? RANDOM_SWEEP_ONE : RANDOM_NOTHING;
		op.arg = more;
		break;
	case 36 ... 41:
		op.code = RANDOM_SCAVENGE;
		op.size = more & 1 ? 0 : 4 << more % 12;
		break;
	case 42 ... 45:
		op.code = RANDOM_LIMIT;
		op.size = more & 3 ? 1 + (more >> 3) % 2048 : 0;
		break;
	case 46 ... 51:
		op.code = RANDOM_MAX;
		op.size = more & 1 ? 1 + (more >> 3) % 1024 : 0;
		break;
	case 52:
		op.code = RANDOM_DROP;
		break;
	case 53:
		op.code = s->cpus > 1 ? RANDOM_CPU : RANDOM_NOTHING;
		op.arg = (1 + more % (s->cpus > 1 ? s->cpus - 1 : 1)) << 1 | (more >> 20 & 1);
		break;
	case 54 ... 55:
		op.code = RANDOM_BOOKS;
		break;
	default:
		op.code = RANDOM_READ;
		op.arg = more;
		break;
	}
	return op;
}

static inline struct random_op script_next(struct script_state *s)
{
	uint64_t r, more;
	struct random_op op;
	unsigned int i;

	if (!s->left--)
		script_weather(s);
	r = dev_random(&s->random);
	more = dev_random(&s->random);
	if (!(r & 511))
		return script_rare(s, more);
	if (!(r >> 9 & 63))
		s->context = (r >> 15 & 3) % 3;
	op = (struct random_op){
		.slot = (r >> 17) & s->mask, .context = s->context, .heap = script_heap(s, r >> 30),
		.size = script_size(s, more), .arg = more >> 32,
	};
	op.flags = (r >> 32 & 7 ? 0 : RANDOM_ZERO) | (r >> 35 & 3 ? 0 : RANDOM_SCAN) |
		   (r >> 37 & 7 ? 0 : RANDOM_ATOMIC) | (r >> 40 & 15 ? RANDOM_TRY : 0) |
		   (r >> 44 & 1 ? RANDOM_OWN : 0);
	if (!(r >> 45 & 15)) {
		op.code = RANDOM_BAD_FREE;
		op.arg = (more >> 32) % (2 * RANDOM_BADS);
		if (op.arg >= RANDOM_BADS)
			op.arg = RANDOM_BAD_AGAIN;
		op.arg |= (more >> 40) << 8;
		return op;
	}
	if (!(r >> 49 & 31)) {
		op.arg = 1 + op.arg % 32;
		op.code = s->full[op.slot] ? RANDOM_FREE_BULK : RANDOM_ALLOC_BULK;
		op.size = op.code == RANDOM_FREE_BULK ? 0 : op.size % 4096 + 1;
		for (i = op.slot; i < op.slot + op.arg && i < RANDOM_SLOTS; i++) {
			if (op.code == RANDOM_ALLOC_BULK && s->full[i])
				break;
			s->full[i] = op.code == RANDOM_ALLOC_BULK;
			s->heap[i] = op.heap;
			s->class[i] = 0;
		}
		return op;
	}
	if (s->full[op.slot]) {
		if ((r >> 54) % 100 >= s->alloc) {
			op.code = RANDOM_FREE;
			s->full[op.slot] = false;
		} else {
			op.code = r >> 61 & 1 ? RANDOM_REALLOC : RANDOM_LOOK;
			if (op.code == RANDOM_REALLOC)
				s->class[op.slot] = 0;
		}
		return op;
	}
	s->full[op.slot] = true;
	s->heap[op.slot] = op.heap;
	s->class[op.slot] = 0;
	op.code = RANDOM_ALLOC;
	i = op.arg % RANDOM_CLASSES;
	if ((r >> 54 & 7) == 0 && s->classes[i]) {
		op.code = RANDOM_CLASS_ALLOC;
		s->heap[op.slot] = s->class_heap[i];
		s->class[op.slot] = i + 1;
	} else if ((r >> 54 & 7) == 1) {
		op.code = RANDOM_CONST_ALLOC;
		s->heap[op.slot] = 0;
	}
	return op;
}

static inline void script_make(struct random_op *ops, size_t n, uint64_t seed, bool sweeps)
{
	struct script_state *s = calloc(1, sizeof(*s));
	size_t i;

	s->random = seed;
	s->heaps[0] = true;
	s->cpus = sysconf(_SC_NPROCESSORS_CONF);
	s->sweeps = sweeps;
	script_weather(s);
	for (i = 0; i < n; i++)
		ops[i] = script_next(s);
	free(s);
}

/* To people, and to script_parse(). */
static inline void script_print(FILE *to, const struct random_op *op)
{
	static const char * const names[RANDOM_CODES] = {
		"nothing", "make heap", "end heap", "make class", "end class", "alloc",
		"alloc of class", "alloc of a constant", "realloc", "free", "look at",
		"alloc in bulk", "free in bulk", "bad free", "sweep", "sweep some spans",
		"scavenge", "set limit", "set max", "drop caches", "CPU", "read", "books",
	};
	static const char * const contexts[] = { "", ", softirq", ", hardirq", ", nmi" };

	fprintf(to, "# op %u %u %u %u %u %u %u\t%s", op->code, op->heap, op->context, op->flags,
		op->slot, op->size, op->arg, op->code < RANDOM_CODES ? names[op->code] : "?");
	fprintf(to, ": slot %u, heap %u, %u bytes, %u%s%s%s%s\n", op->slot, op->heap, op->size,
		op->arg, contexts[op->context & 3], op->flags & RANDOM_ZERO ? ", zeroed" : "",
		op->flags & RANDOM_SCAN ? ", scan" : "",
		op->flags & RANDOM_ATOMIC ? ", atomic" : "");
}

/* A file with lines as script_print() makes them. Returns how many. */
static inline size_t script_parse(const char *path, struct random_op *ops, size_t most)
{
	FILE *f = fopen(path, "re");
	char line[256], *at;
	unsigned int v[7];
	size_t n = 0;

	while (f && n < most && fgets(line, sizeof(line), f)) {
		at = strstr(line, "op ");
		if (!at || sscanf(at, "op %u %u %u %u %u %u %u", v, v + 1, v + 2, v + 3, v + 4,
				  v + 5, v + 6) != 7)
			continue;
		ops[n++] = (struct random_op){ v[0], v[1], v[2], v[3], v[4], v[5], v[6] };
	}
	if (f)
		fclose(f);
	return n;
}

/* What the program does of a script. */
struct script_limits {
	uint32_t low;		/* heaps with a max, */
	uint64_t max[RANDOM_HEAPS];	/* and what it is */
};

/* Is any heap over its hard limit? */
static inline bool script_under(const struct script_limits *l)
{
	int heap;

	for (heap = 0; heap < RANDOM_HEAPS; heap++) {
		uint64_t used;

		if (!(l->low >> heap & 1))
			continue;
		used = driver_tree(heap, "summary", "heap_inuse", 1);
		if (used > l->max[heap])
			return driver_fail("heap %d: %" PRIu64 " bytes in use, its max is %" PRIu64,
					   heap, used, l->max[heap]);
	}
	return true;
}

static inline void script_max(struct script_limits *l, int heap, uint32_t kib)
{
	uint64_t used = driver_tree(heap, "summary", "heap_inuse", 1);
	bool was = l->low;

	if (driver_heaps[heap][0])
		script_under(l);
	l->max[heap] = used + kib * DEV_KIB;
	l->low = kib ? l->low | 1U << heap : l->low & ~(1U << heap);
	if (l->low && !was)
		driver("tight");
	driver_set(heap, "max", kib ? l->max[heap] : ~0ULL);
	if (!l->low && was)
		driver("tight");
}

/* A heap with a max has gone. */
static inline void script_unlimited(struct script_limits *l, int heap)
{
	l->low &= ~(1U << heap);
	if (!l->low)
		driver("tight");
}

static inline void script_env(struct script_limits *l, const struct random_op *op)
{
	static const char * const files[] = {
		"mcache", "mcentral", "spans", "arenas", "pagealloc", "scavenger", "size_classes",
		"metrics",
	};
	char text[24];

	if (op->heap >= RANDOM_HEAPS || !driver_heaps[op->heap][0])
		return;
	switch (op->code) {
	case RANDOM_SCAVENGE:
		snprintf(text, sizeof(text), "%llu", op->size * DEV_KIB);
		dev_write_file(driver_path(op->heap, "scavenge"), op->size ? text : "all");
		break;
	case RANDOM_LIMIT:
		driver_set(op->heap, "limit", op->size ?
			   driver_tree(op->heap, "summary", "heap_inuse", 1) + op->size * DEV_KIB :
			   ~0ULL);
		break;
	case RANDOM_MAX:
		script_max(l, op->heap, op->size);
		break;
	case RANDOM_DROP:
		dev_write_file("/proc/sys/vm/drop_caches", "6");
		break;
	case RANDOM_CPU:
		driver_cpu(op->arg >> 1, op->arg & 1);
		break;
	case RANDOM_READ:
		free(dev_read_file(driver_path(op->heap, files[op->arg % 8])));
		break;
	case RANDOM_BOOKS:
		if (driver_well())
			driver_books(false);
		script_under(l);
		break;
	default:
		break;
	}
}

/*
 * A script that breaks the module's own heap fails from then on, however short it is, so
 * scripts are made shorter with the module loaded anew each time.
 */
#define SCRIPT_MODULE	"/goalloc.ko"

static bool script_reload;

static inline void script_load(void)
{
	int fd = open(SCRIPT_MODULE, O_RDONLY | O_CLOEXEC);

	driver("reset");
	module_unload("goalloc_random");
	module_unload("goalloc");
	syscall(SYS_finit_module, fd, "scavenge_percent=0", 0);
	close(fd);
	module_load("goalloc_random", "");
	dev_module_set("kmemleak", "0");
}

/* All as it was before the first script. */
static inline void script_begin(void)
{
	int cpu;

	for (cpu = 1; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++)
		driver_cpu(cpu, true);
	if (script_reload)
		script_load();
	driver_find_heaps();
	driver_set(0, "limit", ~0ULL);
	driver("reset");
	driver_wrong[0] = '\0';
	driver_begin();
}

/*
 * Runs a script on fresh heaps. Returns how many operations it took until something
 * was wrong, or 0 if all is well.
 */
static inline size_t script_run(const struct random_op *ops, size_t n, unsigned int plant)
{
	struct script_limits limits = {};
	size_t at = 0, end, failed = 0;
	ssize_t done;
	int heap, fd;

	script_begin();
	fd = open(RANDOM_DIR "/script", O_WRONLY | O_CLOEXEC);
	if (plant)
		driver("plant %u", plant);
	while (at < n && !failed) {
		for (end = at; end < n && ops[end].code < RANDOM_KERNEL_CODES; end++) {
			/* The program has to know which heaps there are. */
			if (end > at && (ops[end - 1].code == RANDOM_HEAP_MAKE ||
					 ops[end - 1].code == RANDOM_HEAP_END))
				break;
		}
		if (end == at) {
			script_env(&limits, &ops[at++]);
			failed = driver_wrong[0] ? at : 0;
			continue;
		}
		done = write(fd, ops + at, (end - at) * sizeof(*ops));
		at += done > 0 ? done / sizeof(*ops) : 1;
		/* In this order: it asks what was wrong. */
		if (!driver_well() || at < end)
			failed = at;
		if (ops[at - 1].code == RANDOM_HEAP_MAKE || ops[at - 1].code == RANDOM_HEAP_END) {
			/* The heap's max went with it. */
			if (ops[at - 1].code == RANDOM_HEAP_END &&
			    limits.low >> ops[at - 1].heap & 1)
				script_unlimited(&limits, ops[at - 1].heap);
			driver_find_heaps();
		}
	}
	close(fd);
	if (!failed && (!driver_well() || !driver_books(false)))
		failed = n;
	for (heap = 0; heap < RANDOM_HEAPS; heap++)
		if (limits.low >> heap & 1)
			script_max(&limits, heap, 0);
	return failed;
}

/* Simpler ways to say the same: true if one was found, in place of ops[i]. */
static inline bool script_simpler(struct random_op *op, int way)
{
	struct random_op was = *op;

	switch (way) {
	case 0:
		op->context = 0;
		break;
	case 1:
		op->flags &= RANDOM_TRY;
		break;
	case 2:
		op->heap = op->code >= RANDOM_ALLOC ? 0 : op->heap;
		break;
	case 3:
		op->size = op->code == RANDOM_ALLOC ? op->size / 2 : op->size;
		break;
	case 4:
		op->arg = op->code == RANDOM_ALLOC || op->code == RANDOM_FREE ? 0 : op->arg;
		break;
	case 5:
		op->arg = op->code == RANDOM_ALLOC_BULK || op->code == RANDOM_FREE_BULK ?
			  op->arg / 2 : op->arg;
		break;
	}
	return memcmp(&was, op, sizeof(was));
}

/*
 * Makes a script that fails shorter, until @seconds are over: leaves out pieces, half of
 * it at first and one operation at last, as long as what is left fails. Returns its new
 * length.
 */
static inline size_t script_shrink(struct random_op *ops, size_t n, unsigned int plant,
				   double seconds, unsigned int *tries)
{
	struct random_op *less = malloc(n * sizeof(*ops)), was;
	double until = dev_seconds() + seconds;
	size_t piece, at, failed;
	bool again = true;
	int way;

	*tries = 0;
	for (piece = (n + 1) / 2; piece && dev_seconds() < until;
	     piece = piece > 1 ? (piece + 1) / 2 : again) {
		again = false;
		/* From the end: what comes last is what fails, and depends on what was before. */
		for (at = n; at > 0 && dev_seconds() < until;) {
			size_t begin = at > piece ? at - piece : 0;

			memcpy(less, ops, begin * sizeof(*ops));
			memcpy(less + begin, ops + at, (n - at) * sizeof(*ops));
			++*tries;
			failed = script_run(less, n - (at - begin), plant);
			if (failed) {
				n = failed;
				memcpy(ops, less, n * sizeof(*ops));
				again = true;
			}
			at = begin;
		}
		if (piece == 1 && !again)
			break;
	}
	for (at = 0; at < n && n < 64; at++) {
		for (way = 0; way < 6 && dev_seconds() < until; way++) {
			was = ops[at];
			while (script_simpler(&ops[at], way)) {
				++*tries;
				if (!script_run(ops, n, plant)) {
					ops[at] = was;
					break;
				}
				was = ops[at];
			}
		}
	}
	free(less);
	return n;
}

#endif /* RANDOM_SCRIPT_H */
