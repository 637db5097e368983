"""Custom operators: the example of the how-to from end to end, what the files may say, and every refusal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.rules.nets import Net
from tests.support import needs_cc
from tests.test_build import tool
from tinycomp import api, frontend, tflite
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ops import custom
from tinycomp.ops.custom import Custom, Definition
from tinycomp.ops.relu import Relu
from tinycomp.tflite import writer

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "howto" / "custom.md").read_text()
WIDTH = 20
# A weighted sum of an input and a constant, whose template names every value that there is.
BLEND = """{{ signature }}
{
  const {{ types[0] }} *x = (const {{ types[0] }} *){{ inputs[0] }};
  {{ out_type }} *y = ({{ out_type }} *)out;
  for (int i = 0; i < {{ elements[0] }}; i++) {
    y[i] = ({{ out_type }})(({{ by }} * x[i] + {{ inputs[1] }}[i % {{ shapes[1][0] }}]) / {{ out_shape[0] * 4 }});
  }
}
"""
MEANING = """
import numpy as np
def infer(shapes, dtypes, options):
    assert len(shapes) == 2 and dtypes[1] == "int8"
    return [(shapes[0], "int8")]
def numbers(options, quant):
    return {"by": options[0] if options else 1}
def reference(arrays, options, quant):
    x, c = (a.astype(int) for a in arrays)
    total = numbers(options, quant)["by"] * x + c
    return (np.sign(total) * (np.abs(total) // 4)).astype(np.int8)
"""


def definition(folder: Path, name: str, template: str, python: str) -> Definition:
    """Write the two files and load them."""
    (folder / f"{name.lower()}.c.j2").write_text(template)
    (folder / f"{name.lower()}.py").write_text(python)
    return custom.load(name, folder / f"{name.lower()}.c.j2")


@pytest.fixture
def deadband(tmp_path: Path) -> Definition:
    """The how-to's operator, in files of a folder."""
    (python,), (template,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "jinja"))
    return definition(tmp_path, "Deadband", template, python)


def with_deadband(folder: Path, deadband: Definition, dtype="int8", widths=(WIDTH,)) -> Path:
    """A model file: a convolution with a dead channel, a dead band for each width, a dense layer."""
    net = Net(dtype)
    x = net.conv(net.input(1, 5, 4, 2), 3, dead=[1])
    for width in widths:
        x = net.op(Custom(deadband, width.to_bytes(4, "little")), x)
    path = folder / "net.tflite"
    path.write_bytes(writer.write(net.graph(net.op(Relu(), x))))
    return path


def option(deadband: Definition) -> tuple[str, str]:
    """What the command line is given."""
    return "--custom-op", f"Deadband={deadband.path}"


@needs_cc
def test_the_how_to_builds_and_verifies(tmp_path: Path, deadband: Definition):
    model, out = with_deadband(tmp_path, deadband, widths=(WIDTH, 2)), tmp_path / "out"
    made = tool("build", model, "--board", "emu_cortex_m4", "-o", out, *option(deadband))
    assert made.exit_code == 0, made.output
    for kept in ("Deadband.c.j2", "Deadband.py"):
        assert (out / "custom" / kept).read_text() == (tmp_path / kept.replace("D", "d")).read_text()
        assert f"custom/{kept}" in json.loads((out / "tinycomp.json").read_text())["files"]
    source = (out / "lib" / "net" / "src" / "net.c").read_text()
    assert re.search(rf"void custom_deadband_1\(.*?distance < {WIDTH} &&.*?void custom_deadband_2\(.*?distance < 2 &&",
                     source, re.DOTALL)  # fmt: skip
    done = tool("verify", out)
    assert done.exit_code == 0, done.output
    assert "outputs equal to the last bit" in done.output


@needs_cc
def test_verify_finds_c_that_does_not_do_what_the_python_says(tmp_path: Path, deadband: Definition):
    wrong = definition(
        tmp_path, "Deadband", deadband.template.replace("? {{ zero }}", "? {{ zero + 1 }}"), deadband.python
    )
    model, out = with_deadband(tmp_path, wrong), tmp_path / "out"
    assert tool("build", model, "--board", "emu_cortex_m4", "-o", out, *option(wrong)).exit_code == 0
    done = tool("verify", out)
    assert done.exit_code == 1
    assert re.search(r"layer 1 custom_1: case \d+: tensor", done.output), done.output


def test_building_again_replaces_the_kept_files(tmp_path: Path, deadband: Definition):
    model, out = with_deadband(tmp_path, deadband), tmp_path / "out"
    for _ in range(2):
        assert tool("build", model, "--board", "emu_cortex_m4", "-o", out, *option(deadband)).exit_code == 0
        assert (out / "custom" / "Deadband.py").read_text() == deadband.python
        (out / "custom" / "Deadband.py").write_text("raise SystemExit")


@needs_cc
def test_constants_reach_the_kernel_and_equal_uses_share_a_function(tmp_path: Path):
    blend = definition(tmp_path, "My.Blend", BLEND, MEANING)
    net = Net()
    c = net.constant(np.array([100, -7, 3], np.int8), net.quant())
    y = net.op(Custom(blend, b"\x03"), net.op(Custom(blend, b"\x03"), net.input(1, 4, 3), c), c)
    (tmp_path / "m.tflite").write_bytes(writer.write(net.graph(y)))
    made = api.compile(tmp_path / "m.tflite", "emu_cortex_m4", custom_ops={"My.Blend": blend.path})
    assert len(re.findall(r"static void custom_my_blend_\d+\(", made.sources["m.c"])) == 1
    assert api.verify(made.write(tmp_path / "out"), cases=10).worst == 0.0


def test_the_file_keeps_name_and_options(tmp_path: Path, deadband: Definition):
    data = with_deadband(tmp_path, deadband, widths=(WIDTH, 3)).read_bytes()
    found = tflite.read(data, "m", [deadband])
    assert [n.attrs.options for n in found.nodes if isinstance(n.attrs, Custom)] == [
        bytes([WIDTH, 0, 0, 0]),
        b"\3\0\0\0",
    ]
    assert writer.write(found) == data


@pytest.mark.parametrize("command", ["build", "inspect"])
def test_without_the_option_the_refusal_names_operator_and_option(tmp_path: Path, deadband: Definition, command: str):
    more = ("--board", "emu_cortex_m4", "-o", tmp_path / "out") if command == "build" else ()
    done = tool(command, with_deadband(tmp_path, deadband), *more)
    assert done.exit_code == 2
    text = " ".join(done.output.split())
    assert "(custom 'Deadband'): is not supported" in text
    assert "`tinycomp build --custom-op Deadband=FILE.c.j2`" in text


def test_inspect_takes_the_option(tmp_path: Path, deadband: Definition):
    done = tool("inspect", with_deadband(tmp_path, deadband), "--json", *option(deadband))
    operators = json.loads(done.output)["operators"]
    assert [(op["builtin"], op["status"]) for op in operators if op["builtin"] == "Deadband"] == [("Deadband", "kept")]


SAME = "def infer(shapes, dtypes, options): return [(shapes[0], dtypes[0])]\n"
PLAIN = SAME + "def reference(arrays, options, quant): return arrays[0]\n"


@pytest.mark.parametrize(
    ("template", "python", "fault"),
    [
        ("void f() {}", PLAIN, r"x\.c\.j2: does not write \{\{ signature \}\}"),
        ("{{ signature }}", "def infer(:", r"x\.py: cannot be run \(SyntaxError"),
        ("{{ signature }}", SAME, r"x\.py: defines no function reference"),
    ],
)
def test_files_that_do_not_make_an_operator_are_refused(tmp_path: Path, template: str, python: str, fault: str):
    with pytest.raises(BadInput, match=fault):
        definition(tmp_path, "X", template, python)


@pytest.mark.parametrize("name", ["", "../X", "a b", "X\n"])
def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str):
    with pytest.raises(BadInput, match=r"--custom-op NAME=FILE\.c\.j2"):
        custom.load(name, tmp_path / "x.c.j2")


