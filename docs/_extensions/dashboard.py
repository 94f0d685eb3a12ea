"""The directive `dashboard`: asv's pages beside these, in `asv/`, if they have been made.

What asv's page would load from the network lies beside it in `asv/libraries/`, with its licences,
as `npm ci --prefix asv_bench` has fetched it.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PAGES = Path(__file__).parents[2] / "asv_bench" / "html"  # asv publish
PACKAGES = PAGES.with_name("node_modules")

# What asv's page loads, and where the packages of asv_bench/package.json have it.
CDN = "https://cdnjs.cloudflare.com/ajax/libs"
LIBRARIES = {
    "https://code.jquery.com/jquery-3.3.1.min.js": "jquery/dist/jquery.min.js",
    f"{CDN}/flot/0.8.3/jquery.flot.min.js": "flot/jquery.flot.js",
    f"{CDN}/flot/0.8.3/jquery.flot.time.min.js": "flot/jquery.flot.time.js",
    f"{CDN}/flot/0.8.3/jquery.flot.selection.min.js": "flot/jquery.flot.selection.js",
    f"{CDN}/flot/0.8.3/jquery.flot.categories.min.js": "flot/jquery.flot.categories.js",
    "https://cdn.jsdelivr.net/npm/flot-orderbars@1.0.0/js/jquery.flot.orderBars.js": (
        "flot-orderbars/js/jquery.flot.orderBars.js"
    ),
    f"{CDN}/stupidtable/1.0.1/stupidtable.min.js": "stupid-table-plugin/stupidtable.min.js",
    f"{CDN}/blueimp-md5/2.19.0/js/md5.min.js": "blueimp-md5/js/md5.min.js",
    "https://cdn.jsdelivr.net/npm/bootstrap@3.1.1/dist/js/bootstrap.min.js": (
        "bootstrap/dist/js/bootstrap.min.js"
    ),
    "https://cdn.jsdelivr.net/npm/bootstrap@3.1.1/dist/css/bootstrap.min.css": (
        "bootstrap/dist/css/bootstrap.min.css"
    ),
}
# An address that is loaded: a link does not go on with what a browser checks.
LOADED = re.compile(r'"(https?://[^"]+)"(?: (?:integrity|crossorigin|referrerpolicy)="[^"]*")+')

IS_THERE = "It is asv's own page, which needs a web server but no network: "
IS_NOT = "It was not there when this page was built: asv publish makes it."


class Dashboard(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        if not PAGES.exists():
            return [nodes.paragraph("", IS_NOT)]
        uri = "../" * self.env.docname.count("/") + "asv/index.html"
        text = nodes.paragraph("", IS_THERE)
        text += [nodes.reference("", "the dashboard", refuri=uri), nodes.Text(".")]
        return [text]


def check_libraries(app: Sphinx) -> None:
    if not PAGES.exists():
        return
    loaded = LOADED.findall((PAGES / "index.html").read_text())
    if unknown := sorted(set(loaded) - LIBRARIES.keys()):
        sys.exit(f"LIBRARIES in {__file__} lacks what asv's page loads: {', '.join(unknown)}")
    if missing := [path for path in LIBRARIES.values() if not (PACKAGES / path).is_file()]:
        sys.exit(f"The dashboard needs {', '.join(missing)}: npm ci --prefix asv_bench")


def copy_pages(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html" or not PAGES.exists():
        return
    pages = Path(app.outdir, "asv")
    shutil.copytree(PAGES, pages, dirs_exist_ok=True)
    page = pages / "index.html"
    page.write_text(LOADED.sub(lambda m: f'"libraries/{LIBRARIES[m[1]]}"', page.read_text()))
    packages = {path.partition("/")[0] for path in LIBRARIES.values()}
    licences = [path for name in packages for path in (PACKAGES / name).glob("LICENSE*")]
    for path in [*(PACKAGES / path for path in LIBRARIES.values()), *licences]:
        copy = pages / "libraries" / path.relative_to(PACKAGES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("dashboard", Dashboard)
    app.connect("builder-inited", check_libraries)
    app.connect("build-finished", copy_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
