"""What the TFLite specification of int8 and of 16x8 asks of each operator, in one table.

Source: "LiteRT 8-bit quantization specification" (ai.google.dev/edge/litert/models/quantization_spec).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tinycomp.ir import Attrs, Node, Quant
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.batch_matmul import BatchMatMul
from tinycomp.ops.batch_space import BatchToSpace, SpaceToBatch
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depth_space import DepthToSpace, SpaceToDepth
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.elementwise import Elementwise
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.gather import Gather
from tinycomp.ops.gather_nd import GatherNd
from tinycomp.ops.l2_norm import L2Norm
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.log_softmax import LogSoftmax
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.mirror_pad import MirrorPad
from tinycomp.ops.mul import Mul
from tinycomp.ops.pack import Pack
from tinycomp.ops.pad import Pad
from tinycomp.ops.pairwise import Pairwise
from tinycomp.ops.reduce import Reduce
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.resize_bilinear import ResizeBilinear
from tinycomp.ops.resize_nearest import ResizeNearest
from tinycomp.ops.reverse import Reverse
from tinycomp.ops.softmax import Softmax
from tinycomp.ops.split import Split
from tinycomp.ops.strided_slice import StridedSlice
from tinycomp.ops.sub import Sub
from tinycomp.ops.tanh import Tanh
from tinycomp.ops.tile import Tile
from tinycomp.ops.transpose import Transpose
from tinycomp.ops.transpose_conv import TransposeConv
from tinycomp.ops.unpack import Unpack


@dataclass(frozen=True)
class Rule:
    """How one operator is quantized.

    kind: "weighted": symmetric weights, a scale for each channel of `axis`, bias at scale_x · scale_w.
        "same": data operands and outputs share one scale and zero point. "fixed": the output has `quant` whatever its
        values; a unit as int16 has the scale 2^-15. "own": every operand and output has parameters of its own.
    first: only the first input is data, the others are weights, indices or a fill; otherwise all inputs are.
    """

    kind: Literal["weighted", "same", "fixed", "own"]
    first: bool = True
    axis: int = 0
    quant: Quant | None = None

    def fixed(self, dtype: str) -> Quant | None:
        """What the operator fixes for its outputs as int8 or int16."""
        if dtype == "int16":
            return WIDE_UNIT if self.quant in (UNIT, SIGNED_UNIT) else None
        return self.quant


SAME, OWN = Rule("same"), Rule("own")
SAME_ALL, OWN_ALL = Rule("same", first=False), Rule("own", first=False)
UNIT = Quant((1 / 256,), (-128,))  # [0, 1)
SIGNED_UNIT = Quant((1 / 128,), (0,))  # [−1, 1)
LOGARITHMS = Quant((1 / 16,), (127,))  # (−16, 0]
WIDE_UNIT = Quant((1 / 32768,), (0,))  # [−1, 1) as int16

RULES: dict[type[Attrs], Rule] = {
    Add: OWN_ALL,
    AveragePool2D: SAME,
    BatchMatMul: OWN_ALL,
    BatchToSpace: SAME,
    Concatenation: SAME_ALL,
    Conv2D: Rule("weighted", axis=0),
    DepthToSpace: SAME,
    DepthwiseConv2D: Rule("weighted", axis=3),
    FullyConnected: Rule("weighted", axis=0),
    Gather: SAME,
    GatherNd: SAME,
    L2Norm: Rule("fixed", quant=SIGNED_UNIT),
    LeakyRelu: OWN,
    LogSoftmax: Rule("fixed", quant=LOGARITHMS),
    Logistic: Rule("fixed", quant=UNIT),
    MaxPool2D: SAME,
    Mean: OWN,
    MirrorPad: SAME,
    Mul: OWN_ALL,
    Pack: SAME_ALL,
    Pad: SAME_ALL,
    Relu: OWN,
    Reshape: SAME,
    ResizeBilinear: SAME,
    ResizeNearest: SAME,
    Reverse: SAME,
    Softmax: Rule("fixed", quant=UNIT),
    SpaceToBatch: SAME,
    SpaceToDepth: SAME,
    Split: SAME,
    StridedSlice: SAME,
    Sub: OWN_ALL,
    Tanh: Rule("fixed", quant=SIGNED_UNIT),
    Tile: SAME,
    Transpose: SAME,
    TransposeConv: Rule("weighted", axis=0),
    Unpack: SAME,
}

# Those that TensorFlow Lite Micro and LiteRT run on int16, too, with the same bits.
WIDE: frozenset[type[Attrs]] = frozenset(
    {
        Add, AveragePool2D, BatchMatMul, Concatenation, Conv2D, DepthwiseConv2D, FullyConnected, LeakyRelu, Logistic,
        MaxPool2D, Mean, Mul, Pack, Pad, Relu, Reshape, ResizeNearest, Reverse, Softmax, Split, StridedSlice, Sub,
        Tanh, Tile, Transpose, TransposeConv, Unpack,
    }
)  # fmt: skip

# Those whose weights may be int4.
INT4: frozenset[type[Attrs]] = frozenset({Conv2D, DepthwiseConv2D, FullyConnected})

# Functions of Elementwise, Pairwise and Reduce. Those of float32 alone, of a narrow domain or of truths have none: they
# stay float32.
FUNCTION_RULES: dict[str, Rule] = {
    "abs": OWN,
    "div": OWN_ALL,
    "elu": OWN,
    "exp": OWN,
    "gelu": OWN,
    "hard_swish": OWN,
    "max": SAME,
    "maximum": SAME_ALL,
    "min": SAME,
    "minimum": SAME_ALL,
    "prelu": OWN_ALL,
    "squared_difference": OWN_ALL,
    "sum": OWN,
}


def rule_of(node: Node) -> Rule | None:
    """The node's rule; None where its operator has no integer form.

    RELU6 and RELU_N1_TO_1 as layers of their own share one scale: TFLM's RELU6 never looks at the output's.
    """
    if isinstance(node.attrs, Relu) and node.attrs.activation != "relu":
        return SAME
    if isinstance(node.attrs, Elementwise | Pairwise | Reduce):
        return FUNCTION_RULES.get(node.attrs.function)
    return RULES.get(type(node.attrs))


def operands(node: Node) -> tuple[str, ...]:
    """The inputs that hold activations or constants in their place."""
    rule = rule_of(node)
    return node.inputs[:1] if rule is None or rule.first else node.inputs
