"""Model files of other formats -> the bytes of a .tflite, by their own converters.

Keras files and SavedModels go through TensorFlow's converter, in a process of its own: it is large, it prints, and
nothing else here needs it. ONNX goes through onnx2tf, which turns NCHW into NHWC on the way; it pins its packages'
versions, so it is a program beside this one and not a package of it. Sources: tf.lite.TFLiteConverter's documentation;
github.com/PINTO0309/onnx2tf.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from tinycomp.errors import BadInput, ToolMissing
from tinycomp.tflite import reader
from tinycomp.tflite.file import printable

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
KERAS, ONNX, PYTORCH = (".h5", ".hdf5", ".keras"), (".onnx",), (".pt", ".pt2", ".pth")
CUSTOM = "layers of your own are converted where their code is, by tf.lite.TFLiteConverter; give the .tflite"


def contents(path: str | Path) -> bytes:
    """The bytes of a .tflite file, or of one made from a Keras file, a SavedModel's folder or an ONNX file.

    Raises BadInput where the path cannot be read or converted, ToolMissing where the converter is not installed.
    """
    path = Path(path)
    convert = _converter(path)
    if convert is None:
        return reader.contents(path)
    if not path.exists():
        raise BadInput("does not exist", where=str(path), fix="check the path")
    with tempfile.TemporaryDirectory() as folder:
        return reader.contents(convert(path.resolve(), Path(folder)))


def _converter(path: Path) -> Callable[[Path, Path], Path] | None:
    """What makes a .tflite in a folder of the file; None for a .tflite. Raises BadInput where there is no way."""
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise BadInput("is a folder, and no SavedModel: it has no saved_model.pb", where=str(path),
                           fix="give a .tflite, .keras, .h5 or .onnx file, or the folder of a SavedModel")  # fmt: skip
        return _by_tensorflow
    suffix = path.suffix.lower()
    if suffix == ".pb" and path.name == "saved_model.pb":
        raise BadInput("is one file of a SavedModel", where=str(path), fix=f"give its folder, {path.parent}")
    if suffix in PYTORCH:
        raise BadInput("is a PyTorch file, which holds no graph that can be converted from outside", where=str(path),
                       fix="export it in Python: torch.onnx.export(model, example, 'model.onnx'), and give the .onnx; "
                       "or litert_torch.convert(model, example).export('model.tflite')")  # fmt: skip
    return _by_tensorflow if suffix in KERAS else _by_onnx2tf if suffix in ONNX else None


def _by_tensorflow(path: Path, folder: Path) -> Path:
    if find_spec("tensorflow") is None:
        what = "a SavedModel" if path.is_dir() else "a Keras model"
        raise ToolMissing(f"converting {what} needs TensorFlow, which is not installed", where=str(path),
                          fix="pip install 'tinycomp[train]'; or convert it elsewhere with tf.lite.TFLiteConverter "
                          "and give the .tflite")  # fmt: skip
    made = folder / "model.tflite"
    _run([sys.executable, "-m", "tinycomp.formats.by_tensorflow", str(path), str(made)], path, "TensorFlow", CUSTOM)
    return made


def _by_onnx2tf(path: Path, folder: Path) -> Path:
    program = shutil.which("onnx2tf")
    commands = f"onnx2tf -i {path.name} -o converted -b 1; then give converted/{path.stem}_float32.tflite"
    if program is None:
        raise ToolMissing("converting ONNX needs onnx2tf, which is not installed", where=str(path),
                          fix=f"pip install onnx2tf (in an environment of its own); {commands}")  # fmt: skip
    _run([program, "-i", str(path), "-o", str(folder), "-b", "1", "-n"], path, "onnx2tf", f"by hand: {commands}")
    made = sorted(folder.glob("*_float32.tflite"))
    if not made:
        raise BadInput("onnx2tf wrote no *_float32.tflite for it", where=str(path), fix=f"by hand: {commands}")
    return made[0]


def _run(command: Sequence[str], path: Path, who: str, fix: str) -> None:
    """Run a converter. Raises BadInput with its reason."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise BadInput(f"{who} cannot convert it: {_reason(done.stdout, done.stderr) or f'status {done.returncode}'}",
                       where=str(path), fix=fix)  # fmt: skip


def _reason(stdout: str, stderr: str) -> str:
    """The line that says why: the last that stdout calls an error, else the last on stderr."""
    lines, errors = ([line.strip() for line in COLOUR.sub("", text).splitlines()] for text in (stdout, stderr))
    said = [line for line in (*errors, *(line for line in lines if line.startswith("ERROR"))) if line]
    return printable(said[-1]) if said else ""
