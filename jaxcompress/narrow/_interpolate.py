"""The explicit family that interpolates: difference quotients of neurons in the direction that
solves `K_h u = y`.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import is_concrete
from jaxcompress.kernels import AbstractActivation
from jaxcompress.narrow._assumptions import check_assumptions
from jaxcompress.narrow._features import features
from jaxcompress.narrow._start import mirrored
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import Samples


class Interpolation(eqx.Module):
    """`u`, the solution of least norm of `K_h u = y`, and the centres `W_h` about which it is a
    direction.
    """

    weights: Float[Array, "h d"]
    direction: Float[Array, "h d"]
    activation: AbstractActivation = eqx.field(static=True)

    def network(self, step: float | Array) -> TwoLayer:
        """Weights `W_h ± t u`, readouts `±1/(2t)`: central differences, so that the loss is
        `O(t⁴)`.

        Raises `ValueError` for a step that is zero or not finite.
        """
        if is_concrete(step) and not (np.all(np.isfinite(step)) and np.all(np.asarray(step) != 0)):
            raise ValueError(
                f"Interpolation.network: given step={step}; expected a finite number, not zero; "
                "try 1e-3"
            )
        t = jnp.asarray(step, self.weights.dtype)
        weights = jnp.concatenate(
            [self.weights + t * self.direction, self.weights - t * self.direction]
        )
        half = jnp.full(self.weights.shape[0], 1.0, t.dtype) / (2 * t)
        return TwoLayer(weights, jnp.concatenate([half, -half]), activation=self.activation)


def interpolation(
    weights: Float[Array, "h d"], samples: Samples, activation: AbstractActivation
) -> Interpolation:
    """The family of networks that tends to zero loss on samples with one output.

    Arguments: the centres `W_h (m/2, d)`, the samples, the activation.
    Returns an `Interpolation`, whose `network(t)` has a loss of order `t⁴`; as `t → 0` rounding
    enters as `ε/t`. Raises `ValueError` for several outputs and shapes that do not fit. Warns
    (`NarrowWarning`) where `K_h` cannot be expected to have full row rank; the direction is then
    the least-squares one.
    Reference: Zhang et al. 2021, theorem 1.
    """
    if samples.outputs is not None or samples.runs:
        raise ValueError(
            f"narrow.interpolation: given targets {samples.targets.shape}; expected (n,), one "
            "scalar output; interpolate every output by neurons of its own, or use narrow.fit"
        )
    matrix = features(activation, weights, samples.inputs)
    check_assumptions(
        "narrow.interpolation",
        mirrored(weights, jnp.ones_like(jnp.asarray(weights)[:, 0]), activation),
        samples,
    )
    direction, *_ = jnp.linalg.lstsq(matrix, samples.targets)
    return Interpolation(jnp.asarray(weights), direction.reshape(jnp.shape(weights)), activation)
