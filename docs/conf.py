"""Configuration of the documentation's build: `python -m sphinx -W -n docs docs/_build/html`."""

import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

DOCS = Path(__file__).parent
PROJECT = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]


def requirements(extra: str) -> Iterator[Requirement]:
    """Return what an extra asks for, the other extras that it names included."""
    for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if requirement.name != PROJECT["name"]:
            yield requirement
        for other in requirement.extras if requirement.name == PROJECT["name"] else ():
            yield from requirements(other)


def is_missing(requirement: Requirement) -> bool:
    """Tell whether a package is not installed, or not in a version that will do."""
    try:
        return not requirement.specifier.contains(metadata.version(requirement.name), True)
    except metadata.PackageNotFoundError:
        return True


missing = [r for r in (Requirement(PROJECT["name"]), *requirements("docs")) if is_missing(r)]
if missing:
    sys.exit(f'The docs need {", ".join(map(str, missing))}: pip install ".[docs]"')

import pooltk  # noqa: E402: the build would end with less to say

sys.path.insert(0, str(DOCS))

project = "pooltk"
author = PROJECT["authors"][0]["name"]
copyright = author
version = release = pooltk.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",  # the role `autolink`
    "numpydoc",
    "myst_parser",
    "_extensions.dashboard",
    "_extensions.drawn",
    "_extensions.mathml",
    "_extensions.tables",
]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# A docstring's `word` is a link where it names something public, and stressed where it does not.
default_role = "autolink"
autodoc_typehints = "none"  # numpydoc's sections say it better
numpydoc_show_class_members = False
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "pooltk"
html_static_path = ["_static"]
html_css_files = ["pooltk.css"]
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
