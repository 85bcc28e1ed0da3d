"""The Jacobian of a network on samples: `J_W = K(W)·v`, `K_j = diag(σ′(X w_j)) X` (Khatri–Rao),
`J_v = σ(X Wᵀ)`.

Rows are samples (times outputs, the last index fastest), columns follow
`jax.flatten_util.ravel_pytree` of the network.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcompress._internal.checks import check_finite
from jaxcompress.kernels import AbstractActivation
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import Samples
from jaxcompress.risk.internal import check_samples, preactivations


def features(
    activation: AbstractActivation, weights: Float[Array, "m d"], inputs: Float[Array, "n d"]
) -> Float[Array, "n m*d"]:
    """`K(W)`: gradients by the weights at readouts one, neuron after neuron.

    Raises `ValueError` unless shapes fit.

    Example: `features(activations.tanh, student.weights, samples.inputs)`.
    """
    weights, inputs = jnp.asarray(weights), jnp.asarray(inputs)
    if weights.ndim != 2 or inputs.ndim != 2 or weights.shape[1] != inputs.shape[1]:
        raise ValueError(
            f"narrow.features: given weights {weights.shape} and inputs {inputs.shape}; expected "
            "(m, d) and (n, d); use jax.vmap for leading axes"
        )
    check_finite("narrow.features", weights=weights, inputs=inputs)
    slopes = activation.derivative(inputs @ weights.T)
    return (slopes[:, :, None] * inputs[:, None]).reshape(inputs.shape[0], -1)


def jacobian(student: TwoLayer, samples: Samples) -> Float[Array, "rows P"]:
    """`∂f(x_s)/∂θ` by all parameters.

    Raises `ValueError` when the two do not fit together.

    Example: `jacobian(student, samples)`.
    """
    check_samples("narrow.jacobian", student, samples)
    x, a, f = samples.inputs, student.readout_matrix, student.activation
    n, o, m = samples.count, a.shape[1], student.width
    z = preactivations(student, x)
    by_bias = f.derivative(z)[:, None] * a.T[None]  # (n, o, m)
    blocks = [(by_bias[..., None] * x[:, None, None]).reshape(n, o, -1)]
    eye = jnp.eye(o, dtype=x.dtype)
    blocks.append((f(z)[:, None, :, None] * eye[None, :, None]).reshape(n, o, m * o))
    if student.bias is not None:
        blocks.append(by_bias)
    if student.output_bias is not None:
        blocks.append(jnp.broadcast_to(eye[None], (n, o, o)))
    return jnp.concatenate(blocks, axis=2).reshape(n * o, -1)


def jacobian_rank(
    student: TwoLayer,
    samples: Samples,
    parameters: Literal["weights", "all"] = "all",
    tolerance: float | None = None,
) -> Int[Array, ""]:
    """The rank of the Jacobian by the weights, or by all parameters.

    Arguments:

    - `student`, `samples`: without leading axes
    - `parameters`: `"weights"` or `"all"` (static)
    - `tolerance`: singular values up to this share of the largest count as zero; left out,
      `max(rows, columns)·ε`, as in NumPy

    Raises `ValueError` when student and samples do not fit together.

    Example: `jacobian_rank(start, samples, "weights")`.
    """
    if parameters not in ("weights", "all"):
        raise ValueError(
            f'narrow.jacobian_rank: given {parameters!r}; expected "weights" or "all"; choose one'
        )
    matrix = jacobian(student, samples)
    return jnp.linalg.matrix_rank(
        matrix[:, : student.weights.size] if parameters == "weights" else matrix, tolerance
    )


def smallest_singular_value(matrix: Float[Array, "n p"]) -> Float[Array, ""]:
    """The least `‖Aᵀr‖` of unit `r (n,)`: the `n`-th singular value, zero for more rows than
    columns.

    A value of at most `max(n, p)·ε` of the largest one is rounding, and counts as zero, as in
    `jacobian_rank`.

    Example: `smallest_singular_value(features(f, weights, inputs))`.
    """
    n, p = matrix.shape
    if n > p:
        return jnp.zeros((), matrix.dtype)
    values = jnp.linalg.svd(matrix, compute_uv=False)
    return jnp.where(values[-1] > p * jnp.finfo(matrix.dtype).eps * values[0], values[-1], 0)
