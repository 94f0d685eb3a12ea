"""Arrays of other libraries: pooled where they lie, and handed back in their own kind.

What is computed is tested elsewhere: here a result must be NumPy's, bit for bit, since the same
kernels write it. A library that is not installed is skipped, unless POOLTK_REQUIRE_PEERS=1.
"""

import contextlib
import importlib
import itertools
import os
import subprocess
import sys
import textwrap
import types

import ml_dtypes
import numpy as np
import pytest
from libraries import BY_REFERENCE, Exhausted, dtype_named

import pooltk
from pooltk import _cpu, _dispatch, _foreign, _reference, _support


class Peer:
    """Arrays of array-api-strict, and what the tests want to know of them."""

    name = "array_api_strict"
    writeable = True

    def __init__(self):
        self.xp = importlib.import_module(self.name)

    def wide(self):
        """Context in which the library has 64-bit dtypes."""
        return contextlib.nullcontext()

    def array(self, values):
        """Array of these elements, apart from them."""
        return self.xp.asarray(np.array(values))

    def is_own(self, array):
        """Tell whether an array is of this library."""
        return type(array) is type(self.xp.zeros(1))

    def dtype(self, name):
        """Dtype, as this library calls it."""
        return getattr(self.xp, name)

    def numpy(self, array):
        """NumPy's view or copy."""
        assert self.is_own(array)
        return np.from_dlpack(array)

    def address(self, array):
        """Where the first element lies."""
        return np.from_dlpack(array).ctypes.data


class Torch(Peer):
    """PyTorch's tensors."""

    name = "torch"

    def array(self, values):
        values = np.array(values)
        if values.dtype == ml_dtypes.bfloat16:
            return self.xp.from_numpy(values.view(np.int16)).view(self.xp.bfloat16)
        return self.xp.from_numpy(values)

    def numpy(self, array):
        assert self.is_own(array)
        if array.dtype == self.xp.bfloat16:
            return array.view(self.xp.int16).numpy().view(ml_dtypes.bfloat16)
        return array.numpy()

    def address(self, array):
        return array.data_ptr()


class Jax(Peer):
    """JAX's arrays, with two devices."""

    name = "jax"
    writeable = False

    def __init__(self):
        super().__init__()
        if len(self.xp.devices()) < 2:
            pytest.fail("JAX was used before it was told to have two devices")

    def wide(self):
        return self.xp.enable_x64(True)

    def array(self, values):
        return self.xp.numpy.asarray(np.array(values))

    def is_own(self, array):
        return isinstance(array, self.xp.Array)

    def dtype(self, name):
        return getattr(self.xp.numpy, name)

    def numpy(self, array):
        assert self.is_own(array)
        return np.asarray(array)

    def address(self, array):
        return array.unsafe_buffer_pointer()


PEERS = {peer.name: peer for peer in (Peer, Torch, Jax)}
FORWARD = [
    f"{name}{ndim}d"
    for name in ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
    for ndim in (1, 2, 3)
]


def module(name):
    """Return a library, or skip the test."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("POOLTK_REQUIRE_PEERS") == "1":
            raise
        pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="module", params=PEERS)
def any_peer(request):
    if request.param == "jax":
        module("jax").config.update("jax_num_cpu_devices", 2)
    module(request.param)
    return PEERS[request.param]()


@pytest.fixture
def peer(any_peer):
    """Each library in turn, with all its dtypes."""
    with any_peer.wide():
        yield any_peer


@pytest.fixture
def torch():
    return module("torch")


@pytest.fixture(scope="module")
def jax():
    jax = module("jax")
    jax.config.update("jax_num_cpu_devices", 2)
    return jax


def values_of(dtype, shape=(2, 3, 5, 6, 7)):
    """Distinct values, or as many as the dtype has."""
    values = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape)
    return (values % 2 == 0) if dtype == "bool" else (values % 127).astype(dtype_named(dtype))


def sample(peer, dtype, shape=(2, 3, 5, 6, 7)):
    """An array, and NumPy's of the same elements."""
    values = values_of(dtype, shape)
    return peer.array(values), values


def check(peer, actual, expected):
    """Compare with NumPy's result, or results, to the last bit."""
    if isinstance(expected, tuple):
        for a, e in zip(actual, expected, strict=True):
            check(peer, a, e)
        return
    actual = peer.numpy(actual)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@contextlib.contextmanager
def recorded(monkeypatch):
    """Collect the arrays that the NumPy backend is given, and its results."""
    calls = []

    def recorder(function):
        def record(*arguments):
            result = function(*arguments)
            calls.append((arguments, result))
            return result

        return record

    with monkeypatch.context() as patch:
        for name in ("max_pool", "avg_pool", "max_pool_backward", "avg_pool_backward"):
            patch.setattr(_cpu, name, recorder(getattr(_cpu, name)))
        yield calls


