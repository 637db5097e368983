"""A head that learns on the board: equal answers before, a step of gradient descent, better answers after."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.emulated import BOARDS, folder_of, needs_tools
from tests.rules.nets import Net
from tests.support import needs_cc, random_inputs
from tinycomp import interpret, ops
from tinycomp.cli import main
from tinycomp.emit.library import Identity, library
from tinycomp.errors import Unsupported
from tinycomp.harness import firmware, qemu
from tinycomp.harness.native import WARNINGS
from tinycomp.ir import Array, Graph
from tinycomp.lower import lower
from tinycomp.ops.add import Add
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.program import Recipe
from tinycomp.quantize import data
from tinycomp.quantize.convert import Options, convert
from tinycomp.tflite import writer
from tinycomp.train.distil import with_constants
from tinycomp.train.on_device import STATES, trainable
from tinycomp.train.step import Reals

INPUTS, HIDDEN, CLASSES = 12, 24, 4
PER_CLASS, NOISE, RATE = 25, 0.4, 0.05
PLAIN = Options(corrections=frozenset())


@dataclass(frozen=True, eq=False)
class World:
    """A classifier that was trained where the sensor stood straight, and cases from where it stands askew."""

    graph: Graph
    straight: tuple[Reals, Reals]
    askew: tuple[Reals, Reals]

    def stored(self, x: Reals) -> Array:
        """Real cases as the graph takes them."""
        t = self.graph.tensors[self.graph.inputs[0]]
        return np.clip(np.rint(x / t.scale) + t.zero_point, -128, 127).astype(np.int8)


def classifier(head: Sequence[Reals] = ()) -> Graph:
    """A hidden layer of random weights, and a dense layer with a softmax, whose constants may be given."""
    net = Net("float32", seed=3)
    hidden = net.dense(net.input(1, INPUTS), HIDDEN, activation="relu")
    graph = net.graph(net.op(Softmax(), net.dense(hidden, CLASSES)))
    return with_constants(graph, dict(zip(graph.nodes[1].inputs[1:], head, strict=True))) if head else graph


def world() -> World:
    """The head is fitted to the straight cases by least squares; the askew ones are mixed with other inputs."""
    rng = np.random.default_rng(8)
    means = rng.normal(0, 1, (CLASSES, INPUTS))
    y = np.tile(np.arange(CLASSES), 2 * PER_CLASS)
    x, z = (means[y] + rng.normal(0, NOISE, (len(y), INPUTS)) for _ in range(2))
    turn = np.eye(INPUTS) + rng.normal(0, 0.45, (INPUTS, INPUTS))
    askew = (z @ turn).astype(np.float32)
    plain = classifier()
    hidden = interpret.run(plain, [x.astype(np.float32)], keep=True)[plain.nodes[0].outputs[0]]
    features = np.concatenate([np.asarray(hidden, np.float64), np.ones((len(y), 1))], axis=1)
    solved = np.linalg.lstsq(features, 4 * np.eye(CLASSES)[y], rcond=None)[0].T.astype(np.float32)
    float_ = classifier((np.ascontiguousarray(solved[:, :-1]), np.ascontiguousarray(solved[:, -1])))
    cases = data.from_cases([c[None] for c in np.concatenate([x, askew]).astype(np.float32)], float_)
    return World(convert(float_, cases, PLAIN).graph, (x.astype(np.float32), y), (askew, y))


WORLD = world()


def test_a_trainable_head_answers_as_the_dense_layer_does():
    graph = WORLD.graph
    made = trainable(graph)
    ops.check(made)
    x = WORLD.stored(WORLD.straight[0])
    before, after = interpret.run(graph, [x])[graph.outputs[0]], interpret.run(made, [x])[made.outputs[0]]
    real = (before.astype(np.float64) + 128) / 256
    assert np.abs(real - after.astype(np.float64)).max() < 0.02  # int8 logits and softmax against float32
    assert tuple(s.name for s in made.states) == STATES
    assert made.tensors[made.outputs[0]].dtype == "float32"


def test_reshapes_before_the_softmax_are_no_hindrance():
    net = Net("float32")
    logits = net.dense(net.input(1, 6), 4)
    graph = net.graph(net.op(Softmax(), net.op(Reshape((1, 4)), net.op(Reshape((4, 1)), logits))))
    made = trainable(graph)
    assert [n.op for n in made.nodes] == ["trainable_dense", "softmax"]
    case = random_inputs(graph, cases=3)[2]
    wanted, found = (np.asarray(interpret.run(g, case)[g.outputs[0]], np.float32) for g in (graph, made))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def logistic(net: Net) -> str:
    """One probability."""
    return net.op(Logistic(), net.dense(net.input(1, 6), 1))


def convolution(net: Net) -> str:
    """A convolution before the softmax."""
    return net.op(Softmax(), net.conv(net.input(1, 1, 1, 6), 4))


def clamped(net: Net) -> str:
    """A dense layer that is clamped."""
    return net.op(Softmax(), net.dense(net.input(1, 6), 4, activation="relu"))


def shared(net: Net) -> str:
    """Logits that something else reads."""
    logits = net.dense(net.input(1, 6), 4)
    return net.op(Softmax(), net.op(Add(), logits, net.op(Softmax(), logits)))


def vectors(net: Net) -> str:
    """A dense layer of three vectors."""
    return net.op(Softmax(), net.dense(net.input(1, 3, 6), 4, keep_dims=True))


@pytest.mark.parametrize(
    ("grow", "says"),
    [(logistic, "does not end in a softmax"), (convolution, "not the softmax of a dense layer"),
     (clamped, "not one plain dense layer"), (shared, "not the softmax of a dense layer"),
     (vectors, "not one plain dense layer")],
)  # fmt: skip
def test_a_model_with_another_end_is_refused(grow: Callable[[Net], str], says: str):
    net = Net("float32")
    with pytest.raises(Unsupported, match=says):
        trainable(net.graph(grow(net)))


def c_array(values: Array) -> str:
    """The elements as an initialiser."""
    return ", ".join(str(v) for v in np.asarray(values).reshape(-1).tolist())


STEPS = """
#include <stdio.h>
#include <string.h>
#include "net.h"
static const int8_t cases[][NET_INPUT0_BYTES] = {{ {cases} }};
static const int labels[] = {{ {labels} }};
static uint8_t arena[NET_ARENA_SIZE] __attribute__((aligned(NET_ARENA_ALIGN)));
int main(void)
{{
  net_ctx_t ctx;
  if (net_train_step(NULL, 0, 0.1f) != NET_ERROR_BAD_ARGUMENT || net_head(NULL, 0)) return 1;
  if (net_init(&ctx, arena, sizeof arena) != NET_OK) return 2;
  if (net_train_step(&ctx, 0, 0.1f) != NET_ERROR_NOT_READY) return 3;
  for (size_t k = 0; k < sizeof labels / sizeof *labels; k++) {{
    memcpy(net_input(&ctx, 0), cases[k], NET_INPUT0_BYTES);
    if (net_invoke(&ctx) != NET_OK) return 4;
    if (net_train_step(&ctx, NET_HEAD_CLASSES, 0.1f) != NET_ERROR_BAD_ARGUMENT) return 5;
    if (net_train_step(&ctx, 0, 0.0f) != NET_ERROR_BAD_ARGUMENT) return 6;
    if (net_train_step(&ctx, (size_t)labels[k], {rate}f) != NET_OK) return 7;
    if (net_train_step(&ctx, 0, 0.1f) != NET_ERROR_NOT_READY) return 8;
  }}
  fwrite(net_head(&ctx, 0), sizeof(float), NET_HEAD_CLASSES * NET_HEAD_FEATURES, stdout);
  fwrite(net_head(&ctx, 1), sizeof(float), NET_HEAD_CLASSES, stdout);
  if (net_head(&ctx, 2)) return 9;
  return net_reset(&ctx) != NET_OK || net_train_step(&ctx, 0, 0.1f) != NET_ERROR_NOT_READY;
}}
"""


def braces(rows: Array) -> str:
    """Rows as initialisers in braces."""
    return ", ".join(f"{{{c_array(row)}}}" for row in rows)


def descended(graph: Graph, cases: Array, labels: Sequence[int]) -> tuple[Reals, Reals]:
    """Weights and biases after a step for each case, in float64."""
    made = trainable(graph)
    weights, biases = (s.initial.astype(np.float64) for s in made.states[:2])
    x = made.tensors[made.nodes[-2].inputs[0]]
    for case, label in zip(cases, labels, strict=True):
        stored = interpret.run(graph, [case[None]], keep=True)[x.name]
        features = (stored.astype(np.float64).reshape(-1) - x.zero_point) * x.scale
        logits = weights @ features + biases
        slopes = np.exp(logits - logits.max())
        slopes /= slopes.sum()
        slopes[label] -= 1
        weights, biases = weights - RATE * np.outer(slopes, features), biases - RATE * slopes
    return weights, biases


@needs_cc
def test_a_step_is_one_of_gradient_descent_on_the_cross_entropy(tmp_path: Path):
    cases, labels = WORLD.stored(WORLD.askew[0][:20]), WORLD.askew[1][:20].tolist()
    sources = library(lower(trainable(WORLD.graph), Recipe()), Identity("net", "0" * 64))
    sources["main.c"] = STEPS.format(cases=braces(cases), labels=c_array(np.array(labels)), rate=RATE)
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    flags = ["-std=c99", "-O1", *WARNINGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    parts = ["main.c", "net.c", "net_data.c"]
    subprocess.run(["gcc", *flags, *parts, "-lm", "-o", "steps"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "steps"], capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.float32)
    weights, biases = descended(WORLD.graph, cases, labels)
    np.testing.assert_allclose(found[: weights.size].reshape(weights.shape), weights, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[weights.size :], biases, rtol=1e-4, atol=1e-5)


LEARN = """
#include <string.h>
#include "net.h"
#include "port.h"
enum {{ COUNT = {count}, HALF = COUNT / 2, PASSES = 3 }};
static const int8_t cases[COUNT][NET_INPUT0_BYTES] = {{ {cases} }};
static const uint8_t labels[COUNT] = {{ {labels} }};
static uint8_t arena[NET_ARENA_SIZE] __attribute__((aligned(NET_ARENA_ALIGN)));
static net_ctx_t ctx;

