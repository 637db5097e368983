"""Many small graphs in one program, run on an emulated core: what a grid of shapes costs is one compilation."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.assembly import core as known_core
from tests.support import reference, run_program, same
from tinycomp.cores import Core
from tinycomp.emit.library import Identity, environment, library
from tinycomp.harness.counting import arm, plugin, program
from tinycomp.harness.counting.firmware import Memory
from tinycomp.ir import Array, Graph, Node, Tensor
from tinycomp.lower import lower
from tinycomp.ops import check
from tinycomp.program import Program, Recipe

MEMORY = Memory(boot=0, code=0x1000, code_bytes=8 << 20, data=0x2000_0000, data_bytes=16 << 20)
MAIN = """
#include <string.h>
#include "net.h"
void host_print(const char *text);
static uint8_t arena[NET_ARENA_SIZE] __attribute__((aligned(NET_ARENA_ALIGN)));
static net_ctx_t ctx;
static const uint8_t inputs[] = { %(inputs)s };
static const uint32_t input_bytes[] = { %(input_bytes)s }, output_bytes[] = { %(output_bytes)s };
static void print(const uint8_t *data, size_t bytes)
{
  char text[3] = "";
  for (size_t i = 0; i < bytes; i++) {
    text[0] = "0123456789abcdef"[data[i] >> 4];
    text[1] = "0123456789abcdef"[data[i] & 15];
    host_print(text);
  }
}
int main(void)
{
  const uint8_t *from = inputs;
  memset(arena, 0xA5, sizeof arena);
  if (net_init(&ctx, arena, sizeof arena) != NET_OK) return 2;
  for (int k = 0; k < %(cases)d; k++) {
    for (size_t i = 0; i < NET_NUM_INPUTS; from += input_bytes[i++]) memcpy(net_input(&ctx, i), from, input_bytes[i]);
    if (net_invoke(&ctx) != NET_OK) return 3;
    for (size_t i = 0; i < NET_NUM_OUTPUTS; i++) print(net_output(&ctx, i), output_bytes[i]);
  }
  return 0;
}
"""


def bundle(graphs: Mapping[str, Graph]) -> Graph:
    """One graph of them all, side by side. A graph's label names its node, with a number if it has more."""
    tensors: dict[str, Tensor] = {}
    nodes: list[Node] = []
    inputs: list[str] = []
    outputs: list[str] = []
    for label, graph in graphs.items():
        for name, tensor in graph.tensors.items():
            tensors[f"{label}/{name}"] = replace(tensor, name=f"{label}/{name}")
        for i, node in enumerate(graph.nodes):
            ends = [tuple(f"{label}/{t}" for t in names) for names in (node.inputs, node.outputs)]
            nodes.append(replace(node, name=f"{label}_{i}" if i else label, inputs=ends[0], outputs=ends[1]))
        inputs += [f"{label}/{t}" for t in graph.inputs]
        outputs += [f"{label}/{t}" for t in graph.outputs]
    graph = Graph("bundle", tensors, tuple(nodes), tuple(inputs), tuple(outputs))
    check(graph)
    return graph


def run_on_core(lowered: Program, cases: Sequence[Sequence[Array]], core: Core, folder: Path) -> list[list[Array]]:
    """Emit a program, compile it for the core as its users do, run it in the emulator."""
    graph = lowered.graph
    sources = library(lowered, Identity("net", "0" * 64))
    sources["main.c"] = MAIN % {
        "inputs": ",".join(map(str, b"".join(np.ascontiguousarray(x).tobytes() for case in cases for x in case))),
        "input_bytes": ",".join(str(graph.tensors[t].bytes) for t in graph.inputs),
        "output_bytes": ",".join(str(graph.tensors[t].bytes) for t in graph.outputs),
        "cases": len(cases),
    }  # fmt: skip
    machine = plugin.MACHINES.get(core.id)
    memory = machine.memory if machine else MEMORY
    values = {"memory": memory, "entry": "reset", "stack": 1 << 16, "version": "", "title": core.title}
    for file, template in (("start.c", "harness/profile_arm.c.j2"), ("net.ld", "harness/profile.ld.j2")):
        sources[file] = environment().get_template(template).render(**values)
    for file, text in sources.items():
        (folder / file).write_text(text)
    command = [core.compiler, *core.flags, *core.optimise, "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-nostartfiles",
               "--specs=nano.specs", "-Wl,-T,net.ld", "-Wl,--gc-sections", "-ffunction-sections", "main.c", "start.c",
               "net.c", "net_data.c", "-o", "net.elf"]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    count = plugin.count if machine else arm.count
    console = bytes.fromhex(count(program.read(folder / "net.elf"), core, 0).console)
    found: list[list[Array]] = []
    for _ in cases:
        row: list[Array] = []
        for t in (graph.tensors[name] for name in graph.outputs):
            row.append(np.frombuffer(console[: t.bytes], np.dtype(t.dtype)).reshape(t.shape))
            console = console[t.bytes :]
        found.append(row)
    return found


def check_on_core(graphs: Mapping[str, Graph], cases: Sequence[Sequence[Array]], core_name: str, folder: Path,
                  pinned: Mapping[str, str] | None = None, *, natively: bool = False) -> Program:  # fmt: skip
    """Every graph's answers on the core equal the interpreter's, bit for bit; returns the program.

    cases: of the bundle, see `bundle`. pinned: kernel row by label. natively: also the same C under the sanitizers.
    """
    core = known_core(core_name)
    graph = bundle(graphs)
    lowered = lower(graph, Recipe(opt="speed", stream="off", pinned=pinned or {}), core.features)
    wanted = [reference(graph, case) for case in cases]
    runs = {core.id: run_on_core(lowered, cases, core, folder)}
    if natively:
        runs["native"] = run_program(lowered, cases)
    for label, found in runs.items():
        for k, (answers, expected) in enumerate(zip(found, wanted, strict=True)):
            for name, a, b in zip(graph.outputs, answers, expected, strict=True):
                same([a], [b], f"{label}, {name}, case {k}")
    return lowered


def kernels(lowered: Program) -> dict[str, str]:
    """The kernel row of each node."""
    return {step.node.name: step.function.kernel for step in lowered.steps}
