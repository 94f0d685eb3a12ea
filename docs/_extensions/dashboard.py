"""The directive `dashboard`: asv's pages beside these, in `asv/`, if they have been made."""

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PAGES = Path(__file__).parents[2] / "asv_bench" / "html"  # asv publish

IS_THERE = "Its dashboard is asv's own page, which loads its scripts from the network: "
IS_NOT = "Its dashboard, which asv publish makes, was not there when this page was built."


class Dashboard(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        if not PAGES.exists():
            return [nodes.paragraph("", IS_NOT)]
        uri = "../" * self.env.docname.count("/") + "asv/index.html"
        text = nodes.paragraph("", IS_THERE)
        text += [nodes.reference("", "the dashboard", refuri=uri), nodes.Text(".")]
        return [text]


def copy_pages(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html" and PAGES.exists():
        shutil.copytree(PAGES, Path(app.outdir, "asv"), dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("dashboard", Dashboard)
    app.connect("build-finished", copy_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
