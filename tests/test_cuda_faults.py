"""Faults planted in the CUDA kernels, each of which the emulated device must report.

What the tests of the kernels rest on: an access out of bounds, a misaligned load or a result that
depends on the order of threads does not pass unseen.
"""

import numpy as np
import pytest

import pooltk

cuda_log = pytest.importorskip(
    "cuda_log", reason="a tool in tests/cupy_on_cpu; CONTRIBUTING says how to use it"
)
cupy = pytest.importorskip("cupy")
pytestmark = pytest.mark.skipif(not cuda_log.is_emulated(), reason="would do harm on a GPU")
X = np.random.default_rng(0).permutation(24 * 24).astype("f4").reshape(24, 24)


@pytest.fixture
def plant(monkeypatch):
    """Replace some words of the kernels' sources, for one test."""
    from pooltk._cuda import _modules, _pool

    right = _modules.source
    monkeypatch.setattr(_modules, "_raw_kernel", _modules._raw_kernel.__wrapped__)
    monkeypatch.setattr(_pool, "_ready", {})

    def plant(words, wrong):
        def source(kernel):
            text = right(kernel)
            assert words in text
            return text.replace(words, wrong)

        monkeypatch.setattr(_modules, "source", source)

    with cuda_log.exact_allocations():
        yield plant


def reports(*words):
    return pytest.raises(cupy.cuda.driver.CUDADriverError, match=".*".join(words))


def test_read_off_by_one(plant):
    x = cupy.asarray(X[0, :8])
    plant("at_least_0(a.input_size - first)", "at_least_0(a.input_size + 1 - first)")
    with reports("max_pool: out of bounds read of 4 bytes at offset 32 of an allocation of 32"):
        pooltk.max_pool1d(x, 5, padding=1)


@pytest.mark.parametrize("wrong", ["true", "place <= g.items"])
def test_missing_bound(plant, wrong):
    x = cupy.asarray(X).reshape(4, 3, 48)[:, :2]
    plant("place < g.items", wrong)
    with reports("max_pool: out of bounds"):
        pooltk.max_pool1d(x, 5)


def test_write_beyond_a_row(plant):
    x = cupy.asarray(X[0, :12])
    plant("if (w + n >= columns) break;", "")
    with reports("max_pool: out of bounds write of 4 bytes at offset 24 of an allocation of 24"):
        pooltk.max_pool1d(x, 2)


def test_misaligned_load(plant, monkeypatch):
    from pooltk._cuda import _launch

    x = cupy.asarray(X).ravel()[1:513].reshape(8, 64)
    monkeypatch.setattr(_launch, "_takes_packs", lambda *_, **__: True)
    with reports("max_pool: misaligned read of 16 bytes"):
        pooltk.max_pool1d(x, 2)


@pytest.mark.parametrize("barrier, right", [("__syncthreads();", True), ("", False)])
def test_missing_barrier(plant, barrier, right):
    x, expected = cupy.asarray(X), pooltk.max_pool2d(X, 12)
    plant("__syncthreads();", barrier)
    equal = [np.array_equal(pooltk.max_pool2d(x, 12).get(), expected) for _ in cuda_log.schedules()]
    assert all(equal) == right
