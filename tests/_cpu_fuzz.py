"""Random arguments, legal or not, for the public functions: `python _cpu_fuzz.py LEVEL SEED SETS`.

Each set of arguments must end as it does with the reference: with the same result, or with the
same TypeError or ValueError. Sets are numbered, and each depends on the seed and its number alone;
`python _cpu_fuzz.py LEVEL SEED SETS FIRST` begins with another number than 0.
"""

import faulthandler
import sys
import warnings

import numpy as np
import pytest
from _cpu_cases import (
    DTYPES,
    FLOATS,
    array_of,
    assert_equal,
    dtype_named,
    misaligned,
    padded_rows,
    reversed_axes,
    shuffled_axes,
    strided,
    using,
)
from libraries import BY_REFERENCE

import pooltk
from pooltk import _cpu

OPERATIONS = (
    "max_pool{}d",
    "avg_pool{}d",
    "adaptive_max_pool{}d",
    "adaptive_avg_pool{}d",
    "max_pool{}d_backward",
    "avg_pool{}d_backward",
    "adaptive_max_pool{}d_backward",
    "adaptive_avg_pool{}d_backward",
)
LAYOUTS = (
    np.asfortranarray,
    strided,
    padded_rows,
    reversed_axes,
    shuffled_axes,
    misaligned,
    lambda array: np.broadcast_to(array[..., :1], array.shape),
)
# Where an int belongs.
ODD_INTS = (
    0, -1, -(2**40), 2**31, 2**40, 2**62 - 1, 2**62, 2**63, 2**70, True, np.True_, np.int8(2),
    np.uint64(3), np.float64(2), 1.5, "2", b"2", None, (), (2,), (1, 2), (2, 2, 2), (1, None),
    [2, 3],
    np.array(2), np.array([2]), {}, slice(2), ((1, 2), (3,)), ("same",), np.nan,
)  # fmt: skip
ODD_ARRAYS = (
    None, 3, 2.5, True, "abc", [], [[]], [1.0, 2.0, 4.0], [[1, 2], [3]], [None], {}, object(), int,
    np.float32(2), np.ma.masked_array([1.0, 2.0], [0, 1]), np.matrix([[1, 2], [3, 4]]), ((1, 2),
    (3, 4)),
)  # fmt: skip
ODD_DTYPES = ("complex64", "complex128", "longdouble", "S3", "U2", "O", "M8[s]", "m8[s]", "V4")
MOST_ELEMENTS = 4000


def native(dtype):
    return dtype if dtype.name == "bfloat16" else dtype.newbyteorder("=")


