# SPDX-License-Identifier: MIT
#
# 60,000 objects made, grouped, sorted, turned into text and parsed again.
[range(0; 60000) | {id: ., key: "k\(. * 7919 % 997)", value: (. * 104729 % 9973)}]
| group_by(.key)
| map({key: .[0].key, n: length, sum: (map(.value) | add),
	ids: (map(.id | tostring) | join(","))})
| tojson | fromjson
| sort_by(-.sum, .key)
| {n: length, first: .[:3] | map(del(.ids)), total: (map(.sum) | add),
	letters: (map(.ids | length) | add),
	digits: (map(.ids | split(",") | map(tonumber) | add) | add)}
