# SPDX-License-Identifier: MIT
#
# units.awk - numbers as people read them; before others.

function in_units(n, base, names,    i, last, name) {
	last = split(names, name, ",")
	for (i = 1; n >= base && i < last; i++)
		n /= base
	return sprintf(i > 1 && n < 99.95 ? "%.1f %s" : "%.0f %s", n, name[i])
}

function bytes_text(n) {
	return in_units(n, 1024, "B,KiB,MiB,GiB,TiB")
}

function time_text(n, unit) {
	if (unit == "ms")
		return in_units(n, 1000, "milliseconds,seconds")
	if (unit == "B")
		return bytes_text(n) " allocated and freed"
	return in_units(n, 1000, ",thousand,million,billion") " instructions"
}
