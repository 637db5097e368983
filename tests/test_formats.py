"""Models of other formats: the converters are found, run and explained, or the message says how to get them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.quantize.nets import residual
from tinycomp.cli import main
from tinycomp.errors import BadInput, ToolMissing
from tinycomp.formats import files
from tinycomp.tflite import writer

FAKE = '''
"""Stands for TensorFlow: "converts" by handing out the bytes that it was given."""
from pathlib import Path
from types import SimpleNamespace

print("much on stdout")

def load_model(path, compile):
    assert not compile
    if not Path(path).read_bytes():
        raise ValueError("\\nCould not locate class 'Mine'.\\nMore about it.")
    return Path(path)

class TFLiteConverter:
    def __init__(self, content):
        self.convert = lambda: content
    @classmethod
    def from_keras_model(cls, path):
        return cls(path.read_bytes())
    @classmethod
    def from_saved_model(cls, path):
        return cls((Path(path) / "saved_model.pb").read_bytes())

lite = SimpleNamespace(TFLiteConverter=TFLiteConverter)
keras = SimpleNamespace(models=SimpleNamespace(load_model=load_model))
'''
FAKE_ONNX2TF = f"""#!{sys.executable}
import sys
from pathlib import Path
_, flag, model, out, folder, *more = sys.argv
assert (flag, out, *more) == ("-i", "-o", "-b", "1", "-n")
content = Path(model).read_bytes()
if not content:
    print("\\033[31mERROR:\\033[0m no such operator\\nand more")
    sys.exit("Traceback")
for kind in ("float16", "float32")[: len(content)]:
    (Path(folder) / f"{{Path(model).stem}}_{{kind}}.tflite").write_bytes(content if kind == "float32" else b"")
"""


@pytest.fixture
def content() -> bytes:
    """A float32 .tflite."""
    return writer.write(residual())


@pytest.fixture
def models(tmp_path: Path, content: bytes) -> Path:
    """A folder with the "model" in every format."""
    for name in ("net.keras", "net.h5", "net.HDF5", "net.onnx", "saved/saved_model.pb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of that name, here and in processes that are started."""
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "tensorflow.py").write_text(FAKE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.fixture
def onnx2tf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "onnx2tf").write_text(FAKE_ONNX2TF)
    (folder / "onnx2tf").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither converter is installed."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setenv("PATH", "")


@pytest.mark.usefixtures("tensorflow", "onnx2tf")
@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.HDF5", "net.onnx", "saved"])
def test_every_format_is_converted_by_its_own_converter(models, content, name):
    assert files.contents(models / name) == content


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize(("name", "message"), [
    ("net.keras", r"net\.keras: converting a Keras model needs TensorFlow.*pip install 'tinycomp\[train\]'"),
    ("saved", r"saved: converting a SavedModel needs TensorFlow.*pip install 'tinycomp\[train\]'"),
    ("net.onnx", r"pip install onnx2tf.*onnx2tf -i net\.onnx -o converted.*converted/net_float32\.tflite"),
])  # fmt: skip
def test_a_converter_that_is_missing_is_named_with_the_way_to_get_it(models, name, message):
    with pytest.raises(ToolMissing, match=message):
        files.contents(models / name)


@pytest.mark.usefixtures("tensorflow", "onnx2tf")
@pytest.mark.parametrize(("name", "message"), [
    ("net.keras", "TensorFlow cannot convert it: ValueError: Could not locate class 'Mine'.; layers of your own are"),
    ("net.onnx", "onnx2tf cannot convert it: ERROR: no such operator; by hand: onnx2tf -i net.onnx"),
])  # fmt: skip
def test_what_a_converter_says_is_handed_on(models, name, message):
    (models / name).write_bytes(b"")
    with pytest.raises(BadInput) as error:
        files.contents(models / name)
    assert message in str(error.value)


@pytest.mark.usefixtures("onnx2tf")
def test_a_converter_that_writes_nothing_is_caught(models):
    (models / "net.onnx").write_bytes(b"1")
    with pytest.raises(BadInput, match=r"wrote no \*_float32\.tflite"):
        files.contents(models / "net.onnx")


@pytest.mark.parametrize(("name", "message"), [
    ("none.keras", "does not exist"), ("none.onnx", "does not exist"), ("none.tflite", "cannot be read"),
    ("", r"no saved_model\.pb"), ("saved/saved_model.pb", "give its folder"), ("net.pt", r"torch\.onnx\.export"),
])  # fmt: skip
def test_what_cannot_be_converted_is_refused_with_the_way_out(models, name, message):
    with pytest.raises(BadInput, match=message):
        files.contents(models / name)


def tool(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.usefixtures("tensorflow")
def test_inspect_and_build_take_what_was_converted_and_keep_stdout_clean(models, tmp_path, content):
    assert json.loads(tool("inspect", models / "net.keras", "--json").stdout)["problems"] == []
    options = ("--board", "emu_cortex_m4", "--quantize", "none", "--json", "-o", tmp_path / "out")
    done = tool("build", models / "saved", *options)
    assert json.loads(done.stdout)["model"]["name"] == "saved"
    assert (tmp_path / "out" / "model.tflite").read_bytes() == content


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("command", [("inspect",), ("build", "--board", "esp32"), ("quantize", "--data", "x.npz")])
def test_every_command_ends_with_one_message_and_writes_nothing(models, command):
    name, *options = command
    out = () if name == "inspect" else ("-o", models / "out")
    done = tool(name, models / "net.keras", *options, *out)
    assert done.exit_code == 4
    assert done.stderr.count("\n") == 1
    assert "tinycomp[train]" in done.stderr
    assert not (models / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="pip install 'tinycomp[train]' to convert by TensorFlow")
@pytest.mark.parametrize("form", ["net.keras", "net.h5", "saved"])
def test_tensorflow_itself_converts(tmp_path, form):
    made = f"""
import tensorflow as tf
layers = tf.keras.layers
net = tf.keras.Sequential([tf.keras.Input((8, 8, 2)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(5)])
net.export("saved") if {form!r} == "saved" else net.save({form!r})
"""
    subprocess.run([sys.executable, "-c", made], cwd=tmp_path, check=True, capture_output=True)
    facts = json.loads(tool("inspect", tmp_path / form, "--json").stdout)
    assert facts["problems"] == []
    assert [tuple(t["shape"]) for t in facts["inputs"]] == [(1, 8, 8, 2)]
