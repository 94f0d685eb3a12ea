"""Settings and fixtures of every test."""

import os
import random

import pytest
from hypothesis import HealthCheck, settings
from libraries import LIBRARIES, Library, import_cupy

collect_ignore = ["cupy_on_cpu"]  # a tool, whose own tests need it: its README says how to run them

# Named here in full: hypothesis would choose a profile of its own where CI is set.
settings.register_profile(
    "pooltk",
    settings.get_profile("default"),
    database=None,  # the seed repeats a run
    deadline=None,  # no test is about time
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # says more of the machine than of a test
)
settings.load_profile("pooltk")


@pytest.hookimpl(tryfirst=True)  # before hypothesis looks for a seed
def pytest_configure(config):
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = random.getrandbits(32)
    os.environ.setdefault("POOLTK_FUZZ_SEED", str(random.getrandbits(32)))  # also of workers


def pytest_report_header(config):
    return (
        "to draw the same arguments again: "
        f"POOLTK_FUZZ_SEED={os.environ['POOLTK_FUZZ_SEED']} "
        f"--hypothesis-seed={config.option.hypothesis_seed}"
    )


@pytest.fixture(scope="session")
def torch():
    """PyTorch, on one thread. Where POOLTK_REQUIRE_TORCH=1, it may not be absent."""
    try:
        import torch
    except ImportError:
        if os.environ.get("POOLTK_REQUIRE_TORCH") == "1":
            raise
        pytest.skip("PyTorch is not installed")
    torch.set_num_threads(1)
    return torch


@pytest.fixture(scope="session")
def cupy():
    """CuPy, with a device."""
    return import_cupy()


@pytest.fixture
def log(cupy):
    """What the emulated device was asked for: its module cuda_log."""
    cuda_log = pytest.importorskip("cuda_log", reason="read from the emulated device's log")
    if not cuda_log.is_emulated():
        pytest.skip("read from the emulated device's log")
    return cuda_log


@pytest.fixture(
    params=[pytest.param(n, marks=pytest.mark.gpu if n == "cupy" else ()) for n in LIBRARIES]
)
def library(request) -> Library:
    """Each kind of array in turn, and NumPy's pooled by the reference too."""
    with LIBRARIES[request.param]() as library:
        yield library
