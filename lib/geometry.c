/* SPDX-License-Identifier: MIT */
/* LAYER 2: geometry - how large a cell is, and which one an offset is in */
#include "geometry.h"

#include "bits.h"

#include <errno.h>

static size_t
default_align_bytes(size_t object_bytes)
{
	size_t divisor = object_bytes & -object_bytes;

	return min_u64(divisor, ALIGN_BYTES_DEFAULT_MAX);
}

int
cubby__geometry_init(struct geometry *geometry, size_t object_bytes,
		     size_t align_bytes, bool with_prefix, size_t zone_bytes)
{
	size_t prefix_bytes = zone_bytes, cell_bytes;

	if (object_bytes == 0)
		return -EINVAL;
	if (object_bytes > OBJECT_BYTES_MAX)
		return -E2BIG;
	if (align_bytes == 0)
		align_bytes = default_align_bytes(object_bytes);
	if (!is_pow2(align_bytes) || align_bytes > ALIGN_BYTES_MAX)
		return -EINVAL;
	if (with_prefix)
		align_bytes = max_u64(align_bytes, PREFIX_BYTES_MIN);

	if (with_prefix)
		prefix_bytes += PREFIX_BYTES_MIN;
	prefix_bytes = align_up(prefix_bytes, align_bytes);
	cell_bytes = align_up(prefix_bytes +
				      max_u64(object_bytes, CELL_BYTES_MIN) +
				      zone_bytes,
			      align_bytes);
	geometry->object_bytes = (uint32_t)object_bytes;
	geometry->align_bytes = (uint32_t)align_bytes;
	geometry->prefix_bytes = (uint32_t)prefix_bytes;
	geometry->cell_bytes = (uint32_t)cell_bytes;
	geometry->slab_shift = cell_bytes >= SLAB_BYTES_TARGET ?
				       0 :
				       bit_highest(SLAB_BYTES_TARGET /
						   cell_bytes);
	geometry->reciprocal = UINT64_MAX / cell_bytes + 1;
	return 0;
}
