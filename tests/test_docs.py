"""What the documentation's build refuses, and that its reference is complete."""

import json
import re
import runpy
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from contest.cases import CASES
from contest.devices import Host
from contest.report import Report
from contest.run import Entry, Result
from contest.timing import Timing

import pooltk
from pooltk import _support

DOCS = Path(__file__).parents[1] / "docs"

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="the documentation is not here")


@pytest.fixture(autouse=True)
def import_from_docs(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)


@pytest.mark.parametrize(
    ("package", "installed", "named"),
    [("furo", None, "furo"), ("sphinx", "1.0", "sphinx>=8"), ("matplotlib", None, "matplotlib")],
)
def test_a_missing_package_is_named(monkeypatch, package, installed, named):
    def version(name):
        if name != package:
            return "1000"
        if installed is None:
            raise metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(metadata, "version", version)
    build = runpy.run_path(str(DOCS / "build.py"))
    with pytest.raises(SystemExit) as stopped:
        build["check_packages"]()
    assert stopped.value.code == f'The documentation needs {named}: pip install ".[docs]"'


@pytest.mark.parametrize(
    ("html", "complaint"),
    [
        ('<a href="nowhere.html">', "no such file: nowhere.html"),
        ('<a href="other.html#nowhere">', "no such place: other.html#nowhere"),
        ('<a href="#nowhere">', "no such place: #nowhere"),
        ('<img src="https://example.org/a.png">', "loads https://example.org/a.png"),
        ('<script src="https://example.org/a.js">', "loads https://example.org/a.js"),
        ('<link rel="stylesheet" href="https://example.org/a.css">', "loads https://example.org"),
        ('<p style="background: url(https://example.org/a.png)">', "loads https://example.org"),
    ],
)
def test_a_page_with_a_fault(tmp_path, html, complaint):
    from check_site import complaints

    (tmp_path / "other.html").write_text('<p id="here">')
    page = tmp_path / "page.html"
    page.write_text('<a href="other.html#here"><a href="https://example.org"><img src="data:,">')
    assert not list(complaints(tmp_path))
    page.write_text(html)
    assert [text for text in complaints(tmp_path) if complaint in text]


def test_a_style_with_a_fault(tmp_path):
    from check_site import complaints

    (tmp_path / "page.html").touch()
    style = tmp_path / "style.css"
    style.write_text("a { background: url(data:,) } b { background: url('a.png') }")
    assert not list(complaints(tmp_path))
    style.write_text('@import "https://example.org/a"; @font-face { src: url(//example.org/b) }')
    assert len(list(complaints(tmp_path))) == 2


def test_links_of_asvs_pages(tmp_path):
    from check_site import complaints

    (tmp_path / "asv").mkdir()
    (tmp_path / "page.html").write_text('<a href="asv/index.html#/list">')
    page = tmp_path / "asv" / "index.html"
    page.write_text('<a href="#/list">')
    assert not list(complaints(tmp_path))
    page.write_text('<a href="nowhere.html"><script src="https://example.org/a.js">')
    assert len(list(complaints(tmp_path))) == 2


@pytest.fixture
def dashboard(tmp_path, monkeypatch):
    """The extension, with a page of asv's that loads one library, which npm has not fetched."""
    pytest.importorskip("sphinx")
    from _extensions import dashboard

    for name in ("PAGES", "PACKAGES"):
        monkeypatch.setattr(dashboard, name, tmp_path / name)
        (tmp_path / name).mkdir()
    monkeypatch.setattr(dashboard, "LIBRARIES", {"https://example.org/a.min.js": "a/js/a.js"})
    (dashboard.PAGES / "index.html").write_text(
        '<script src="https://example.org/a.min.js" integrity="sha256-A=" crossorigin="anonymous">'
        '</script><a href="https://example.org">'
    )
    return dashboard


def fetch(dashboard):
    (dashboard.PACKAGES / "a" / "js").mkdir(parents=True)
    (dashboard.PACKAGES / "a" / "js" / "a.js").write_text("a()")
    (dashboard.PACKAGES / "a" / "LICENSE.txt").write_text("MIT")


