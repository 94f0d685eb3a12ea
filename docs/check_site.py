"""Check built pages.

Every link inside the site leads to a page and a place on it, and no page needs the network: what it
loads (images, styles, scripts, fonts) lies beside it. The places on asv's pages its scripts make.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

# Where an element says what is loaded with it.
LOADS = {"src", "srcset", "data", "poster", "xlink:href"}
# A <link> of another kind is no more than a link.
LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "manifest"}
IN_STYLES = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


class Page(HTMLParser):
    """Places on a page, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places, self.links, self.loaded = {""}, set[str](), set[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        self.loaded |= {given[name] for name in LOADS & given.keys()}
        self.loaded |= set(in_styles(given.get("style", "")))
        if "href" in given:
            is_loaded = tag == "link" and LOADED_LINKS & set(given.get("rel", "").split())
            (self.loaded if is_loaded else self.links).add(given["href"])

    handle_startendtag = handle_starttag


def in_styles(text: str) -> Iterator[str]:
    for match in IN_STYLES.finditer(text):
        yield match[1] or match[2]


def complaints(site: Path) -> Iterator[str]:
    """Say what is wrong with the pages in a folder."""
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links | page.loaded:
            address, place = urldefrag(urljoin(path.as_uri(), link))
            scheme, *_ = urlsplit(address)
            if scheme != "file":
                if link in page.loaded and scheme != "data":
                    yield f"{path}: loads {link}"
                continue
            target = Path(unquote(urlsplit(address).path))
            if not target.is_file():
                yield f"{path}: no such file: {link}"
            elif site / "asv" in target.parents:
                pass
            elif target in pages and unquote(place) not in pages[target].places:
                yield f"{path}: no such place: {link}"
    for path in site.rglob("*.css"):
        for address in in_styles(path.read_text()):
            if urlsplit(address).scheme not in ("", "data") or address.startswith("//"):
                yield f"{path}: loads {address}"
    if not pages:
        yield f"{site}: no pages"
