"""Instruction set levels: one build of the kernels each, and the choice among them.

The choice is made once, at the first call. It is the last level of `LEVELS` that was built and
that this machine can run, or the one that the environment variable POOLTK_CPU_LEVEL names.
All levels give the same bits.
"""

import os
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from ._system import BUILT_LEVELS, cpu_features

VARIABLE = "POOLTK_CPU_LEVEL"


class Level(NamedTuple):
    """What a level is called, and what a machine must have to run it."""

    name: str
    requires: frozenset[str]

    @property
    def module(self) -> str:
        return f"pooltk._cpu._pool_{self.name}"

    @property
    def built(self) -> bool:
        return self.name in BUILT_LEVELS

    @property
    def missing(self) -> frozenset[str]:
        """What this machine lacks for it; nothing, if it can run it."""
        return self.requires - cpu_features()


_X86_64_V2 = frozenset({"cmpxchg16b", "lahf", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"})

# From the plainest to the fastest. The compiler flags of each are in meson.build.
LEVELS = (
    Level("baseline", frozenset()),
    Level(
        "x86_64_v3",
        _X86_64_V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe", "osxsave"},
    ),
)


def available() -> tuple[str, ...]:
    """Names of the levels that were built and that this machine can run."""
    return tuple(level.name for level in LEVELS if level.built and not level.missing)


@cache
def current() -> str:
    """Name of the level in use."""
    forced = os.environ.get(VARIABLE)
    if not forced:
        if not available():
            raise ImportError(
                f"pooltk: this machine can run none of the levels that were built ({_built()}); "
                f"build it with the level 'baseline'"
            )
        return available()[-1]
    for level in LEVELS:
        if level.name == forced:
            break
    else:
        names = ", ".join(level.name for level in LEVELS)
        raise ValueError(f"{VARIABLE}={forced!r} is no level; allowed: {names}")
    if not level.built:
        raise ValueError(f"{VARIABLE}={forced!r} was not built; built: {_built()}")
    if level.missing:
        lacks = ", ".join(sorted(level.missing))
        runs = ", ".join(available()) or "no level that was built"
        raise ValueError(
            f"{VARIABLE}={forced!r} cannot run on this machine, which lacks {lacks}; "
            f"it can run: {runs}"
        )
    return level.name


@cache
def kernels() -> ModuleType:
    """Kernels of the current level. One that does not load is an error, never a fallback."""
    level = next(level for level in LEVELS if level.name == current())
    try:
        return import_module(level.module)
    except ImportError as error:
        raise ImportError(
            f"pooltk: the level {level.name!r} was built, but {level.module} does not load: {error}"
        ) from error


def _built() -> str:
    return ", ".join(BUILT_LEVELS)
