/* SPDX-License-Identifier: MIT */
/*
 * The same from a dead process: what the core file lacks (pages that were
 * never written) is read from the program's file, as a debugger does.
 *
 *	registry_core CORE PROGRAM     PROGRAM: static, at a fixed address
 */
#include "unit/outside_reader.h"
#include "tools/registry_print.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct elf {
	const char *start;
	uint64_t bytes;
};

static bool
map_elf(struct elf *elf, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) != 0)
		return false;
	elf->bytes = (uint64_t)stat.st_size;
	elf->start = mmap(NULL, elf->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return elf->start != MAP_FAILED &&
	       memcmp(elf->start, ELFMAG, SELFMAG) == 0;
}

static const Elf64_Phdr *
headers_of(const struct elf *elf, unsigned *ret_n)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)elf->start;

	*ret_n = header->e_phnum;
	return (const Elf64_Phdr *)(elf->start + header->e_phoff);
}

static bool
read_elf(const struct elf *elf, uint64_t address, void *buffer, size_t bytes)
{
	unsigned n;
	const Elf64_Phdr *headers = headers_of(elf, &n);

	for (unsigned i = 0; i < n; i++) {
		uint64_t offset = address - headers[i].p_vaddr;

		if (headers[i].p_type != PT_LOAD ||
		    offset + bytes > headers[i].p_filesz ||
		    offset > headers[i].p_filesz ||
		    headers[i].p_offset + offset + bytes > elf->bytes)
			continue;
		memcpy(buffer, elf->start + headers[i].p_offset + offset,
		       bytes);
		return true;
	}
	return false;
}

static bool
read_both(uint64_t address, void *buffer, size_t bytes, void *context)
{
	const struct elf *core_and_program = context;

	return read_elf(&core_and_program[0], address, buffer, bytes) ||
	       read_elf(&core_and_program[1], address, buffer, bytes);
}

int
main(int argc, char **argv)
{
	struct elf core_and_program[2];
	struct outside outside = { read_both, core_and_program, { 0 } };
	const Elf64_Phdr *headers;
	unsigned n;

	if (argc != 3 || !map_elf(&core_and_program[0], argv[1]) ||
	    !map_elf(&core_and_program[1], argv[2]))
		return 2;
	headers = headers_of(&core_and_program[1], &n);
	for (unsigned i = 0; i < n; i++)
		if (headers[i].p_type == PT_NOTE &&
		    outside_open(&outside, headers[i].p_vaddr,
				 headers[i].p_memsz))
			return !print_caches(&outside);
	return 3;
}
