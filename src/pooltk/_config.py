"""`show_config`: what this pooltk is, what it runs on, and which arrays it pools."""

from typing import Literal, overload

from . import _support
from ._cpu import _levels, _system, _threads
from ._version import __version__

# A library's distributions, one of which is installed, where they are not called as it is.
_DISTRIBUTIONS = {"cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy")}

Config = dict[str, dict[str, str]]


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> Config: ...
def show_config(mode: str = "stdout") -> Config | None:
    """Print the version, the CPU level and threads in use, array libraries and their dtypes.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        "dicts" returns all this as a dict of dicts, and prints nothing.

    Returns
    -------
    dict or None
        None unless `mode` is "dicts".

    Examples
    --------
    >>> import pooltk
    >>> config = pooltk.show_config(mode="dicts")
    >>> config["pooltk"]["version"] == pooltk.__version__
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"show_config: mode={mode!r} must be 'stdout' or 'dicts'")
    config = _config()
    if mode == "dicts":
        return config
    width = max(len(key) for section in config.values() for key in section)
    for section, facts in config.items():
        print(section)
        for key, value in facts.items():
            print(f"  {key:<{width}}  {value}")
    return None


def _config() -> Config:
    import platform  # like importlib.metadata below, too slow for the top

    return {
        "pooltk": {
            "version": __version__,
            "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
            "compiler": _system.COMPILER,
        },
        "cpu": {
            "level": _levels.current(),
            "levels that run here": ", ".join(_levels.available()),
            "levels built": ", ".join(_system.BUILT_LEVELS),
        },
        "threads": {
            "number": str(_threads.get_num_threads()),
            "because": _threads.explanation(),
            "openmp": str(_system.OPENMP) if _system.OPENMP else "no",
        },
        "array libraries": {
            name: _version(name)
            for name in (*_support.NAMED_LIBRARIES, "array_api_compat", "ml_dtypes")
        },
        "arrays pooled by": {name: library.backend for name, library in _support.LIBRARIES.items()},
        "dtypes": {
            f"{operation}, {backend}": " ".join(dtypes)
            for operation, backends in _support.OPERATIONS.items()
            for backend, dtypes in backends.items()
        },
    }


def _version(library: str) -> str:
    # Not at the top: it takes longer to import than all of pooltk. The libraries themselves are
    # not imported, which would take seconds.
    from importlib.metadata import PackageNotFoundError, version

    for distribution in _DISTRIBUTIONS.get(library, (library,)):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "not found"
