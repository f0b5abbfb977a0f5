/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls, and what their answers may be.
 */
#ifndef FUZZ_IOCTL_H
#define FUZZ_IOCTL_H

#include "fuzz_state.h"

/* The ioctls. */

/* Least sizes, by number. */
static const uint32_t least[] = { 48, 40, 16, 32, 32, 56, 16, 16, 1864, 24, 56 };

static bool ioctl_answer_exists(unsigned int nr, long err)
{
	if (err == -EFAULT || err == -EINVAL || err == -E2BIG)
		return true;
	switch (_IO(GOALLOC_IOC_MAGIC, nr)) {
	case GOALLOC_IOC_ALLOC:
	case GOALLOC_IOC_ALLOC_BATCH:
		return err == -EOPNOTSUPP || err == -ENOMEM || err == -EFBIG;
	case GOALLOC_IOC_FREE:
	case GOALLOC_IOC_FREE_BATCH:
		return err == -EOPNOTSUPP || err == -ENOENT || err == -EALREADY;
	case GOALLOC_IOC_QUERY:
		return err == -EOPNOTSUPP || err == -ENOENT;
	case GOALLOC_IOC_SET_PARAM:
	case GOALLOC_IOC_GET_PARAM:
	case GOALLOC_IOC_SCAVENGE:
	case GOALLOC_IOC_SET_NAME:
		return err == -EOPNOTSUPP;
	case GOALLOC_IOC_MEMSTATS:
		return err == -ENOMEM;
	default:
		return false;
	}
}

/* What has to be seen in memory that only this call uses. */
static void ioctl_look(unsigned int nr, const char *at, const char *before, uint32_t size,
		       size_t len, long ret)
{
	bool batch = nr == 3 || nr == 4;
	size_t written = size < least[nr] ? size : least[nr];

	if (!mem_canary(at, len))
		trouble(TROUBLE_ANSWER, run.program, "ioctl %u of %u bytes wrote behind them",
			nr, size);
	if (ret && !batch && memcmp(at, before, len))
		trouble(TROUBLE_ANSWER, run.program, "ioctl %u failed and wrote", nr);
	if (!ret && len > written && memcmp(at + written, before + written, len - written))
		trouble(TROUBLE_ANSWER, run.program, "ioctl %u wrote what it does not know", nr);
}

/*
 * An ioctl whose struct is of the size and in the memory that its arguments 1 and 2
 * say. What the kernel wrote comes back in @arg.
 */
static long call_ioctl(struct thread *t, const struct call *call, unsigned int nr, void *arg)
{
	uint32_t natural = least[nr], size = call->arg[1];
	bool strict = alone(t), plain = MEM_KIND(call->arg[2]) == MEM_PLAIN;
	size_t len;
	char *at;
	long ret;

	if (call->arg[1] & SIZE_NATURAL)
		size = natural;
	len = size < 4 ? 4 : size > DEV_LARGE + 16 ? DEV_LARGE + 16 : size;
	memset(t->bytes, 0, len);
	memcpy(t->bytes, arg, natural < len ? natural : len);
	*(uint32_t *)t->bytes = size;
	if (call->arg[1] & SIZE_TAIL && len > natural)
		t->bytes[natural + (len - natural) / 2] = 1;

	at = put(t, 0, call->arg[2], t->bytes, len);
	ret = dev_ioctl(heap_fd(call->arg[0]), _IO(GOALLOC_IOC_MAGIC, nr), at);
	if (strict && heap_fd(call->arg[0]) < 0) {
		if (ret != -EBADF)
			trouble(TROUBLE_ANSWER, run.program, "ioctl %u of no file: %ld", nr, ret);
		return ret;
	}
	/* What two opened into one place at once may be closed, and the number another file's. */
	if (ret == -EBADF || (ret == -ENOTTY && !ioctl_answer_exists(nr, ret)))
		return ret;
	if (ret && !ioctl_answer_exists(nr, ret))
		trouble(TROUBLE_ANSWER, run.program, "ioctl %u: error %ld is not one of its",
			nr, -ret);
	if (strict && plain) {
		ioctl_look(nr, at, t->bytes, size, len, ret);
		if (size < natural ? ret != -EINVAL :
		    size > DEV_LARGE || (call->arg[1] & SIZE_TAIL && len > natural) ?
				ret != -E2BIG : ret == -EFAULT && nr != 3 && nr != 4)
			trouble(TROUBLE_ANSWER, run.program, "ioctl %u of %u bytes: %ld", nr,
				size, ret);
	}
	if (!ret && !guarded_copy(arg, at, natural < len ? natural : len))
		return -EFAULT;
	return ret;
}

