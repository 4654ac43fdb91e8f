# SPDX-License-Identifier: MIT
"""lists.py [TURNS]: objects, dicts, strings, JSON and regular expressions;
prints counts and a sum that are the same in every run."""

import collections
import json
import random
import re
import sys
import zlib


class Node:
    def __init__(self, levels, rng):
        self.value = rng.random()
        self.children = ([Node(levels - 1, rng) for _ in range(4)]
                         if levels else [])

    def count(self):
        return 1 + sum(child.count() for child in self.children)


def turn(rng, held):
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 14)))
             for _ in range(4000)]
    by_length = collections.defaultdict(list)
    for word in sorted(words, key=lambda w: (len(w), w)):
        by_length[len(word)].append({"word": word, "n": len(held)})
    text = json.dumps(by_length)
    again = json.loads(text)
    n_found = len(re.findall(r"[a-h]{2,}[i-p]+", text))
    held.append(again)
    if len(held) > 8:
        del held[rng.randrange(len(held))]
    big = 3 ** rng.randint(2000, 4000) % (2 ** 61 - 1)
    return n_found + Node(5, rng).count() + zlib.crc32(text.encode()) + big


def main():
    rng = random.Random(12345)
    held = []
    total = 0
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        total = (total * 31 + turn(rng, held)) & 0xffffffff
    print(f"{len(held)} held, sum {total:08x}")


main()
