"""Tables made from data, in Markdown: which dtypes are pooled by what, and what the contest found.

`DTYPES` are tables of `pooltk._support`, which the checks and the tests read too. `CONTEST` are
parts of what the contest wrote as JSON.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import log2
from statistics import median
from typing import Any

from pooltk import _support

OURS = "pooltk"


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---:"
) -> Iterator[str]:
    """Yield the lines of a table; all columns but the first are aligned to the right."""
    aligned = ["---", *[align] * (len(header) - 1)]
    for cells in (header, aligned, *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


# --- dtypes ------------------------------------------------------------------------------------


def backends_of(operation: str, dtype: str) -> str:
    """Name the backends that take a dtype: a tick is all of them."""
    backends = _support.OPERATIONS[operation]
    names = [backend for backend, dtypes in backends.items() if dtype in dtypes]
    return "✓" if len(names) == len(backends) else ", ".join(names) or "–"


def operations() -> Iterator[str]:
    header = ["dtype", *(f"`{operation}`" for operation in _support.OPERATIONS)]
    rows = ([f"`{d}`", *(backends_of(o, d) for o in _support.OPERATIONS)] for d in _support.REAL)
    return markdown_table(header, rows, align=":---:")


def libraries() -> Iterator[str]:
    rows = []
    for name, (backend, dtypes) in _support.LIBRARIES.items():
        absent = [f"`{dtype}`" for dtype in _support.REAL if dtype not in dtypes]
        rows.append([name.replace("_", "-"), f"`{backend}`", ", ".join(absent) or "–"])
    return markdown_table(
        ["arrays of", "are pooled by", "dtypes that it has not"], rows, align="---"
    )


def averages() -> Iterator[str]:
    results = {
        dtype: ", ".join(f"`{name}`" for name in _support.average_dtypes(dtype, "numpy"))
        for dtype in _support.REAL
    }
    rows = []
    for result in dict.fromkeys(results.values()):
        first, _, others = result.partition(", ")
        names = ", ".join(f"`{dtype}`" for dtype in _support.REAL if results[dtype] == result)
        rows.append([names, first, others])
    return markdown_table(["average of", "is", "or, asked for by `dtype`"], rows, align="---")


# --- the contest -------------------------------------------------------------------------------


def facts(contest: dict[str, Any]) -> Iterator[str]:
    for name, fact in contest["facts"].items():
        fact = fact.partition("; array libraries")[0]  # what show_config says goes on
        yield f"- {name}: `{fact}`" if len(fact) > 40 else f"- {name}: {fact}"
    yield from (f"- {name}: was not there" for name in contest["absent"])


def milliseconds(time: Sequence[float] | None) -> str:
    if time is None:
        return "–"
    median, low, high, _ = time
    mark = "~" if high - low > 0.1 * median else ""
    return f"{mark}{median:.3g}"


def lead(result: dict[str, Any]) -> float | None:
    """How many times as long as pooltk the fastest peer took."""
    return result["judged"].get(OURS, [None])[0]


def by_group(contest: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in contest["results"]:
        groups.setdefault(result["name"].partition(" ")[0], []).append(result)
    return groups


def summary(contest: dict[str, Any]) -> Iterator[str]:
    rows = []
    for group, results in by_group(contest).items():
        for threads in sorted({result["threads"] for result in results}):
            leads = [lead(r) for r in results if r["threads"] == threads]
            known = [value for value in leads if value]
            if known:
                middle = 2 ** median(map(log2, known))
                ahead = sum(value > 1 for value in known)
                cells = [f"{ahead} of {len(known)}", *(f"{v:.2f}" for v in (middle, min(known)))]
                rows.append([group, str(threads), *cells])
    return markdown_table(["group", "threads", "pooltk ahead", "middle lead", "least lead"], rows)


def behind(contest: dict[str, Any]) -> Iterator[str]:
    slower = sorted((r for r in contest["results"] if (lead(r) or 1) < 1), key=lead)
    if not slower:
        yield "In no case."
        return
    rows, names = [], contest["contestants"]
    for result in slower:
        peer, times = result["fastest_peer"], dict(zip(names, result["times"], strict=True))
        cells = [milliseconds(times[OURS]), f"{peer} {milliseconds(times[peer])}"]
        rows.append([result["name"], str(result["threads"]), f"{lead(result):.2f}", *cells])
    yield from markdown_table(["case", "threads", "peer / pooltk", OURS, "fastest peer"], rows)


def tables(contest: dict[str, Any]) -> Iterator[str]:
    for group, results in by_group(contest).items():
        columns = list(zip(*(result["times"] for result in results), strict=True))
        shown = [number for number, column in enumerate(columns) if any(column)]
        rows = []
        for result in results:
            cells = [milliseconds(result["times"][number]) for number in shown]
            ratio = f"{lead(result):.2f}" if lead(result) else "–"
            case = result["name"].partition(" ")[2]
            rows.append([case, str(result["threads"]), ratio, *cells])
        names = [contest["contestants"][number] for number in shown]
        yield from (f"## {group}", "")
        yield from markdown_table(["case", "threads", "peer / pooltk", *names], rows)


DTYPES = {"operations": operations, "libraries": libraries, "averages": averages}
CONTEST = {"facts": facts, "summary": summary, "behind": behind, "tables": tables}
