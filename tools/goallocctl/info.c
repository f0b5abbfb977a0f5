// SPDX-License-Identifier: GPL-2.0-only
/*
 * info: what the module offers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "dev.h"
#include "goallocctl.h"
#include "json.h"

static struct {
	bool json;
} opts;

static const struct option_spec options[] = {
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "one document of JSON" },
};

static const struct {
	uint64_t bit;
	const char *name;
} features[] = {
	{ GOALLOC_FEATURE_NAME, "name" },
	{ GOALLOC_FEATURE_SEEK, "seek" },
	{ GOALLOC_FEATURE_POLL, "poll" },
};

static void print(const struct goalloc_info *info)
{
	size_t i;

	printf("ABI version       %u\n", info->abi_version);
	printf("features          %#" PRIx64, (uint64_t)info->features);
	for (i = 0; i < ARRAY_SIZE(features); i++)
		if (info->features & features[i].bit)
			printf(" %s", features[i].name);
	printf("\nheap addresses    %#" PRIx64 " to %#" PRIx64 " (%s)\n",
	       (uint64_t)info->heap_base, (uint64_t)(info->heap_base + info->heap_max - 1),
	       bytes_text(info->heap_max));
	printf("heap page         %s\n", bytes_text(info->page_size));
	printf("size classes      %u, up to %s\n", info->num_size_classes,
	       bytes_text(info->max_small_size));
	printf("objects a batch   up to %u\n", info->batch_max);
}

static void print_json(const struct goalloc_info *info)
{
	size_t i;

	json_object(NULL);
	json_number("abi_version", info->abi_version);
	json_array("features");
	for (i = 0; i < ARRAY_SIZE(features); i++)
		if (info->features & features[i].bit)
			json_text(NULL, features[i].name);
	json_end();
	json_address("heap_base", info->heap_base);
	json_number("heap_max", info->heap_max);
	json_number("page_size", info->page_size);
	json_number("max_small_size", info->max_small_size);
	json_number("num_size_classes", info->num_size_classes);
	json_number("batch_max", info->batch_max);
	json_end();
}

static int info_run(int argc, char **argv)
{
	struct goalloc_info info;
	bool done;
	int fd;

	if (argc)
		return usage_error("info", "unexpected: %s", argv[0]);
	if (!dev_open(&fd))
		return FAILED;
	done = dev_info(fd, &info);
	close(fd);
	if (done)
		(opts.json ? print_json : print)(&info);
	return done ? DONE : FAILED;
}

const struct command info_command = {
	.name = "info",
	.args = "",
	.summary = "show what the module offers",
	.help = "The figures are those of GOALLOC_IOC_INFO.\n",
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = info_run,
};
