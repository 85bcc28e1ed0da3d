"""What users of infinite-width kernels ask for: dual activations, Hermite coefficients, NNGP and
NTK tables.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_floating, check_integer
from jaxcompress.kernels.activations._activation import AbstractActivation, Closed, Sum, total
from jaxcompress.kernels.activations._terms import derivative
from jaxcompress.kernels.moments._exponentials import line_mean
from jaxcompress.kernels.moments._pair import GaussianPair, expectation
from jaxcompress.kernels.moments._quadrature import nodes_of, rule
from jaxcompress.kernels.moments._selection import formulas
from jaxcompress.kernels.tables._correlations import product
from jaxcompress.kernels.tables._gram import gram


class Slope(AbstractActivation):
    """The derivative of an activation without closed forms, as an activation."""

    of: AbstractActivation

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.of.derivative(x)


def slope(f: AbstractActivation) -> AbstractActivation:
    """The derivative of an activation, an activation itself: `step` for `relu`.

    Raises `ValueError` where it is no function, as for `step` and `sign`.
    """
    formulas(f, f)
    if isinstance(f, Sum):
        return total([(factor, slope(part)) for factor, part in f.parts])
    if f.terms is None:
        return Slope(f)
    terms = derivative(f.terms)
    if any(term.order and term.blend.sharp for term in terms):
        raise ValueError(
            f"slope: given {f!r}, which jumps; expected an activation whose derivative is a "
            "function; smooth it first, for example normal_cdf for step or erf for sign"
        )
    return Closed(f"slope({f!r})", terms)


def dual_activation(f: AbstractActivation, correlation: Float[Array, "..."]) -> Float[Array, "..."]:
    """`E[f(X) f(Y)]` for standard normal `X`, `Y` of this correlation: `Σ_p c_p² ρ^p` of
    `hermite_coefficients`.

    Arguments: an activation (static), correlations in [−1, 1] of any shape and a floating dtype.
    Returns an array of that shape and dtype. The dual of the derivative is
    `dual_activation(slope(f), correlation)`, and it is also the derivative of the dual (Price).
    Reference: Daniely, Frostig & Singer 2016, *Toward deeper understanding of neural networks*,
    definition 4.
    """
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
    """
    # Factorials end at 150.
    degree = check_integer("hermite_coefficients", "degree", degree, 0, 150, remedy="lower it")
    formulas(f, f)
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
    Arguments: an activation (static), inputs `x (n, d)` and `y (k, d)` (`x` again when left out) of
    one floating dtype.
    Returns the table `(n, k)`.
    Raises `ValueError` as `gram`.
    Reference: Cho & Saul 2009; Lee et al. 2018.
    """
    x, y = _rows(x, weight_std, bias_std), None if y is None else _rows(y, weight_std, bias_std)
    return gram(f, x, f, x if y is None else y)


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

    `Σ` is the covariance of the pre-activations. Arguments, returns and errors as for `nngp`; `f`
    must have a derivative that is a function.
    Reference: Jacot, Gabriel & Hongler 2018.
    """
    prime = slope(f)
    x, y = _rows(x, weight_std, bias_std), None if y is None else _rows(y, weight_std, bias_std)
    y = x if y is None else y
    return gram(f, x, f, y) + product(x, y.T) * gram(prime, x, prime, y)


def _rows(x: Array, weight_std: float, bias_std: float) -> Array:
    """Inputs as the weights of a neuron whose inputs are the random parameters."""
    x = as_array("nngp", "inputs", x)
    check_floating("nngp", inputs=x)
    if x.ndim != 2:
        raise ValueError(
            f"nngp: given inputs of shape {x.shape}; expected (samples, input dimension)"
        )
    bias = jnp.full((x.shape[0], 1), bias_std, x.dtype)
    return jnp.concatenate(
        [x * jnp.asarray(weight_std / math.sqrt(x.shape[1]), x.dtype), bias], axis=1
    )
