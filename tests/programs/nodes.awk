# SPDX-License-Identifier: MIT
#
# nodes.awk: an XML document of -v n=N elements below N / 10 others, with attributes,
# texts, comments and character data.
BEGIN {
	print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<nodes>"
	for (i = 0; i < n; i++) {
		if (i % 10 == 0)
			printf "<group id=\"g%d\" kind=\"%s\">\n", i / 10, i % 3 ? "odd" : "third"
		printf " <node id=\"n%d\" value=\"%d\">text %d &amp; <b>more</b>", \
			i, i * 7919 % 1009, i
		if (i % 7 == 0)
			printf "<!-- a comment of node %d -->", i
		if (i % 11 == 0)
			printf "<![CDATA[<raw> %d]]>", i
		print "</node>"
		if (i % 10 == 9)
			print "</group>"
	}
	print "</nodes>"
}
