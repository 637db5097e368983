"""The same float model quantized by others, from the same data: run by a Python that has them (see quantize.py).

    python benchmarks/quantize_peers.py MODEL.tflite CALIBRATION.npy FOLDER

Writes FOLDER/converter.tflite (TensorFlow's converter on a calibrated .tflite) and FOLDER/ai_edge.tflite
(ai-edge-quantizer, static int8), as far as the packages are there; what fails is said on stdout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def converter(model: bytes, x: Any, _: Path) -> bytes:
    """What TFLiteConverter does after its own conversion: calibrate, then quantize every operator."""
    import tensorflow as tf
    from tensorflow.lite.python import convert
    from tensorflow.lite.python.optimize import calibrator

    calibrated = calibrator.Calibrator(model).calibrate(lambda: ([case[None]] for case in x))
    return bytes(convert.mlir_quantize(calibrated, False, True, 9, tf.int8, tf.int8))


def ai_edge(model: bytes, x: Any, folder: Path) -> bytes:
    """ai-edge-quantizer's static recipe with int8 weights and activations."""
    from ai_edge_quantizer import quantizer, recipe

    path = folder / "signed.tflite"
    path.write_bytes(_signed(model))
    made = quantizer.Quantizer(str(path))
    made.load_quantization_recipe(recipe.static_wi8_ai8())
    name = _input_name(path)
    seen = made.calibrate({"serving_default": [{name: case[None]} for case in x]})
    return bytes(made.quantize(seen).quantized_model)


def _input_name(path: Path) -> str:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path)).get_signature_list()["serving_default"]["inputs"][0]


def _signed(model: bytes) -> bytes:
    """The model as the quantizer insists on it: with a signature, operators by their newer code."""
    from ai_edge_litert import schema_py_generated as schema

    held = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    for code in held.operatorCodes:  # old files have the deprecated one alone, and all reads as ADD
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    if held.signatureDefs:
        return _packed(held)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    graph = held.subgraphs[0]
    signature.inputs = [_entry(schema, f"input{k}", i) for k, i in enumerate(graph.inputs)]
    signature.outputs = [_entry(schema, f"output{k}", i) for k, i in enumerate(graph.outputs)]
    held.signatureDefs = [signature]
    return _packed(held)


def _packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _entry(schema: Any, name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, int(index)
    return entry


PEERS: dict[str, Callable[[bytes, Any, Path], bytes]] = {"converter": converter, "ai_edge": ai_edge}


def main(model: str, calibration: str, out: str) -> None:
    """Quantize with every peer that is installed."""
    x, folder = np.load(calibration), Path(out)
    for name, quantize in PEERS.items():
        try:
            (folder / f"{name}.tflite").write_bytes(quantize(Path(model).read_bytes(), x, folder))
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {str(error)[:200]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
