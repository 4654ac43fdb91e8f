# SPDX-License-Identifier: MIT
#
# axes.awk - for gnuplot: the axes for one or two files of rows, and their peaks.
#
# Behind units.awk.

FNR == 1 { n_files++ }
FNR == 1 || $1 != snapshot { total = 0 }
{
	snapshot = $1
	total += $5
	if (total > peak[n_files]) {
		peak[n_files] = total
		peak_time[n_files] = $2
	}
	if (total > y_max)
		y_max = total
	if ($2 > x_max)
		x_max = $2
}

# The unit for numbers up to this one, and its name in `word`.
function unit_of(most, base, names,    i, n, word_of, size) {
	n = split(names, word_of, ",")
	size = 1
	for (i = 1; most / size >= base && i < n; i++)
		size *= base
	word = word_of[i]
	return size
}

function print_axis(axis, size, word, most) {
	printf "%s_unit = %.0f.0; %s_word = \"%s\"; %s_max = %.0f.0\n", axis, size,
		axis, word, axis, (most > 0 ? most : 1)
}

END {
	bytes = "bytes,KiB,MiB,GiB,TiB"
	size = unit_of(y_max, 1024, bytes)
	print_axis("y", size, word, y_max)
	if (unit == "ms")
		size = unit_of(x_max, 1000, "milliseconds,seconds")
	else if (unit == "B") {
		size = unit_of(x_max, 1024, bytes)
		word = word " allocated and freed"
	} else {
		size = unit_of(x_max, 1000, ",thousand ,million ,billion ")
		word = word "instructions"
	}
	print_axis("x", size, word, x_max)
	for (i = 1; i <= n_files; i++)
		printf "peak_%d = %.0f.0; peak_time_%d = %.0f.0; peak_text_%d = \"%s\"\n",
			i, peak[i], i, peak_time[i], i, bytes_text(peak[i])
}
