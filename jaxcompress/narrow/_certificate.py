"""Where no bad point can be: the radius within which every KKT point has zero loss, and a bound valid everywhere.

Letters: `σ_h = σ_min(K(W_h))` of the start's upper half, `L2 = sup|σ″|`, `B = max‖x_i‖`, `q = ζ/κ`; `r` residuals, `u_j
= K_jᵀ r`, `D_j` how far neuron `j` is from the start, `λ` the multiplier of the ball, `c = nλ`.

Proof of the radius. Within `ε` of the start `σ_min(K(W)) ≥ √2 σ_h − L2 B‖X‖ε`, by the Lipschitz constant of `σ′`. At a
KKT point `v_j u_j = −c D_j`. If `c = 0` then `Kᵀ r = 0`, and `r = 0`. If `c > 0`, no pair may gain by raising both of
its readouts alike, which is always feasible: `r·(φ_j − φ_{j+h}) ≥ 0`; Taylor's formula about each neuron, down to their
common start, makes this `a|u_j|² + b|u_{j+h}|² ≤ ½ L2 B‖X‖ ‖r‖ (a²|u_j|² + b²|u_{j+h}|²)/c`, so that `c ≤ ½ L2 B‖X‖ ‖r‖
max(a, b)` and `|u_j| ≤ ½ (1 + q) L2 B‖X‖ ‖r‖ |D_j|` in every pair that has moved. Summed over neurons: `σ_min(K(W)) ‖r‖
≤ ½ (1 + q) L2 B‖X‖ε ‖r‖`, which with the first line leaves `r = 0` as soon as `√2 σ_h > L2 B‖X‖ε (1 + ½(1 + q))`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcompress.kernels import AbstractActivation, is_concrete
from jaxcompress.narrow._assumptions import check_assumptions
from jaxcompress.narrow._feasible import FeasibleSet
from jaxcompress.narrow._features import features, smallest_singular_value
from jaxcompress.narrow._kkt import loss
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import Samples, check_samples, curvature

# Slopes are searched for their largest on this range, first in steps of 1e-2, then a thousand times finer about it.
_RANGE, _POINTS = 30.0, 6001


@functools.lru_cache(maxsize=128)
def slope_bounds(activation: AbstractActivation) -> tuple[float, float]:
    """`sup|σ′|` and `sup|σ″|`, infinite where they have none: ReLU and its kin, powers, exponentials.

    Found by search to 1e-9 of their size: tanh 1 and 0.7698, softplus 1 and 0.25, sigmoid 0.25 and 0.09623, GELU 1.1290
    and 0.79788. Where it fails: functions of the user's own that grow, or turn, only beyond |z| = 30 or within 1e-2.
    """
    with jax.ensure_compile_time_eval():
        first = _largest(activation.derivative)
        kinked = activation.terms is not None and any(
            term.kink is not None and not all(width > 0 for width in term.blend.widths) for term in activation.terms
        )
        return first, np.inf if kinked else _largest(lambda z: curvature(activation, z))


def _largest(function) -> float:
    z = np.linspace(-_RANGE, _RANGE, _POINTS)
    sizes = np.abs(np.asarray(function(jnp.asarray(z)), float))
    edge, half = max(sizes[0], sizes[-1]), max(sizes[_POINTS // 4], sizes[-(_POINTS // 4)])
    if not np.all(np.isfinite(sizes)) or (edge >= sizes.max() * (1 - 1e-9) and edge > half * (1 + 1e-6)):
        return np.inf
    around = z[np.argmax(sizes)] + (z[1] - z[0]) * np.linspace(-1, 1, 2001)
    return float(max(sizes.max(), np.abs(np.asarray(function(jnp.asarray(around)), float)).max()))


def certified_radius(
    start: TwoLayer, samples: Samples, *, floor: float | Array = 1.0, gap: float | Array = 0.0
) -> Float[Array, ""]:
    """`ε* = √2 σ_min(K_h)/(L2 B‖X‖₂ (1 + ½(1 + ζ/κ)))`: below this radius every KKT point has zero loss.

    Arguments: a mirrored start of even width with one output, the samples, and `κ`, `ζ` of the feasible set. Returns
    zero where nothing is certified. Raises `ValueError` for several outputs, a start that is not mirrored, and shapes
    that do not fit. Warns (`NarrowWarning`) of what makes it zero.
    Reference: after Zhang et al. 2021, theorem 2, whose constants are not these; for `ζ > 0` the proof above needs no
    further term.
    """
    check_samples(start, samples)
    check_assumptions("narrow.certified_radius", start, samples)
    return _radius(start.weights, start.activation, samples, floor, gap)


def is_certified(feasible: FeasibleSet, samples: Samples, activation: AbstractActivation) -> Bool[Array, ""]:
    """Whether every KKT point of a feasible set is known to have zero loss. Errors as for `certified_radius`."""
    if feasible.signs is None:
        raise ValueError("narrow.is_certified: given free signs; expected those of a start; the proof needs v ≠ 0")
    return feasible.radius < _radius(feasible.center, activation, samples, feasible.floor, feasible.gap)


def _radius(weights: Array, activation: AbstractActivation, samples: Samples, floor, gap) -> Array:
    h = weights.shape[0] // 2
    mirrored = weights.shape[0] == 2 * h
    if mirrored and is_concrete(weights):
        mirrored = bool(np.array_equal(np.asarray(weights[:h]), np.asarray(weights[h:])))
    if samples.outputs is not None or not mirrored:
        raise ValueError(
            f"narrow.certified_radius: given weights {weights.shape} and targets {samples.targets.shape}; expected a "
            "mirrored start and (n,); use mirrored_lecun, and certify one output at a time"
        )
    x = samples.inputs
    least = smallest_singular_value(features(activation, weights[:h], x))
    floor, gap = (jnp.asarray(number, x.dtype) for number in (floor, gap))
    ratio = jnp.where(gap > 0, jnp.where(floor > 0, gap / jnp.where(floor > 0, floor, 1), jnp.inf), 0)
    longest = jnp.sqrt(jnp.max(jnp.sum(x * x, axis=1)))
    bend = slope_bounds(activation)[1] * longest * jnp.linalg.norm(x, 2) * (1 + 0.5 * (1 + ratio))
    # a bend of zero is that of an affine function, whose features have no full rank beyond d samples
    return jnp.where(jnp.isfinite(bend), 2**0.5 * least / jnp.where(bend > 0, bend, jnp.inf), 0)


def optimality_bound(student: TwoLayer, samples: Samples) -> Float[Array, ""]:
    """`ℓ ≤ (n/2) Σ_j ‖∇_{w_j} ℓ‖²/v_j² / σ_min(K(W))²`: at every point, inside the feasible set or not.

    For `∇_{w_j} ℓ = v_j K_jᵀ r/n`, and `‖Kᵀ r‖ ≥ σ_min ‖r‖`. Neurons with readout zero are left out of `K`. Returns the
    bound, infinite where the rest has no full row rank. Raises `ValueError` for several outputs, and for shapes that do
    not fit. Reference: Zhang et al. 2021, section 5.
    """
    check_samples(student, samples)
    if samples.outputs is not None:
        raise ValueError(
            f"narrow.optimality_bound: given targets {samples.targets.shape}; expected (n,), one scalar output; bound "
            "the outputs one at a time"
        )
    gradient = jax.grad(loss)(student, samples).weights
    live = student.readout != 0
    shares = gradient / jnp.where(live, student.readout, 1)[:, None]
    total = 0.5 * samples.count * jnp.sum(jnp.where(live[:, None], shares, 0) ** 2)
    if student.bias is None:
        slopes = student.activation.derivative(samples.inputs @ student.weights.T)
    else:
        slopes = student.activation.derivative(samples.inputs @ student.weights.T + student.bias[None])
    matrix = jnp.where(live[None], slopes, 0)[:, :, None] * samples.inputs[:, None]
    least = smallest_singular_value(matrix.reshape(samples.count, -1))
    return jnp.where(least > 0, total / jnp.where(least > 0, least, 1) ** 2, jnp.inf)
