/* SPDX-License-Identifier: MIT */
/* Inline calls in what two units of a C++ program both define. */
#ifndef INLINE_COMDAT_H
#define INLINE_COMDAT_H

#include <cubby/cubby.h>

template <typename T> class pool
{
	cubby_cache *cache = nullptr;

      public:
	bool open(const char *name)
	{
		return cubby_cache_create_sized(&cache, name, sizeof(T),
						alignof(T), nullptr) == 0;
	}
	bool close()
	{
		return cubby_cache_destroy(cache) == 0;
	}
	template <typename U> T *make(U value)
	{
		T *it = static_cast<T *>(cubby_alloc(cache));

		*it = static_cast<T>(value);
		return it;
	}
	T drop(T *it)
	{
		T value = *it;

		cubby_free(cache, it);
		return value;
	}
};

/* To and fro, often enough for magazines to be loaded. */
template <typename T>
inline T
turn(pool<T> &from, T start)
{
	T sum = start;

	for (int i = 0; i < 1000; i++)
		sum = sum + from.drop(from.make(i));
	return sum;
}

/* Both units have this one, nobody calls it, and linkers may drop it. */
__attribute__((used, noinline)) inline void *
never(cubby_cache *cache)
{
	return cubby_alloc(cache);
}

double other_unit(pool<double> &from);

#endif /* INLINE_COMDAT_H */
