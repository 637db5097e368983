"""The documentation's page of speed, from what `benchmarks/speed.py` has measured.

    python benchmarks/speed_page.py FIGURES.json... > docs/reference/speed.md

Figures of other tools are data in peers.toml.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PEERS: Mapping[str, Any] = tomllib.loads((Path(__file__).parent / "peers.toml").read_text())
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
STREAMS = ("off", "on", "push")


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The page as Markdown: a table for each core, and what streaming costs on those that have all three ways."""
    cores = list(dict.fromkeys(f["core"] for f in found))
    parts = [HEAD]
    for core in cores:
        rows = [_row(f) for f in found if f["core"] == core and f["stream"] == "on"]
        parts += [f"## {core}\n", *_table(COLUMNS, rows), ""]
    rows = list(_streaming(found))
    if rows:
        parts += ["## What streaming costs\n", "Work beside layer after layer, and bytes of arena.\n"]
        parts += [*_table(("model", "core", "layer by layer", "streamed", "", "rows pushed", ""), rows), ""]
    return "\n".join(parts)


def _row(f: Mapping[str, Any]) -> list[str]:
    cycles = f["peer_cycles"] is not None
    ours, peer = (f["cycles"], f["peer_cycles"]) if cycles else (f["instructions"], f["peer_instructions"])
    return [
        f["model"], _millions(f["cycles"]), _millions(peer) + (" instr." if peer and not cycles else ""),
        _or_dash(ours / peer if peer else None, ".2f"), _or_dash(f["record_mcycles"], "g"),
        _millions(f["instructions"]), _or_dash(f["cycles_per_mac"], ".2f"), f"{f['arena']:,}",
        _or_dash(f["peer_arena"], ","), f"{f['flash']:,}", _or_dash(f["code"], ","),
        "–" if f["error"] is None else f"{100 * f['error']:+.1f} %",
    ]  # fmt: skip


def _streaming(found: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """A row for each model and core that was measured in every way."""
    by_way = {(f["model"], f["core"], f["stream"]): f for f in found}
    for model, core in dict.fromkeys((f["model"], f["core"]) for f in found):
        ways = [by_way.get((model, core, stream)) for stream in STREAMS]
        off, *others = ways
        if off is None or others[0] is None:
            continue
        cells = [model, core, f"{off['arena']:,}"]
        for other in others:
            cells += ["–", ""] if other is None else [f"{100 * (_work(other) / _work(off) - 1):+.2f} %",
                                                       f"{other['arena']:,}"]  # fmt: skip
        yield cells


def _work(f: Mapping[str, Any]) -> int:
    return f["instructions"] if f["cycles"] is None else f["cycles"]


def _millions(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e6:.3g}"


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description="the documentation's page of speed")
    parser.add_argument("figures", type=Path, nargs="+", metavar="FIGURES.json")
    files: list[Path] = parser.parse_args().figures
    print(page([f for file in files for f in json.loads(file.read_text())]), end="")


if __name__ == "__main__":
    main()
