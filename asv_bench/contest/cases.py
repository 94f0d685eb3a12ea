"""What is measured, as data: every case is one frozen record.

Shapes are written (batch, channel, pooled axes) whatever the order in memory, which is the
case's `layout`. A `view` makes the array a part of a larger one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

FIRST, LAST = "channels_first", "channels_last"


@dataclass(frozen=True)
class Case:
    """One call: `op` is the function's name without its `1d`, `2d` or `3d`."""

    group: str
    op: str
    shape: tuple[int, ...]
    args: tuple[tuple[str, Any], ...]
    label: str = ""
    dtype: str = "float32"
    layout: str = FIRST
    view: str = ""
    backward: bool = False

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self.args)

    @property
    def ndim(self) -> int:
        """Number of pooled axes."""
        return len(self.shape) - 2

    @property
    def is_max(self) -> bool:
        return "max" in self.op

    @property
    def is_adaptive(self) -> bool:
        return self.op.startswith("adaptive")

    @property
    def return_indices(self) -> bool:
        return bool(self.kwargs.get("return_indices"))

    @property
    def function(self) -> str:
        """Name of pooltk's function."""
        return f"{self.op}{self.ndim}d" + ("_backward" if self.backward else "")

    @property
    def result_dtype(self) -> str:
        """Dtype of the values, by the rules of pooltk."""
        integers = not self.is_max and "int" in self.dtype
        return str(self.kwargs.get("dtype", "float64" if integers else self.dtype))

    @property
    def name(self) -> str:
        """What the case is called in tables; whatever is the default is left out."""
        words = [self.group, self.label, self.function]
        words += [_word(key, value) for key, value in self.args]
        words += ["x".join(map(str, self.shape))]
        words += [self.dtype if self.dtype != "float32" else ""]
        words += [self.layout if self.layout != FIRST else "", self.view]
        return " ".join(word for word in words if word)


_SHORT = {"kernel_size": "k", "stride": "s", "padding": "p", "output_size": "to "}


