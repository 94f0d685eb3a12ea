"""Tables on pages: `{dtypes} TABLE` and `{contest} PART`, which `data` writes.

The contest's data is `contest.json`. Where there is none, the part called `facts` says so, and the
others are empty.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pooltk import _support

from .data import CONTEST, DTYPES


class Table(SphinxDirective):
    required_arguments = 1

    def parsed(self, lines: Iterable[str]) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class Dtypes(Table):
    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(_support.__file__)
        return self.parsed(DTYPES[self.arguments[0]]())


class Contest(Table):
    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir, "contest.json")
        self.env.note_dependency(str(path))
        (part,) = self.arguments
        if path.exists():
            return self.parsed(CONTEST[part](json.loads(path.read_text())))
        absent = "The contest's data, `docs/contest.json`, was not there when this page was built."
        return self.parsed([absent] if part == "facts" else [])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("dtypes", Dtypes)
    app.add_directive("contest", Contest)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
