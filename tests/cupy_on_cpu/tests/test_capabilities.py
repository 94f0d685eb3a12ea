"""The same kernels for other compute capabilities, and what ptxas makes of them."""

import os
import subprocess
import sys
from pathlib import Path

import nvrtc_check
import ptx2cpp
import pytest

HERE = Path(__file__).parent
OPTIONS = ("--device-int128",)
VECTOR = """
template <int W> struct alignas(4 * W) Pack { float v[W]; };
template <int W> __global__ void copy(const Pack<W>* x, Pack<W>* y) {
    y[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void spill(float* x, int i) {
    float a[64] = {};
    for (int k = 0; k < i; ++k) a[(int)x[k] & 63] += k;   // an index that only run time knows
    x[i] = a[i & 63];
}
extern "C" __global__ void divide(long long* x) { x[0] /= x[1]; }
"""
NAMES = ("copy<1>", "copy<2>", "copy<4>", "copy<8>")


@pytest.mark.parametrize("arch", [75, 80, 86, 89, 90, 100, 103, 110, 120, 121])
def test_translates(arch):
    source = (HERE / "kernels.cu").read_text()
    ptx = nvrtc_check.compile_source(source, arch, options=OPTIONS, kind="ptx").image
    text = ptx.decode() if isinstance(ptx, bytes) else ptx
    assert ptx2cpp.translate(text.rstrip("\0")).count('extern "C" void describe_module') == 1


@pytest.mark.parametrize("arch", [75, 80, 100, 120])
def test_kernels_run(arch):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(HERE / "test_kernels.py"),
    ]
    environment = os.environ | {"CUPY_ON_CPU_CC": str(arch)}
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout


def test_report_of_vector_widths():
    for arch, widest in ((90, {128: 2}), (100, {256: 1})):
        reports = nvrtc_check.check(VECTOR, arch, NAMES)
        widths = [dict(reports[name].widths("LDG")) for name in NAMES]
        assert widths == [{32: 1}, {64: 1}, {128: 1}, widest]
        assert dict(reports["copy<4>"].widths("STG")) == {128: 1}


def test_report_of_spills_and_calls():
    reports = nvrtc_check.check(VECTOR, 90, NAMES)
    assert reports["spill"].spills and reports["spill"].stack
    assert reports["divide"].count("CALL") == 1
    good = reports["copy<4>"]
    assert (good.spills, good.stack, good.count("CALL")) == (0, 0, 0)
    assert 0 < good.registers <= 32 and good.instruction_count


@pytest.mark.parametrize(
    "statement, reason",
    [("g();", '"g" is undefined'), ("int i;", '"i" was declared but never referenced')],
)
def test_errors_and_warnings_have_the_log(statement, reason):
    with pytest.raises(nvrtc_check.CompileError, match=reason):
        nvrtc_check.check(f"__global__ void f() {{ {statement} }}", 90)
