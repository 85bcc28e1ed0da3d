"""The pair kernel `K(θ, θ′)` of two orbits under the rotations of H and of H⊥, in two ways.

`K(θ,θ′) = E_{r,s} κ(cosθ cosθ′ r + sinθ sinθ′ s)`, `κ(z) = (√(1−z²) + (π − arccos z) z)/2π`, where
`r`, `s` are coordinates of uniform unit vectors of `d_H` and `d_⊥` dimensions. The odd part of κ
averages to zero, and what is left is `(√(1−z²) + z arcsin z)/2π`, of derivative `arcsin(z)/2π`.
"""

import abc
import math
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from jaxcompress._internal.checks import check_integer
from jaxcompress._internal.deprecation import renamed_arguments, renamed_attribute
from jaxcompress._internal.jit import jitted
from jaxcompress.infinite_width._rules import (
    check_count,
    check_dims,
    coordinate_rule,
    gamma_ratio,
    share_recurrence,
)

_CIRCLE = 2 * math.pi
# The most modes that are summed: they leave 3e-12 of K in two dimensions, where the sum converges
# slowest.
_MOST = 4096


class AbstractAngleKernel(eqx.Module):
    """A way to sum `K` over particles; `dims = (d_H, d_⊥)`, static.

    Example: `Spectral` and `Quadrature` are subclasses.
    """

    dims: eqx.AbstractVar[tuple[int, int]]

    @abc.abstractmethod
    def sums(
        self, at: Float[Array, " n"], sources: Float[Array, " m"], charges: Float[Array, " m"]
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """`Σ_i charges_i K(θ, θ_i)` and its derivative by θ, at every `at`."""


class _Partial(NamedTuple):
    """A mode and the one before it, with derivatives by `u = cos²θ`, and the sums so far."""

    value: Array
    derivative: Array
    before: Array
    derivative_before: Array
    total: Array
    total_derivative: Array


class Spectral(AbstractAngleKernel):
    """`K = Σ_j F_j(θ) F_j(θ′)`, `F_j = √d μ_{2j} p_j(cos 2θ)`: `O(particles × modes)`.

    `p_j` are the polynomials in `cos²θ` that are orthonormal under its distribution at time zero,
    Beta(d_H/2, d_⊥/2); `μ_k` are the coefficients of ReLU on the sphere, `μ_0 = Γ(d/2)/(2√π
    Γ((d+1)/2))`, `μ_{k+2} = −μ_k (k−1)/(d+k+1)`. The recurrence runs for their product, because in
    many dimensions `p_j` overflows and `μ_{2j}` underflows.

    Arguments (all static):

    - `dim_target`, `dim_rest`: `d_H` and `d_⊥`
    - `modes`: how many terms, up to 4096; left out, as many as leave at most `tolerance` of `K`
    - `tolerance`: see `modes`
    - `dtype`: the default float type when left out

    `tail` bounds what is left out, `max |K − Σ|`; the bound is attained at equal angles in H or H⊥.
    Raises `ValueError` for dimensions below 1, and for other numbers of modes.

    Example: `AngleSystem(3, 7, kernel=Spectral(3, 7, modes=200))`.
    """

    dims: tuple[int, int] = eqx.field(static=True)
    centre: Float[Array, " modes"]
    up: Float[Array, " modes"]
    back: Float[Array, " modes"]
    first: Float[Array, ""]
    tail: float = eqx.field(static=True)

    @renamed_arguments(near="dim_target", far="dim_rest")
    def __init__(
        self,
        dim_target: int,
        dim_rest: int,
        *,
        modes: int | None = None,
        tolerance: float = 1e-11,
        dtype=None,
    ):
        check_dims("Spectral", dim_target, dim_rest)
        remainders = _remainders(dim_target, dim_rest)
        if modes is None and not tolerance > 0:
            raise ValueError(
                f"Spectral: given tolerance={tolerance}; expected more than zero; pass modes for a "
                "number"
            )
        if modes is None:
            enough = remainders <= tolerance
            modes = max(1, int(np.argmax(enough))) if enough[-1] else _MOST
        remedy = "change it, or use Quadrature"
        modes = check_integer("Spectral", "modes", modes, 1, _MOST, remedy=remedy)
        self.dims = dim_target, dim_rest
        dtype = dtype or jnp.result_type(float)
        centre, up, back, first = _steps(dim_target, dim_rest, modes)
        self.centre, self.up, self.back = (jnp.asarray(each, dtype) for each in (centre, up, back))
        self.first, self.tail = jnp.asarray(first, dtype), float(remainders[modes])

    @property
    def modes(self) -> int:
        """The number of modes that are summed."""
        return self.centre.shape[0]

    def moments(
        self, angle: Float[Array, " m"], charges: Float[Array, " m"]
    ) -> Float[Array, " modes"]:
        """`Σ_i charges_i F_j(θ_i)`; the modes of all particles are never held together."""
        u = jnp.cos(angle) ** 2

        def step(carry, numbers):
            value, before = carry
            centre, up, back = numbers
            return (up * (u - centre) * value - back * before, value), jnp.dot(
                value, charges, precision="highest"
            )

        start = (jnp.full_like(u, self.first), jnp.zeros_like(u))
        return jax.lax.scan(step, start, (self.centre, self.up, self.back))[1]

    def expansion(
        self, angle: Float[Array, " n"], moments: Float[Array, " modes"]
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """`Σ_j moments_j F_j(θ)` and its derivative by θ."""
        u = jnp.cos(angle) ** 2

        def step(carry: _Partial, numbers):
            value, derivative, before, derivative_before, total, total_derivative = carry
            centre, up, back, moment = numbers
            after = up * (u - centre) * value - back * before
            derivative_after = up * (value + (u - centre) * derivative) - back * derivative_before
            return _Partial(
                value=after,
                derivative=derivative_after,
                before=value,
                derivative_before=derivative,
                total=total + moment * value,
                total_derivative=total_derivative + moment * derivative,
            ), None

        zero = jnp.zeros_like(u)
        first = _Partial(jnp.full_like(u, self.first), zero, zero, zero, zero, zero)
        end, _ = jax.lax.scan(step, first, (self.centre, self.up, self.back, moments))
        return end.total, -jnp.sin(2 * angle) * end.total_derivative

    def sums(self, at, sources, charges):
        return self.expansion(at, self.moments(sources, charges))


def _steps(dim_target: int, dim_rest: int, modes: int) -> tuple[NDArray, NDArray, NDArray, float]:
    """`F_{j+1} = up_j (u − centre_j) F_j − back_j F_{j−1}` and `F_0`, on the host."""
    d = dim_target + dim_rest
    centre, square = share_recurrence(dim_target, dim_rest, modes + 1)
    j = np.arange(modes)
    ratio = -(2 * j - 1) / (d + 2 * j + 1)
    root = np.sqrt(square)
    before = np.concatenate([[0.0], ratio[:-1]])
    first = math.sqrt(d) / (2 * math.sqrt(math.pi) * gamma_ratio(d / 2))
    return centre[:-1], ratio / root[1:], ratio * before * root[:-1] / root[1:], first


@lru_cache(maxsize=64)
def _remainders(dim_target: int, dim_rest: int) -> NDArray:
    """Bounds for what sums of 0, 1, … modes leave out of `K`.

    A Jacobi polynomial is largest at an end of its interval (Szegő, theorem 7.32.1), so that the
    larger of the values at both ends bounds every mode. Beyond `2·_MOST` modes the values fall at
    least like `j^−5/2` (one dimension; like `j^−(p+3/2)` in p), and the sum of those is the last
    one times its number, over 1.5.
    """
    count = 2 * _MOST
    centre, up, back, first = _steps(dim_target, dim_rest, count)
    bound = np.zeros(count)
    for u in (0.0, 1.0):
        value, before = first, 0.0
        for j in range(count):
            bound[j] = max(bound[j], value * value)
            value, before = up[j] * (u - centre[j]) * value - back[j] * before, value
    beyond = bound[-1] * count / 1.5
    remainders = np.cumsum(np.append(bound, beyond)[::-1])[::-1]
    return remainders[: _MOST + 1]


class Quadrature(AbstractAngleKernel):
    """`K` by Gauss rules in `r` and `s`: `O(particles² × nodes²)`; it shares no formula with
    `Spectral`.

    Arguments (all static):

    - `dim_target`, `dim_rest`: `d_H` and `d_⊥`
    - `nodes`: nodes in each of `r` and `s` (a dimension of one needs only two); left out, 64, and
      160 in two dimensions, which leaves an error below 1e-10
    - `dtype`: the default float type when left out

    The error falls exponentially, except for equal angles, where it falls like `nodes^−(p+2)`, `p`
    the smaller of the dimensions other than one, with the factors 0.024 and 0.07 for p = 2 and 3.
    Memory: `O(particles² × nodes)`; it serves as a reference, not for many particles.

    Example: `angle_kernel(Quadrature(3, 7), angles, angles)`.
    """

    dims: tuple[int, int] = eqx.field(static=True)
    rule_target: tuple[Float[Array, " r"], Float[Array, " r"]]
    rule_rest: tuple[Float[Array, " s"], Float[Array, " s"]]

    near = renamed_attribute("near", "rule_target")
    far = renamed_attribute("far", "rule_rest")

    @renamed_arguments(near="dim_target", far="dim_rest")
    def __init__(self, dim_target: int, dim_rest: int, *, nodes: int | None = None, dtype=None):
        check_dims("Quadrature", dim_target, dim_rest)
        check_count("Quadrature", nodes=1 if nodes is None else nodes)
        self.dims = dim_target, dim_rest
        dtype = dtype or jnp.result_type(float)
        self.rule_target = _rule(dim_target, nodes, dtype)
        self.rule_rest = _rule(dim_rest, nodes, dtype)

    def sums(self, at, sources, charges):
        cos, sin = jnp.cos(at)[:, None], jnp.sin(at)[:, None]
        cos_of, sin_of = jnp.cos(sources)[None], jnp.sin(sources)[None]
        s, weight_s = (each[:, None, None] for each in self.rule_rest)

        def add(total, node):
            r, weight = node
            z = jnp.clip((cos * cos_of * r)[None] + (sin * sin_of)[None] * s, -1, 1)
            turn = (cos * sin_of)[None] * s - (sin * cos_of * r)[None]
            arc = jnp.arcsin(z)
            value = jnp.sqrt((1 - z) * (1 + z)) + z * arc
            both = (
                jnp.sum(weight_s * each, 0) @ charges * (weight / _CIRCLE)
                for each in (value, arc * turn)
            )
            return jax.tree.map(jnp.add, total, tuple(both)), None

        return jax.lax.scan(add, (jnp.zeros_like(at), jnp.zeros_like(at)), self.rule_target)[0]


def _rule(dim: int, nodes: int | None, dtype) -> tuple[Array, Array]:
    points, weights = coordinate_rule(dim, (160 if dim == 2 else 64) if nodes is None else nodes)
    return jnp.asarray(points, dtype), jnp.asarray(weights, dtype)


@jitted
def angle_kernel(
    kernel: AbstractAngleKernel, at: Float[Array, " n"], other: Float[Array, " m"]
) -> Float[Array, "n m"]:
    """The table `K(θ_i, θ′_j)`.

    Example: `angle_kernel(Spectral(3, 7), angles, angles)`.
    """
    one = jnp.ones((1,), at.dtype)
    return jax.vmap(lambda angle: kernel.sums(at, angle[None], one)[0], out_axes=1)(other)
