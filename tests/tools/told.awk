# SPDX-License-Identifier: MIT
#
# told.awk: what manual pages tell of, one item a line; PAGE is a file's name:
#
#	name PAGE NAME              in its NAME section
#	function PAGE NAME PROTOTYPE
#	macro PAGE NAME(PARAMETERS)
#	type PAGE NAME TYPEDEF      these in its SYNOPSIS
#	code PAGE CODE              in its ERRORS
#	call PAGE NAME              .Fn, anywhere
#	member PAGE NAME            .Fa, anywhere
#	constant PAGE NAME          .Dv, .Va or .Er, anywhere
#	struct PAGE NAME            .Vt, anywhere
#	reference PAGE NAME SECTION
#
# and "fault PAGE:LINE: TEXT" for what it does not understand.

# Arguments of a macro line, without its quotes, in args[1 ..]; their number.
function split_args(line,    n) {
	delete args
	sub(/^\.[A-Za-z]+[ \t]*/, "", line)
	while (line != "") {
		if (line ~ /^"/) {
			match(line, /^"[^"]*"/)
			if (RLENGTH < 0) {
				print "fault", page ":" FNR ": a quote has no end"
				return n
			}
			args[++n] = substr(line, 2, RLENGTH - 2)
		} else {
			match(line, /^[^ \t]+/)
			args[++n] = substr(line, 1, RLENGTH)
		}
		line = substr(line, RLENGTH + 1)
		sub(/^[ \t]+/, "", line)
	}
	return n
}

function tell_call(name, parameters) {
	if (result == "")
		print "macro", page, name "(" parameters ")"
	else {
		result = result " "
		gsub(/\* /, "*", result)
		print "function", page, name, result name "(" parameters ")"
	}
	result = ""
}

# Of a SYNOPSIS.
function synopsis(    n, i, parameters, name) {
	if ($1 == ".Ft") {
		split_args($0)
		result = args[1]
		for (i = 2; i in args; i++)
			result = result " " args[i]
	} else if ($1 == ".Fn") {
		n = split_args($0)
		for (i = 2; i <= n; i++)
			parameters = parameters (i > 2 ? ", " : "") args[i]
		tell_call(args[1], parameters)
	} else if ($1 == ".Fo") {
		called = $2
		list = ""
	} else if ($1 == ".Fa" && called != "") {
		n = split_args($0)
		for (i = 1; i <= n; i++)
			list = list (list != "" ? ", " : "") args[i]
	} else if ($1 == ".Fc") {
		tell_call(called, list)
		called = ""
	} else if ($1 == ".Vt") {
		split_args($0)
		typedef = typedef " " args[1]
		if (typedef !~ /;$/)
			return
		gsub(/[ \t]+/, " ", typedef)
		sub(/^ /, "", typedef)
		sub(/;$/, "", typedef)
		name = typedef
		if (name ~ /\(\*/) {
			sub(/\).*/, "", name)
			sub(/.*\(\*/, "", name)
		} else
			sub(/.* /, "", name)
		print "type", page, name, typedef
		typedef = ""
	}
}

# Words behind a macro, as far as the next one that begins with a capital.
function words(macro, kind,    i, on, word) {
	for (i = 1; i <= NF; i++) {
		word = $i
		sub(/^\./, "", word)
		if (i == 1 && $i !~ /^\./)
			return
		if (word ~ /^(Dv|Va|Er|Fa|Fn|Vt|Ns|No|Pq|Po|Pc|Ta|It|Bq|Ar|Cm|Xo)$/)
			on = word == macro
		else if (on) {
			sub(/^-/, "", word)
			if (word ~ /^[A-Za-z_0-9]+$/)
				print kind, page, word
		}
	}
}

FNR == 1 {
	page = FILENAME
	sub(/.*\//, "", page)
	section = ""
}
/^\.Sh / {
	section = substr($0, 5)
	next
}
section == "NAME" && $1 == ".Nm" { print "name", page, $2 }
section == "SYNOPSIS" && page ~ /\.3$/ { synopsis() }
section == "ERRORS" && $1 == ".It" { words("Er", "code") }
$1 == ".Fn" || $1 == ".It" && $2 == "Fn" {
	for (i = 1; i < NF; i++)
		if ($i ~ /^\.?Fn$/)
			print "call", page, $(i + 1)
}
$1 == ".Xr" || $1 == ".Pq" && $2 == "Xr" || $1 == ".It" && $2 == "Xr" {
	for (i = 1; i < NF; i++)
		if ($i ~ /^\.?Xr$/)
			print "reference", page, $(i + 1), $(i + 2)
}
section != "SYNOPSIS" {
	words("Fa", "member")
	words("Dv", "constant")
	words("Va", "constant")
	words("Er", "constant")
	if (match($0, /Vt .*struct [a-z_]+/)) {
		name = substr($0, RSTART, RLENGTH)
		sub(/.*struct /, "", name)
		print "struct", page, name
	}
}
