# SPDX-License-Identifier: MIT
#
# truck.jq - from the lines that bench/truck printed to one result, and from
# the result to text.
#
#	jq -s 'include "truck"; summary($about)'   lines of JSON -> result
#	jq -r 'include "truck"; report'            result -> tables and notes

# ------------------------------ what there is ------------------------------

def titles: {
	"cubby": "Cubby, one by one",
	"cubby-bulk": "Cubby, 64 at a time",
	"array": "one array of structs",
	"malloc": "malloc, a struct each",
	"shared-keys": "malloc, shared keys, boxes",
	"glib": "malloc, GLib table, boxes",
	"python-slots": "Python __slots__",
	"python-dict": "Python __dict__"
};

def order: titles | keys_unsorted;

def operations: ["create", "get", "scan", "set", "free"];

# What Cubby sets out to reach in memory: the rival takes so many times more.
def targets: [
	{id: "text", rival: "glib", times: 9},
	{id: "text", rival: "python-slots", times: 5.5},
	{id: "integer", rival: "glib", times: 12},
	{id: "integer", rival: "python-slots", times: 6}
];

# A rival counts as faster than Cubby from here on: less is noise.
def clearly: 1.05;

# -------------------------------- numbers ----------------------------------

def median:
	sort | length as $n |
	if $n % 2 == 1 then .[($n - 1) / 2]
	else (.[$n / 2 - 1] + .[$n / 2]) / 2 end;

# With so many decimals: jq has no printf.
def fixed($decimals):
	pow(10; $decimals) as $scale |
	(fabs * $scale | round) as $units |
	($units / $scale | floor | tostring) as $whole |
	($units % $scale | tostring) as $part |
	(if . < 0 and $units > 0 then "-" else "" end) + $whole +
	(if $decimals == 0 then ""
	 else "." + "0" * ($decimals - ($part | length)) + $part end);

# 1000000 -> 1,000,000
def grouped:
	tostring | [while(length > 0; .[:-3]) | .[-3:]] | reverse | join(",");

def left($width): . + " " * ([0, $width - length] | max);
def right($width): " " * ([0, $width - length] | max) + .;

# --------------------------------- summary ---------------------------------

