"""The shipped network's layers as compiled loops: one observation, or a batch. No torch.

A program of layers (`trading.policy.serving.Program`) runs over the flat vector of parameters
(`trading.policy.weights`). Every sum has one order, its inputs' own, and products and sums are rounded one by one,
never fused: the same weights and observation give the same bits in every process, alone or in a batch.
"""

from __future__ import annotations

import numpy as np

from ztb.utils.kernel import allocating_kernel, kernel

# Rational approximation of tanh in float32, a few units in the last place (the one of Eigen and XLA). Of
# additions, products and one division only: it vectorises, and no libm can change its bits.
_LIMIT = np.float32(7.90531110763549805)
_A13 = np.float32(-2.76076847742355e-16)
_A11 = np.float32(2.00018790482477e-13)
_A9 = np.float32(-8.60467152213735e-11)
_A7 = np.float32(5.12229709037114e-08)
_A5 = np.float32(1.48572235717979e-05)
_A3 = np.float32(6.37261928875436e-04)
_A1 = np.float32(4.89352455891786e-03)
_B6 = np.float32(1.19825839466702e-06)
_B4 = np.float32(1.18534705686654e-04)
_B2 = np.float32(2.26843463243900e-03)
_B0 = np.float32(4.89352518554385e-03)

_ROWS = 64
"""Observations that go through the layers side by side: a layer's inputs fit the nearest cache."""


@kernel
def tanh(values: np.ndarray) -> None:
    """tanh of each of `values` (N,) float32, in place; nan stays nan."""
    for j in range(values.shape[0]):
        x = values[j]
        if x > _LIMIT:
            x = _LIMIT
        if x < -_LIMIT:
            x = -_LIMIT
        s = x * x
        top = x * ((((((_A13 * s + _A11) * s + _A9) * s + _A7) * s + _A5) * s + _A3) * s + _A1)
        values[j] = top / (((_B6 * s + _B4) * s + _B2) * s + _B0)


@kernel
def _dense(weight: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    """target (O,) = bias + source (I,) · weights; `weight` (I + 1, O) has the bias in its last row.

    Sums run over the inputs in order; eight at a time keep `target` out of memory for longer.
    """
    inputs, outputs = source.shape[0], target.shape[0]
    bias = weight[inputs]
    for j in range(outputs):
        target[j] = bias[j]
    blocks = inputs - inputs % 8
    for i in range(0, blocks, 8):
        x0, x1, x2, x3 = source[i], source[i + 1], source[i + 2], source[i + 3]
        x4, x5, x6, x7 = source[i + 4], source[i + 5], source[i + 6], source[i + 7]
        w0, w1, w2, w3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        w4, w5, w6, w7 = weight[i + 4], weight[i + 5], weight[i + 6], weight[i + 7]
        for j in range(outputs):
            half = (((target[j] + x0 * w0[j]) + x1 * w1[j]) + x2 * w2[j]) + x3 * w3[j]
            target[j] = (((half + x4 * w4[j]) + x5 * w5[j]) + x6 * w6[j]) + x7 * w7[j]
    for i in range(blocks, inputs):
        x0, w0 = source[i], weight[i]
        for j in range(outputs):
            target[j] += x0 * w0[j]


@kernel
def run_program(parameters: np.ndarray, layers: np.ndarray, scratch: np.ndarray) -> None:
    """The network's outputs at the end of `scratch`, from the observation at its start."""
    for row in range(layers.shape[0]):
        inputs, outputs = layers[row, 0], layers[row, 1]
        start = layers[row, 2]
        weight = parameters[start : start + (inputs + 1) * outputs].reshape((inputs + 1, outputs))
        target = scratch[layers[row, 4] : layers[row, 4] + outputs]
        _dense(weight, scratch[layers[row, 3] : layers[row, 3] + inputs], target)
        if layers[row, 5] == 1:
            tanh(target)


@kernel
def _dense_rows(weight: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    """`_dense` for `_ROWS` observations: `source` is (I, _ROWS) and `target` (O, _ROWS), both flat.

    Two outputs and four inputs at a time keep the arithmetic busy; one by one what is left over.
    """
    inputs, outputs = weight.shape[0] - 1, weight.shape[1]
    pairs, blocks = outputs - outputs % 2, inputs - inputs % 4
    for j in range(outputs):
        target[j * _ROWS : (j + 1) * _ROWS] = weight[inputs, j]
    for j in range(0, pairs, 2):
        t = target[j * _ROWS : (j + 2) * _ROWS]
        for i in range(0, blocks, 4):
            x = source[i * _ROWS : (i + 4) * _ROWS]
            v0, v1, v2, v3 = weight[i, j], weight[i + 1, j], weight[i + 2, j], weight[i + 3, j]
            k = j + 1
            w0, w1, w2, w3 = weight[i, k], weight[i + 1, k], weight[i + 2, k], weight[i + 3, k]
            for r in range(_ROWS):
                x0, x1, x2, x3 = x[r], x[_ROWS + r], x[2 * _ROWS + r], x[3 * _ROWS + r]
                t[r] = (((t[r] + x0 * v0) + x1 * v1) + x2 * v2) + x3 * v3
                t[_ROWS + r] = (((t[_ROWS + r] + x0 * w0) + x1 * w1) + x2 * w2) + x3 * w3
    for j in range(outputs):
        t = target[j * _ROWS : (j + 1) * _ROWS]
        for i in range(blocks if j < pairs else 0, inputs):
            x, w0 = source[i * _ROWS : (i + 1) * _ROWS], weight[i, j]
            for r in range(_ROWS):
                t[r] += x[r] * w0


@kernel
def _run_rows(parameters: np.ndarray, layers: np.ndarray, scratch: np.ndarray) -> None:
    """`run_program` for `_ROWS` observations: number i of observation r is at [i * _ROWS + r] of `scratch`."""
    for row in range(layers.shape[0]):
        inputs, outputs = layers[row, 0], layers[row, 1]
        start, source, first = layers[row, 2], layers[row, 3] * _ROWS, layers[row, 4] * _ROWS
        weight = parameters[start : start + (inputs + 1) * outputs].reshape((inputs + 1, outputs))
        target = scratch[first : first + outputs * _ROWS]
        _dense_rows(weight, scratch[source : source + inputs * _ROWS], target)
        if layers[row, 5] == 1:
            tanh(target)


@allocating_kernel
def forward(
    parameters: np.ndarray,
    layers: np.ndarray,
    scratch: np.ndarray,
    observations: np.ndarray,
    outputs: np.ndarray,
) -> None:
    """Rows of policy outputs and the value, (N, A + 1), of `observations` (N, D)."""
    count, columns, first = observations.shape[0], outputs.shape[1], scratch.shape[0] - outputs.shape[1]
    whole = count - count % _ROWS
    wide = np.empty(scratch.shape[0] * _ROWS if whole else 0, np.float32)
    for n in range(0, whole, _ROWS):
        for r in range(_ROWS):
            for i in range(observations.shape[1]):
                wide[i * _ROWS + r] = observations[n + r, i]
        _run_rows(parameters, layers, wide)
        for r in range(_ROWS):
            for k in range(columns):
                outputs[n + r, k] = wide[(first + k) * _ROWS + r]
    for n in range(whole, count):
        for i in range(observations.shape[1]):
            scratch[i] = observations[n, i]
        run_program(parameters, layers, scratch)
        for k in range(columns):
            outputs[n, k] = scratch[first + k]
