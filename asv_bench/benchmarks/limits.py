"""Bytes a second, and times the limit, of cases of the contest, by the contest's clock."""

from functools import cache
from subprocess import CalledProcessError

from contest.arrays import Arrays
from contest.cases import CASES, FIRST
from contest.peers import Pooltk
from contest.timing import Budget, measure

from .common import device_of

FORWARD = [c for c in CASES if c.group == "table" and c.layout == FIRST and c.shape[-1] > 4]
BACKWARD = [c for c in CASES if c.group == "backward"][:7]  # of the same windows
TABLE = {case.name: case for case in [*FORWARD, *BACKWARD]}
BUDGET = Budget(rounds=5, seconds=0.1)


class Table:
    """Base: `pool` is the case's call."""

    params = tuple(TABLE), ("numpy", "cupy")
    param_names = "case", "backend"

    def setup(self, name, backend):
        self.device = device_of(backend)
        self.arrays = Arrays(TABLE[name], self.device.xp)
        self.pool = Pooltk().prepare(TABLE[name], self.arrays, threads=1)


class Bandwidth(Table):
    def track_bandwidth(self, *params):
        timing = measure({"pooltk": self.pool}, BUDGET, self.device.wait)["pooltk"]
        return self.arrays.moved_bytes / 1e9 / timing.median

    track_bandwidth.unit = "GB/s"


class Ratio(Table):
    def setup(self, name, backend):
        super().setup(name, backend)
        self.limit = limit(backend).prepare(self.arrays, threads=1)

    def track_ratio_to_limit(self, *params):
        calls = {"pooltk": self.pool, "limit": self.limit}
        timings = measure(calls, BUDGET, self.device.wait)
        return timings["pooltk"].median / timings["limit"].median

    track_ratio_to_limit.unit = "times the limit"


@cache
def limit(backend):
    """Return what makes the limit's calls; without a compiler that has OpenMP, skip."""
    try:
        return device_of(backend).limit()
    except (OSError, CalledProcessError) as error:
        raise NotImplementedError(f"no limit: {error}") from error
