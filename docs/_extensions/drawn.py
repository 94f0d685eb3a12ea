"""The directive `drawn`: a figure that the build draws, for light and for dark pages.

`{drawn} NAME` runs `figures/NAME.py`, calls its `draw(figure)` with a matplotlib figure of `SIZE`
inches, once for each of the two, and shows what came out above the directive's text. The page
changes with the script, which a link below the figure shows.
"""

import os
import runpy
from pathlib import Path
from typing import Any, ClassVar

import matplotlib
from docutils import nodes
from docutils.parsers.rst import directives
from matplotlib.figure import Figure
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# Ink, and what is drawn faintly. The colours of the cycle can be told apart by the colour-blind
# (Okabe and Ito's), and stand out from both papers.
PAPERS = {"light": ("#1b1f24", "#c9ced4"), "dark": ("#dfe3e8", "#4b535d")}
CYCLE = ["#3a8fd0", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#8a8f98"]


def style(ink: str, faint: str) -> dict[str, Any]:
    """Return matplotlib's settings for a paper."""
    inked = ["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"]
    return {
        **dict.fromkeys(inked, ink),
        "axes.prop_cycle": matplotlib.cycler(color=CYCLE),
        "axes.facecolor": "none",
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11,
        "figure.facecolor": "none",
        "font.size": 11,
        "grid.color": faint,
        "legend.frameon": False,
        "lines.linewidth": 2,
        "patch.edgecolor": faint,
    }


class Drawn(SphinxDirective):
    required_arguments = 1
    option_spec: ClassVar = {"alt": directives.unchanged_required}
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        script = Path(self.env.srcdir, "figures", f"{name}.py")
        self.env.note_dependency(str(script))
        drawing = runpy.run_path(str(script))
        folder = Path(self.env.doctreedir, "figures")
        folder.mkdir(parents=True, exist_ok=True)
        figure = nodes.figure()
        for paper, colours in PAPERS.items():
            path = folder / f"{name}-{paper}.png"
            with matplotlib.rc_context(style(*colours)):
                canvas = Figure(figsize=drawing["SIZE"], layout="constrained")
                drawing["draw"](canvas)
                canvas.savefig(path, dpi=200)
            uri = "/" + os.path.relpath(path, self.env.srcdir)
            figure += nodes.image(uri=uri, alt=self.options["alt"], classes=[f"only-{paper}"])
        caption = nodes.caption()
        text, messages = self.state.inline_text(" ".join(self.content), self.lineno)
        link = addnodes.download_reference("", reftarget=f"/figures/{name}.py", refdoc="")
        link += nodes.Text("How it is drawn")
        caption += [*text, nodes.Text(" "), link, nodes.Text(".")]
        figure += caption
        return [figure, *messages]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("drawn", Drawn)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