def calls_of(operation, make, dtype):
    """Calls of the public functions that run an operation on arrays of a dtype.

    `make` makes an array of each NumPy array.
    """
    x = values_of(dtype)
    if operation == "max_pool":
        for ndim in (1, 2, 3):
            name = f"max_pool{ndim}d"
            yield name, (make(x), 3, 2, 1), {}
            yield name, (make(x), 3, 2, 1), {"return_indices": True}
            yield f"adaptive_{name}", (make(x), 3, True), {"data_format": "channels_last"}
    elif operation == "avg_pool":
        for ndim in (1, 2, 3):
            yield f"avg_pool{ndim}d", (make(x), 3, 2, 1), {"data_format": "channels_last"}
            yield f"adaptive_avg_pool{ndim}d", (make(x), 3), {}
    else:
        x = values_of("int16")
        for ndim in (1, 2, 3):
            values, indices = getattr(pooltk, f"max_pool{ndim}d")(x, 3, 2, 1, return_indices=True)
            gradient = np.random.default_rng(1).normal(size=values.shape).astype(dtype_named(dtype))
            if operation == "avg_pool_backward":
                yield f"avg_pool{ndim}d_backward", (make(gradient), x.shape, 3, 2, 1), {}
                yield f"adaptive_avg_pool{ndim}d_backward", (make(gradient), x.shape), {}
                continue
            for given in (None, indices, indices.astype(np.uint8)):
                given = None if given is None else make(given)
                arguments = (make(gradient), make(x), 3, 2, 1)
                yield f"max_pool{ndim}d_backward", arguments, {"indices": given}
            yield f"adaptive_max_pool{ndim}d_backward", (make(gradient), make(x)), {}


#: Each operation and dtype of the support table.
ENTRIES = [
    (operation, dtype)
    for operation in _support.OPERATIONS
    for dtype in _support.REAL
    if operation != "indices"
]


# --- the support table ---------------------------------------------------------------------


@pytest.mark.parametrize("operation, dtype", ENTRIES)
def test_each_entry_works_and_each_absence_is_refused(peer, operation, dtype):
    calls = calls_of(operation, np.asarray, dtype)
    known = dtype in _support.LIBRARIES[peer.name].dtypes
    if not known:
        assert not hasattr(peer.xp, dtype)
        return
    for (name, arguments, options), (_, in_numpy, numpy_options) in zip(
        calls_of(operation, peer.array, dtype), calls, strict=True
    ):
        function = getattr(pooltk, name)
        if dtype in _support.dtypes(operation, peer.name):
            check(peer, function(*arguments, **options), function(*in_numpy, **numpy_options))
        else:
            with pytest.raises(TypeError, match=rf"\.dtype={dtype} must be one of float"):
                function(*arguments, **options)


@pytest.mark.parametrize("operation, dtype", ENTRIES)
def test_the_reference_has_each_entry(operation, dtype):
    calls = list(calls_of(operation, np.asarray, dtype))
    with BY_REFERENCE:
        for name, arguments, options in calls:
            if dtype in _support.OPERATIONS[operation]["reference"]:
                getattr(pooltk, name)(*arguments, **options)
            else:
                with pytest.raises(TypeError, match=rf"\.dtype={dtype} must be one of"):
                    getattr(pooltk, name)(*arguments, **options)


@pytest.mark.parametrize("dtype", _support.INTEGER)
def test_indices_of_each_integer(peer, dtype):
    gradient = np.arange(12.0).reshape(3, 4)
    x = values_of("float64", (6, 8))
    indices = pooltk.max_pool2d(x, 2, return_indices=True)[1].astype(dtype)
    expected = pooltk.max_pool2d_backward(gradient, x, 2)
    arrays = [peer.array(array) for array in (gradient, x, indices)]
    check(peer, pooltk.max_pool2d_backward(*arrays[:2], 2, indices=arrays[2]), expected)


def test_the_table_names_what_a_library_has(peer):
    xp = peer.xp.numpy if peer.name == "jax" else peer.xp
    assert _support.LIBRARIES[peer.name].dtypes == tuple(
        name for name in _support.REAL if hasattr(xp, name)
    )
    assert _dispatch.backend(peer.array([1.0])) is _foreign
    assert _support.LIBRARIES[peer.name].backend == "cpu"


