/* SPDX-License-Identifier: MIT */
/*
 * The 20 forms of operator new and delete.  A program, or with -DPLUGIN a
 * shared object whose cxx_checks() does all of it.
 */
#include "malloc_check.h"

#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

static volatile size_t too_much = (size_t)PTRDIFF_MAX + 1;
static volatile size_t nothing = 0;

static const char *const names[] = {
	"_Znwm",
	"_Znam",
	"_ZnwmRKSt9nothrow_t",
	"_ZnamRKSt9nothrow_t",
	"_ZnwmSt11align_val_t",
	"_ZnamSt11align_val_t",
	"_ZnwmSt11align_val_tRKSt9nothrow_t",
	"_ZnamSt11align_val_tRKSt9nothrow_t",
	"_ZdlPv",
	"_ZdaPv",
	"_ZdlPvm",
	"_ZdaPvm",
	"_ZdlPvRKSt9nothrow_t",
	"_ZdaPvRKSt9nothrow_t",
	"_ZdlPvSt11align_val_t",
	"_ZdaPvSt11align_val_t",
	"_ZdlPvmSt11align_val_t",
	"_ZdaPvmSt11align_val_t",
	"_ZdlPvSt11align_val_tRKSt9nothrow_t",
	"_ZdaPvSt11align_val_tRKSt9nothrow_t",
};

/* All are the library's own, none libstdc++'s. */
static void
check_names(void)
{
	if (malloc_kind() != KIND_CUBBY)
		return;
	for (const char *name : names) {
		const char *object = object_of(dlsym(RTLD_DEFAULT, name));

		CHECK(strncmp(object, "libcubby-malloc.", 16), ==, 0);
	}
}

static void
check_block(void *block, size_t bytes, size_t align_bytes)
{
	CHECK(block, !=, nullptr);
	CHECK((uintptr_t)block % align_bytes, ==, 0);
	stamp_write(block, bytes, 6);
	CHECK(stamp_holds(block, bytes, bytes, 6), ==, 1);
}

static void
check_plain(size_t n)
{
	size_t align = n <= 8 ? 8 : 16;
	void *block;

	check_block(block = ::operator new(n), n, align);
	::operator delete(block);
	check_block(block = ::operator new(n), n, align);
	::operator delete(block, n);
	check_block(block = ::operator new(n, std::nothrow), n, align);
	::operator delete(block, std::nothrow);
	check_block(block = ::operator new[](n), n, align);
	::operator delete[](block);
	check_block(block = ::operator new[](n), n, align);
	::operator delete[](block, n);
	check_block(block = ::operator new[](n, std::nothrow), n, align);
	::operator delete[](block, std::nothrow);
}

static void
check_aligned(size_t n, size_t align_bytes)
{
	auto align = std::align_val_t(align_bytes);
	void *block;

	check_block(block = ::operator new(n, align), n, align_bytes);
	::operator delete(block, align);
	check_block(block = ::operator new(n, align), n, align_bytes);
	::operator delete(block, n, align);
	check_block(block = ::operator new(n, align, std::nothrow), n,
		    align_bytes);
	::operator delete(block, align, std::nothrow);
	check_block(block = ::operator new[](n, align), n, align_bytes);
	::operator delete[](block, align);
	check_block(block = ::operator new[](n, align), n, align_bytes);
	::operator delete[](block, n, align);
	check_block(block = ::operator new[](n, align, std::nothrow), n,
		    align_bytes);
	::operator delete[](block, align, std::nothrow);
}

static void
check_null(void)
{
	auto align = std::align_val_t(64);
	void *one = ::operator new(nothing), *other = ::operator new(nothing);

	CHECK(one, !=, nullptr);
	CHECK(one, !=, other);
	::operator delete(one);
	::operator delete(other, nothing);
	one = nullptr;
	::operator delete(one);
	::operator delete[](one);
	::operator delete(one, 40);
	::operator delete[](one, 40);
	::operator delete(one, std::nothrow);
	::operator delete[](one, std::nothrow);
	::operator delete(one, align);
	::operator delete[](one, align);
	::operator delete(one, 40, align);
	::operator delete[](one, 40, align);
	::operator delete(one, align, std::nothrow);
	::operator delete[](one, align, std::nothrow);
}