# One run: bytes and nanoseconds of one truck.  What passing over the pointers
# costs is taken off get and set.
def per_truck:
	.n as $n |
	.ns as $ns |
	{
		loop_ns: ($ns.loop / $n),
		bytes: (.bytes | map_values(. / $n)),
		ns: {
			create: ($ns.create / $n),
			get: (($ns.get - $ns.loop) / $n),
			scan: ($ns.scan / $n),
			set: (($ns.set - ($ns.set_loop // $ns.loop)) / $n),
			free: ($ns.free / $n)
		}
	} |
	.bytes.rest = .bytes.rss - .bytes.object - .bytes.boxes - .bytes.table;

# All runs of one rival -> one row.
def row:
	.[0] as $first |
	map(per_truck) as $runs |
	def over($part; f):
		$runs[0][$part] | with_entries(.key as $key |
			.value = ([$runs[][$part][$key]] | f));
	{
		id: $first.id,
		rival: $first.rival,
		title: (titles[$first.rival] // $first.rival),
		runtime: $first.runtime,
		runs: length,
		loop_ns: ($runs | map(.loop_ns) | median),
		bytes: over("bytes"; median),
		ns: over("ns"; median),
		ns_min: over("ns"; min),
		ns_max: over("ns"; max)
	};

# Too short a run can measure nothing at all: then there is no ratio.
def to_cubby($cubby):
	. as $row |
	.to_cubby = {
		bytes: ($row.bytes.rss / $cubby.bytes.rss),
		ns: ($row.ns | with_entries(.key as $key | .value |=
			if $cubby.ns[$key] > 0 then . / $cubby.ns[$key]
			else null end))
	};

# The same trucks were stored, and every operation was done n times.
def checked:
	. as $lines |
	($lines | map(.n) | unique | if length > 1
		then error("runs of different length were mixed") else . end) |
	($lines[] | . as $line | .ops | to_entries[] |
		select(.value != $line.n) |
		error("\($line.rival): \(.key): \($line.n) asked for, "
			+ "\(.value) done")),
	($lines | group_by(.id)[] |
		select(map(.sums) | unique | length > 1) |
		error("the rivals did not store the same trucks: "
			+ (map("\(.rival): \(.sums)") | unique | join("; ")))),
	$lines;

def reached($rows):
	. as $target |
	def of($rival):
		$rows[] | select(.id == $target.id and .rival == $rival);
	([of($target.rival)] | first) as $rival |
	([of("cubby")] | first) as $cubby |
	. + if $rival == null then {measured: null, met: null}
	    else ($rival.bytes.rss / $cubby.bytes.rss) as $times |
		{measured: $times, met: ($times >= .times)} end;

# What of the way from a malloc'd struct to a GLib table is boxing (as far as
# shared keys, which have the same boxes), and what is the table of each truck.
def shares($rows; $id):
	def of($rival): $rows[] | select(.id == $id and .rival == $rival);
	def way(f):
		[of("malloc"), of("shared-keys"), of("glib") | f] as $at |
		($at[2] - $at[0]) as $all |
		{
			boxing: ($at[1] - $at[0]),
			hashing: ($at[2] - $at[1]),
			boxing_share: (if $all == 0 then null
				else ($at[1] - $at[0]) / $all end)
		};
	{id: $id, bytes: way(.bytes.rss), get_ns: way(.ns.get)};

def summary($about):
	[checked] | last |
	(group_by([.id, .rival]) | map(row)) as $rows |
	($rows | map(. as $row |
		to_cubby($rows[] | select(.id == $row.id and .rival == "cubby"))
	)) as $rows |
	{
		kind: "truck",
		version: 1,
		n: .[0].n,
		about: $about,
		rows: [("text", "integer") as $id | order[] as $rival | $rows[] |
			select(.id == $id and .rival == $rival)],
		targets: [targets[] | reached($rows)],
		shares: [("text", "integer") as $id | shares($rows; $id)],
		sums: (map({key: .id, value: .sums}) | from_entries)
	};

# --------------------------------- report ----------------------------------

def rows($id): .rows[] | select(.id == $id);

def one($id; $rival): first(rows($id) | select(.rival == $rival));

def title_columns: 28;

# The columns of the memory table: heading, width, and what stands there.
def memory_columns:
	def bytes: if . < 0.05 then "-" else fixed(1) end;
	[
		["resident", 9, (.bytes.rss? // 0 | fixed(1))],
		["/ Cubby", 9, (.to_cubby.bytes? // 0 | fixed(2) + "x")],
		["own count =", 13, (.bytes.own? // 0 | fixed(1))],
		["object +", 9, (.bytes.object? // 0 | bytes)],
		["boxes +", 8, (.bytes.boxes? // 0 | bytes)],
		["table", 7, (.bytes.table? // 0 | bytes)],
		["page tables", 13, (.bytes.page_tables? // 0 | fixed(2))],
		["after free", 12, (.bytes.left? // 0 | fixed(1))]
	];

def memory_head:
	("bytes a truck" | left(title_columns)) +
	([memory_columns[] | . as $column | $column[0] | right($column[1])] |
		add);

def memory_line:
	(.title | left(title_columns)) +
	([memory_columns[] | . as $column | $column[2] | right($column[1])] |
		add);

def time_line:
	. as $row |
	(.title | left(title_columns)) +
	(operations | map(
		($row.ns[.] | fixed(1)) + ($row.to_cubby.ns[.] |
			if . == null then "(-)"
			else "(\(fixed(if . < 0.1 then 3 else 2 end))x)" end |
			right(10)) |
		right(16)) | add);

def time_head:
	("ns a truck (/ Cubby)" | left(title_columns)) +
	(operations | map(right(16)) | add);

def kinds: {
	text: "text id, 32 bytes as a C struct",
	integer: "integer id, 24 bytes as a C struct"
};

def runs:
	.about.runs |
	if . == 1 then "one run, a process for each rival"
	else "medians of \(.) runs, a process each, in random order" end;

# The rivals that beat Cubby's single calls, for each operation.
def losses($id):
	one($id; "cubby").ns as $single |
	one($id; "cubby-bulk").ns as $bulk |
	[rows($id) | select(.rival | startswith("cubby") | not)] as $rivals |
	operations[] as $operation |
	[$rivals[] | {title, ns: .ns[$operation]} |
		select(.ns * clearly < $single[$operation])] |
	select(length > 0) |
	"\($operation): \($single[$operation] | fixed(1)) ns one by one, " +
	"\($bulk[$operation] | fixed(1)) in bulk, against " +
	(sort_by(.ns) | map("\(.ns | fixed(1)) \(.title)") | join("; "));

def smaller($id):
	one($id; "cubby") as $cubby |
	rows($id) |
	select(.rival | startswith("cubby") | not) |
	select(.bytes.rss < $cubby.bytes.rss) |
	"bytes: \($cubby.bytes.rss | fixed(2)) against " +
	"\(.bytes.rss | fixed(2)) \(.title)";

def target_line:
	"  \(.id | left(8)) Cubby <= 1/\(.times) of \(titles[.rival]): " +
	if .met == null then "not measured"
	else "1/\(.measured | fixed(1)): " +
		if .met then "met" else "MISSED" end end;

def share_line:
	def percent: if . == null then "" else " (\(. * 100 | fixed(0)) %)" end;
	def way($unit):
		"\(.boxing | fixed(1)) \($unit) boxing" +
		"\(.boxing_share | percent), " +
		"\(.hashing | fixed(1)) \($unit) the table" +
		"\(.boxing_share | if . == null then . else 1 - . end | percent)";
	"\(.id | left(8)) memory: \(.bytes | way("B")); " +
	"get: \(.get_ns | way("ns"))";

# Fold at word ends; the first line begins with $first, the others with $rest.
def folded($first; $rest):
	108 as $width |
	reduce (splits(" ")) as $word ([];
		if length == 0 then [$first + $word]
		elif (.[-1] | length) + 1 + ($word | length) > $width
		then . + [$rest + $word]
		else .[-1] += " " + $word end) | .[];

def loop_costs:
	def of(f): [rows("text") | select(.rival | f) | .loop_ns] |
		select(length > 0) | max | fixed(1);
	[(of(startswith("python") | not) + " ns in C"),
	 (of(startswith("python")) + " in Python")] | join(", ");

def notes:
	"Get, set and free go through all objects in one random order, the "
	+ "same for all; scan goes in order of creation or of memory.",
	"Create includes writing the values, the text of the id too, and the "
	+ "page faults. What passing over the pointers costs, measured in each "
	+ "run (\(loop_costs)), is taken off get and set and off nothing else.",
	"Resident: growth of Rss in smaps_rollup; the arrays of pointers were "
	+ "populated before. Own count: cubby_cache_stats_snapshot (live cells "
	+ "and bookkeeping), mallinfo2, tracemalloc (bytes asked for).",
	"Rivals at their best: names interned; a GLib truck is its table, "
	+ "which GLib cannot be told the size of; C boxes are overwritten in "
	+ "place; Python has its collector off, its new floats ready made, and "
	+ "drops its last references in one list.clear().",
	"All C rivals use glibc's malloc. GLib's tables are smaller in a "
	+ "program linked with -no-pie, whose pointers fit in 32 bits.",
	"Arrays are freed whole: an array cannot free one truck.";

# What was measured with which version of what.
def versions:
	"Linux \(.about.kernel)",
	.about.libc,
	([.about.compiler, .about.cflags] | map(select(. != "")) | join(" ")),
	"GLib \(.about.glib)",
	first(.rows[] | select(.rival == "python-slots") | .runtime);

def machine_line:
	"\(.about.cpu), \(.about.cores) cores; \([versions] | join(", ")); "
	+ (.about | "commit \(.commit); "
		+ "transparent_hugepage=\(.transparent_hugepage); load \(.load)");

def report:
	. as $result |
	(("text", "integer") as $id |
		"",
		"\(.n | grouped) trucks, \(kinds[$id]); \(runs)",
		"",
		memory_head,
		(rows($id) | memory_line),
		"",
		time_head,
		(rows($id) | time_line)),
	"",
	"Targets (resident bytes)",
	(.targets[] | target_line),
	"",
	"From a malloc'd struct to a GLib table: boxing is the way to boxes "
	+ "under shared keys, the table the rest",
	(.shares[] | share_line | folded("  "; "           ")),
	"",
	"Where Cubby loses (text id)",
	(smaller("text"), losses("text") | folded("  "; "    ")),
	"",
	"How it was measured",
	((notes, .about.skipped[], machine_line) | folded("- "; "  "));

# The last line of scripts/quickstart.
def one_line:
	one("text"; "cubby") as $cubby |
	(.targets | map(select(.met != null))) as $measured |
	"\(.n | grouped) trucks: \($cubby.bytes.rss | fixed(1)) B each in Cubby"
	+ ([("glib", "python-slots") as $rival | one("text"; $rival) |
		", \(.bytes.rss | fixed(1)) B (\(.to_cubby.bytes | fixed(1))x) "
		+ (if .rival == "glib" then "with a GLib table"
		   else "with \(.title)" end)] | add)
	+ "; \($measured | map(select(.met)) | length) of "
	+ "\($measured | length) memory targets met";