def test_other_dtypes_are_refused(peer):
    xp = peer.xp.numpy if peer.name == "jax" else peer.xp
    tested = 0
    for name in ("complex64", "float8_e5m2", "int4"):
        if hasattr(xp, name) and (peer.name, name) != ("torch", "int4"):  # which has no values
            x = xp.zeros((4, 4), dtype=getattr(xp, name))
            with pytest.raises(TypeError, match=f"x.dtype={name} must be one of .*, bool$"):
                pooltk.max_pool2d(x, 2)
            tested += 1
    assert tested


def test_show_config_reads_the_table():
    config = pooltk.show_config(mode="dicts")
    assert config["arrays pooled by"]["torch"] == "cpu"
    for operation, backends in _support.OPERATIONS.items():
        for backend, dtypes in backends.items():
            assert config["dtypes"][f"{operation}, {backend}"].split() == list(dtypes)
    assert set(_support.NAMED_LIBRARIES) <= set(config["array libraries"])


# --- kinds and dtypes ----------------------------------------------------------------------


@pytest.mark.parametrize("name", FORWARD)
def test_results_are_of_the_callers_kind(peer, name):
    x, values = sample(peer, "float32")
    function = getattr(pooltk, name)
    check(peer, function(x, 2), function(values, 2))


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("shape", [(0, 3, 4, 5, 6), (4, 5, 6), (1, 1, 1, 1)], ids=str)
def test_empty_and_small_arrays(peer, name, shape):
    x, values = sample(peer, "float32", shape)
    function = getattr(pooltk, name)
    check(peer, function(x, 1), function(values, 1))


@pytest.mark.parametrize("x_dtype", ["float32", "int16", "bool"])
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "int8", "int64"])
def test_dtype_of_an_average(peer, x_dtype, name):
    x, values = sample(peer, x_dtype)
    spellings = [name, dtype_named(name)]
    if name in _support.LIBRARIES[peer.name].dtypes:
        spellings.append(peer.dtype(name))
    for dtype in spellings:
        for call in (
            lambda x, dtype: pooltk.avg_pool2d(x, 2, dtype=dtype),
            lambda x, dtype: pooltk.adaptive_avg_pool1d(x, 2, dtype=dtype),
        ):
            if name in _support.average_dtypes(x_dtype, peer.name):
                check(peer, call(x, dtype), call(values, dtype_named(name)))
            else:
                with pytest.raises(TypeError, match=r"dtype=.* must be one of float"):
                    call(x, dtype)


def test_an_average_of_integers_is_float64(peer):
    x, values = sample(peer, "uint8")
    assert pooltk.avg_pool2d(x, 2).dtype == peer.dtype("float64")
    check(peer, pooltk.avg_pool2d(x, 2), pooltk.avg_pool2d(values, 2))


def test_no_dtype(peer):
    x, _ = sample(peer, "float32")
    for dtype in ("complex64", "nonsense", 3, object()):
        with pytest.raises(TypeError, match=r"avg_pool2d: dtype=.* must be one of float32, "):
            pooltk.avg_pool2d(x, 2, dtype=dtype)


def test_a_dtype_of_another_library(torch):
    strict = module("array_api_strict")
    for x, dtype in [
        (np.ones(4), torch.float32),
        (torch.ones(4), strict.float32),
        (strict.ones(4), torch.float32),
    ]:
        with pytest.raises(TypeError, match=r"avg_pool1d: dtype=.* must be one of"):
            pooltk.avg_pool1d(x, 2, dtype=dtype)


# --- nothing is copied ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation, dtype",
    [entry for entry in ENTRIES if entry[1] in (*_support.FLOATING, "uint8", "bool")],
)
def test_nothing_is_copied(monkeypatch, peer, operation, dtype):
    if dtype not in _support.dtypes(operation, peer.name):
        return  # refused, as another test shows
    for name, arguments, options in calls_of(operation, peer.array, dtype):
        given = [peer.address(a) for a in arguments if peer.is_own(a)]
        if options.get("indices") is not None and options["indices"].dtype == peer.dtype("int64"):
            given.append(peer.address(options["indices"]))
        with recorded(monkeypatch) as calls:
            results = getattr(pooltk, name)(*arguments, **options)
        ((seen, written),) = calls
        seen = [a.ctypes.data for a in seen if isinstance(a, np.ndarray)]
        assert set(given) <= set(seen)
        results = results if isinstance(results, tuple) else (results,)
        written = written if isinstance(written, tuple) else (written,)
        for result, memory in zip(results, written, strict=True):
            assert peer.address(result) == memory.ctypes.data


@pytest.mark.parametrize("left", [0, 1], ids=["values", "indices"])
def test_no_memory_for_results(monkeypatch, peer, left):
    x, values = sample(peer, "float32")
    with monkeypatch.context() as patch:
        patch.setattr(_foreign, "numpy", Exhausted(left))
        with pytest.raises(MemoryError, match="no memory for this array"):
            pooltk.max_pool2d(x, 2, return_indices=True)
    check(
        peer,
        pooltk.max_pool2d(x, 2, return_indices=True),
        pooltk.max_pool2d(values, 2, return_indices=True),
    )


