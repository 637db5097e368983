"""`tinycomp quantize` and `tinycomp build --data` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.quantize.nets import images, residual
from tests.support import needs_cc
from tests.test_library import small
from tinycomp.cli import main
from tinycomp.tflite import reader, writer


def tool(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model and its data."""
    made = tmp_path_factory.mktemp("quantize")
    (made / "net.tflite").write_bytes(writer.write(residual()))
    (made / "whole.tflite").write_bytes(writer.write(small()))
    np.savez(made / "data.npz", x=images(40), y=np.arange(40) % 5)
    np.savez(made / "turned.npz", x=images(40).transpose(0, 3, 1, 2))
    return made


def quantize(folder: Path, out: Path, *more: object, model: str = "net.tflite", data: str = "data.npz") -> Result:
    """`tinycomp quantize`."""
    return tool("quantize", folder / model, "--data", folder / data, "-o", out, *more)


def test_a_float_model_becomes_a_full_integer_file(folder, tmp_path):
    out = tmp_path / "made" / "net.tflite"
    done = quantize(folder, out)
    assert done.exit_code == 0, done.stderr
    graph = reader.read(out.read_bytes())
    assert {t.dtype for t in graph.tensors.values()} == {"int8", "int32"}
    assert (folder / "net.tflite").read_bytes() == writer.write(residual())
    for word in ("SQNR", "held out", "top1, quantized", "equalise", "worst layer", "40 cases are few"):
        assert word in done.stdout


def test_json_is_the_facts_and_nothing_else(folder, tmp_path):
    out = tmp_path / "net.tflite"
    facts = json.loads(quantize(folder, out, "--correct", "bias", "--json").stdout)
    assert facts["out_bytes"] == len(out.read_bytes())
    assert facts["accuracy"]["corrections"][0]["name"] == "bias"
    assert facts["accuracy"]["score"]["name"] == "top1"


@pytest.mark.parametrize("io", ["int8", "int16", "float32"])
def test_inputs_and_outputs_have_the_type_asked_for(folder, tmp_path, io):
    out = tmp_path / "net.tflite"
    options = ("--io", io, "--correct", "none", "--observer", "percentile", "--dense", "per-tensor")
    assert quantize(folder, out, *options).exit_code == 0
    graph = reader.read(out.read_bytes())
    assert {graph.tensors[n].dtype for n in (*graph.inputs, *graph.outputs)} == {io}


def test_int16x8_is_the_specification_of_16x8(folder, tmp_path):
    out = tmp_path / "net.tflite"
    assert quantize(folder, out, "--to", "int16x8").exit_code == 0
    graph = reader.read(out.read_bytes())
    assert {graph.tensors[n].dtype for n in (*graph.inputs, *graph.outputs)} == {"int16"}
    layers = [node for node in graph.nodes if len(node.inputs) == 3]
    assert {tuple(t.dtype for t in graph.ins(node)) for node in layers} == {("int16", "int8", "int64")}
    assert not any(graph.out(node).zero_point for node in graph.nodes)


@pytest.mark.parametrize(("data", "more", "message"), [
    ("turned.npz", [], "NCHW"),
    ("none.npz", [], "does not exist"),
    ("data.npz", ["--to", "mixed"], "give --to mixed --weights 55%"),
    ("data.npz", ["--weights", "55%"], "is for mixed precision only"),
    ("data.npz", ["--to", "mixed", "--weights", "0%"], "'0%' is no share"),
    ("data.npz", ["--correct", "magic"], "there is no correction 'magic'"),
    ("data.npz", ["--pixels", "1:0"], "LOW:HIGH"),
])  # fmt: skip
def test_bad_input_is_one_message_and_nothing_is_written(folder, tmp_path, data, more, message):
    done = quantize(folder, tmp_path / "out.tflite", *more, data=data)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []


