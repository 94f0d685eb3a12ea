"""The benchmarks of asv_bench: each runs, on small arrays, and calls what it is named after."""

import importlib
import itertools
import pkgutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import benchmarks
import pytest
from benchmarks import common, limits
from contest.timing import Budget

import pooltk
from pooltk import _support

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


@pytest.fixture
def cupy(monkeypatch, called):
    """CuPy with a device, for all that the benchmarks see of it; its arrays are NumPy's."""
    stream = SimpleNamespace(synchronize=lambda: called.append("synchronize"))
    module = SimpleNamespace(
        asarray=lambda array: array,
        cuda=SimpleNamespace(get_current_stream=lambda: stream),
        is_available=lambda: True,
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(_support.LIBRARIES, "cupy", _support.LIBRARIES["numpy"])
    return module


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
def test_runs_and_calls_what_it_is_named_after(kind, name, called, cupy, small_table):
    for params in itertools.product(*kind.params):
        given = dict(zip(kind.param_names, params, strict=True))
        if "shape" in given:
            given["shape"] = "x".join(map(str, small(map(int, given["shape"].split("x")))))
        benchmark = kind()
        try:
            benchmark.setup(*given.values())
        except NotImplementedError as reason:
            assert kind is limits.Ratio
            pytest.skip(str(reason))
        called.clear()
        result = getattr(benchmark, name)(*given.values())
        if "case" in given:
            assert result > 0
            assert {*called} == {limits.TABLE[given["case"]].function}
        else:
            waited = ["synchronize"] if given["backend"] == "cupy" else []
            assert called == [name.partition("_")[2], *waited]


def test_without_a_device_cupy_is_skipped(monkeypatch, cupy):
    cupy.is_available = lambda: False
    with pytest.raises(NotImplementedError, match="device"):
        common.library("cupy")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(NotImplementedError, match="not installed"):
        common.library("cupy")
    monkeypatch.delitem(_support.LIBRARIES, "cupy")
    with pytest.raises(NotImplementedError, match="no backend"):
        common.library("cupy")


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
