# SPDX-License-Identifier: MIT
"""The goals of run-bench that are about watched caches: D1, D2."""

import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess

from bench_runs import (MIB, Ratio, by_name, fail, interval, is_at_most,
                        median, merge_turns, output_of)

D1_FZP_NS_MAX = 100
D1_BEFORE_MAX = 1.03
D2_GUARD_MAX = 1.01
# One allocation of so many has pages of its own.
GUARD_EVERY = 100000
GUARD = f"guard={GUARD_EVERY}"
QUARANTINE = "FZP+quarantine=1M"
NOTHING = "nothing"
BEFORE = "before"

BASE = "64B-1-pair"
LIVE = "64B-1000-replace"
DEPTHS = {4: BASE, 16: BASE + "-deep16", 64: BASE + "-deep64"}
MALLOC_DEBUG = "libc_malloc_debug.so.0"
POISON_BYTE = 0x5a

# A way is what a process is told, and its name.
WATCHED = ("F", "FZ", "FP", "FZP", "FZPU", QUARANTINE)
MEMCHECK, MASSIF = "memcheck", "massif"
TOOLS = {
    MEMCHECK: ("valgrind", "--quiet", "--tool=memcheck",
               "--error-exitcode=99"),
    MASSIF: ("valgrind", "--quiet", "--tool=massif", "--heap-admin=0",
             "--massif-out-file=/dev/null"),
}
# Tools take long and vary little; of nothing, and what should be as fast, the
# median of so many counts.
TOOL_ROUNDS = 3
FAST_RUNS = 3

SERVER = ("--names=handle", "--mode=rcu", "--workers=2", "--audit=0",
          "--idle-ms=600000")
SERVER_LOAD = ("--open=800", "--threads=1")
SERVER_READY_S = 120
N_CLIENTS, N_CLIENTS_QUICK = 20000, 2000
N_TRUCKS, N_TRUCKS_QUICK = 1000000, 100000
N_MESSAGES, N_MESSAGES_QUICK = 1000000, 100000


def told(way):
    """The environment of a process that is watched so."""
    return {"CUBBY_DEBUG": "" if way in (NOTHING, *TOOLS) else way}


