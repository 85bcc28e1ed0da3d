"""Where no bad point can be: the radius within which every KKT point has zero risk, and a bound
that holds everywhere.

Letters: `σ_h = σ_min(K(W_h))` of the start's upper half, `L2 = sup|σ″|`, `B = max‖x_i‖`, `q = ζ/κ`;
`r` residuals, `u_j = K_jᵀ r`, `D_j` how far neuron `j` is from the start, `λ` the multiplier of the
ball, `c = nλ`.

Proof of the radius. Within `ε` of the start `σ_min(K(W)) ≥ √2 σ_h − L2 B‖X‖ε`, by the Lipschitz
constant of `σ′`. At a KKT point `v_j u_j = −c D_j`. If `c = 0` then `Kᵀ r = 0`, and `r = 0`. If `c
> 0`, no pair may gain by raising both of its readouts alike, which is always feasible: `r·(φ_j −
φ_{j+h}) ≥ 0`; Taylor's formula about each neuron, down to their common start, makes this `a|u_j|² +
b|u_{j+h}|² ≤ ½ L2 B‖X‖ ‖r‖ (a²|u_j|² + b²|u_{j+h}|²)/c`, so that `c ≤ ½ L2 B‖X‖ ‖r‖ max(a, b)` and
`|u_j| ≤ ½ (1 + q) L2 B‖X‖ ‖r‖ |D_j|` in every pair that has moved. Summed over neurons:
`σ_min(K(W)) ‖r‖ ≤ ½ (1 + q) L2 B‖X‖ε ‖r‖`, which with the first line leaves `r = 0` as soon as `√2
σ_h > L2 B‖X‖ε (1 + ½(1 + q))`.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcompress._internal.checks import is_concrete
from jaxcompress.kernels import AbstractActivation
from jaxcompress.narrow._assumptions import check_assumptions
from jaxcompress.narrow._feasible import FeasibleSet
from jaxcompress.narrow._features import features, smallest_singular_value
from jaxcompress.narrow._slopes import slope_bounds
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import Samples
from jaxcompress.risk.internal import check_samples, preactivations


def certified_radius(
    start: TwoLayer, samples: Samples, *, floor: float | Array = 1.0, gap: float | Array = 0.0
) -> Float[Array, ""]:
    """`ε* = √2 σ_min(K_h)/(L2 B‖X‖₂ (1 + ½(1 + ζ/κ)))`: below this radius every KKT point has zero
    risk.

    Arguments:

    - `start`: a mirrored network of even width with one output and no biases
    - `samples`: without leading axes
    - `floor`, `gap`: `κ` and `ζ` of the feasible set

    Returns zero where nothing is certified, so with `κ = 0`: readouts of zero make any weights a
    KKT point; and under a trace for a start that is not mirrored. Raises `ValueError` for several
    outputs, biases, a start that is seen not to be mirrored, and shapes that do not fit. Warns
    (`NarrowWarning`) of what makes it zero.
    Reference: after Zhang et al. 2021, theorem 2, whose constants are not these; for `ζ > 0` the
    proof above needs no further term.

    Example: `certified_radius(start, samples, floor=1.0, gap=0.5)`.
    """
    check_samples("narrow.certified_radius", start, samples)
    if start.bias is not None or start.output_bias is not None:
        raise ValueError(
            "narrow.certified_radius: given an initial point with biases; expected none; "
            "append a constant input instead"
        )
    check_assumptions("narrow.certified_radius", start, samples)
    return _radius(start.weights, start.activation, samples, floor, gap)


def is_certified(
    feasible: FeasibleSet, samples: Samples, activation: AbstractActivation
) -> Bool[Array, ""]:
    """Whether every KKT point of a feasible set is known to have zero risk.

    Raises `ValueError` for free signs, and as `certified_radius`.

    Example: `is_certified(FeasibleSet.of(start, radius=1e-4, floor=1.0), samples, f)`.
    """
    if feasible.signs is None:
        raise ValueError(
            "narrow.is_certified: given free signs; expected those of a start; the proof needs v ≠ "
            "0"
        )
    return feasible.radius < _radius(
        feasible.center, activation, samples, feasible.floor, feasible.gap
    )


def _radius(weights: Array, activation: AbstractActivation, samples: Samples, floor, gap) -> Array:
    h = weights.shape[-2] // 2
    single = weights.ndim == 2 and not samples.runs
    mirrored = single and weights.shape[0] == 2 * h
    same: bool | Array = True
    if mirrored:
        same = (
            np.array_equal(weights[:h], weights[h:])
            if is_concrete(weights)
            else _halves_agree(weights)
        )
    if samples.outputs is not None or not mirrored or same is False:
        raise ValueError(
            f"narrow.certified_radius: given weights {weights.shape}, inputs "
            f"{samples.inputs.shape} and targets {samples.targets.shape}; expected those of one "
            "mirrored start (m, d), and (n, d) and (n,); use mirrored_lecun, certify one output "
            "at a time, and jax.vmap for leading axes"
        )
    x = samples.inputs
    least = smallest_singular_value(features(activation, weights[:h], x))
    floor, gap = (jnp.asarray(number, x.dtype) for number in (floor, gap))
    ratio = jnp.where(floor > 0, gap / jnp.where(floor > 0, floor, 1), jnp.inf)
    longest = jnp.sqrt(jnp.max(jnp.sum(x * x, axis=1)))
    bend = slope_bounds(activation)[1] * longest * jnp.linalg.norm(x, 2) * (1 + 0.5 * (1 + ratio))
    # a bend of zero is that of an affine function, whose features have no full rank beyond d
    # samples
    known = jnp.isfinite(bend) & (bend > 0) & (floor > 0) & same
    return jnp.where(known, 2**0.5 * least / jnp.where(known, bend, 1), 0)


def _halves_agree(weights: Array) -> Array:
    upper, lower = jnp.split(weights, 2)
    return jnp.all(upper == lower)


def optimality_bound(student: TwoLayer, samples: Samples) -> Float[Array, ""]:
    """`ℓ ≤ (n/2) Σ_j ‖∇_{w_j} ℓ‖²/v_j² / σ_min(K(W))²`: a bound of the half risk at every point,
    inside the feasible set or not.

    It follows from `∇_{w_j} ℓ = v_j K_jᵀ r/n` and `‖Kᵀ r‖ ≥ σ_min ‖r‖`. Neurons with readout zero
    are left out of `K`.
    Returns the bound, infinite where the rest has no full row rank up to rounding. Raises
    `ValueError` for several outputs, and for shapes that do not fit.
    Reference: Zhang et al. 2021, section 5.

    Example: `half_risk(student, samples) <= optimality_bound(student, samples)`.
    """
    check_samples("narrow.optimality_bound", student, samples)
    if samples.outputs is not None:
        raise ValueError(
            f"narrow.optimality_bound: given targets {samples.targets.shape}; expected (n,), one "
            "scalar output; bound the outputs one at a time"
        )
    live = student.readout != 0
    slopes = jnp.where(
        live[None], student.activation.derivative(preactivations(student, samples.inputs)), 0
    )
    matrix = (slopes[:, :, None] * samples.inputs[:, None]).reshape(samples.count, -1)
    # K_jᵀ r itself, not ∇_{w_j} ℓ/v_j: readouts may be as small as they like
    total = jnp.sum((matrix.T @ (student(samples.inputs) - samples.targets)) ** 2) / (
        2 * samples.count
    )
    least = smallest_singular_value(matrix)
    return jnp.where(least > 0, total / jnp.where(least > 0, least, 1) ** 2, jnp.inf)
