"""The command line starts without loading the compiler."""

from __future__ import annotations

import subprocess
import sys


def loaded(*arguments: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    code = f"""
import sys
from tinycomp.cli import main
try:
    main({list(arguments)!r})
except SystemExit:
    pass
print("\\n".join(sys.modules), file=sys.stderr)
"""
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split())


def test_help_needs_neither_numpy_nor_the_schema_nor_rich():
    modules = loaded("--help")
    assert "click" in modules
    assert modules & {"numpy", "tflite", "rich", "jinja2", "tinycomp.ops"} == set()


def test_nothing_on_the_build_path_imports_tensorflow(tmp_path):
    modules = loaded("build", str(tmp_path / "none.tflite"), "--board", "esp32")
    assert "tinycomp.lower" in modules
    assert modules & {"tensorflow", "tflite_micro", "ai_edge_litert"} == set()
