"""Where the descent starts: neurons of the target, averages of similar ones, and random ones.

All starts are hidden layers only: the readout follows from them. Start 0 is the greedy choice,
start 1 the largest neurons; from then on random subsets, random groups and random neurons take
turns. Start `i` draws from `fold_in(key, i)`.
"""

import jax
import numpy as np
from jaxtyping import Array

from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import output_axis

_LLOYD_STEPS = 10


def hidden_starts(
    target: TwoLayer, matrix: np.ndarray, right: np.ndarray, width: int, key: Array, count: int
) -> np.ndarray:
    """`(count, width, p)` hidden parameters, a row of weights and a bias where the target has one.

    `matrix` and `right` are the normal equations of the whole target, the output bias last where
    there is one.
    """
    weights = np.asarray(target.weights, np.float64)
    bias = np.zeros(target.width) if target.bias is None else np.asarray(target.bias, np.float64)
    floor = max(1e-12, 10 * float(np.finfo(matrix.dtype).eps))
    matrix, right = matrix.astype(np.float64), right.astype(np.float64)
    strength = _strength(target, matrix)
    rows = []
    for i in range(count):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.fold_in(key, i))))
        if i == 0:
            chosen = greedy_choice(matrix, right, width, target.output_bias is not None, floor)
            rows.append((weights[chosen], bias[chosen]))
        elif i == 1:
            chosen = np.argsort(-strength)[:width]
            rows.append((weights[chosen], bias[chosen]))
        else:
            draw = _DRAWS[i % 3]
            rows.append(draw(rng, weights, bias, strength, width))
    drawn, shifts = (np.stack(parts) for parts in zip(*rows, strict=True))
    hidden = drawn if target.bias is None else np.concatenate([drawn, shifts[..., None]], axis=-1)
    return hidden.astype(target.weights.dtype)


def _strength(target: TwoLayer, matrix: np.ndarray) -> np.ndarray:
    """How much each neuron moves the output: `√E φ² · ‖readout‖`, positive."""
    readout = output_axis(np.asarray(target.readout, np.float64), target.outputs)
    second = np.maximum(np.diagonal(matrix)[: target.width], 0)
    return np.sqrt(second) * np.linalg.norm(readout, axis=1) + np.finfo(np.float64).tiny


def greedy_choice(
    matrix: np.ndarray, right: np.ndarray, width: int, has_offset: bool, least: float = 1e-12
) -> np.ndarray:
    """Target neurons one by one, each time the one that removes the most risk once all readouts are
    refitted.

    Arguments: the normal equations of the whole target (the output bias last), and the share of the
    largest diagonal entry below which what is left of a neuron is rounding. With the chosen ones
    projected out, neuron `j` removes `‖right_j‖²/matrix_jj`: orthogonal least squares (Chen,
    Billings & Luo 1989), O(width·k²).
    Returns `(width,)` indices in the order of choice.
    """
    matrix, right = matrix.copy(), right.copy()
    floor = least * np.diagonal(matrix).max(initial=0.0)

    def project_out(j: int) -> None:
        if matrix[j, j] > floor:
            column = matrix[:, j] / matrix[j, j]
            np.subtract(right, np.outer(column, right[j]), out=right)
            np.subtract(matrix, np.outer(column, matrix[j]), out=matrix)

    if has_offset:
        project_out(len(matrix) - 1)
    neurons = len(matrix) - has_offset
    chosen: list[int] = []
    for _ in range(width):
        left = np.maximum(np.diagonal(matrix)[:neurons], 0)
        gain = np.where(
            left > floor, (right[:neurons] ** 2).sum(1) / np.maximum(left, floor + 1e-300), 0
        )
        gain[chosen] = -1
        chosen.append(int(np.argmax(gain)))
        project_out(chosen[-1])
    return np.asarray(chosen)


def _subset(rng, weights, bias, strength, width):
    """Target neurons drawn without replacement, by strength."""
    chosen = rng.choice(len(weights), width, replace=False, p=strength / strength.sum())
    return weights[chosen], bias[chosen]


def _groups(rng, weights, bias, strength, width):
    """Groups of similar neurons, averaged: Lloyd's algorithm on directions of (weights, bias), by
    strength.
    """
    points = np.concatenate([weights, bias[:, None]], axis=1)
    points = points / np.maximum(
        np.linalg.norm(weights, axis=1, keepdims=True), np.finfo(np.float64).tiny
    )
    points = np.nan_to_num(np.clip(points, -1e3, 1e3))
    centres = points[rng.choice(len(points), width, replace=False, p=strength / strength.sum())]
    for _ in range(_LLOYD_STEPS):
        nearest = np.argmin(((points[:, None] - centres[None]) ** 2).sum(-1), axis=1)
        for j in range(width):
            members = nearest == j
            if members.any():
                centres[j] = np.average(points[members], axis=0, weights=strength[members])
    return centres[:, :-1], centres[:, -1]


def _random(rng, weights, bias, strength, width):
    """Random directions of the target's typical norm, with biases drawn from the target's own."""
    spread = np.sqrt((weights**2).mean())
    return spread * rng.normal(size=(width, weights.shape[1])), bias[
        rng.choice(len(bias), width, replace=False)
    ]


_DRAWS = (_random, _groups, _subset)
_NAMES = ("random neurons", "averaged groups", "random subset")


def start_name(i: int) -> str:
    """What start number `i` is made of."""
    return ("greedy choice", "largest neurons")[i] if i < 2 else _NAMES[i % 3]
