// SPDX-License-Identifier: GPL-2.0-only
/*
 * One object made, freed, looked up, and what came of it said in a line.
 */
#include <inttypes.h>
#include <stdio.h>

#include "dev.h"
#include "goallocctl.h"
#include "object.h"

bool object_alloc(int fd, uint64_t bytes, uint64_t align, uint32_t flags, uint64_t *addr)
{
	uint64_t usable;
	int err = dev_alloc(fd, bytes, align, flags, addr, &usable);

	if (err) {
		complain("alloc %" PRIu64 ": %s, %s", bytes, dev_alloc_error(err),
			 errno_text(err));
		return false;
	}
	printf("%#" PRIx64 ", %" PRIu64 " bytes usable\n", *addr, usable);
	return true;
}

bool object_free(int fd, uint64_t addr)
{
	int err = dev_free(fd, addr);

	if (err) {
		complain("free %#" PRIx64 ": %s, %s", addr, dev_address_error(err),
			 errno_text(err));
		return false;
	}
	printf("%#" PRIx64 " freed\n", addr);
	return true;
}

bool object_query(int fd, uint64_t addr)
{
	struct goalloc_query q;
	int err = dev_query(fd, addr, &q);

	if (err) {
		complain("query %#" PRIx64 ": %s, %s", addr, dev_address_error(err),
			 errno_text(err));
		return false;
	}
	printf("%#" PRIx64 " %s, %" PRIu64 " bytes, size class %u%s, in a span of %u page%s at %#"
	       PRIx64 "\n", (uint64_t)q.base, dev_state_text(q.state), (uint64_t)q.usable,
	       q.spanclass >> 1, q.spanclass & 1 ? "" : " scan", q.span_pages,
	       q.span_pages == 1 ? "" : "s", (uint64_t)q.span_base);
	return true;
}
