# SPDX-License-Identifier: MIT
#
# fold.awk - types into a profile of massif, and Cubby's own frames out of it.
#
# Read are the log of Valgrind (is_log=1), then the profile (is_log=0), by this
# file, and then by tree.awk.
#
# The library spells the number of a type by return addresses: in the stack of each
# allocation, and once in the log, where its name is (lib/annotate.c).  There are
# `digits` of them, behind the innermost address.  They and Cubby's other frames go,
# and one with the type's name comes.

BEGIN {
	n_allocators = split(allocators, allocator, " ")
	for (i = 1; i <= n_allocators; i++)
		is_allocator[allocator[i]] = 1
}

# ---------------------------------- the log ----------------------------------

# The digits behind those frames that have one address, from `first` on; the last of
# them is key_end.
function key_of(frames, n, first,    i, key) {
	for (i = first; i <= n && frames[i] == frames[first]; i++)
		;
	key_end = i + digits - 1
	if (key_end > n)
		return ""
	for (; i <= key_end; i++)
		key = key " " frames[i]
	return key
}

# The innermost frame is of who writes the log, the next of who spells.
function end_of_type(    i, key, digit) {
	if (new_type == "")
		return
	for (i = 1; i <= n_log && log_frame[i] == log_frame[1]; i++)
		;
	key = key_of(log_frame, n_log, i)
	if (key != "")
		types[key] = new_type
	for (i = split(key, digit, " "); i > 0; i--)
		is_digit[digit[i]] = 1
	new_type = ""
}

is_log && /^\*\*[0-9]+\*\* cubby: type / {
	end_of_type()
	new_type = $4
	n_log = 0
}
is_log && ($2 == "at" || $2 == "by") {
	log_frame[++n_log] = address($3)
	if ($4 ~ /_cache_create$/)
		is_layout[substr($4, 1, length($4) - 13)] = 1
}
is_log { next }
FNR == 1 { end_of_type() }

# ------------------------------- whose is a frame ----------------------------

# Behind what tells tools of objects, of which the last is cubby__alloc_stages().
function is_cubby(frame, name) {
	return name ~ /^(cubby_|kmem_)/ || name ~ /^z?alloc_(slow|bulk)$/ ||
		frame ~ /\/libcubby\.so[^\/]*\)$/
}

# What a layout declares, and what the user says allocates.
function is_wrapper(name, type) {
	if (name in is_allocator)
		return 1
	return sub(/_z?alloc$/, "", name) && (name == type || (name in is_layout))
}

# The first frame that is the program's.
function caller(at, n, type,    i, name) {
	for (i = at; i <= n; i++)
		if (function_of(text[i]) == "cubby__alloc_stages")
			at = i
	for (i = at; i < n; i++) {
		name = function_of(text[i])
		if (!is_cubby(text[i], name) && !is_wrapper(name, type))
			break
	}
	return i
}

# -------------------------------- the new tree -------------------------------

function add(parent, frame, bytes,    id, n_places) {
	if (is_small(frame)) {
		n_places = frame
		sub(/^in /, "", n_places)
		sub(/^in [0-9]+ places?/, "", frame)
	}
	if (!((parent, frame) in ids)) {
		ids[parent, frame] = ++n_nodes
		frame_of[n_nodes] = frame
		child[parent, ++n_children[parent]] = n_nodes
	}
	id = ids[parent, frame]
	places[id] += n_places
	bytes_of[id] += bytes
	return id
}

function path(n, bytes,    i, at, key, parent, type) {
	for (i = 1; i <= n; i++) {
		frames[i] = address(text[i])
		if (frames[i] in is_digit)
			type = "other-caches" # the threshold has cut it off
	}
	at = type == "" ? 1 : n
	while (at < n && (function_of(text[at]) in is_allocator))
		at++
	key = key_of(frames, n, 1)
	if (key in types) {
		type = types[key]
		at = caller(key_end + 1, n, type)
	}
	parent = add(0, text[0], bytes)
	if (type != "")
		parent = add(parent, "0x0: cache '" type "' (Cubby)", bytes)
	for (i = at; i <= n; i++)
		parent = add(parent, text[i], bytes)
}

# The largest children first.
function print_node(id, depth,    i, j, n, best, swap, frame) {
	n = n_children[id] + 0
	frame = frame_of[id]
	if (places[id] > 0)
		frame = "in " places[id] (places[id] > 1 ? " places" : " place") frame
	printf "%*sn%d: %.0f %s\n", depth, "", n, bytes_of[id], frame
	for (i = 1; i <= n; i++) {
		best = i
		for (j = i + 1; j <= n; j++)
			if (bytes_of[child[id, j]] > bytes_of[child[id, best]])
				best = j
		swap = child[id, i]
		child[id, i] = child[id, best]
		child[id, best] = swap
		print_node(child[id, i], depth + 1)
	}
}

function print_tree() {
	end_of_tree()
	if (n_nodes > 0)
		print_node(1, 0)
	n_nodes = 0
	delete ids
	delete n_children
	delete bytes_of
	delete places
}

!/^ *n[0-9]+: [0-9]+ / {
	print_tree()
	sub(/ --massif-out-file=.*/, "") # of no use any more
	print
}
END { print_tree() }
