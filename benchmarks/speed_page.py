"""The documentation's page of speed, from what `benchmarks/speed.py` has measured.

    python benchmarks/speed_page.py FIGURES.json... > docs/reference/speed.md

Figures of other tools are data in peers.toml.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from cells import millions, or_dash, percent, table
from speed import PEERS, STREAMS, Figures

HEAD = f"""# Speed

One inference, rows streamed, `--opt speed`, in emulators that run every instruction; `make bench` measures it again.
Cycles are counts weighted by each core's published timing with memory that never makes it wait, not a time measured on
a board; where a core's cycles are not modelled there are instructions alone.

- CMSIS-NN: {PEERS["modelled"]["tool"]}; the same measure, and ours as a part of it.
- record: {PEERS["record"]["source"]} (clock × latency on a board, which waits for its flash).
- flash: weights, tables and code, in bytes, as is the arena.
- predicted: how far the report's figure, which needs no emulator, is off.
"""
COLUMNS = ("model", "million cycles", "CMSIS-NN", "ratio", "record", "million instructions", "cycles per MAC", "arena",
           "its arena", "flash", "code", "predicted")  # fmt: skip


def page(found: Sequence[Figures]) -> str:
    """The page as Markdown: a table for each core, and what streaming costs on those that have all three ways."""
    cores = list(dict.fromkeys(f.core for f in found))
    parts = [HEAD]
    for core in cores:
        rows = [_row(f) for f in found if f.core == core and f.stream == "on"]
        parts += [f"## {core}\n", *table(COLUMNS, rows), ""]
    rows = list(_streaming(found))
    if rows:
        parts += ["## What streaming costs\n", "Work beside layer after layer, and bytes of arena.\n"]
        parts += [*table(("model", "core", "layer by layer", "streamed", "", "rows pushed", ""), rows, words=2), ""]
    return "\n".join(parts)


def _row(f: Figures) -> list[str]:
    peer = millions(f.peer) + (" instr." if f.cycles is None and f.peer is not None else "")
    return [
        f.model, millions(f.cycles), peer, or_dash(f.ratio, ".2f"), or_dash(f.record_mcycles, "g"),
        millions(f.instructions), or_dash(f.cycles_per_mac, ".2f"), f"{f.arena:,}", or_dash(f.peer_arena),
        f"{f.flash:,}", or_dash(f.code), percent(f.error),
    ]  # fmt: skip


def _streaming(found: Sequence[Figures]) -> Iterator[list[str]]:
    """A row for each model and core that was measured in every way."""
    by_way = {(f.model, f.core, f.stream): f for f in found}
    for model, core in dict.fromkeys((f.model, f.core) for f in found):
        off, *others = (by_way.get((model, core, stream)) for stream in STREAMS)
        if off is None or others[0] is None:
            continue
        cells = [model, core, f"{off.arena:,}"]
        for other in others:
            cells += ["–", ""] if other is None else [percent(other.work / off.work - 1, 2), f"{other.arena:,}"]
        yield cells


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description="the documentation's page of speed")
    parser.add_argument("figures", type=Path, nargs="+", metavar="FIGURES.json")
    files: list[Path] = parser.parse_args().figures
    print(page([Figures(**f) for file in files for f in json.loads(file.read_text())]), end="")


if __name__ == "__main__":
    main()
