# SPDX-License-Identifier: MIT
"""The goals of run-bench that are about weak handles: S7, S8, S9, M2, M6."""

import re
import statistics

from bench_runs import (M1_EXTRA_BYTES, M1_FACTOR, M1_QUICK_SIZES, M1_SIZES,
                        MIB, Ratio, interval, is_at_most, least, median)

M2_SIDE_BYTES = 4.1
M2_WORD_BYTES = 8
S7_POINTER_MAX = 3.5
S7_LFHT_MAX = 1 / 7
S7_WEAK_PTR_MAX = 0.5
S8_RATIO_MAX = 0.8
S9_NS_MAX = 20
S9_RATIO_MAX = 0.25
# Of the limit, and one magazine: who frees waits for the thread that reclaims, if
# there is one, and allocations fail above twice the limit.
M6_MAX = 1.01
M6_MAX_ALONE = 2.01
# Bytes vary little.
BYTES_TURNS = 3


# -------------------------------- S7 to S9 ----------------------------------

S7_OWN = ("pointer", "cubby", "cubby-pair", "cubby-counted", "cubby-copy",
          "lfht", "lfht-pair", "gweakref")
S8_OWN = ("cubby-strong", "cubby-both", "gweakref")
PATTERNS = {"random": "1,000,000 at random", "hot": "256, over and over"}


def fastest_on(found, who, case, field):
    """The malloc on which a rival is at its best: WHO+MALLOC."""
    return least(found, case, field, [r for r in found
                                      if r.startswith(who + "+")])


def add_follow(report, goal, found, field, what, pairs):
    """@pairs: (who, against whom, target or None)."""
    for who, other, target in pairs:
        ratio = Ratio(found[who]["follow"], found[other]["follow"], field,
                      least=0.001)
        report.add(goal, f"{who}, {what}",
                   f"{median(found[who]['follow'], field):.2f} ns, "
                   f"{ratio.median:.2f} x {other} {ratio}",
                   f"<= {target:.3g} x" if target else "",
                   ratio.is_at_most(target) if target else None, "clock")
    medians = {who: median(cases["follow"], field)
               for who, cases in found.items()}
    report.add(goal, f"{what}: all",
               ", ".join(f"{who} {medians[who]:.2f}" for who in
                         sorted(medians, key=medians.get)), by="clock")


def add_popular(report, goal, found):
    """What one object costs a thread if all CPUs follow it."""
    for who in sorted(found):
        turns = found[who]["follow"]
        ratios = [run["ns_popular_all"] / run["ns_popular"] for run in turns]
        low, high = interval(ratios)
        report.add(goal, f"{who}, one popular object: ns a thread",
                   f"{median(turns, 'ns_popular'):.2f} on 1, "
                   f"{median(turns, 'ns_popular_all'):.2f} on "
                   f"{turns[0]['n_cpus']:.0f}, "
                   f"{statistics.median(ratios):.2f} x "
                   f"({low:.2f} .. {high:.2f})", by="clock")


def run_s7(runs, report):
    found = runs.run_turns("S7", "bench_weak", S7_OWN,
                           on_mallocs=("weak-ptr",))
    for pattern, what in PATTERNS.items():
        field = f"ns_{pattern}"
        weak_ptr = fastest_on(found, "weak-ptr", "follow", field)
        add_follow(report, "S7", found, field, what,
                   (("cubby", "pointer", S7_POINTER_MAX),
                    ("cubby", "lfht", S7_LFHT_MAX),
                    ("cubby", weak_ptr, S7_WEAK_PTR_MAX),
                    ("cubby-pair", "pointer", None),
                    ("cubby-pair", "lfht-pair", None),
                    ("cubby-pair", weak_ptr, None),
                    ("cubby-counted", "pointer", None),
                    ("cubby-copy", "pointer", None)))
    add_popular(report, "S7", found)


def run_s8(runs, report):
    found = runs.run_turns("S8", "bench_weak", S8_OWN,
                           on_mallocs=("weak-ptr",))
    for pattern, what in PATTERNS.items():
        field = f"ns_{pattern}"
        weak_ptr = fastest_on(found, "weak-ptr", "follow", field)
        add_follow(report, "S8", found, field, what,
                   [(who, weak_ptr, S8_RATIO_MAX)
                    for who in S8_OWN[:2]])
    add_popular(report, "S8", found)


