// SPDX-License-Identifier: MIT
/* What the preload test loads: its memory is from the same malloc. */
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

char *plugin_make(const char *text)
{
	return strdup(text);
}

void plugin_free(char *text)
{
	free(text);
}

static char *kept;

static void __attribute__((constructor)) plugin_begin(void)
{
	kept = malloc(123);
}

static void __attribute__((destructor)) plugin_end(void)
{
	free(kept);
}
