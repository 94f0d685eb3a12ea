"""The benchmarks of asv_bench: each runs, on small arrays, and calls what it is named after.

And what the contest is on a device.
"""

import importlib
import itertools
import json
import os
import pkgutil
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import benchmarks
import numpy as np
import pytest
from benchmarks import common, limits
from contest.arrays import Arrays
from contest.cases import CASES, LAST, Case
from contest.devices import Cuda, Host
from contest.peers import load
from contest.report import Report
from contest.run import LIMIT, OK, UNSUPPORTED, Entry, Result, compare, difference
from contest.timing import THREADS, Budget, Timing, threads_run

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


class FakeCupy:
    """CuPy with a device, for all that the benchmarks see of it; its arrays are NumPy's."""

    def __init__(self, called):
        runtime = SimpleNamespace(deviceSynchronize=lambda: called.append("synchronize"))
        self.cuda = SimpleNamespace(runtime=runtime)
        self.is_available = lambda: True

    def __getattr__(self, name):
        return getattr(np, name)


@pytest.fixture
def fake_cupy(monkeypatch, called):
    module = FakeCupy(called)
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
def test_runs_and_calls_what_it_is_named_after(kind, name, called, fake_cupy, small_table):
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
        waited = ["synchronize"] if given["backend"] == "cupy" else []
        if "case" in given:
            assert result > 0
            assert {*called} == {limits.TABLE[given["case"]].function, *waited}
        else:
            assert called == [name.partition("_")[2], *waited]


def test_without_a_device_cupy_is_skipped(monkeypatch, fake_cupy):
    fake_cupy.is_available = lambda: False
    with pytest.raises(NotImplementedError, match="device"):
        common.device_of("cupy")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(NotImplementedError, match="not installed"):
        common.device_of("cupy")
    monkeypatch.delitem(_support.LIBRARIES, "cupy")
    with pytest.raises(NotImplementedError, match="no backend"):
        common.device_of("cupy")


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


@pytest.mark.skipif(not os.path.isdir(THREADS), reason="only Linux says which threads run")
def test_contest_sees_a_thread_that_spins_for_less_than_a_tick():
    started, ended = threading.Event(), threading.Event()

    def spin():
        started.set()
        while not ended.is_set():
            sum(range(100))

    def seen():
        """Return what was seen, apart from moments in which any thread may run."""
        looks = []
        for _ in range(50):
            time.sleep(0.001)
            looks.append(threads_run())
        return statistics.mode(looks)

    thread = threading.Thread(target=spin)
    thread.start()
    started.wait()
    spinning = seen()
    ended.set()
    thread.join()
    assert spinning
    assert not seen()


# --- the contest on a device -------------------------------------------------------------------

GROUPS = "indices", "views", "backward", "dtypes", "images", "adaptive"
ON_DEVICE = [next(case for case in CASES if case.group == group) for group in GROUPS]
ON_DEVICE.append(next(case for case in CASES if case.layout == LAST))


@pytest.mark.gpu
@pytest.mark.parametrize("case", ON_DEVICE, ids=lambda case: case.name)
def test_cases_are_the_same_on_a_device(cupy, case):
    case = replace(case, shape=small(case.shape))
    found, strides = [], []
    for device in (Host(), Cuda()):
        present, _ = load((), device.name)
        arrays = Arrays(case, device.xp)
        result, _ = compare(case, arrays, 1, present, device)
        assert {entry.status for entry in result.entries.values()} <= {OK, UNSUPPORTED}
        raw = present[0].prepare(case, arrays, 1)()
        found.append(tuple(map(device.to_numpy, present[0].results(case, raw))))
        strides.append(arrays.read.strides)
    assert not difference(case, *found)
    assert strides[0] == strides[1]


@pytest.mark.gpu
def test_the_limit_on_a_device_is_a_copy(cupy, log):
    """Of half the bytes, as each is read and written."""
    case = Case("", "max_pool", (1, 1, 8, 16), (("kernel_size", 2),), backward=True)
    call = Cuda().limit().prepare(Arrays(case, cupy), 1)
    with log.record() as recorded:
        call()
    (copy,) = recorded.copies
    assert (copy["direction"], copy["bytes"]) == ("device-to-device", 4 * (128 + 128 + 32) // 2)


@pytest.mark.gpu
def test_one_command_gives_the_table_of_a_device(cupy, tmp_path):
    command = [sys.executable, "-m", "contest", "--device", "cuda", "--quick"]
    command += ["--cases", "tiny max_pool2d k2 .*x4x4", "--batch", "2"]
    command += ["--output", str(tmp_path / "table")]
    folder = Path(benchmarks.__path__[0]).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| GB/s | of limit | verdict |" in (tmp_path / "table.md").read_text()
    found = json.loads((tmp_path / "table.json").read_text())
    (result,) = found["results"]
    assert result["name"].endswith(" 2x1x4x4")
    peers = {"torch", "torch channels_last", "onnxruntime"}
    times = dict(zip(found["contestants"], result["times"], strict=True))
    assert {*found["absent"], *times} >= peers
    for name in ("pooltk", LIMIT, *(peers - {*found["absent"]})):
        assert times[name][0] > 0


@pytest.mark.parametrize(
    "shape, kernel_size, milliseconds, verdict",
    [
        ((64, 64, 112, 112), 2, {"pooltk": 1.1, "torch": 1.2, LIMIT: 1.0}, "pass"),
        ((64, 64, 112, 112), 2, {"pooltk": 1.2, "torch": 1.3, LIMIT: 1.0}, "FAIL"),
        ((64, 64, 112, 112), 2, {"pooltk": 1.1, "torch": 1.0, LIMIT: 1.0}, "FAIL"),
        ((64, 64, 112, 112), 13, {"pooltk": 5.0, "torch": 6.0, LIMIT: 1.0}, "pass"),
        ((1, 64, 112, 112), 2, {"pooltk": 5.0, "torch": 6.0, LIMIT: 1.0}, "pass"),
        ((64, 64, 112, 112), 2, {"pooltk": 1.1, LIMIT: 1.0}, "pass"),
    ],
)
def test_what_passes_on_a_device(monkeypatch, fake_cupy, shape, kernel_size, milliseconds, verdict):
    case = Case("", "max_pool", shape, (("kernel_size", kernel_size), ("stride", 2)))
    monkeypatch.setattr(Cuda, "facts", Host.facts)
    arrays = Arrays(case)
    result = Result(case, 1, arrays.read_bytes, arrays.written_bytes, arrays.moved_bytes)
    result.entries = {n: Entry(timing=Timing(1, [t / 1e3])) for n, t in milliseconds.items()}
    report = Report([], [], None, Cuda())
    report.rivals = ["torch"]
    assert report.judge(result, "pooltk")[2] == verdict
