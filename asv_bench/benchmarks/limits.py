"""Bytes a second, and times the limit, of cases of the contest, by the contest's clock."""

from functools import cache
from subprocess import CalledProcessError

from contest.arrays import Arrays
from contest.cases import CASES, FIRST
from contest.limit import Limit
from contest.peers import Pooltk
from contest.timing import Budget, measure

FORWARD = [c for c in CASES if c.group == "table" and c.layout == FIRST and c.shape[-1] > 4]
BACKWARD = [c for c in CASES if c.group == "backward"][:7]  # of the same windows
TABLE = {case.name: case for case in [*FORWARD, *BACKWARD]}
BUDGET = Budget(rounds=5, seconds=0.1)


class Table:
    """Base: `pool` is the case's call."""

    params = (tuple(TABLE),)
    param_names = ("case",)

    def setup(self, name):
        self.case = TABLE[name]
        self.arrays = Arrays(self.case)
        self.bytes = self.arrays.read_bytes + self.arrays.written_bytes
        self.pool = Pooltk().prepare(self.case, self.arrays, threads=1)


class Bandwidth(Table):
    def track_bandwidth(self, name):
        return self.bytes / 1e9 / measure({"pooltk": self.pool}, BUDGET)["pooltk"].median

    track_bandwidth.unit = "GB/s"


class Ratio(Table):
    def setup(self, name):
        super().setup(name)
        read = self.arrays.grad if self.case.backward else self.arrays.x
        self.limit = limit().prepare(read(self.case.layout), self.arrays.written_bytes, threads=1)

    def track_ratio_to_limit(self, name):
        timings = measure({"pooltk": self.pool, "limit": self.limit}, BUDGET)
        return timings["pooltk"].median / timings["limit"].median

    track_ratio_to_limit.unit = "times the limit"


@cache
def limit():
    """Return the compiled loop; without a compiler that has OpenMP, skip."""
    try:
        return Limit()
    except (OSError, CalledProcessError) as error:
        raise NotImplementedError(f"no limit: {error}") from error