def run_s9(runs, report):
    found = runs.run_turns("S9", "bench_weak_lives",
                           ("cubby-.*", "lfht", "weak-ptr"),
                           on_mallocs=("call-rcu",))
    field = "ns_per_life"
    fastest = fastest_on(found, "call-rcu", "life", field)
    for who, cases in sorted(found.items()):
        turns = cases["life"]
        is_deferred = re.match("cubby-.*-(thread|poll)", who)
        value = (f"{median(turns, field):.1f} ns, "
                 f"{median(turns, field + '_settled'):.1f} until all ended, "
                 f"{median(turns, 'cpu_ns_per_life'):.1f} of CPU time")
        if turns[0]["n_waiting_peak"]:
            value += f", {median(turns, 'n_waiting_peak'):,.0f} waited"
        if "label" in turns[0]:
            value += f", {turns[0]['label']}"
        report.add("S9", f"{who}, a life", value,
                   f"<= {S9_NS_MAX} ns" if is_deferred else "",
                   is_at_most([run[field] for run in turns], S9_NS_MAX)
                   if is_deferred else None, "clock")
        if is_deferred:
            ratio = Ratio(turns, found[fastest]["life"], field)
            report.add("S9", f"{who}, against {fastest}",
                       f"{ratio.median:.2f} x {ratio}",
                       f"<= {S9_RATIO_MAX} x",
                       ratio.is_at_most(S9_RATIO_MAX), "clock")


# --------------------------------- M2, M6 -----------------------------------

M2_OWN = ("cubby-plain", "cubby", "cubby-reuse", "cubby-strong", "cubby-both",
          "gweakref")
M2_COUNTED = ("cubby-strong", "cubby-both")


def m2_target(who, size):
    """At most so many bytes an object, or None."""
    if who in M2_COUNTED:
        # Cells of counted objects are multiples of their word.
        size = -(-(size + M2_WORD_BYTES) // M2_WORD_BYTES) * M2_WORD_BYTES
        return M1_FACTOR * size + M1_EXTRA_BYTES
    if who in ("cubby", "cubby-reuse"):
        return M1_FACTOR * size + M1_EXTRA_BYTES + M2_SIDE_BYTES
    return None


def m2_words(who):
    return ("<= M1 of the size + 8 B" if who in M2_COUNTED else
            f"<= M1 + {M2_SIDE_BYTES} B")


def run_m2(runs, report):
    sizes = M1_QUICK_SIZES if runs.args.quick else M1_SIZES
    found = runs.run_turns(
        "M2", "bench_weak_bytes", M2_OWN, on_mallocs=("weak-ptr",),
        n_turns=1 if runs.args.quick else BYTES_TURNS,
        cases=f"bytes:({'|'.join(map(str, sizes))})/")
    for who, cases in sorted(found.items()):
        rss = {size: median(cases[f"bytes:{size}"], "rss_per_object")
               for size in sizes}
        over = {size: rss[size] - m2_target(who, size) for size in sizes
                if m2_target(who, size)}
        report.add("M2", f"{who}: bytes an object at "
                   f"{' '.join(map(str, sizes))}",
                   " ".join(f"{rss[size]:.1f}" for size in sizes),
                   f"{m2_words(who)} ({max(over.values()):+.2f} B)"
                   if over else "",
                   max(over.values()) <= 0 if over else None, "RSS")


def run_m6(runs, report):
    found = runs.run_turns("M6", "bench_weak_lives", (".*",), on_mallocs=(),
                           n_turns=1 if runs.args.quick else BYTES_TURNS)
    for case in ("reader", "stall"):
        for who, cases in sorted(found.items()):
            turns = cases[case]
            target = (M6_MAX if who.endswith("-thread") and case == "reader"
                      else M6_MAX_ALONE)
            limit = turns[0]["limit_bytes"]
            ratios = [run["waiting_peak_bytes"] / limit for run in turns]
            is_goal = who.startswith("cubby")
            report.add(
                "M6", f"{who}, {case}: most that waited",
                f"{max(ratios) * limit / MIB:.1f} MiB, {max(ratios):.2f} x "
                f"the limit; RSS above start "
                f"{median(turns, 'rss_above_bytes') / MIB:.1f} MiB; "
                f"{median(turns, 'n_lives') / 1e6:.1f} M lives, "
                f"{median(turns, 'n_refused'):.0f} refusals, "
                f"{median(turns, 'n_overruns'):.0f} over-runs, longest turn "
                f"{median(turns, 'longest_turn_ms'):.1f} ms",
                f"<= {target} x" if is_goal else "",
                max(ratios) <= target if is_goal else None, "its counts, RSS")
