"""SUB with numpy broadcasting: ADD with a minus.

Published versions of the source derive the multipliers in float32; the interpreters, TFLM's and LiteRT's, answer with
the bits of ADD's derivation in double, and those are what counts.

Sources: tensorflow/lite/kernels/internal/reference/sub.h, tensorflow/lite/micro/kernels/sub_common.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Kernel
from tinycomp.ops import add, binary, mve
from tinycomp.ops.base import Operator, clamp_real


@dataclass(frozen=True)
class Sub(binary.Binary):
    """activation: the fused clamp."""

    op: ClassVar[str] = "sub"


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    if args[0].dtype == np.float32:
        return (clamp_real(np.subtract(args[0], args[1]), binary.attrs(node).activation),)
    if args[0].dtype == np.int32:
        return (binary.wrapped(np.subtract(*binary.int64(args))),)
    return (add.combined(node, graph, args, -1),)


OPERATOR = Operator(
    attrs=Sub,
    codecs=(binary.codec("SUB", "SubOptions", Sub),),
    infer=add.infer,
    reference=_reference,
    access=binary.access,
    kernels=(
        mve.on_helium(add.kernel_dsp(-1)),
        add.kernel_dsp(-1),
        Kernel("portable", add.lower, binary.is_quantized, helpers=binary.HELPERS),
        binary.KERNEL_PLAIN,
    ),
    inplace=(0, 1),
)
