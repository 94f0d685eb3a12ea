"""Pages' examples as tests: `python -m pytest --doctest-glob='*.md' docs`.

A page that imports a library which is not installed is skipped, and pytest says so.
"""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            imported = re.findall(r"^>>> (?:import|from) (\w+)", Path(item.path).read_text(), re.M)
            missing = sorted(name for name in set(imported) if find_spec(name) is None)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"without {', '.join(missing)}"))
