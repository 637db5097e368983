"""--tools-required turns a skip for want of a tool into a failure, and only that."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = """
import pytest

@pytest.mark.skipif(True, reason="gcc is not installed")
def test_mark(): ...

@pytest.mark.skipif(True, reason="reference models (../shared/models) are not here")
def test_shared(): ...

def test_call():
    pytest.skip("clang is not installed")

@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    assert False
"""
WHOLE_FILE = "import pytest\npytest.importorskip('no_such_package')\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "status", "summary"),
    [
        ((), 0, "4 skipped, 1 xfailed"),
        (("--tools-required",), 1, "1 failed, 1 skipped, 1 xfailed, 2 errors"),
    ],
)
def test_a_missing_tool_fails_the_run_only_where_tools_are_required(
    tmp_path: Path, flags: tuple[str, ...], status: int, summary: str
):
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_skips.py").write_text(SKIPS)
    (tmp_path / "test_whole_file.py").write_text(WHOLE_FILE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--continue-on-collection-errors", *flags, "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, summary in done.stdout) == (status, True), done.stdout
