"""Every reference model on every counted core, streamed or not: instructions, cycles, memory, beside other tools.

    python benchmarks/speed.py [--cores CORE,...] [--models MODEL,...] [--streams off,on,push] [-o FILE.json]

Prints a table and writes build/speed.json. The models are optional and read from ../shared/models. Figures of
other tools are data in peers.toml. Prints figures and asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cost_grid
import counts
from cells import or_dash, percent

from tinycomp import cost, frontend
from tinycomp.cores import load_core
from tinycomp.emit.library import Identity, library
from tinycomp.errors import TinycompError
from tinycomp.harness.counting import program
from tinycomp.lower import lower
from tinycomp.program import Recipe, Stream
from tinycomp.report import size

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"
PEERS: Mapping[str, Any] = tomllib.loads((ROOT / "benchmarks" / "peers.toml").read_text())
MODELS = ("kws_int8", "vww_int8", "ic_int8", "ad_int8", "person_detect", "sww_int8", "micro_speech_quantized",
          "hello_world_int8")  # fmt: skip
CORES = ("cortex-m4", "cortex-m33", "cortex-m7", "cortex-m3", "cortex-m0plus", "cortex-m55", "rv32imc", "xtensa-lx106")
STREAMS: tuple[Stream, ...] = ("off", "on", "push")


@dataclass(frozen=True)
class Figures:
    """One build. Sizes in bytes; None where a figure is not known.

    layer_error: the largest relative error of a predicted layer that has at least 1 % of the cycles.
    """

    model: str
    core: str
    stream: str
    instructions: int
    cycles: int | None
    cycles_per_mac: float | None
    predicted: float | None
    error: float | None
    layer_error: float | None
    arena: int
    flash: int
    code: int | None
    peer_cycles: int | None
    peer_instructions: int | None
    peer_arena: int | None
    record_mcycles: float | None

    @property
    def work(self) -> int:
        """Cycles, or instructions where cycles are not modelled."""
        return self.instructions if self.cycles is None else self.cycles

    @property
    def peer(self) -> int | None:
        """The same measure of the other tool."""
        return self.peer_instructions if self.cycles is None else self.peer_cycles

    @property
    def ratio(self) -> float | None:
        """Our work as a part of the other tool's."""
        return None if self.peer is None else self.work / self.peer


def others(model: str, core_id: str) -> tuple[int | None, int | None, int | None, float | None]:
    """What peers.toml has of other tools: cycles, instructions, arena, Mcycles of the record."""
    peers, record = PEERS["modelled"], PEERS["record"]["mcycles"]
    by_core = [kind.get(core_id, {}).get(model) for kind in (peers["cycles"], peers["instructions"], record)]
    return by_core[0], by_core[1], peers["arena"].get(model), by_core[2]


def run(job: tuple[str, str, Stream]) -> Figures | str:
    """Figures of one build, or why there are none."""
    try:
        return _measure(*job)
    except TinycompError as error:
        return f"{' '.join(job)}: {error.what}"


def _measure(model: str, core_id: str, stream: Stream) -> Figures:
    core, front = load_core(core_id), frontend.front(frontend.load(SHARED / f"{model}.tflite"))
    made = lower(front.graph, Recipe("speed", stream), core.features, core=core)
    count, layers = counts.counter(core), len(made.steps)
    with counts.firmware_of(made, core, cost_grid.inputs_of(made.graph)) as built:
        total = count(program.read(built.clean), core, layers).windows[layers]
        by_layer = count(program.read(built.layered), core, layers).windows[:layers]
    sources = library(made, Identity("net", "0" * 64))
    predicted, macs = cost.program(made, core), frontend.macs(front.graph)
    code = size.measure(sources, "net", core, made.pads_bytes)
    work = counts.work(total)
    return Figures(
        model, core_id, stream, total.instructions, total.cycles,
        total.cycles / macs if total.cycles is not None and macs else None, predicted.total,
        predicted.total / work - 1 if predicted.total is not None and work else None,
        _layer_error(predicted.per_step, [counts.work(w) for w in by_layer]), made.arena,
        made.constants_bytes + (code or 0), code, *others(model, core_id),
    )  # fmt: skip


