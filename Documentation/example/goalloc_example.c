// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel API in use: a list of records on a heap of its own, and a size class
 * for buffers of an odd size.
 * Documentation/kernel-api.rst says how to build it and what it prints.
 */
#include <linux/err.h>
#include <linux/goalloc.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

struct record {
	struct list_head list;
	char text[];
};

/* Between two sizes of everybody's: 3456 and 4096 here, 2048 and 4096 of kmalloc(). */
#define BUFFER_SIZE	3584

static struct goalloc_heap *heap;
static struct goalloc_class *buffers;
static LIST_HEAD(records);

static int add_record(const char *text)
{
	size_t len = strlen(text) + 1;
	struct record *r;

	/* It holds pointers to other records, so it is no noscan object. */
	r = goalloc_heap_alloc(heap, struct_size(r, text, len), GOALLOC_SCAN, GFP_KERNEL);
	if (!r)
		return -ENOMEM;
	memcpy(r->text, text, len);
	list_add_tail(&r->list, &records);
	pr_info("goalloc_example: \"%s\": %zu bytes wanted, %zu usable\n", text,
		struct_size(r, text, len), goalloc_usable_size(r));
	return 0;
}

static void free_records(void)
{
	struct record *r, *next;

	list_for_each_entry_safe(r, next, &records, list)
		goalloc_free(r);
	INIT_LIST_HEAD(&records);
}

/* The same size from its own class, from the heap's classes, and from kmalloc(). */
static void compare_buffers(void)
{
	void *exact = goalloc_class_alloc(buffers, GFP_KERNEL);
	void *rounded = goalloc_heap_alloc(heap, BUFFER_SIZE, 0, GFP_KERNEL);
	void *other = kmalloc(BUFFER_SIZE, GFP_KERNEL);

	if (exact && rounded && other)
		pr_info("goalloc_example: %u bytes wanted: exact class %zu, heap %zu, kmalloc %zu\n",
			BUFFER_SIZE, goalloc_usable_size(exact), goalloc_usable_size(rounded),
			ksize(other));
	goalloc_free(exact);
	goalloc_free(rounded);
	kfree(other);
}

static int __init example_init(void)
{
	const struct goalloc_heap_params params = { .name = "example", .max = SZ_16M };
	void *obj;
	int err;

	heap = goalloc_heap_create(&params);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	buffers = goalloc_class_create(heap, "buffers", BUFFER_SIZE, 0, 0);
	err = PTR_ERR_OR_ZERO(buffers);
	if (!err)
		err = add_record("a gopher");
	if (!err)
		err = add_record("another gopher, with a longer name");
	if (err) {
		free_records();
		goalloc_class_destroy(buffers);
		goalloc_heap_destroy(heap);
		return err;
	}
	compare_buffers();

	/* What must not be done, and what becomes of it. */
	obj = goalloc_alloc(100, GFP_KERNEL);
	if (obj) {
		goalloc_free(obj);
		pr_info("goalloc_example: freed once more: %d\n", goalloc_try_free(obj));
		pr_info("goalloc_example: freed in the middle: %d\n",
			goalloc_try_free(obj + 8));
	}
	pr_info("goalloc_example: freed, and on the stack: %d\n", goalloc_try_free(&obj));
	return 0;
}

static void __exit example_exit(void)
{
	free_records();
	goalloc_class_destroy(buffers);
	goalloc_heap_destroy(heap);
}

module_init(example_init);
module_exit(example_exit);

MODULE_DESCRIPTION("An example of goalloc's kernel API");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
