# SPDX-License-Identifier: MIT
"""What the goals of run-bench share: processes, numbers of turns, the table."""

import json
import math
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
KIB = 1024
MIB = 1024 * KIB

# The goal M1, on which M2 stands.
M1_SIZES = (8, 16, 24, 32, 40, 72, 104, 200, 512, 1024)
M1_QUICK_SIZES = (8, 9, 24, 25, 40, 100, 200)
M1_FACTOR = 1.01
M1_EXTRA_BYTES = 0.25

# The shared objects that ldconfig has to know for a rival to take part.
MALLOCS = {
    "glibc": None,
    "jemalloc": "libjemalloc.so.",
    "mimalloc": "libmimalloc.so.",
    "tcmalloc": "libtcmalloc_minimal.so.",
}

S5_PROGRAM = "bench_threads"
UNSURE = "unsure"


def fail(text):
    print(f"run-bench: {text}", file=sys.stderr)
    sys.exit(1)


def output_of(*command, env=None):
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, cwd=ROOT, env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.strip() if done.returncode == 0 else ""


def commit():
    name = output_of("git", "rev-parse", "--short=12", "HEAD") or "none"
    dirty = output_of("git", "status", "--porcelain")
    return name + ("-dirty" if dirty else "")


def find_mallocs(folder):
    """Name to path, None for glibc; a rival that is not here is named."""
    if folder:
        known = "\n".join(f"{path.name} () => {path.resolve()}"
                          for path in sorted(pathlib.Path(folder).iterdir()))
    else:
        known = output_of("/sbin/ldconfig", "-p")
    found = {}
    for name, prefix in MALLOCS.items():
        match = prefix and re.search(
            rf"^\s*{re.escape(prefix)}\S* .*=> (\S+)$", known, re.M)
        if prefix and not match:
            print(f"skipped: {name} is not installed ({prefix}*)")
            continue
        found[name] = match.group(1) if prefix else None
    return found


class Runs:
    """Starts bench programs and keeps what they answered."""

    def __init__(self, args, out):
        self.args = args
        self.out = out
        self.bin = ROOT / args.build / "bench"
        self.commit = commit()
        self.mallocs = find_mallocs(args.mallocs)

    def execute(self, label, program, pattern, malloc, repetitions, more=None):
        """
        One process: what it left in LABEL.json.

        @malloc: which it has to be; preloaded, if it is one of the rivals.
        @more: what the environment gets besides.
        """
        path = self.out / f"{label}.json"
        env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        if self.mallocs.get(malloc):
            env["LD_PRELOAD"] = self.mallocs[malloc]
        env.update(more or {})
        command = [
            str(self.bin / program), f"--benchmark_filter={pattern}",
            f"--benchmark_repetitions={repetitions}",
            "--benchmark_enable_random_interleaving=true",
            "--benchmark_display_aggregates_only=true",
            f"--benchmark_context=commit={self.commit}",
            f"--benchmark_out={path}", "--benchmark_out_format=json"]
        if program == S5_PROGRAM and self.args.cores:
            command.append(f"--cores={self.args.cores}")
        with open(self.out / f"{label}.log", "w") as log:
            done = subprocess.run(command, env=env, stdout=log, stderr=log)
        if done.returncode != 0:
            fail(f"{program} failed; see {path.with_suffix('.log')}")
        result = json.loads(path.read_text())
        if result["context"]["malloc"] != malloc:
            fail(f"{label}: the malloc was {result['context']['malloc']}")
        return result

    def run(self, label, program, pattern, malloc="glibc", repetitions=None):
        """The runs that match: {name: [one dict a repetition]}."""
        print(f"  {label}", flush=True)
        return by_name(self.execute(label, program, pattern, malloc,
                                    repetitions or self.args.repetitions))

    def run_turns(self, goal, program, own=("cubby",), n_turns=None,
                  cases="", on_mallocs=None):
        """
        Every rival once a turn: {rival: {case: [one dict a turn]}}, and all
        turns of a rival in one file.

        @own: what the process of Cubby measures, each in a child of its own;
        each is a rival then, but those that this machine does not have.
        @on_mallocs: what the process of each malloc measures; itself, if None.
        """
        n_turns = n_turns or self.args.repetitions
        results = {}
        for turn in range(n_turns):
            print(f"  {goal}, turn {turn + 1} of {n_turns}", flush=True)
            rivals = ["cubby"] + list(self.mallocs if on_mallocs != () else ())
            random.shuffle(rivals)
            for rival in rivals:
                is_cubby = rival == "cubby"
                names = "|".join(own if is_cubby else on_mallocs or [rival])
                results.setdefault(rival, []).append(self.execute(
                    f"{goal}-{rival}", program, f"^{goal}/({names})/{cases}",
                    "glibc" if is_cubby else rival, 1))
        found = {}
        for rival, turns in results.items():
            merged = merge_turns(turns)
            (self.out / f"{goal}-{rival}.json").write_text(
                json.dumps(merged, indent=2) + "\n")
            for name, runs in by_name(merged).items():
                _, who, case = name.split("/")
                if on_mallocs and rival != "cubby":
                    who += "+" + rival
                found.setdefault(who, {})[case] = runs
        return found


