"""L2_POOL_2D: the reference against TensorFlow Lite Micro, the kernel against the reference."""

from __future__ import annotations

import pytest

from tests.ops.elementwise import panel
from tests.ops.test_pool import GRID, pooled
from tests.support import check_operator
from tinycomp.errors import Unsupported
from tinycomp.ops.l2_pool2d import L2Pool2D


def test_windows_are_pooled_as_in_the_interpreter():
    check_operator(panel([pooled(L2Pool2D, *param.values[:-1], dtype="float32") for param in GRID]))


def test_integers_are_refused():
    with pytest.raises(Unsupported, match="has dtypes int8→int8"):
        pooled(L2Pool2D, *GRID[0].values[:-1], dtype="int8")
