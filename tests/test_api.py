"""The public interface: names, signatures, docstrings, and what an import brings along."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from importlib import resources

import pytest

import pooltk

FORWARD = {
    "max_pool": "x, /, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, "
    "return_indices=False, *, data_format='channels_first', out=None",
    "avg_pool": "x, /, kernel_size, stride=None, padding=0, ceil_mode=False, "
    "count_include_pad=True, divisor_override=None, *, dilation=1, data_format='channels_first', "
    "dtype=None, out=None",
    "adaptive_avg_pool": "x, /, output_size, *, data_format='channels_first', dtype=None, out=None",
    "adaptive_max_pool": "x, /, output_size, return_indices=False, *, "
    "data_format='channels_first', out=None",
}
BACKWARD = {
    "max_pool": "grad_output, x, /, kernel_size, stride=None, padding=0, dilation=1, "
    "ceil_mode=False, *, indices=None, data_format='channels_first', out=None",
    "avg_pool": "grad_output, /, input_shape, kernel_size, stride=None, padding=0, "
    "ceil_mode=False, count_include_pad=True, divisor_override=None, *, dilation=1, "
    "data_format='channels_first', out=None",
    "adaptive_avg_pool": "grad_output, /, input_shape, *, data_format='channels_first', out=None",
    "adaptive_max_pool": "grad_output, x, /, *, indices=None, data_format='channels_first', "
    "out=None",
}
SIGNATURES = {
    f"{name}{ndim}d{suffix}": parameters
    for suffix, signatures in (("", FORWARD), ("_backward", BACKWARD))
    for name, parameters in signatures.items()
    for ndim in (1, 2, 3)
} | {
    "pool_output_shape": "input_shape, kernel_size, stride=None, padding=0, dilation=1, "
    "ceil_mode=False",
    "receptive_field": "layers",
    "set_num_threads": "n",
    "get_num_threads": "",
    "show_config": "mode='stdout'",
}
SECTIONS = {
    "set_num_threads": ["Parameters", "Examples"],
    "get_num_threads": ["Returns"],
    "show_config": ["Parameters", "Returns", "Examples"],
}
NEED_CUPY = ("pooltk._cuda._modules", "pooltk._cuda._pool")
MODULES = ["pooltk", *(m.name for m in pkgutil.walk_packages(pooltk.__path__, "pooltk."))]


def test_public_names():
    assert sorted(pooltk.__all__) == sorted([*SIGNATURES, "ReceptiveField", "__version__"])
    assert set(pooltk.__all__) <= set(dir(pooltk))
    public = {name for name in vars(pooltk) if not name.startswith("_")}
    assert public - {"functional"} == set(pooltk.__all__) - {"__version__"}
    functional = importlib.import_module("pooltk.functional")
    assert sorted(functional.__all__) == sorted(
        set(pooltk.__all__) - {"__version__", "set_num_threads", "get_num_threads", "show_config"}
    )


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    signature = inspect.signature(getattr(pooltk, name))
    bare = signature.replace(
        parameters=[p.replace(annotation=p.empty) for p in signature.parameters.values()],
        return_annotation=signature.empty,
    )
    assert str(bare) == f"({SIGNATURES[name]})"


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_function_is_written_out_and_typed(name):
    function = getattr(pooltk, name)
    assert function.__name__ == name
    assert f"def {name}(" in inspect.getsource(function)
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not parameter.empty, parameter


@pytest.mark.parametrize("name", SIGNATURES)
def test_docstring(name):
    """All sections of numpydoc, in its order, and every parameter named."""
    text = inspect.getdoc(getattr(pooltk, name))
    assert re.match(r"[A-Z].*\.\n\n", text), "a sentence, then an empty line"
    order = "Parameters Returns Raises See_Also Notes References Examples".replace(" ", "|")
    found = re.findall(rf"^({order.replace('_', ' ')})\n-+$", text, re.MULTILINE)
    rank = [order.replace("_", " ").split("|").index(section) for section in found]
    assert rank == sorted(rank)
    wanted = SECTIONS.get(name, ["Parameters", "Returns", "Raises", "Examples"])
    assert set(wanted) <= set(found)
    documented = re.search(r"Parameters\n-+\n(.*?)\n\n", text + "\n\n", re.DOTALL)
    described = re.findall(r"^(\w.*?)(?: :|$)", documented[1], re.MULTILINE) if documented else []
    parameters = list(inspect.signature(getattr(pooltk, name)).parameters)
    assert sorted(", ".join(described).split(", ")) == sorted(parameters or [""])
    if "Examples" in wanted:
        assert ">>> " in text


@pytest.mark.parametrize("name", [name for name in MODULES if name != "pooltk.__main__"])
def test_doctests(name):
    if name in NEED_CUPY:
        pytest.importorskip("cupy", reason="CuPy is not installed")
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    if "functional._" in name or name == "pooltk":
        assert result.attempted > 0


def run_python(program):
    """Output of a program in a fresh interpreter."""
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_numpy_users_import_nothing_slow():
    """Each of these takes longer to import than all of pooltk."""
    program = """
import sys, numpy
before = set(sys.modules)
import pooltk
pooltk.max_pool2d(numpy.ones((4, 4)), 2)
pooltk.avg_pool2d_backward(numpy.ones((2, 2), "f2"), (4, 4), 2)
print(*sorted(set(sys.modules) - before))
"""
    imported = set(run_python(program).split())
    assert "pooltk" in imported
    slow = {"array_api_compat", "array_api_strict", "ml_dtypes", "cupy", "jax", "torch"}
    slow |= {"importlib.metadata", "importlib.resources", "platform"}
    assert not imported & slow


def test_main_shows_the_configuration():
    command = [sys.executable, "-W", "error", "-m", "pooltk"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert re.search(rf"version +{re.escape(pooltk.__version__)}\n", shown)
    for word in ("level", "threads", "numpy", "array libraries"):
        assert word in shown


def test_show_config(capsys):
    config = pooltk.show_config("dicts")
    assert capsys.readouterr().out == ""
    assert pooltk.show_config() is None
    printed = capsys.readouterr().out
    for section, facts in config.items():
        assert f"{section}\n" in printed
        for key, value in facts.items():
            assert re.search(rf"^  {re.escape(key)} +{re.escape(value)}$", printed, re.MULTILINE)


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", pooltk.__version__)
    assert pooltk.show_config("dicts")["pooltk"]["version"] == pooltk.__version__


def test_types_are_marked_as_such():
    assert resources.files("pooltk").joinpath("py.typed").is_file()
