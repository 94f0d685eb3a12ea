"""CuPy's own kernels against NumPy: the emulation computes what a GPU would."""

import cupy as cp
import numpy as np
import pytest

RNG = np.random.default_rng(1)
F4 = RNG.standard_normal(999).astype("f4") * 10
F4[::50], F4[1::50], F4[2::50], F4[3::50] = np.nan, np.inf, -np.inf, -0.0
FINITE = np.nan_to_num(F4, posinf=5, neginf=-5)
I4 = RNG.integers(-(2**31) + 1, 2**31, 999, dtype="i4")
I8 = I4.astype("i8") * 12345
POSITIVE = RNG.integers(1, 1000, 999, dtype="i4")
U1 = RNG.integers(0, 256, 999, dtype="u1")
EXACT = [
    ("add", F4, F4[::-1]),
    ("multiply", F4.astype("f2"), F4[::-1].astype("f2")),
    ("maximum", F4, F4[::-1]),
    ("minimum", F4.astype("f8"), F4[::-1].astype("f8")),
    ("fmax", F4, F4[::-1]),
    ("floor_divide", I4, POSITIVE),
    ("remainder", I8, POSITIVE),
    ("true_divide", F4, F4[::-1]),
    ("sqrt", abs(F4).astype("f8")),
    ("floor", F4),
    ("rint", F4),
    ("isnan", F4.astype("f2")),
    ("signbit", F4),
    ("left_shift", I4, U1.astype("i4") % 31),
    ("bitwise_xor", I4, POSITIVE),
    ("negative", I8),
    ("absolute", I8),
    ("less", F4, F4[::-1]),
    ("sign", F4),
    ("copysign", F4, F4[::-1]),
    ("max", FINITE),
    ("argmax", FINITE),
    ("cumsum", POSITIVE),
    ("any", U1),
    ("where", U1 > 9, F4, FINITE),
]
CLOSE = [
    ("exp", FINITE),
    ("log", abs(FINITE) + 1),
    ("tanh", FINITE),
    ("sin", FINITE),
    ("sum", FINITE),
    ("mean", FINITE.astype("f8")),
    ("var", FINITE),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "name, args", [(name, args) for name, *args in EXACT], ids=[name for name, *_ in EXACT]
)
def test_exact(name, args):
    got = getattr(cp, name)(*map(cp.asarray, args)).get()
    np.testing.assert_array_equal(got, getattr(np, name)(*args))


@pytest.mark.parametrize("name, x", CLOSE, ids=[name for name, _ in CLOSE])
def test_close(name, x):
    got = getattr(cp, name)(cp.asarray(x)).get()
    want = getattr(np, name)(x.astype("f8"))
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("source", ["f4", "f8", "i4", "u1"])
@pytest.mark.parametrize("to", ["f2", "f4", "f8", "i1", "u2", "i4", "u8", "?"])
def test_casts(source, to):
    x = {"f4": FINITE * 3, "f8": FINITE * 3, "i4": I4 % 100, "u1": U1}[source].astype(source)
    if to[0] == "u":
        x = abs(x)
    np.testing.assert_array_equal(cp.asarray(x).astype(to).get(), x.astype(to))


@pytest.mark.parametrize("dtype", ["f2", "f4", "i4"])
def test_reductions_along_axes(dtype):
    x = RNG.integers(-9, 9, (3, 4, 5, 6)).astype(dtype)
    for axis in (0, 1, (2, 3), -1):
        np.testing.assert_array_equal(cp.asarray(x).max(axis).get(), x.max(axis))
        np.testing.assert_array_equal(cp.asarray(x).sum(axis).get(), x.sum(axis))


def test_views_and_indexing():
    x = np.arange(120).reshape(4, 5, 6)
    y = cp.asarray(x)
    np.testing.assert_array_equal(
        y[::2, 1:, ::-1].transpose(2, 0, 1).copy().get(), x[::2, 1:, ::-1].transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(y[y % 3 == 0].get(), x[x % 3 == 0])
    np.testing.assert_array_equal(y.ravel()[cp.asarray([5, 1, 7])].get(), [5, 1, 7])