def test_a_result_outlives_its_input(peer):
    x, values = sample(peer, "float32", (64, 64))
    result = pooltk.max_pool2d(x, 2)
    del x
    check(peer, result, pooltk.max_pool2d(values, 2))


def test_views_are_not_copied(monkeypatch, torch):
    x = torch.arange(7 * 8 * 9.0).reshape(7, 8, 9)
    for view in (x.transpose(0, 2), x[1:, ::2, 1:], x[:1].expand(7, 8, 9), x.permute(1, 2, 0)):
        with recorded(monkeypatch) as calls:
            result = pooltk.max_pool2d(view, 2)
        ((arguments, _),) = calls
        assert arguments[0].ctypes.data == view.data_ptr()
        assert arguments[0].strides == tuple(4 * stride for stride in view.stride())
        expected = pooltk.max_pool2d(view.numpy().copy(), 2)
        np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_channels_last_tensors_stay_so(monkeypatch, torch, dtype):
    dtype = getattr(torch, dtype)
    x = torch.randn(2, 3, 8, 10).to(dtype).to(memory_format=torch.channels_last)
    with recorded(monkeypatch) as calls:
        values, indices = pooltk.max_pool2d(x, 2, return_indices=True)
        average = pooltk.avg_pool2d(x, 3, 2, 1)
        gradient = pooltk.max_pool2d_backward(values, x, 2, indices=indices)
        other_gradient = pooltk.avg_pool2d_backward(average, x.shape, 3, 2, 1)
    for result in (values, indices, average, gradient, other_gradient):
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert not result.is_contiguous()
    for arguments, _ in calls:
        assert arguments[0].strides[1] == arguments[0].itemsize
    contiguous = x.contiguous()
    assert torch.equal(values, pooltk.max_pool2d(contiguous, 2))
    volume = x[..., None].expand(2, 3, 8, 10, 4).contiguous(memory_format=torch.channels_last_3d)
    pooled = pooltk.max_pool3d(volume, 2)
    assert pooled.is_contiguous(memory_format=torch.channels_last_3d)


def test_jax_arrays_in_another_memory_order(monkeypatch, jax, torch):
    x = torch.arange(2 * 16 * 8 * 8.0).reshape(2, 16, 8, 8)
    x = jax.dlpack.from_dlpack(x.to(memory_format=torch.channels_last))
    with recorded(monkeypatch) as calls:
        result = pooltk.max_pool2d(x, 2)
    assert calls[0][0][0].ctypes.data == x.unsafe_buffer_pointer()
    np.testing.assert_array_equal(result, pooltk.max_pool2d(np.array(x), 2))


# --- out= ----------------------------------------------------------------------------------


def empty(peer, shape, dtype):
    return peer.array(np.empty(shape, dtype_named(dtype)))


@pytest.mark.parametrize("dtype", _support.FLOATING)
def test_out(monkeypatch, peer, dtype):
    if not peer.writeable or dtype not in _support.LIBRARIES[peer.name].dtypes:
        return
    x, values = sample(peer, dtype, (4, 6, 8))
    pooled, indices = empty(peer, (4, 3, 4), dtype), empty(peer, (4, 3, 4), "int64")
    gradient = peer.array(pooltk.avg_pool2d(values, 2))
    grad_input = empty(peer, (4, 6, 8), dtype)
    for call, out, expected in [
        (lambda out: pooltk.max_pool2d(x, 2, out=out), pooled, pooltk.max_pool2d(values, 2)),
        (
            lambda out: pooltk.max_pool2d(x, 2, return_indices=True, out=out),
            (pooled, indices),
            pooltk.max_pool2d(values, 2, return_indices=True),
        ),
        (lambda out: pooltk.avg_pool2d(x, 2, out=out), pooled, pooltk.avg_pool2d(values, 2)),
        (
            lambda out: pooltk.max_pool2d_backward(gradient, x, 2, out=out),
            grad_input,
            pooltk.max_pool2d_backward(pooltk.avg_pool2d(values, 2), values, 2),
        ),
        (
            lambda out: pooltk.avg_pool2d_backward(gradient, (4, 6, 8), 2, out=out),
            grad_input,
            pooltk.avg_pool2d_backward(pooltk.avg_pool2d(values, 2), (4, 6, 8), 2),
        ),
    ]:
        with recorded(monkeypatch) as calls:
            result = call(out)
        pairs = zip(*[a if isinstance(a, tuple) else (a,) for a in (result, out)], strict=True)
        assert all(a is b for a, b in pairs)
        ((_, written),) = calls
        for memory, array in zip(
            *[a if isinstance(a, tuple) else (a,) for a in (written, out)], strict=True
        ):
            assert memory.ctypes.data == peer.address(array)
        check(peer, out, expected)