def by_name(result):
    runs = {}
    for run in result["benchmarks"]:
        if run["run_type"] == "iteration":
            # What follows are the options of the measurement.
            name = "/".join(run["run_name"].split("/")[:3])
            runs.setdefault(name, []).append(run)
    return runs


def merge_turns(turns):
    """As if they were the repetitions of one process."""
    merged = dict(turns[0], benchmarks=[])
    for i, turn in enumerate(turns):
        for run in turn["benchmarks"]:
            run.update(repetitions=len(turns), repetition_index=i)
            merged["benchmarks"].append(run)
    merged["benchmarks"].sort(key=lambda run: run["name"])
    return merged


def median(runs, field):
    return statistics.median(run[field] for run in runs)


def variation(runs, field):
    values = [run[field] for run in runs]
    return (statistics.stdev(values) / statistics.mean(values)
            if len(values) > 1 else 0)


def interval(values):
    """Holds the median with 95 % confidence; all of them if they are few."""
    ordered = sorted(values)
    n = len(ordered)
    outside = 0
    cut = 0
    while cut < n // 2:
        outside += 2 * math.comb(n, cut) / 2 ** n
        if outside > 0.05:
            break
        cut += 1
    cut = max(cut - 1, 0)
    return ordered[cut], ordered[n - 1 - cut]


def is_at_most(values, target):
    """Of their median; unsure if that may as well be on the other side."""
    low, high = interval(values)
    if low <= target < high:
        return UNSURE
    return high <= target


class Ratio:
    """Of one rival's runs to another's, turn by turn."""

    def __init__(self, runs, others, field, least=1):
        self.turns = [a[field] / max(b[field], least)
                      for a, b in zip(runs, others)]
        self.median = statistics.median(self.turns)

    def __str__(self):
        low, high = interval(self.turns)
        return f"({low:.2f} .. {high:.2f})"

    def is_at_most(self, target):
        return is_at_most(self.turns, target)


def least(found, case, field, rivals):
    """The rival whose median is the lowest."""
    return min(rivals, key=lambda r: median(found[r][case], field))


class Report:
    """Rows of the final table."""

    def __init__(self):
        self.rows = []

    def add(self, goal, what, value, target="", is_met=None, by=""):
        verdict = {None: "", True: "met", False: "MISSED",
                   UNSURE: "too noisy to say"}[is_met]
        self.rows.append(dict(goal=goal, what=what, value=value, by=by,
                              target=target, verdict=verdict))

    def print(self):
        heads = ("goal", "what", "value", "by", "target", "verdict")
        table = [heads] + [tuple(r[h] for h in heads) for r in self.rows]
        widths = [max(len(line[i]) for line in table)
                  for i in range(len(heads))]
        for line in table:
            print("  ".join(cell.ljust(width) for cell, width
                            in zip(line, widths)).rstrip())

    def one_line(self):
        """How many targets are met, and which are not."""
        by_verdict = {}
        for row in self.rows:
            by_verdict.setdefault(row["verdict"], []).append(row)
        missed = [f"{row['goal']} {row['what']}"
                  for row in by_verdict.get("MISSED", [])]
        return (f"{len(by_verdict.get('met', []))} targets met, "
                f"{len(missed)} missed, "
                f"{len(by_verdict.get('too noisy to say', []))} too noisy "
                f"to say{'; missed: ' if missed else ''}"
                f"{'; '.join(missed)}")
