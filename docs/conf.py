"""Sphinx's settings; `build.py` is what builds the documentation."""

import sys
from pathlib import Path

import pooltk

sys.path.insert(0, str(Path(__file__).parent))

project = "pooltk"
author = copyright = "pooltk developers"
version = release = pooltk.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",  # the role `autolink`
    "numpydoc",
    "myst_parser",
    "_extensions.code",
    "_extensions.dashboard",
    "_extensions.drawn",
    "_extensions.mathml",
    "_extensions.tables",
]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# A docstring's `word` is a link where it names something public, and stressed where it does not.
default_role = "autolink"
autodoc_typehints = "none"  # numpydoc's sections say it better
numpydoc_show_class_members = False
html_math_renderer = "mathml"

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "pooltk"
html_static_path = ["_static"]
html_css_files = ["pooltk.css"]
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
