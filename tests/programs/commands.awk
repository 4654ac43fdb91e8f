# SPDX-License-Identifier: MIT
#
# commands.awk: commands of redis, -v n=N of them: strings, lists, hashes, sets and
# sorted sets over 20,000 keys of a kind, of which some are deleted again.  The same
# in every run.
function below(limit) {
	state = (state * 16807) % 2147483647
	return state % limit
}

function text(length_max,	n) {
	n = 1 + below(length_max)
	return substr(letters, 1 + below(1000 - n), n)
}

BEGIN {
	state = 12345
	for (i = 0; i < 1000; i++)
		letters = letters sprintf("%c", 97 + below(26))
	for (i = 0; i < n; i++) {
		kind = below(20)
		key = below(20000)
		if (kind < 6)
			print "SET s" key, text(200)
		else if (kind < 7)
			print "APPEND s" key, text(40)
		else if (kind < 9)
			print "RPUSH l" key % 2000, text(60), text(20)
		else if (kind < 10)
			print "LPOP l" key % 2000
		else if (kind < 13)
			print "HSET h" key % 3000, "f" below(200), text(80)
		else if (kind < 14)
			print "HDEL h" key % 3000, "f" below(200)
		else if (kind < 15)
			print "SADD t" key % 2000, text(12), below(1000)
		else if (kind < 17)
			print "ZADD z" key % 1000, below(10000), text(16)
		else if (kind < 18)
			print "GET s" key
		else if (kind < 19)
			print "DEL s" key, "s" below(20000)
		else
			print "LRANGE l" key % 2000, "0 -1"
	}
}
