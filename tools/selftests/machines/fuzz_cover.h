/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What of the module a program ran, by KCOV: the module is built with a call at
 * each of its basic blocks (KCOV_INSTRUMENT=y), and a thread that asked for it
 * finds in memory from where it came there. Where those calls are the module's
 * file says, and so which of them were never reached.
 */
#ifndef FUZZ_COVER_H
#define FUZZ_COVER_H

#include <elf.h>
#include "fuzz.h"

#define KCOV_INIT_TRACE	_IOR('c', 1, unsigned long)
#define KCOV_ENABLE	_IO('c', 100)
#define KCOV_TRACE_PC	0
#define KCOV_PATH	"/sys/kernel/debug/kcov"
#define KCOV_WORDS	(128 * 1024)

#define MODULE_FILE	"/goalloc.ko"
#define MODULE_SECTIONS	"/sys/module/goalloc/sections/"
#define MODULE_CALLED	"__sanitizer_cov_trace_pc"

/* The points of the module, by how far behind the beginning of its code they are. */
#define CODE_BYTES	(4U << 20)

static struct {
	char *file;
	size_t file_bytes;
	uint64_t text;
	uint64_t text_bytes;
	unsigned int section;
	uint32_t num_points;
	uint16_t *number;	/* of the point at an offset, from 1; 0 is none */
} code;

static inline const Elf64_Shdr *code_sections(void)
{
	return (const void *)(code.file + ((const Elf64_Ehdr *)code.file)->e_shoff);
}

static inline const char *code_string(const Elf64_Shdr *strings, uint32_t at)
{
	return code.file + strings->sh_offset + at;
}

static bool code_read_file(void)
{
	struct stat st;
	int fd = open(MODULE_FILE, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st))
		return false;
	code.file_bytes = st.st_size;
	code.file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return code.file != MAP_FAILED && !memcmp(code.file, ELFMAG, SELFMAG);
}

/* Calls are numbered by their place; what KCOV tells is where they return to. */
static void code_number(const Elf64_Shdr *relocations)
{
	const Elf64_Shdr *sections = code_sections();
	const Elf64_Shdr *symbols = &sections[relocations->sh_link];
	const Elf64_Rela *r = (const void *)(code.file + relocations->sh_offset);
	const Elf64_Sym *sym = (const void *)(code.file + symbols->sh_offset);
	size_t i, n = relocations->sh_size / sizeof(*r);

	for (i = 0; i < n; i++) {
		const Elf64_Sym *s = &sym[ELF64_R_SYM(r[i].r_info)];
		uint64_t at = r[i].r_offset + 4;

		if (at < CODE_BYTES && code.num_points < 65535 &&
		    !strcmp(code_string(&sections[symbols->sh_link], s->st_name), MODULE_CALLED))
			code.number[at] = ++code.num_points;
	}
}

/* Whether the module that is loaded says where it runs. */
static bool code_begin(void)
{
	const Elf64_Shdr *sections, *names;
	char *text = dev_read_file(MODULE_SECTIONS ".text");
	unsigned int i;

	if (!text || !code_read_file())
		return false;
	code.text = strtoull(text, NULL, 0);
	free(text);
	code.number = calloc(CODE_BYTES, sizeof(*code.number));
	sections = code_sections();
	names = &sections[((const Elf64_Ehdr *)code.file)->e_shstrndx];
	for (i = 0; i < ((const Elf64_Ehdr *)code.file)->e_shnum; i++) {
		if (!strcmp(code_string(names, sections[i].sh_name), ".text")) {
			code.section = i;
			code.text_bytes = sections[i].sh_size;
		}
		if (!strcmp(code_string(names, sections[i].sh_name), ".rela.text"))
			code_number(&sections[i]);
	}
	return code.text && code.num_points;
}

/* The functions in which no point was reached. */
static void code_say_missed(void)
{
	const Elf64_Shdr *sections = code_sections();
	char line[100] = "";
	unsigned int i;

	for (i = 0; i < ((const Elf64_Ehdr *)code.file)->e_shnum; i++) {
		const Elf64_Sym *s = (const void *)(code.file + sections[i].sh_offset), *end;

		if (sections[i].sh_type != SHT_SYMTAB)
			continue;
		for (end = s + sections[i].sh_size / sizeof(*s); s < end; s++) {
			const char *name = code_string(&sections[sections[i].sh_link], s->st_name);
			bool any = false, hit = false;
			uint64_t at;

			if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || s->st_shndx != code.section)
				continue;
			for (at = s->st_value; at < s->st_value + s->st_size; at++) {
				if (at >= CODE_BYTES)
					break;
				any |= code.number[at];
				hit |= code.number[at] && shared->point[code.number[at]];
			}
			if (!any || hit)
				continue;
			if (strlen(line) + strlen(name) > 90) {
				say("#  %s", line);
				*line = '\0';
			}
			snprintf(line + strlen(line), sizeof(line) - strlen(line), " %.60s", name);
		}
	}
	if (*line)
		say("#  %s", line);
}

/* A thread's own trace, or NULL if there is no KCOV. */
static uint64_t *cover_begin(void)
{
	int fd = open(KCOV_PATH, O_RDWR | O_CLOEXEC);
	uint64_t *trace;

	if (fd < 0)
		return NULL;
	if (ioctl(fd, KCOV_INIT_TRACE, KCOV_WORDS))
		return NULL;
	trace = mmap(NULL, KCOV_WORDS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (trace == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
		return NULL;
	return trace;
}

/*
 * Reads the trace since the last time. Return: whether there was something nobody
 * had seen: a point, or two of them one after the other.
 */
static bool cover_take(uint64_t *trace)
{
	uint64_t n = __atomic_load_n(&trace[0], __ATOMIC_RELAXED), i;
	uint32_t before = 0;
	bool news = false;

	for (i = 1; i <= n && i < KCOV_WORDS; i++) {
		uint64_t at = trace[i] - code.text;
		uint32_t number = at < CODE_BYTES ? code.number[at] : 0, edge;

		if (!number)
			continue;
		if (!shared->point[number]) {
			shared->point[number] = 1;
			__atomic_fetch_add(&shared->num_points, 1, __ATOMIC_RELAXED);
			news = true;
		}
		edge = (number ^ (before * 40503U)) % MAX_EDGES;
		if (!shared->edge[edge]) {
			shared->edge[edge] = 1;
			__atomic_fetch_add(&shared->num_edges, 1, __ATOMIC_RELAXED);
			news = true;
		}
		before = number;
	}
	__atomic_store_n(&trace[0], 0, __ATOMIC_RELAXED);
	return news;
}

#endif /* FUZZ_COVER_H */
