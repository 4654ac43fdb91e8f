# SPDX-License-Identifier: MIT
"""memcached.py SOCKET: sets, reads, appends, counts and deletes over two
connections; exits with 1 at the first wrong answer."""

import random
import socket
import sys

N_KEYS = 20000


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rwb")

    def ask(self, *lines):
        self.file.write(b"".join(line + b"\r\n" for line in lines))
        self.file.flush()
        return self.file.readline().rstrip(b"\r\n")

    def get(self, key):
        answer = self.ask(b"get " + key)
        if answer == b"END":
            return None
        value = self.file.read(int(answer.split()[3]) + 2)[:-2]
        assert self.file.readline() == b"END\r\n"
        return value


def main():
    rng = random.Random(12345)
    one, other = Client(sys.argv[1]), Client(sys.argv[1])
    known = {}
    for _ in range(3 * N_KEYS):
        key = b"key%d" % rng.randrange(N_KEYS)
        kind = rng.randrange(4)
        if kind < 2:
            known[key] = b"%d " % rng.randrange(1000) * rng.randrange(1, 300)
            answer = one.ask(b"set %s 0 0 %d" % (key, len(known[key])),
                             known[key])
            assert answer == b"STORED", answer
        elif kind == 2:
            value = other.get(key)
            assert value == known.get(key), key
        else:
            answer = other.ask(b"delete " + key)
            was = known.pop(key, None)
            assert answer == (b"NOT_FOUND" if was is None else b"DELETED")
    assert one.ask(b"set n 0 0 1", b"0") == b"STORED"
    for i in range(1, 1000):
        assert other.ask(b"incr n 3") == b"%d" % (3 * i)
    for key, value in sorted(known.items()):
        assert one.get(key) == value, key
    print(f"{len(known)} keys, all right")


main()
