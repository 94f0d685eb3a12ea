"""Code in pages: names of public functions are links, and blocks end where their text ends."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

import pooltk

_NAME = re.compile(r"(?:pooltk\.)?(\w+)(?=\(|$)")


def link_names(app: Sphinx, document: nodes.document) -> None:
    """Turn `pooltk.max_pool2d(x, 2)` into a link to the function."""
    for literal in list(document.findall(nodes.literal)):
        name = _NAME.match(literal.astext())
        linked = isinstance(literal.parent, nodes.reference | addnodes.pending_xref)
        if name and name[1] in pooltk.__all__ and not linked:
            options = {"refdomain": "py", "reftype": "obj", "refexplicit": True}
            target = f"pooltk.{name[1]}"
            link = addnodes.pending_xref("", reftarget=target, refdoc=app.env.docname, **options)
            literal.replace_self(link)
            link += literal


def strip_blocks(app: Sphinx, document: nodes.document) -> None:
    """Drop the empty line by which a doctest knows the end of what it expects."""
    for block in document.findall(nodes.literal_block):
        if block.rawsource == block.astext():  # nothing is marked up in it, as Sphinx asks as well
            block.rawsource = block.rawsource.rstrip("\n")
            block[:] = [nodes.Text(block.rawsource)]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", link_names)
    app.connect("doctree-read", strip_blocks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