def test_out_of_other_strides(torch):
    x = torch.randn(3, 8, 8)
    whole = torch.zeros(3, 4, 9)
    out = whole[:, :, 1::2]
    assert pooltk.max_pool2d(x, 2, out=out) is out
    assert torch.equal(out, pooltk.max_pool2d(x, 2))
    assert torch.equal(whole[:, :, ::2], torch.zeros(3, 4, 5))


def test_bad_out(peer):
    x, _ = sample(peer, "float32", (8, 8))
    if not peer.writeable:
        for out in (empty(peer, (4, 4), "float32"), np.empty((4, 4), np.float32)):
            with pytest.raises(
                TypeError, match=r"out=.* must be None for JAX, whose arrays cannot"
            ):
                pooltk.max_pool2d(x, 2, out=out)
        return

    def refused(error, words, out, **options):
        with pytest.raises(error, match=f"max_pool2d: out.* must {words}"):
            pooltk.max_pool2d(x, 2, out=out, **options)

    good = empty(peer, (4, 4), "float32")
    refused(TypeError, "be an array of the input's kind", np.empty((4, 4), np.float32))
    refused(TypeError, "be an array of the input's kind", [[1.0]])
    refused(TypeError, "be float32", empty(peer, (4, 4), "float64"))
    refused(ValueError, r"be \(4, 4\)", empty(peer, (4, 5), "float32"))
    refused(ValueError, "share no memory with an input", x[:4, :4])
    refused(TypeError, "be a pair", good, return_indices=True)
    refused(TypeError, "be int64", (good, empty(peer, (4, 4), "int32")), return_indices=True)
    with pytest.raises(TypeError, match=r"out=<.*> must be an array of the input's kind, numpy"):
        pooltk.max_pool2d(np.ones((8, 8), np.float32), 2, out=good)


def test_bad_out_of_torch(torch):
    x = torch.zeros(4, 4)
    for error, words, out in [
        (ValueError, "not overlap itself", torch.zeros(1, 2).expand(2, 2)),
        (TypeError, r"require no gradient.*out\.detach\(\)", torch.zeros(2, 2, requires_grad=True)),
        (ValueError, "lie on the CPU", torch.zeros(2, 2, device="meta")),
    ]:
        with pytest.raises(error, match=f"max_pool2d: out=.* must {words}"):
            pooltk.max_pool2d(x, 2, out=out)
    both = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"out\[1\]=.* share no memory"):
        pooltk.max_pool1d(torch.arange(4), 2, return_indices=True, out=(both[:2], both[1:]))


def test_autograd_learns_that_out_has_changed(torch):
    weight, buffer = torch.ones(2, requires_grad=True), torch.ones(2)
    product = (weight * buffer).sum()
    pooltk.max_pool1d(torch.zeros(4), 2, out=buffer)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


# --- what is refused -----------------------------------------------------------------------


def test_gradients_are_not_recorded(torch):
    x = torch.arange(4.0, requires_grad=True)
    parameter = torch.nn.Parameter(x.detach())
    for leaf in (x, parameter, x * 2):
        with pytest.raises(TypeError, match=r"max_pool1d: x=<torch\..*> must .* x\.detach\(\)"):
            pooltk.max_pool1d(leaf, 2)
        with pytest.raises(TypeError, match=r"grad_output=.* must .* grad_output\.detach\(\)"):
            pooltk.avg_pool1d_backward(leaf, (8,), 2)
        for context in (torch.no_grad, torch.inference_mode):
            with context():
                assert pooltk.max_pool1d(leaf, 2).shape == (2,)
                pooltk.avg_pool1d(leaf.bfloat16(), 2)
        result = pooltk.max_pool1d(leaf.detach(), 2)
        assert not result.requires_grad


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # PyTorch's own
@pytest.mark.thread_unsafe(reason="PyTorch nests no forward modes")
def test_gradients_in_forward_mode(torch):
    x = torch.arange(4.0)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        with pytest.raises(TypeError, match=r"must require no gradient"):
            pooltk.max_pool1d(dual, 2)
        assert pooltk.max_pool1d(x, 2).shape == (2,)