static int n_handled;

struct refusal : std::bad_alloc {
};

/* Twice nothing helps; then there is no handler anymore. */
static void
give_up(void)
{
	if (++n_handled == 3)
		std::set_new_handler(nullptr);
}

static void
refuse(void)
{
	n_handled++;
	throw refusal();
}

/* 0: something was returned; 1: std::bad_alloc; 2: what the handler threw. */
template <typename Call>
static int
thrown_by(Call call)
{
	try {
		return call() == nullptr ? -1 : 0;
	} catch (const refusal &) {
		return 2;
	} catch (const std::bad_alloc &error) {
		return strstr(error.what(), "bad_alloc") != nullptr ? 1 : 3;
	}
}

template <typename Call>
static void
check_throws(Call call)
{
	std::set_new_handler(nullptr);
	CHECK(thrown_by(call), ==, 1);
	n_handled = 0;
	std::set_new_handler(give_up);
	CHECK(thrown_by(call), ==, 1);
	CHECK(n_handled, ==, 3);
	n_handled = 0;
	if (malloc_kind() == KIND_OTHER)
		return; /* some do not let exceptions of the handler out */
	std::set_new_handler(refuse);
	CHECK(thrown_by(call), ==, 2);
	CHECK(n_handled, ==, 1);
	std::set_new_handler(nullptr);
}

template <typename Call>
static void
check_returns_null(Call call)
{
	std::set_new_handler(nullptr);
	CHECK(call(), ==, nullptr);
	n_handled = 0;
	std::set_new_handler(give_up);
	CHECK(call(), ==, nullptr);
	CHECK(n_handled, ==, 3);
	n_handled = 0;
	std::set_new_handler(refuse);
	CHECK(call(), ==, nullptr);
	CHECK(n_handled, ==, 1);
	std::set_new_handler(nullptr);
}

static void
check_huge(size_t n)
{
	auto align = std::align_val_t(128);

	check_throws([=] { return ::operator new(n); });
	check_throws([=] { return ::operator new[](n); });
	check_returns_null([=] { return ::operator new(n, std::nothrow); });
	check_returns_null([=] { return ::operator new[](n, std::nothrow); });
	/* libstdc++ rounds up to the alignment, beyond zero. */
	if (malloc_kind() == KIND_GLIBC && n > SIZE_MAX - 128)
		return;
	check_throws([=] { return ::operator new(n, align); });
	check_throws([=] { return ::operator new[](n, align); });
	check_returns_null(
		[=] { return ::operator new(n, align, std::nothrow); });
	check_returns_null(
		[=] { return ::operator new[](n, align, std::nothrow); });
}

struct alignas(512) wide {
	char bytes[1000];
};

/* As programs use them: by expressions, containers and threads. */
static void
check_use(void)
{
	auto one = std::make_unique<wide>();
	std::unique_ptr<wide[]> some(new wide[9]);
	std::vector<std::thread> threads;
	std::vector<std::string> texts;

	CHECK((uintptr_t)one.get() % 512, ==, 0);
	CHECK((uintptr_t)some.get() % 512, ==, 0);
	for (int i = 0; i < 1000; i++)
		texts.emplace_back((size_t)i, 'x');
	for (int i = 0; i < 4; i++)
		threads.emplace_back([copy = texts]() mutable {
			copy.insert(copy.end(), copy.begin(),
				    copy.begin() + 9);
			CHECK(copy.size(), ==, 1009);
		});
	for (auto &thread : threads)
		thread.join();
	for (size_t i = 0; i < texts.size(); i++)
		CHECK(texts[i].size(), ==, i);
}

extern "C" int
cxx_checks(void)
{
	static const size_t sizes[] = { 1,    8,    9,     16,     24,     100,
					1000, 5000, 66000, 300000, 3000000 };

	check_names();
	for (size_t bytes : sizes) {
		check_plain(bytes);
		for (size_t align = 16; align <= 65536; align *= 4)
			check_aligned(bytes, align);
	}
	check_null();
	check_huge(too_much);
	check_huge(too_much - 1);
	check_huge(SIZE_MAX);
	check_huge(SIZE_MAX - 4096);
	check_use();
	return check_end();
}

#ifndef PLUGIN
int
main()
{
	return cxx_checks();
}
#endif
