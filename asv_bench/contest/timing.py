"""The clock: calls in turn, medians.

A turn waits until the threads of whoever was before have gone to sleep: after a call libgomp's
spin (`__main__` says how long) and onnxruntime's for 40 ms (seen), which takes a core from the next
one. Then come
calls for warming up, which wake the own threads and leave the caches as the own calls leave them,
and then calls under the clock.
"""

import gc
import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from time import perf_counter, sleep

Call = Callable[[], object]

THREADS = "/proc/self/task"
LONGEST_SPIN_SECONDS = 0.05
WARM_SECONDS = 0.002
TURN_SECONDS = 0.004  # of short calls, as many as fill this
SLOW_SECONDS = 0.05  # a call as long as this warms itself
MOST_REPEATS = 10_000
MOST_ROUNDS = 25
SETTLED = 0.01  # relative standard error of the median at which more rounds tell nothing


@dataclass(frozen=True)
class Budget:
    """How long a call may be measured: `rounds` at least, `seconds` at most where those allow.

    Of calls that take longer, `slow_rounds` are enough: they are no rivals anyway.
    """

    rounds: int = 7
    seconds: float = 0.5
    slow_rounds: int = 3


@dataclass
class Timing:
    """What the rounds gave, in seconds a call."""

    repeats: int
    seconds: list[float] = field(default_factory=list)
    spent: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        if len(self.seconds) == 1:
            return self.median, self.median
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    def done(self, budget: Budget) -> bool:
        rounds = len(self.seconds)
        if rounds < min(budget.rounds, budget.slow_rounds):
            return False
        if rounds < budget.rounds:
            return self.spent > 4 * budget.seconds
        low, high = self.quartiles
        error = 0.93 * (high - low) / rounds**0.5
        settled = error < SETTLED * self.median
        return settled or self.spent > budget.seconds or rounds >= MOST_ROUNDS


def measure(
    calls: Mapping[str, Call], budget: Budget, wait: Call = lambda: None
) -> dict[str, Timing]:
    """Measure the calls in turn, every other round backwards.

    What calls leave running has ended when `wait` returns; under the clock it comes once a turn.
    """
    timings = {name: _first_look(call, wait) for name, call in calls.items()}
    waiting = [name for name in calls if not timings[name].done(budget)]
    collecting = gc.isenabled()
    gc.disable()
    try:
        while waiting:
            for name in waiting:
                _turn(calls[name], timings[name], wait)
            waiting = [name for name in reversed(waiting) if not timings[name].done(budget)]
    finally:
        if collecting:
            gc.enable()
    return timings


def _first_look(call: Call, wait: Call) -> Timing:
    """Find out how often a turn repeats the call; a slow one has had its first round by then."""
    _wait_for_quiet()
    seconds = _seconds(call, 1, wait)
    if seconds >= SLOW_SECONDS:
        return Timing(1, [seconds], seconds)
    seconds = min(_seconds(call, 1, wait) for _ in range(3))  # the first one wakes threads
    return Timing(max(1, min(MOST_REPEATS, round(TURN_SECONDS / seconds))))


def _seconds(call: Call, repeats: int, wait: Call) -> float:
    start = perf_counter()
    for _ in repeat(None, repeats):
        call()
    wait()
    return perf_counter() - start


def _wait_for_quiet() -> None:
    if not os.path.isdir(THREADS):  # only Linux tells
        sleep(LONGEST_SPIN_SECONDS)
        return
    for _ in range(200):
        sleep(0.001)
        if not threads_run():
            break


def threads_run() -> bool:
    """Whether any but the main thread of this process runs.

    The process' CPU time does not tell: the kernel adds what a thread spins away at its next tick
    only, up to 10 ms later.
    """
    main = str(os.getpid())
    return any(_state(thread) == "R" for thread in os.listdir(THREADS) if thread != main)


def _state(thread: str) -> str:
    try:
        with open(f"{THREADS}/{thread}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:  # it has ended meanwhile
        return ""


def _turn(call: Call, timing: Timing, wait: Call) -> None:
    _wait_for_quiet()
    start = perf_counter()
    if not timing.seconds or timing.seconds[-1] < SLOW_SECONDS:
        _seconds(call, 1, wait)
        while perf_counter() - start < WARM_SECONDS:
            _seconds(call, 1, wait)
    timing.seconds.append(_seconds(call, timing.repeats, wait) / timing.repeats)
    timing.spent += perf_counter() - start