def tensors_without_plain_memory(torch):
    """Yield the words of the refusal, and a tensor."""
    square = torch.eye(4)
    yield "lie on the CPU", square.to("meta")
    yield r"be dense and strided: pass x\.to_dense\(\)", square.to_sparse()
    yield "be dense and strided", square.to_mkldnn()
    yield "be one of float16", square.to(torch.complex64).conj()
    yield r"x\.resolve_neg\(\)", square.to(torch.complex64).conj().imag
    yield "be one of float16", torch._empty_affine_quantized((4, 4), scale=1, dtype=torch.quint8)
    subclass = type("Tagged", (torch.Tensor,), {"__torch_dispatch__": classmethod(print)})
    yield "be a plain torch.Tensor", square.as_subclass(subclass)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_tensors_without_plain_memory(torch):
    for words, x in tensors_without_plain_memory(torch):
        with pytest.raises((TypeError, ValueError), match=f"max_pool2d: x.* must .*{words}"):
            pooltk.max_pool2d(x, 2)


def test_a_subclass_counts_as_a_tensor(torch):
    x = torch.arange(4.0).as_subclass(type("Named", (torch.Tensor,), {}))
    assert type(pooltk.max_pool1d(x, 2)) is torch.Tensor


@pytest.mark.parametrize("transform", ["vmap", "grad"])
def test_transforms_of_torch(torch, transform):
    def pool(x):
        return pooltk.max_pool1d(x, 2).sum()

    with pytest.raises(TypeError, match=r"x=<torch.Tensor> must have values, .* torch\.func"):
        getattr(torch.func, transform)(pool)(torch.zeros(3, 4))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_recorded_programs_of_torch(torch):
    def pool(x):
        return pooltk.max_pool1d(x, 2) + 1

    with pytest.raises(TypeError, match=r"x=<torch.Tensor> must have values, .* torch\.jit\.trace"):
        torch.jit.trace(pool, (torch.zeros(4),))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, as it starts Dynamo
def test_compiled_programs_of_torch(torch):
    pool = torch.compiler.disable(pooltk.max_pool1d)
    compiled = torch.compile(lambda x: pool(2 * x, 2) + 1, backend="eager")
    assert torch.equal(compiled(torch.arange(4.0)), torch.tensor([3.0, 7.0]))


@pytest.mark.parametrize("transform", ["jit", "vmap", "grad", "linearize", "eval_shape"])
def test_tracers_of_jax(jax, transform):
    def pool(x):
        return pooltk.max_pool1d(x, 2).sum()

    x = jax.numpy.zeros((2, 4))
    with pytest.raises(TypeError, match=r"max_pool1d: x=<jax\..*> must have values, .* jax\.jit"):
        match transform:
            case "linearize":
                jax.linearize(pool, x)
            case "eval_shape":
                jax.eval_shape(pool, x)
            case _:
                getattr(jax, transform)(pool)(x)


def test_inside_a_callback_of_jax(jax):
    @jax.jit
    def pool(x):
        shape = jax.ShapeDtypeStruct((2,), x.dtype)
        return jax.pure_callback(lambda x: pooltk.max_pool1d(x, 2), shape, 2 * x)

    np.testing.assert_array_equal(pool(jax.numpy.arange(4.0)), [2.0, 6.0])


def test_mixed_libraries(peer):
    x, values = sample(peer, "float32", (4, 4))
    gradient, indices = np.ones((2, 2), np.float32), np.zeros((2, 2), np.int64)
    kind = rf"{peer.name}\w*\.\w+"
    cases = [
        (rf"x=numpy\.ndarray must .* grad_output={kind}", peer.array(gradient), values, None),
        (rf"x={kind} must .* grad_output=numpy\.ndarray", gradient, x, None),
        (rf"x={kind} must .* grad_output=numpy\.ndarray", gradient.tolist(), x, None),
        (rf"indices=numpy\.ndarray must .* grad_output={kind}", peer.array(gradient), x, indices),
    ]
    for words, *arrays, given in cases:
        with pytest.raises(TypeError, match=words):
            pooltk.max_pool2d_backward(*arrays, 2, indices=given)


def test_mixed_foreign_libraries(jax, torch):
    with pytest.raises(TypeError, match=r"x=torch\.Tensor must .* grad_output=jax"):
        pooltk.max_pool1d_backward(jax.numpy.zeros(2), torch.zeros(4), 2)
    with pytest.raises(TypeError, match=r"out=<torch\.Tensor> must be None for JAX"):
        pooltk.max_pool1d(jax.numpy.zeros(4), 2, out=torch.zeros(2))


def test_a_tensor_and_a_parameter_are_of_one_library(torch):
    x = torch.nn.Parameter(torch.arange(4.0), requires_grad=False)
    assert torch.equal(
        pooltk.max_pool1d_backward(torch.ones(2), x, 2, out=torch.zeros(4)),
        torch.tensor([0.0, 1.0, 0.0, 1.0]),
    )