/* That an object just made is as it was asked for. */
static void object_look(const struct call *call, const struct goalloc_alloc *a)
{
	char bytes[64];
	uint64_t n = a->usable < sizeof(bytes) ? a->usable : sizeof(bytes);

	if (!a->bytes ? a->addr != GOALLOC_ZERO_ADDR :
	    a->addr < DEV_BASE || a->usable > DEV_SPACE ||
	    a->addr + a->usable > DEV_BASE + DEV_SPACE)
		trouble(TROUBLE_ANSWER, run.program, "an object of %" PRIx64 " at %" PRIx64,
			(uint64_t)a->usable, (uint64_t)a->addr);
	if (a->usable < a->bytes || (a->bytes && a->align && a->addr & (a->align - 1)))
		trouble(TROUBLE_ANSWER, run.program,
			"asked for %" PRIx64 ", got %" PRIx64 " at %" PRIx64,
			(uint64_t)a->bytes, (uint64_t)a->usable, (uint64_t)a->addr);
	if (!a->bytes || a->flags & GOALLOC_UNINIT)
		return;
	if (pread(heap_fd(call->arg[0]), bytes, n, a->addr) != (ssize_t)n ||
	    !bytes_are(bytes, n, 0) ||
	    pread(heap_fd(call->arg[0]), bytes, n, a->addr + a->usable - n) != (ssize_t)n ||
	    !bytes_are(bytes, n, 0))
		trouble(TROUBLE_ANSWER, run.program, "a new object is not of zeroes");
}

/* The tables of a TiB take long to make where everything is looked at. */
static uint64_t affordable(uint64_t bytes)
{
	return bytes > 4 * DEV_GIB && bytes <= DEV_SPACE ? bytes % (4 * DEV_GIB) : bytes;
}

static void call_alloc(struct thread *t, const struct call *call)
{
	struct goalloc_alloc arg = {
		.flags = call->arg[3], .bytes = affordable(call->arg[4]),
		.align = call->arg[5],
	};
	bool strict = alone(t);

	if (call_ioctl(t, call, 1, &arg))
		return;
	if (strict && MEM_KIND(call->arg[2]) == MEM_PLAIN)
		object_look(call, &arg);
	if (arg.bytes)
		object_add(arg.addr, arg.usable);
}

static void call_free(struct thread *t, const struct call *call)
{
	struct goalloc_free arg = { .flags = call->arg[3], .addr = address(call->arg[4]) };

	call_ioctl(t, call, 2, &arg);
}

static size_t batch_bytes(uint32_t count)
{
	return 8 * (size_t)(count < 1032 ? count : 1032);
}

static void call_alloc_batch(struct thread *t, const struct call *call)
{
	static __thread uint64_t words[1032];
	struct goalloc_batch arg = { .flags = call->arg[3], .count = call->arg[4] };
	size_t bytes = batch_bytes(arg.count), i;
	uint64_t rnd = call->arg[5], small = dev_random(&rnd) % 4;

	for (i = 0; i < bytes / 8; i++)
		words[i] = small ? below(&rnd, 16ULL << (small * 3)) : draw_size(&rnd) % DEV_MIB;
	if (small == 1 && bytes)
		words[below(&rnd, bytes / 8)] = affordable(draw_size(&rnd));
	arg.sizes = (uintptr_t)put(t, 1, call->arg[6], words, bytes);
	memset(words, 0, bytes);
	arg.addrs = (uintptr_t)put(t, 2, call->arg[7], words, bytes);
	/* Addresses that become sizes ask for hundreds of GiB. */
	if (arg.addrs - arg.sizes + bytes < 2 * bytes)
		arg.addrs = arg.sizes;
	if (call_ioctl(t, call, 3, &arg) || !guarded_copy(words, (void *)arg.addrs, bytes))
		return;
	for (i = 0; i < bytes / 8 && i < arg.done && i < NUM_OBJECTS / 4; i++)
		if (words[i] >= DEV_BASE)
			object_add(words[i], 8);
}

