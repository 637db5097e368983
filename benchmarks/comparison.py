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
from cells import millions, or_dash, table

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
    rows = [(f.core if f.cycles is not None else f"{f.core}, instructions", TITLES[f.model], millions(f.work),
             millions(f.peer), or_dash(f.ratio, ".2f"), or_dash(f.record_mcycles, "g")) for f in found]  # fmt: skip
    return table(titles, rows, words=2)


def memory(found: Iterable[speed.Figures]) -> list[str]:
    """Bytes on Cortex-M4. Flash in all: weights, tables and code; of the interpreter, the model's file and its code."""
    rows: list[tuple[str, ...]] = []
    code = speed.PEERS["modelled"]["code"]
    for f in found:
        if f.core == "cortex-m4":
            flash = (speed.SHARED / f"{f.model}.tflite").stat().st_size + code[f.model]
            rows.append((TITLES[f.model], f"{f.arena:,}", or_dash(f.peer_arena), f"{f.flash:,}", f"{flash:,}"))
    return table(("model", "arena", "TFLM's arena", "flash", "TFLM's flash"), rows)


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
