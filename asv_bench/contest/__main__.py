"""`python -m contest`: choose cases, run them, write the tables."""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from time import perf_counter

# Libgomp's threads wait for each other spinning, and on two threads of one core, as a busy machine
# has it, each waits for the other's time slice: 8 ms a call where the loop takes 0.01 (seen). So
# nobody spins for longer than about 50 us; between hot calls that is long enough.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from .arrays import Arrays
from .cases import CASES, GROUPS, Case
from .devices import DEVICES, Host
from .limit import Copy, Loop
from .peers import CONTESTANTS, load
from .report import Report
from .run import DIFFERS, ERROR, compare, idle_time, take_times
from .timing import Budget

PEERS = [kind.name for kind in CONTESTANTS if not kind.ours]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _known(what: str, text: str, known: Sequence[str]) -> list[str]:
    words = _words(text)
    if unknown := set(words) - {*known}:
        sys.exit(f"no such {what}: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return words


def _chosen(options: argparse.Namespace) -> list[Case]:
    groups = _known("group", options.group, GROUPS)
    pattern = re.compile(options.cases)
    cases = [replace(c, shape=(options.batch * c.shape[0], *c.shape[1:])) for c in CASES]
    return [c for c in cases if c.group in groups and pattern.search(c.name)]


def _device(name: str) -> Host:
    try:
        return DEVICES[name]()
    except RuntimeError as error:
        sys.exit(f"no contest on {name}: {error}")


def _limit(device: Host) -> Loop | Copy | None:
    try:
        return device.limit()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no limit, as there is no compiler with OpenMP: {error}", file=sys.stderr)
        return None


def _budget(options: argparse.Namespace, share: float) -> Budget:
    if options.minutes:
        return Budget(3, share, slow_rounds=1)
    return Budget(5, 0.1, slow_rounds=1) if options.quick else Budget()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m contest", description=__doc__)
    add = parser.add_argument
    add("--cases", default="", metavar="REGEX", help="only cases whose name has a match")
    add("--group", default=",".join(GROUPS), metavar="A,B", help="only these of %(default)s")
    add("--peers", default=",".join(PEERS), metavar="A,B", help="only these of %(default)s")
    add("--device", default=Host.name, choices=DEVICES, help="where the arrays are (%(default)s)")
    add("--batch", type=int, default=1, metavar="N", help="N times as large a batch in every case")
    add(
        "--threads", default="1,2", metavar="N,N", help="numbers of the CPU's threads (%(default)s)"
    )
    add("--quick", action="store_true", help="fewer rounds: a first impression")
    add("--minutes", type=float, metavar="N", help="as many rounds as this time allows")
    add("--idle", action="store_true", help="take pooltk's time after 50 ms of idleness as well")
    add("--check", action="store_true", help="compare the results, take no times")
    add("--list", action="store_true", help="print the names of the cases and stop")
    add("--output", type=Path, metavar="PATH", help="write PATH.md and PATH.json")
    return parser


def main() -> int:
    """Run the contest; 1 where somebody broke or gave another result."""
    options = _parser().parse_args()
    cases = _chosen(options)
    if options.list:
        print("\n".join(case.name for case in cases))
        return 0
    if not cases:
        sys.exit("no case has such a name")
    device = _device(options.device)
    limit = _limit(device)
    present, absent = load(_known("peer", options.peers, PEERS), device.name)
    all_threads = [int(n) for n in _words(options.threads)] if device.name == "cpu" else [1]
    left = len(cases) * len(all_threads)
    end = perf_counter() + 60 * (options.minutes or 0)
    report = Report(present, absent, limit, device, options.idle)
    report.print_header(cases)
    for _, group in groupby(cases, key=lambda case: case.group):
        for case in group:
            arrays = Arrays(case, device.xp)
            for threads in all_threads:
                share = max(0, end - perf_counter()) / left
                left -= 1
                result, calls = compare(case, arrays, threads, present, device)
                if not options.check:
                    budget = _budget(options, share / (len(calls) + 2))
                    take_times(result, calls, arrays, limit, budget, device)
                if options.idle and "pooltk" in calls:
                    result.after_idle = idle_time(calls["pooltk"], device.wait)
                report.add(result)
        if options.output:  # so that an end before time loses one group at most
            report.write(options.output)
    print(report.summary())
    entries = [entry for result in report.results for entry in result.entries.values()]
    return int(any(entry.status in (DIFFERS, ERROR) for entry in entries))


if __name__ == "__main__":
    sys.exit(main())
