# SPDX-License-Identifier: MIT
#
# rows.awk - a profile as rows: snapshot, time, type, site, bytes; by tabs.
#
# Behind tree.awk.  A type is the name of a cache, or malloc.  A site is the function
# of the program that allocates, and what it calls for that in a library.

BEGIN {
	HEADERS = "[(](stl_[a-z_]+|[a-z]*_?allocator|alloc_traits|basic_string" \
		"|vector|deque|hashtable|hashtable_policy|unordered_[a-z]+" \
		"|shared_ptr[a-z_]*|unique_ptr|std_function)[.](h|tcc):[0-9]+[)]$"
	OFS = "\t"
	n_allocators = split(allocators, allocator, " ")
	for (i = 1; i <= n_allocators; i++)
		is_allocator[allocator[i]] = 1
}

# Without sources that anybody could look into.
function is_library(frame) {
	return frame ~ / \(in .*\/lib(32|64|x32)?\/.*\.so[^\/]*\)$/
}

# Of C++ itself: functions of std, and of libstdc++'s headers where they are inlined.
function is_language(frame) {
	return frame ~ /^0x[0-9A-F]+: (void )?(std|__gnu_cxx)::/ ||
		frame ~ HEADERS
}

# "fill" of "fill(int, char*)".
function without_arguments(name) {
	if (name ~ /^[^(].*\)$/ && name !~ /operator\(/)
		sub(/\(.*/, "", name)
	return name
}

# "main (two.c:15)", "0x1234 (in two)"; modules without their folders.
function label(frame,    base) {
	if (!sub(/^0x[0-9A-F]+: \?\?\? /, address(frame) " ", frame))
		sub(/^0x[0-9A-F]+: /, "", frame)
	sub(/\.(constprop|part|isra|cold)[.0-9]*/, "", frame)
	gsub(/\t/, " ", frame)
	if (match(frame, / \([^()]*\)$/))
		frame = without_arguments(substr(frame, 1, RSTART - 1)) \
			substr(frame, RSTART)
	if (match(frame, / \(in .*\)$/)) {
		base = substr(frame, RSTART)
		sub(/.*\//, "", base)
		frame = substr(frame, 1, RSTART) "(in " base
	}
	return frame
}

function site_of_path(at, n,    i, called) {
	while (at < n && function_of(text[at]) in is_allocator)
		at++
	if (at > n || is_small(text[at]))
		return "small sites"
	for (i = at; i <= n && (is_library(text[i]) || is_language(text[i])); i++)
		if (!is_language(text[i]))
			called = without_arguments(function_of(text[i]))
	if (i > n || is_small(text[i]) || text[i] ~ /: \(below main\)/)
		return label(text[at])
	return label(text[i]) (called == "" ? "" : " in " called)
}

function add(type, site, bytes) {
	if (!((type, site) in ids)) {
		ids[type, site] = ++n_rows
		type_of[n_rows] = type
		site_of[n_rows] = site
		sum[n_rows] = 0
	}
	sum[ids[type, site]] += bytes
}

function path(n, bytes,    type) {
	if (n == 0 && bytes == 0)
		add("malloc", "small sites", 0) # the first snapshot has nothing
	else if (text[1] ~ /^0x0: cache '[^']*' \(Cubby\)$/) {
		type = text[1]
		gsub(/^[^']*'|'[^']*$/, "", type)
		add(type, site_of_path(2, n), bytes)
	} else
		add("malloc", site_of_path(1, n), bytes)
}

function end_of_snapshot(    i) {
	if (n_lines == 0)
		return
	end_of_tree()
	if (extra > 0)
		add("malloc", "headers and rounding", extra)
	for (i = 1; i <= n_rows; i++)
		print snapshot, time, type_of[i], site_of[i], sum[i]
	n_rows = 0
	delete ids
}

/^snapshot=/ {
	end_of_snapshot()
	snapshot = substr($0, 10)
}
/^time=/ { time = substr($0, 6) }
/^mem_heap_extra_B=/ { extra = substr($0, 18) + 0 }
END { end_of_snapshot() }