static size_t answered(int k)
{{
  size_t best = 0;
  memcpy(net_input(&ctx, 0), cases[k], NET_INPUT0_BYTES);
  net_invoke(&ctx);
  const float *answer = net_output(&ctx, 0);
  for (size_t i = 1; i < NET_OUTPUT0_ELEMENTS; i++) best = answer[i] > answer[best] ? i : best;
  return best;
}}

/* Prints how many of the second half are right, as three digits and a space. */
static void judge(void)
{{
  int right = 0;
  for (int k = HALF; k < COUNT; k++) right += answered(k) == labels[k];
  const char text[] = {{ (char)('0' + right / 100), (char)('0' + right / 10 % 10), (char)('0' + right % 10), ' ' }};
  tc_port_write(text, sizeof text);
}}

int tc_app_start(void)
{{
  if (net_init(&ctx, arena, sizeof arena) != NET_OK) return 1;
  judge();
  for (int k = 0; k < PASSES * HALF; k++) {{
    answered(k % HALF);
    if (net_train_step(&ctx, labels[k % HALF], {rate}f) != NET_OK) return 2;
  }}
  judge();
  return net_reset(&ctx) != NET_OK ? 3 : 0;
}}

int tc_app_step(void) {{ return 0; }}
"""


@pytest.mark.parametrize("board", ["emu_cortex_m3", "emu_cortex_m4"])
def test_an_emulated_board_learns_what_has_changed(board: str, tmp_path: Path):
    target = BOARDS[board]
    needs_tools(target)
    folder_of(trainable(WORLD.graph), target, tmp_path)
    x, y = WORLD.askew
    text = LEARN.format(count=len(y), cases=braces(WORLD.stored(x)), labels=c_array(y), rate=RATE)
    (tmp_path / "src" / "main.c").write_text(text)
    (tmp_path / "made").mkdir()
    said = qemu.printed(firmware.build(tmp_path, target, "net", tmp_path / "made"))
    before, after = (int(n) for n in re.findall(r"\d{3}", said))
    unseen = len(y) // 2
    assert before < 0.8 * unseen
    assert after > before + 0.1 * unseen


@needs_cc
def test_the_command_builds_what_verifies_and_the_header_has_the_step(tmp_path: Path):
    model = tmp_path / "net.tflite"
    model.write_bytes(writer.write(WORLD.graph))
    out = tmp_path / "out"
    run = CliRunner().invoke(
        main, ["build", str(model), "--board", "emu_cortex_m4", "--trainable-head", "-o", str(out)]
    )
    assert run.exit_code == 0, run.output
    header = (out / "lib/net/src/net.h").read_text()
    assert "net_status_t net_train_step(net_ctx_t *ctx, size_t label, float rate);" in header
    assert "#define NET_HEAD_CLASSES 4" in header
    report = json.loads((out / "report.json").read_text())
    assert report["trainable_head"] == {"weights": 96, "biases": 4, "bytes": 4 * (96 + 4 + 4) + HIDDEN}
    assert report["state_bytes"] >= report["trainable_head"]["bytes"]
    assert not [w for w in report["warnings"] if "float32" in w]
    verified = CliRunner().invoke(main, ["verify", str(out), "--on", "native"])
    assert verified.exit_code == 0, verified.output


def test_without_the_option_nothing_of_it_is_emitted():
    sources = library(lower(WORLD.graph, Recipe()), Identity("net", "0" * 64))
    assert not re.search(r"train_step|HEAD|net_head", "".join(sources.values()))


def test_a_head_on_features_that_are_too_wide_is_refused():
    graph = WORLD.graph
    dense = next(n for n in graph.nodes if n.outputs[0] == graph.nodes[-1].inputs[0])
    wide = {dense.inputs[0]: replace(graph.tensors[dense.inputs[0]], dtype="int16")}
    with pytest.raises(Unsupported, match="int16 features"):
        trainable(replace(graph, tensors={**graph.tensors, **wide}))