# --- devices -------------------------------------------------------------------------------


def test_devices_of_jax(jax):
    first, second = jax.devices()
    x = jax.device_put(np.arange(4.0, dtype=np.float32), second)
    assert pooltk.max_pool1d(x, 2).devices() == {second}
    gradient = jax.device_put(np.ones(2, np.float32), first)
    with pytest.raises(ValueError, match=r"x=<.* on cpu:1> must lie where grad_output .* cpu:0"):
        pooltk.max_pool1d_backward(gradient, x, 2)
    mesh = jax.sharding.Mesh(np.array([first, second]), "a")
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("a"))
    with pytest.raises(TypeError, match=r"x=.* must lie on one device"):
        pooltk.max_pool1d(jax.device_put(x, sharding), 2)


def test_devices_of_the_array_api():
    strict = module("array_api_strict")
    device = strict.Device("device1")
    x = strict.asarray(np.arange(4.0), device=device)
    assert pooltk.max_pool1d(x, 2).device == device
    with pytest.raises(ValueError, match=r"x=<.*device1.*> must lie where grad_output .*CPU"):
        pooltk.max_pool1d_backward(strict.ones(2), x, 2)
    with pytest.raises(ValueError, match=r"out=<.*CPU.*> must lie where the input .*device1"):
        pooltk.max_pool1d(x, 2, out=strict.empty(2))


def test_other_devices_are_named(monkeypatch):
    strict = module("array_api_strict")
    cls = type(strict.zeros(1))
    monkeypatch.setattr(cls, "__dlpack_device__", lambda self: (8, 0))  # kDLMetal
    monkeypatch.setattr(cls, "__dlpack__", None)
    with pytest.raises(ValueError, match=r"x=<.* on .*CPU_DEVICE.*> must lie on the CPU"):
        pooltk.max_pool1d(strict.zeros(4), 2)


@pytest.mark.parametrize("cupy", ["not installed", "without a device"])
def test_what_keeps_cupy_from_a_cuda_device_is_said(monkeypatch, cupy):
    strict = module("array_api_strict")
    cls = type(strict.zeros(1))
    monkeypatch.setattr(cls, "__dlpack_device__", lambda self: (2, 0))
    monkeypatch.setattr(cls, "__dlpack__", None)
    fake = types.SimpleNamespace(is_available=lambda: False, ndarray=type("ndarray", (), {}))
    monkeypatch.setitem(sys.modules, "cupy", None if cupy == "not installed" else fake)
    reason = "CuPy is not installed" if cupy == "not installed" else "CuPy finds no device"
    with pytest.raises(ValueError, match=rf"x=<.*> must lie on the CPU .*CUDA device.*: {reason}$"):
        pooltk.max_pool1d(strict.zeros(4), 2)


def test_no_hidden_copy_from_a_device():
    class Exported:
        def __array__(self, *args, **kwargs):
            raise AssertionError("copied")

    class Dlpack(Exported):
        def __dlpack_device__(self):
            return (2, 0)

    class Cuda(Exported):
        __cuda_array_interface__ = None

    for x in (Dlpack(), Cuda()):
        with pytest.raises(ValueError, match=r"x=<.* on another device> must lie on the CPU"):
            pooltk.max_pool1d(x, 2)


# --- JAX without 64 bits -------------------------------------------------------------------


def test_jax_narrows(jax):
    x = jax.numpy.arange(16, dtype="int32").reshape(4, 4)
    values, indices = pooltk.max_pool2d(x, 2, return_indices=True)
    assert indices.dtype == np.int32
    np.testing.assert_array_equal(indices, [[5, 7], [13, 15]])
    assert pooltk.avg_pool2d(x, 2).dtype == np.float32
    assert pooltk.avg_pool2d(x, 2, dtype="float64").dtype == np.float32
    # Saturated as int32, not cut from int64.
    large = jax.numpy.full(2, 2**31 - 1, "int32")
    average = pooltk.avg_pool1d(large, 2, divisor_override=1, dtype="int64")
    np.testing.assert_array_equal(average, [2**31 - 1])
    gradient = pooltk.max_pool2d_backward(jax.numpy.ones((2, 2)), x, 2, indices=indices)
    np.testing.assert_array_equal(gradient, np.isin(x, values))


def test_indices_beyond_int32_raise(monkeypatch, jax):
    monkeypatch.setattr(_foreign, "_INT32_MAX", 14)
    x = jax.numpy.zeros((4, 4))
    with pytest.raises(ValueError, match=r"return_indices=True must be False, .* index of 15;"):
        pooltk.max_pool2d(x, 2, return_indices=True)
    assert pooltk.max_pool2d(x, 2).shape == (2, 2)
    assert pooltk.max_pool1d(x, 2, return_indices=True)[1].dtype == np.int32
    with jax.enable_x64(True):
        assert pooltk.max_pool2d(x, 2, return_indices=True)[1].dtype == np.int64


