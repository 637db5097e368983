"""The reference models, from file to running C: the golden outputs and TensorFlow Lite Micro's, bit for bit."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.support import SHARED, needs_cc, needs_shared, run_program, same, tflm
from tinycomp import frontend
from tinycomp.errors import Unsupported
from tinycomp.frontend import Front
from tinycomp.harness.inputs import random_cases
from tinycomp.ir import Array
from tinycomp.lower import lower
from tinycomp.program import Recipe

INT8 = [
    "kws_int8",
    "ic_int8",
    "vww_int8",
    "ad_int8",
    "sww_int8",
    "person_detect",
    "micro_speech_quantized",
    "hello_world_int8",
]
STATEFUL = ["okay_nabu", "trained_lstm_int8"]
INT16 = ["seanet_conv5_int16"]
FLOAT = ["kws_float", "ic_float", "vww_float", "ad_float", "hello_world_float", "magic_wand_float"]
# Bytes of arena with everything included: (layer by layer, input held, rows pushed).
ARENA = {
    "kws_int8": (16_000, 4_300, 3_900),
    "ic_int8": (49_152, 11_600, 10_100),
    "vww_int8": (55_296, 29_200, 12_000),
    "person_detect": (55_296, 14_000, 11_600),
    "sww_int8": (6_656, 3_300, 2_900),
}

pytestmark = [needs_shared, needs_cc]


@cache
def front(name: str) -> Front:
    """The model's graphs, made once a process."""
    return frontend.front(frontend.load(SHARED / "models" / f"{name}.tflite"))


def golden(name: str) -> tuple[list[list[Array]], list[list[Array]]]:
    """Inputs and outputs of every golden case."""
    data = np.load(SHARED / "golden" / f"{name}.npz")
    graph = front(name).graph
    ins = [
        [data[f"input{i}"][k].reshape(graph.tensors[t].shape) for i, t in enumerate(graph.inputs)]
        for k in range(len(data["input0"]))
    ]
    outs = [
        [data[f"output{i}"][k].reshape(graph.tensors[t].shape) for i, t in enumerate(graph.outputs)]
        for k in range(len(ins))
    ]
    return ins, outs


@pytest.mark.parametrize("name", INT8 + INT16 + FLOAT + STATEFUL)
def test_c_equals_the_golden_outputs(name):
    cases, wanted = golden(name)
    answers = run_program(lower(front(name).graph, Recipe()), cases, optimise="-O1")
    for k, answer in enumerate(answers):
        same(answer, wanted[k], f"{name}, golden case {k}")


@pytest.mark.parametrize("stream", ["off", "on"])
def test_a_streaming_wake_word_holds_its_frames_once(stream):
    program = lower(front("okay_nabu").graph, Recipe(opt="size", stream=stream))
    assert program.layout.states == 3_880
    assert program.arena <= 4_900


@pytest.mark.slow
@pytest.mark.parametrize(("opt", "stream"), [("size", "on"), ("speed", "off"), ("speed", "push"), ("size", "push")])
@pytest.mark.parametrize("name", INT8)
def test_every_way_of_building_gives_the_same_bits(name, opt, stream):
    if stream == "push" and name in ("ad_int8", "hello_world_int8"):
        with pytest.raises(Unsupported, match="--stream push"):
            lower(front(name).graph, Recipe(opt=opt, stream=stream))
        return
    cases, wanted = golden(name)
    answers = run_program(lower(front(name).graph, Recipe(opt=opt, stream=stream)), cases[:3], optimise="-O1")
    for k, answer in enumerate(answers):
        same(answer, wanted[k], f"{name} --opt {opt} --stream {stream}, golden case {k}")


@pytest.mark.slow
@pytest.mark.parametrize("name", INT8 + INT16 + FLOAT)
def test_c_equals_the_micro_interpreter_on_a_hundred_random_inputs(name):
    cases = random_cases(front(name).graph, 100, seed=7)
    wanted = tflm((SHARED / "models" / f"{name}.tflite").read_bytes(), cases)
    answers = run_program(lower(front(name).graph, Recipe()), cases, optimise="-O1")
    for k, answer in enumerate(answers):
        same(answer, [w.reshape(a.shape) for a, w in zip(answer, wanted[k], strict=True)], f"{name}, random case {k}")


@pytest.mark.parametrize("name", sorted(ARENA))
@pytest.mark.parametrize(("stream", "column"), [("off", 0), ("on", 1), ("push", 2)])
def test_the_arena_is_as_small_as_promised(name, stream, column):
    assert lower(front(name).graph, Recipe(opt="size", stream=stream)).arena <= ARENA[name][column]