static void call_free_batch(struct thread *t, const struct call *call)
{
	static __thread uint64_t words[1032];
	struct goalloc_batch arg = { .flags = call->arg[3], .count = call->arg[4] };
	size_t bytes = batch_bytes(arg.count), i;
	uint64_t rnd = call->arg[5], step = below(&rnd, 3) * 8;

	for (i = 0; i < bytes / 8; i++)
		words[i] = run.object[(rnd + i) % NUM_OBJECTS].addr + i / NUM_OBJECTS * step;
	if (one_in(&rnd, 8) && bytes)
		words[below(&rnd, bytes / 8)] = address(draw_address(&rnd));
	if (one_in(&rnd, 32))
		arg.sizes = rnd;
	arg.addrs = (uintptr_t)put(t, 1, call->arg[6], words, bytes);
	call_ioctl(t, call, 4, &arg);
}

static void call_query(struct thread *t, const struct call *call)
{
	struct goalloc_query arg = { .flags = call->arg[3], .addr = address(call->arg[4]) };
	bool strict = alone(t) && MEM_KIND(call->arg[2]) == MEM_PLAIN;

	if (call_ioctl(t, call, 5, &arg) || !strict)
		return;
	if (arg.base > arg.addr || arg.base + arg.usable <= arg.addr ||
	    arg.base < arg.span_base || arg.state > GOALLOC_QUERY_TINY || arg.reserved ||
	    arg.addr >= arg.span_base + arg.span_pages * DEV_PAGE)
		trouble(TROUBLE_ANSWER, run.program,
			"%" PRIx64 " is said to lie in %" PRIx64 "+%" PRIx64,
			(uint64_t)arg.addr, (uint64_t)arg.base, (uint64_t)arg.usable);
}

static void call_plain_ioctl(struct thread *t, const struct call *call)
{
	union {
		struct goalloc_param param;
		struct goalloc_scavenge scavenge;
		struct goalloc_name name;
		char bytes[2048];
	} arg = { .bytes = "" };
	uint64_t rnd = call->arg[4];
	unsigned int i;

	switch (call->op) {
	case OP_info:
		call_ioctl(t, call, 0, &arg);
		break;
	case OP_set_param:
	case OP_get_param:
		arg.param.id = call->arg[3];
		arg.param.value = call->arg[4];
		call_ioctl(t, call, call->op == OP_set_param ? 6 : 7, &arg);
		break;
	case OP_memstats:
		call_ioctl(t, call, 8, &arg);
		break;
	case OP_scavenge:
		arg.scavenge.flags = call->arg[3];
		arg.scavenge.bytes = call->arg[4];
		call_ioctl(t, call, 9, &arg);
		break;
	case OP_set_name:
		arg.name.flags = call->arg[3];
		for (i = 0; i < rnd % 50 && i < sizeof(arg.name.name); i++)
			arg.name.name[i] = rnd >> 60 ? 'a' + (rnd >> i % 32) % 26 : rnd >> i;
		call_ioctl(t, call, 10, &arg);
		break;
	default:
		ioctl(heap_fd(call->arg[0]),
		      one_in(&rnd, 2) ? call->arg[1] : _IO(GOALLOC_IOC_MAGIC, call->arg[1] % 256),
		      put(t, 0, call->arg[2], &arg, 64));
	}
}

#endif /* FUZZ_IOCTL_H */
