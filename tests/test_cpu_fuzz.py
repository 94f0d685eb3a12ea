"""Random arguments, legal or not, end with the reference's result or an error: never a crash.

The number of argument sets a level is POOLTK_FUZZ_SETS (5000), their seed POOLTK_FUZZ_SEED (drawn,
and in the header of pytest's report).
A process of its own runs them, so that a crash is told with its seed.
"""

import os
import pathlib
import subprocess
import sys

import pytest

from pooltk._cpu import _levels

SETS = os.environ.get("POOLTK_FUZZ_SETS", "5000")
SEED = os.environ["POOLTK_FUZZ_SEED"]
PROGRAM = pathlib.Path(__file__).with_name("_cpu_fuzz.py")


@pytest.mark.parametrize("level", _levels.available())
def test_random_arguments(level):
    run = subprocess.run(
        [sys.executable, str(PROGRAM), level, SEED, SETS],
        capture_output=True,
        text=True,
        timeout=600 + int(SETS) // 20,
    )
    last = " ".join(run.stdout.split()[-2:])
    assert run.returncode == 0, f"seed {SEED}, after {last}: {run.stderr[-4000:]}"
    assert int(last.removeprefix("valid ")) > int(SETS) // 10
