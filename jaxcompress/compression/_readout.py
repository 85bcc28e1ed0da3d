"""Variable projection: for fixed hidden weights the best readout solves a linear least-squares
problem exactly.

Letters: `G = E[φφᵀ]` of the student's neurons, `K = E[φψᵀ]` with the target's, `e`, `e′` their
means. The normal equations are `[G e; eᵀ 1] [a; c] = [K b + e c*; e′ᵀ b + c*]`, with the last row
and column only where there is an output bias.
Reference: Golub & Pereyra 1973 (the gradient of the projected risk is the partial one, at the best
readout).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.networks import TwoLayer
from jaxcompress.risk import RiskProblem, normal_equations
from jaxcompress.risk.internal import check_measured, check_student


class Solver(NamedTuple):
    """A Cholesky factor of the normal equations, the unknowns scaled so that the diagonal is
    one.
    """

    factor: Float[Array, "m m"]
    scale: Float[Array, " m"]

    def __call__(self, right: Float[Array, "m o"]) -> Float[Array, "m o"]:
        scaled = self.scale[:, None] * right
        return self.scale[:, None] * jax.scipy.linalg.cho_solve((self.factor, True), scaled)


def factored(matrix: Float[Array, "m m"]) -> Solver:
    """What solves the normal equations.

    Neurons that coincide make the system singular: it is solved with a ridge of `100·n·ε` on unit
    diagonal, which splits a readout evenly between equal neurons and costs that much, relatively,
    in risk.
    """
    size = jnp.sqrt(jnp.diagonal(matrix))
    scale = jnp.where(size > 0, 1 / jnp.where(size > 0, size, 1), 0)
    ridge = 100 * matrix.shape[0] * jnp.finfo(matrix.dtype).eps
    unit = matrix * scale[:, None] * scale[None, :] + ridge * jnp.eye(
        len(scale), dtype=matrix.dtype
    )
    return Solver(
        jnp.linalg.cholesky(unit + jnp.diag(jnp.where(size > 0, 0, 1).astype(matrix.dtype))), scale
    )


def best_readout(problem: RiskProblem, student: TwoLayer) -> TwoLayer:
    """The student with the readout (and output bias, where it has one) of least risk for its hidden
    weights.

    Example: `jc.compression.best_readout(jc.RiskProblem.of(target), student)`.

    Raises `ValueError` for what is no measured target or no network.
    """
    check_measured("best_readout", problem, RiskProblem)
    check_student("best_readout", student)
    matrix, right = normal_equations(problem, student)
    solution = factored(matrix)(right)
    readout = solution[: student.width].reshape(student.readout.shape)
    offset = (
        None
        if student.output_bias is None
        else solution[student.width].reshape(student.output_bias.shape)
    )
    return TwoLayer(student.weights, readout, student.bias, offset, student.activation)