def test_a_missing_python_file_is_named(tmp_path: Path):
    (tmp_path / "x.c.j2").write_text("{{ signature }} {}")
    with pytest.raises(BadInput, match=r"x\.py: cannot be read .*needs FILE\.py beside it"):
        custom.load("X", tmp_path / "x.c.j2")


@pytest.mark.parametrize(
    ("python", "fault"),
    [
        ("def infer(s, d, o): return 5\n", r"infer returned 5, not \[\(shape, dtype\)\]"),
        ("def infer(s, d, o): return [(s[0], 'int5')]\n", r"infer returned the dtype 'int5'"),
        ("def infer(s, d, o): return 1 // 0\n", r"x\.py: infer raised ZeroDivisionError"),
        ("def numbers(o, q): return {'signature': 1}\n", r"numbers names a value 'signature'"),
        ("def numbers(o, q): return {'code': 'system()'}\n", r"numbers gives code the value 'system\(\)'"),
        ("def numbers(o, q): return {'x': float('nan')}\n", r"numbers gives x the value nan"),
        ("def numbers(o, q): return 7\n", r"numbers returned 7"),
    ],
)
def test_what_the_python_file_says_wrong_is_told_with_its_name(tmp_path: Path, python: str, fault: str):
    sound = definition(tmp_path, "X", "{{ signature }} {}", PLAIN)
    net = Net()
    data = writer.write(net.graph(net.op(Custom(sound), net.input(1, 4))))
    wrong = definition(tmp_path, "X", "{{ signature }} {}", PLAIN + python)
    with pytest.raises(BadInput, match=fault):
        api.compile(data, "emu_cortex_m4", custom_ops={"X": wrong.path})


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{{ signature }} {% if %}", r"\(custom\): cannot be rendered \(line 1: "),
        ("{{ signature }} {{ nothing }}", "'nothing' is undefined"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused(tmp_path: Path, template: str, fault: str):
    broken = definition(tmp_path, "X", template, PLAIN)
    net = Net()
    data = writer.write(net.graph(net.op(Custom(broken), net.input(1, 4))))
    with pytest.raises(BadInput, match=fault):
        api.compile(data, "emu_cortex_m4", custom_ops={"X": broken.path})


def test_a_reference_of_another_shape_than_inferred_is_refused(tmp_path: Path):
    cut = definition(tmp_path, "X", "{{ signature }} {}", SAME + "def reference(a, o, q): return a[0][:, 1:]\n")
    net = Net()
    graph = net.graph(net.op(Custom(cut), net.input(1, 4)))
    with pytest.raises(BadInput, match=r"reference returned int8\[1, 3\]; infer says int8\[1, 4\]"):
        cut.operator.reference(graph.nodes[0], graph, [np.zeros((1, 4), np.int8)])


HALVED = """
def infer(shapes, dtypes, options): return [(shapes[0], dtypes[0])]
def reference(arrays, options, quant): return arrays[0] * arrays[0].dtype.type(0.5)
"""
HALF = """{{ signature }}
{
  for (int i = 0; i < {{ out_elements }}; i++) ((float *)out)[i] = 0.5f * ((const float *){{ inputs[0] }})[i];
}
"""


@needs_cc
def test_a_float_model_is_quantized_around_it(tmp_path: Path):
    half = definition(tmp_path, "Half", HALF, HALVED)
    net = Net("float32")
    x = net.conv(net.input(1, 5, 4, 2), 3)
    path = tmp_path / "net.tflite"
    path.write_bytes(writer.write(net.graph(net.conv(net.op(Custom(half), x), 2))))
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(40, 5, 4, 2)).astype(np.float32))
    given = ("--custom-op", f"Half={half.path}")
    done = tool("quantize", path, "--data", tmp_path / "data.npy", "-o", tmp_path / "q.tflite", *given)
    assert done.exit_code == 0, done.output
    graph = frontend.front(frontend.load(tmp_path / "q.tflite", (half,))).graph
    assert [n.op for n in graph.nodes] == ["conv2d", "dequantize", "custom", "quantize", "conv2d"]
    assert (
        tool("build", tmp_path / "q.tflite", "--board", "emu_cortex_m4", "-o", tmp_path / "out", *given).exit_code == 0
    )
    done = tool("verify", tmp_path / "out")
    assert done.exit_code == 0, done.output


def test_two_outputs_are_refused(tmp_path: Path, deadband: Definition):
    net = Net()
    graph = net.graph(net.op(Custom(deadband, b"\1"), net.input(1, 4)))
    node = graph.nodes[0]
    two = type(node)(node.name, node.attrs, node.inputs, (*node.outputs, "more"))
    with pytest.raises(Unsupported, match="has 2 outputs"):
        deadband.operator.infer(two, graph)


def test_several_models_in_one_firmware_take_no_custom_operators(deadband: Definition, tmp_path: Path):
    given = f"{deadband.name}={tmp_path / 'deadband.c.j2'}"
    done = tool("build", "a.tflite", "b.tflite", "--board", "esp32", "--custom-op", given, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "--custom-op: several models in one firmware do not take it" in done.stderr
