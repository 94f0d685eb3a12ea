"""What the tool's own tests share."""

import os
from pathlib import Path

import pytest

if not os.environ.get("CUPY_ON_CPU_HOME"):
    pytest.exit("start these tests with: run VENV pytest tests/cupy_on_cpu", returncode=4)


@pytest.fixture(scope="session")
def kernels():
    """kernels.cu, compiled once."""
    import cupy

    source = (Path(__file__).parent / "kernels.cu").read_text()
    return cupy.RawModule(code=source, options=("--device-int128",))
