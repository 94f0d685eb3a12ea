"""pytest plugin that `run` loads: says what the tests ran on, and keeps tests apart.

On a GPU it is of use too, for exact bounds under compute-sanitizer.
"""

import os

import cuda_log
import pytest


def pytest_report_header(config):
    if not cuda_log.is_emulated():
        return None
    capability = os.environ.get("CUPY_ON_CPU_CC")
    return f"cupy-on-cpu: CUDA kernels run on the CPU from their PTX (cc {capability}); no GPU"


@pytest.fixture(autouse=True)
def _fresh_driver_state():
    """One failed kernel must not fail the tests after it; exact bounds if asked for."""
    if os.environ.get("CUPY_ON_CPU_EXACT"):
        with cuda_log.exact_allocations():
            yield
    else:
        yield
    if cuda_log.is_emulated():
        cuda_log.clear_error()