def _layer_error(predicted: Sequence[float | None], counted: Sequence[int]) -> float | None:
    total = sum(counted)
    off = [abs(p / c - 1) for p, c in zip(predicted, counted, strict=True) if p is not None and c and c >= total / 100]
    return max(off, default=None)


COLUMNS = (
    ("model", 22), ("core", 13), ("stream", 6), ("instructions", 12), ("cycles", 11), ("cyc/MAC", 7), ("peer", 11),
    ("ratio", 6), ("record M", 8), ("pred. err", 9), ("layer err", 9), ("arena", 7), ("flash", 8), ("code", 6),
)  # fmt: skip


def _line(f: Figures) -> str:
    return _aligned((
        f.model, f.core, f.stream, f"{f.instructions:,}", or_dash(f.cycles), or_dash(f.cycles_per_mac, ".2f"),
        or_dash(f.peer), or_dash(f.ratio, ".2f"), or_dash(f.record_mcycles, "g"), percent(f.error),
        percent(f.layer_error), f"{f.arena:,}", f"{f.flash:,}", or_dash(f.code),
    ))  # fmt: skip


def _aligned(cells: Sequence[str]) -> str:
    """Three words to the left, numbers to the right."""
    return "  ".join(
        f"{c:{'<' if i < 3 else '>'}{w}}" for i, (c, (_, w)) in enumerate(zip(cells, COLUMNS, strict=True))
    )


def _jobs(models: Sequence[str], cores: Sequence[str], streams: Sequence[Stream]) -> Iterator[tuple[str, str, Stream]]:
    for model in models:
        if (SHARED / f"{model}.tflite").is_file():
            yield from ((model, core, stream) for core in cores for stream in streams)
        else:
            print(f"{model}: not measured, there is no {SHARED / model}.tflite")


def _some(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads a list of names, each as it is known or its end: m4 is cortex-m4."""

    def read(text: str) -> list[str]:
        found = [next((k for k in known if k == name or k.endswith(f"-{name}")), None) for name in text.split(",")]
        if None in found:
            raise argparse.ArgumentTypeError(f"known are {', '.join(known)}")
        return [name for name in found if name is not None]

    return read


def _overhead(found: Sequence[Figures]) -> Iterator[str]:
    """What streaming adds to layer after layer, and what it saves."""
    plain = {(f.model, f.core): f for f in found if f.stream == "off"}
    for f in found:
        base = plain.get((f.model, f.core))
        if base is not None and f.stream != "off":
            more = percent(f.work / base.work - 1, 2)
            yield f"{f.model:22}  {f.core:13}  {f.stream:6}  {more:>9}  {f.arena:,} of {base.arena:,}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="compare emitted code on emulated cores")
    parser.add_argument("--models", type=_some(MODELS), default=list(MODELS))
    parser.add_argument("--cores", type=_some(CORES), default=list(CORES))
    parser.add_argument("--streams", type=_some(STREAMS), default=list(STREAMS))
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "build" / "speed.json")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if not SHARED.is_dir():
        print(f"speed: not measured, the reference models ({SHARED}) are not here")
        return
    jobs = list(_jobs(args.models, args.cores, args.streams))
    found: list[Figures] = []
    print("cycles: modelled, zero wait states; --opt speed; peer: the same measure of another tool (peers.toml)")
    print(_aligned([name for name, _ in COLUMNS]))
    with ProcessPoolExecutor(args.jobs) as pool:
        for answer in pool.map(run, jobs):
            print(answer if isinstance(answer, str) else _line(answer), flush=True)
            if isinstance(answer, Figures):
                found.append(answer)
    print("streaming: work beside layer after layer, bytes of arena")
    for line in _overhead(found):
        print(line)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps([asdict(f) for f in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
