"""Variable projection: for fixed hidden weights the best readout solves a linear least-squares problem exactly.

Letters: `G = E[φφᵀ]` of the student's neurons, `K = E[φψᵀ]` with the target's, `e`, `e′` their means. The normal
equations are `[G e; eᵀ 1] [a; c] = [K b + e c*; e′ᵀ b + c*]`, with the last row and column only where there is an
output bias. Reference: Golub & Pereyra 1973 (the gradient of the projected risk is the partial one, at the best
readout).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.networks import TwoLayer
from jaxcompress.risk import RiskProblem, normal_equations


def best_readout(problem: RiskProblem, student: TwoLayer) -> TwoLayer:
    """The student with the readout (and output bias, where it has one) of least risk for its hidden weights.

    Neurons that coincide make the system singular: it is solved with a ridge of `100·n·ε` on unit diagonal, which
    splits a readout evenly between equal neurons and costs that much, relatively, in risk.
    """
    matrix, right = normal_equations(problem, student)
    size = jnp.sqrt(jnp.diagonal(matrix))
    scale = jnp.where(size > 0, 1 / jnp.where(size > 0, size, 1), 0)
    ridge = 100 * matrix.shape[0] * jnp.finfo(matrix.dtype).eps
    unit = matrix * scale[:, None] * scale[None, :] + ridge * jnp.eye(len(scale), dtype=matrix.dtype)
    factor = jax.scipy.linalg.cho_factor(unit + jnp.diag(jnp.where(size > 0, 0, 1).astype(matrix.dtype)))
    solution = scale[:, None] * jax.scipy.linalg.cho_solve(factor, scale[:, None] * right)
    readout = solution[: student.width].reshape(student.readout.shape)
    offset = None if student.output_bias is None else solution[student.width].reshape(student.output_bias.shape)
    return TwoLayer(student.weights, readout, student.bias, offset, student.activation)


def projected_risk(problem: RiskProblem, student: TwoLayer) -> tuple[Float[Array, ""], TwoLayer]:
    """The risk at the best readout, as a function of the hidden parameters alone, and the student that has it."""
    best = jax.lax.stop_gradient(best_readout(problem, student))
    projected = TwoLayer(student.weights, best.readout, student.bias, best.output_bias, student.activation)
    return problem.risk(projected), best
