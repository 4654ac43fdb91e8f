/* SPDX-License-Identifier: MIT */
/*
 * truck_box.h - boxed values, as a program has them that keeps attributes by
 * name: each value in a malloc'd box of its own that says what it holds.  Text
 * lies inside its box.  A set overwrites the box in place.
 */
#ifndef BENCH_TRUCK_BOX_H
#define BENCH_TRUCK_BOX_H

#include <err.h>
#include <stdlib.h>

#include "truck.h"

enum box_type { BOX_TEXT, BOX_INTEGER, BOX_DOUBLE };

struct text_box {
	uint64_t type;
	char text[TRUCK_ID_BYTES];
};

struct integer_box {
	uint64_t type;
	uint64_t integer;
};

struct double_box {
	uint64_t type;
	double number;
};

static inline void *
box_alloc(size_t box_bytes)
{
	void *box = malloc(box_bytes);

	if (!box)
		err(1, "box");
	return box;
}

static inline void *
box_id_text(size_t number)
{
	struct text_box *box = box_alloc(sizeof(*box));

	box->type = BOX_TEXT;
	truck_id_write(box->text, number);
	return box;
}

static inline void *
box_id_integer(size_t number)
{
	struct integer_box *box = box_alloc(sizeof(*box));

	box->type = BOX_INTEGER;
	box->integer = number;
	return box;
}

static inline void *
box_double(double number)
{
	struct double_box *box = box_alloc(sizeof(*box));

	box->type = BOX_DOUBLE;
	box->number = number;
	return box;
}

static inline double *
unbox_double(void *box)
{
	return &((struct double_box *)box)->number;
}

/* Either kind of id as its number. */
static inline uint64_t
unbox_id(const void *box)
{
	if (*(const uint64_t *)box == BOX_TEXT)
		return truck_id_read(((const struct text_box *)box)->text);
	return ((const struct integer_box *)box)->integer;
}

#endif /* BENCH_TRUCK_BOX_H */