# --- the rest ------------------------------------------------------------------------------


@pytest.fixture
def no_dlpack(monkeypatch):
    """array-api-strict, as a library that speaks the array API and shows NumPy nothing."""
    monkeypatch.setattr(_foreign, "library_of", lambda x: None)
    return module("array_api_strict")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint64", "bool"])
def test_other_libraries_run_the_reference(no_dlpack, dtype):
    xp = no_dlpack
    assert _dispatch.backend(xp.zeros(1)) is _reference
    values = values_of(dtype, (2, 3, 5, 6))
    x = xp.asarray(values)

    def numpy(array):
        assert type(array) is type(x)
        return np.from_dlpack(array)

    for name, arguments in itertools.product(("max_pool2d", "avg_pool2d"), ((2,), (3, 2, 1))):
        function = getattr(pooltk, name)
        expected = function(values, *arguments)
        result = function(x, *arguments)
        assert str(result.dtype).endswith(expected.dtype.name)
        np.testing.assert_allclose(numpy(result), expected, rtol=1e-6)
    pooled, indices = pooltk.max_pool2d(x, 2, return_indices=True)
    out = xp.empty_like(pooled)
    assert pooltk.max_pool2d(x, 2, out=out) is out
    np.testing.assert_array_equal(numpy(out), numpy(pooled))
    gradient = xp.ones(pooled.shape)
    expected = pooltk.max_pool2d_backward(np.ones(pooled.shape), values, 2)
    for given in (None, indices, xp.astype(indices, xp.uint8)):
        result = pooltk.max_pool2d_backward(gradient, x, 2, indices=given)
        np.testing.assert_array_equal(numpy(result), expected)


def test_other_libraries_are_checked_as_well(no_dlpack):
    xp = no_dlpack
    x = xp.zeros((4, 4))
    with pytest.raises(TypeError, match="dtype='float16' must be one of float64, float32 for x"):
        pooltk.avg_pool2d(x, 2, dtype="float16")
    with pytest.raises(TypeError, match=r"x.dtype=complex128 must be one of"):
        pooltk.avg_pool2d(xp.zeros((4, 4), dtype=xp.complex128), 2)
    with pytest.raises(ValueError, match=r"out=.* must share no memory"):
        pooltk.max_pool2d(x, 1, out=x)
    with pytest.raises(TypeError, match=r"out=.* must be an array of the input's kind"):
        pooltk.max_pool2d(x, 1, out=np.zeros((4, 4)))
    with pytest.raises(TypeError, match=r"x=array_api_strict\.Array must .* grad_output=numpy"):
        pooltk.max_pool2d_backward(np.zeros((2, 2)), x, 2)


def test_numpy_imports_no_other_library():
    program = """
        import sys
        import numpy as np
        import pooltk
        x = np.ones((1, 1, 4, 4), np.float32)
        values, indices = pooltk.max_pool2d(x, 2, return_indices=True)
        pooltk.avg_pool2d(x, 2, dtype="float64", out=np.empty((1, 1, 2, 2)))
        pooltk.max_pool2d_backward(values, x, 2, indices=indices)
        pooltk.max_pool2d([[1, 2], [3, 4]], 2)
        others = {"array_api_compat", "torch", "jax", "ml_dtypes"} & set(sys.modules)
        assert not others, others
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


@pytest.mark.parametrize("name", ["torch", "jax", "array_api_strict"])
def test_a_library_imports_no_other(name):
    module(name)
    make = {"torch": "torch.ones", "jax": "jax.numpy.ones", "array_api_strict": "xp.ones"}[name]
    program = f"""
        import sys
        import {name}
        xp = {name}
        before = set(sys.modules)
        import pooltk
        x = {make}((1, 1, 4, 4))
        pooltk.max_pool2d(x, 2)
        pooltk.avg_pool2d(x, 2, dtype="float64")
        new = {{"array_api_compat", "torch", "jax", "array_api_strict"}} - before
        new &= set(sys.modules)
        assert new <= {{"array_api_compat"}} and (not new or {name!r} == "array_api_strict"), new
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_bfloat16_without_ml_dtypes(monkeypatch, torch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    _support.numpy_dtype.cache_clear()
    with pytest.raises(ImportError, match="bfloat16 needs the package ml_dtypes"):
        pooltk.max_pool1d(torch.zeros(4, dtype=torch.bfloat16), 2)
    _support.numpy_dtype.cache_clear()
