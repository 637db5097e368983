"""Tables in Markdown, and how figures are written in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> list[str]:
    """The lines of a table, the first `words` columns to the left and the others, which are numbers, to the right."""
    lines = [titles, ["---"] * words + ["---:"] * (len(titles) - words), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def or_dash(value: float | None, form: str = ",") -> str:
    """The value in that format; a dash where it is not known."""
    return "–" if value is None else f"{value:{form}}"


def millions(value: float | None) -> str:
    """The value in millions, three digits of it."""
    return or_dash(None if value is None else value / 1e6, ".3g")


def percent(value: float | None, digits: int = 1) -> str:
    """A relative difference in percent, with its sign."""
    return "–" if value is None else f"{100 * value:+.{digits}f} %"
