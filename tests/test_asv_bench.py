"""The benchmarks of asv_bench: each runs, on small arrays, and calls what it is named after."""

import importlib
import itertools
import math
import pkgutil
import subprocess
import sys
from dataclasses import replace

import benchmarks
import pytest
from benchmarks import limits
from contest.timing import Budget

import pooltk

MODULES = [
    importlib.import_module(f"benchmarks.{module.name}")
    for module in pkgutil.iter_modules(benchmarks.__path__)
]
METHODS = [
    pytest.param(kind, name, id=f"{module.__name__.partition('.')[2]}.{kind.__name__}.{name}")
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__
    for name in dir(kind)
    if name.startswith(("time_", "peakmem_", "track_"))
]
IMPORTS = [
    pytest.param(function, id=name)
    for module in MODULES
    for name, function in vars(module).items()
    if name.startswith("timeraw_")
]


def small(sizes):
    """Return a shape with the same axes, of a few elements each."""
    return tuple(min(size, 8) for size in sizes)


@pytest.fixture
def called(monkeypatch):
    """Names of pooltk's functions, in the order in which they are called."""
    names = []

    def recording(name, function):
        def call(*args, **kwargs):
            names.append(name)
            return function(*args, **kwargs)

        return call

    for name in pooltk.__all__:
        if "_pool" in name and name.endswith(("d", "d_backward")):
            monkeypatch.setattr(pooltk, name, recording(name, getattr(pooltk, name)))
    return names


@pytest.fixture(autouse=True)
def restored_threads():
    threads = pooltk.get_num_threads()
    yield
    pooltk.set_num_threads(threads)


@pytest.fixture
def small_table(monkeypatch):
    """The contest's cases on small arrays, measured twice each."""
    table = {name: replace(c, shape=small(c.shape)) for name, c in limits.TABLE.items()}
    monkeypatch.setattr(limits, "TABLE", table)
    monkeypatch.setattr(limits, "BUDGET", Budget(rounds=2, seconds=0))


@pytest.mark.parametrize("kind, name", METHODS)
def test_runs_and_calls_what_it_is_named_after(kind, name, called, small_table):
    skipped = []
    for params in itertools.product(*kind.params):
        given = dict(zip(kind.param_names, params, strict=True))
        if "shape" in given:
            given["shape"] = "x".join(map(str, small(map(int, given["shape"].split("x")))))
        benchmark = kind()
        try:
            benchmark.setup(*given.values())
        except NotImplementedError as reason:
            assert kind is limits.Ratio or given["backend"] == "cupy"
            skipped.append(str(reason))
            continue
        called.clear()
        result = getattr(benchmark, name)(*given.values())
        if "case" in given:
            assert result > 0
            assert {*called} == {limits.TABLE[given["case"]].function}
        else:
            assert called == [name.partition("_")[2]]
    if len(skipped) == math.prod(map(len, kind.params)):
        assert kind is limits.Ratio
        pytest.skip(skipped[0])


@pytest.mark.parametrize("function", IMPORTS)
def test_imports_what_it_is_named_after(function):
    module = function.__name__.rpartition("_")[2]
    statement, *setup = [function()] if isinstance(function(), str) else function()
    code = [*setup, "import sys", f"assert {module!r} not in sys.modules", statement]
    code += [f"assert {module!r} in sys.modules"]
    subprocess.run([sys.executable, "-c", "\n".join(code)], check=True)


def test_every_operation_is_timed():
    timed = {p.values[1].removeprefix("time_") for p in METHODS if p.values[1].startswith("time_")}
    functions = {name for name in pooltk.__all__ if "_pool2d" in name}
    assert functions <= timed
