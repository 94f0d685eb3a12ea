"""Judgement and tables: lines while it runs, then Markdown and JSON."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import astuple, fields
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

from .cases import Case
from .devices import Cuda, Host
from .limit import Copy, Loop
from .peers import Contestant
from .run import ABSENT, LIMIT, OK, Entry, Result
from .targets import Target, targets

NOISY = 0.1  # a spread of the quartiles, relative to the median, worth a mark


class Report:
    """What was measured and how it is told."""

    def __init__(
        self,
        present: Sequence[Contestant],
        absent: Sequence[str],
        limit: Loop | Copy | None,
        device: Host,
        idle: bool = False,
    ) -> None:
        self.device = device
        self.idle = idle
        self.ours = [c.name for c in present if c.ours]
        self.rivals = [c.name for c in present if c.rival and not c.ours]
        self.columns = [c.name for c in present if not c.ours] + [*absent, LIMIT]
        self.absent = [*absent] if limit else [*absent, LIMIT]
        self.facts = _facts(present, limit, device)
        self.results: list[Result] = []

    # --- judgement --------------------------------------------------------------------------------

    def fastest(self, result: Result) -> str | None:
        """Return the name of the fastest peer."""
        times = {name: result.median(name) for name in self.rivals}
        return min((n for n, t in times.items() if t), key=lambda n: times[n] or 0, default=None)

    def judge(self, result: Result, ours: str) -> tuple[float | None, float | None, str]:
        """Return ratio to the fastest peer, ratio to the limit, and what follows."""
        mine, fastest = result.median(ours), self.fastest(result)
        if not mine:
            return None, None, result.entries[ours].status
        peer, limit = result.median(fastest) if fastest else None, result.median(LIMIT)
        lead, above = peer / mine if peer else None, mine / limit if limit else None
        device = self.device
        met = [lead >= device.ahead] if lead is not None else []
        if above is not None and device.has_limit(result.case, result.read_bytes):
            met.append(above <= device.near)
        verdict = "pass" if device.demands(met) else "FAIL"
        return lead, above, verdict if met else "-"

    def rows(self, result: Result) -> Iterable[tuple[str, list[str]]]:
        """Return a row of cells for each way of calling pooltk that the case has."""
        for ours in self.ours:
            if ours != self.ours[0] and result.entries[ours].status == "-":
                continue
            lead, above, verdict = self.judge(result, ours)
            name = result.case.name + ours.removeprefix(self.ours[0])
            cells = [str(result.threads), self._cell(result, ours), *self._idle(result, ours)]
            cells += [self._cell(result, column) for column in self.columns]
            cells += [_ratio(lead), *self._speed(result, ours, above), verdict]
            yield name, cells

    def _cell(self, result: Result, name: str) -> str:
        if name in self.absent:
            return ABSENT
        entry = result.entries.get(name)
        if entry is None:  # the limit, where no times are taken
            return "-"
        if entry.timing is None:
            return entry.status
        low, high = entry.timing.quartiles
        mark = "~" if high - low > NOISY * entry.timing.median else ""
        return f"{mark}{entry.timing.median * 1e3:.3g}"

    def _speed(self, result: Result, ours: str, above: float | None) -> list[str]:
        if self.device.name == "cpu":
            return [_ratio(above)]
        mine = result.median(ours)
        return [
            f"{result.moved_bytes / mine / 1e9:.3g}" if mine else "-",
            f"{1 / above:.0%}" if above else "-",
        ]

    def _idle(self, result: Result, ours: str) -> list[str]:
        if not self.idle:
            return []
        measured = ours == self.ours[0] and result.after_idle is not None
        return [f"{(result.after_idle or 0) * 1e3:.3g}" if measured else "-"]

    def header(self) -> list[str]:
        """Return the names of the cells after the case's."""
        first = ["threads", self.ours[0], *(["after idle"] if self.idle else [])]
        speed = ["ours/limit"] if self.device.name == "cpu" else ["GB/s", "of limit"]
        return [*first, *self.columns, "peer/ours", *speed, "verdict"]

    # --- telling ----------------------------------------------------------------------------------

    def print_header(self, cases: Iterable[Case]) -> None:
        """Print the table's first line, the first column as wide as the cases need."""
        suffix = max(len(name) - len(self.ours[0]) for name in self.ours)
        name = max(len(case.name) for case in cases) + suffix
        self._widths = [name, *(max(8, len(word)) for word in self.header())]
        if device := self.facts.get("device"):
            print(f"on {device}")
        print(_line(["ms a call", *self.header()], self._widths), flush=True)

    def add(self, result: Result) -> None:
        """Take in one result and print its lines."""
        self.results.append(result)
        for name, cells in self.rows(result):
            print(_line([name, *cells], self._widths), flush=True)
        for name, entry in result.entries.items():
            if entry.status not in (OK, "-"):
                print(f"    {name}: {entry.status}: {entry.reason}", flush=True)

    def summary(self) -> str:
        """Count the verdicts."""
        lines = []
        for ours in self.ours:
            verdicts = [self.judge(r, ours)[2] for r in self.results]
            counts = {v: verdicts.count(v) for v in sorted(set(verdicts) - {"-"})}
            if counts:
                lines.append(f"{ours}: " + ", ".join(f"{n} {v}" for v, n in counts.items()))
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return the whole report."""
        lines = ["# The contest", "", _INTRODUCTION, "", _OF_DEVICE[self.device.name], ""]
        lines += [f"- {key}: {value}" for key, value in self.facts.items()]
        lines += ["", self.summary().replace("\n", "  \n"), "", *self._groups_section()]
        for group in dict.fromkeys(r.case.group for r in self.results):
            header = ["case", *self.header()]
            lines += [
                f"## {group}",
                "",
                _pipes(header),
                _pipes(["---"] + ["---:"] * (len(header) - 1)),
            ]
            for result in self.results:
                if result.case.group == group:
                    rows = self.rows(result)
                    lines += [_pipes([n.removeprefix(group + " "), *cells]) for n, cells in rows]
            lines.append("")
        lines += _targets_section(self._targets())
        lines += self._notes()
        return "\n".join(lines)

    def _groups_section(self) -> list[str]:
        """Say how each group ended: the median lead, how often a peer was faster, how many pass."""
        all_threads = list(dict.fromkeys(r.threads for r in self.results))
        header = ["group", "cases"]
        for threads in all_threads:
            header += [f"lead, {threads} thread{'s' * (threads > 1)}", "behind", "on target"]
        lines = ["## All groups", "", _pipes(header)]
        lines.append(_pipes(["---"] + ["---:"] * (len(header) - 1)))
        for group in dict.fromkeys(r.case.group for r in self.results):
            for ours in self.ours:
                timed = [r for r in self.results if r.case.group == group and r.median(ours)]
                cells = [group + ours.removeprefix(self.ours[0]), str(len({r.case for r in timed}))]
                for threads in all_threads:
                    judged = [self.judge(r, ours) for r in timed if r.threads == threads]
                    leads = [lead for lead, _, _ in judged if lead is not None]
                    cells += [
                        _ratio(median(leads) if leads else None),
                        str(sum(lead < 1 for lead in leads)),
                        str([verdict for _, _, verdict in judged].count("pass")),
                    ]
                if timed:
                    lines.append(_pipes(cells))
        return [*lines, ""]

    def _notes(self) -> list[str]:
        """Say, by name, who left out what and why, each reason once."""
        lines = [f"- {name}: {ABSENT}" for name in self.absent]
        for (name, status, reason), numbers in self._left_out().items():
            if name in self.ours[1:]:
                continue
            cases = list(dict.fromkeys(self.results[number].case.name for number in numbers))
            more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
            lines.append(f"- {name}: {status}: {reason} ({cases[0]}{more})")
        return ["## Who left out what", "", *lines, ""] if lines else []

    def _left_out(self) -> dict[tuple[str, str, str], list[int]]:
        """Return the numbers of the results that have no time, by name, status and reason."""
        found: dict[tuple[str, str, str], list[int]] = {}
        for number, result in enumerate(self.results):
            for name, entry in result.entries.items():
                if entry.status != OK:
                    found.setdefault((name, entry.status, entry.reason), []).append(number)
        return found

    def as_json(self) -> dict[str, Any]:
        """Return everything, in milliseconds. What many lists have in common is said once.

        A result has a time, or null, for each of the contestants, in their order.
        """
        names = list(dict.fromkeys(name for result in self.results for name in result.entries))
        return {
            "facts": self.facts,
            "absent": self.absent,
            "contestants": names,
            "time": ["median", "first quartile", "third quartile", "rounds"],
            "judgement": ["peer/ours", "ours/limit", "verdict"],
            "results": [self._result_as_json(result, names) for result in self.results],
            "left_out": [[*who, numbers] for who, numbers in self._left_out().items()],
            "target": [field.name for field in fields(Target)],
            "targets": [astuple(target) for target in self._targets()],
        }

    def _targets(self) -> list[Target]:
        return targets(self.results, self.ours[0]) if self.device.name == "cpu" else []

    def _result_as_json(self, result: Result, names: Iterable[str]) -> dict[str, Any]:
        judged: dict[str, Any] = {}
        for ours in self.ours:
            lead, above, verdict = self.judge(result, ours)
            if verdict != "-":
                judged[ours] = [lead, above, verdict]
        told = {
            "name": result.case.name,
            "threads": result.threads,
            "bytes": [result.read_bytes, result.written_bytes, result.moved_bytes],
            "fastest_peer": self.fastest(result),
            "judged": judged,
            "times": [_time(result.entries.get(name)) for name in names],
        }
        if result.after_idle is not None:
            told["after_idle"] = result.after_idle * 1e3
        return told

    def write(self, prefix: Path) -> None:
        """Write `prefix`.md and `prefix`.json."""
        prefix.parent.mkdir(parents=True, exist_ok=True)
        prefix.with_suffix(".md").write_text(self.markdown())
        data = json.dumps(_short(self.as_json()), separators=(",", ":"))
        prefix.with_suffix(".json").write_text(data.replace('{"name"', '\n{"name"') + "\n")


def _time(entry: Entry | None) -> list[float] | None:
    if entry is None or entry.timing is None:
        return None
    timing = entry.timing
    return [*(second * 1e3 for second in (timing.median, *timing.quartiles)), len(timing.seconds)]


def _short(value: Any) -> Any:
    """Return the same with four digits of each float: no time is known better."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, (list, tuple)) else value


