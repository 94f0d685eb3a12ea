"""What a call does besides computing: CuPy's rules, through the call log of the emulated device.

A call works on the current stream and the array's own device, waits for nothing, reads no value,
copies nothing to the host, and allocates its result alone, but for what one kernel leaves another.
"""

import gc
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from _cpu_cases import Case, array_of, assert_same_bits

import pooltk
from pooltk import _checks, _recent

pytestmark = pytest.mark.gpu

TRIPLES = Case("triples in rows", (2, 9, 32), 2, kernel_size=3, stride=2, padding=1)
WHOLE = Case("whole planes", (3, 23, 7), 2, output_size=1)
WIDE = Case("wide overlapping", (1, 14, 16), 2, kernel_size=9, stride=1, padding=4)
DILATED = Case("dilated", (3, 9, 16), 2, kernel_size=(2, 3), stride=1, dilation=(3, 2))
CASES = [TRIPLES, WHOLE, WIDE, DILATED]


class Calls:
    """Every operation over the windows of a case, and how many arrays it allocates."""

    def __init__(self, cupy, case):
        x = cupy.asarray(array_of(case.shape, "float32", 0))
        grad_output = cupy.asarray(array_of(case.result_shape, "float32", 1))
        values, indices = case.pool("max_pool", x, return_indices=True)
        grad_input = cupy.empty_like(x)
        self.calls = [
            (lambda **out: case.pool("max_pool", x, **out), values, 1),
            (
                lambda **out: case.pool("max_pool", x, return_indices=True, **out),
                (values, indices),
                2,
            ),
            (lambda **out: case.pool("avg_pool", x, **out), values, 1),
            (
                lambda **out: case.pool("max_pool_backward", grad_output, x, **out),
                grad_input,
                2,  # the winners' numbers
            ),
            (
                lambda **out: case.pool(
                    "max_pool_backward", grad_output, x, indices=indices, **out
                ),
                grad_input,
                1,
            ),
            (lambda **out: case.pool("avg_pool_backward", grad_output, **out), grad_input, 1),
        ]
        for call, out, _ in self.calls:  # compiled before anything is logged
            call()
            call(out=out)

    def __iter__(self):
        return iter(self.calls)


@pytest.fixture(params=CASES, ids=lambda case: case.path)
def calls(cupy, request):
    return Calls(cupy, request.param)


def bits(result):
    results = result if isinstance(result, tuple) else (result,)
    return [array.get().tobytes() for array in results]


def test_nothing_waits_and_nothing_goes_to_the_host(cupy, log, calls):
    for call, out, _ in calls:
        for arguments in ({}, {"out": out}):
            with log.record() as recorded:
                call(**arguments)
            recorded.assert_asynchronous()
            assert not recorded.copies
            assert recorded.launches


def test_a_call_allocates_its_result_alone(cupy, log, calls):
    for call, out, allocated in calls:
        for arguments, count in (
            ({}, allocated),
            ({"out": out}, allocated - (1 + (type(out) is tuple))),
        ):
            with log.exact_allocations(), log.record() as recorded:
                result = call(**arguments)
            assert len(recorded.allocations) == count
            del result


def test_winners_take_the_smallest_integer(cupy, log):
    x = cupy.asarray(array_of(WIDE.shape, "float32", 0))
    grad_output = cupy.asarray(array_of(WIDE.result_shape, "float32", 1))
    WIDE.pool("max_pool_backward", grad_output, x)
    with log.exact_allocations(), log.record() as recorded:
        WIDE.pool("max_pool_backward", grad_output, x)
    assert sorted(event["bytes"] for event in recorded.allocations) == [x.size, x.nbytes]


def test_work_goes_to_the_current_stream(cupy, log, calls):
    stream = cupy.cuda.Stream(non_blocking=True)
    for call, *_ in calls:
        with stream, log.record() as recorded:
            call()
        recorded.assert_stream(stream)


def test_calls_can_be_captured_with_out(cupy, calls):
    for call, out, _ in calls:
        expected = bits(call())
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            call(out=out)
            graph = stream.end_capture()
            for array in out if type(out) is tuple else (out,):
                array.fill(77)
            graph.launch()
        stream.synchronize()
        assert bits(out) == expected


def test_no_schedule_changes_a_bit(cupy, log, calls):
    for call, *_ in calls:
        assert len({tuple(bits(call())) for _ in log.schedules(range(4))}) == 1


def test_no_access_is_out_of_bounds(cupy, log):
    """Around arrays with nothing but themselves in their allocation."""
    with log.exact_allocations():
        for case in CASES:
            for call, *_ in Calls(cupy, case):
                call()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_maxima_have_the_bits_of_the_cpu(cupy, case):
    x, grad_output = array_of(case.shape, "float32", 0), array_of(case.result_shape, "float32", 1)
    on_device = cupy.asarray(x), cupy.asarray(grad_output)
    for operation, order in (("max_pool", (0,)), ("max_pool_backward", (1, 0))):
        expected = case.pool(operation, *((x, grad_output)[k] for k in order))
        result = case.pool(operation, *(on_device[k] for k in order))
        assert_same_bits(result.get() + 0, expected + 0)  # but for the sign of a zero


