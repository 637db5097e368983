"""`tinycomp compare A B`: two builds side by side."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Write it as one HTML file.")
def compare(first: Path, second: Path, as_json: bool, page: Path | None) -> None:
    """Two builds side by side: figures, and the layers that differ. A and B are folders that `build` made."""
    from tinycomp import build as builder
    from tinycomp import terminal
    from tinycomp.report import comparison

    a, b = builder.report_of(first), builder.report_of(second)
    if page is not None:
        page.write_text(comparison.page(a, b), "utf-8")
    if page is None or as_json:
        terminal.tell(comparison.facts(a, b), comparison.headline(a, b), comparison.sections(a, b), as_json)
    else:
        click.echo(f"wrote {page}")
