"""Build the documentation from nothing and check it: `python docs/build.py`.

A warning is an error. So is a link inside the site that leads nowhere, and a page that loads
something from the network.
"""

import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from check_site import complaints

try:
    from packaging.requirements import Requirement
except ImportError:
    sys.exit('The documentation needs packaging: pip install ".[docs]"')

DOCS = Path(__file__).parent
BUILD = DOCS / "_build"
PROJECT = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]


def requirements(extra: str) -> Iterator[Requirement]:
    """Return what an extra asks for, with what the other extras that it names ask for."""
    for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if requirement.name != PROJECT["name"]:
            yield requirement
        else:
            for other in requirement.extras:
                yield from requirements(other)


def is_missing(requirement: Requirement) -> bool:
    """Tell whether a package is not installed, or not in a version that will do."""
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return True
    return not requirement.specifier.contains(installed, prereleases=True)


def check_packages() -> None:
    needed = Requirement(PROJECT["name"]), *requirements("docs")
    missing = ", ".join(str(requirement) for requirement in needed if is_missing(requirement))
    if missing:
        sys.exit(f'The documentation needs {missing}: pip install ".[docs]"')


def main() -> None:
    check_packages()
    from sphinx.cmd.build import main as build

    shutil.rmtree(BUILD, ignore_errors=True)
    site = BUILD / "html"
    options = "--quiet", "--fail-on-warning", "--keep-going", "--doctree-dir", BUILD / "doctrees"
    if build([*map(str, options), str(DOCS), str(site)]):
        sys.exit(1)
    if found := sorted(complaints(site)):
        sys.exit("\n".join(found))
    print(f"{site / 'index.html'}: built and checked")


if __name__ == "__main__":
    main()
