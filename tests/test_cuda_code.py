"""What NVIDIA's compilers make of the kernels, for every architecture: no device takes part.

Everywhere: warnings are errors, no stack, no local memory, no subroutine, at most 64 registers, and
16 bytes a load where that is promised. That the kernels' threads do not race is shown by g++ and
ThreadSanitizer.
"""

import numpy as np
import pytest
from _cpu_cases import Case, array_of, assert_average, assert_equal, reference_max
from test_cuda_launch import plan

pytestmark = pytest.mark.gpu

ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
OPERATIONS = ("max_pool", "indices", "avg_pool", "sought", "by_indices", "avg_pool_backward")


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
        "sought": ("max_pool_backward", None, (*gradient, *kind, "NUMBER=int64", "SEARCH")),
        "by_indices": ("max_pool_backward", "int64", (*gradient, "X=uint8", "NUMBER=int64")),
        "avg_pool_backward": ("avg_pool_backward", None, (*gradient, "COUNTED=1", *counts)),
    }[operation]
    return plan(kernel, case(name), dtype, numbers, macros)[0]


@pytest.fixture(scope="module")
def report():
    """Function that compiles a launch for an architecture and tells what of."""
    nvrtc_check = pytest.importorskip("nvrtc_check", reason="tests/cupy_on_cpu is not in use")
    from pooltk._cuda import _modules

    def check(planned, architecture):
        options = (*_modules.OPTIONS, *(f"-D{macro}" for macro in planned.macros))
        source = _modules.source(planned.kernel)
        (found,) = nvrtc_check.check(source, architecture, (), options).values()
        return found

    return check


def check_registers(found):
    assert found.stack == 0
    assert found.local == 0
    assert found.spills == 0
    assert found.count("CALL") == 0
    assert found.registers <= 64


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["2/2", "3/2", "3/1", "2/2 pixels", "3/2 pixels", "3/1 pixels"])
def test_small_windows(report, name, dtype):
    for operation in OPERATIONS:
        if dtype == "bfloat16" and operation in ("indices", "by_indices"):
            continue  # like float16, but for what a number is
        check_registers(report(launch(operation, name, dtype), "90"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_architecture(report, operation, architecture):
    for name in ("2/2", "3/1", "3/2 pixels"):
        found = report(launch(operation, name, "float32"), architecture)
        check_registers(found)
        if operation in ("max_pool", "indices", "avg_pool"):
            assert found.widths("LDG")[128] >= {"2/2": 4, "3/1": 3, "3/2 pixels": 9}[name]
        if operation != "by_indices":
            assert found.widths("STG")[128]
    if operation in ("max_pool", "avg_pool"):
        found = report(launch(operation, "global", "float32"), architecture)
        check_registers(found)
        assert found.widths("LDG")[128] >= 4
        found = report(launch(operation, "global pixels", "float32"), architecture)
        check_registers(found)
        assert found.widths("LDG")[128] >= 1


def test_what_is_not_promised_shows(report):
    """A plain division is the subroutine, and a loop over a local array the stack, of this gate."""
    from pooltk._cuda import _modules

    planned = launch("avg_pool", "2/2", "float64")
    check_registers(report(planned, "90"))
    with pytest.MonkeyPatch.context() as patch:
        source = _modules.source("avg_pool").replace(
            "T r = reciprocal(divisor);", "return sum / divisor; T r = reciprocal(divisor);"
        )
        patch.setattr(_modules, "source", lambda kernel: source)
        assert "return sum / divisor;" in source
        with pytest.raises(Exception, match="unreachable"):
            report(planned, "90")


# --- races ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def threads():
    """Function that runs a launch's threads under ThreadSanitizer."""
    race_check = pytest.importorskip("race_check", reason="tests/cupy_on_cpu is not in use")
    from pooltk._cuda import _modules

    def run(planned, arrays, change=lambda source: source):
        geometry = planned.geometry.view(f"V{planned.geometry.size}").reshape(())
        arguments = [np.int64(0) if array is None else array for array in arrays]
        return race_check.run(
            change(_modules.source(planned.kernel)),
            planned.kernel,
            planned.blocks,
            256,
            [*arguments, geometry],
            [*planned.macros, "__HIPCC__"],  # which has no inline PTX
        )

    run.Race = race_check.Race
    return run


TEAMS = [
    Case("whole planes", (9, 9, 8), 2, output_size=1),
    Case("whole planes of pixels", (2, 9, 8, 8), 2, output_size=1, channels_last=True),
    Case("wide bins", (2, 11, 60), 2, output_size=(2, 3)),
]


@pytest.mark.parametrize("case", TEAMS, ids=lambda case: case.path)
def test_teams_do_not_race(threads, case):
    x = array_of(case.shape, "float32", 0)
    values = np.zeros(case.result_shape, "float32")
    indices = np.zeros(case.result_shape, "int64")
    macros = ("X=float32", "VALUES", "NUMBER=int64", "NUMBERS")
    planned, _ = plan("max_pool", case, numbers="int64", macros=macros)
    assert "TEAM=1" not in planned.macros
    _, values, indices = threads(planned, [x, values, indices])
    expected = reference_max(case, x)
    assert_equal(values, expected[0])
    assert_equal(indices, expected[1])
    macros = ("X=float32", "RESULT=float32", "WIDE=float32", "SUM=FloatSum<float32>",
              "COUNT_INCLUDE_PAD=1")  # fmt: skip
    planned, _ = plan("avg_pool", case, macros=macros)
    _, averages = threads(planned, [x, np.zeros(case.result_shape, "float32")])
    assert_average(case, "avg_pool", averages, x)


def test_a_team_without_its_barriers_races(threads):
    x = array_of(TEAMS[0].shape, "float32", 0)
    macros = ("X=float32", "VALUES", "NUMBER=int64")
    planned, _ = plan("max_pool", TEAMS[0], macros=macros)
    arrays = [x, np.zeros(TEAMS[0].result_shape, "float32"), None]
    threads(planned, arrays)
    with pytest.raises(threads.Race):
        threads(planned, arrays, lambda source: source.replace("__syncthreads();", ""))
