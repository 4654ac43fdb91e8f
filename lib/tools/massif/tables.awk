# SPDX-License-Identifier: MIT
#
# tables.awk - what was live at the peak and at the end, by type and by site.
#
# Behind units.awk.  Rows are read twice.

BEGIN { TOO_SMALL = 0.0005 } # of the peak: 0.0 %

function count(table, name,    key) {
	key = table SUBSEP name
	if (!(key in most)) {
		names[table, ++n_names[table]] = name
		most[key] = 0
	}
	if (last_seen[key] != $1)
		here[key] = 0
	last_seen[key] = $1
	here[key] += $5
	if (here[key] > most[key])
		most[key] = here[key]
	if ($1 == peak_at)
		at_peak[key] += $5
	if ($1 == last)
		at_end[key] += $5
}

function line(now, share, top, end, name) {
	printf "%12s %7s %12s %12s  %s\n", now, share, top, end, name
}

function numbers(now, top, end, name) {
	line(bytes_text(now), sprintf("%.1f", peak ? 100 * now / peak : 0),
		bytes_text(top), bytes_text(end), name)
}

# Is the i-th name of a table to come before the j-th?
function is_before(table, i, j,    a, b) {
	a = table SUBSEP names[table, i]
	b = table SUBSEP names[table, j]
	if (at_peak[a] != at_peak[b])
		return at_peak[a] > at_peak[b]
	if (most[a] != most[b])
		return most[a] > most[b]
	return a < b
}

function print_table(table, title,    i, j, n, best, swap, key, n_left_out) {
	print ""
	line("at the peak", "%", "at most", "last seen", title)
	n = n_names[table]
	for (i = 1; i <= n; i++) {
		best = i
		for (j = i + 1; j <= n; j++)
			if (is_before(table, j, best))
				best = j
		swap = names[table, i]
		names[table, i] = names[table, best]
		names[table, best] = swap
		key = table SUBSEP names[table, i]
		if (most[key] >= peak * TOO_SMALL)
			numbers(at_peak[key], most[key], at_end[key],
				names[table, i])
		else
			n_left_out++
	}
	if (n_left_out > 0)
		line("", "", "", "", "(and " n_left_out " smaller)")
	numbers(peak, peak, total, "all")
}

FNR == 1 { pass++ }

pass == 1 {
	if ($1 != last)
		total = 0
	last = $1
	total += $5
	if (total > peak) {
		peak = total
		peak_at = $1
		peak_time = $2
	}
	next
}

{
	count("type", $3)
	count("site", $3 ": " $4)
}

END {
	print ENVIRON["command"]
	print ""
	print "At the peak, after " time_text(peak_time, unit) ", " \
		bytes_text(peak) " were live; in the last snapshot " bytes_text(total) "."
	print_table("type", "type")
	print_table("site", "allocated by")
}
