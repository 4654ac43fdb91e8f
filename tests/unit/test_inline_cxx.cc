/* SPDX-License-Identifier: MIT */
/*
 * The inline header from C++11: calls in templates, lambdas, constructors and
 * inline functions, by an allocator for containers, from all threads.  Writes
 * TAP; exit status 1 if a case failed.
 */
#define CUBBY_INLINE
#include <cubby/cubby.h>

#include <cstdio>
#include <list>
#include <map>
#include <new>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

static int n_cases;
static int n_failed;

static void
check(bool passed, const char *name)
{
	n_cases++;
	if (!passed)
		n_failed++;
	std::printf("%s %d - %s\n", passed ? "ok" : "not ok", n_cases, name);
	if (!passed && *cubby_error_detail() != '\0')
		std::printf("# detail: %s\n", cubby_error_detail());
}

/* A cache for each type; made when first asked for. */
template <typename T>
inline cubby_cache *
cache_of()
{
	static cubby_cache *cache = [] {
		cubby_cache *made = nullptr;
		int err = cubby_cache_create_sized(&made, "cxx", sizeof(T),
						   alignof(T), nullptr);
		return err == 0 ? made : nullptr;
	}();
	return cache;
}

static uint64_t
n_live(cubby_cache *cache)
{
	cubby_cache_stats stats = {};

	stats.stats_bytes = sizeof(stats);
	return cubby_cache_stats_snapshot(cache, &stats) == 0 ? stats.n_live :
								UINT64_MAX;
}

/* What node-based containers allocate with. */
template <typename T> struct pool_allocator {
	using value_type = T;

	pool_allocator() = default;
	template <typename U> pool_allocator(const pool_allocator<U> &)
	{
	}
	T *allocate(size_t n)
	{
		if (n != 1)
			return static_cast<T *>(::operator new(n * sizeof(T)));
		void *object = cubby_alloc(cache_of<T>());
		if (object == nullptr)
			throw std::bad_alloc();
		return static_cast<T *>(object);
	}
	void deallocate(T *object, size_t n) noexcept
	{
		if (n != 1)
			::operator delete(object);
		else
			cubby_free(cache_of<T>(), object);
	}
	friend bool operator==(const pool_allocator &, const pool_allocator &)
	{
		return true;
	}
	friend bool operator!=(const pool_allocator &, const pool_allocator &)
	{
		return false;
	}
};

static long
fill_and_sum(int n)
{
	std::list<long, pool_allocator<long>> numbers;

	for (int i = 0; i < n; i++)
		numbers.push_back(i);
	numbers.remove_if([](long i) { return i % 3 == 0; });
	return std::accumulate(numbers.begin(), numbers.end(), 0L);
}

static void
test_containers()
{
	using pair_allocator =
		pool_allocator<std::pair<const int, std::string>>;
	std::map<int, std::string, std::less<int>, pair_allocator> names;
	bool holds = true;

	for (int i = 0; i < 5000; i++)
		names[i * 7919 % 5000] = std::to_string(i);
	for (const auto &entry : names)
		holds = holds &&
			std::stoi(entry.second) * 7919 % 5000 == entry.first;
	check(holds && names.size() == 5000, "map_of_pool_allocator_works");
	check(fill_and_sum(3000) == 2999L * 1500 - 3L * 999 * 500,
	      "list_of_pool_allocator_works");
}

static void
test_threads()
{
	std::vector<std::thread> threads;
	std::vector<long> sums(4);

	for (long &sum : sums)
		threads.emplace_back([&sum] {
			for (int i = 0; i < 20; i++)
				sum = fill_and_sum(1000);
		});
	for (std::thread &thread : threads)
		thread.join();
	for (long sum : sums)
		check(sum == 999L * 500 - 3L * 333 * 167,
		      "list_in_a_thread_works");
}

/* Class-specific operators, as a program would move to Cubby. */
struct parcel {
	uint64_t number;
	explicit parcel(uint64_t n) : number(n)
	{
		if (n == 13)
			throw std::string("unlucky");
	}
	static void *operator new(size_t)
	{
		void *object = cubby_alloc(cache_of<parcel>());
		return object != nullptr ? object : throw std::bad_alloc();
	}
	static void operator delete(void *object)
	{
		cubby_free(cache_of<parcel>(), object);
	}
};

static void
test_class_operators()
{
	std::vector<parcel *> parcels;
	bool caught = false;

	for (uint64_t i = 100; i < 1100; i++)
		parcels.push_back(new parcel(i));
	check(n_live(cache_of<parcel>()) == 1000, "operator_new_allocates");
	try {
		parcels.push_back(new parcel(13));
	} catch (const std::string &) {
		caught = true;
	}
	check(caught && n_live(cache_of<parcel>()) == 1000,
	      "constructor_that_throws_frees");
	for (parcel *it : parcels)
		delete it;
	delete static_cast<parcel *>(nullptr);
	check(n_live(cache_of<parcel>()) == 0, "operator_delete_frees");
}

template <typename T, typename U>
static T *
as(U *pointer)
{
	return static_cast<T *>(pointer);
}

static void
test_expressions()
{
	cubby_cache *cache = cache_of<int>();
	void *(*alloc)(cubby_cache *) = &cubby_alloc;

	/* Commas between angle brackets, scopes, function pointers. */
	int *number = as<int, void>(::cubby_alloc(cache));
	::cubby_free(cache, as<void, int>(number));
	cubby_free(cache, alloc(cache));
	(cubby_free)(cache, (cubby_alloc)(cache));
	[cache](void *object) { cubby_free(cache, object); }(alloc(cache));
	check(n_live(cache) == 0, "calls_are_expressions");
	check(alloc == cubby_alloc, "address_is_that_of_the_function");
}

#define POINT_SLOTS(SLOT)                                                     \
	SLOT(double, x, "")                                                   \
	SLOT(double, y, "")
CUBBY_LAYOUT(point, POINT_SLOTS);

static void
test_typed()
{
	cubby_cache *cache = nullptr;
	std::vector<point *> points;
	double sum = 0;

	check(point_cache_create(&cache, nullptr) == 0, "cache_create_works");
	for (int i = 0; i < 1000; i++) {
		points.push_back(point_alloc(cache));
		points.back()->x = i;
	}
	for (point *it : points) {
		sum += it->x;
		point_free(cache, it);
	}
	check(sum == 499500, "typed_functions_work");
	check(cubby_cache_destroy(cache) == 0, "destroy_empty_cache_works");
}

int
main()
{
	test_containers();
	test_threads();
	test_class_operators();
	test_expressions();
	test_typed();
	std::printf("1..%d\n", n_cases);
	return n_failed == 0 ? 0 : 1;
}
