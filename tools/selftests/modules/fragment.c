// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory in pieces. As long as the module is loaded, no free block of memory is
 * larger than one of @order: it took all there was in blocks of that order, and
 * gave back those of which the neighbour that would complete the next order is
 * still its own.
 */
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>

static unsigned int order = 5;
module_param(order, uint, 0444);
MODULE_PARM_DESC(order, "Order of the largest free blocks that are left");

static unsigned int left;
module_param(left, uint, 0444);
MODULE_PARM_DESC(left, "How many of them it left");

static LIST_HEAD(blocks);
static LIST_HEAD(larger);

/* Into the last reserves, and without looking for more. */
static void take(struct list_head *list, unsigned int of_order)
{
	struct page *page;

	while ((page = alloc_pages(__GFP_MEMALLOC | __GFP_NOWARN, of_order)))
		list_add(&page->lru, list);
}

static void give_back(bool lower_only)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &blocks, lru) {
		if (lower_only && (page_to_pfn(page) >> order) & 1)
			continue;
		list_del(&page->lru);
		__free_pages(page, order);
		left++;
	}
}

static int __init fragment_init(void)
{
	if (order > 8)
		return -EINVAL;
	take(&blocks, order);
	give_back(true);
	/* Somebody else may have given back the neighbour. */
	take(&larger, order + 1);
	return 0;
}

static void __exit fragment_exit(void)
{
	struct page *page, *next;

	give_back(false);
	list_for_each_entry_safe(page, next, &larger, lru)
		__free_pages(page, order + 1);
}

module_init(fragment_init);
module_exit(fragment_exit);

MODULE_DESCRIPTION("Memory in pieces");
MODULE_LICENSE("GPL");