def test_the_dashboard_loads_nothing_from_the_network(tmp_path, dashboard):
    from check_site import complaints

    fetch(dashboard)
    app = SimpleNamespace(outdir=tmp_path / "site", builder=SimpleNamespace(format="html"))
    dashboard.check_libraries(app)
    dashboard.copy_pages(app, None)
    assert not list(complaints(app.outdir))
    pages = app.outdir / "asv"
    assert (pages / "index.html").read_text() == (
        '<script src="libraries/a/js/a.js"></script><a href="https://example.org">'
    )
    assert (pages / "libraries" / "a" / "js" / "a.js").read_text() == "a()"
    assert (pages / "libraries" / "a" / "LICENSE.txt").read_text() == "MIT"


def test_what_the_dashboard_lacks_is_named(dashboard):
    with pytest.raises(SystemExit, match=r"a/js/a\.js.*: npm ci --prefix asv_bench"):
        dashboard.check_libraries(None)
    fetch(dashboard)
    dashboard.LIBRARIES["https://example.org/b.js"] = dashboard.LIBRARIES.popitem()[1]
    with pytest.raises(SystemExit, match=r"lacks what .*example\.org/a\.min\.js"):
        dashboard.check_libraries(None)


def test_the_dashboards_libraries_are_in_packages_that_npm_fetches():
    pytest.importorskip("sphinx")
    from _extensions.dashboard import LIBRARIES

    fetched = json.loads((DOCS.parent / "asv_bench" / "package.json").read_text())["dependencies"]
    assert {path.partition("/")[0] for path in LIBRARIES.values()} == fetched.keys()


def test_no_pages_at_all(tmp_path):
    from check_site import complaints

    assert list(complaints(tmp_path))


def test_every_public_name_is_in_the_reference():
    pages = "".join(path.read_text() for path in (DOCS / "reference").glob("*.md"))
    documented = re.findall(r"^\.\. auto(?:function|class):: (\w+)$", pages, re.MULTILINE)
    assert sorted(documented) == sorted({*pooltk.__all__} - {"__version__"})


@pytest.fixture
def contest():
    """What the contest writes of two cases: one that pooltk wins by three, one that it loses."""
    present = [
        SimpleNamespace(name=name, ours=not rival, rival=rival, distribution=name, version="1")
        for name, rival in (("pooltk", False), ("peer", True))
    ]
    report = Report(present, ["missing"], None, Host())
    for case, milliseconds in zip(CASES, (1, 6), strict=False):
        times = {"pooltk": milliseconds / 1000, "peer": 0.003}
        entries = {name: Entry(timing=Timing(1, [time])) for name, time in times.items()}
        entries["other"] = Entry("-", "only tiles")
        report.results.append(Result(case, 2, 1 << 20, 1 << 18, 0, entries))
    return report.as_json()


def test_what_the_contest_says(contest):
    from _extensions.data import behind, facts, summary, tables

    won, lost = CASES[:2]
    assert won.group == lost.group
    assert "- missing: was not there" in facts(contest)
    assert f"| {won.group} | 2 | 1 of 2 | 1.22 | 0.50 |" in summary(contest)
    assert f"| {lost.name} | 2 | 0.50 | 6 | peer 3 |" in behind(contest)
    assert f"| {won.name} |" not in "".join(behind(contest))
    assert f"## {won.group}" in tables(contest)
    assert "| case | threads | peer / pooltk | pooltk | peer |" in tables(contest)
    assert contest["left_out"] == [["other", "-", "only tiles", [0, 1]]]
    assert f"| {won.name.removeprefix(won.group).strip()} | 2 | 3.00 | 1 | 3 |" in tables(contest)


def test_nothing_is_behind(contest):
    from _extensions.data import behind

    contest["results"] = contest["results"][:1]
    assert list(behind(contest)) == ["In no case."]


def test_the_table_of_dtypes(monkeypatch):
    from _extensions.data import operations

    some = {"cpu": ("float32", "bool"), "cuda": ("float32",)}
    monkeypatch.setattr(_support, "OPERATIONS", {"max_pool": some})
    assert {"| `float32` | ✓ |", "| `bool` | cpu |", "| `int8` | – |"} <= set(operations())
