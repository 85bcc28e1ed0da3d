"""How far the neurons of a ReLU network are from an equiangular tight frame.

Letters: `u_j = w_j/‖w_j‖` directions, `α_j = a_j‖w_j‖` signed masses (all that a ReLU neuron is),
`ū` the mean of the directions, `t̂` the direction of the target's linear part.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.special.internal import divide


class FrameDefect(NamedTuple):
    """Numbers that vanish together on equiangular tight frames of equal masses, tilted or not.

    `gram_spread`: largest minus least `⟨u_i, u_j⟩`, `i ≠ j`. `mass_spread`: largest minus least
    mass over their mean size. `tightness`: spread of the eigenvalues of `Σ_j (u_j − ū)(u_j − ū)ᵀ`
    on the `min(M − 1, d)` dimensions that a frame fills, over their mean. `orientation`: how far
    the frame is tilted away from its axis `t̂`: the part of `ū` across `t̂`, the spread of `⟨u_j,
    t̂⟩`, or twice their mean where it is negative, whichever is largest; without a linear part,
    `‖ū‖`. For a target of negative mean the axis is `−t̂`.
    Example: that of `frame_defect`.
    """

    gram_spread: Float[Array, ""]
    mass_spread: Float[Array, ""]
    tightness: Float[Array, ""]
    orientation: Float[Array, ""]

    @property
    def largest(self) -> Float[Array, ""]:
        """The largest of them."""
        return jnp.max(jnp.stack(self), axis=0)


def frame_defect(network: TwoLayer, moments: TargetMoments | None = None) -> FrameDefect:
    """The distance of a network from an equiangular tight frame, in its four parts.

    Arguments: a network of one output without biases whose neurons count by direction and mass, as
    ReLU's do; the `TargetMoments` (of standard normal inputs) that it was solved against, for the
    axis: left out, or with a linear part of zero (below `√ε` of the constant, where rounding
    decides its direction), the frame must be centred. Use `jax.vmap` for batches. A neuron of zero
    norm counts as a direction of zero: no frame.
    Returns a `FrameDefect` of numbers ≥ 0; frames in general position have them of order 1.
    Raises `ValueError` for leading axes, several outputs, biases, or moments of another dimension.
    Reference: Amani et al. 2022 (the optimum of the simplified risk); Sustik et al. 2007 (such
    frames).

    >>> import jax.numpy as jnp, jaxcompress as jc
    >>> simplex = jc.TwoLayer(jc.theory.simplex_frame(3, 2), jnp.ones(3))
    >>> bool(jc.landscape.frame_defect(simplex).largest < 1e-6)
    True
    """
    _check(network, moments)
    norms = jnp.linalg.norm(network.weights, axis=1)
    units = divide(network.weights, norms[:, None])
    masses = network.readout * norms
    n, d = network.weights.shape
    others = ~jnp.eye(n, dtype=bool)
    gram = units @ units.T
    none = jnp.zeros((), units.dtype)
    spread = none
    if n > 1:
        spread = jnp.max(jnp.where(others, gram, -jnp.inf)) - jnp.min(
            jnp.where(others, gram, jnp.inf)
        )
    middle = jnp.mean(units, axis=0)
    filled = min(n - 1, d)
    values = jnp.linalg.eigvalsh((units - middle[None]) @ (units - middle[None]).T)[n - filled :]
    tightness = divide(values[-1] - values[0], jnp.mean(values)) if filled else none
    mass_spread = divide(jnp.max(masses) - jnp.min(masses), jnp.mean(jnp.abs(masses)))
    return FrameDefect(spread, mass_spread, tightness, _orientation(units, middle, moments))


def _orientation(units: Array, middle: Array, moments: TargetMoments | None) -> Array:
    centred = jnp.linalg.norm(middle)
    if moments is None:
        return centred
    size = jnp.linalg.norm(moments.linear)
    # a target of negative mean is matched by negative masses, and then the frame tilts the other
    # way
    axis = divide(moments.linear, size) * jnp.where(moments.constant < 0, -1, 1).astype(size.dtype)
    along = units @ axis
    across = jnp.linalg.norm(middle - jnp.mean(along) * axis)
    known = size > jnp.sqrt(jnp.finfo(size.dtype).eps) * jnp.abs(moments.constant)
    against = -2 * jnp.mean(along)
    tilt = jnp.maximum(jnp.maximum(across, jnp.max(along) - jnp.min(along)), against)
    return jnp.where(known, tilt, centred)


def _check(network: TwoLayer, moments: TargetMoments | None) -> None:
    plain = network.bias is None and network.output_bias is None
    if network.weights.ndim != 2 or network.outputs is not None or not plain:
        named = ", ".join(f"{name} {array.shape}" for name, array in network.parameters().items())
        raise ValueError(
            f"frame_defect: given {named}; expected weights (n, d) and readout (n,) without "
            "biases; use jax.vmap for leading axes"
        )
    if moments is not None and (
        moments.runs or moments.outputs is not None or moments.dim != network.dim
    ):
        raise ValueError(
            f"frame_defect: given moments with linear part {moments.linear.shape} for weights "
            f"{network.weights.shape}; expected ({network.dim},), one target of one output; use "
            "jax.vmap for leading axes"
        )
