/* SPDX-License-Identifier: MIT */
/*
 * std::weak_ptr, at its best: objects made by std::make_shared, one block for
 * the object and its counts.  C++17.
 */
#include "weak_rival.h"

#include <cerrno>
#include <memory>
#include <new>
#include <vector>

namespace
{

/* Not cleared by make_shared, as the other rivals' are not. */
template <size_t n_bytes> struct bytes {
	bytes()
	{
	}
	unsigned char data[n_bytes];
};

struct object {
	uint64_t words[WEAK_OBJECT_WORDS];
};

/* ----------------------------------- way ---------------------------------- */

struct pool {
	std::vector<std::shared_ptr<object>> objects;
};

void *
create(size_t n_objects)
{
	pool *made = new pool;

	made->objects.reserve(n_objects);
	for (size_t i = 0; i < n_objects; i++) {
		made->objects.push_back(std::make_shared<object>());
		made->objects.back()->words[0] = i + 1;
	}
	return made;
}

void *
refer(void *arg, size_t n, const uint32_t *targets)
{
	const pool *from = static_cast<pool *>(arg);
	std::weak_ptr<object> *refs = new std::weak_ptr<object>[n];

	for (size_t i = 0; i < n; i++)
		refs[i] = from->objects[targets[i]];
	return refs;
}

void
end(void *arg, size_t which)
{
	static_cast<pool *>(arg)->objects[which].reset();
}

WEAK_INLINE uint64_t
read_ref(void *, const void *refs, size_t i)
{
	auto object = static_cast<const std::weak_ptr<struct object> *>(
			      refs)[i]
			      .lock();

	return object ? object->words[0] : 0;
}

WEAK_INSTANCE uint64_t
follow(void *arg, const void *refs, size_t n, size_t n_turns)
{
	return weak_follow(read_ref, arg, refs, n, n_turns);
}

/* ---------------------------------- lives --------------------------------- */

struct life_pool {
	uint64_t n_ended;
};

void *
lives_create(const void *, uint64_t)
{
	return new life_pool{};
}

void
lives_nothing(void *)
{
}

WEAK_INSTANCE size_t
live(void *arg, size_t n)
{
	life_pool *lives = static_cast<life_pool *>(arg);

	for (size_t i = 0; i < n; i++) {
		/* Written, and no more: as the others' are. */
		auto made = std::make_shared<bytes<WEAK_OBJECT_BYTES>>();
		std::weak_ptr<bytes<WEAK_OBJECT_BYTES>> ref = made;

		*reinterpret_cast<volatile uint64_t *>(made->data) = i;
		__asm__ volatile("" : : "r"(&ref) : "memory");
		made.reset();
		lives->n_ended += ref.expired();
	}
	return n;
}

int
lives_count(void *arg, uint64_t n_done, weak_lives_count *ret_count)
{
	*ret_count = {};
	ret_count->n_ended = static_cast<life_pool *>(arg)->n_ended;
	return ret_count->n_ended == n_done ? 0 : -EBADMSG;
}

/* ---------------------------------- kind ---------------------------------- */

struct place {
	std::shared_ptr<void> owner;
	std::weak_ptr<void> ref;
};

static_assert(sizeof(place) <= sizeof(weak_place), "its room");

using make_fn = std::shared_ptr<void>();

template <size_t n_bytes>
std::shared_ptr<void>
make_of()
{
	auto made = std::make_shared<bytes<n_bytes>>();

	return std::shared_ptr<void>(made, made->data);
}

const struct {
	size_t n_bytes;
	make_fn *make;
} makes[] = {
#define MAKE(n)                                                               \
	{                                                                     \
		n, make_of<n>                                                 \
	}
	MAKE(8),   MAKE(9),   MAKE(16),  MAKE(24),  MAKE(25),
	MAKE(32),  MAKE(40),  MAKE(72),  MAKE(100), MAKE(104),
	MAKE(200), MAKE(512), MAKE(1024)
#undef MAKE
};

struct kind_pool {
	make_fn *make;
};

void *
kind_create(size_t object_bytes)
{
	for (const auto &each : makes)
		if (each.n_bytes == object_bytes)
			return new kind_pool{ each.make };
	return nullptr;
}

void
kind_destroy(void *arg)
{
	delete static_cast<kind_pool *>(arg);
}

void *
kind_make(void *arg, weak_place *ret_place)
{
	place *made = new (ret_place) place;

	made->owner = static_cast<kind_pool *>(arg)->make();
	made->ref = made->owner;
	return made->owner.get();
}

void *
kind_find(void *, const weak_place *arg)
{
	return reinterpret_cast<const place *>(arg)->ref.lock().get();
}

void
kind_end(void *, weak_place *arg)
{
	reinterpret_cast<place *>(arg)->~place();
}

} /* namespace */

const weak_way weak_ptr = { "weak-ptr", create, refer, nullptr,
			    nullptr,    follow, end };

const weak_lives weak_lives_ptr = {
	"weak-ptr", nullptr, lives_create, lives_nothing, lives_nothing,
	nullptr,    nullptr, live,         lives_nothing, lives_count
};

const weak_kind weak_kind_ptr = { "weak-ptr",   sizeof(place), kind_create,
				  kind_destroy, kind_make,     kind_find,
				  kind_end };
