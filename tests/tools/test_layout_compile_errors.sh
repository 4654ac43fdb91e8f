#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What must not compile does not, and the compiler says why: each case is a
# program that compiles once its one mistake is taken out.
#
# Environment: CC and CXX (gcc and g++; a compiler that is not there skips its
# cases).

set -u
LC_ALL=C
export LC_ALL

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# gcc looks for unused results only when it generates code: no -fsyntax-only
strict="-Iinclude -Wall -Wextra -Werror -c -o $work/object"
n_failed=0
n_run=0

fail() {
	echo "FAIL $1"
	sed -n 's/^/    /; 1,8p' "$work/errors"
	n_failed=$((n_failed + 1))
}

# Compile $work/case.$1 with or without -DMISTAKE.
compile() {
	language=$1
	shift
	# shellcheck disable=SC2086 # CC and strict are lists of words
	case $language in
	c) ${CC:-gcc} -std=gnu11 $strict "$@" -x c "$work/case" ;;
	cxx) ${CXX:-g++} -std=c++11 $strict "$@" -x c++ "$work/case" ;;
	esac >"$work/errors" 2>&1
}

# expect LANGUAGE NAME REGEX: the program on standard input is refused with a
# message that matches.
expect() {
	{ echo '#include <cubby/cubby.h>'; cat; } >"$work/case"
	n_run=$((n_run + 1))
	if ! compile "$1"; then
		fail "$1 $2: does not compile without its mistake"
	elif compile "$1" -DMISTAKE; then
		fail "$1 $2: compiles"
	elif ! grep -Eq "$3" "$work/errors"; then
		fail "$1 $2: no message matches: $3"
	else
		echo "ok   $1 $2"
	fi
}

cases() {
	# gcc 12 escapes the quotes of a C assertion's text: .?
	expect "$1" layout_of_wrong_type_is_named \
		"slot .?'lat.?' has another type in its struct" <<'EOF'
#ifdef MISTAKE
#define LAT_TYPE float
#else
#define LAT_TYPE double
#endif
struct truck { char truck_id[12]; double lat; };
#define TRUCK_SLOTS(SLOT) SLOT(char[12], truck_id, "") SLOT(LAT_TYPE, lat, "")
CUBBY_LAYOUT_OF(truck, TRUCK_SLOTS);
EOF

	expect "$1" layout_of_wrong_array_length_is_named \
		"slot .?'truck_id.?' has another type in its struct" <<'EOF'
#ifdef MISTAKE
#define ID_BYTES 13
#else
#define ID_BYTES 12
#endif
struct truck { char truck_id[12]; double lat; };
#define TRUCK_SLOTS(SLOT) SLOT(char[ID_BYTES], truck_id, "")
CUBBY_LAYOUT_OF(truck, TRUCK_SLOTS);
EOF

	expect "$1" layout_of_unknown_member_is_named \
		"no member named 'height'" <<'EOF'
#ifdef MISTAKE
#define MEMBER height
#else
#define MEMBER lat
#endif
struct truck { char truck_id[12]; double lat; };
#define TRUCK_SLOTS(SLOT) SLOT(double, MEMBER, "")
CUBBY_LAYOUT_OF(truck, TRUCK_SLOTS);
EOF

	expect "$1" layout_duplicate_slot_is_named \
		"(duplicate member|redeclaration of) '.*lat'" <<'EOF'
#ifdef MISTAKE
#define SECOND lat
#else
#define SECOND lon
#endif
#define TRUCK_SLOTS(SLOT) SLOT(double, lat, "") SLOT(double, SECOND, "")
CUBBY_LAYOUT(truck, TRUCK_SLOTS);
EOF

	expect "$1" layout_over_1_mib_is_named \
		"struct truck is larger than 1 MiB" <<'EOF'
#ifdef MISTAKE
#define LOAD_BYTES ((1 << 20) + 1)
#else
#define LOAD_BYTES (1 << 20)
#endif
#define TRUCK_SLOTS(SLOT) SLOT(char[LOAD_BYTES], load, "")
CUBBY_LAYOUT(truck, TRUCK_SLOTS);
EOF

	expect "$1" layout_declared_twice_is_named \
		"redefinition of '(struct |const cubby_layout )?truck" <<'EOF'
#ifdef MISTAKE
#define SECOND truck
#else
#define SECOND trailer
#endif
#define TRUCK_SLOTS(SLOT) SLOT(double, lat, "")
#define AGAIN(tag) CUBBY_LAYOUT(tag, TRUCK_SLOTS)
CUBBY_LAYOUT(truck, TRUCK_SLOTS);
AGAIN(SECOND);
EOF

	expect "$1" free_of_another_type_is_refused \
		"(incompatible pointer type|cannot convert|no matching)" <<'EOF'
#define TRUCK_SLOTS(SLOT) SLOT(double, lat, "")
#define CRATE_SLOTS(SLOT) SLOT(double, weight, "")
CUBBY_LAYOUT(truck, TRUCK_SLOTS);
CUBBY_LAYOUT(crate, CRATE_SLOTS);
#ifdef MISTAKE
#define GIVEN struct crate
#else
#define GIVEN struct truck
#endif
void give(struct cubby_cache *cache, GIVEN *object);
void give(struct cubby_cache *cache, GIVEN *object)
{
	truck_free(cache, object);
}
EOF

	expect "$1" alloc_result_unused_is_refused "unused.result" <<'EOF'
#define TRUCK_SLOTS(SLOT) SLOT(double, lat, "")
CUBBY_LAYOUT(truck, TRUCK_SLOTS);
struct truck *take(struct cubby_cache *cache);
struct truck *take(struct cubby_cache *cache)
{
#ifdef MISTAKE
	truck_alloc(cache);
#endif
	return truck_alloc(cache);
}
EOF

	weak_cases "$1"
}