def _word(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return key if value else ""
    if key == "padding" and not value:
        return ""
    if isinstance(value, tuple):
        value = "x".join(map(str, value))
    return f"{_SHORT.get(key, key + '=')}{value}"


def _case(op: str, shape: tuple[int, ...], *, label: str = "", **args: Any) -> Case:
    return Case("", op, shape, tuple(args.items()), label)


def _max(shape: tuple[int, ...], k: Any, s: Any = None, p: Any = 0, **more: Any) -> Case:
    return _sliding("max_pool", shape, k, s, p, **more)


def _avg(shape: tuple[int, ...], k: Any, s: Any = None, p: Any = 0, **more: Any) -> Case:
    return _sliding("avg_pool", shape, k, s, p, **more)


def _sliding(op: str, shape: tuple[int, ...], k: Any, s: Any, p: Any, **more: Any) -> Case:
    return _case(op, shape, kernel_size=k, stride=k if s is None else s, padding=p, **more)


def _bins(kind: str, shape: tuple[int, ...], size: Any, label: str = "") -> Case:
    return _case(f"adaptive_{kind}_pool", shape, output_size=size, label=label)


def _with(cases: Iterable[Case], args: dict[str, Any] | None = None, **fields: Any) -> list[Case]:
    """Return the cases with some arguments added and some fields replaced."""
    return [replace(c, args=c.args + tuple((args or {}).items()), **fields) for c in cases]


def _both_layouts(cases: list[Case]) -> list[Case]:
    return [replace(c, layout=layout) for c in cases for layout in (FIRST, LAST)]


def _square(batch: int, channels: int, size: int) -> tuple[int, int, int, int]:
    return batch, channels, size, size


_PHOTO, _PHOTO_RGB = _square(1, 1, 4096), _square(1, 3, 4096)

# The table of the design page.
_TABLE = [
    _max((8, 64, 112, 112), 2),
    _max((8, 64, 112, 112), 3, 2, 1),
    _max((8, 64, 56, 56), 3, 1, 1),
    _max((1, 256, 20, 20), 13, 1, 6),
    _avg((8, 64, 56, 56), 3, 1, 1),
    _avg((1, 16, 256, 256), 31, 1, 15),
    _bins("avg", (32, 2048, 7, 7), 1),
]
_TABLE_OTHER = [
    *_with([_avg(_PHOTO, 2)], {"dtype": "uint8"}, dtype="uint8"),
    _max((1, 1, 4, 4), 4),
    _bins("avg", (1, 1, 4, 4), 1),
]


def _networks(batch: int) -> Iterator[Case]:
    """Every pooling layer at the network's usual input; equal ones of one network once."""

    def at(channels: int, size: int) -> tuple[int, int, int, int]:
        return _square(batch, channels, size)

    for channels, size in (64, 55), (192, 27), (256, 13):
        yield _max(at(channels, size), 3, 2, label="alexnet")
    yield _bins("avg", at(256, 6), 6, "alexnet")

    for channels, size in (64, 224), (128, 112), (256, 56), (512, 28), (512, 14):
        yield _max(at(channels, size), 2, label="vgg16")
    yield _bins("avg", at(512, 7), 7, "vgg16")

    yield _max(at(64, 112), 3, 2, 1, label="resnet50")
    yield _bins("avg", at(2048, 7), 1, "resnet50")

    yield _max(at(64, 112), 3, 2, 1, label="densenet121")
    for channels, size in (128, 56), (256, 28), (512, 14):
        yield _avg(at(channels, size), 2, label="densenet121")
    yield _bins("avg", at(1024, 7), 1, "densenet121")

    for channels, size in (64, 147), (192, 71), (288, 35), (768, 17):
        yield _max(at(channels, size), 3, 2, label="inception3")
    for channels, size in (192, 35), (256, 35), (288, 35), (768, 17), (1280, 8), (2048, 8):
        yield _avg(at(channels, size), 3, 1, 1, label="inception3")
    yield _avg(at(768, 17), 5, 3, label="inception3 auxiliary")
    yield _bins("avg", at(2048, 8), 1, "inception3")

    for channels, size in (96, 109), (256, 54), (512, 27):
        yield _max(at(channels, size), 3, 2, ceil_mode=True, label="squeezenet")
    yield _bins("avg", at(1000, 13), 1, "squeezenet")

    for kernel in 5, 9, 13:
        yield _max(at(256, 20), kernel, 1, kernel // 2, label="yolo spp")


_GLOBAL = [
    _bins(kind, shape, 1)
    for kind in ("avg", "max")
    for shape in ((32, 2048, 7, 7), (8, 64, 112, 112))
]

# k=3 is there to show how little the cost grows with the window.
_LARGE = [
    pool(shape, kernel, 1, kernel // 2)
    for pool in (_max, _avg)
    for shape in ((1, 16, 256, 256), (1, 1, 1024, 1024))
    for kernel in (3, 15, 31, 63)
]

_AUDIO = (8, 64, 16000)
_1D = [
    _max(_AUDIO, 4),
    _max(_AUDIO, 3, 1, 1),
    _max(_AUDIO, 31, 1, 15),
    _avg(_AUDIO, 4),
    _avg(_AUDIO, 3, 1, 1),
    _avg(_AUDIO, 31, 1, 15),
    _bins("avg", _AUDIO, 99),
    _bins("max", _AUDIO, 1),
    _max((1, 1, 16000), 4),
]

_3D = [
    _max((1, 64, 16, 112, 112), (1, 2, 2), label="c3d"),
    _max((1, 128, 16, 56, 56), 2, label="c3d"),
    _max((1, 64, 32, 112, 112), (1, 3, 3), (1, 2, 2), (0, 1, 1), label="i3d"),
    _max((1, 480, 16, 28, 28), 3, 2, 1, label="i3d"),
    _max((1, 192, 16, 28, 28), 3, 1, 1, label="i3d"),
    _avg((1, 128, 16, 56, 56), 2, label="transition"),
    _avg((1, 192, 16, 28, 28), 3, 1, 1, label="smoothing"),
    _bins("avg", (8, 512, 2, 7, 7), 1, label="resnet3d"),
]

_ADAPTIVE = [
    _bins(kind, shape, size)
    for kind in ("avg", "max")
    for shape, size in (
        ((8, 64, 111, 113), 7),
        ((8, 512, 15, 17), 7),
        ((8, 256, 13, 13), 6),
        ((8, 64, 57, 55), 6),
        ((8, 512, 31, 29), 1),
    )
]

# Calls of everyday that no network of the list makes: kernel_size alone, above all.
_EVERYDAY = [
    *[pool((8, 64, 112, 112), 3) for pool in (_max, _avg)],
    *[pool(_square(8, 256, 12), 3) for pool in (_max, _avg)],
    _avg(_square(8, 256, 20), 5),
    _avg(_square(8, 256, 14), 7),
    _avg(_square(8, 64, 56), 7),
    _max((8, 64, 112, 112), 5, 2, 2),
    _max((8, 64, 112, 112), 3, 1, 1, dilation=2),
    _max((8, 64, 112, 112), 16),
    *[_bins("avg", (8, 64, 112, 112), size) for size in (2, 50)],
    _bins("max", (1, 3, 480, 640), (31, 37)),
    _bins("avg", _AUDIO, 999),
]
_EVERYDAY_OTHER = [
    *_with([_avg((8, 64, 112, 112), 2)], dtype="int32"),
    *[c for dtype in ("float16", "uint8") for c in _with([_GLOBAL[2]], dtype=dtype)],
    *[c for dtype in ("float16", "uint8") for c in _with([_EVERYDAY[0]], dtype=dtype)],
]

# A smaller selection, for what would multiply all of them.
_SOME = [
    *_TABLE,
    _avg((8, 64, 112, 112), 2),
    *_with(_bins(k, (8, 64, 57, 55), 6) for k in ("avg", "max")),
]

_TINY = [
    case
    for shape, kernel in (
        ((1, 1, 4, 4), 4),
        ((1, 1, 4, 4), 2),
        ((1, 16, 14, 14), 14),
        ((1, 16, 14, 14), 2),
    )
    for case in (_max(shape, kernel), _avg(shape, kernel))
]
_TINY += [
    _bins(kind, shape, 1) for kind in ("avg", "max") for shape in ((1, 1, 4, 4), (1, 16, 14, 14))
]


def _images() -> Iterator[Case]:
    kinds = (_PHOTO, "uint8", FIRST), (_PHOTO, "uint16", FIRST), (_PHOTO_RGB, "uint8", LAST)
    for shape, dtype, layout in kinds:
        for kernel in 2, 4:
            averages = _with([_avg(shape, kernel)], {"dtype": dtype})
            yield from _with([*averages, _max(shape, kernel)], dtype=dtype, layout=layout)


def _groups() -> Iterator[tuple[str, list[Case]]]:
    networks = [*_networks(1), *_networks(8)]
    forward = [*_TABLE, *networks, *_GLOBAL, *_LARGE, *_1D, *_3D, *_ADAPTIVE]
    yield "table", [*_both_layouts(_TABLE), *_TABLE_OTHER]
    yield "networks", _both_layouts(networks)
    yield "global", _both_layouts(_GLOBAL)
    yield "large", _both_layouts(_LARGE)
    yield "1d", _both_layouts(_1D)
    yield "3d", _both_layouts(_3D)
    yield "adaptive", _both_layouts(_ADAPTIVE)
    yield "everyday", [*_both_layouts(_EVERYDAY), *_EVERYDAY_OTHER]
    dtypes = "float16", "bfloat16", "float64", "uint8", "int16"
    yield "dtypes", [c for dtype in dtypes for c in _with(_SOME, dtype=dtype)]
    maxima = [c for c in _SOME if c.is_max]
    yield "indices", _both_layouts(_with(maxima, {"return_indices": True}))
    views = "crop", "step", "flip", "transpose", "channels"
    yield "views", [c for view in views for c in _with([*_TABLE[:3], _TABLE[4]], view=view)]
    backward = [*forward, *_with(_SOME, layout=LAST)]
    backward += [c for dtype in dtypes[:3] for c in _with(_SOME, dtype=dtype)]
    yield "backward", _with(backward, backward=True)
    yield "tiny", _TINY
    yield "images", list(_images())


# Equal cases of one group are measured once.
CASES = list(dict.fromkeys(c for group, cases in _groups() for c in _with(cases, group=group)))
GROUPS = tuple(dict.fromkeys(case.group for case in CASES))
