"""Windows that reach every path of the CPU kernels, and how results are judged.

The law is `_reference`: maxima, indices and integers are equal to its, averages lie within the
bounds of rounding, and the same call has the same bits at every level and number of threads.
"""

import os
import sys
from contextlib import contextmanager
from functools import cached_property, reduce
from importlib import import_module
from pathlib import Path
from subprocess import run

import ml_dtypes
import numpy as np
import pytest

import pooltk
from pooltk import _checks, _cpu, _recent, _reference
from pooltk._cpu import _levels
from pooltk._geometry import window_count, window_taps

LEVELS = _levels.available()
BUILDS = [(level, threads) for level in LEVELS for threads in (1, 2, 3)]

# Instrumented builds need memory, address space and signals of their own.
SANITIZED = "san" in os.environ.get("LD_PRELOAD", "")

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = (*FLOATS, *INTEGERS, "bool")


def dtype_named(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


# For tests that do so, whole modules or single ones: it is for all threads of the process.
uses_builds = pytest.mark.thread_unsafe(reason="chooses the kernels' build for the process")


@contextmanager
def using(level, threads=1):
    """Let the kernels of this level run, on so many threads, however little there is to do."""
    module = import_module(f"pooltk._cpu._pool_{level}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_cpu._levels, "kernels", lambda: module)
        patch.setattr(_cpu._threads, "get_num_threads", lambda: threads)
        patch.setattr(_cpu, "_WORK_OF_A_THREAD", 1)
        forget_plans()
        try:
            yield
        finally:
            forget_plans()


def forget_plans():
    """Plans belong to the level that made them."""
    _cpu._ready.clear()
    _recent.ready.clear()


def run_python(program, *arguments, timeout=120, **environment):
    """Run a program in a Python of its own; return what `subprocess.run` does."""
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith("POOLTK_")}
    inherited["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    command = [sys.executable, *(["-c", program] if isinstance(program, str) else program)]
    return run(
        [*command, *map(str, arguments)],
        env=inherited | environment,
        timeout=timeout,
        capture_output=True,
        text=True,
    )


def check_python(program, *arguments, **options):
    """Run a program that must succeed; return what it printed."""
    done = run_python(program, *arguments, **options)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# --- cases ---------------------------------------------------------------------------------


class Case:
    """Windows over the pooled axes of a shape, and the path of the kernels that they are for."""

    def __init__(self, path, shape, ndim, *, channels_last=False, **windows):
        self.path = path
        self.shape = shape
        self.ndim = ndim
        self.channels_last = channels_last
        self.windows = windows

    def __repr__(self):
        arguments = ", ".join(f"{name}={value}" for name, value in self.windows.items())
        last = ", channels_last" if self.channels_last else ""
        return f"Case({self.path!r}, {self.shape}, {self.ndim}{last}, {arguments})"

    @property
    def adaptive(self):
        return "output_size" in self.windows

    @cached_property
    def _checked(self):
        place = ("", "", self.shape, self.ndim, self.channels_last)
        if self.adaptive:
            return _checks.adaptive_axes(*place, self.windows["output_size"])
        arguments = {
            "stride": None,
            "padding": 0,
            "dilation": 1,
            "ceil_mode": False,
            **self.windows,
        }
        return _checks.sliding_axes(*place, **arguments)

    @property
    def axes(self):
        return self._checked[0]

    @property
    def result_shape(self):
        return self._checked[1]

    def pool(self, operation, *arrays, **arguments):
        """Call the public function for this operation, named as in the backends."""
        prefix = "adaptive_" if self.adaptive else ""
        function = getattr(pooltk, prefix + operation.replace("pool", f"pool{self.ndim}d"))
        windows = self.windows
        if self.adaptive and operation.endswith("backward"):
            windows = {}
        if operation == "avg_pool_backward":
            arrays = (*arrays, self.shape)
        layout = "channels_last" if self.channels_last else "channels_first"
        return function(*arrays, **windows, **arguments, data_format=layout)

    def taps(self, operation):
        """How many numbers are added up for each element of an average, or of its backward."""
        counts = []
        for axis in self.axes:
            windows = [window_taps(axis, i) for i in range(axis.output_size)]
            if operation.endswith("backward"):
                count = np.zeros(axis.input_size, int)
                for window in windows:
                    count[window] += 1
            else:
                count = np.array([len(window) for window in windows])
            counts.append(count)
        return self._grid(counts)

    def counts(self, include_pad):
        """By what each window's sum is divided; 1 where there is nothing to count."""
        counts = [
            [window_count(axis, i, include_pad) for i in range(axis.output_size)]
            for axis in self.axes
        ]
        return np.maximum(self._grid(counts), 1)

    def _grid(self, counts):
        grid = np.asarray(reduce(np.multiply.outer, counts))
        return grid[..., None] if self.channels_last else grid


def _directed():
    """One case or more for each path; see `plan` in _plan.pxi, _winners.pxi and _views.py."""
    for width in (1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 23):
        yield Case(f"slide {width}", (3, 61), 1, kernel_size=width, stride=1, padding=width // 2)
    for dilation in (2, 5):
        yield Case(
            "slide dilated", (2, 7, 50), 2, kernel_size=(2, 4), stride=1, dilation=dilation,
            padding=2, ceil_mode=True,
        )  # fmt: skip
    yield Case("pairs of long rows", (5, 131), 1, kernel_size=2)
    yield Case("pairs of short rows", (6, 5, 9, 11), 2, kernel_size=2, padding=1)
    for columns in (16, 19, 30, 41, 90):
        yield Case(f"pairs of rows of {columns}", (5, 51, columns), 2, kernel_size=2)
    for planes, rows, columns in ((2, 6, 5), (4, 8, 18), (3, 4, 37)):
        for padding in (0, 1):
            yield Case(
                f"pairs of planes, {planes}x{rows}x{columns}, padding {padding}",
                (3, planes, rows, columns), 3, kernel_size=2, padding=padding,
            )  # fmt: skip
    for columns, padding in ((131, 0), (45, 2), (32, 1), (18, 3), (3, 1)):
        yield Case(f"fours of rows of {columns}", (5, columns), 1, kernel_size=4, padding=padding)
    yield Case("fours of three rows", (3, 13, 75), 2, kernel_size=(3, 4), padding=(1, 2))
    yield Case("fours of planes", (3, 4, 6, 37), 3, kernel_size=(2, 2, 4), ceil_mode=True)
    yield Case("triples of long rows", (3, 9, 200), 2, kernel_size=3, stride=2, padding=1)
    yield Case("threes", (2, 9, 24), 2, kernel_size=3, stride=1, padding=1)
    yield Case("threes and a rest", (2, 9, 29), 2, kernel_size=3, stride=1, padding=1)
    yield Case("threes of a vector", (2, 5, 8), 2, kernel_size=3, stride=1, padding=1)
    yield Case("threes unpadded", (2, 9, 37), 2, kernel_size=3, stride=1)
    yield Case("threes, some padded", (9, 37), 2, kernel_size=3, stride=1, padding=((1, 1), (0, 1)))
    yield Case("threes of one row", (3, 45), 1, kernel_size=3, stride=1, padding=((1, 0),))
    planes = (8, 8), (7, 7), (2, 5), (3, 6), (9, 4), (5, 3), (17, 17), (3, 24), (5, 55), (2, 41)
    for rows, columns in planes:
        for stride in (1, 2):
            yield Case(
                f"planes in registers, {rows}x{columns}, stride {stride}", (3, 5, rows, columns), 2,
                kernel_size=3, stride=stride, padding=1,
            )  # fmt: skip
        yield Case(
            f"planes in registers, {rows}x{columns}, unpadded", (3, 5, rows, columns), 2,
            kernel_size=(min(3, rows), 3), stride=2, ceil_mode=True,
        )  # fmt: skip
        yield Case(
            f"planes in registers, {rows}x{columns}, pairs", (3, 5, rows, columns), 2, kernel_size=2
        )
    yield Case("planes in registers, many rows", (7, 3, 90, 30), 2, kernel_size=2)
    for shape, size in (
        ((7, 3, 13, 13), 6), ((40, 9, 15), (2, 1)), ((3, 57, 55), 6), ((5, 111, 127), (7, 8)),
        ((3, 3, 8, 8), (5, 3)), ((2, 128, 17), (16, 5)),
    ):  # fmt: skip
        yield Case(f"few gradients of {shape[-2]}x{shape[-1]}", shape, 2, output_size=size)
    for rows, columns, kernel, stride, padding in (
        (17, 17, 5, 3, 0), (20, 23, 2, 3, 0), (16, 15, 3, 2, 1), (44, 29, (7, 6), (4, 5), (3, 1)),
    ):  # fmt: skip
        yield Case(
            f"few gradients of {rows}x{columns}, {kernel} by {stride}", (4, 5, rows, columns), 2,
            kernel_size=kernel, stride=stride, padding=padding,
        )  # fmt: skip
    yield Case("triples of short rows", (40, 7, 7), 2, kernel_size=3, stride=2, ceil_mode=True)
    yield Case("pairs dilated", (3, 40), 1, kernel_size=2, stride=2, dilation=3, padding=2)
    for stride in (2, 3):
        yield Case(f"every {stride}", (4, 9, 75), 2, kernel_size=1, stride=stride)
        yield Case(
            f"every {stride} pixels", (9, 75, 5), 2, kernel_size=1, stride=stride,
            channels_last=True,
        )  # fmt: skip
    for kernel, stride in ((3, 3), (5, 2), (4, 3), (7, 5), (23, 2), (6, 11)):
        yield Case(
            f"slide {kernel}, then every {stride}", (4, 23, 90), 2, kernel_size=kernel,
            stride=stride, padding=min(kernel // 2, 3), ceil_mode=stride == 3,
        )  # fmt: skip
    for channels in (1, 3, 7, 8, 12, 32, 33, 48):
        for kernel, stride in ((2, 2), (3, 2), (3, 1), (5, 3)):
            yield Case(
                f"{channels} channels, {kernel} by {stride}", (2, 13, 19, channels), 2,
                kernel_size=kernel, stride=stride, padding=1, channels_last=True,
            )  # fmt: skip
    for kernel, stride in ((3, 1), (3, 2), (2, 2), ((2, 3), 2)):
        yield Case(
            f"pixels of whole vectors, {kernel} by {stride}", (2, 9, 1100, 32), 2,
            kernel_size=kernel, stride=stride, channels_last=True, ceil_mode=True,
        )  # fmt: skip
    yield Case(
        "channels dilated", (11, 19, 9), 2, kernel_size=3, stride=2, dilation=2, padding=((3,
        1),) * 2,
        channels_last=True,
    )  # fmt: skip
    yield Case("windows longer than the input", (3, 5, 3), 2, kernel_size=7, stride=1, padding=4)
    yield Case(
        "windows beyond input and low padding", (3, 4, 3), 2, kernel_size=5, stride=1,
        padding=((0, 4), (1, 4)),
    )  # fmt: skip
    yield Case("no taps in some windows", (3, 4), 1, kernel_size=2, stride=1, dilation=6, padding=5)
    yield Case(
        "no taps in some rows", (2, 3, 5), 2, kernel_size=(2, 3), stride=1, dilation=(7, 1),
        padding=(5, 1),
    )  # fmt: skip
    yield Case(
        "no taps at all", (2, 1, 9), 2, kernel_size=(2, 3), stride=(9, 1), dilation=(4, 1),
        padding=((2, 2), (1, 1)),
    )  # fmt: skip
    yield Case(
        "ceil beyond the padding", (4, 10, 14), 2, kernel_size=4, stride=3, padding=2,
        ceil_mode=True
    )  # fmt: skip

    for low in (0, 7, 2**40 - 3):
        yield Case(
            f"stride far beyond the input, padding {low}", (2, 12, 3), 1, kernel_size=2**40,
            stride=2**40, padding=((low, 0),), ceil_mode=True, channels_last=True,
        )  # fmt: skip
    # Rows of a window.
    for rows, stride in ((9, 1), (13, 1), (16, 4), (12, 3)):
        yield Case(
            f"wide rows {rows} by {stride}", (2, 37, 70), 2, kernel_size=(rows, 2),
            stride=(stride, 1), padding=(rows // 2, 0),
        )  # fmt: skip
    yield Case(
        "wide rows of pixels", (2, 30, 11, 6), 2, kernel_size=(11, 3), stride=(2, 1), padding=(5,
        1),
        channels_last=True,
    )  # fmt: skip
    yield Case(
        "wide rows of many channels", (17, 3, 70), 2, kernel_size=(9, 2), stride=1, padding=((8,
        3), (0, 0)),
        channels_last=True,
    )  # fmt: skip
    yield Case(
        "wide rows in several tiles", (333, 20), 2, kernel_size=(33, 5), stride=1, padding=(16, 2)
    )
    yield Case("wide rows dilated", (2, 60, 9), 2, kernel_size=(10, 2), stride=1, dilation=(3, 2))
    yield Case(
        "wide rows of planes", (2, 4, 25, 8), 3, kernel_size=(3, 9, 2), stride=1, padding=(1, 4, 0)
    )
    yield Case(
        "wide rows, planes without taps", (2, 2, 25, 8), 3, kernel_size=(2, 9, 2), stride=1,
        dilation=(4, 1, 1), padding=(3, 4, 0),
    )  # fmt: skip
    for rows in (5, 9, 17, 40):
        yield Case(
            f"tree of {rows} rows", (2, 90, 9), 2, kernel_size=(rows, 2), stride=(rows // 2, 1)
        )
    yield Case("tree of 3 planes of 5 rows", (2, 5, 9, 20), 3, kernel_size=(3, 5, 2), stride=2)

    # Windows reduced where they lie.
    yield Case("whole planes", (4, 3, 41, 43), 2, kernel_size=(41, 43))
    for rows, columns in ((3, 9), (4, 8), (7, 7), (9, 70)):
        yield Case(f"whole planes of {rows}x{columns}", (37, rows, columns), 2, output_size=1)
    yield Case("whole planes longer than a chunk", (3, 70, 60), 2, output_size=1)
    yield Case("runs side by side", (3, 1200), 1, kernel_size=40)
    yield Case("runs and what is left of one", (3, 333), 1, kernel_size=64, ceil_mode=True)
    yield Case("whole volumes", (2, 7, 9, 33), 3, output_size=1)
    yield Case("whole planes of pixels", (3, 9, 40, 5), 2, output_size=1, channels_last=True)
    yield Case("whole rows longer than a chunk", (2, 9001), 1, output_size=1)
    yield Case("wide windows of lines", (5, 400), 1, kernel_size=40, stride=30)
    yield Case("wide windows", (3, 12, 150), 2, kernel_size=(3, 33), stride=(2, 17))
    yield Case(
        "wide windows dilated", (3, 200), 1, kernel_size=33, stride=40, dilation=2, padding=5
    )
    yield Case(
        "wide windows of pixels", (7, 130, 4), 2, kernel_size=(2, 35), stride=(2, 20),
        padding=(1, 30), channels_last=True,
    )  # fmt: skip
    yield Case(
        "wide windows without taps", (3, 3), 1, kernel_size=33, stride=20, dilation=40, padding=1200
    )
    yield Case("wide bins", (3, 11, 331), 2, output_size=(4, 3))
    yield Case("wide bins of long rows", (2, 5, 4300), 2, output_size=2)
    yield Case("wide bins of pixels", (11, 331, 3), 2, output_size=(4, 3), channels_last=True)

    for rows, columns, kernel in (
        (12, 15, 3), (9, 30, 3), (7, 63, 3), (15, 20, 5), (14, 21, 7), (12, 24, 6),
    ):  # fmt: skip
        yield Case(
            f"{kernel} side by side of {rows}x{columns}", (5, 8, rows, columns), 2,
            kernel_size=kernel,
        )  # fmt: skip
    # What merges by the strides of a result, and would give sums another order.
    yield Case(
        "11 deep", (70, 17, 2, 2), 3, kernel_size=(11, 1, 1), stride=(2, 1, 1), padding=(8, 0, 0)
    )
    yield Case("14 deep", (3, 16, 3, 40), 3, kernel_size=(14, 1, 2), stride=(1, 1, 4))
    yield Case("9 high, depths of one", (70, 5, 33, 8), 3, kernel_size=(1, 9, 4), stride=(1, 2, 3))
    yield Case("33 wide of many", (40, 14, 33), 2, kernel_size=(7, 33))
    yield Case("3 side by side, padded", (5, 8, 11, 28), 2, kernel_size=3, padding=1)
    for columns, kernel in ((17, 5), (20, 4), (13, 2)):
        yield Case(
            f"{kernel} by 3 of {columns} columns", (5, 8, 11, columns), 2,
            kernel_size=kernel, stride=3,
        )  # fmt: skip

    # Bins, and the inverse of windows that slide by more than 1.
    yield Case("bins", (3, 10, 17), 2, output_size=(4, 7))
    yield Case("more bins than elements", (3, 7, 5), 2, output_size=(11, 12))
    yield Case("bins of pixels", (10, 17, 9), 2, output_size=(4, 7), channels_last=True)
    few = {1: 1, 6: 4, 7: 3, 10: 7, 17: 7}  # bins of one to four
    for rows, columns in ((1, 7), (6, 10), (7, 17), (17, 6), (17, 17)):
        yield Case(
            f"bins of few pixels of {rows}x{columns}", (2, rows, columns, 20), 2,
            output_size=(few[rows], few[columns]), channels_last=True,
        )  # fmt: skip
    yield Case("bins of volumes", (2, 5, 9, 11), 3, output_size=(3, None, 4))
    for columns, bins in ((9, 2), (45, 7), (130, 9), (1001, 41), (83, 3)):
        yield Case(f"{bins} bins of {columns} columns", (2, 5, columns), 2, output_size=(2, bins))
    yield Case("bins of 5 of a line", (3, 5000), 1, output_size=1249)
    yield Case("few gradients of large planes", (9, 40, 45), 2, output_size=5)
    yield Case("bins in several tiles", (3, 5000), 1, output_size=1700)
    yield Case("more bins in several tiles", (1000,), 1, output_size=9000)
    for kernel, stride, dilation in (
        (3, 2, 1),
        (3, 3, 2),
        (2, 2, 4),
        (4, 3, 6),
        (2, 5, 1),
        (3, 4, 6),
    ):
        yield Case(
            f"inverse of {kernel} by {stride}, dilated {dilation}", (2, 19, 31), 2,
            kernel_size=kernel,
            stride=stride, dilation=dilation, padding=1,
        )  # fmt: skip

    # Windows that lie side by side, and what is left over.
    yield Case("windows side by side", (3, 29, 50), 2, kernel_size=(2, 3))
    yield Case("windows side by side, long rows", (2, 5003), 1, kernel_size=4)
    yield Case("windows side by side, pairs", (5, 12, 39), 2, kernel_size=2)
    yield Case("windows side by side, volumes", (2, 5, 7, 90), 3, kernel_size=(2, 3, 5))
    yield Case("windows side by side, pixels", (9, 14, 5), 2, kernel_size=2, channels_last=True)

    # Many small planes.
    yield Case("planes side by side", (70, 9, 13), 2, kernel_size=3, stride=2, padding=1)
    yield Case("planes side by side, wide", (64, 11, 7), 2, kernel_size=(9, 5), stride=1)
    yield Case("planes side by side, bins", (97, 13, 11), 2, output_size=6)
    yield Case("planes side by side, blocks of rows", (65, 40, 55), 2, output_size=(9, 4))
    yield Case("planes side by side, slid", (70, 17, 17), 2, kernel_size=5, stride=3)
    yield Case("planes side by side, padded", (70, 18, 16), 2, kernel_size=5, stride=3, padding=2)
    yield Case("planes side by side, trees of rows", (66, 57, 33), 2, output_size=(3, 5))
    yield Case("planes side by side, long rows", (65, 21, 50), 2, output_size=(2, 9))
    yield Case("volumes side by side, bins", (65, 9, 8, 33), 3, output_size=(2, 3, 4))
    yield Case("planes side by side, tall", (64, 260, 8), 2, kernel_size=3, stride=1)
    yield Case(
        "volumes side by side", (66, 3, 5, 6), 3, kernel_size=2, stride=1, dilation=(2, 1, 1)
    )

    # Single elements.
    yield Case("bins of single elements", (4, 7, 6), 2, output_size=(7, 6))
    yield Case("rows of single bins", (3, 5, 12), 2, kernel_size=(1, 3))

    # Tiles.
    for kernel, stride in ((3, 1), (3, 2), (5, 3), (1, 4), (40, 30), (300, 7), (5000, 100)):
        yield Case(
            f"tiles of columns, {kernel} by {stride}", (9001,), 1, kernel_size=kernel,
            stride=stride,
            padding=kernel // 2,
        )  # fmt: skip
    yield Case("tiles of rows", (2, 300, 41), 2, kernel_size=3, stride=1, padding=1)
    yield Case("tiles of rows by 2", (301, 41), 2, kernel_size=3, stride=2, padding=1)
    yield Case("tiles of pixels", (3, 900, 9), 2, kernel_size=2, stride=1, channels_last=True)
    yield Case(
        "tiles of channels", (5, 6, 4500), 2, kernel_size=3, stride=2, padding=1, channels_last=True
    )
    yield Case("tiles of channels, bins", (7, 9001), 1, output_size=3, channels_last=True)
    yield Case(
        "tiles of channels, wide", (80, 4500), 1, kernel_size=35, stride=30, channels_last=True
    )

    # Planes that merge, and the blocks of a maximum's backward.
    yield Case("planes that fill", (5, 6, 8, 10), 2, kernel_size=2)
    yield Case("lines that fill", (5, 60, 10), 1, kernel_size=5)
    yield Case("volumes that fill", (2, 3, 4, 6, 10), 3, kernel_size=(2, 3, 1))
    yield Case("planes that hold single rows", (50, 1, 9), 2, kernel_size=(1, 3), stride=(1, 2))
    yield Case("blocks of rows", (210, 200), 2, kernel_size=3, stride=2, padding=1)
    yield Case("blocks of rows, overlapping", (2, 170, 200), 2, kernel_size=(7, 2), stride=(1, 2))
    yield Case("blocks of columns", (2, 40000), 1, kernel_size=5, stride=3)
    yield Case("blocks of pixels", (120, 100, 7), 2, kernel_size=3, stride=2, channels_last=True)
    yield Case("blocks of volumes", (5, 90, 100), 3, kernel_size=(3, 2, 2), stride=(1, 2, 3))
    yield Case("volumes", (2, 5, 6, 7), 3, kernel_size=3, stride=1, padding=1)
    yield Case(
        "volumes by 2", (2, 2, 5, 8, 9), 3, kernel_size=3, stride=2, padding=1, ceil_mode=True
    )
    yield Case("volumes of pixels", (5, 6, 7, 8), 3, kernel_size=2, stride=2, channels_last=True)


DIRECTED = list(_directed())


def random_case(rng, elements=6000):
    """Windows of any form that have room in a shape of about so many elements."""
    while True:
        ndim = int(rng.integers(1, 4))
        channels_last = bool(rng.integers(2))
        sizes = [int(n) for n in rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 64, 100, 257], 6)]
        batch = sizes[3 : 3 + int(rng.integers(0, 3))]
        shape = (*batch, *sizes[:ndim], *sizes[5 : 5 + channels_last])
        if not elements / 20 < np.prod(shape) < elements:
            continue
        if rng.random() < 0.25:
            outputs = tuple(int(m) for m in rng.integers(1, 20, ndim))
            if np.prod(outputs) > 500:
                continue
            case = Case("random", shape, ndim, channels_last=channels_last, output_size=outputs)
        else:
            kernel = rng.choice([1, 2, 2, 3, 3, 4, 5, 6, 9, 12, 33], ndim)
            dilation = rng.choice([1, 1, 1, 2, 3], ndim)
            extent = dilation * (kernel - 1) + 1
            padding = np.where(rng.random((2, ndim)) < 0.5, rng.integers(0, extent, (2, ndim)), 0)
            case = Case(
                "random",
                shape,
                ndim,
                channels_last=channels_last,
                kernel_size=tuple(map(int, kernel)),
                stride=tuple(map(int, rng.choice([1, 1, 2, 2, 3, 4, 7, 18], ndim))),
                padding=tuple((int(low), int(high)) for low, high in padding.T),
                dilation=tuple(map(int, dilation)),
                ceil_mode=bool(rng.integers(2)),
            )
        try:
            size = np.prod(case.result_shape)
        except ValueError:  # no room
            continue
        if size < 3 * elements:
            return case


# --- arrays --------------------------------------------------------------------------------


def array_of(shape, dtype, seed, special=False):
    """Random elements, many of them equal; with `special` infinities, NaN and -0.0 among floats."""
    rng = np.random.default_rng(seed)
    dtype = dtype_named(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.3)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        array = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        few = rng.integers(max(limits.min, -4), 5, shape).astype(dtype)
        array = np.where(rng.random(shape) < 0.5, array, few)
        array = np.where(rng.random(shape) < 0.1, limits.min, array)
        return np.asarray(array).astype(dtype)
    array = rng.standard_normal(shape)
    array = np.where(rng.random(shape) < 0.5, array, np.round(array))
    if special:
        odd = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0], shape, p=[0.3, 0.1, 0.2, 0.2, 0.2])
        array = np.where(rng.random(shape) < 0.1, odd, array)
    array = np.asarray(array).astype(dtype)
    if special:  # NaNs with a sign and a payload of their own
        bits = array.view(f"u{dtype.itemsize}")
        bits[np.isnan(array) & (rng.random(shape) < 0.5)] |= bits.dtype.type(
            1 | 1 << 8 * dtype.itemsize - 1
        )
    return array


def strided(array):
    """The same elements, with others between them: along no axis are they contiguous."""
    shape = tuple(2 * n for n in array.shape)
    # What lies between must not count, or be written.
    return _filled_into(np.full(shape, 77, array.dtype)[(slice(1, None, 2),) * array.ndim], array)


def reversed_axes(array):
    """The same elements; along every axis memory runs backwards."""
    backwards = (slice(None, None, -1),) * array.ndim
    return array[backwards].copy()[backwards]


def misaligned(array):
    """The same elements, one byte off."""
    memory = np.empty(array.nbytes + 1, np.uint8)
    return _filled_into(np.frombuffer(memory, array.dtype, offset=1).reshape(array.shape), array)


def shuffled_axes(array):
    """The same elements in memory whose axes come in another order: not merged, not contiguous."""
    order = np.random.default_rng(array.ndim).permutation(array.ndim)
    copy = np.ascontiguousarray(array.transpose(order))
    return copy.transpose(np.argsort(order))


def padded_rows(array):
    """The same elements: rows are contiguous, and between all axes there is room."""
    shape = tuple(n + 1 for n in array.shape)
    return _filled_into(np.full(shape, 77, array.dtype)[tuple(map(slice, array.shape))], array)


def _filled_into(view, array):
    view[...] = array
    return view


# --- judging -------------------------------------------------------------------------------


def answers(call, builds=BUILDS):
    """What each build answers; not a bit differs."""
    first = None
    for level, threads in builds:
        with using(level, threads):
            answer = call()
        answer = answer if isinstance(answer, tuple) else (answer,)
        if first is None:
            first = answer
        for actual, expected in zip(answer, first, strict=True):
            assert_same_bits(actual, expected, f"at {level}, {threads} threads")
    return first if len(first) > 1 else first[0]


def assert_equal(actual, expected, message=""):
    """Equal, and NaN where NaN is expected; zeros of any sign are equal."""
    assert actual.dtype == expected.dtype, message
    if actual.dtype.name == "bfloat16":  # whose NaNs NumPy's testing does not know
        actual, expected = actual.astype("float32"), expected.astype("float32")
    np.testing.assert_array_equal(actual, expected, err_msg=message, strict=True)


def assert_same_bits(actual, expected, message=""):
    """Not a bit differs: of NaN and of zero neither."""
    assert actual.dtype == expected.dtype, message
    assert actual.shape == expected.shape, message
    if actual.tobytes() != expected.tobytes():
        assert_equal(actual, expected, message)
        raise AssertionError(f"signs of zeros or payloads of NaN differ {message}")


def reference_max(case, x):
    """Maxima and indices by the reference."""
    return _reference.max_pool(x, case.axes, case.channels_last, True, None)


def reference_max_backward(case, grad_output, x, indices=None):
    """Gradients of the maximum by the reference."""
    return _reference.max_pool_backward(
        grad_output, x, case.axes, case.channels_last, indices, None
    )


def reference_average(case, x, include_pad=True, divisor=None, dtype="float64"):
    """Averages by the reference."""
    return _reference.avg_pool(
        x, case.axes, case.channels_last, include_pad, divisor, dtype_named(dtype), None
    )


def reference_average_backward(case, grad_output, include_pad=True, divisor=None):
    """Gradients of the average by the reference."""
    return _reference.avg_pool_backward(
        grad_output, case.shape, case.axes, case.channels_last, include_pad, divisor, None
    )


def assert_within_an_ulp(result, case, x, include_pad=True, divisor=None):
    """Averages of integers, in a floating dtype: within one unit in the last place."""
    if x.dtype != np.uint64:
        x = x.astype("int64")
    # Exact sums of both halves of the elements, and their quotient in as many bits as there are.
    low, high = (
        reference_average(case, half.astype("int64"), divisor=1, dtype="int64")
        for half in (x & np.asarray(2**32 - 1, x.dtype), x >> np.asarray(32, x.dtype))
    )
    exact = high.astype(np.longdouble) * 2**32 + low
    exact /= case.counts(include_pad) if divisor is None else divisor
    kind = ml_dtypes.finfo(result.dtype)
    ulp = np.ldexp(float(kind.eps), np.frexp(abs(exact))[1] - 1).astype(np.longdouble)
    ulp = np.maximum(ulp, float(kind.smallest_subnormal))
    ulp += 8 * np.finfo(np.longdouble).eps * abs(exact)  # of the line above
    finite = abs(exact) < float(kind.max)
    off = abs(result.astype("float64") - exact)[finite] > ulp[finite]
    assert not off.any(), f"{off.sum()} averages are off by more than one ulp"


def assert_average(case, operation, actual, array, include_pad=True, divisor=None, message=""):
    """Averages of floating numbers, or their gradients, are as exact as they have to be."""
    reference = reference_average
    if operation == "avg_pool_backward":
        reference = reference_average_backward
    with np.errstate(all="ignore"):
        wide = array.astype("float64")
        exact = reference(case, wide, include_pad, divisor)
        size = reference(case, abs(wide), include_pad, divisor and abs(divisor))
        taps = np.maximum(case.taps(operation), 1)
        in_double = "float64" in (array.dtype.name, actual.dtype.name)
        computed = np.finfo("float64" if in_double else "float32")
        bound = (1 + np.ceil(np.log2(taps)) / 2) * computed.eps * size
        bound += computed.smallest_subnormal
        if in_double:  # the reference rounds too, but once
            bound += np.finfo("float64").eps * abs(exact)
        low, high = exact - bound, exact + bound
        if actual.dtype.itemsize < computed.dtype.itemsize:
            if actual.dtype.itemsize == 2:  # from float64 through float32
                slack = in_double * np.finfo("float32").eps * abs(exact)
                low, high = low - slack, high + slack
            low, high = low.astype(actual.dtype), high.astype(actual.dtype)
        result = actual.astype("float64")
        finite = np.isfinite(exact)
        inside = (result >= low.astype("float64")) & (result <= high.astype("float64"))
        wrong = finite & ~inside
    np.testing.assert_array_equal(result[~finite], exact[~finite], err_msg=message)
    if wrong.any():
        place = tuple(map(int, np.argwhere(wrong)[0]))
        raise AssertionError(
            f"{wrong.sum()} averages are off, the one at {place}: {result[place]!r} is not "
            f"{exact[place]!r} +- {np.broadcast_to(bound, exact.shape)[place]!r} {message}"
        )
