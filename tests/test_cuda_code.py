"""What NVIDIA's compilers make of the kernels, for every architecture: no device takes part.

Everywhere: warnings are errors, no local memory, no subroutine, at most 80 registers, and 16 bytes
a load where that is promised. Registers are spilled only where a test says how few.
"""

import pytest
from _cpu_cases import Case
from test_cuda_launch import plan

ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
OPERATIONS = (
    "max_pool",
    "indices",
    "avg_pool",
    "by_indices",
    "by_numbers",
    "avg_pool_backward",
)


def case(name):
    channels_last = name.endswith("pixels")
    shape = (8, 112, 112, 64) if channels_last else (8, 64, 112, 112)
    if name.startswith("global"):
        return Case(name, shape, 2, output_size=1, channels_last=channels_last)
    kernel, stride = int(name[0]), int(name[2])
    windows = {"kernel_size": kernel, "stride": stride, "padding": kernel // 3}
    return Case(name, shape, 2, channels_last=channels_last, **windows)


def launch(operation, name, dtype):
    """Plan a call of an operation as `_pool` would."""
    wide = "float64" if dtype == "float64" else "float32"
    kind = (f"X={dtype}",)
    gradient = (f"GRADIENT={dtype}", f"WIDE={wide}")
    counts = ("COUNT_INCLUDE_PAD=0",)
    kernel, numbers, macros = {
        "max_pool": ("max_pool", None, (*kind, "VALUES", "NUMBER=int64")),
        "indices": ("max_pool", "int64", (*kind, "VALUES", "NUMBER=int64", "NUMBERS")),
        "avg_pool": (
            "avg_pool",
            None,
            (*kind, f"RESULT={dtype}", f"WIDE={wide}", f"SUM=FloatSum<{wide}>", *counts),
        ),
        "by_indices": ("max_pool_backward", "int64", (*gradient, "NUMBER=int64")),
        "by_numbers": ("max_pool_backward", "uint8", (*gradient, "NUMBER=uint8", "RELATIVE")),
        "avg_pool_backward": (
            "avg_pool_backward",
            None,
            (*gradient, f"RESULT={dtype}", "COUNTED=1", *counts),
        ),
    }[operation]
    return plan(kernel, case(name), dtype, numbers, macros)[0]


@pytest.fixture(scope="module")
def report():
    """Function that compiles a launch for an architecture and tells what of."""
    nvrtc_check = pytest.importorskip(
        "nvrtc_check", reason="a tool in tests/cupy_on_cpu; CONTRIBUTING says how to use it"
    )
    from pooltk._cuda import _modules

    def check(planned, architecture):
        options = (*_modules.OPTIONS, *(f"-D{macro}" for macro in planned.macros))
        source = _modules.source(planned.kernel)
        (found,) = nvrtc_check.check(source, architecture, (), options).values()
        return found

    return check


def check_registers(found, stack=0):
    assert found.stack <= stack  # in bytes
    assert found.local == 0
    assert found.spills <= stack // 2  # a store and a load for each four
    assert found.count("RET") == 0  # of a subroutine; for sm_80 a jump out of loops is a CALL too
    assert found.registers <= 80


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["2/2", "3/2", "3/1", "2/2 pixels", "3/2 pixels", "3/1 pixels"])
def test_small_windows(report, name, dtype):
    for operation in OPERATIONS:
        if dtype == "bfloat16" and operation in ("indices", "by_indices"):
            continue  # like float16, but for what a number is
        # With stride 1 more windows are over a block: of some gradients four registers don't fit.
        few = operation.startswith(("by_", "avg_pool_backward")) and name == "3/1 pixels"
        check_registers(report(launch(operation, name, dtype), "90"), 16 if few else 0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_architecture(report, operation, architecture):
    for name in ("2/2", "3/1", "3/2 pixels"):
        found = report(launch(operation, name, "float32"), architecture)
        # Only sm_75 has no instruction for the greater of two floats.
        keys = (operation, name, architecture) == ("max_pool", "3/2 pixels", "75")
        check_registers(found, 56 if keys else 0)
        if operation in ("max_pool", "indices", "avg_pool"):
            assert found.widths("LDG")[128] >= {"2/2": 4, "3/1": 3, "3/2 pixels": 9}[name]
        assert found.widths("STG")[128]
    if operation in ("max_pool", "avg_pool"):
        found = report(launch(operation, "global", "float32"), architecture)
        check_registers(found)
        assert found.widths("LDG")[128] >= 4
        found = report(launch(operation, "global pixels", "float32"), architecture)
        check_registers(found)
        assert found.widths("LDG")[128] >= 1
    else:
        # 24 indices of 64 bits and as many gradients: for these ptxas runs out by two to four.
        stack = 16 if operation == "by_indices" and architecture in ("100", "120") else 0
        check_registers(report(launch(operation, "3/1", "float16"), architecture), stack)


@pytest.mark.parametrize(
    "right, wrong",
    [
        # The operator is a subroutine.
        ("return is_finite(nearer) ? nearer : quotient;", "return sum / divisor;"),
        ("T quotient = multiply(sum, r);", "volatile T quotient; quotient = multiply(sum, r);"),
    ],
)
def test_what_is_not_promised_is_seen(report, monkeypatch, right, wrong):
    from pooltk._cuda import _modules

    planned = launch("avg_pool", "2/2", "float32")
    check_registers(report(planned, "90"))
    source = _modules.source("avg_pool")
    assert right in source
    monkeypatch.setattr(_modules, "source", lambda kernel: source.replace(right, wrong))
    with pytest.raises(AssertionError):
        check_registers(report(planned, "90"))
