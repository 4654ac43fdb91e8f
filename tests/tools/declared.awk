# SPDX-License-Identifier: MIT
#
# declared.awk: what public headers declare, one item a line:
#
#	function NAME PROTOTYPE     "int f(void)", without attributes
#	code NAME CODE              an error that the comment on NAME tells of
#	type NAME TYPEDEF
#	macro NAME(PARAMETERS)      function-like
#	constant NAME               another macro, or of an enum
#	member STRUCT NAME
#
# Names that begin with cubby__ or CUBBY__ are left out.
function is_ours(name) { return name !~ /^(cubby|CUBBY)__/ }

function squeeze(text) {
	gsub(/[ \t\n]+/, " ", text)
	gsub(/\* /, "*", text)
	gsub(/\( /, "(", text)
	gsub(/^ | $/, "", text)
	return text
}

function tell_codes(name,    rest, code) {
	rest = comment
	while (match(rest, /-(CUBBY_)?E[A-Z0-9]+/)) {
		code = substr(rest, RSTART + 1, RLENGTH - 1)
		rest = substr(rest, RSTART + RLENGTH)
		if (code != "CUBBY_E" && code != "E")
			print "code", name, code
	}
}

# "... name(parameters)"
function tell_function(text,    name) {
	gsub(/CUBBY_(API|MUST_USE)|static inline|__attribute__\(\([^()]*\)\)/, "", text)
	text = squeeze(text)
	name = text
	sub(/\(.*/, "", name)
	sub(/.*[ *]/, "", name)
	if (name !~ /^[a-z_]+$/ || !is_ours(name))
		return
	print "function", name, text
	tell_codes(name)
}

function tell_type(text,    name) {
	text = squeeze(text)
	name = text
	if (name ~ /\(\*/) {
		sub(/\).*/, "", name)
		sub(/.*\(\*/, "", name)
	} else
		sub(/.* /, "", name)
	if (is_ours(name))
		print "type", name, text
}

# Members of "struct x", each one's name before a ; or a , or in (*name).
function tell_members(struct, body,    n, parts, i, name, rest) {
	gsub(/\[[^]]*\]/, "", body)
	n = split(body, parts, ";")
	for (i = 1; i < n; i++) {
		name = parts[i]
		if (name ~ /\(\*/) {
			sub(/.*\(\*/, "", name)
			sub(/\).*/, "", name)
			print "member", struct, name
			continue
		}
		gsub(/[*]/, " ", name)
		sub(/^[ \t\n]+/, "", name)
		while (match(name, /[a-z_0-9]+[ \t\n]*(,|$)/)) {
			rest = substr(name, RSTART + RLENGTH)
			name = substr(name, RSTART, RLENGTH)
			sub(/[ \t\n]*,?$/, "", name)
			print "member", struct, name
			name = rest
		}
	}
}

function tell_constants(body,    n, parts, i) {
	n = split(body, parts, ",")
	for (i = 1; i <= n; i++) {
		sub(/=.*/, "", parts[i])
		parts[i] = squeeze(parts[i])
		if (parts[i] != "")
			print "constant", parts[i]
	}
}

function end_of(text) { # a declaration, without its ; or {
	if (text ~ /^[ \t\n]*typedef/)
		tell_type(text)
	else if (text ~ /\)[ \t\n]*$/)
		tell_function(text)
}

function directive(line,    name) {
	if (line !~ /^[ \t]*#[ \t]*define/)
		return
	sub(/^[ \t]*#[ \t]*define[ \t]+/, "", line)
	name = line
	sub(/[^A-Za-z0-9_].*/, "", name)
	if (!is_ours(name) || name ~ /^CUBBY_[A-Z_0-9]*_H$/)
		return
	if (substr(line, length(name) + 1, 1) == "(") {
		sub(/\).*/, ")", line)
		print "macro", squeeze(line)
	} else
		print "constant", name
}

FNR == 1 { text = body = comment = ""; depth = 0; in_comment = 0; continued = 0 }
{
	line = $0
	if (in_comment) {
		comment = comment " " line
		if (line !~ /\*\//)
			next
		in_comment = 0
		sub(/.*\*\//, "", line)
	}
	if (continued || (line ~ /^[ \t]*#/ && !in_comment)) {
		if (!continued)
			directive(line)
		continued = line ~ /\\$/
		next
	}
	while (match(line, /\/\*/)) {
		before = substr(line, 1, RSTART - 1)
		after = substr(line, RSTART + 2)
		if (depth == 0)
			comment = after
		if (after ~ /\*\//) {
			sub(/^([^*]|\*[^\/])*\*\//, "", after)
			line = before after
			continue
		}
		in_comment = 1
		line = before
	}
	for (i = 1; i <= length(line); i++) {
		c = substr(line, i, 1)
		if (c == "{" && depth++ == 0) {
			head = text
			body = ""
			if (head ~ /\)[ \t\n]*$/)
				end_of(head)
		} else if (c == "}" && --depth == 0) {
			head = squeeze(head)
			if (head ~ /^struct [a-z_]+$/ && is_ours(substr(head, 8)))
				tell_members(substr(head, 8), body)
			else if (head ~ /^enum/)
				tell_constants(body)
			text = head ~ /^(struct|enum|union)/ ? head : ""
		} else if (depth > 0)
			body = body c
		else if (c == ";") {
			end_of(text)
			text = ""
		} else
			text = text c
	}
	if (depth > 0)
		body = body "\n"
	else
		text = text "\n"
	if (text ~ /CUBBY_(BEGIN|END)_DECLS[ \t\n]*$/)
		text = ""
}
