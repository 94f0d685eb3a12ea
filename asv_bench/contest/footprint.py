"""What pooltk takes beside time: `python -m contest.footprint [WHEEL]`.

Import time beyond NumPy's, scratch a thread, the wheel's size, lines of Cython. Scratch is what a
process's peak of memory grows by in the first call that needs it, so each call has a process of its
own. Linux with glibc only.
"""

import subprocess
import sys
from itertools import product
from pathlib import Path
from statistics import median

_IMPORT = """
import numpy, time
start = time.perf_counter()
import pooltk
print(time.perf_counter() - start)
"""

# The first call, on a small array, has loaded the kernels and woken the threads.
_SCRATCH = """
import ctypes, re, numpy, pooltk
def kilobytes(what):
    return int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
def arrays(shape, *window):
    x = numpy.ones(shape, "{dtype}")
    grad = numpy.ones(x.shape[:-{d}] + pooltk.pool_output_shape(x.shape[-{d}:], *window), "{dtype}")
    return x, grad, grad.copy(), x.copy(), window
def call(x, grad, out, out_grad, window):
    pooltk.{function}({arguments}, *window, out={out})
pooltk.set_num_threads({threads})
call(*arrays((16,) * {d} + (16,), 2))
large = arrays({shape}, {window})
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
before = kilobytes("VmRSS")
call(*large)
print((kilobytes("VmHWM") - before) * 1024 / {threads})
"""
_ARGUMENTS = {
    "max_pool": ("x", "out"),
    "avg_pool": ("x", "out"),
    "max_pool_backward": ("grad, x", "out_grad"),
    "avg_pool_backward": ("grad, x.shape", "out_grad"),
}

# Windows and rows as long as the bound is promised for, and longer rows.
_WINDOWS = [
    (1, (4, 2**18), "64, 1, 32"),
    (2, (1, 128, 2**13), "64, 1, 32"),
    (2, (4, 256, 256), "64, 1, 32"),
    (2, (1, 128, 2**13), "64, 64"),
    (3, (1, 16, 16, 2**12), "8, 1, 4"),
]


def _said(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def _line(what: str, value: float, bound: float, unit: str) -> None:
    verdict = "pass" if value <= bound else "FAIL"
    print(f"{what:<84} {value:8.2f} <= {bound:g} {unit:<6} {verdict}", flush=True)


def main() -> None:
    """Print a line for each."""
    _line("import beyond NumPy's", median(_said(_IMPORT) for _ in range(11)) * 1e3, 20, "ms")
    for wheel in map(Path, sys.argv[1:]):
        _line(f"size of {wheel.name}", wheel.stat().st_size / 2**20, 2, "MB")
    source = Path(__file__).parents[2] / "src"
    files = [path for kind in ("*.pyx", "*.pxi", "*.pxd") for path in source.rglob(kind)]
    _line("lines of Cython", sum(len(path.read_text().splitlines()) for path in files), 1500, "")
    for op, (d, shape, window), dtype, threads in product(
        _ARGUMENTS, _WINDOWS, ("float32", "float16"), (1, 2)
    ):
        arguments, out = _ARGUMENTS[op]
        function = op.replace("_pool", f"_pool{d}d")
        code = _SCRATCH.format_map(locals())
        what = f"{function}({window}) {'x'.join(map(str, shape))} {dtype}, {threads} threads"
        _line(f"scratch a thread: {what}", _said(code) / 2**20, 1, "MB")


if __name__ == "__main__":
    main()
