# SPDX-License-Identifier: MIT
#
# tree.awk - the trees of a profile of massif; before others.
#
# After each tree end_of_tree() is to be called; it calls path(n, bytes) for each
# stack, whose frames are text[1] to text[n], the innermost first; text[0] is the
# root.  The last frame may stand for several: is_small().

function address(frame) {
	sub(/:.*/, "", frame)
	return frame
}

# "main" of "0x109139: main (two.c:15)".
function function_of(frame) {
	sub(/^0x[0-9A-F]+: /, "", frame)
	sub(/ \((in )?[^()]*\)$/, "", frame)
	sub(/\.(constprop|part|isra|cold)[.0-9]*$/, "", frame)
	return frame
}

function is_small(frame) {
	return frame ~ /^in [0-9]+ places?, /
}

# Where bytes are missing below a node, stacks end that others go on from.
function end_of_tree(    i) {
	for (i = 1; i <= n_lines; i++) {
		text[tree_depth[i]] = tree_text[i]
		if (tree_bytes[i] > below[i] || i == 1 && below[i] == 0)
			path(tree_depth[i], tree_bytes[i] - below[i])
	}
	n_lines = 0
	delete below
}

/^ *n[0-9]+: [0-9]+ / {
	match($0, /^ */)
	tree_depth[++n_lines] = RLENGTH
	tree_bytes[n_lines] = $2
	latest[RLENGTH] = n_lines
	if (RLENGTH > 0)
		below[latest[RLENGTH - 1]] += $2
	sub(/^ *n[0-9]+: [0-9]+ /, "")
	gsub(/#/, "_") # would begin a comment
	tree_text[n_lines] = $0
	next
}
