"""Everybody who takes part: pooltk, and the libraries a user would call instead.

A contestant turns a case into a call without arguments. It gets the data beforehand, in the
library's own type and in the order of memory that is its own, and gives back what the library
gives: a fresh result, as a user would get it. What it cannot do, it says with `Unsupported`.
"""

from collections.abc import Callable, Iterable
from importlib.metadata import version
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .arrays import Arrays, numpy_dtype
from .cases import FIRST, LAST, Case

Call = Callable[[], Any]


class Unsupported(Exception):
    """The library has no such function, or not for such an array."""


class Window(NamedTuple):
    """Sliding windows as most peers want them, one int an axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool
    include_pad: bool
    divisor: int | None

    @property
    def tiles(self) -> bool:
        """Whether windows are plain tiles: no gap, no overlap, no padding."""
        plain = not any((*self.low, *self.high)) and set(self.dilation) == {1}
        return plain and self.kernel == self.stride and self.divisor is None


def window_of(case: Case) -> Window:
    """Return the case's windows; of adaptive bins only where all have one size."""
    kwargs, d = case.kwargs, case.ndim

    def per_axis(value: Any) -> tuple[Any, ...]:
        return (value,) * d if isinstance(value, int) else tuple(value)

    if case.is_adaptive:
        pooled, sizes = case.shape[2:], per_axis(kwargs["output_size"])
        if any(n % m for n, m in zip(pooled, sizes, strict=True)):
            raise Unsupported("bins of different sizes")
        kernel = tuple(n // m for n, m in zip(pooled, sizes, strict=True))
        return Window(kernel, kernel, (0,) * d, (0,) * d, (1,) * d, False, True, None)
    kernel = per_axis(kwargs["kernel_size"])
    pads = [per_pair(p) for p in per_axis(kwargs.get("padding", 0))]
    return Window(
        kernel,
        per_axis(kwargs.get("stride", kernel)),
        tuple(low for low, _ in pads),
        tuple(high for _, high in pads),
        per_axis(kwargs.get("dilation", 1)),
        kwargs.get("ceil_mode", False),
        kwargs.get("count_include_pad", True),
        kwargs.get("divisor_override"),
    )


def per_pair(padding: int | tuple[int, int]) -> tuple[int, int]:
    """Return (low, high) of one axis' padding."""
    return (padding, padding) if isinstance(padding, int) else padding


def is_global(case: Case) -> bool:
    """Whether there is one window and it is the whole plane."""
    try:
        window = window_of(case)
    except Unsupported:
        return False
    return window.tiles and window.kernel == case.shape[2:]


def overlap(case: Case) -> int:
    """How many windows an element is in."""
    try:
        window = window_of(case)
    except Unsupported:  # of two bins along an axis
        return int(2**case.ndim)
    return prod(-(-k // s) for k, s in zip(window.kernel, window.stride, strict=True))


def forward_only(case: Case) -> None:
    """Say that the library computes no gradients."""
    if case.backward:
        raise Unsupported("no backward functions")


def same_dtype_only(case: Case) -> None:
    """Say that the library's average has its input's dtype."""
    if case.result_dtype != case.dtype:
        raise Unsupported("the result has the input's dtype")


class Contestant:
    """One column of the table."""

    name: str
    distribution: str
    devices: tuple[str, ...] = ("cpu",)
    ours = False
    rival = True  # counts when the fastest peer is looked for
    integer_tolerance = 0

    def finds(self, device: str) -> bool:
        """Whether what is installed can work on one of `devices`."""
        return True

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        """Return the call to measure."""
        raise NotImplementedError

    def results(self, case: Case, raw: Any) -> tuple[Any, ...]:
        """Return what a call gave as arrays (batch, channel, pooled axes), of NumPy or CuPy."""
        return tuple(raw) if isinstance(raw, (tuple, list)) else (raw,)

    @property
    def version(self) -> str:
        return version(self.distribution)


# --- pooltk ---------------------------------------------------------------------------------------


class Pooltk(Contestant):
    """pooltk on the array as it is; channels last is a matter of its strides."""

    name = "pooltk"
    distribution = "pooltk"
    devices = "cpu", "cuda"
    ours = True

    def __init__(self) -> None:
        import pooltk

        self.pooltk = pooltk

    @property
    def version(self) -> str:
        return self.pooltk.__version__

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        return self._call(case, arrays, threads, lambda array: array)

    def _call(
        self,
        case: Case,
        arrays: Arrays,
        threads: int,
        given: Callable[[Any], Any],
        **more: Any,
    ) -> Call:
        self.pooltk.set_num_threads(threads)
        function = getattr(self.pooltk, case.function)
        kwargs = {**case.kwargs, **more}
        if "dtype" in kwargs:
            kwargs["dtype"] = numpy_dtype(kwargs["dtype"])
        x = given(arrays.x(case.layout))
        if not case.backward:
            return lambda: function(x, **kwargs)
        grad = given(arrays.grad(case.layout))
        if case.is_adaptive:
            del kwargs["output_size"]
        if case.is_max:
            return lambda: function(grad, x, **kwargs)
        shape = x.shape
        return lambda: function(grad, shape, **kwargs)


class PooltkDataFormat(Pooltk):
    """The same array, shaped (batch, pooled axes, channel)."""

    name = "pooltk data_format"

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        if case.layout != LAST:
            raise Unsupported("for channels last")

        def moved(array: Any) -> Any:
            return np.moveaxis(array, 1, -1)

        return self._call(case, arrays, threads, moved, data_format=LAST)

    def results(self, case: Case, raw: Any) -> tuple[Any, ...]:
        return tuple(np.moveaxis(array, -1, 1) for array in super().results(case, raw))


class PooltkIndices(Pooltk):
    """Backward of max with the indices that the forward pass gave."""

    name = "pooltk indices="

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        if not (case.backward and case.is_max):
            raise Unsupported("for the backward of max")
        forward = getattr(self.pooltk, case.function.removesuffix("_backward"))
        _, indices = forward(arrays.x(case.layout), **case.kwargs, return_indices=True)
        return self._call(case, arrays, threads, lambda array: array, indices=indices)


# --- PyTorch --------------------------------------------------------------------------------------


class Torch(Contestant):
    """PyTorch with tensors of one memory format, whatever the case's layout.

    Its kernels for CUDA devices are its own: it calls cuDNN to pool quantised tensors alone.
    """

    name = "torch"
    distribution = "torch"
    devices = "cpu", "cuda"
    layout = FIRST

    def __init__(self) -> None:
        import torch

        self.torch = torch
        torch.set_grad_enabled(False)

    def finds(self, device: str) -> bool:
        return device == "cpu" or self.torch.cuda.is_available()

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        self.torch.set_num_threads(threads)
        if self.layout == LAST and case.ndim == 1:
            raise Unsupported("no channels_last format in 1d")
        if not case.is_max:
            same_dtype_only(case)
        x = arrays.x(self.layout)
        if case.backward:
            return self._backward(case, self._tensor(x), self._tensor(arrays.grad(self.layout)))
        function = getattr(self.torch.nn.functional, case.function)
        kwargs = {key: value for key, value in case.kwargs.items() if key != "dtype"}
        if any(stride < 0 for stride in x.strides):  # tensors have none: copying is the user's job
            return lambda: function(self._tensor(arrays.xp.ascontiguousarray(x)), **kwargs)
        tensor = self._tensor(x)
        return lambda: function(tensor, **kwargs)

    def _backward(self, case: Case, x: Any, grad: Any) -> Call:
        """Return the call of the kernel that autograd would call."""
        aten, functional = self.torch.ops.aten, self.torch.nn.functional
        d = max(case.ndim, 2)  # 1d runs as 2d inside PyTorch as well
        extra = d - case.ndim

        def axes(values: tuple[int, ...], filler: int) -> list[int]:
            return [filler] * extra + list(values)

        if extra:
            x, grad = x.unsqueeze(2), grad.unsqueeze(2)
        if case.is_adaptive:
            if case.is_max:
                _, indices = getattr(functional, f"adaptive_max_pool{d}d")(
                    x, tuple(grad.shape[2:]), return_indices=True
                )
                kernel = getattr(aten, f"adaptive_max_pool{d}d_backward")
                return lambda: kernel(grad, x, indices)
            kernel = getattr(aten, f"_adaptive_avg_pool{d}d_backward")
            return lambda: kernel(grad, x)
        w = window_of(case)
        if w.low != w.high:
            raise Unsupported("padding on one side")
        size, stride, padding = axes(w.kernel, 1), axes(w.stride, 1), axes(w.low, 0)
        if case.is_max:
            dilation = axes(w.dilation, 1)
            _, indices = getattr(functional, f"max_pool{d}d")(
                x, size, stride, padding, dilation, w.ceil, return_indices=True
            )
            kernel = getattr(aten, f"max_pool{d}d_with_indices_backward")
            return lambda: kernel(grad, x, size, stride, padding, dilation, w.ceil, indices)
        kernel = getattr(aten, f"avg_pool{d}d_backward")
        return lambda: kernel(grad, x, size, stride, padding, w.ceil, w.include_pad, w.divisor)

    def results(self, case: Case, raw: Any) -> tuple[np.ndarray, ...]:
        arrays = []
        for tensor in raw if isinstance(raw, tuple) else (raw,):
            tensor = tensor.cpu()
            if tensor.dtype == self.torch.bfloat16:
                array = tensor.view(self.torch.int16).numpy().view(numpy_dtype("bfloat16"))
            else:
                array = tensor.numpy()
            one_more = array.ndim > len(case.shape)
            arrays.append(array.squeeze(2) if one_more else array)
        return tuple(arrays)

    def _tensor(self, array: Any) -> Any:
        if array.dtype.name == "bfloat16":
            return self.torch.from_dlpack(array.view(np.int16)).view(self.torch.bfloat16)
        return self.torch.from_dlpack(array)


class TorchChannelsLast(Torch):
    """The same with the memory format that suits PyTorch's faster kernels."""

    name = "torch channels_last"
    layout = LAST


# --- onnxruntime ----------------------------------------------------------------------------------


class OnnxRuntime(Contestant):
    """onnxruntime, one session with one node a case; its CUDA provider pools by cuDNN."""

    name = "onnxruntime"
    distribution = "onnxruntime"
    devices = "cpu", "cuda"

    def __init__(self) -> None:
        import onnx
        import onnxruntime

        self.onnx, self.runtime = onnx, onnxruntime

    @property
    def version(self) -> str:
        return self.runtime.__version__  # of any of its distributions

    def finds(self, device: str) -> bool:
        return f"{device.upper()}ExecutionProvider" in self.runtime.get_available_providers()

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        forward_only(case)
        same_dtype_only(case)
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        model = self._model(case).SerializeToString()
        x = arrays.x(FIRST)
        on_host = isinstance(x, np.ndarray)
        provider = "CPUExecutionProvider" if on_host else "CUDAExecutionProvider"
        if not on_host:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            session = self.runtime.InferenceSession(model, options, [provider])
        except Exception as error:  # its exceptions have no public base
            if any(words in str(error) for words in ("NOT_IMPLEMENTED", "INVALID_GRAPH", "CPU EP")):
                raise Unsupported(f"no {case.op} of {case.dtype}") from error
            raise
        if on_host:
            return lambda: session.run(None, {"x": x})
        return self._bound(case, session, x)

    def _bound(self, case: Case, session: Any, x: Any) -> Call:
        """Return the call on an array of CuPy; its results stay on the device."""
        binding = session.io_binding()
        place = "cuda", x.device.id, self._element(case.dtype), x.shape, x.data.ptr
        binding.bind_input("x", *place)
        for output in session.get_outputs():
            binding.bind_output(output.name, "cuda", x.device.id)

        def call(_owner: Any = x) -> Any:
            session.run_with_iobinding(binding)
            return binding

        return call

    def _model(self, case: Case) -> Any:
        helper = self.onnx.helper
        window = window_of(case)
        kind = "MaxPool" if case.is_max else "AveragePool"
        attributes: dict[str, Any] = {}
        if is_global(case) and not case.return_indices:
            kind = "Global" + kind
        else:
            attributes = {
                "kernel_shape": window.kernel,
                "strides": window.stride,
                "pads": window.low + window.high,
                "dilations": window.dilation,
                "ceil_mode": int(window.ceil),
            }
            if not case.is_max:
                attributes["count_include_pad"] = int(window.include_pad)
        if window.divisor is not None:
            raise Unsupported("no divisor_override")
        element = self._element(case.dtype)
        outputs = [helper.make_tensor_value_info("y", element, None)]
        if case.return_indices:
            outputs.append(helper.make_tensor_value_info("i", self._element("int64"), None))
        node = helper.make_node(kind, ["x"], [out.name for out in outputs], **attributes)
        inputs = [helper.make_tensor_value_info("x", element, case.shape)]
        graph = helper.make_graph([node], case.op, inputs, outputs)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)

    def _element(self, dtype: str) -> int:
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(numpy_dtype(dtype)))

    def results(self, case: Case, raw: Any) -> tuple[np.ndarray, ...]:
        outputs = raw if isinstance(raw, list) else raw.copy_outputs_to_cpu()
        values, *indices = outputs  # ONNX counts over the whole tensor, pooltk over the plane
        return values, *(i % prod(case.shape[2:]) for i in indices)


# --- OpenVINO -------------------------------------------------------------------------------------


class OpenVino(Contestant):
    """OpenVINO's CPU plugin, one model with one node a case."""

    name = "openvino"
    distribution = "openvino"

    def __init__(self) -> None:
        import openvino
        import openvino.opset15

        self.openvino, self.opset = openvino, openvino.opset15
        self.core = openvino.Core()

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        forward_only(case)
        same_dtype_only(case)
        if case.dtype == "float64":
            raise Unsupported("computes float64 in float32")
        element = self._element(case.dtype)
        x = self.opset.parameter(list(case.shape), element)
        node = self._node(case, x)
        model = self.openvino.Model(node.outputs()[: 1 + case.return_indices], [x])
        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if case.dtype == "float32":  # else it may compute in bfloat16
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        compiled = self.core.compile_model(model, "CPU", settings)
        array = arrays.x(FIRST)
        if case.dtype != "bfloat16":
            return lambda: compiled(array)
        bits = np.ascontiguousarray(array).view(np.int16)
        tensor = self.openvino.Tensor(bits, self.openvino.Shape(case.shape), element)
        return lambda: compiled(tensor)

    def _node(self, case: Case, x: Any) -> Any:
        opset = self.opset
        if case.is_adaptive and not (is_global(case) and not case.return_indices):
            size = opset.constant(np.array(self._sizes(case), np.int64))
            if case.is_max:
                return opset.adaptive_max_pool(x, size, "i32")
            return opset.adaptive_avg_pool(x, size)
        if case.is_adaptive:
            axes = opset.constant(np.arange(2, 2 + case.ndim))
            return (opset.reduce_max if case.is_max else opset.reduce_mean)(x, axes, True)
        w = window_of(case)
        if w.divisor is not None:
            raise Unsupported("no divisor_override")
        stride, low, high, kernel = map(list, (w.stride, w.low, w.high, w.kernel))
        rounding = "ceil_torch" if w.ceil else "floor"
        if case.is_max:
            dilation = list(w.dilation)
            return opset.max_pool(
                x, stride, dilation, low, high, kernel, rounding, "explicit", "i64", 2
            )
        if set(w.dilation) != {1}:
            raise Unsupported("no dilation in averages")
        return opset.avg_pool(x, stride, low, high, kernel, not w.include_pad, rounding, "explicit")

    def _sizes(self, case: Case) -> tuple[int, ...]:
        size = case.kwargs["output_size"]
        return (size,) * case.ndim if isinstance(size, int) else size

    def _element(self, dtype: str) -> Any:
        kinds = self.openvino.Type
        return kinds.bf16 if dtype == "bfloat16" else kinds(np.dtype(dtype))

    def results(self, case: Case, raw: Any) -> tuple[np.ndarray, ...]:
        values, *indices = raw.values()
        if case.dtype == "bfloat16":  # NumPy is given the bits as a float16 array
            values = values.view(numpy_dtype("bfloat16"))
        return values, *indices


# --- image libraries and NumPy --------------------------------------------------------------------


def tiles_of(case: Case) -> tuple[int, ...]:
    """Return the tile's size where the windows are tiles that fill the plane."""
    forward_only(case)
    if case.return_indices:
        raise Unsupported("no indices")
    window = window_of(case)
    fills = not any(n % k for n, k in zip(case.shape[2:], window.kernel, strict=True))
    if not (window.tiles and fills):
        raise Unsupported("only tiles")
    return window.kernel


class OpenCv(Contestant):
    """OpenCV's resize with INTER_AREA: on images, by a whole factor, it is average pooling."""

    name = "opencv"
    distribution = "opencv-python-headless"
    integer_tolerance = 1  # it rounds halves up
    smallest = 64  # pixels a side; what is smaller is no image
    _dtypes = "uint8", "uint16", "int16", "float32", "float64"

    def __init__(self) -> None:
        import cv2

        self.cv2 = cv2

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        tile = tiles_of(case)
        batch, channels = case.shape[:2]
        image = case.ndim == 2 and batch == 1 and (channels == 1 or case.layout == LAST)
        if case.is_max or not image or channels > 4 or min(case.shape[2:]) < self.smallest:
            raise Unsupported("averages of one image")
        same_dtype_only(case)
        if case.dtype not in self._dtypes:
            raise Unsupported(f"no {case.dtype}")
        self.cv2.setNumThreads(threads)
        resize, how = self.cv2.resize, self.cv2.INTER_AREA
        x = np.moveaxis(arrays.x(LAST), 1, -1)[0]
        height, width = (n // k for n, k in zip(case.shape[2:], tile, strict=True))
        return lambda: resize(x, (width, height), interpolation=how)

    def results(self, case: Case, raw: Any) -> tuple[np.ndarray, ...]:
        pixels = raw.reshape(*raw.shape[:2], case.shape[1])
        return (np.moveaxis(pixels, -1, 0)[None],)


class BlockReduce(Contestant):
    """scikit-image's block_reduce, with NumPy's function for the block."""

    name = "scikit-image"
    distribution = "scikit-image"

    def __init__(self) -> None:
        from skimage.measure import block_reduce

        self.block_reduce = block_reduce

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        block = 1, 1, *tiles_of(case)
        reduce, function = self.block_reduce, np.max if case.is_max else np.mean
        x = arrays.x(case.layout)
        dtype = numpy_dtype(case.result_dtype)
        if not case.is_max and dtype.kind in "iu":
            return lambda: np.rint(reduce(x, block, function)).astype(dtype)
        return lambda: reduce(x, block, function)


class NumPy(Contestant):
    """numpy.max and numpy.mean: the yardstick of a call's overhead, no rival."""

    name = "numpy"
    distribution = "numpy"
    rival = False

    def prepare(self, case: Case, arrays: Arrays, threads: int) -> Call:
        tiles_of(case)
        if prod(case.shape) > 4096 or not is_global(case):
            raise Unsupported("a yardstick for tiny arrays")
        x, function = arrays.x(case.layout), np.max if case.is_max else np.mean
        axes = tuple(range(2, 2 + case.ndim))
        return lambda: function(x, axis=axes)

    def results(self, case: Case, raw: Any) -> tuple[np.ndarray, ...]:
        return (raw.reshape(*raw.shape, *(1,) * case.ndim),)


CONTESTANTS: tuple[type[Contestant], ...] = (
    Pooltk,
    PooltkDataFormat,
    PooltkIndices,
    Torch,
    TorchChannelsLast,
    OnnxRuntime,
    OpenVino,
    OpenCv,
    BlockReduce,
    NumPy,
)


def load(names: Iterable[str], device: str = "cpu") -> tuple[list[Contestant], list[str]]:
    """Return those that take part on a device, and the names of those not installed for it."""
    present, absent = [], []
    for kind in CONTESTANTS:
        if device in kind.devices and (kind.ours or kind.name in names):
            try:
                contestant = kind()
            except ImportError:
                contestant = None
            if contestant and contestant.finds(device):
                present.append(contestant)
            else:
                absent.append(kind.name)
    return present, absent
