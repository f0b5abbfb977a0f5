/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_H
#define PLUGIN_H

char *plugin_make(const char *text);
void plugin_free(char *text);

#endif /* PLUGIN_H */
