# SPDX-License-Identifier: MIT
#
# fields.awk: arrays, strings and regular expressions over lines of its own;
# prints what is the same in every run.
function below(limit) {
	state = (state * 16807) % 2147483647
	return state % limit
}

BEGIN {
	state = 12345
	for (line = 1; line <= 40000; line++) {
		text = ""
		for (i = 0; i < 8; i++)
			text = text sprintf("%c%d ", 97 + below(26), below(5000))
		n = split(text, part, " ")
		for (i = 1; i <= n; i++) {
			seen[part[i]]++
			at[substr(part[i], 1, 1), length(part[i])] = part[i]
		}
		gsub(/[a-m][0-9]+/, "<&>", text)
		n_marked += split(text, marked, "<") - 1
		if (line % 4000 == 0)
			for (key in seen)
				if (seen[key] > 2)
					delete seen[key]
	}
	for (key in seen)
		sum = (sum + length(key) * seen[key] * (1 + index(key, "7"))) % 1000000007
	for (key in at)
		places++
	print length(seen), places, n_marked, sum
}
