"""The empirical risk `mean_s ‖f(x_s) − y_s‖²`: finite data with the interface of the population
risk.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import StandardNormal
from jaxcompress.networks import TwoLayer
from jaxcompress.risk._checks import check_pair
from jaxcompress.risk._empirical_terms import residuals
from jaxcompress.risk._samples import EmpiricalProblem, Samples


def empirical_risk(student: TwoLayer, samples: Samples) -> Float[Array, ""]:
    """`mean_s ‖f_student(x_s) − y_s‖²`, summed over outputs, without a factor ½: the risk on finite
    data.

    Example: `jc.empirical_risk(student, jc.Samples.of(jax.random.key(0), target, 1000))`.

    Arguments: a network and one data set of the same input dimension, outputs and dtype. Use
    `jax.vmap` for batches, `samples.batch(rows)` for minibatches. Returns a scalar ≥ 0; `jax.grad`,
    `jvp`, `hessian`, `jit` and `vmap` are safe. For samples drawn from a target's input
    distribution (`Samples.of`) its expectation is `population_risk`, and it is off by the standard
    deviation of `squared_errors` over the root of their number. Raises `ValueError` when the two do
    not fit together.
    """
    check_samples("empirical_risk", student, samples)
    return EmpiricalProblem.of(samples).risk(student)


def squared_errors(student: TwoLayer, samples: Samples) -> Float[Array, " samples"]:
    """`‖f_student(x_s) − y_s‖²` of every sample, whose mean is `empirical_risk`. Arguments and
    errors as there.
    """
    check_samples("squared_errors", student, samples)
    return jnp.sum(residuals(student, samples.inputs, samples.with_outputs())[0] ** 2, axis=1)


def check_samples(where: str, student: TwoLayer, samples: Samples) -> None:
    """Raise `ValueError` unless student and samples are such, finite, and of the same inputs,
    outputs and dtype.
    """
    if not isinstance(samples, Samples):
        raise ValueError(
            f"{where}: given samples of type {type(samples).__name__}; expected Samples; make them "
            "with Samples(inputs, targets)"
        )
    check_pair(where, student, samples, StandardNormal())