def test_a_call_like_an_earlier_one_needs_no_second_look(cupy, monkeypatch):
    """Whatever its array's elements are, and where they begin."""
    monkeypatch.setattr(_recent, "ready", {})
    pooltk.max_pool1d(cupy.ones(2), 2)  # the first array of CuPy's makes their type known
    memory = array_of((4 * 32 + 1,), "float32", 0)
    grad_output = array_of((2, 16), "float32", 1)

    def calls(first):
        x = memory[first : first + 4 * 32].reshape(4, 32)
        on_device = cupy.asarray(memory)[first : first + 4 * 32].reshape(4, 32)
        for of, given, gradient in ((np, x, grad_output), (cupy, on_device, None)):
            gradient = of.asarray(grad_output) if gradient is None else gradient
            values, indices = pooltk.max_pool2d(given, 2, return_indices=True)
            results = [
                values,
                indices,
                pooltk.max_pool2d(given, 2),
                pooltk.avg_pool2d(given, 2, count_include_pad=False),
                pooltk.adaptive_avg_pool2d(given, (2, 16)),
                pooltk.max_pool2d_backward(gradient, given, 2),
                pooltk.max_pool2d_backward(gradient, given, 2, indices=indices),
                pooltk.avg_pool2d_backward(gradient, (4, 32), 2),
            ]
            yield [result if of is np else result.get() for result in results]

    def same(results):
        for expected, result in zip(*results, strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)

    same(calls(0))
    monkeypatch.setattr(_checks, "sliding_axes", None)
    for first in (0, 1):
        same(calls(first))
    with pytest.raises(TypeError):  # not called
        pooltk.max_pool2d(cupy.asarray(memory)[:128].reshape(4, 32), 3)


# --- devices -------------------------------------------------------------------------------


def test_a_call_works_on_the_device_of_its_array(monkeypatch):
    """Of two devices, as plain Python: the emulated one is alone."""
    pool = pytest.importorskip("pooltk._cuda._pool", exc_type=ImportError)
    current, seen = [0], []

    class Device:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            current.append(self.number)

        def __exit__(self, *error):
            current.pop()

    runtime = SimpleNamespace(getDevice=lambda: current[-1])
    fake = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, Device=Device))
    monkeypatch.setattr(pool, "cupy", fake)
    function = pool._on_its_device(lambda array: seen.append(current[-1]))
    for number in (0, 1, 1, 0):
        function(SimpleNamespace(data=SimpleNamespace(device_id=number)))
    assert seen == [0, 1, 1, 0]
    assert current == [0]


# --- errors --------------------------------------------------------------------------------


def test_arrays_of_two_libraries_are_told_apart(cupy):
    x, grad_output = np.ones((4, 4)), cupy.ones((2, 2))
    with pytest.raises(TypeError) as caught:
        pooltk.max_pool2d_backward(grad_output, x, 2)
    assert str(caught.value) == (
        "max_pool2d_backward: x=numpy.ndarray must come from the same library as "
        "grad_output=cupy.ndarray"
    )
    with pytest.raises(TypeError, match=r"max_pool2d: out=<numpy.ndarray> must be .* cupy.ndarray"):
        pooltk.max_pool2d(cupy.ones((4, 4)), 2, out=x)


def test_bad_arguments_launch_nothing(cupy, log):
    x = cupy.ones((4, 4), "float32")
    with log.exact_allocations(), log.record() as recorded:
        for arguments in ({"kernel_size": 0}, {"kernel_size": 9}, {"kernel_size": 2, "padding": 2}):
            with pytest.raises(ValueError, match=r"max_pool2d: .* must "):
                pooltk.max_pool2d(x, **arguments)
        for out in (x[:2, :2], cupy.broadcast_to(x[:1, :1], (2, 2))):
            with pytest.raises(ValueError, match=r"max_pool2d: out=.* must "):
                pooltk.max_pool2d(x, 2, out=out)
    assert not recorded.launches
    assert not recorded.allocations
    overlapping = cupy.ndarray((2, 2), "float32", cupy.ones(4, "float32").data, strides=(4, 4))
    with pytest.raises(ValueError, match=r"out=<array of strides .* must not overlap itself"):
        pooltk.max_pool2d(x, 2, out=overlapping)


def test_a_kernel_that_does_not_compile_names_itself(cupy, monkeypatch):
    from pooltk._cuda import _modules

    _modules._raw_kernel.cache_clear()
    monkeypatch.setattr(_modules, "source", lambda kernel: "not C++")
    with pytest.raises(RuntimeError) as caught:
        pooltk.max_pool3d(cupy.ones((7, 7, 7), "float32"), (3, 2, 1))
    message = str(caught.value)
    assert message.startswith("the CUDA kernel max_pool was not compiled")
    assert "-DX=float32" in message
    assert "error:" in message


def test_what_keeps_cupy_from_compiling_is_said(cupy, monkeypatch):
    from pooltk._cuda import _modules

    def fail(**arguments):
        raise ImportError("libnvrtc.so.13: cannot open shared object file")

    _modules._raw_kernel.cache_clear()
    monkeypatch.setattr(cupy, "RawModule", fail)
    with pytest.raises(RuntimeError, match=r"the CUDA kernel max_pool was not compiled.*libnvrtc"):
        pooltk.max_pool3d(cupy.ones((7, 7, 7), "float32"), (2, 3, 1))


def test_out_of_memory_leaves_nothing_behind(cupy):
    x, small = cupy.empty((1, 512, 512), "float32"), cupy.ones((1, 4, 4), "float32")
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        pool.set_limit(size=x.nbytes + 512)  # room for the values, but not for the indices
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            pooltk.max_pool2d(x, 3, 1, 1, return_indices=True)
        gc.collect()  # of the values, which the error's frames have held
        assert pool.used_bytes() == 0
        assert int(pooltk.max_pool2d(small, 3, 1, 1).sum()) == small.size


def test_an_import_touches_no_device(cupy):
    """Not even where CuPy has been imported before."""
    program = """
import sys, cupy
from pooltk import max_pool2d
assert not any(name.startswith("pooltk._cuda") for name in sys.modules)
import numpy
max_pool2d(numpy.ones((4, 4)), 2)
assert not any(name.startswith("pooltk._cuda") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
