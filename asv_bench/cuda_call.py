"""What Python takes of a call on CuPy arrays: beside a bare launch of its kernel and `cupy.empty`.

    python asv_bench/cuda_call.py

Arrays of one window, so that the kernel is as good as nothing. In each round all are timed in turn,
in CPU time of this process; the table has the least of each, in microseconds, and the ratio. It is
the host's time: it can be taken over the emulated device of tests/cupy_on_cpu.
"""

import time

import cupy

import pooltk
from pooltk._cuda import _modules, _pool

ROUNDS, CALLS = 30, 300


def calls():
    """Yield the name of an operation, a call of it, and its bare launch with its allocation."""
    x = cupy.arange(4, dtype="float32").reshape(1, 1, 2, 2)
    grad_output, indices = cupy.ones((1, 1, 1, 1), "float32"), cupy.zeros((1, 1, 1, 1), "int64")
    for name, call in {
        "max_pool2d": lambda: pooltk.max_pool2d(x, 2),
        "avg_pool2d": lambda: pooltk.avg_pool2d(x, 2),
        "adaptive_max_pool2d": lambda: pooltk.adaptive_max_pool2d(x, 1),
        "max_pool2d_backward": lambda: pooltk.max_pool2d_backward(grad_output, x, 2),
        "the same by indices": lambda: pooltk.max_pool2d_backward(
            grad_output, x, 2, indices=indices
        ),
        "avg_pool2d_backward": lambda: pooltk.avg_pool2d_backward(grad_output, x.shape, 2),
    }.items():
        yield name, call, bare_launch(call)


def bare_launch(call):
    """Return a function that does what is left of a call without pooltk."""
    launches = []
    original = _modules.Kernel.__call__

    def spy(kernel, *arrays):
        launches.append((kernel, arrays))
        original(kernel, *arrays)

    _pool._ready.clear()
    _modules.Kernel.__call__ = spy
    shape = call().shape
    _modules.Kernel.__call__ = original
    ready = [(k._start, k._grid, (*arrays, k._geometry)) for k, arrays in launches]

    def bare():  # each launch has an array of its own to write
        for start, grid, arguments in ready:
            cupy.empty(shape, "float32")
            start(grid, _modules._BLOCK, arguments)

    return bare


def microseconds(function):
    start = time.process_time()
    for _ in range(CALLS):
        function()
    return (time.process_time() - start) / CALLS * 1e6


def main():
    """Print the table."""
    timed = list(calls())
    print(f"{'':22} {'call':>6} {'bare':>6} {'ratio':>6}")
    for name, *functions in timed:
        for function in functions:
            function()
        rounds = [[microseconds(function) for function in functions] for _ in range(ROUNDS)]
        call, bare = map(min, zip(*rounds, strict=True))
        print(f"{name:22} {call:6.1f} {bare:6.1f} {call / bare:6.2f}")


if __name__ == "__main__":
    main()
