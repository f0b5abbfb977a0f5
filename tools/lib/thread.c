// SPDX-License-Identifier: MIT
/*
 * Threads: each has a record with its caches, made when it first needs one and
 * given up when the thread ends. What it allocates and frees after that, in
 * destructors of thread-specific data that run later, goes through the heap's
 * common cache; so does everything without memory for a cache of its own.
 */
#define _GNU_SOURCE
#include "fast.h"

struct goa_thread goa_nobody, goa_gone;
__thread struct goa_thread *goa_self = &goa_nobody;

static pthread_mutex_t records_lock = PTHREAD_MUTEX_INITIALIZER;
static struct goa_thread *threads, *spare;	/* protected by records_lock */
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_good;

/* Gives up what a record has; goa_lock is held, so that no heap is closed. */
static void thread_retire(struct goa_thread *self)
{
	struct goa_thread **link;
	unsigned int i;

	for (i = 0; i < GOA_HEAPS; i++) {
		if (!self->cache[i])
			continue;
		goa_cache_flush(self->cache[i]);
		goa_cache_retire(self->cache[i]);
		self->cache[i] = NULL;
	}
	self->error[0] = '\0';
	pthread_mutex_lock(&records_lock);
	for (link = &threads; *link != self; link = &(*link)->next)
		;
	*link = self->next;
	self->next = spare;
	spare = self;
	pthread_mutex_unlock(&records_lock);
}

static void thread_exit(void *self)
{
	goa_self = &goa_gone;
	pthread_mutex_lock(&goa_lock);
	thread_retire(self);
	pthread_mutex_unlock(&goa_lock);
}

static void key_make(void)
{
	key_good = !pthread_key_create(&key, thread_exit);
}

/* Return: the calling thread's record; NULL if it is about to end or without memory. */
struct goa_thread *goa_thread_self(void)
{
	struct goa_thread *self = goa_self;

	if (goa_likely(self != &goa_nobody))
		return self == &goa_gone ? NULL : self;
	pthread_once(&key_once, key_make);
	if (!key_good)
		return NULL;
	pthread_mutex_lock(&records_lock);
	self = spare;
	if (self)
		spare = self->next;
	else
		self = goa_map(sizeof(*self));
	if (self) {
		self->next = threads;
		threads = self;
	}
	pthread_mutex_unlock(&records_lock);
	if (!self)
		return NULL;
	/* First, for pthread_setspecific() may call malloc(). */
	goa_self = self;
	pthread_setspecific(key, self);
	return self;
}

/* Return: the calling thread's cache, NULL if it can have none. */
struct goa_cache *goa_thread_cache(struct goalloc_heap *heap)
{
	struct goa_cache *cache = goa_self->cache[heap->id];
	struct goa_thread *self;

	if (goa_likely(cache))
		return cache;
	self = goa_thread_self();
	if (!self)
		return NULL;
	cache = goa_cache_make(heap);
	if (cache)
		cache->owner = self;
	self->cache[heap->id] = cache;
	return cache;
}

/* Return: a cache the caller has for itself until goa_cache_end(). */
struct goa_cache *goa_cache_begin(struct goalloc_heap *heap)
{
	struct goa_cache *cache = goa_thread_cache(heap);

	if (goa_likely(cache))
		return cache;
	pthread_mutex_lock(&heap->common_lock);
	return heap->common;
}

void goa_cache_end(struct goalloc_heap *heap, struct goa_cache *cache)
{
	if (goa_unlikely(cache == heap->common))
		pthread_mutex_unlock(&heap->common_lock);
}

/* No thread has a cache of a heap that is being closed; goa_lock is held. */
void goa_threads_drop_heap(struct goalloc_heap *heap)
{
	struct goa_thread *thread;

	pthread_mutex_lock(&records_lock);
	for (thread = threads; thread; thread = thread->next)
		thread->cache[heap->id] = NULL;
	pthread_mutex_unlock(&records_lock);
}

void goa_threads_lock(void)
{
	pthread_mutex_lock(&records_lock);
}

void goa_threads_unlock(void)
{
	pthread_mutex_unlock(&records_lock);
}

/* In a child of fork() only the calling thread lives; its caches are done with. */
void goa_threads_after_fork(void)
{
	struct goa_thread *thread = threads, *next;

	pthread_mutex_init(&records_lock, NULL);
	threads = NULL;
	for (; thread; thread = next) {
		unsigned int i;

		next = thread->next;
		if (thread == goa_self) {
			thread->next = NULL;
			threads = thread;
			continue;
		}
		for (i = 0; i < GOA_HEAPS; i++)
			thread->cache[i] = NULL;
		thread->next = spare;
		spare = thread;
	}
}
