"""The figures of a build as plain data: what report.json holds. Sizes in bytes; what is not known is None."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tinycomp
from tinycomp import cost, frontend, ops
from tinycomp.frontend import Front, Model
from tinycomp.ir import Graph
from tinycomp.layout import SRAM
from tinycomp.ops.trainable_dense import TrainableDense
from tinycomp.program import Program, Step
from tinycomp.regions import constants_in_ram, context_bytes
from tinycomp.report import memory, size, spans
from tinycomp.rewrite import weights_of
from tinycomp.target import Board, Budget
from tinycomp.train import on_device


def collect(model: Model, front: Front, program: Program, board: Board, budget: Budget, sources: Mapping[str, str],
            name: str, limits: Mapping[str, int]) -> dict[str, Any]:  # fmt: skip
    """report.json of a build.

    sources: the emitted files, which the code size is taken from. limits: bytes that each memory region has for it.
    """
    code = size.code_bytes(sources, name, board.core, program.pads_bytes)
    ram = program.arena + context_bytes(program.pushed, 1 + len(program.regions))
    constants = program.constants_bytes
    if constants_in_ram(board):
        ram += constants
    flash = constants + code["value"]
    fullest = memory.peak(program)
    time = cost.program(program, board.core)
    latency = time.milliseconds(board.clock_hz)
    return {
        "tool_version": tinycomp.__version__,
        "model": {"name": name, "sha256": model.sha256, "source": model.path.rsplit("/", 1)[-1]},
        "board": {"id": board.id, "title": board.title, "core": board.core.id, "clock_hz": board.clock_hz},
        "budget": {"flash": budget.flash, "ram": budget.ram, "max_ms": budget.max_ms,
                   "fits": ram <= budget.ram and all(n <= limits[r] for r, n in program.layout.others.items())
                   and flash <= budget.flash and _in_time(latency, budget.max_ms)},
        "reference": front.graph.reference,
        "arena_bytes": program.arena,
        "regions": [{"name": r, "arena_bytes": n, "budget": limits[r]} for r, n in program.layout.sizes.items()],
        "state_bytes": program.layout.states,
        "trainable_head": _head(program),
        "weights_bytes": program.weights_bytes,
        "biases_bytes": program.biases_bytes,
        "tables_bytes": program.tables_bytes,
        "code_bytes": code,
        "overhead_bytes": flash - program.weights_bytes - program.biases_bytes,
        "flash_bytes": flash,
        "ram_bytes": ram,
        "stack_bytes": None,
        "macs": frontend.macs(front.source),
        "macs_live": frontend.macs(front.graph),
        "cycles": {"value": _whole(time.cycles), "how": None if time.cycles is None else time.how},
        "instructions": {"value": _whole(time.instructions), "how": None if time.instructions is None else time.how},
        "latency_ms": _rounded(latency),
        **_energy(time, board),
        "accuracy": None,
        "inputs": [_port(front.graph, t) for t in front.graph.inputs],
        "outputs": [{**_port(front.graph, t), "storage": spans.storage_of(program, t)} for t in front.graph.outputs],
        "passes": [{"name": p.name, "exact": p.exact, "before": vars(p.before), "after": vars(p.after)}
                   for p in front.passes],
        "source": _source(front.source),
        "layers": [_layer(i, s, program, time) for i, s in enumerate(program.steps)],
        "stream": program.recipe.stream,
        "memory": {"lower_bound": program.layout.lower_bound, "layer_by_layer": program.layer_by_layer,
                   "plans": memory.plans(program), "over_time": memory.over_time(program),
                   "peak_layer": fullest.step, "peak": memory.listed(fullest),
                   "steps": memory.steps(program), **spans.memory_map(program)},
        "warnings": _warnings(front, board) + _places(program, board),
    }  # fmt: skip


def _head(program: Program) -> dict[str, int] | None:
    """The sizes of a head that learns: its weights and biases, and all that it holds in the arena. None without one."""
    step = program.head
    if step is None:
        return None
    weights, biases = program.graph.ins(step.node)[1:]
    held = sum(r.bytes for r in program.registers if r.name in on_device.STATES)
    return {"weights": weights.elements, "biases": biases.elements, "bytes": held}


def _port(graph: Graph, name: str) -> dict[str, Any]:
    t = graph.tensors[name]
    quantized = t.quant is not None and t.dtype != "float32"
    return {"name": name, "shape": list(t.shape), "dtype": t.dtype, "scale": t.scale if quantized else None,
            "zero_point": t.zero_point if quantized else None}  # fmt: skip


def _source(graph: Graph) -> dict[str, Any]:
    """The graph of the file, before passes: what its layers are, and what reads what."""
    layers = [
        {"index": i, "name": n.name, "op": n.op, "shape": list(graph.out(n).shape),
         "inputs": [t.name for t in graph.ins(n) if t.data is None], "outputs": list(n.outputs)}
        for i, n in enumerate(graph.nodes)
    ]  # fmt: skip
    return {"inputs": [_port(graph, t) for t in graph.inputs], "outputs": [_port(graph, t) for t in graph.outputs],
            "layers": layers}  # fmt: skip


def _in_time(latency: float | None, limit: float | None) -> bool:
    """A limit that cannot be checked is refused before there is a report."""
    return latency is None or limit is None or latency <= limit


def _whole(cycles: float | None) -> int | None:
    return None if cycles is None else round(cycles)


def _rounded(value: float | None) -> float | None:
    """Four digits, which is more than the model is good for."""
    return None if value is None else float(f"{value:.4g}")


def _energy(time: cost.Cost, board: Board) -> dict[str, Any]:
    """One inference; its range is that of the board's figures, to which the model of the cycles adds its own error."""
    if time.cycles is None or board.energy is None:
        return {"energy_uj": None, "energy_range_uj": None, "energy_source": None}
    middle, least, most = board.energy.microjoules(time.cycles)
    return {"energy_uj": _rounded(middle), "energy_range_uj": [_rounded(least), _rounded(most)],
            "energy_source": board.energy.source}  # fmt: skip


