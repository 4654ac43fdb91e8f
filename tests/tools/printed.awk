# SPDX-License-Identifier: MIT
#
# printed.awk: what the library writes to standard error, without what is filled in:
# of each string that goes into a report or another line for people, the pieces
# between its conversions that are words, one a line.

# The strings from `at` to the end of the call, or of the statement; neighbours are
# one string.  No string here is longer than AHEAD.
function strings(at,    AHEAD, depth, c, string, rest) {
	AHEAD = 400
	for (depth = 0;; at++) {
		rest = substr(whole, at, AHEAD)
		if (match(rest, /^[ \t\n]+/)) {
			at += RLENGTH
			rest = substr(whole, at, AHEAD)
		}
		c = substr(rest, 1, 1)
		if (c == "\"") {
			match(rest, /^"([^"\\]|\\.)*"/)
			string = string substr(rest, 2, RLENGTH - 2)
			at += RLENGTH - 1
			continue
		}
		tell(string)
		string = ""
		if (c == "(")
			depth++
		if (c == "" || (c == ")" && --depth == 0) || (c == ";" && depth <= 0))
			return
	}
}

function tell(string,    n, parts, i) {
	gsub(/\\n/, "\n", string)
	gsub(/\\"/, "\"", string)
	gsub(/%[-#0-9.]*(l|z|h)*[a-zA-Z]/, "\n", string)
	n = split(string, parts, "\n")
	for (i = 1; i <= n; i++) {
		gsub(/^ +| +$/, "", parts[i])
		if (length(parts[i]) >= 6 && parts[i] ~ /[a-z] [^a-z]*[a-z]/)
			print parts[i]
	}
}

function search(regex,    at) {
	for (at = 1; match(substr(whole, at), regex);) {
		at += RSTART + RLENGTH - 1
		strings(at - 1)
	}
}

function tell_file() {
	search("(cubby__report_(misuse|open|more)|MISUSE_ROW|fprintf)[(]")
	search("(cubby__finding_report|report_damage|tell_event)[(]")
	if (whole ~ /STDERR_FILENO|cubby__os_write/)
		search("cubby__text_printf[(]")
	# Tables of texts, and a function that returns one.
	search("const char [*]const [a-z_]+[[][]] = ")
	search("return cache != NULL && cache->front")
}

FNR == 1 && NR > 1 { tell_file(); whole = "" }
{ whole = whole $0 "\n" }
END { tell_file() }
