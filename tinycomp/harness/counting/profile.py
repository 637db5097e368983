"""Exact retired instructions and modelled cycles of one inference, in all and layer by layer, in an emulator.

The total is that of the library as users compile it. The layers come from a second program whose code is marked where
each of them begins and ends. Marks are no instructions, but the compiler moves nothing that touches memory across
one, so that the layers add up to the total within a few parts in a thousand. Counts repeat to the instruction. Cycles
are the counts weighted with the core's table (`boards/cores.toml`), never a measured time.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinycomp import ops
from tinycomp.cores import Core
from tinycomp.errors import OutputsDiffer, Unsupported
from tinycomp.harness.counting import arm, plugin, program
from tinycomp.harness.counting.firmware import Firmware, Job, Memory, build, library_flags
from tinycomp.harness.counting.window import FIRMWARE, Counted
from tinycomp.ir import NUMPY, Array, Graph
from tinycomp.target import Board

UNICORN_MEMORY = Memory(boot=0, code=0x400, code_bytes=(16 << 20) - 0x400, data=0x2000_0000, data_bytes=32 << 20)


@dataclass(frozen=True)
class LayerProfile:
    """A layer: instructions and modelled cycles (None where they are not modelled)."""

    name: str
    instructions: int
    cycles: int | None


@dataclass(frozen=True)
class Profile:
    """One inference. how: what counted, and where the cycles come from. stack_bytes: below the caller's stack pointer.

    outputs: what the firmware answered.
    """

    instructions: int
    cycles: int | None
    how: str
    stack_bytes: int
    layers: tuple[LayerProfile, ...]
    outputs: tuple[Array, ...]


def profile(directory: Path, board: Board, manifest: Mapping[str, Any], graph: Graph, case: Sequence[Array], *,
            timeout: float = 600) -> Profile:  # fmt: skip
    """Profile the library of a build folder on the board's core, with one case of inputs.

    graph: the one that the C was emitted from. Raises Unsupported where nothing emulates the core; ToolMissing;
    OutputsDiffer where the firmware does not compile, faults, or does not end in `timeout` seconds.
    """
    core, name = board.core, str(manifest["name"])
    memory = _memory(core, board.id)
    push = manifest["options"].get("stream") == "push"
    layers = [node.name for node in graph.nodes if not ops.operator(node).view]
    library = directory / "lib" / name
    job = Job(library / "src", name, graph, len(layers), case, library_flags(library), push)
    with tempfile.TemporaryDirectory() as folder:
        firmware = build(job, core, memory, Path(folder))
        whole, parts = _count(firmware, job, core, timeout)
    total = whole.windows[len(layers)]
    each = zip(layers, parts.windows[: len(layers)], strict=True)
    stack, outputs = _answers(whole.console, graph)
    return Profile(
        total.instructions, total.cycles, how(core), stack,
        tuple(LayerProfile(layer, w.instructions, w.cycles) for layer, w in each), outputs,
    )  # fmt: skip


def how(core: Core) -> str:
    """Where the figures of this core come from, for people."""
    if core.id not in arm.MODELS or core.pipeline is None:
        return "instructions: exact, QEMU; cycles: not modelled, no table of them is published"
    return f"instructions: exact, unicorn; cycles: modelled, no wait states or cache misses; {core.pipeline.source}"


def _memory(core: Core, board: str) -> Memory:
    if core.id in arm.MODELS:
        return UNICORN_MEMORY
    if core.id in plugin.MACHINES:
        return plugin.MACHINES[core.id].memory
    known = sorted({*arm.MODELS, *plugin.MACHINES})
    raise Unsupported(f"no emulator runs {core.title} here", where=f"board {board}",
                      fix=f"build for a board whose core is one of: {', '.join(known)}")  # fmt: skip


def _count(firmware: Firmware, job: Job, core: Core, timeout: float) -> tuple[Counted, Counted]:
    count = arm.count if core.id in arm.MODELS else plugin.count
    clean, layered = (program.read(elf) for elf in (firmware.clean, firmware.layered))
    return count(clean, core, job.layers, timeout=timeout), count(layered, core, job.layers, timeout=timeout)


def _answers(console: str, graph: Graph) -> tuple[int, tuple[Array, ...]]:
    """The stack's bytes and the outputs out of what the firmware printed."""
    stack = re.search(r"^stack ([0-9a-f]{8})$", console, re.MULTILINE)
    outputs = re.findall(r"^output ([0-9a-f]*)$", console, re.MULTILINE)
    wanted = [graph.tensors[name] for name in graph.outputs]
    if stack is None or [len(o) for o in outputs] != [2 * t.bytes for t in wanted]:
        raise OutputsDiffer(f"it printed something else than its results: {console[:200]!r}", where=FIRMWARE)
    found = [np.frombuffer(bytes.fromhex(o), NUMPY[t.dtype]) for o, t in zip(outputs, wanted, strict=True)]
    return int(stack[1], 16), tuple(x.reshape(t.shape) for x, t in zip(found, wanted, strict=True))