class Draw:
    """Random choices."""

    def __init__(self, seed, number):
        self.rng = np.random.default_rng([seed, number])
        self.wild = False  # indices that no forward function gave: any result will do

    def chance(self, probability):
        return self.rng.random() < probability

    def pick(self, values):
        return values[int(self.rng.integers(len(values)))]

    def between(self, low, high):
        return int(self.rng.integers(low, high + 1))

    # --- arrays

    def array(self, shape, dtype=None):
        dtype = self.pick(DTYPES) if dtype is None else dtype
        if self.chance(0.02):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return np.zeros(shape, self.pick(ODD_DTYPES))
        array = array_of(shape, dtype, self.rng, special=self.chance(0.3))
        if array.ndim and array.size and self.chance(0.5):
            array = self.pick(LAYOUTS)(array)
        if self.chance(0.1) and array.dtype.name != "bfloat16":
            array = array.astype(array.dtype.newbyteorder())
        if self.chance(0.1):
            array.flags.writeable = False
        return array

    def shape(self, ndim, channels_last):
        rank = ndim + channels_last + self.pick((0, 0, 1, 1, 1, 2, 2, 3))
        if self.chance(0.05):
            rank = self.between(0, 11)
        while True:
            sizes = [self.pick((1, 2, 3, 4, 5, 6, 7, 9, 12, 17, 33)) for _ in range(rank)]
            if self.chance(0.03) and rank:
                sizes[self.between(0, rank - 1)] = 0
            if np.prod([size or 1 for size in sizes]) <= MOST_ELEMENTS:
                return tuple(sizes)

    def out(self, shape, dtype):
        """Where to write to: nearly always of the right shape and dtype."""
        if self.chance(0.1):
            shape = self.pick((shape[1:], (*shape, 1), shape[::-1]))
        if self.chance(0.1):
            dtype = dtype_named(self.pick(DTYPES))
        if np.prod(shape) > 10 * MOST_ELEMENTS:
            shape = ()
        out = np.zeros(shape, dtype)
        if self.chance(0.05):
            return self.pick((None, (out, out), "out", np.ma.masked_array(out), out.tolist()))
        if out.ndim and out.size and not out.dtype.hasobject and self.chance(0.5):
            out = self.pick(LAYOUTS)(out)
        if self.chance(0.05):
            out.flags.writeable = False
        return out

    # --- windows

    def ints(self, ndim, draw, none=False):
        """An int or one per axis; now and then what is neither."""
        if self.chance(0.04):
            return self.pick(ODD_INTS)
        if self.chance(0.5):
            return draw()
        values = [None if none and self.chance(0.2) else draw() for _ in range(ndim)]
        if self.chance(0.03):
            values[self.between(0, ndim - 1)] = self.pick(ODD_INTS)
        return tuple(values) if self.chance(0.8) else values

    def windows(self, ndim):
        """Arguments of sliding windows."""
        kernel = self.ints(ndim, lambda: self.pick((1, 2, 2, 3, 3, 3, 4, 5, 8, 12, 34)))
        windows = {"kernel_size": kernel}
        if self.chance(0.7):
            windows["stride"] = self.ints(ndim, lambda: self.pick((1, 1, 2, 2, 3, 5, 40)))
        if self.chance(0.4):
            windows["dilation"] = self.ints(ndim, lambda: self.pick((1, 2, 3, 9)))
        if self.chance(0.03):  # windows far wider than the array
            windows["dilation"] = huge = self.pick((10**4, 2**31, 2**40, 2**61, 2**62 - 40))
            windows["stride"] = self.pick((huge, huge - 1, huge // 3))
            windows["padding"] = self.pick(
                (huge, ((huge, 0),) * ndim, ((huge - 1, 3),) * ndim, ((0, huge),) * ndim, 5)
            )
        elif self.chance(0.6):
            windows["padding"] = self.padding(ndim, kernel)
        if self.chance(0.4):
            windows["ceil_mode"] = self.pick((True, True, True, False, np.True_, 1, None, "no"))
        return windows

    def padding(self, ndim, kernel):
        if self.chance(0.15):
            return self.pick(("same", "same_lower", "valid", "full", "Same"))
        most = kernel if type(kernel) is int and 0 < kernel < 50 else 3
        if self.chance(0.3):
            pairs = [(self.between(0, most - 1), self.between(0, most - 1)) for _ in range(ndim)]
            if self.chance(0.05):
                pairs[0] = self.pick(((1,), (1, 2, 3), 1, (0, -1), "ab"))
            return tuple(pairs)
        return self.ints(ndim, lambda: self.between(0, most - 1 + self.chance(0.1)))

    # --- calls

    def call(self):
        """Name of a function, its arguments, and those by keyword."""
        ndim = self.between(1, 3)
        name = self.pick(OPERATIONS).format(ndim)
        arguments = {}
        channels_last = self.chance(0.35)
        if channels_last or self.chance(0.2):
            arguments["data_format"] = "channels_last" if channels_last else "channels_first"
        if self.chance(0.02):
            arguments["data_format"] = self.pick(("NHWC", None, 1, "Channels_Last"))
        shape = self.shape(ndim, channels_last)
        adaptive = name.startswith("adaptive")
        if adaptive:
            windows = {"output_size": self.ints(ndim, lambda: self.between(0, 14), none=True)}
        else:
            windows = self.windows(ndim)
        result_shape = forward_shape(shape, ndim, channels_last, windows)
        # An empty result counts with its other axes: NumPy has no array of shape (0, 2**62).
        if np.prod([size or 1 for size in result_shape or ()], dtype=object) > MOST_ELEMENTS:
            return self.call()
        if not name.endswith("backward"):
            arguments |= windows | self.forward(name, result_shape)
            x = self.pick(ODD_ARRAYS) if self.chance(0.02) else self.array(shape)
            if "out" in arguments:
                arguments["out"] = self.result(name, x, arguments, result_shape)
            return name, (x,), arguments
        if result_shape is None or self.chance(0.04):
            result_shape = shape
        gradient = self.array(result_shape, self.pick(FLOATS) if self.chance(0.97) else None)
        if not adaptive:
            arguments |= windows
        if "avg" in name:
            if self.chance(0.03):
                shape = self.pick(
                    ((), (3,), None, [*shape], (*shape, 2), tuple(map(float, shape)), 7)
                )
            arrays = (gradient, shape)
            if not adaptive:
                arguments |= self.counts()
        else:
            arrays = (gradient, self.array(shape))
            if self.chance(0.4):
                arguments["indices"] = self.indices(name, arrays, arguments)
        if self.chance(0.02):
            arrays = (self.pick(ODD_ARRAYS), arrays[1])
        if self.chance(0.15) and isinstance(shape, tuple):
            arguments["out"] = self.out(tuple(map(int, shape)), native(gradient.dtype))
        return name, arrays, arguments

    def indices(self, name, arrays, arguments):
        """Those of the forward function, or any."""
        gradient, x = arrays
        dtype = self.pick(("int64", "int64", "int64", "int32", "uint64", "int8", "float32"))
        if self.chance(0.6):
            if name.startswith("adaptive"):
                ndim = int(name[name.index("d_") - 1])
                last = arguments.get("data_format") == "channels_last"
                sizes = gradient.shape[gradient.ndim - ndim - last : gradient.ndim - last]
                arguments = {"output_size": sizes} | arguments
            forward = name.removesuffix("_backward"), (x,), arguments | {"return_indices": True}
            found = outcome(*forward)
            if not isinstance(found, Exception):
                fits = dtype != "int8" or found[1].max(initial=0) < 128
                return found[1].astype(dtype) if fits else found[1]
        self.wild = True
        wild = self.rng.integers(-1, x.size + 1, gradient.shape)
        wild = np.where(self.rng.random(wild.shape) < 0.2, wild << self.between(0, 62), wild)
        wild = wild.astype(dtype)
        return wild if self.chance(0.9) else wild[None]

    def counts(self):
        counts = {}
        if self.chance(0.3):
            counts["count_include_pad"] = self.pick((False, False, False, True, 0, None))
        if self.chance(0.3):
            counts["divisor_override"] = self.pick(
                (1, 2, -3, 1000, None, 0, 2**53, 2**70, 1.0, True, np.int8(-5))
            )
        return counts

    def forward(self, name, result_shape):
        """What only a forward function takes."""
        arguments = {}
        if "max" in name:
            if self.chance(0.5):
                arguments["return_indices"] = self.pick((True, True, True, False, 1, np.True_))
        else:
            if not name.startswith("adaptive"):
                arguments |= self.counts()
            if self.chance(0.3):
                odd = self.pick((*DTYPES, "complex64", "O", 3, "nonsense", float, np.int16))
                arguments["dtype"] = dtype_named(odd) if odd == "bfloat16" else odd
        if self.chance(0.15) and result_shape is not None:
            arguments["out"] = None
        return arguments

    def result(self, name, x, arguments, shape):
        """An `out` for a forward function."""
        try:
            dtype = native(x.dtype)
            if "avg" in name:
                dtype = np.dtype(arguments.get("dtype") or ("f8" if dtype.kind in "iub" else dtype))
        except (AttributeError, TypeError, ValueError):
            dtype = np.dtype("float32")
        out = self.out(shape, dtype)
        if arguments.get("return_indices") is True and self.chance(0.95):
            return (out, self.out(shape, np.dtype("int64")))
        return out


def forward_shape(shape, ndim, channels_last, windows):
    """Shape of a result; None if there is none."""
    first = len(shape) - ndim - channels_last
    pooled = shape[first : first + ndim]
    if first < 0:
        return None
    try:
        if "output_size" in windows:
            sizes = windows["output_size"]
            sizes = sizes if isinstance(sizes, (tuple, list)) else (sizes,) * ndim
            sizes = [n if m is None else int(m) for n, m in zip(pooled, sizes, strict=True)]
            if min(sizes) < 0:
                return None
        else:
            sizes = pooltk.pool_output_shape(pooled, **windows)
    except (TypeError, ValueError):
        return None
    return (*shape[:first], *sizes, *shape[first + ndim :])


# --- running ---------------------------------------------------------------------------------


def outcome(name, arrays, arguments):
    """The results, out of reach of what is written later, or the error: of two types alone."""
    try:
        results = getattr(pooltk, name)(*arrays, **arguments)
    except (TypeError, ValueError) as error:
        return error
    results = results if isinstance(results, tuple) else (results,)
    assert all(type(result) is np.ndarray for result in results)
    return [result.copy() for result in results]


def outcome_by_reference(name, arrays, arguments):
    with BY_REFERENCE:
        return outcome(name, arrays, arguments)


def check(draw):
    """Whether the arguments were legal; fails if the kernels disagree with the reference."""
    name, arrays, arguments = draw.call()
    try:
        actual = outcome(name, arrays, arguments)
        expected = outcome_by_reference(name, arrays, arguments)
        if isinstance(expected, Exception) or isinstance(actual, Exception):
            assert repr(actual) == repr(expected), f"{actual!r} is not {expected!r}"
            return False
        for result, wanted in zip(actual, expected, strict=True):
            if draw.wild:
                assert (result.dtype, result.shape) == (wanted.dtype, wanted.shape)
            elif "avg" in name and result.dtype.kind not in "iu":
                assert_close(name, arrays, arguments, result, wanted)
            else:
                assert_equal(result, wanted)
    except BaseException:
        print(f"pooltk.{name} of", *map(describe, arrays), file=sys.stderr)
        print({key: describe(value) for key, value in arguments.items()}, file=sys.stderr)
        raise
    return True


def assert_close(name, arrays, arguments, given, wanted):
    """Averages lie within some roundings of what their taps' magnitudes add up to."""
    assert (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
    arguments = {key: arguments[key] for key in arguments if key not in ("out", "dtype")}
    if arguments.get("divisor_override") is not None:
        arguments["divisor_override"] = abs(int(arguments["divisor_override"]))
    lead, result_dtype = np.asarray(arrays[0]), given.dtype
    with np.errstate(all="ignore"):
        (size,) = outcome_by_reference(name, (abs(lead.astype("float64")), *arrays[1:]), arguments)
        given, wanted = given.astype("float64"), wanted.astype("float64")
        width = 8 if lead.dtype.kind in "iub" else min(result_dtype.itemsize, lead.itemsize)
        bound = {2: 0.01, 4: 2e-6, 8: 4e-15}[width]
        if width == 8 and result_dtype.name == "bfloat16":
            bound = 2.0**-7  # one ulp: ml_dtypes rounds float64 to it by way of float32
        off = abs(given - wanted) <= bound * size + 1e-37
        same = off | (given == wanted) | (np.isnan(given) & np.isnan(wanted))
    assert same.all(), f"{given[~same][:5]} are not {wanted[~same][:5]}"


def main(level, seed, sets, first=0):
    faulthandler.enable()
    warnings.simplefilter("error")
    valid = 0
    with using(level), pytest.MonkeyPatch.context() as patch:
        for number in range(first, first + sets):
            print(number, flush=True)
            faulthandler.dump_traceback_later(100, exit=True)  # what takes so long never ends
            draw = Draw(seed, number)
            threads = draw.between(1, 3)
            patch.setattr(_cpu._threads, "get_num_threads", lambda threads=threads: threads)
            valid += check(draw)
    faulthandler.cancel_dump_traceback_later()
    print("valid", valid)


def describe(value):
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape}, strides {value.strides}>"
    if isinstance(value, tuple):
        return tuple(map(describe, value))
    return value


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
