"""Threads that share memory do not race: CUDA kernels under ThreadSanitizer.

A call's launches are taken over by `race_check`, which runs the same sources, compiled by g++, on
what the arrays hold. `cupy` is there to allocate: no kernel is compiled for a GPU.
"""

import numpy as np
import pytest

import pooltk

race_check = pytest.importorskip(
    "race_check", reason="a tool in tests/cupy_on_cpu; CONTRIBUTING says how to use it"
)
X = np.random.default_rng(0).permutation(2 * 24 * 24 * 4).astype("f4").reshape(2, 24, 24, 4)


class CheckedKernel:
    """In place of `_modules.Kernel`."""

    launches = 0

    def __init__(self, launch):
        self.launch = launch

    def __call__(self, *arrays):
        import cupy

        from pooltk._cuda import _launch, _modules

        given = [array.get() if isinstance(array, cupy.ndarray) else array for array in arrays]
        geometry = self.launch.geometry
        found = race_check.run(
            _modules.source(self.launch.kernel),
            self.launch.kernel,
            self.launch.blocks,
            _launch.BLOCK,
            [*given, geometry.view(f"V{geometry.size}")[0]],
            [*self.launch.macros, "__HIPCC__"],  # the C words instead of inline PTX
        )
        on_device = (array for array in arrays if isinstance(array, cupy.ndarray))
        for array, values in zip(on_device, found, strict=True):
            array.set(values)
        CheckedKernel.launches += 1


@pytest.fixture
def checked(monkeypatch):
    """Tell what a call on a NumPy array gives when its kernels run under ThreadSanitizer."""
    import cupy

    from pooltk._cuda import _modules, _pool

    monkeypatch.setattr(_modules, "Kernel", CheckedKernel)
    monkeypatch.setattr(_pool, "_ready", {})

    def call(function, x, *arguments, **keywords):
        before = CheckedKernel.launches
        result = function(cupy.asarray(x), *arguments, **keywords)
        assert CheckedKernel.launches == before + 1
        results = result if isinstance(result, tuple) else (result,)
        return [array.get() for array in results]

    return call


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_teams(checked, layout):
    """Windows so large that several threads share each."""
    x = X if layout == "channels_last" else np.moveaxis(X, -1, 1).copy()
    given = {"kernel_size": 16, "stride": 8, "data_format": layout}
    values, indices = checked(pooltk.max_pool2d, x, **given, return_indices=True)
    expected = pooltk.max_pool2d(x, **given, return_indices=True)
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(indices, expected[1])
    (average,) = checked(pooltk.avg_pool2d, x, **given)
    np.testing.assert_allclose(average, pooltk.avg_pool2d(x, **given), rtol=1e-6)


@pytest.mark.parametrize("bins", [1, 3])
def test_adaptive(checked, bins):
    x = X.reshape(8, 24, 24)
    (values,) = checked(pooltk.adaptive_max_pool2d, x, bins)
    np.testing.assert_array_equal(values, pooltk.adaptive_max_pool2d(x, bins))


def test_rows(checked):
    """Windows that lie in one row, of which each thread loads 16 bytes at once."""
    x = X.reshape(4, -1)
    (values,) = checked(pooltk.max_pool1d, x, 256)
    np.testing.assert_array_equal(values, pooltk.max_pool1d(x, 256))


def test_a_missing_barrier_is_found(checked, monkeypatch):
    from pooltk._cuda import _modules

    source = _modules.source("max_pool").replace("__syncthreads();", ";")
    monkeypatch.setattr(_modules, "source", lambda kernel: source)
    with pytest.raises(race_check.Race, match="gather"):
        checked(pooltk.max_pool2d, X[0, ..., 0], 16, 8)
