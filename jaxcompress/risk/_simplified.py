"""The simplified risk, and how far it can be from the true one.

Against a target of many generic neurons only the lowest Hermite orders of the cross term survive.
What is left of the target is a polynomial (`TargetMoments`), so the simplified risk is a population
risk itself, against that polynomial, and differs from the true one by the cross terms of higher
orders alone.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.kernels.internal import summed_blocks
from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.networks.internal import Layer, as_layer, check_order, hermite_orders, norms
from jaxcompress.risk._population import check_compatible
from jaxcompress.risk._risks import risk_once
from jaxcompress.special.internal import divide

# Numbers in one block of the target's weights: 32 MiB in float64.
_BLOCK = 2**22
# What the difference `E φ² − (orders)` may be off by, in ulps of `E φ²`.
_ROUNDING = 8


def simplified_risk(
    student: TwoLayer, moments: TargetMoments, *, inputs: AbstractInputs | None = None
) -> Float[Array, ""]:
    """`E‖f_student‖² − 2 E f_student·p + E‖f_target‖²` with the target's projection `p` on degrees
    up to `order`.

    For ReLU and order 1: `aᵀG_WW a − 2 Σ_j a_j (‖w_j‖ S/(2π) + ⟨w_j, t⟩/4) + E‖f_target‖²`.

    Example: `jc.simplified_risk(student, jc.target_moments(target))`.

    Arguments: a student of any activation and structure, `target_moments` of the target, and the
    law of the inputs under which they were taken (`StandardNormal()` when left out). Its cost does
    not depend on the target's width.
    Returns a scalar ≥ 0; `jax.grad`, `jvp`, `hessian`, `jit` and `vmap` are safe and exact in the
    student, as for `population_risk`, and `RiskProblem.of(moments)`, `risk_hessian` and all solvers
    take moments for a target. Raises `ValueError` when student, moments and law do not fit
    together.
    Where it fails: the distance to the true risk is bounded by `simplified_risk_bound`; for
    finitely many or aligned neurons it is not small.
    Reference: Amani et al. 2022; order 2 is beyond the paper.
    """
    inputs = StandardNormal() if inputs is None else inputs
    if not isinstance(moments, TargetMoments):
        raise ValueError(
            f"simplified_risk: given {type(moments).__name__}; expected the moments of a target; "
            "take them with target_moments(target), or compare the networks themselves with "
            "population_risk"
        )
    return risk_once(student, check_compatible("simplified_risk", student, moments, inputs), inputs)


def simplified_risk_bound(
    student: TwoLayer, target: TwoLayer, *, order: int = 1, inputs: AbstractInputs | None = None
) -> Float[Array, ""]:
    """A bound of `|population_risk − simplified_risk|` for one target and one student.

    >>> moments = jc.target_moments(target)
    >>> gap = jc.population_risk(student, target) - jc.simplified_risk(student, moments)
    >>> bool(abs(gap) <= jc.simplified_risk_bound(student, target))
    True

    With `τ(v)² = E φ(v·z)² − (Hermite orders up to order)`, the part of a neuron that the
    simplified risk does not see, Cauchy and Schwarz give for two neurons `|ρ|^{order+1} τ(w) τ(v)`,
    and so `2 Σ_j |a_j| τ(w_j) · ‖Σ_i |b_i| τ(v_i) v̂_i v̂_iᵀ‖_op` for `order` 1, where ReLU has
    `τ(v)² = (¼ − 1/(2π))‖v‖²`. For `order` 2 the sum `Σ_i |b_i| τ(v_i) |ρ_ij|³` is taken for each
    neuron `j` of the student as it stands; with several outputs `|a_j|` is a norm.

    Arguments:

    - `student`, `target`: networks as for `population_risk`, weights `(n, d)` and `(k, d)`;
    - `order`: that of the simplified risk, 1 or 2 (static);
    - `inputs`: the distribution of the inputs, `StandardNormal()` when left out.

    Cost: one pass over the target.
    Returns a scalar ≥ 0, raised by what rounding can hide: `√ε` of a neuron's size where it is
    almost a polynomial. Its derivative exists where the largest eigenvalue is a single one.
    Raises `ValueError` as `population_risk`, and for another order.
    Reference: the bound of Amani et al. 2022 without its constants; here for any activation.
    """
    inputs = StandardNormal() if inputs is None else inputs
    if not isinstance(target, TwoLayer):
        raise ValueError(
            f"simplified_risk_bound: given a target of type {type(target).__name__}; expected a "
            "TwoLayer, whose neurons are looked at, not the moments of a target; pass the network"
        )
    check_compatible("simplified_risk_bound", student, target, inputs)
    check_order("simplified_risk_bound", order)
    return _bound_once(student, target, inputs, order)


@eqx.filter_jit
def _bound_once(
    student: TwoLayer, target: TwoLayer, inputs: AbstractInputs, order: int
) -> Float[Array, ""]:
    x, y = as_layer(student, inputs), as_layer(target, inputs)
    rows = max(1, _BLOCK // y.weights.shape[1])
    directions = divide(x.weights, norms(x.weights)[:, None])

    def part(arrays: tuple) -> Array:
        weights, mean, readout = arrays
        some = Layer(weights, mean, readout, y.activation)
        units = divide(some.weights, norms(some.weights)[:, None])
        unseen = _unseen(some, order)
        if order == 1:
            return (units * unseen[:, None]).T @ units
        return jnp.abs(directions @ units.T) ** 3 @ unseen

    total = summed_blocks(part, (y.weights, y.mean, y.readout), rows)
    if order == 2:
        return 2 * jnp.sum(_unseen(x, order) * total)
    return 2 * jnp.sum(_unseen(x, order)) * jnp.max(jnp.abs(jnp.linalg.eigvalsh(total)))


def _unseen(layer: Layer, order: int) -> Float[Array, " n"]:
    """`|a| τ` of every neuron."""
    orders = hermite_orders(layer)
    rounding = _ROUNDING * jnp.finfo(orders.own.dtype).eps * orders.own
    return jnp.linalg.norm(layer.readout, axis=1) * jnp.sqrt(orders.beyond(order) + rounding)
