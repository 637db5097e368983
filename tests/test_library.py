"""The emitted C as its user meets it: names, statuses, instances, determinism."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.ops.test_conv2d import convolution
from tests.support import needs_cc, random_inputs, reference, run_program, same
from tinycomp.emit.library import Identity, c_name, checked_name, library
from tinycomp.errors import BadInput
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.lower import lower
from tinycomp.ops.conv2d import Conv2D
from tinycomp.program import Recipe

HOSTILE = 'x*/ #include "/etc/passwd"\n" \\ %s /* {{ 1 }} \u202e'


def small() -> Graph:
    """One convolution."""
    return convolution(5, 5, 3, 4, (3, 3), (1, 1), (1, 1), 0, "relu")


def twins() -> Graph:
    """Two convolutions of one shape with weights and zero points of their own."""
    g = convolution(6, 6, 4, 4, (3, 3), (1, 1), (1, 1), 0, "none")
    attrs = g.nodes[0].attrs
    assert isinstance(attrs, Conv2D)
    w, b, out = (g.tensors[name] for name in ("w", "b", "out"))
    assert w.data is not None
    assert b.data is not None
    own = [replace(w, name="w2", data=w.data[::-1].copy()), replace(b, name="b2", data=b.data[::-1].copy())]
    tensors = {**g.tensors, **{t.name: t for t in (*own, replace(out, name="end"))}}
    return Graph("twins", tensors, (*g.nodes, Node("conv2d_1", attrs, ("out", "w2", "b2"), ("end",))), ("x",), ("end",))


def emit(folder: Path, graph: Graph, name: str = "net", **recipe) -> Path:
    """Write the library's three files."""
    for file, text in library(lower(graph, Recipe(**recipe)), Identity(name, "0" * 64)).items():
        (folder / file).write_text(text)
    return folder


