"""One layer's integers, chosen for its output on data and not for its weights alone.

A holds the layer's inputs as the int8 model computes them, a row for each output position, a column for each tap and
one of ones; Y holds what the float model computes. The error of real weights w (taps, then the bias) is ‖A·w − Y‖² for
each output channel, a quadratic form of AᵀA and AᵀY. Least squares moves the real weights so that they make up for what
the int8 model has lost before this layer; then every weight goes up or down for the least error of its whole row.

Arrays are [groups, …]: one group for a convolution or a dense layer, one for each channel of a depthwise one.

Sources: M. Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization (ICML 2020), for the objective;
E. Frantar et al., GPTQ (ICLR 2023), for rounding one weight after the other with errors passed on, which is Babai's
nearest plane; coordinate descent follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinycomp.quantize.observe import Floats

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # on the change of the weights, relative to the mean of diag(AᵀA)
DAMPING = 1e-2  # the same for rounding, where least squares has chosen none: directions that the data does not show
SWEEPS = 12  # of coordinate descent, at most
SWEEP_WORK = 4e9  # multiplications of all sweeps, at most
GAIN = 1e-6  # a ridge must lower the error by more than this share


class Moments(NamedTuple):
    """gram [groups, taps + 1, taps + 1]: AᵀA, cross [groups, taps + 1, outputs]: AᵀY, power [groups, outputs]: Y², each
    divided by the number of rows."""

    gram: Floats
    cross: Floats
    power: Floats


class Centred(NamedTuple):
    """The problem without the bias, which is always the best for the weights: gram and cross about the means."""

    gram: Floats
    cross: Floats


def moments(a: Floats, y: Floats) -> Moments:
    """a [groups, rows, taps + 1], its last column ones; y [groups, rows, outputs]. float64, for the sums."""
    rows = a.shape[1]
    transposed = a.transpose(0, 2, 1)
    return Moments(transposed @ a / rows, transposed @ y / rows, (y**2).mean(axis=1))


def average(parts: Sequence[Moments], shares: Sequence[int] | None = None) -> Moments:
    """The moments of the parts together; shares: how many rows each has, equally many where it is left out."""
    share = np.ones(len(parts)) if shares is None else np.array(shares, np.float64)
    gram, cross, power = (np.tensordot(share / share.sum(), np.stack([part[i] for part in parts]), 1) for i in range(3))
    return Moments(gram, cross, power)


def error(w: Floats, m: Moments) -> Floats:
    """Mean squared error [groups, outputs] of w [groups, taps + 1, outputs]."""
    return np.maximum((w * (m.gram @ w)).sum(axis=1) - 2 * (w * m.cross).sum(axis=1) + m.power, 0.0)


def with_best_bias(weights: Floats, m: Moments) -> Floats:
    """The weights [groups, taps, outputs] with the bias of least error below them: no error is left on average."""
    bias = m.cross[:, -1:] - m.gram[:, -1:, :-1] @ weights
    return np.concatenate([weights, bias], axis=1)


def centred(m: Moments) -> Centred:
    """The moments about the means. The last column of A is ones, so the last row of AᵀA holds the means."""
    mean = m.gram[:, -1:, :-1]
    gram = m.gram[:, :-1, :-1] - mean.transpose(0, 2, 1) @ mean
    return Centred(gram, m.cross[:, :-1] - mean.transpose(0, 2, 1) @ m.cross[:, -1:])


def least_squares(weights: Floats, parts: Sequence[Moments]) -> tuple[Floats, float | None]:
    """Real weights [groups, taps, outputs] of least error near the given ones, and the ridge that keeps them near.

    The ridge is the one of least error on the part that is left out, over all parts; None where that is best which
    moves nothing, as it is with too little data.
    """
    if len(parts) < 2:
        return weights, None
    paths = [(k, _Path(weights, average([p for i, p in enumerate(parts) if i != k]))) for k in range(len(parts))]
    best = None
    least = sum(float(error(with_best_bias(weights, path.m), parts[k]).sum()) for k, path in paths)
    for ridge in RIDGES:
        tried = sum(float(error(with_best_bias(path.at(ridge), path.m), parts[k]).sum()) for k, path in paths)
        if tried < least * (1 - GAIN):
            best, least = ridge, tried
    return (weights, None) if best is None else (_Path(weights, average(parts)).at(best), best)


def moved(weights: Floats, m: Moments, ridge: float) -> Floats:
    """Real weights [groups, taps, outputs] of least error near the given ones, for a ridge as in `RIDGES`."""
    about = centred(m)
    damped = about.gram + ridge * _mean_diagonal(about.gram)[:, None, None] * np.eye(about.gram.shape[1])
    return weights + np.linalg.solve(damped, about.cross - about.gram @ weights)


class _Path:
    """Solutions for every ridge from one eigendecomposition."""

    def __init__(self, weights: Floats, m: Moments) -> None:
        self.weights, self.m = weights, m
        about = centred(m)
        self.mean = _mean_diagonal(about.gram)
        self.values, self.vectors = np.linalg.eigh(about.gram)
        self.residual = self.vectors.transpose(0, 2, 1) @ (about.cross - about.gram @ weights)

    def at(self, ridge: float) -> Floats:
        """The weights for a ridge relative to the mean of the diagonal."""
        damped = np.maximum(self.values, 0.0) + ridge * self.mean[:, None]
        return self.weights + self.vectors @ (self.residual / damped[:, :, None])


def _mean_diagonal(gram: Floats) -> Floats:
    """[groups], never 0: a dead input has no moments."""
    return np.maximum(np.trace(gram, axis1=1, axis2=2) / gram.shape[1], 1e-12)


def round_for_output(
    weights: Floats, scales: Sequence[Floats], m: Moments, ridge: float | None, top: int = 127, one: bool = False
) -> tuple[Floats, Floats]:
    """Integers [groups, taps, outputs] and their scale [groups, outputs], with little error of the output.

    scales: those that are tried; every output gets the one of least error, all of them the same candidate where `one`.
    top: the largest integer there is.
    """
    about = centred(m).gram
    damping = (ridge or DAMPING) * _mean_diagonal(about)
    gram = about + damping[:, None, None] * np.eye(about.shape[1])
    tried = np.stack(scales, axis=1)  # [groups, candidates, outputs]
    groups, count, outputs = tried.shape
    target = (weights[:, :, None, :] / tried[:, None]).reshape(groups, -1, count * outputs)
    found, plain = _descend(_nearest_plane(target, gram, top), target, gram, top), _clipped(target, top)
    errors = [_quadratic(q - target, gram).reshape(tried.shape) * tried**2 for q in (found, plain)]
    best = np.where((errors[0] <= errors[1]).reshape(groups, 1, -1), found, plain).reshape(groups, -1, count, outputs)
    error = np.minimum(*errors)
    chosen = (error.sum(axis=(0, 2), keepdims=True) if one else error).argmin(axis=1)[:, None]
    chosen = np.broadcast_to(chosen, (groups, 1, outputs))
    picked = np.take_along_axis(best, chosen[:, None], axis=2)[:, :, 0]
    return picked, np.take_along_axis(tried, chosen, axis=1)[:, 0]


def _quadratic(off: Floats, gram: Floats) -> Floats:
    """Error [groups, outputs] that weights off by `off` make."""
    return (off * (gram @ off)).sum(axis=1)


def _nearest_plane(target: Floats, gram: Floats, top: int) -> Floats:
    """With gram = RᵀR one weight after the other, from the last row of R up, each making up for those before it.

    The taps of most power come first, when all others can still answer for them.
    """
    group = np.arange(len(gram))[:, None]
    order = np.argsort(np.diagonal(gram, axis1=1, axis2=2), axis=1, kind="stable")
    r = np.linalg.cholesky(gram[group[:, :, None], order[:, :, None], order[:, None, :]]).transpose(0, 2, 1)
    wanted = target[group, order]
    q, off = np.zeros_like(wanted), np.zeros_like(wanted)
    for k in reversed(range(wanted.shape[1])):
        pull = (r[:, k : k + 1, k + 1 :] @ off[:, k + 1 :])[:, 0] / r[:, k, k, None]
        q[:, k] = _clipped(wanted[:, k] - pull, top)
        off[:, k] = q[:, k] - wanted[:, k]
    back = np.empty_like(q)
    back[group, order] = q
    return back


def _descend(q: Floats, target: Floats, gram: Floats, top: int) -> Floats:
    """Each weight in turn to the integer of least error, all others as they are, until none moves."""
    q = q.copy()
    slope = gram @ (q - target)
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    sweeps = max(1, min(SWEEPS, int(SWEEP_WORK / max(1, gram.size * q.shape[2]))))
    for _ in range(sweeps):
        moved = False
        for k in range(q.shape[1]):
            step = _clipped(q[:, k] - slope[:, k] / diagonal[:, k, None], top) - q[:, k]
            if step.any():
                q[:, k] += step
                slope += gram[:, :, k, None] * step[:, None, :]
                moved = True
        if not moved:
            break
    return q


def _clipped(values: Floats, top: int) -> Floats:
    return np.clip(np.rint(values), -top, top)
