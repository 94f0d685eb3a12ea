"""One case, one number of threads: everybody's result compared, then everybody's time taken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from statistics import median
from time import perf_counter, sleep

import numpy as np

from .arrays import Arrays
from .cases import Case
from .devices import Host
from .limit import Copy, Loop
from .peers import Contestant, Unsupported, window_of
from .timing import Budget, Call, Timing, measure

OK, UNSUPPORTED, ABSENT, DIFFERS, ERROR = "ok", "-", "not installed", "DIFFERS", "ERROR"
LIMIT = "limit"

IDLE_SECONDS = 0.05  # after as long, the threads of a pool are asleep


@dataclass
class Entry:
    """What one contestant made of a case; only where all went well it has a timing."""

    status: str = OK
    reason: str = ""
    timing: Timing | None = None


@dataclass
class Result:
    """What all made of it."""

    case: Case
    threads: int
    read_bytes: int
    written_bytes: int
    moved_bytes: int
    entries: dict[str, Entry] = field(default_factory=dict)
    after_idle: float | None = None  # seconds of our call when the threads have gone to sleep

    def median(self, name: str) -> float | None:
        """Return seconds a call, or None where there is no timing."""
        entry = self.entries.get(name)
        return entry.timing.median if entry and entry.timing else None


def compare(
    case: Case, arrays: Arrays, threads: int, contestants: Sequence[Contestant], device: Host
) -> tuple[Result, dict[str, Call]]:
    """Let all compute once, and return the calls of those that give the first one's result.

    The first one is pooltk: should it be wrong, all the others are shown to differ.
    """
    result = Result(case, threads, arrays.read_bytes, arrays.written_bytes, arrays.moved_bytes)
    calls: dict[str, Call] = {}
    expected = None
    for contestant in contestants:
        entry = result.entries[contestant.name] = Entry()
        try:
            call = contestant.prepare(case, arrays, threads)
            got = tuple(map(device.to_numpy, contestant.results(case, call())))
        except Unsupported as error:
            entry.status, entry.reason = UNSUPPORTED, str(error)
        except Exception as error:  # of any kind: whoever breaks is shown as broken
            entry.status, entry.reason = _broken(error)
        else:
            expected = got if expected is None else expected
            entry.reason = difference(case, expected, got, contestant.integer_tolerance)
            if entry.reason:
                entry.status = DIFFERS
            else:
                calls[contestant.name] = call
    return result, calls


def take_times(
    result: Result,
    calls: dict[str, Call],
    arrays: Arrays,
    limit: Loop | Copy | None,
    budget: Budget,
    device: Host,
) -> None:
    """Measure the calls, and the limit, in turn.

    More threads may read and write with one of them: where that is faster, it is the limit.
    """
    limits = {}
    if limit is not None:
        limits = {
            f"{LIMIT}, threads: {threads}": limit.prepare(arrays, threads)
            for threads in {1, result.threads}
        }
    timings = measure({**calls, **limits}, budget, device.wait)
    for name in calls:
        result.entries[name].timing = timings[name]
    if limits:
        fastest = min((timings[name] for name in limits), key=lambda timing: timing.median)
        result.entries[LIMIT] = Entry(timing=fastest)


def idle_time(call: Call, wait: Call) -> float:
    """Return the time of single calls after so long a pause that the threads went to sleep."""
    seconds = []
    for _ in range(7):
        sleep(IDLE_SECONDS)
        start = perf_counter()
        call()
        wait()
        seconds.append(perf_counter() - start)
    return median(seconds)


# What the libraries say where they have no kernel for a dtype; the last is PyTorch's for uint8
# planes of more than 255 elements in channels_last, whose indices do not fit.
_NO_KERNEL = (
    "not implemented for",
    "could not infer output dtype",
    "<= std::numeric_limits<integer_t>::max()",
)


def _broken(error: Exception) -> tuple[str, str]:
    words = str(error).strip().splitlines()
    said = words[0] if words else ""
    if any(hint in said for hint in _NO_KERNEL):
        return UNSUPPORTED, said
    return ERROR, f"{type(error).__name__}: {said}"


def difference(
    case: Case,
    expected: tuple[np.ndarray, ...],
    got: tuple[np.ndarray, ...],
    integer_tolerance: int = 0,
) -> str:
    """Say how two results differ, or nothing where they are as equal as they have to be.

    Maxima, indices and integers are equal. Sums may have been added in another order: a running
    sum of `t` random terms is off by about the root of `t` roundings.
    """
    for what, left, right in zip(("values", "indices"), expected, got, strict=False):
        if left.shape != right.shape:
            return f"{what}: shape {right.shape} instead of {left.shape}"
        if left.dtype != right.dtype and what == "values":
            return f"{what}: dtype {right.dtype} instead of {left.dtype}"
        summed = what == "values" and (case.backward or not case.is_max)
        if not summed:
            wrong = left != right
        elif left.dtype.kind in "iu":
            wrong = np.abs(left.astype(np.int64) - right.astype(np.int64)) > integer_tolerance
        else:
            exact = left.astype(np.float64)
            bound = (4 + _terms(case) ** 0.5) * _epsilon(left.dtype) * np.abs(exact).max()
            wrong = ~(np.abs(exact - right) <= bound)
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0])
            share = np.count_nonzero(wrong) / wrong.size
            seen = f"{right[first]} instead of {left[first]} at {first}"
            return f"{what}: {share:.2%} differ, {seen}"
    return "" if len(expected) == len(got) else f"{len(got)} results instead of {len(expected)}"


def _terms(case: Case) -> int:
    """Most terms of a sum; backward there are no more than the window has taps."""
    try:
        return prod(window_of(case).kernel)
    except Unsupported:
        return prod(case.shape[2:])


def _epsilon(dtype: np.dtype) -> float:
    return 2.0**-7 if dtype.name == "bfloat16" else float(np.finfo(dtype).eps)
