"""The Hermite orders of one random neuron in expectation, in closed form or by a rule that is right
to rounding.

Letters as in `_moments`: for a neuron `φ(v·z)` the orders are `m(|v|)`, `m′v` and `m″vvᵀ`. For ReLU
they are `|v|/√2π`, `v/2` and `vvᵀ/(|v|√2π)`; for erf `0`, `√(2/π) v/√(1 + |v|²)` and `0`; for
`constant + slope·x`, `constant`, `slope·v` and `0`.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation, activations
from jaxcompress.kernels.internal import Affine
from jaxcompress.networks._laplace import AbstractComponents, mean_direction, mean_norm, mean_outer
from jaxcompress.networks._layer import line_orders
from jaxcompress.networks._weight_distributions import AbstractWeights, Polar
from jaxcompress.special.internal import divide


class Orders(NamedTuple):
    """`E m`, `E m′v` and, where it is wanted, `E m″vvᵀ`."""

    constant: Float[Array, ""]
    linear: Float[Array, " d"]
    quadratic: Float[Array, "d d"] | None


class _Parts(NamedTuple):
    """An activation as `constant + slope·x + relu·max(x, 0) + erf·erf(x/√2)`."""

    constant: float
    slope: float
    relu: float
    erf: float


# By the shapes of their terms; `|x| = 2 max(x, 0) − x` and `Φ(x) = ½ + ½ erf(x/√2)`.
_KNOWN = {
    (f.terms or ())[0].shape: parts
    for f, parts in (
        (Affine(1.0, 0.0), _Parts(1.0, 0.0, 0.0, 0.0)),
        (activations.identity, _Parts(0.0, 1.0, 0.0, 0.0)),
        (activations.relu, _Parts(0.0, 0.0, 1.0, 0.0)),
        (activations.abs, _Parts(0.0, -1.0, 2.0, 0.0)),
        (activations.erf, _Parts(0.0, 0.0, 0.0, 1.0)),
        (activations.normal_cdf, _Parts(0.5, 0.0, 0.0, 0.5)),
    )
}


def expected_orders(
    law: AbstractWeights, f: AbstractActivation, dim: int, order: int, dtype
) -> Orders:
    """The orders of one neuron, averaged over its distribution.

    Raises `ValueError` where neither the distribution's norm and direction are independent nor the
    activation is made of ReLU, erf and affine parts.
    """
    polar, components, parts = law.polar(dim, dtype), law.components(dim, dtype), _parts(f)
    if polar is not None:
        return _by_norm(polar, f, dim, order)
    if components is not None and parts is not None:
        return _by_transform(components, law.level(dim, dtype), parts, order)
    mean = "" if law.mean is None else " with a mean"
    raise ValueError(
        f"Ensemble.expected_moments: given {f!r} and {type(law).__name__}{mean}; expected relu, "
        "erf, affine functions or sums of these, or else neurons whose norm does not depend on "
        "their direction (GaussianEntries or RademacherEntries without mean, Sphere); average "
        "moments(key) over a few keys instead"
    )


def _parts(f: AbstractActivation) -> _Parts | None:
    if f.terms is None or any(term.shape not in _KNOWN for term in f.terms):
        return None
    rows = [(complex(term.coefficient).real, _KNOWN[term.shape]) for term in f.terms]
    return _Parts(*(sum(factor * known[i] for factor, known in rows) for i in range(4)))


def _by_norm(polar: Polar, f: AbstractActivation, dim: int, order: int) -> Orders:
    p, along, across, axis = polar
    norm = jnp.hypot(along, across)
    mean, slope, bent = line_orders(f, norm, None)
    linear = jnp.zeros(dim, norm.dtype) if axis is None else jnp.sum(p * slope * along) * axis
    quadratic = None
    if order == 2:
        eye, bend = jnp.eye(dim, dtype=norm.dtype), p * divide(bent, norm)
        if axis is None:
            quadratic = jnp.sum(bend * across**2) / dim * eye
        else:
            line, rest = jnp.outer(axis, axis), jnp.sum(bend * across**2) / max(1, dim - 1)
            quadratic = jnp.sum(bend * along**2) * line + rest * (eye - line)
    return Orders(jnp.sum(p * mean), linear, quadratic)


def _by_transform(
    components: AbstractComponents, level: Array, parts: _Parts, order: int
) -> Orders:
    dim, circle = level.shape[0], math.sqrt(2 * math.pi)
    constant, linear = (
        jnp.asarray(parts.constant, level.dtype),
        (parts.slope + 0.5 * parts.relu) * level,
    )
    if parts.relu:
        constant += parts.relu / circle * mean_norm(components)
    if parts.erf:
        linear += parts.erf * (2 / circle) * mean_direction(components)
    if order == 1:
        return Orders(constant, linear, None)
    quadratic = jnp.zeros((dim, dim), level.dtype)
    return Orders(
        constant,
        linear,
        quadratic + parts.relu / circle * mean_outer(components) if parts.relu else quadratic,
    )
