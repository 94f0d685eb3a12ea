"""Whether the threads of a kernel race: a .cu file compiled by g++, run under ThreadSanitizer.

    source = Path("sum.cu").read_text()
    x, y = race_check.run(source, "sum", grid=1, block=256, arguments=[x, y], macros=["T=float"])

Neither PTX nor a driver takes part. What it shows is that a barrier orders any two accesses of
threads to the same memory, one of which writes; the emulated device, on which one thread runs at a
time, shows that for the schedules that it is given. tsan/threads.cpp says how.
"""

import ctypes
import math
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent / "tsan"
CXX = os.environ.get("CXX", "g++")
FLAGS = "-std=c++17 -O1 -g -w"
MOST_THREADS = 8000  # beside the blocks, which are threads too
ADDR_NO_RANDOMIZE = 0x0040000  # g++ 12's TSan ends where addresses have 32 random bits


class Race(Exception):
    """Two accesses that nothing orders; the text is ThreadSanitizer's report."""


class CompileError(Exception):
    """g++ refused the source, or tsan/shim.h lacks a word that it uses; the text is its log."""


def run(source, kernel, grid, block, arguments, macros=()):
    """Launch a kernel; return what its arrays hold afterwards, or raise `Race`.

    NumPy arrays are passed as pointers to a copy; NumPy scalars and 0-dimensional arrays, which
    may be structured, by value. A kernel is an extern "C" name or an expression, 'pool<float>';
    macros are 'NAME' or 'NAME=VALUE'. Inline PTX has to be switched off by one of them.
    """
    threads = math.prod(_three(grid)) * math.prod(_three(block))
    if threads > MOST_THREADS:
        raise ValueError(f"{threads} threads: ThreadSanitizer knows {MOST_THREADS} at most")
    program = _program(source, kernel, tuple(macros))
    arguments = [np.asarray(argument) for argument in arguments]
    arrays = [argument for argument in arguments if argument.ndim]
    with tempfile.TemporaryDirectory() as folder:
        given, results = Path(folder, "arguments"), Path(folder, "results")
        given.write_bytes(b"".join(_launch(grid, block, arguments)))
        done = subprocess.run(
            [program, given, results],
            env=os.environ | {"TSAN_OPTIONS": ""},
            preexec_fn=lambda: ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE),
            capture_output=True,
            text=True,
        )
        if "WARNING: ThreadSanitizer: data race" in done.stderr:
            raise Race(done.stderr)
        if done.returncode:
            raise RuntimeError(f"{kernel}: exit status {done.returncode}: {done.stderr}")
        data = results.read_bytes()
    sizes = np.cumsum([array.nbytes for array in arrays])
    return [
        np.frombuffer(data[end - array.nbytes : end], array.dtype).reshape(array.shape)
        for array, end in zip(arrays, sizes, strict=True)
    ]


def _launch(grid, block, arguments):
    """Yield the pieces of the file that tsan/threads.cpp reads."""
    yield np.int64([*_three(grid), *_three(block), len(arguments)]).tobytes()
    for argument in arguments:
        yield np.int64([argument.ndim > 0, argument.nbytes]).tobytes()
        yield argument.tobytes()


def _three(size):
    size = (size,) if isinstance(size, int) else tuple(size)
    return size + (1,) * (3 - len(size))


@cache
def _folder():
    """Where the programs are, until this process ends."""
    return tempfile.TemporaryDirectory()


@cache
def _threads():
    target = Path(_folder().name, "threads.o")
    _compile([*_includes(), "-c", HERE / "threads.cpp", "-o", target])
    return target


@cache
def _program(source, kernel, macros):
    """Compile a kernel's program; each is compiled once."""
    file = Path(_folder().name, f"{_program.cache_info().misses}.cpp")
    invoke = f"void invoke(void** values) {{ shim::call({kernel}, values); }}"
    file.write_text(f'#include "shim.h"\n#line 1 "source.cu"\n{source}\n{invoke}\n')
    target = file.with_suffix("")
    defined = [f"-D{macro}" for macro in macros]
    _compile(["-fsanitize=thread", *defined, *_includes(), file, _threads(), "-o", target])
    return target


def _includes():
    import nvidia

    headers = [folder for root in nvidia.__path__ for folder in Path(root).glob("cu*/include")]
    return [f"-I{folder}" for folder in [HERE, *headers]]


def _compile(arguments):
    done = subprocess.run(
        [CXX, *FLAGS.split(), *arguments, "-pthread"], capture_output=True, text=True
    )
    if done.returncode:
        raise CompileError(done.stderr)
