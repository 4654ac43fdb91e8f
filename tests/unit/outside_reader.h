/* SPDX-License-Identifier: MIT */
/*
 * Reads Cubby's registry as a debugger would: from nothing but an ELF note,
 * by addresses in somebody else's memory.  Uses no header of the library, so
 * that what it relies on is the format, as registry.h draws it:
 *
 *	note     owner "Cubby", type 1, 8 bytes: from there to the registry
 *	registry { magic, version, bytes, table, n_descriptors,
 *		   descriptor_bytes, n_cpus, rseq_bytes, n_fields, fields }
 *	field    { name[24], offset_bytes, size_bytes }
 */
#ifndef OUTSIDE_READER_H
#define OUTSIDE_READER_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define OUTSIDE_MAGIC 0x5942425543ull
#define OUTSIDE_STATE_LIVE 2

/* Copy bytes from the memory that is read; false if they are not there. */
typedef bool (*outside_read_fn)(uint64_t address, void *buffer, size_t bytes,
				void *context);

struct outside {
	outside_read_fn read;
	void *context;
	struct {
		uint64_t magic;
		uint32_t version;
		uint32_t registry_bytes;
		uint64_t table;
		uint64_t n_descriptors;
		uint32_t descriptor_bytes;
		uint32_t n_cpus;
		uint32_t rseq_bytes;
		uint32_t n_fields;
		uint64_t fields;
	} registry;
};

/* Look for the note in a PT_NOTE segment and read the registry it leads to. */
static inline bool
outside_open(struct outside *outside, uint64_t address, uint64_t bytes)
{
	static const char owner[8] = "Cubby";
	uint64_t end = address + bytes;

	while (address + sizeof(Elf64_Nhdr) <= end) {
		Elf64_Nhdr header;
		uint64_t name = address + sizeof(header);
		uint64_t at;
		char read_owner[8];
		int64_t distance;

		if (!outside->read(address, &header, sizeof(header),
				   outside->context))
			return false;
		at = name + ((header.n_namesz + 3ull) & ~3ull);
		address = at + ((header.n_descsz + 3ull) & ~3ull);
		if (header.n_type != 1 || header.n_namesz != sizeof("Cubby") ||
		    header.n_descsz != sizeof(distance) ||
		    !outside->read(name, read_owner, sizeof(read_owner),
				   outside->context) ||
		    memcmp(read_owner, owner, sizeof("Cubby")) != 0)
			continue;
		return outside->read(at, &distance, sizeof(distance),
				     outside->context) &&
		       outside->read(at + (uint64_t)distance,
				     &outside->registry,
				     sizeof(outside->registry),
				     outside->context) &&
		       outside->registry.magic == OUTSIDE_MAGIC &&
		       outside->registry.version == 1;
	}
	return false;
}

static inline uint64_t
outside_descriptor(const struct outside *outside, uint64_t i)
{
	return outside->registry.table +
	       i * outside->registry.descriptor_bytes;
}

/* A field's bytes; false if there is none of that name or it is too long. */
static inline bool
outside_field(const struct outside *outside, uint64_t i, const char *name,
	      void *buffer, size_t capacity)
{
	for (uint32_t n = 0; n < outside->registry.n_fields; n++) {
		struct {
			char name[24];
			uint32_t offset_bytes;
			uint32_t size_bytes;
		} field;

		if (!outside->read(outside->registry.fields +
					   n * sizeof(field),
				   &field, sizeof(field), outside->context))
			return false;
		if (strncmp(field.name, name, sizeof(field.name)) != 0)
			continue;
		memset(buffer, 0, capacity);
		return field.size_bytes <= capacity &&
		       outside->read(outside_descriptor(outside, i) +
					     field.offset_bytes,
				     buffer, field.size_bytes,
				     outside->context);
	}
	return false;
}

/* The same as a number; UINT64_MAX if there is none. */
static inline uint64_t
outside_number(const struct outside *outside, uint64_t i, const char *name)
{
	uint64_t number;

	return outside_field(outside, i, name, &number, sizeof(number)) ?
		       number :
		       UINT64_MAX;
}

/*
 * The live objects of cache i, counted from the bitmaps of its slabs' records;
 * UINT64_MAX if something could not be read.
 */
static inline uint64_t
outside_count_live(const struct outside *outside, uint64_t i)
{
	uint64_t records = outside_number(outside, i, "records");
	uint64_t record_bytes = outside_number(outside, i, "record_bytes");
	uint64_t n_slabs = outside_number(outside, i, "n_slabs");
	uint64_t n_live = 0;

	for (uint64_t slab = 0; slab < n_slabs; slab++) {
		for (uint64_t at = 8; at < record_bytes; at += 8) {
			uint64_t word;

			if (!outside->read(records + slab * record_bytes + at,
					   &word, sizeof(word),
					   outside->context))
				return UINT64_MAX;
			n_live += (uint64_t)__builtin_popcountll(word);
		}
	}
	return n_live;
}

#endif /* OUTSIDE_READER_H */
