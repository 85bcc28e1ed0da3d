"""Normal equations on the host: small matrices from the tables of a `Model`, and what follows from
them.

Letters: `M` and `m` are the matrix and right side whose solution `s` is the best readout, the
output bias last where there is one; the risk of any readout is `E‖f*‖² + tr(sᵀ (M s − 2 m))`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Equations(NamedTuple):
    """`M` and `m`."""

    matrix: Float[np.ndarray, "m m"]
    right: Float[np.ndarray, "m o"]

    def of(self, rows: np.ndarray, has_offset: bool) -> "Equations":
        """Those of some of the neurons."""
        kept = np.append(rows, len(self.matrix) - 1) if has_offset else rows
        return Equations(self.matrix[np.ix_(kept, kept)], self.right[kept])

    def solve(self) -> Float[np.ndarray, "m o"]:
        """The best readout, with the ridge of `_readout`."""
        size = np.sqrt(np.maximum(np.diagonal(self.matrix), 0))
        scale = np.where(size > 0, 1 / np.where(size > 0, size, 1), 0)
        ridge = 100 * len(scale) * np.finfo(self.matrix.dtype).eps + (size == 0)
        return scale[:, None] * np.linalg.solve(
            self.matrix * np.outer(scale, scale) + np.diag(ridge), scale[:, None] * self.right
        )

    def risk(self, second_moment: float, readout: Float[np.ndarray, "m o"]) -> float:
        """The risk of a readout, never negative."""
        return max(
            0.0, float(second_moment + np.sum(readout * (self.matrix @ readout - 2 * self.right)))
        )

    def size(self, readout: Float[np.ndarray, "m o"]) -> float:
        """The sum of the sizes of what is added up in it, without the target's own."""
        return float(
            np.sum(
                np.abs(readout) * (np.abs(self.matrix) @ np.abs(readout) + 2 * np.abs(self.right))
            )
        )


def bordered(matrix: np.ndarray, means: np.ndarray, has_offset: bool) -> np.ndarray:
    """A table of neurons with the neuron that is always one as its last row and column, where there
    is one.
    """
    if not has_offset:
        return matrix
    return np.block([[matrix, means[:, None]], [means[None], np.ones((1, 1), matrix.dtype)]])


def strongest(equations: Equations, width: int, has_offset: bool) -> np.ndarray:
    """The neurons that are left when the one whose loss costs least risk, all others refitted, is
    dropped again and again: with `P` the inverse of the matrix that is `‖s_j‖²/P_jj` (backward
    elimination).

    Without neuron `j` the inverse is `P − P_:j P_j:/P_jj`, the readout `s − P_:j s_j/P_jj`.
    """
    rounding = float(np.finfo(equations.matrix.dtype).eps)
    matrix = equations.matrix.astype(np.float64)
    size = np.sqrt(np.maximum(np.diagonal(matrix), 0))
    scale = np.where(size > 0, 1 / np.where(size > 0, size, 1), 0)
    # neurons that coincide leave the table singular
    ridge = max(1e-10, 100 * len(size) * rounding) + (size == 0)
    inverse = np.linalg.inv(matrix * np.outer(scale, scale) + np.diag(ridge))
    readout = inverse @ (scale[:, None] * equations.right)
    left = np.arange(len(size))
    tiny = np.finfo(inverse.dtype).tiny
    while len(left) - has_offset > width:
        own = np.maximum(np.diagonal(inverse), tiny)
        cost = (readout**2).sum(1) / own
        j = int(np.argmin(cost[:-1] if has_offset else cost))
        column = inverse[:, j] / own[j]
        readout = np.delete(readout - column[:, None] * readout[j], j, axis=0)
        inverse = np.delete(np.delete(inverse - np.outer(column, inverse[j]), j, axis=0), j, axis=1)
        left = np.delete(left, j)
    return left[:width]
