"""Levels of the instruction set: which one runs, and what is said where none can."""

import platform
import re

import numpy as np
import pytest
from _cpu_cases import LEVELS, check_python, run_python

import pooltk
from pooltk._cpu import _levels, _system

EVERY_FEATURE = frozenset().union(*(level.requires for level in _levels.LEVELS))


@pytest.fixture
def undecided(monkeypatch):
    """The level has not been chosen yet, and no variable says which."""
    monkeypatch.delenv("POOLTK_CPU_LEVEL", raising=False)
    _levels.current.cache_clear()
    _levels.kernels.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    _levels.current.cache_clear()
    _levels.kernels.cache_clear()


def test_best_level_by_default(undecided):
    assert _levels.current() == _levels.available()[-1]
    undecided.setattr(_levels, "cpu_features", lambda: EVERY_FEATURE)
    undecided.setattr(_levels, "BUILT_LEVELS", ("baseline", "x86_64_v3"))
    _levels.current.cache_clear()
    assert _levels.available() == ("baseline", "x86_64_v3")
    assert _levels.current() == "x86_64_v3"


@pytest.mark.parametrize("lacking", sorted(EVERY_FEATURE))
def test_plainer_level_where_a_feature_is_lacking(lacking, undecided):
    undecided.setattr(_levels, "cpu_features", lambda: EVERY_FEATURE - {lacking})
    undecided.setattr(_levels, "BUILT_LEVELS", ("baseline", "x86_64_v3"))
    assert _levels.available() == ("baseline",)
    assert _levels.current() == "baseline"


def test_every_level_is_chosen_once(undecided):
    """Not before the first call, and not again."""
    undecided.setenv("POOLTK_CPU_LEVEL", LEVELS[0])
    first = _levels.kernels()
    undecided.setenv("POOLTK_CPU_LEVEL", "nonsense")
    assert _levels.kernels() is first
    assert first.__name__ == f"pooltk._cpu._pool_{LEVELS[0]}"


@pytest.mark.parametrize("level", LEVELS)
def test_forced_level(level):
    program = """
import sys, numpy, pooltk
assert not any("_pool_" in name for name in sys.modules)  # chosen at the first call
pooltk.max_pool1d(numpy.zeros(4), 2)
print(*[name for name in sys.modules if "_pool_" in name])
print(pooltk.show_config(mode="dicts")["cpu"]["level"])
"""
    printed = check_python(program, POOLTK_CPU_LEVEL=level).split()
    assert printed == [f"pooltk._cpu._pool_{level}", level]


def test_unknown_level(undecided):
    undecided.setenv("POOLTK_CPU_LEVEL", "avx9")
    with pytest.raises(
        ValueError, match=r"^POOLTK_CPU_LEVEL='avx9' is no level; allowed: baseline, x86_64_v3$"
    ):
        pooltk.show_config(mode="dicts")


def test_level_that_was_not_built(undecided):
    undecided.setenv("POOLTK_CPU_LEVEL", "x86_64_v3")
    undecided.setattr(_levels, "BUILT_LEVELS", ("baseline",))
    with pytest.raises(
        ValueError, match=r"^POOLTK_CPU_LEVEL='x86_64_v3' was not built; built: baseline$"
    ):
        _levels.kernels()


def test_level_that_this_machine_cannot_run(undecided):
    undecided.setenv("POOLTK_CPU_LEVEL", "x86_64_v3")
    undecided.setattr(_levels, "BUILT_LEVELS", ("baseline", "x86_64_v3"))
    undecided.setattr(_levels, "cpu_features", lambda: EVERY_FEATURE - {"avx2", "bmi1"})
    with pytest.raises(
        ValueError,
        match=r"^POOLTK_CPU_LEVEL='x86_64_v3' cannot run on this machine, which lacks avx2, bmi1; "
        r"it can run: baseline$",
    ):
        _levels.kernels()