_INTRODUCTION = """\
Milliseconds a call: medians of calls in turn, in one run, on the same arrays and as many threads,
after the results were compared. `~` marks a time whose quartiles lie more than a tenth of it
apart, `-` what a library cannot do. torch channels_last, torch, onnxruntime and openvino have the
values in the order of memory that is their own, whatever the case's layout. *after idle* is one
call of pooltk after 50 ms without."""
_OF_DEVICE = {
    "cpu": f"""\
*limit* is a compiled loop that reads the input and writes the result's bytes (backward: reads the
gradient and writes the input's), on as many threads or on one, whichever is faster. A case passes
at {Host.ahead:g} times the speed of the fastest peer or within {Host.near:g} times the limit; below
{Host.small_bytes // 2**10} KB read, by the first alone.""",
    "cuda": f"""\
The device is waited for once a turn, so calls queue up as they do in a program. *limit* is a copy
on the device of as many bytes as a case has to read and write, half of each; a maximum's gradient
has to read the input as well. *GB/s* are of these bytes, and *of limit* is pooltk's share of the
copy's. A case passes if no peer is ahead and it has {1 / Cuda.near:.0%} of the copy's bandwidth; of
less than {Cuda.small_bytes // 2**20} MB, and where an element is in more than {Cuda.most_overlap}
windows, the first alone counts.""",
}


