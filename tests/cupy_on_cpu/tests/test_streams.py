"""The call log, streams and graph capture."""

import cuda_log
import cupy as cp
import numpy as np
import pytest


@pytest.fixture(scope="module")
def scale():
    kernel = cp.RawKernel(
        'extern "C" __global__ void scale(const float* x, float* y) '
        "{ y[threadIdx.x] = 2 * x[threadIdx.x]; }",
        "scale",
    )
    kernel.compile()
    return lambda x, y: kernel((1,), (32,), (x, y))


def test_launch_is_logged_with_its_stream(scale):
    x, stream = cp.ones(32, "f4"), cp.cuda.Stream(non_blocking=True)
    with stream, cuda_log.record() as log:
        scale(x, cp.empty_like(x))
    log.assert_asynchronous()
    log.assert_stream(stream)
    (launch,) = log.launches
    assert (launch["kernel"], launch["grid"], launch["block"]) == ("scale", [1, 1, 1], [32, 1, 1])


def test_wrong_stream_is_detected(scale):
    x, stream = cp.ones(32, "f4"), cp.cuda.Stream(non_blocking=True)
    y = cp.empty_like(x)
    with cuda_log.record() as log:
        scale(x, y)
    with pytest.raises(AssertionError, match="not on stream"):
        log.assert_stream(stream)


@pytest.mark.parametrize(
    "hidden", [lambda x: float(x[0]), lambda x: x.get(), lambda x: bool((x > 0).any())]
)
def test_hidden_synchronisation_is_detected(hidden):
    x = cp.ones(32, "f4")
    hidden(x)
    with cuda_log.record() as log:
        hidden(x)
    assert log.copies_to_host and log.syncs
    with pytest.raises(AssertionError, match="the host waited"):
        log.assert_asynchronous()


def test_allocations_are_logged():
    with cuda_log.exact_allocations(), cuda_log.record() as log:
        cp.empty(100, "f4")
    assert [event["bytes"] for event in log.allocations] == [400]


def test_capture_and_replay(scale):
    x, y = cp.ones(32, "f4"), cp.zeros(32, "f4")
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        scale(x, y)
        graph = stream.end_capture()
    assert not y.get().any(), "nothing runs during a capture"
    for value in (3, 5):
        x.fill(value)
        graph.launch(stream)
        assert np.array_equal(y.get(), np.full(32, 2 * value))


def test_synchronisation_in_a_capture_is_refused():
    x, stream = cp.ones(32, "f4"), cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="StreamCaptureUnsupported"):
            stream.synchronize()
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="StreamCaptureInvalidated"):
            stream.end_capture()
    assert x.get().all()


def test_log_file(tmp_path):
    path = tmp_path / "log"
    path.write_text('{"event": "launch", "kernel": "f", "stream": 0}\n{"event": "free"}\n')
    assert [launch["kernel"] for launch in cuda_log.read(path).launches] == ["f"]