def test_no_level_that_this_machine_can_run(undecided):
    undecided.setattr(_levels, "BUILT_LEVELS", ("x86_64_v3",))
    undecided.setattr(_levels, "cpu_features", frozenset)
    with pytest.raises(ImportError, match=r"can run none of the levels that were built .x86_64_v3"):
        _levels.kernels()


def test_level_that_does_not_load(undecided):
    """An error, and no plainer level instead of it."""

    def import_module(name):
        raise ImportError(f"no {name} today")

    undecided.setattr(_levels, "import_module", import_module)
    name = LEVELS[-1]
    with pytest.raises(
        ImportError,
        match=rf"^pooltk: the level '{name}' was built, but pooltk\._cpu\._pool_{name} does not "
        rf"load: no pooltk\._cpu\._pool_{name} today$",
    ):
        _levels.kernels()


def test_wrong_variable_is_an_error_of_the_first_call():
    program = """
import numpy, pooltk
try:
    pooltk.max_pool1d(numpy.zeros(4), 2)
except ValueError as error:
    print(error)
"""
    printed = check_python(program, POOLTK_CPU_LEVEL="best")
    assert printed.startswith("POOLTK_CPU_LEVEL='best' is no level; allowed: ")


def test_features_of_this_machine():
    features = _system.cpu_features()
    if platform.machine().lower() not in ("x86_64", "amd64"):
        assert features == frozenset()
        return
    assert features <= EVERY_FEATURE
    assert "sse3" in features  # as every 64-bit x86 for twenty years
    try:
        with open("/proc/cpuinfo") as file:
            flags = set(re.search(r"^flags\s*:(.*)$", file.read(), re.MULTILINE)[1].split())
    except OSError:  # not Linux
        return
    # As the system calls them. It has no name for osxsave.
    other_names = {
        "abm": "lzcnt",
        "cx16": "cmpxchg16b",
        "lahf_lm": "lahf",
        "pni": "sse3",
        "sse4_1": "sse4.1",
        "sse4_2": "sse4.2",
    }
    expected = {other_names.get(flag, flag) for flag in flags} & EVERY_FEATURE
    assert features - {"osxsave"} == expected


def test_levels_are_listed():
    names = [level.name for level in _levels.LEVELS]
    assert names[0] == "baseline"
    assert set(_system.BUILT_LEVELS) <= set(names)
    assert list(LEVELS) == [name for name in names if name in LEVELS]  # in this order
    assert _levels.LEVELS[0].requires == frozenset()


@pytest.mark.parametrize("level", LEVELS)
def test_python_m_pooltk(level):
    """What is printed names the level, the threads and NumPy, as they are."""
    printed = check_python(["-m", "pooltk"], POOLTK_CPU_LEVEL=level, POOLTK_NUM_THREADS="1")
    facts = dict(re.findall(r"^  (\S.*?) {2,}(\S.*)$", printed, re.MULTILINE))
    assert facts["version"] == pooltk.__version__
    assert facts["level"] == level
    assert facts["levels that run here"] == ", ".join(LEVELS)
    assert facts["levels built"] == ", ".join(_system.BUILT_LEVELS)
    assert facts["compiler"] == _system.COMPILER
    assert facts["number"] == "1"
    assert np.__version__ in printed
    assert re.findall(r"^(\S.*)$", printed, re.MULTILINE)[:3] == ["pooltk", "cpu", "threads"]


def test_python_m_pooltk_with_a_wrong_level():
    done = run_python(["-m", "pooltk"], POOLTK_CPU_LEVEL="fast")
    assert done.returncode != 0
    assert "POOLTK_CPU_LEVEL='fast' is no level" in done.stderr


@pytest.mark.parametrize("other", ["POOLTK_CPU_LEVEL", "POOLTK_NUM_THREADS"])
def test_empty_variable_is_none(other):
    assert check_python("import pooltk; pooltk.show_config()", **{other: ""})
