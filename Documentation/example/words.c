// SPDX-License-Identifier: MIT
/*
 * Counts the words of its standard input, in a heap of its own, and shows the
 * most frequent ones. The heap may have a hard limit, in MiB:
 *
 *	words [MAX] <text
 *
 * When it is full the rarest words are forgotten. Documentation/tutorial.rst
 * goes through it.
 */
#include <ctype.h>
#include <goalloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FREQUENT	8
#define LONGEST		64

struct word {
	struct word *next;	/* in its bucket */
	unsigned long count;
	char text[];
};

static struct goalloc_heap *heap;
static struct word **buckets;
static size_t num_buckets, num_words, grow_at;

static void die(void)
{
	fprintf(stderr, "words: %s\n", goalloc_last_error());
	exit(EXIT_FAILURE);
}

static struct word **bucket_of(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	while (*text)
		hash = (hash ^ (unsigned char)*text++) * 0x100000001b3;
	return &buckets[(hash ^ hash >> 32) % num_buckets];
}

/* Twice the buckets. If there is no room for them the chains become longer. */
static void grow(void)
{
	size_t old_num = num_buckets, num = old_num ? 2 * old_num : 1024, i;
	struct word **old = buckets, **larger, **bucket, *w;

	grow_at = grow_at ? 2 * grow_at : num;
	larger = goalloc_calloc(heap, num, sizeof(*larger));
	if (!larger)
		return;
	buckets = larger;
	num_buckets = num;
	for (i = 0; i < old_num; i++) {
		while (old[i]) {
			w = old[i];
			old[i] = w->next;
			bucket = bucket_of(w->text);
			w->next = *bucket;
			*bucket = w;
		}
	}
	goalloc_free(heap, old);
}

/* Frees the words that were seen @times or less. */
static void drop(unsigned long times)
{
	struct word **link, *w;
	size_t i;

	for (i = 0; i < num_buckets; i++) {
		link = &buckets[i];
		while (*link) {
			w = *link;
			if (w->count > times) {
				link = &w->next;
				continue;
			}
			*link = w->next;
			goalloc_free(heap, w);
			num_words--;
		}
	}
}

/* Makes room: at least half of the words go, the rarest. */
static void forget(void)
{
	size_t before = num_words;
	unsigned long times = 1;
	uint64_t released = 0;

	drop(times);
	while (num_words > before / 2)
		drop(times *= 2);
	if (goalloc_trim(heap, &released))
		die();
	fprintf(stderr, "full: forgot %zu words seen up to %lu times, gave %" PRIu64 " KiB back\n",
		before - num_words, times, released / 1024);
}

static void count(const char *text)
{
	struct word **bucket, *w;

	if (num_words >= grow_at)
		grow();
	if (!num_buckets)
		die();
	bucket = bucket_of(text);
	for (w = *bucket; w; w = w->next) {
		if (!strcmp(w->text, text)) {
			w->count++;
			return;
		}
	}
	while (!(w = goalloc_malloc(heap, sizeof(*w) + strlen(text) + 1))) {
		if (!num_words)
			die();
		forget();
	}
	strcpy(w->text, text);
	w->count = 1;
	w->next = *bucket;
	*bucket = w;
	num_words++;
}

static void show(void)
{
	struct goalloc_stats stats = { .size = sizeof(stats) };
	struct word *best[MOST_FREQUENT + 1], *w;
	size_t n = 0, i, k;

	for (i = 0; i < num_buckets; i++) {
		for (w = buckets[i]; w; w = w->next) {
			for (k = n; k && best[k - 1]->count < w->count; k--)
				best[k] = best[k - 1];
			best[k] = w;
			if (n < MOST_FREQUENT)
				n++;
		}
	}
	for (i = 0; i < n; i++)
		printf("%8lu %s\n", best[i]->count, best[i]->text);
	if (goalloc_get_stats(heap, &stats))
		die();
	printf("%zu words, %" PRIu64 " KiB; %" PRIu64 " mallocs and %" PRIu64
	       " frees made %" PRIu64 " system calls\n",
	       num_words, stats.heap_inuse / 1024, stats.mallocs, stats.frees,
	       stats.system_calls);
}

int main(int argc, char **argv)
{
	struct goalloc_options options = {
		.size = sizeof(options),
		.name = "words",
		.max = argc > 1 ? strtoull(argv[1], NULL, 0) << 20 : 0,
	};
	char text[LONGEST];
	size_t n = 0;
	int c;

	heap = goalloc_open(&options);
	if (!heap)
		die();
	do {
		c = getchar();
		if (isalpha(c) && n < sizeof(text) - 1) {
			text[n++] = tolower(c);
		} else if (!isalpha(c) && n) {
			text[n] = '\0';
			count(text);
			n = 0;
		}
	} while (c != EOF);
	show();
	goalloc_close(heap);
	return EXIT_SUCCESS;
}
