"""The linear equations of the readout that is best for given hidden parameters."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.networks.internal import AbstractNetwork, against, neuron_means, neuron_table
from jaxcompress.risk._checks import check_measured, check_student
from jaxcompress.risk._population import RiskProblem


def normal_equations(
    problem: RiskProblem, student: AbstractNetwork
) -> tuple[Float[Array, "m m"], Float[Array, "m o"]]:
    """Matrix and right side whose solution is the readout of least risk for the student's hidden
    parameters.

    The risk is `tr(aᵀ matrix a − 2 aᵀ right) + const` in the stacked readout; `m = n`, or `n + 1`
    with the output bias last when the student has one.

    >>> matrix, right = jc.risk.normal_equations(jc.RiskProblem.of(target), student)
    >>> readout = jnp.linalg.solve(matrix, right)

    Raises `ValueError` for input that is no measured target and no network.
    """
    check_measured("normal_equations", problem, RiskProblem)
    check_student("normal_equations", student, AbstractNetwork)
    x = problem.student_layer(student)
    matrix = neuron_table(x, x)
    right = jnp.zeros((student.width, x.readout.shape[1]), matrix.dtype)
    for y in problem.layers:
        right += against(x, y)[0]
    if student.output_bias is None and problem.offset is None:
        return matrix, right
    means = neuron_means(x)
    if problem.offset is not None:
        right += means[:, None] * problem.offset[None, :]
    if student.output_bias is None:
        return matrix, right
    matrix = jnp.block([[matrix, means[:, None]], [means[None], jnp.ones((1, 1), matrix.dtype)]])
    return matrix, jnp.concatenate([right, problem.average.value[None]])