def _targets_section(found: Sequence[Target]) -> list[str]:
    if not found:
        return []
    header = ["target", "case", "threads", "value", "bound", "verdict"]
    lines = ["## Other targets", "", _pipes(header), _pipes(["---"] * len(header))]
    for t in found:
        bound = f"{'<=' if t.at_most else '>='} {t.bound:g}"
        verdict = "pass" if t.passed else "FAIL"
        cells = [t.what, t.case, str(t.threads), f"{t.value:.2f}", bound, verdict]
        lines.append(_pipes(cells))
    return [*lines, ""]


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = cells
    padded = [first.ljust(widths[0])]
    padded += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
    return " ".join(padded)


# --- where it ran -------------------------------------------------------------------------------


def _facts(
    present: Sequence[Contestant], limit: Loop | Copy | None, device: Host
) -> dict[str, str]:
    import numpy

    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",  # of other work, which is best none
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
    }
    facts |= device.facts()
    facts |= {c.distribution: c.version for c in present}
    commit = _said("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    facts["commit"] = commit or "unknown"
    facts["configuration"] = _configuration()
    facts["GOMP_SPINCOUNT"] = os.environ.get("GOMP_SPINCOUNT", "not set")
    if limit is not None:
        facts["limit"] = " ".join(limit.command)
        facts["compiler"] = _said(limit.command[0], "--version") or "none"
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _configuration() -> str:
    import pooltk

    said = StringIO()
    with redirect_stdout(said):
        pooltk.show_config()
    return "; ".join(" ".join(line.split()) for line in said.getvalue().splitlines() if line)


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.partition("\n")[0].strip()
