#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The main job for Python: the same trucks, one line of JSON, as bench/truck.

    truck.py [--n N] [--id text|integer] python-dict|python-slots

At its best: the garbage collector is off, loops are inside functions, and
the loop's own cost is measured, so that it can be taken off.  Only modules
that python3-minimal has are used.
"""
import argparse
import gc
import random
import sys
import time
import tracemalloc

DEGREE_STEP = 2.0 ** -20  # the same numbers as in truck.h
LAT_FIRST = 40.0
LAT_FIRST_SET = 30.0
LON_FIRST = -74.0
N_PASSES = 3
N_TRACED = 100000  # objects whose requested bytes tracemalloc counts


class DeliveryTruckStandard:
    def __init__(self, truck_id, lat, lon):
        self.truck_id = truck_id
        self.lat = lat
        self.lon = lon


class DeliveryTruckSlotted:
    __slots__ = ("truck_id", "lat", "lon")

    def __init__(self, truck_id, lat, lon):
        self.truck_id = truck_id
        self.lat = lat
        self.lon = lon


CLASSES = {"python-dict": DeliveryTruckStandard,
           "python-slots": DeliveryTruckSlotted}


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def kib_as_bytes(path, key):
    with open(path) as lines:
        for line in lines:
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    raise SystemExit("%s: no %s" % (path, key))


def footprint():
    return (kib_as_bytes("/proc/self/smaps_rollup", "Rss:"),
            kib_as_bytes("/proc/self/status", "VmPTE:"))


def create_text(cls, trucks):
    for i in range(len(trucks)):
        trucks[i] = cls(f"TRK-{i:07d}", LAT_FIRST + i * DEGREE_STEP,
                        LON_FIRST - i * DEGREE_STEP)


def create_integer(cls, trucks):
    for i in range(len(trucks)):
        trucks[i] = cls(i, LAT_FIRST + i * DEGREE_STEP,
                        LON_FIRST - i * DEGREE_STEP)


# The loops alone go over None: to go over the trucks would be to touch them,
# for their reference counts, and that belongs to what is measured.
def pass_over(nothing):
    for _ in nothing:
        pass


def get(visit):
    for truck in visit:
        truck.lat
    return len(visit)


def scan(trucks):
    total = 0.0
    for truck in trucks:
        total += truck.lat
    return len(trucks), total


def pass_over_pairs(nothing, lats):
    for _, _ in zip(nothing, lats):
        pass


def set_lats(visit, lats):
    for truck, lat in zip(visit, lats):
        truck.lat = lat
    return len(visit)


def number_of(truck_id):
    if isinstance(truck_id, int):
        return truck_id
    if not truck_id.startswith("TRK-"):
        raise SystemExit("a truck has lost its id")
    return int(truck_id[4:])


def add_up(trucks):
    numbers = pairs = 0
    lats = lons = 0.0
    for truck in trucks:
        number = number_of(truck.truck_id)
        numbers += number
        pairs += number * int(truck.lat / DEGREE_STEP)
        lats += truck.lat
        lons += truck.lon
    return numbers, pairs % 2 ** 64, lats, lons


def expected(n, lat_first):
    numbers = pairs = 0
    lats = lons = 0.0
    for i in range(n):
        lat = lat_first + i * DEGREE_STEP
        numbers += i
        pairs += i * int(lat / DEGREE_STEP)
        lats += lat
        lons += LON_FIRST - i * DEGREE_STEP
    return numbers, pairs % 2 ** 64, lats, lons


def timed(job, *arguments):
    start = now_ns()
    result = job(*arguments)
    return now_ns() - start, result


def fastest(job, *arguments):
    """The loop's own cost; it is taken off single measurements."""
    return min(timed(job, *arguments)[0] for _ in range(N_PASSES))


def check(operation, is_value, should_be):
    if is_value != should_be:
        raise SystemExit("%s: %r, should be %r"
                         % (operation, is_value, should_be))


