"""Targets that compare two measurements of one run: windows, dtypes, indices, threads, overhead."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .cases import Case
from .run import LIMIT, Result

THREADED_BYTES = 4 * 2**20  # from here on a second thread has to pay


@dataclass(frozen=True)
class Target:
    """One comparison, and the bound that it has to keep."""

    what: str
    case: str
    threads: int
    value: float
    bound: float
    at_most: bool = True

    @property
    def passed(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def targets(results: Sequence[Result], ours: str) -> list[Target]:
    """Return all comparisons that the results allow."""
    known = {(_bare(r.case), r.threads): r for r in results}
    found: list[Target] = []
    for result in known.values():
        mine = result.median(ours)
        if mine is not None:
            found += _of_one(result, mine)
            found += _of_two(result, mine, known, ours)
    return sorted(found, key=lambda target: target.what)


def _bare(case: Case) -> Case:
    """Return the case without what does not change the work."""
    return replace(case, group="", label="")


def _changed(case: Case, without: str = "", **args: Any) -> Case:
    kwargs = {k: args.get(k, v) for k, v in case.args if k != without}
    return replace(_bare(case), args=tuple(kwargs.items()))


def _of_one(result: Result, mine: float) -> Iterator[Target]:
    case, threads = result.case, result.threads
    if case.shape == (1, 1, 4, 4):
        for name, bound in ("numpy", 1.2), ("torch", 1.0):
            other = result.median(name)
            if other is not None:
                yield Target(f"overhead / {name}", case.name, threads, mine / other, bound)
    if case.return_indices:
        torch = [t for t in map(result.median, ("torch", "torch channels_last")) if t]
        if torch:
            yield Target("indices / torch's", case.name, threads, mine / min(torch), 1.0)
    cv = result.median("opencv")
    if cv is not None and case.dtype == "uint8" and case.kwargs.get("kernel_size") == 2:
        yield Target("uint8 2x2 average / opencv", case.name, threads, mine / cv, 1.0)


def _of_two(
    result: Result, mine: float, known: dict[tuple[Case, int], Result], ours: str
) -> Iterator[Target]:
    case, threads = result.case, result.threads

    def median(other: Case, threads: int, name: str = ours) -> float | None:
        found = known.get((other, threads))
        return found.median(name) if found else None

    kernel, stride = case.kwargs.get("kernel_size"), case.kwargs.get("stride")
    if kernel == 63 and case.shape[-1] == 1024 and not case.backward:
        narrow = median(_changed(case, kernel_size=3, padding=1), threads)
        if narrow is not None:
            bound = 4.0 if case.is_max else 6.0
            yield Target("k=63 / k=3", case.name, threads, mine / narrow, bound)

    halves = "float16", "bfloat16"
    if case.dtype in halves and case.is_max and not case.backward:
        single = median(replace(_bare(case), dtype="float32"), threads)
        if single is not None:
            yield Target("float32 / half", case.name, threads, single / mine, 1.5, at_most=False)

    if case.return_indices:
        values = median(_changed(case, without="return_indices"), threads)
        if values is not None:
            bound = 4.0 if stride == 1 else 3.0
            yield Target("indices / none", case.name, threads, mine / values, bound)

    alone = median(_bare(case), 1)
    if threads == 2 and alone is not None:
        yield from _of_threads(result, mine, alone, median(_bare(case), 1, LIMIT))


def _of_threads(
    result: Result, mine: float, alone: float, limit_alone: float | None
) -> Iterator[Target]:
    case, limit = result.case, result.median(LIMIT)
    if result.read_bytes < THREADED_BYTES:
        yield Target("two threads / one", case.name, 2, mine / alone, 1.1)
    elif limit is not None and limit_alone is not None:
        share = (alone / mine) / (limit_alone / limit)
        yield Target("speed-up / limit's", case.name, 2, share, 0.95, at_most=False)
