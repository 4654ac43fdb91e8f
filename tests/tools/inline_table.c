/* SPDX-License-Identifier: MIT */
/*
 * inline_table FILE: check the descriptors of restartable sequences in an
 * executable or shared object as a linker left them, and print how many there
 * are.  The kernel kills a process at the first one that is wrong.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct descriptor {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

static char *file;
static const Elf64_Ehdr *elf;
static const Elf64_Shdr *sections;

static void
check(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static void
map_file(const char *path)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	check(fd >= 0 && fstat(fd, &status) == 0, "cannot open");
	/* Private: relocations are written to it. */
	file = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE, fd, 0);
	check(file != MAP_FAILED, "cannot map");
	elf = (const Elf64_Ehdr *)file;
	check(memcmp(elf->e_ident, ELFMAG, SELFMAG) == 0 &&
		      elf->e_ident[EI_CLASS] == ELFCLASS64,
	      "not a 64-bit ELF file");
	sections = (const Elf64_Shdr *)(file + elf->e_shoff);
}

static const Elf64_Shdr *
section_named(const char *name)
{
	const char *names = file + sections[elf->e_shstrndx].sh_offset;

	for (unsigned i = 0; i < elf->e_shnum; i++)
		if (strcmp(names + sections[i].sh_name, name) == 0)
			return &sections[i];
	return NULL;
}

/* What will be at this address, in a section that has these flags. */
static void *
at(uint64_t address, uint64_t flags)
{
	for (unsigned i = 0; i < elf->e_shnum; i++)
		if ((sections[i].sh_flags & flags) == flags &&
		    sections[i].sh_type == SHT_PROGBITS &&
		    address - sections[i].sh_addr < sections[i].sh_size)
			return file + sections[i].sh_offset + address -
			       sections[i].sh_addr;
	return NULL;
}

static void
relocate(const Elf64_Shdr *section)
{
	const Elf64_Rela *rela = (const Elf64_Rela *)(file +
						      section->sh_offset);

	for (uint64_t i = 0; i < section->sh_size / sizeof(*rela); i++) {
		uint64_t type = ELF64_R_TYPE(rela[i].r_info);
		uint64_t *place = at(rela[i].r_offset, SHF_ALLOC | SHF_WRITE);

		if (place != NULL &&
		    (type == R_X86_64_RELATIVE || type == R_AARCH64_RELATIVE))
			*place = (uint64_t)rela[i].r_addend;
	}
}

static void
check_descriptor(const struct descriptor *it)
{
	const uint32_t signature = elf->e_machine == EM_X86_64 ? 0x53053053 :
								 0xd428bc00;
	const void *before = at(it->abort - 4, SHF_EXECINSTR);

	check(it->version == 0 && it->flags == 0, "version or flags");
	check(at(it->start, SHF_EXECINSTR) != NULL && it->length > 0 &&
		      at(it->start + it->length - 1, SHF_EXECINSTR) != NULL,
	      "the sequence is not code");
	check(it->abort - it->start >= it->length,
	      "the way back is in the sequence");
	check(before != NULL && memcmp(before, &signature, 4) == 0,
	      "no signature before the way back");
}

int
main(int argc, char **argv)
{
	const Elf64_Shdr *table, *pointers;
	uint64_t n;

	check(argc == 2, "usage: inline_table FILE");
	map_file(argv[1]);
	for (unsigned i = 0; i < elf->e_shnum; i++)
		if (sections[i].sh_type == SHT_RELA &&
		    (sections[i].sh_flags & SHF_ALLOC))
			relocate(&sections[i]);

	table = section_named("__rseq_cs");
	pointers = section_named("__rseq_cs_ptr_array");
	if (table == NULL) {
		puts("0");
		return 0;
	}
	check(table->sh_addr % 32 == 0, "the table is not aligned");
	n = table->sh_size / sizeof(struct descriptor);
	for (uint64_t i = 0; i < n; i++)
		check_descriptor(
			(const struct descriptor *)(file + table->sh_offset) +
			i);

	/* Linkers that drop sections may drop these: nobody points to them. */
	if (pointers != NULL)
		for (uint64_t i = 0; i < pointers->sh_size / 8; i++) {
			const uint64_t *it =
				(const uint64_t *)(file +
						   pointers->sh_offset) +
				i;

			check((*it - table->sh_addr) % 32 == 0 &&
				      (*it - table->sh_addr) / 32 < n,
			      "a pointer to no descriptor");
		}
	printf("%llu\n", (unsigned long long)n);
	return 0;
}
