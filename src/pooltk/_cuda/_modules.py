"""The kernels: their sources, how they are compiled and started, and where they are kept.

Each `.cu` file of `kernels/` is one kernel, with a C name: CuPy's cache on disk knows no C++ names.
It is compiled, for the types and the windows of a call, when a call first needs it so.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Any

import cupy

from .. import _checks
from . import _launch

OPTIONS = ("--std=c++17",)
_BLOCK = (_launch.BLOCK,)
_INCLUDE = re.compile(r'^#include "(.+)"$', re.MULTILINE)


class Kernel:
    """What a planned launch needs of CuPy: it is called with the arrays of the kernel."""

    def __init__(self, launch: _launch.Launch) -> None:
        options = (*OPTIONS, *(f"-D{macro}" for macro in launch.macros))
        try:
            self._start = _raw_kernel(launch.kernel, options)
            self._start.compile()
        except Exception as error:
            # Of which there are many: of NVRTC's loader, CuPy's compiler, the driver.
            raise _checks.not_compiled(launch.kernel, options, error) from error
        self._grid = (launch.blocks,)
        # CuPy passes a NumPy scalar by value, structs included.
        self._geometry = launch.geometry.view(f"V{launch.geometry.size}")[0]

    def __call__(self, *arrays: Any) -> None:
        """Start the kernel on the current stream of the current device."""
        self._start(self._grid, _BLOCK, (*arrays, self._geometry))


@cache
def _raw_kernel(kernel: str, options: tuple[str, ...]) -> Any:
    """Return what CuPy compiles for each device on which it is used."""
    return cupy.RawModule(code=source(kernel), options=options).get_function(kernel)


def source(kernel: str) -> str:
    """Source of a kernel, with the files that it includes, which need no path so."""
    return _read(f"{kernel}.cu")


@cache
def _read(name: str) -> str:
    text = (files(__package__) / "kernels" / name).read_text()
    return f'#line 1 "{name}"\n' + _INCLUDE.sub(lambda line: _read(line[1]), text)
