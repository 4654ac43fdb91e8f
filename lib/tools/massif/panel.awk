# SPDX-License-Identifier: MIT
#
# panel.awk - the areas of one panel, for gnuplot.
#
# Behind units.awk.  Rows are read twice.  Written are `data`: the time and the edges
# of the areas, from the lowest up; `script`: NAME_n, and arrays of the colours, labels
# and bytes of the areas; and to `colours` what label has which, so that it has the same
# in the next panel.
#
# Types of Cubby have cool colours, malloc has warm ones above them, and what is too
# small for a colour is grey, on top; sites of Cubby have tints of their type's.
# Palette by M. Okabe and K. Ito, "Color Universal Design", 2008, and more.

BEGIN {
	TOO_THIN = 0.004 # of the axis: 1 px
	n_cool = split("0072b2 009e73 56b4e9 cc79a7 332288 44aa99", cool, " ")
	n_warm = split("d55e00 e69f00 f0e442 a5682a f3c58f 8c3b00", warm, " ")
	while ((getline line < colours) > 0) {
		split(line, field, "\t")
		is_taken[field[2]] = 1
		known[field[1]] = field[2]
	}
	close(colours)
}

{ key = by == "type" ? $3 : $3 "\t" $4 }
FNR == 1 { pass++ }

# ----------------------------- the largest areas ------------------------------

function raise(of, key, bytes) {
	if (bytes > of[key])
		of[key] = bytes
}

pass == 1 {
	if ($1 != snapshot) {
		total = 0
		delete type_now
	}
	snapshot = $1
	total += $5
	type_now[$3] += $5
	raise(type_most, $3, type_now[$3])
	if (total > peak) {
		peak = total
		peak_at = $1
	}
	if (by == "type" || $4 != "small sites")
		raise(most, key, by == "type" ? type_now[$3] : $5)
	type_of[key] = $3
	label_of[key] = by == "type" ? $3 : $3 == "malloc" ? $4 : $3 ": " $4
	next
}

function is_larger(a, b) {
	return most[a] != most[b] ? most[a] > most[b] : a < b
}

function is_below(a, b,    s, t) {
	s = type_of[a]
	t = type_of[b]
	if (s == t)
		return is_larger(a, b)
	if (s == "malloc" || t == "malloc")
		return t == "malloc"
	return type_most[s] != type_most[t] ? type_most[s] > type_most[t] : s < t
}

function swap(i, j,    key) {
	key = all[i]
	all[i] = all[j]
	all[j] = key
}

function choose(    i, j, best, n_all) {
	for (key in most)
		if (most[key] > y_max * TOO_THIN)
			all[++n_all] = key
	for (n = 0; n < n_sites && n < n_all; n++) {
		best = n + 1
		for (j = n + 2; j <= n_all; j++)
			if (is_larger(all[j], all[best]))
				best = j
		swap(n + 1, best)
	}
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && is_below(all[j], all[j - 1]); j--)
			swap(j, j - 1)
	for (i = 1; i <= n; i++)
		layer[all[i]] = i
}

# ---------------------------------- the data ----------------------------------

function end_of_snapshot(    i, sum) {
	printf "%s\t0", time > data
	for (i = 1; i <= n + 1; i++) {
		sum += height[i]
		printf "\t%.0f", sum > data
	}
	printf "\n" > data
	delete height
}

pass == 2 && FNR == 1 {
	choose()
	key = by == "type" ? $3 : $3 "\t" $4
	snapshot = $1
}
$1 != snapshot { end_of_snapshot() }
{
	snapshot = $1
	time = $2
	i = key in layer ? layer[key] : n + 1
	height[i] += $5
	if ($1 == peak_at)
		at_peak[i] += $5
	if (i > n && $5 > y_max * TOO_THIN / 4)
		has_others = 1
}

# --------------------------------- the legend ---------------------------------

function hex(text) {
	return 16 * index("123456789abcdef", substr(text, 1, 1)) + \
		index("123456789abcdef", substr(text, 2, 1))
}

# The k-th tint of a colour; 0 is itself.
function tint(colour, k,    i, tinted) {
	for (i = 1; i <= 5; i += 2)
		tinted = tinted sprintf("%02x",
			255 - (255 - hex(substr(colour, i, 2))) * 0.62 ^ k)
	return tinted
}

# Of the next area, from the lowest up.
function colour_of(type, label,    k) {
	if (label in known)
		return known[label]
	if (type == "malloc") {
		do
			k = tint(warm[n_heap % n_warm + 1], int(n_heap / n_warm))
		while (n_heap++ < 64 && k in is_taken)
		return by == "type" ? warm[2] : k
	}
	if (type != type_before)
		n_types++
	n_of_type = type == type_before ? n_of_type + 1 : 0
	type_before = type
	return tint(cool[(n_types - 1) % n_cool + 1],
		n_of_type + int((n_types - 1) / n_cool))
}

function quoted(text) {
	gsub(/["\\`]/, " ", text)
	if (length(text) > width)
		text = substr(text, 1, width - 1) "…"
	return "\"" text "\""
}

function area(i, colour, label) {
	printf "%s_colour[%d] = \"#%s\"\n", name, i, colour > script
	printf "%s_label[%d] = %s\n", name, i, quoted(label) > script
	printf "%s_bytes[%d] = \"%s\"\n", name, i, bytes_text(at_peak[i]) > script
	printf "%s\t%s\n", label, colour >> colours
}

END {
	end_of_snapshot()
	printf "array %s_colour[64]; array %s_label[64]; array %s_bytes[64]\n", name,
		name, name > script
	printf "%s_data = '%s'\n", name, data > script
	for (i = 1; i <= n; i++)
		area(i, colour_of(type_of[all[i]], label_of[all[i]]), label_of[all[i]])
	if (has_others)
		area(++n, "b8b8b8", "all others")
	printf "%s_n = %d\n", name, n > script
}