def damaged(folder: Path, what: str) -> Path:
    """Calibration data with one fault."""
    x, path = images(40), folder / f"{what}.npz"
    if what == "picture":
        (folder / what).mkdir()
        (folder / what / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        return folder / what
    if what == "text":
        path.write_text("1, 2, 3")
        return path
    late = np.arange(40).reshape(-1, 1, 1, 1) == 31
    faults = {
        "nan": np.where(late, np.float32(np.nan), x), "infinity": np.where(late, np.float32(np.inf), x),
        "narrow": x[:, :, :7], "whole": (x * 10).astype(np.int64), "words": np.full(40, "x"), "none": x[:0],
        "constant": np.zeros_like(x), "truths": x > 0,
    }  # fmt: skip
    labels = {"labels": np.arange(39) % 5, "classes": np.arange(40) % 6}
    np.savez(path, x=faults.get(what, x), **({"y": labels[what]} if what in labels else {}))
    return path


@pytest.mark.parametrize(("what", "message"), [
    ("narrow", "narrow.npz, x: has the shape [40, 8, 7, 3], expected [cases, 8, 8, 3]"),
    ("whole", "whole.npz, x: is int64, the model takes float32"),
    ("words", "words.npz, x: is <U1, the model takes float32"),
    ("truths", "truths.npz, x: is bool, the model takes float32"),
    ("nan", "nan.npz, x, index 31: holds NaN (192 of 192 values"),
    ("infinity", "infinity.npz, x, index 31: holds infinity"),
    ("none", "none.npz: holds no cases; give 100 to 500"),
    ("constant", "constant.npz, x: every value of the input"),
    ("labels", "labels.npz, y: has 39 labels, the data 40 cases"),
    ("classes", "classes.npz, y, index 5: label 5 is not one of 0 … 4"),
    ("picture", "a.png: does not decode"),
    ("text", "text.npz: is not a numpy file"),
])  # fmt: skip
@pytest.mark.parametrize("command", ["quantize", "build"])
def test_every_fault_of_the_data_names_the_file_and_the_case(folder, tmp_path, command, what, message):
    if what == "picture":
        pytest.importorskip("PIL.Image", reason="pip install pillow")
    given = ("--data", damaged(tmp_path, what), "--pixels", "0:1")
    out = tmp_path / "out"
    where = ("-o", out) if command == "quantize" else ("-o", out, "--board", "emu_cortex_m4")
    done = tool(command, folder / "net.tflite", *given, *where)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_a_model_of_integers_is_refused(folder, tmp_path):
    done = quantize(folder, tmp_path / "out.tflite", model="whole.tflite")
    assert done.exit_code == 2
    assert "integers already" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_model_itself_is_not_overwritten(folder):
    path = folder / "net.tflite"
    done = quantize(folder, path, "--correct", "none")
    assert done.exit_code == 2
    assert "is the model itself" in done.stderr
    assert path.read_bytes() == writer.write(residual())


def build(folder: Path, out: Path, *more: object, model: str = "net.tflite") -> Result:
    """`tinycomp build` for an emulated Cortex-M4."""
    return tool("build", folder / model, "--board", "emu_cortex_m4", "-o", out, *more)


@needs_cc
@pytest.mark.parametrize(("kind", "dtype"), [("auto", "int8"), ("int16x8", "int16")])
def test_a_build_quantizes_on_the_way_and_verifies(folder, tmp_path, kind, dtype):
    out = tmp_path / "out"
    done = build(folder, out, "--quantize", kind, "--data", folder / "data.npz")
    assert done.exit_code == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["accuracy"]["score"]["name"] == "top1"
    assert report["accuracy"]["agreement"] > 0.8
    assert {p["dtype"] for p in (*report["inputs"], *report["outputs"])} == {dtype}
    assert "Accuracy against the float model" in (out / "report.txt").read_text()
    assert "int8" in {t.dtype for t in reader.read((out / "model.tflite").read_bytes()).tensors.values()}
    verified = tool("verify", out, "--cases", 4)
    assert verified.exit_code == 0, verified.stderr
    assert "equal to the last bit" in verified.stdout


@pytest.mark.parametrize("more", [(), ("--quantize", "int8")])
def test_a_float_model_without_data_says_what_to_give(folder, tmp_path, more):
    done = build(folder, tmp_path / "out", *more)
    assert done.exit_code == 2
    assert "--data FILE" in done.stderr
    assert "--quantize none" in done.stderr
    assert not (tmp_path / "out").exists()


def test_quantize_none_is_float_c(folder, tmp_path):
    assert build(folder, tmp_path / "out", "--quantize", "none").exit_code == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["accuracy"] is None
    assert report["inputs"][0]["dtype"] == "float32"


@needs_cc
def test_mixed_precision_is_int8_where_flash_suffices_and_some_int4_where_not(folder, tmp_path):
    more = ("--quantize", "mixed", "--data", folder / "data.npz")
    assert build(folder, tmp_path / "roomy", *more).exit_code == 0
    roomy = json.loads((tmp_path / "roomy" / "report.json").read_text())
    assert roomy["accuracy"]["precisions"] == []
    flash = roomy["flash_bytes"] - 150
    done = build(folder, tmp_path / "tight", *more, "--flash", flash)
    assert done.exit_code == 0, done.stderr
    tight = json.loads((tmp_path / "tight" / "report.json").read_text())
    assert tight["flash_bytes"] <= flash
    assert "int4" in {c["precision"] for c in tight["accuracy"]["precisions"]}
    assert "Precision of the layers" in (tmp_path / "tight" / "report.txt").read_text()
    assert tool("verify", tmp_path / "tight", "--cases", 3).exit_code == 0


def test_mixed_precision_that_is_not_small_enough_is_refused_with_the_least_there_is(folder, tmp_path):
    done = quantize(folder, tmp_path / "net.tflite", "--to", "mixed", "--weights", "49%")
    assert done.exit_code == 3
    assert "even as int4" in done.stderr
    assert not (tmp_path / "net.tflite").exists()


@pytest.mark.parametrize("more", [(), ("--quantize", "int8"), ("--quantize", "none")])
def test_a_model_of_integers_is_built_as_it_is(folder, tmp_path, more):
    assert build(folder, tmp_path / "out", *more, model="whole.tflite").exit_code == 0
    assert (tmp_path / "out" / "model.tflite").read_bytes() == (folder / "whole.tflite").read_bytes()