def knows_guard(runs):
    """Whether this library's CUBBY_DEBUG has the word."""
    done = subprocess.run([runs.bin / "programs/orders", "1"],
                          env=os.environ | told(GUARD), text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode != 0:
        fail(f"orders failed under {GUARD}: {done.stderr}")
    if "is ignored" not in done.stderr:
        return True
    print(f"skipped: {GUARD}, which this library does not know")
    return False


# ----------------------------------- D1 -------------------------------------

def d1_processes(runs):
    """Name to (what is measured, environment, malloc)."""
    deep = f"{BASE}(-deep.*)?"
    sizes = ".*B-1-pair"
    jobs = {NOTHING: (f"(floor|cubby|cubby-inline|ctor)/({BASE}|{LIVE})",
                      told(NOTHING), "glibc")}
    for way in WATCHED:
        cases = {"FZP": f"{deep}|{sizes}|{LIVE}",
                 "FZPU": f"{deep}|{LIVE}"}.get(way, f"{BASE}|{LIVE}")
        jobs[way] = (f"cubby/({cases})", told(way), "glibc")
    if knows_guard(runs):
        jobs[GUARD] = (f"(cubby|cubby-inline)/({BASE}|{LIVE})", told(GUARD),
                       "glibc")
    if runs.args.before:
        folder = str(pathlib.Path(runs.args.before).resolve())
        jobs[BEFORE] = (f"(cubby|cubby-inline)/({BASE}|{LIVE})",
                        told(NOTHING) | {"LD_LIBRARY_PATH": folder}, "glibc")
    jobs["glibc"] = (f"glibc/({BASE}|{LIVE})", {}, "glibc")
    if MALLOC_DEBUG not in output_of("/sbin/ldconfig", "-p"):
        print(f"skipped: MALLOC_CHECK_, as there is no {MALLOC_DEBUG}")
        return jobs
    # MALLOC_PERTURB_ without that library fills nothing that tcache handles.
    more = {"LD_PRELOAD": MALLOC_DEBUG, "MALLOC_CHECK_": "3"}
    jobs["check"] = (f"glibc-debug/({BASE}|{LIVE})", more, "glibc-debug")
    jobs["check+perturb"] = (f"glibc-debug/({BASE}|{LIVE})",
                             more | {"MALLOC_PERTURB_": "90"}, "glibc-debug")
    return jobs


def d1_check(way, case, run):
    """That the process was what it was told to be."""
    if case.split("/")[0] not in ("cubby", "cubby-inline"):
        return
    is_fast = way in (NOTHING, BEFORE, GUARD)
    is_poisoned = not is_fast and "P" in way
    if (bool(run["is_fast"]) != is_fast or
            is_poisoned and run["first_byte"] != POISON_BYTE):
        fail(f"D1: under CUBBY_DEBUG={way} {case} has is_fast "
             f"{run['is_fast']:.0f}, and new objects begin with "
             f"{run['first_byte']:.0f}")


def d1_measure(runs):
    """{(way, who, case): [one dict a turn]}"""
    jobs = d1_processes(runs)
    turns = {way: [] for way in jobs}
    for turn in range(runs.args.repetitions):
        print(f"  D1, turn {turn + 1} of {runs.args.repetitions}", flush=True)
        for way in random.sample(list(jobs), len(jobs)):
            pattern, more, malloc = jobs[way]
            turns[way].append(runs.execute(
                f"D1-{way}", "bench_debug", f"^D1/{pattern}/iterations",
                malloc, 1, more))
    found = {}
    for way, results in turns.items():
        merged = merge_turns(results)
        (runs.out / f"D1-{way}.json").write_text(
            json.dumps(merged, indent=2) + "\n")
        for name, repeated in by_name(merged).items():
            _, who, case = name.split("/")
            for run in repeated:
                d1_check(way, f"{who}/{case}", run)
            found[way, who, case] = repeated
    return found


def ns_text(repeated):
    values = [run["ns_per_pair"] for run in repeated]
    low, high = interval(values)
    digits = 1 if high < 1000 else 0
    return (f"{statistics.median(values):.{digits}f} ns "
            f"({low:.{digits}f} .. {high:.{digits}f})")


CASES = {BASE: "a pair", LIVE: "one of 1,000 live replaced",
         "24B-1-pair": "a pair, 24 B", "256B-1-pair": "a pair, 256 B",
         DEPTHS[16]: "a pair under 16 frames",
         DEPTHS[64]: "a pair under 64 frames"}


def d1_add(report, found, key, target=""):
    """A row: nanoseconds, and the ratio to the same call, unwatched."""
    way, who, case = key
    unwatched = found.get((NOTHING, who, case))
    text = ns_text(found[key])
    if unwatched and way != NOTHING:
        ratio = Ratio(found[key], unwatched, "ns_per_pair", least=0.001)
        text += f", {ratio.median:.2f} x {who} with nothing on {ratio}"
    values = [run["ns_per_pair"] for run in found[key]]
    report.add("D1", f"{way}{'' if who == 'cubby' else ', ' + who}: "
               f"{CASES[case]}", text,
               f"<= {target} ns" if target else "",
               is_at_most(values, target) if target else None, "clock")


def d1_add_unwatched(report, found):
    """Nothing on: against two empty calls, which S1 and S2 judge, and before."""
    for who in ("cubby", "cubby-inline"):
        mine = found.get((NOTHING, who, BASE))
        before = found.get((BEFORE, who, BASE))
        if not mine:
            continue
        ratio = Ratio(mine, found[NOTHING, "floor", BASE], "ns_per_pair",
                      least=0.001)
        report.add("D1", f"{NOTHING}, {who}: against two empty calls",
                   f"{ratio.median:.2f} x {ratio}", by="clock")
        if not before:
            continue
        ratio = Ratio(mine, before, "ns_per_pair", least=0.001)
        report.add("D1", f"{NOTHING}, {who}: against the library before",
                   f"{ratio.median:.2f} x {ratio}", f"<= {D1_BEFORE_MAX} x",
                   ratio.is_at_most(D1_BEFORE_MAX), "clock")


def d1_add_user(report, found):
    """What U adds to FZP, by itself: two stacks a pair."""
    for frames, case in DEPTHS.items():
        least, watched = (found[way, "cubby", case]
                          for way in ("FZP", "FZPU"))
        added = [dict(ns_per_pair=b["ns_per_pair"] - a["ns_per_pair"])
                 for a, b in zip(least, watched)]
        report.add("D1", f"U alone, of a pair under "
                   f"{median(watched, 'n_frames'):.0f} frames",
                   ns_text(added), by="difference of FZPU and FZP")


def run_d1(runs, report):
    found = d1_measure(runs)
    d1_add_unwatched(report, found)
    for key in found:
        way, who, case = key
        if who == "floor" or case not in CASES:
            continue
        is_goal = way == "FZP" and case in (BASE, LIVE)
        d1_add(report, found, key, D1_FZP_NS_MAX if is_goal else "")
    d1_add_user(report, found)


# ----------------------------------- D2 -------------------------------------

class Programs:
    """Whole programs, each under what it is told; all in one folder."""

    def __init__(self, runs):
        self.runs = runs
        self.is_quick = runs.args.quick
        self.result = runs.out / "D2-spent.json"
        self.log = runs.out / "D2.log"
        self.answers = {}

    def command(self, way, program, *options):
        return [str(self.runs.bin / "programs/spent"), str(self.result),
                *TOOLS.get(way, ()), str(self.runs.bin / program), *options]

    def environment(self, way):
        return {k: v for k, v in os.environ.items()
                if k not in ("LD_PRELOAD", "CUBBY_OPTIONS")} | told(way)

    def spent(self, way, name, status):
        if status != 0:
            fail(f"{name} under {way}: exit status {status}; see {self.log}")
        used = json.loads(self.result.read_text())
        used["cpu_seconds"] = used["user_seconds"] + used["system_seconds"]
        return dict(used, program=name, way=way)

    def run_alone(self, way, name, program, *options):
        """A program that ends by itself; what it says must not differ."""
        with open(self.log, "a") as log:
            done = subprocess.run(self.command(way, program, *options),
                                  env=self.environment(way), text=True,
                                  stdout=subprocess.PIPE, stderr=log)
        used = self.spent(way, name, done.returncode)
        answer = json.loads(done.stdout)
        said = answer.get("sums", answer)
        if self.answers.setdefault(name, said) != said:
            fail(f"{name} under {way} has done something else: {said}")
        return used

    def truck(self, way):
        n = N_TRUCKS_QUICK if self.is_quick else N_TRUCKS
        return self.run_alone(way, "truck", "truck", "--n", str(n), "cubby")

    def orders(self, way):
        n = N_MESSAGES_QUICK if self.is_quick else N_MESSAGES
        return self.run_alone(way, "orders", "programs/orders", str(n))

    def server(self, way):
        """From its start to its end; what its clients take is not counted."""
        n = N_CLIENTS_QUICK if self.is_quick else N_CLIENTS
        with open(self.log, "a") as log:
            server = subprocess.Popen(
                self.command(way, "server/server", *SERVER),
                env=self.environment(way), text=True, stdout=subprocess.PIPE,
                stderr=log)
            try:
                port = self.port_of(server)
                load = subprocess.run(
                    [str(self.runs.bin / "server/load"), f"--port={port}",
                     f"--clients={n}", *SERVER_LOAD],
                    env=self.environment(NOTHING), text=True,
                    stdout=subprocess.PIPE, stderr=log)
            finally:
                server.send_signal(signal.SIGTERM)
                figures = server.stdout.read()
                status = server.wait()
        if load.returncode != 0:
            fail(f"the server's clients under {way}: {load.stdout}")
        used = self.spent(way, "server", status)
        if "\nobjects_left 0\n" not in figures:
            fail(f"server under {way}: {figures}")
        return used

    @staticmethod
    def port_of(server):
        for line in server.stdout:
            words = line.split()
            if words[:2] == ["ready", "port"]:
                return words[2]
        fail("the server did not start")


def d2_ways(runs):
    ways = [NOTHING, "F", "FZP", "FZPU"]
    if knows_guard(runs):
        ways.append(GUARD)
    if shutil.which("valgrind"):
        return ways + list(TOOLS)
    print("skipped: memcheck and massif, as valgrind is not installed")
    return ways


def d2_round(run, ways):
    """Medians of each way's runs in one round: {way: dict}, and all runs."""
    jobs = [way for way in ways
            for _ in range(FAST_RUNS if way in (NOTHING, GUARD) else 1)]
    random.shuffle(jobs)
    done = [run(way) for way in jobs]
    medians = {}
    for way in ways:
        mine = [used for used in done if used["way"] == way]
        medians[way] = {field: median(mine, field) for field in
                        ("wall_seconds", "cpu_seconds", "peak_rss_bytes")}
    return medians, done


def d2_add(report, name, way, rounds):
    """A row: CPU, wall and memory, each against nothing in the same round."""
    rounds = [one for one in rounds if way in one]
    mine, others = ([one[w] for one in rounds] for w in (way, NOTHING))
    cpu, wall, peak = (Ratio(mine, others, field, least=0.001) for field in
                       ("cpu_seconds", "wall_seconds", "peak_rss_bytes"))
    absolute = (f"{median(mine, 'cpu_seconds'):.2f} s, "
                f"{median(mine, 'peak_rss_bytes') / MIB:.1f} MiB at most")
    if way == NOTHING:
        values = [one["cpu_seconds"] for one in mine]
        low, high = interval(values)
        report.add("D2", f"{name}, {way}",
                   f"{absolute} (CPU {low:.2f} .. {high:.2f})",
                   by="getrusage")
        return
    is_goal = way == GUARD
    report.add("D2", f"{name}, {way}",
               f"{cpu.median:.2f} x CPU {cpu}, {wall.median:.2f} x wall, "
               f"{peak.median:.2f} x memory; {absolute}",
               f"<= {D2_GUARD_MAX} x CPU" if is_goal else "",
               cpu.is_at_most(D2_GUARD_MAX) if is_goal else None,
               "getrusage")


def d2_add_beside(report, name, rounds):
    """FZPU beside memcheck, in the rounds that had both."""
    rounds = [one for one in rounds if MEMCHECK in one]
    if not rounds:
        return
    ratio = Ratio([one["FZPU"] for one in rounds],
                  [one[MEMCHECK] for one in rounds], "cpu_seconds",
                  least=0.001)
    report.add("D2", f"{name}, FZPU beside memcheck",
               f"{ratio.median:.2f} x memcheck's CPU {ratio}",
               by="getrusage")


def run_d2(runs, report):
    programs = Programs(runs)
    ways = d2_ways(runs)
    context = runs.execute("D2-machine", "bench_debug",
                           f"^D1/floor/{BASE}/iterations", "glibc",
                           1)["context"]
    for name in ("orders", "truck", "server"):
        rounds, all_runs = [], []
        n_rounds = runs.args.repetitions
        n_tools = 1 if programs.is_quick else TOOL_ROUNDS
        for turn in range(n_rounds):
            print(f"  D2 {name}, round {turn + 1} of {n_rounds}", flush=True)
            mine = [w for w in ways if w not in TOOLS or turn < n_tools]
            medians, done = d2_round(getattr(programs, name), mine)
            rounds.append(medians)
            all_runs += [dict(one, round=turn) for one in done]
        (runs.out / f"D2-{name}.json").write_text(json.dumps(
            dict(context=context, runs=all_runs), indent=2) + "\n")
        for way in ways:
            d2_add(report, name, way, rounds)
        d2_add_beside(report, name, rounds)
    programs.result.unlink()
