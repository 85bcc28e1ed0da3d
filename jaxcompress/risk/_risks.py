"""The population risk and the Hessian of any risk, as functions of a student and a target."""

from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import GatedTwoLayer, TargetMoments, TwoLayer
from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk._checks import check_freeze, check_pair
from jaxcompress.risk._population import as_target, check_compatible
from jaxcompress.risk._target import AbstractTarget

# What a solver takes for a target.
Target = TwoLayer | GatedTwoLayer | TargetMoments | AbstractTarget


def population_risk(
    student: TwoLayer | GatedTwoLayer,
    target: TwoLayer | GatedTwoLayer | AbstractTarget,
    *,
    inputs: AbstractInputs | None = None,
) -> Float[Array, ""]:
    """`E‖f_student(x) − f_target(x)‖²` over Gaussian inputs, summed over outputs, without a factor
    ½.

    >>> import jax
    >>> import jaxcompress as jc
    >>> erf, key = jc.activations.erf, jax.random.key(0)
    >>> target = jc.targets.orthonormal(6, 7, activation=erf)
    >>> student = jc.initialize.glorot_normal(key, 3, 7, activation=erf)
    >>> risk = jc.population_risk(student, target)

    Arguments: two networks of the same input dimension, outputs and dtype (activations may differ,
    and either may be gated), and the distribution of the inputs (`StandardNormal()` when left out);
    or an `AbstractTarget` of your own in the place of the second. Use `jax.vmap` for batches.
    Returns a scalar ≥ 0 in that dtype. `jax.grad`, `jvp`, `hessian`, `jit` and `vmap` are safe and
    exact, also where neurons coincide; a homogeneous neuron of zero norm has derivative zero.
    Raises `ValueError` when the networks or the law do not fit together. Memory: against a wide
    target of neurons without biases (ReLU, erf or affine) no table is held, only blocks. The
    target's table with itself is a constant of the student: `jax.jit(jax.grad(population_risk))`
    leaves it out, while the value (and `jax.grad` outside of `jit`) costs its `k²` pairs;
    `RiskProblem.of` pays them once. Where it fails: below `RiskProblem.of(target).floor(student)`
    (about ε times the squared norms) a value is rounding noise. References: Saad & Solla 1995
    (erf); Cho & Saul 2009, Safran & Shamir 2018 (ReLU).
    """
    inputs = StandardNormal() if inputs is None else inputs
    known = as_target("population_risk", target)
    if known.measured_by != "population_risk":
        raise ValueError(
            f"population_risk: given a target of type {type(target).__name__}; expected a network, "
            f"whose outputs are known for all inputs; {known.kind} are for {known.measured_by}"
        )
    check_pair("population_risk", student, known, inputs)
    return risk_once(student, known, inputs)


@eqx.filter_jit
def risk_once(
    student: AbstractNetwork, target: AbstractTarget, inputs: AbstractInputs
) -> Float[Array, ""]:
    """The risk against a target that is measured for it alone."""
    return target.problem(inputs).risk(student)


def risk_hessian(
    student: TwoLayer | GatedTwoLayer,
    target: Target,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
) -> Float[Array, "P P"]:
    """The exact Hessian of the risk in the student's parameters.

    The risk is `population_risk`, `simplified_risk` for moments, `empirical_risk` for samples, and
    that of its `problem` for an `AbstractTarget` of your own.

    Example: `jnp.linalg.eigvalsh(jc.risk_hessian(student, target, freeze=("readout",)))`.

    Arguments:

    - `student`: one network, weights `(n, d)`;
    - `target`: a network, moments, samples or an `AbstractTarget`;
    - `inputs`: the distribution of the inputs, `StandardNormal()` when left out;
    - `freeze`: names of parameters to leave out (static), any of "weights", "readout", "bias",
      "output_bias", and of gated students "gate_weights" and "gate_bias".

    Rows and columns follow
    `jax.flatten_util.ravel_pytree(student)`.
    Returns a symmetric `(P, P)` array; entries are accurate also where neurons coincide, where
    differentiating the closed forms twice gives NaN. A homogeneous neuron of zero norm contributes
    zero second derivatives.
    Raises `ValueError` as `population_risk`, and for unknown names in `freeze`.
    Reference: Safran & Shamir 2018 and Arjevani & Field 2019 (ReLU, zero mean); here for any pair
    and mean.
    """
    inputs = StandardNormal() if inputs is None else inputs
    known = check_compatible("risk_hessian", student, target, inputs)
    check_freeze("risk_hessian", student, freeze)
    return _hessian_once(student, known, inputs, tuple(freeze))


@eqx.filter_jit
def _hessian_once(
    student: AbstractNetwork,
    target: AbstractTarget,
    inputs: AbstractInputs,
    freeze: tuple[str, ...],
) -> Array:
    return target.problem(inputs).hessian(student, freeze)