def compiled(folder: Path, main: str, *sources: str) -> str:
    """Compile a main with the sources and run it under sanitizers; returns its output."""
    (folder / "main.c").write_text(main)
    checks = ["-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", "-std=c11", *checks, "main.c", *sources, "-lm", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    return subprocess.run([str(folder / "main")], check=True, capture_output=True, text=True).stdout


def test_equal_programs_give_equal_bytes():
    first, second = (library(lower(small(), Recipe()), Identity("net", "0" * 64)) for _ in range(2))
    assert first == second


@needs_cc
def test_the_files_compile_without_a_warning_in_both_compilers_and_as_c_plus_plus(tmp_path):
    emit(tmp_path, twins())
    strict = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-pedantic", "-Werror", "-c"]
    compilers = [["gcc", "-std=c99"], ["g++", "-x", "c++", "-std=c++11"], ["clang", "-std=c99"]]
    for compiler in compilers:
        if not shutil.which(compiler[0]):
            pytest.skip(f"{compiler[0]} is not installed")
        for file in ("net.c", "net_data.c"):
            if compiler[0] == "g++":
                (tmp_path / "use.cpp").write_text('#include "net.h"\nint main() { return NET_OK; }\n')
                subprocess.run(["g++", *strict, "use.cpp", "-o", "/dev/null"], cwd=tmp_path, check=True)
            else:
                subprocess.run([*compiler, *strict, file, "-o", "/dev/null"], cwd=tmp_path, check=True)


@needs_cc
def test_every_visible_symbol_has_the_models_prefix(tmp_path):
    emit(tmp_path, twins(), "kws")
    subprocess.run(["gcc", "-std=c99", "-c", "kws.c", "kws_data.c"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        ["nm", "-g", "--defined-only", "kws.o", "kws_data.o"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    symbols = [line.split()[-1] for line in listed.stdout.splitlines() if len(line.split()) == 3]
    assert symbols
    assert [s for s in symbols if not s.startswith("kws_")] == []


@needs_cc
def test_wrong_calls_give_a_status_and_touch_nothing(tmp_path):
    emit(tmp_path, small())
    main = """
#include "net.h"
#include <stdio.h>
#include <string.h>
static _Alignas(16) uint8_t arena[NET_ARENA_SIZE + 16];
int main(void) {
  net_ctx_t ctx;
  memset(arena, 7, sizeof arena);
  printf("%d ", net_init(NULL, arena, sizeof arena));
  printf("%d ", net_init(&ctx, NULL, sizeof arena));
  printf("%d ", net_invoke(&ctx));
  printf("%d ", net_init(&ctx, arena, NET_ARENA_SIZE - 1));
  printf("%d ", net_init(&ctx, arena + 1, NET_ARENA_SIZE));
  printf("%d ", net_invoke(&ctx));
  printf("%d ", net_input(&ctx, 0) == NULL && net_output(&ctx, 0) == NULL);
  for (size_t i = 0; i < sizeof arena; i++) if (arena[i] != 7) return 1;
  printf("%d ", net_init(&ctx, arena, NET_ARENA_SIZE));
  printf("%d ", net_input(&ctx, NET_NUM_INPUTS) == NULL && net_output(&ctx, NET_NUM_OUTPUTS) == NULL);
  printf("%d %d", net_invoke(&ctx), net_reset(NULL));
  return 0;
}
"""
    # BAD_ARGUMENT 3, TOO_SMALL 1, MISALIGNED 2
    assert compiled(tmp_path, main, "net.c", "net_data.c") == "3 3 3 1 2 3 1 0 1 0 3"


@needs_cc
def test_two_models_and_two_instances_run_side_by_side(tmp_path):
    emit(tmp_path, small(), "one")
    emit(tmp_path, twins(), "two")
    main = """
#include "one.h"
#include "two.h"
#include <stdio.h>
#include <string.h>
static _Alignas(16) uint8_t a[ONE_ARENA_SIZE], b[ONE_ARENA_SIZE], c[TWO_ARENA_SIZE];
int main(void) {
  one_ctx_t p, q; two_ctx_t r;
  one_init(&p, a, sizeof a); one_init(&q, b, sizeof b); two_init(&r, c, sizeof c);
  memset(one_input(&p, 0), 5, ONE_INPUT0_BYTES);
  memset(one_input(&q, 0), -5, ONE_INPUT0_BYTES);
  memset(two_input(&r, 0), 9, TWO_INPUT0_BYTES);
  one_invoke(&p); two_invoke(&r); one_invoke(&q);
  const int8_t *x = one_output(&p, 0), *y = one_output(&q, 0), *z = two_output(&r, 0);
  printf("%d %d %d", x[40], y[40], z[40]);
  return 0;
}
"""
    printed = [int(v) for v in compiled(tmp_path, main, "one.c", "one_data.c", "two.c", "two_data.c").split()]
    wanted = [
        reference(g, [np.full(g.tensors["x"].shape, v, np.int8)])[0].ravel()[40]
        for g, v in ((small(), 5), (small(), -5), (twins(), 9))
    ]
    assert printed == wanted


@needs_cc
@pytest.mark.parametrize("opt", ["size", "speed", "balanced"])
def test_layers_that_share_a_function_keep_their_own_numbers(opt):
    graph = twins()
    program = lower(graph, Recipe(opt=opt))
    assert len(program.functions) == (1 if opt == "size" else 2)
    cases = random_inputs(graph)
    for k, answer in enumerate(run_program(program, cases)):
        same(answer, reference(graph, cases[k]), f"--opt {opt}, case {k}")


@needs_cc
def test_nothing_from_the_model_file_gets_into_the_c(tmp_path):
    g = small()
    tensors = {n: Tensor(f"{n}{HOSTILE}", t.shape, t.dtype, t.quant, t.data) for n, t in g.tensors.items()}
    renamed = {t.name: t for t in tensors.values()}
    node = Node("conv2d_0", g.nodes[0].attrs, tuple(tensors[i].name for i in g.nodes[0].inputs), (tensors["out"].name,))
    graph = Graph(HOSTILE, renamed, (node,), (tensors["x"].name,), (tensors["out"].name,))
    emit(tmp_path, graph)
    text = "".join(p.read_text() for p in tmp_path.glob("net*"))
    assert '#include "/etc' not in text
    assert "\u202e" not in text
    assert "{{" not in text
    subprocess.run(
        ["gcc", "-std=c99", "-Werror", "-Wall", "-pedantic", "-c", "net.c", "net_data.c"], cwd=tmp_path, check=True
    )


@pytest.mark.parametrize(("text", "name"), [
    ("kws_int8", "kws_int8"),
    ("My Model.v2", "my_model_v2"),
    ("3d-net", "model_3d_net"),
    ("int", "int_model"),
    ("", "model"),
    ("é*/", "model"),
    ("a" * 90, "a" * 48),
])  # fmt: skip
def test_any_text_becomes_a_c_prefix(text, name):
    assert c_name(text) == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", c_name(text))


@pytest.mark.parametrize("name", ["", "3x", "a-b", "Int", "while", "x" * 65, "a;b"])
def test_a_name_that_is_no_c_prefix_is_refused_with_one_that_is(name):
    with pytest.raises(BadInput, match="--name"):
        checked_name(name)


@needs_cc
def test_pushed_rows_frame_after_frame_with_and_without_reset(tmp_path):
    emit(tmp_path, twins(), stream="push")
    main = """
#include "net.h"
#include <stdio.h>
#include <string.h>
static _Alignas(16) uint8_t arena[NET_ARENA_SIZE];
static net_ctx_t ctx;
static int8_t row[NET_INPUT0_ROW_BYTES];
static int frame(int seed) {
  int status = -1;
  for (int r = 0; r < NET_INPUT0_ROWS; r++) {
    for (size_t i = 0; i < sizeof row; i++) row[i] = (int8_t)(seed * 31 + r * 7 + (int)i);
    status = net_push_row(&ctx, row);
    if (status != (r + 1 == NET_INPUT0_ROWS ? NET_OK : NET_ERROR_NOT_READY)) return -1000;
  }
  const int8_t *y = net_output(&ctx, 0);
  int sum = 0;
  for (int i = 0; i < NET_OUTPUT0_ELEMENTS; i++) sum = (sum * 5 + y[i]) & 0xffff;
  return sum;
}
int main(void) {
  if (net_push_row(&ctx, row) != NET_ERROR_BAD_ARGUMENT) return 1;
  net_init(&ctx, arena, sizeof arena);
  if (net_push_row(&ctx, NULL) != NET_ERROR_BAD_ARGUMENT || net_push_row(NULL, row) != NET_ERROR_BAD_ARGUMENT) return 2;
  if (net_input(&ctx, 0) != NULL || net_invoke(&ctx) != NET_ERROR_NOT_READY) return 3;
  const int a = frame(1), b = frame(2);
  net_push_row(&ctx, row); /* half a frame, forgotten */
  net_reset(&ctx);
  printf("%d", a == frame(1) && b == frame(2) && a == frame(1) && a != b && a >= 0);
  return 0;
}
"""
    assert compiled(tmp_path, main, "net.c", "net_data.c") == "1"
