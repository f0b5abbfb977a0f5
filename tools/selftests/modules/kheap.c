// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel heaps in the hands of a program. A line written to the file kheap in
 * debugfs is done at once, and what is read from it afterwards is what came of it
 * (kheap.h has the program's side):
 *
 *	create HEAP			a heap, named kheap0 to kheap3
 *	destroy HEAP			with all that is in it
 *	fill HEAP CPU SIZE BYTES TRY	objects of SIZE until they are BYTES together or
 *					there are no more; on CPU, -1 is any. TRY is
 *					0 or 1: whether others may have to go for it
 *	free HEAP PERCENT RANDOM	so many of the objects, the oldest or any
 *	look HEAP			at every object, that it is as it was filled
 *	load HEAP MILLISECONDS		on every CPU that is there objects come and go
 *
 * What is read: "objects N", "bytes N", "wrong N" and "node<N> N", the bytes of
 * objects that lie there; of load also "made N" and "refused N".
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/goalloc.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

#include "commands.h"

#define HEAPS	4
#define STALLS	1024

/* The first bytes of every object, and of @check also the last. */
struct object {
	struct object *next;
	size_t size;
	u64 check;
};

struct kheap {
	struct goalloc_heap *heap;
	struct object *first;		/* the oldest */
	struct object **end;
	u64 objects;
	u64 bytes;
};

struct fill {
	struct kheap *h;
	size_t size;
	u64 bytes;
	gfp_t gfp;
};

/* A CPU that loads a heap: its objects, of which others take and free some. */
struct loader {
	struct work_struct work;
	int cpu;
	u64 random;
};

static struct kheap heaps[HEAPS];
static struct kheap *last;
static u64 wrong;

static struct goalloc_heap *load_heap;
static unsigned long load_until;
static struct object *load_stalls[STALLS];
static atomic64_t load_made;
static atomic64_t load_refused;
static atomic64_t load_wrong;

/* splitmix64 */
static u64 random_from(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static u64 *object_last(struct object *o)
{
	return (u64 *)((char *)o + round_down(o->size, sizeof(u64))) - 1;
}

static u64 object_check(const struct object *o)
{
	return ((u64)(unsigned long)o ^ o->size * 0x9e3779b97f4a7c15ULL) | 1;
}

static void object_fill(struct object *o, size_t size)
{
	o->next = NULL;
	o->size = size;
	o->check = object_check(o);
	*object_last(o) = o->check;
}

static bool object_is_whole(struct object *o)
{
	return o->check == object_check(o) && *object_last(o) == o->check;
}

static struct page *page_at(void *p)
{
	return is_vmalloc_addr(p) ? vmalloc_to_page(p) : virt_to_page(p);
}

/* Runs on the CPU that was asked for. */
static long fill_here(void *arg)
{
	struct fill *f = arg;
	struct kheap *h = f->h;
	u64 done;

	for (done = 0; done < f->bytes; done += f->size) {
		struct object *o = goalloc_heap_alloc(h->heap, f->size, 0, f->gfp);

		if (!o)
			break;
		object_fill(o, f->size);
		*h->end = o;
		h->end = &o->next;
		h->objects++;
		h->bytes += f->size;
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

static void free_some(struct kheap *h, u32 percent, bool random)
{
	u64 state = 20261122, count = h->objects, i;
	struct object **link = &h->first;

	for (i = 0; *link; i++) {
		struct object *o = *link;

		if (random ? random_from(&state) % 100 < percent : i * 100 < count * percent) {
			*link = o->next;
			wrong += !object_is_whole(o);
			h->objects--;
			h->bytes -= o->size;
			goalloc_free(o);
		} else {
			link = &o->next;
		}
		cond_resched();
	}
	h->end = link;
}

static int look(const struct order *unused)
{
	struct object *o;

	for (o = last->first; o; o = o->next) {
		wrong += !object_is_whole(o);
		cond_resched();
	}
	return 0;
}

static void load_free(struct object *o)
{
	if (!o)
		return;
	if (!object_is_whole(o))
		atomic64_inc(&load_wrong);
	goalloc_free(o);
}

static void load_one(u64 *random, gfp_t gfp)
{
	u64 r = random_from(random);
	size_t size = 32 + (r & 15 ? (r >> 8) % 600 : r & 240 ? (r >> 8) % 30000 :
			    (r >> 8) % 200000);
	struct object *o;

	/* Mapping many pages is not for interrupts. */
	if (!gfpflags_allow_blocking(gfp))
		size = min_t(size_t, size, 32768);
	o = goalloc_heap_alloc(load_heap, size, 0, gfp);
	if (o) {
		object_fill(o, size);
		atomic64_inc(&load_made);
	} else {
		atomic64_inc(&load_refused);
	}
	load_free(xchg(&load_stalls[(r >> 40) % STALLS], o));
}

static void load_interrupt(void *arg)
{
	int i;

	for (i = 0; i < 4; i++)
		load_one(arg, GFP_ATOMIC | __GFP_NOWARN);
}

static void load_work(struct work_struct *work)
{
	struct loader *l = container_of(work, struct loader, work);
	unsigned int other;
	int i;

	for (i = 0; i < 200; i++)
		load_one(&l->random, GFP_KERNEL | __GFP_NOWARN);
	/* On another CPU this is an interrupt. It may go offline just now. */
	other = cpumask_next(l->cpu, cpu_online_mask);
	if (other >= nr_cpu_ids)
		other = cpumask_first(cpu_online_mask);
	smp_call_function_single(other, load_interrupt, &l->random, 1);
	/* Others want the CPU as well, and not least the one who takes it away. */
	usleep_range(2000, 4000);
	if (time_before(jiffies, load_until))
		queue_work_on(l->cpu, system_wq, work);
}

static int load(const struct order *o)
{
	struct kheap *h = last;
	struct loader *loaders;
	int cpu, i;

	loaders = kcalloc(nr_cpu_ids, sizeof(*loaders), GFP_KERNEL);
	if (!loaders)
		return -ENOMEM;
	load_heap = h->heap;
	atomic64_set(&load_made, 0);
	atomic64_set(&load_refused, 0);
	atomic64_set(&load_wrong, 0);
	load_until = jiffies + msecs_to_jiffies(o->numbers[1]);
	for_each_present_cpu(cpu) {
		loaders[cpu].cpu = cpu;
		loaders[cpu].random = 20261122 + cpu;
		INIT_WORK(&loaders[cpu].work, load_work);
		queue_work_on(cpu, system_wq, &loaders[cpu].work);
	}
	while (time_before(jiffies, load_until) && !fatal_signal_pending(current))
		msleep(20);
	load_until = jiffies;
	for_each_present_cpu(cpu)
		cancel_work_sync(&loaders[cpu].work);
	for (i = 0; i < STALLS; i++)
		load_free(xchg(&load_stalls[i], NULL));
	wrong = atomic64_read(&load_wrong);
	kfree(loaders);
	return 0;
}

static int create(const struct order *o)
{
	struct goalloc_heap_params params = {};
	struct kheap *h = last;
	struct goalloc_heap *heap;
	char name[8];

	snprintf(name, sizeof(name), "kheap%d", (int)(h - heaps));
	params.name = name;
	heap = goalloc_heap_create(&params);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	*h = (struct kheap){ .heap = heap, .end = &h->first };
	return 0;
}

static int destroy(const struct order *o)
{
	free_some(last, 100, false);
	goalloc_heap_destroy(last->heap);
	last->heap = NULL;
	return 0;
}

static int fill(const struct order *o)
{
	struct fill f = { last, o->numbers[2], o->numbers[3], GFP_KERNEL };
	int cpu = o->numbers[1];

	if (f.size < sizeof(struct object))
		return -EINVAL;
	if (!o->numbers[4])
		f.gfp |= __GFP_NORETRY | __GFP_NOWARN;
	return cpu < 0 ? fill_here(&f) : work_on_cpu(cpu, fill_here, &f);
}

static int free_objects(const struct order *o)
{
	free_some(last, o->numbers[1], o->numbers[2]);
	return 0;
}

static int before(const struct order *o)
{
	if (o->numbers[0] >= HEAPS)
		return -EINVAL;
	last = &heaps[o->numbers[0]];
	wrong = 0;
	if (o->command->act == create)
		return last->heap ? -EEXIST : 0;
	return last->heap ? 0 : -ENOENT;
}

static int show(struct seq_file *m)
{
	struct object *o;
	u64 *nodes;
	int nid;

	nodes = kcalloc(MAX_NUMNODES, sizeof(*nodes), GFP_KERNEL);
	if (!nodes)
		return -ENOMEM;
	for (o = last ? last->first : NULL; o; o = o->next) {
		nodes[page_to_nid(page_at(o))] += o->size;
		cond_resched();
	}
	seq_printf(m, "objects %llu\nbytes %llu\nwrong %llu\n", last ? last->objects : 0,
		   last ? last->bytes : 0, wrong);
	for_each_online_node(nid)
		seq_printf(m, "node%d %llu\n", nid, nodes[nid]);
	seq_printf(m, "made %lld\nrefused %lld\n", (s64)atomic64_read(&load_made),
		   (s64)atomic64_read(&load_refused));
	kfree(nodes);
	return 0;
}

static const struct command table[] = {
	{ "create",	create,		.numbers = 1 },
	{ "destroy",	destroy,	.numbers = 1 },
	{ "fill",	fill,		.numbers = 5 },
	{ "free",	free_objects,	.numbers = 3 },
	{ "look",	look,		.numbers = 1 },
	{ "load",	load,		.numbers = 2 },
	{ }
};

static struct commands commands = {
	.name	= "kheap",
	.table	= table,
	.before	= before,
	.show	= show,
};

static int __init kheap_init(void)
{
	return commands_begin(&commands, NULL);
}

static void __exit kheap_exit(void)
{
	commands_end(&commands);
	for (last = heaps; last < heaps + HEAPS; last++)
		if (last->heap)
			destroy(NULL);
}

module_init(kheap_init);
module_exit(kheap_exit);

MODULE_DESCRIPTION("Kernel heaps in the hands of a program");
MODULE_LICENSE("GPL");