def requested_bytes(cls, id_kind, n):
    """Bytes of one truck by tracemalloc: its object, values and dictionary."""
    values = [None] * n
    trucks = [None] * n
    tracemalloc.start()
    empty = tracemalloc.get_traced_memory()[0]
    for i in range(n):
        # Made anew: the loop's own i would not be counted as a value.
        truck_id = f"TRK-{i:07d}" if id_kind == "text" else i + n
        values[i] = (truck_id, LAT_FIRST + i * DEGREE_STEP,
                     LON_FIRST - i * DEGREE_STEP)
    boxes = tracemalloc.get_traced_memory()[0] - empty
    boxes -= sum(map(sys.getsizeof, values))
    start = tracemalloc.get_traced_memory()[0]
    for i in range(n):
        trucks[i] = cls(*values[i])
    whole = tracemalloc.get_traced_memory()[0] - start
    tracemalloc.stop()
    cell = sys.getsizeof(trucks[0])
    return {"object": cell, "boxes": boxes / n, "table": whole / n - cell}


def measure(cls, id_kind, n):
    create = {"text": create_text, "integer": create_integer}[id_kind]
    trucks = [None] * n
    visit = [None] * n
    lists_bytes = sys.getsizeof(trucks) + sys.getsizeof(visit)
    ns, ops, size = {}, {}, {}

    gc.collect()
    gc.disable()
    rss, page_tables = footprint()
    ns["create"], _ = timed(create, cls, trucks)
    ops["create"] = n - trucks.count(None)
    full = footprint()
    size["rss"], size["page_tables"] = full[0] - rss, full[1] - page_tables
    created = add_up(trucks)
    check("create", created, expected(n, LAT_FIRST))

    visit[:] = trucks
    random.Random(1).shuffle(visit)
    nothing = [None] * n
    ns["loop"] = fastest(pass_over, nothing)
    ns["get"], ops["get"] = timed(get, visit)
    ns["scan"], (ops["scan"], total) = timed(scan, trucks)
    check("scan", total, created[2])

    # Ready-made floats: a set then only puts one in and drops the old one.
    lats = [LAT_FIRST_SET + i * DEGREE_STEP for i in range(n)]
    ns["set_loop"] = fastest(pass_over_pairs, nothing, lats)
    ns["set"], ops["set"] = timed(set_lats, visit, lats)
    changed = add_up(trucks)
    should_be = expected(n, LAT_FIRST_SET)
    check("set", changed[:1] + changed[2:], should_be[:1] + should_be[2:])
    del lats, nothing

    # The last references go in random order, without a loop in Python.
    trucks.clear()
    ops["free"] = len(visit)
    ns["free"], _ = timed(visit.clear)
    size["left"] = max(0, footprint()[0] - rss + lists_bytes)
    return ns, ops, size, created, changed


def as_json(value):
    """json is not in python3-minimal."""
    if isinstance(value, dict):
        return "{%s}" % ",".join('"%s":%s' % (key, as_json(item))
                                 for key, item in value.items())
    return '"%s"' % value if isinstance(value, str) else str(value)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1000000)
    parser.add_argument("--id", choices=("text", "integer"), default="text")
    parser.add_argument("rival", choices=CLASSES)
    args = parser.parse_args()
    cls = CLASSES[args.rival]

    ns, ops, size, created, changed = measure(cls, args.id, args.n)
    parts = requested_bytes(cls, args.id, min(args.n, N_TRACED))
    for part, of_one in parts.items():
        size[part] = round(of_one * args.n)
    size["own"] = sum(size[part] for part in parts)
    print(as_json({
        "rival": args.rival, "id": args.id, "n": args.n, "ns": ns, "ops": ops,
        "bytes": size,
        "sums": "ids %d, pairs %d, lat %.6f, lon %.6f; set: lat %.6f"
                % (created + changed[2:3]),
        "runtime": "%s %d.%d.%d"
                   % ((sys.implementation.name,) + sys.version_info[:3]),
    }))


if __name__ == "__main__":
    main()
