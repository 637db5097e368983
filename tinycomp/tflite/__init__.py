"""The .tflite format: `read` and `load` make a Graph, `write` is their inverse, `survey` lists what a file holds."""

from __future__ import annotations

from tinycomp.tflite.facts import OperatorFacts, Survey, TensorFacts
from tinycomp.tflite.reader import contents, load, read, survey
from tinycomp.tflite.writer import write

__all__ = ["OperatorFacts", "Survey", "TensorFacts", "contents", "load", "read", "survey", "write"]
