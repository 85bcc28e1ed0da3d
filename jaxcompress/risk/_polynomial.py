"""The moments of a target as the polynomial that has them."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import activations
from jaxcompress.networks import TargetMoments
from jaxcompress.networks.internal import Layer, orders_second_moment


def polynomial(
    moments: TargetMoments,
) -> tuple[Float[Array, " o"], tuple[Layer, ...], Float[Array, ""]]:
    """The polynomial `C + T·z + ½⟨Q, zzᵀ − I⟩` as layers: its product with any student has the
    target's own moments.

    Linear neurons carry `T`, quadratic ones along the eigenvectors of `Q` the rest. Derivatives by
    `Q` itself would have to pass through these.
    Returns the constant, the layers and the second moment.
    """
    constant, linear, quadratic = moments.with_outputs()
    unit = jnp.eye(linear.shape[0], dtype=linear.dtype)
    layers = [Layer(linear, None, unit, activations.identity)]
    if quadratic is not None:
        values, vectors = jnp.linalg.eigh(quadratic)
        rows = jnp.swapaxes(vectors, 1, 2).reshape(-1, linear.shape[1])
        # ½ λ ((u·z)² − 1) is λ/√2 times the orthonormal polynomial of degree 2
        readout = (unit[:, None] * values[:, :, None] / math.sqrt(2)).reshape(-1, linear.shape[0])
        layers.append(Layer(rows, None, readout, activations.hermite(2)))
    # A target has at least the second moment of its orders; an estimate below it, of a wide target,
    # would clip many risks to one zero.
    second_moment = jnp.maximum(
        moments.second_moment, orders_second_moment(constant, linear, quadratic)
    )
    return constant, tuple(layers), second_moment