weak_cases() {
	expect "$1" weak_layout_of_wrong_type_is_named \
		"slot .?'trailer.?' has another type in its struct" <<'EOF'
#ifdef MISTAKE
#define TRAILER_TYPE cubby_weak
#else
#define TRAILER_TYPE struct cubby_weak_slot
#endif
struct truck { double lat; TRAILER_TYPE trailer; };
#define TRUCK_SLOTS(SLOT) SLOT(struct cubby_weak_slot, trailer, "")
CUBBY_WEAK_LAYOUT_OF(truck, TRUCK_SLOTS);
EOF

	expect "$1" plain_layout_has_no_handles \
		"(implicit declaration|not declared|undeclared)" <<'EOF'
#define TRUCK_SLOTS(SLOT) SLOT(double, lat, "")
#ifdef MISTAKE
CUBBY_LAYOUT(truck, TRUCK_SLOTS);
#else
CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);
#endif
cubby_weak name(struct cubby_cache *cache, struct truck *object);
cubby_weak name(struct cubby_cache *cache, struct truck *object)
{
	return truck_weak_of(cache, object);
}
EOF

	expect "$1" weak_of_another_type_is_refused \
		"(incompatible pointer type|cannot convert|no matching)" <<'EOF'
#define TRUCK_SLOTS(SLOT) SLOT(double, lat, "")
#define CRATE_SLOTS(SLOT) SLOT(double, weight, "")
CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);
CUBBY_WEAK_LAYOUT(crate, CRATE_SLOTS);
#ifdef MISTAKE
#define GIVEN struct crate
#else
#define GIVEN struct truck
#endif
cubby_weak name(struct cubby_cache *cache, GIVEN *object);
cubby_weak name(struct cubby_cache *cache, GIVEN *object)
{
	return truck_weak_of(cache, object);
}
EOF

	expect "$1" weak_get_as_another_type_is_refused \
		"(incompatible.pointer.type|cannot convert|cannot initialize)" <<'EOF'
#define TRUCK_SLOTS(SLOT) SLOT(double, lat, "")
#define CRATE_SLOTS(SLOT) SLOT(double, weight, "")
CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);
CUBBY_WEAK_LAYOUT(crate, CRATE_SLOTS);
#ifdef MISTAKE
#define WANTED struct crate
#else
#define WANTED struct truck
#endif
WANTED *find(struct cubby_cache *cache, cubby_weak handle);
WANTED *find(struct cubby_cache *cache, cubby_weak handle)
{
	return truck_weak_get(cache, handle);
}
EOF

	expect "$1" weak_upgrade_result_unused_is_refused "unused.result" <<'EOF'
#define TRUCK_SLOTS(SLOT) SLOT(double, lat, "")
CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);
struct truck *hold(struct cubby_cache *cache, cubby_weak handle);
struct truck *hold(struct cubby_cache *cache, cubby_weak handle)
{
#ifdef MISTAKE
	truck_weak_upgrade(cache, handle);
#endif
	return truck_weak_upgrade(cache, handle);
}
EOF

	expect "$1" weak_slot_is_no_pointer \
		"(incompatible types?|no match for|no viable)" <<'EOF'
#define TRUCK_SLOTS(SLOT) SLOT(struct cubby_weak_slot, trailer, "")
CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);
void pull(struct cubby_cache *cache, struct truck *a, struct truck *b);
void pull(struct cubby_cache *cache, struct truck *a, struct truck *b)
{
#ifdef MISTAKE
	a->trailer = b;
#endif
	cubby_weak_slot_set(&a->trailer, truck_weak_of(cache, b));
}
EOF

	expect "$1" weak_slot_set_to_a_pointer_is_refused \
		"(int-conversion|invalid conversion|no matching|cannot convert)" <<'EOF'
#define TRUCK_SLOTS(SLOT) SLOT(struct cubby_weak_slot, trailer, "")
CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);
void pull(struct cubby_cache *cache, struct truck *a, struct truck *b);
void pull(struct cubby_cache *cache, struct truck *a, struct truck *b)
{
#ifdef MISTAKE
	cubby_weak_slot_set(&a->trailer, b);
#endif
	cubby_weak_slot_set(&a->trailer, truck_weak_of(cache, b));
}
EOF

	expect "$1" weak_slot_call_on_another_slot_is_refused \
		"(incompatible pointer type|cannot convert|no matching)" <<'EOF'
#ifdef MISTAKE
#define TRAILER_TYPE uint64_t
#else
#define TRAILER_TYPE struct cubby_weak_slot
#endif
#define TRUCK_SLOTS(SLOT) SLOT(TRAILER_TYPE, trailer, "")
CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);
void part(struct truck *object);
void part(struct truck *object)
{
	cubby_weak_slot_clear(&object->trailer);
}
EOF
}

for language in c cxx; do
	case $language in
	c) compiler=${CC:-gcc} ;;
	cxx) compiler=${CXX:-g++} ;;
	esac
	if command -v "${compiler%% *}" >/dev/null; then
		cases $language
	else
		echo "skip $language: no $compiler"
	fi
done

if [ "$n_run" -eq 0 ]; then
	echo "SKIP: neither a C nor a C++ compiler"
	exit 77
fi
echo "$n_run cases, $n_failed failed"
[ "$n_failed" -eq 0 ]