def _layer(index: int, step: Step, program: Program, time: cost.Cost) -> dict[str, Any]:
    out = program.graph.out(step.node)
    stored = sum(d.array.nbytes for d in step.data)
    weights = min(sum(t.bytes for t in weights_of(step.node, program.graph)), stored)
    return {
        "index": index, "name": step.node.name, "op": step.node.op, "kernel": step.function.kernel,
        "shape": list(out.shape), "macs": step.macs,
        "weights_bytes": weights, "tables_bytes": stored - weights,
        "cycles": _whole(time.per_step[index]) if time.unit == "cycles" else None,
        "instructions": _whole(time.per_step[index]) if time.unit == "instructions" else None,
        "window_rows": _window(step, program),
        "inputs": [spans.storage_of(program, t) for t in step.node.inputs if program.graph.tensors[t].data is None],
        "outputs": [spans.storage_of(program, t) for t in step.node.outputs],
        "segment": next(i for i, run in enumerate(program.runs) if run.first <= index < run.end),
    }  # fmt: skip


def _window(step: Step, program: Program) -> int:
    """The most rows of the layer's output that are alive at once."""
    change: dict[int, int] = {}
    for r in program.layout.residents:
        if r.row is not None and r.name == program.graph.out(step.node).name:
            change[r.start] = change.get(r.start, 0) + 1
            change[r.end] = change.get(r.end, 0) - 1
    alive = most = 0
    for time in sorted(change):
        alive += change[time]
        most = max(most, alive)
    return most or step.output.rows


def _warnings(front: Front, board: Board) -> list[str]:
    found: list[str] = []
    if constants_in_ram(board):
        found.append(f"{board.id} keeps constant arrays in RAM (its flash is read by words alone), so weights and "
                     "tables count as RAM")  # fmt: skip
    kinds = {front.graph.tensors[n].dtype for n in (*front.graph.inputs, *front.graph.outputs)}
    learns = [n for n in front.graph.nodes if isinstance(n.attrs, TrainableDense)]  # in float32 to be trained
    heavy = [
        n for n in front.graph.nodes
        if ops.operator(n).macs(n, front.graph) and front.graph.out(n).dtype == "float32" and n not in learns
    ]  # fmt: skip
    if heavy:
        found.append(f"{len(heavy)} layers compute in float32 (the first is {heavy[0].name}): four times the memory of "
                     "int8, and slow without an FPU; a full-integer int8 export of the model is smaller and "
                     "faster")  # fmt: skip
    elif "float32" in kinds and not learns:
        found.append("inputs or outputs are float32 around an integer model; export it with int8 inputs and outputs to "
                     "save the conversion")  # fmt: skip
    return found


def _places(program: Program, board: Board) -> list[str]:
    """What the memory regions besides SRAM ask of the user."""
    found: list[str] = []
    if "psram" in program.regions:
        found.append(f"{program.layout.others['psram']:,} bytes lie in psram, which is several times slower than sram; "
                     "the modelled cycles do not count that")  # fmt: skip
    if "dtcm" in program.regions:
        found.append("dtcm needs a line in the linker script of most frameworks (src/memory.c has it); without it that "
                     f"memory is taken from {board.id}'s {SRAM}")  # fmt: skip
    return found
