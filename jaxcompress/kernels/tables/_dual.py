"""What users of infinite-width kernels ask for: dual activations, Hermite coefficients, NNGP and
NTK tables.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_floating, check_integer
from jaxcompress.kernels.activations._activation import (
    AbstractActivation,
    Sum,
    check_activation,
)
from jaxcompress.kernels.activations._derivative import derivative_of
from jaxcompress.kernels.activations._terms import derivative
from jaxcompress.kernels.activations._traits import kink_order
from jaxcompress.kernels.moments._exponentials import line_mean
from jaxcompress.kernels.moments._pair import GaussianPair, expectation
from jaxcompress.kernels.moments._quadrature import nodes_of, rule
from jaxcompress.kernels.tables._correlations import product
from jaxcompress.kernels.tables._gram import gram


def dual_activation(f: AbstractActivation, correlation: Float[Array, "..."]) -> Float[Array, "..."]:
    """`E[f(X) f(Y)]` for standard normal `X`, `Y` of this correlation: `Σ_p c_p² ρ^p` of
    `hermite_coefficients`.

    Arguments: an activation (static), correlations in [−1, 1] of any shape and a floating dtype.
    Returns an array of that shape and dtype. The dual of the derivative is
    `dual_activation(derivative_of(f), correlation)`, and it is also the derivative of the dual
    (Price).
    Reference: Daniely, Frostig & Singer 2016, *Toward deeper understanding of neural networks*,
    definition 4.

    >>> from jaxcompress.kernels import activations, dual_activation
    >>> round(float(dual_activation(activations.erf, 1.0)), 4)
    0.3333
    """
    check_activation("dual_activation", f)
    correlation = as_array("dual_activation", "correlation", correlation)
    check_floating("dual_activation", correlation=correlation)
    one = jnp.ones((), correlation.dtype)
    return expectation(f, f, GaussianPair(one, one, correlation))


def hermite_coefficients(
    f: AbstractActivation, degree: int, scale: Float[Array, ""] | float = 1.0
) -> Float[Array, " degree+1"]:
    """`E[f(scale·Z) h_p(Z)]` for `p = 0 … degree` and the orthonormal Hermite polynomials `h_p =
    He_p/√(p!)`.

    Arguments: an activation (static), the highest degree (static), a positive scale (a floating
    array decides the dtype).
    Returns an array `(degree + 1,)`. With closed forms they are `scale^p E[f⁽ᵖ⁾(scale·Z)]/√(p!)`
    (Rodrigues, by parts), exact as long as `scale^p` is within range; by quadrature they are right
    until the polynomial oscillates faster than the nodes, at about half as many degrees.

    >>> from jaxcompress.kernels import activations, hermite_coefficients
    >>> [round(float(c), 4) for c in hermite_coefficients(activations.relu, 2)]
    [0.3989, 0.5, 0.2821]
    """
    check_activation("hermite_coefficients", f)
    # Factorials end at 150.
    degree = check_integer("hermite_coefficients", "degree", degree, 0, 150, remedy="lower it")
    scale = jnp.asarray(scale, jnp.result_type(float) if isinstance(scale, float | int) else None)
    check_floating("hermite_coefficients", scale=scale)
    if scale.ndim:
        raise ValueError(
            f"hermite_coefficients: given a scale of shape {scale.shape}; expected one number; use "
            "jax.vmap for several scales"
        )
    if isinstance(f, Sum):
        return jnp.sum(
            jnp.stack(
                [factor * hermite_coefficients(part, degree, scale) for factor, part in f.parts]
            ),
            0,
        )
    if f.terms is not None:
        means = [line_mean(derivative(f.terms, p), 0.0, scale) for p in range(degree + 1)]
        return jnp.stack(
            [scale**p * mean / math.sqrt(math.factorial(p)) for p, mean in enumerate(means)]
        )
    nodes, weights = (jnp.asarray(part, scale.dtype) for part in rule(nodes_of(f)))
    weighted, before, now, out = (
        f(scale * nodes) * weights,
        jnp.zeros_like(nodes),
        jnp.ones_like(nodes),
        [],
    )
    for p in range(degree + 1):
        out.append(jnp.sum(weighted * now))
        before, now = now, (nodes * now - math.sqrt(p) * before) / math.sqrt(p + 1)
    return jnp.stack(out)


def nngp(
    f: AbstractActivation,
    x: Float[Array, "n d"],
    y: Float[Array, "k d"] | None = None,
    *,
    weight_std: float = 1.0,
    bias_std: float = 0.0,
) -> Float[Array, "n k"]:
    """The covariance of a wide two-layer network's outputs at random parameters.

    The network is `m^{−½} Σ_j a_j f(weight_std·⟨w_j, x⟩/√d + bias_std·b_j)` with standard normal
    parameters and `m → ∞`.
    Arguments:

    - `x (n, d)`, `y (k, d)`: inputs of one floating dtype; `y` is `x` when left out;
    - `f`: an activation (static);
    - `weight_std`, `bias_std`: standard deviations of weights and biases.

    Returns the table `(n, k)`.
    Raises `ValueError` for what is no activation, and for inputs that do not fit together.
    Reference: Cho & Saul 2009; Lee et al. 2018.

    >>> import jax.numpy as jnp
    >>> from jaxcompress.kernels import activations, nngp
    >>> nngp(activations.relu, jnp.eye(2)).shape
    (2, 2)
    """
    check_activation("nngp", f)
    x, y = _both("nngp", x, y, weight_std, bias_std)
    return gram(f, x, f, y)


def ntk(
    f: AbstractActivation,
    x: Float[Array, "n d"],
    y: Float[Array, "k d"] | None = None,
    *,
    weight_std: float = 1.0,
    bias_std: float = 0.0,
) -> Float[Array, "n k"]:
    """The neural tangent kernel of the network of `nngp`, all its parameters trained: `NNGP + Σ ⊙
    E[f′f′]`.

    `Σ` is the covariance of the pre-activations. Arguments, returns and errors are those of `nngp`;
    `f` must have a derivative that is a function. Example: that of `nngp`.
    Reference: Jacot, Gabriel & Hongler 2018.
    """
    check_activation("ntk", f)
    if kink_order(f) == 0:
        raise ValueError(
            f"ntk: given {f!r}, which jumps; expected an activation whose derivative is a "
            "function; smooth it first, for example normal_cdf for step or erf for sign"
        )
    prime = derivative_of(f)
    x, y = _both("ntk", x, y, weight_std, bias_std)
    return gram(f, x, f, y) + product(x, y.T) * gram(prime, x, prime, y)


def _both(
    where: str, x: Array, y: Array | None, weight_std: float, bias_std: float
) -> tuple[Array, Array]:
    """Both families of inputs; the second is the first where it was left out."""
    first = _rows(where, x, weight_std, bias_std)
    second = first if y is None else _rows(where, y, weight_std, bias_std)
    if first.shape[1] != second.shape[1] or first.dtype != second.dtype:
        given = [(each.shape[0], each.shape[1] - 1, each.dtype.name) for each in (first, second)]
        raise ValueError(
            f"{where}: given inputs x, y of (samples, dimension, dtype) {given[0]} and {given[1]}; "
            "expected one dimension and one dtype; cast or transpose one of them"
        )
    return first, second


def _rows(where: str, x: Array, weight_std: float, bias_std: float) -> Array:
    """Inputs as the weights of a neuron whose inputs are the random parameters."""
    x = as_array(where, "inputs", x)
    check_floating(where, inputs=x)
    if x.ndim != 2:
        raise ValueError(
            f"{where}: given inputs of shape {x.shape}; expected (samples, input dimension)"
        )
    bias = jnp.full((x.shape[0], 1), bias_std, x.dtype)
    return jnp.concatenate(
        [x * jnp.asarray(weight_std / math.sqrt(x.shape[1]), x.dtype), bias], axis=1
    )
