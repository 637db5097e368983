"""The tables of docs/comparison.md: measured here, beside the figures of other tools in peers.toml.

    python benchmarks/comparison.py

Writes them between the marks of the page, in a few minutes. The models are optional and read from ../shared/models.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor

import speed

from tinycomp.program import Stream

PAGE = speed.ROOT / "docs" / "comparison.md"
CORES = ("cortex-m4", "cortex-m33", "cortex-m7", "cortex-m0plus", "cortex-m55")
TITLES = {
    "kws_int8": "keyword spotting", "vww_int8": "visual wake words", "ic_int8": "image classification",
    "ad_int8": "anomaly detection", "person_detect": "person detection", "sww_int8": "streaming wake word",
}  # fmt: skip
STREAM: Stream = "on"


def work(found: Iterable[speed.Figures]) -> list[str]:
    """Cycles of one inference (instructions where cycles are not modelled), ours and others', in millions."""
    titles = ("core", "model", "tinycomp", "TFLM + CMSIS-NN", "ratio", "best published, on a board")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for f in found:
        ours, peer = (f.cycles, f.peer_cycles) if f.cycles is not None else (f.instructions, f.peer_instructions)
        core = f.core if f.cycles is not None else f"{f.core}, instructions"
        ratio = "–" if peer is None else f"{ours / peer:.2f}"
        lines.append(f"| {core} | {TITLES[f.model]} | {_millions(ours)} | {_millions(peer)} | {ratio} | "
                     f"{'–' if f.record_mcycles is None else f'{f.record_mcycles:g}'} |")  # fmt: skip
    return lines


def memory(found: Iterable[speed.Figures]) -> list[str]:
    """Bytes on Cortex-M4. Flash in all: weights, tables and code; of the interpreter, the model's file and its code."""
    lines = ["| model | arena | TFLM's arena | flash | TFLM's flash |", "|---|---|---|---|---|"]
    peers = speed.PEERS["modelled"]
    for f in found:
        if f.core == "cortex-m4":
            flash = (speed.SHARED / f"{f.model}.tflite").stat().st_size + peers["code"][f.model]
            lines.append(f"| {TITLES[f.model]} | {f.arena:,} | {peers['arena'][f.model]:,} | {f.flash:,} | {flash:,} |")
    return lines


def _millions(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:.3g}"


def written(page: str, tables: dict[str, Sequence[str]]) -> str:
    """The page with the tables between their marks. Raises ValueError where a mark is missing."""
    for name, lines in tables.items():
        block = "\n".join([f"<!-- {name} -->", *lines, f"<!-- /{name} -->"])
        page, count = re.subn(f"<!-- {name} -->.*?<!-- /{name} -->", lambda _, b=block: b, page, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{PAGE} has {count} places for {name}")
    return page


def main() -> int:
    """Measure, write the page."""
    jobs = [(model, core, STREAM) for core in CORES for model in TITLES]
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(speed.run, jobs))
    if failed := [f for f in found if isinstance(f, str)]:
        print("\n".join(failed), file=sys.stderr)
        return 1
    figures = [f for f in found if not isinstance(f, str)]
    PAGE.write_text(written(PAGE.read_text(), {"work": work(figures), "memory": memory(figures)}))
    print(f"wrote {PAGE.relative_to(speed.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
