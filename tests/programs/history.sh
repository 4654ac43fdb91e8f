#!/bin/bash
# SPDX-License-Identifier: MIT
#
# history.sh FOLDER: a git repository of 120 commits of 60 files, the same in every
# run.
set -eu
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=A \
	GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
awk 'BEGIN {
	for (i = 1; i <= 120; i++) {
		print "commit refs/heads/main"
		print "committer A <a@b> " 1600000000 + i * 1000 " +0000"
		message = "commit " i
		print "data " length(message) "\n" message
		for (j = 0; j < 60; j++) {
			if (i > 1 && (i * 31 + j * 17) % 5)
				continue
			text = ""
			for (k = 0; k < 200; k++)
				text = text "line " k " of " j " as of " \
					(k % 40 ? 0 : i) "\n"
			print "M 100644 inline dir" j % 7 "/file" j
			print "data " length(text) "\n" text
		}
	}
}' > "$1.import"
git init -q -b main "$1"
git -C "$1" fast-import --quiet < "$1.import"
git -C "$1" reset -q --hard main
rm "$1.import"
