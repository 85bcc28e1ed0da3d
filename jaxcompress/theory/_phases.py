"""The minimum of the simplified ReLU risk in each of its phases, as numbers: angles, masses, risks.

Letters: `M` neurons of unit directions `u_j` and signed masses `α_j = a_j‖w_j‖`; `S = Σ b_i‖v_i‖ ≥
0` and `T = ‖Σ b_i v_i‖` of the target; `x` the cosine between a direction and the axis `t/T`. The
risk less its constant is `Σ_jl α_j α_l h(⟨u_j, u_l⟩) − 2 Σ_j α_j (S/(2π) + ⟨u_j, t⟩/4)`, `h(c) =
(√(1−c²) + c(π − arccos c))/(2π)`. As `relu(z) = (z + |z|)/2` it is a sum of squares of an odd part,
`¼‖Σ α_j u_j − t‖²`, and of an even part that is least for orthonormal lines of equal masses.
Reference: Amani et al. 2022 for `T = 0`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.special.internal import divide, sqrt

TURN = 2 * math.pi


class Groups(NamedTuple):
    """Two groups of equal neurons: the cosine to the axis and the mass of each, and the risk less
    its constant.
    """

    cosines: tuple[Float[Array, ""], Float[Array, ""]]
    masses: tuple[Float[Array, ""], Float[Array, ""]]
    risk: Float[Array, ""]


@jax.custom_jvp
def step_mean(plus: Array, minus: Array) -> Array:
    """`h′(c) = (π − arccos c)/(2π)`, given `1 + c` and `1 − c`: near −1 the angle has the digits of
    `1 + c`.
    """
    return jnp.arctan2(sqrt(plus), sqrt(minus)) / math.pi


@step_mean.defjvp
def _step_mean_slope(primals, tangents):
    (plus, minus), (up, down) = primals, tangents
    return step_mean(plus, minus), divide((up - down) / 2, TURN * sqrt(plus * minus))


@jax.custom_jvp
def relu_mean(plus: Array, minus: Array) -> Array:
    """`h(c)`, given `1 + c` and `1 − c`."""
    return sqrt(plus * minus) / TURN + (plus - minus) / 2 * step_mean(plus, minus)


@relu_mean.defjvp
def _relu_mean_slope(primals, tangents):
    (plus, minus), (up, down) = primals, tangents
    return relu_mean(plus, minus), step_mean(plus, minus) * (up - down) / 2


def inner(x: Array, m: Array | int) -> tuple[Array, Array]:
    """`1 ± c` for the inner product `c = (m x² − 1)/(m − 1)` of a simplex frame tilted to the
    cosine `x`.
    """
    rest = jnp.maximum(m - 1, 1)
    return jnp.maximum(m * x * x + m - 2, 0) / rest, m * (1 - x * x) / rest


def isotropic(S: Array, M: int) -> tuple[Array, Array]:
    """Mass and risk of a simplex frame for `T = 0`: `β = (S/2π)/(½ + (M−1)h(−1/(M−1)))`, `−Mβ
    S/(2π)`.
    """
    zero = jnp.zeros((), S.dtype)
    mean = relu_mean(*inner(zero, M)) if M > 1 else zero
    mass = S / TURN / (0.5 + (M - 1) * mean)
    return mass, -M * mass * S / TURN


def tilted(S: Array, T: Array, M: int) -> Groups:
    """A simplex frame tilted towards the axis; `M ≤ d`.

    With `B = S/(2π) + xT/4` and `A = ½ + (M−1)h(c)` the mass is `B/A` and the risk `−M B²/A`; `x`
    in [0, 1] is the zero of `(T/2)A − 2MxB h′(c)`, which falls all the way, from `TA/2` to
    `−SM/(2π)`. It is bracketed to the last bit, and a Newton step from there carries the
    derivatives by `S` and `T`.
    """

    def parts(x, T=T, S=S):
        plus, minus = inner(x, M)
        return S / TURN + x * T / 4, 0.5 + (M - 1) * relu_mean(plus, minus), step_mean(plus, minus)

    def derivative(x):
        B, A, p = parts(x)
        return T / 2 * A - 2 * M * x * B * p

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        falls = derivative(middle) > 0
        return jnp.where(falls, middle, low), jnp.where(falls, high, middle)

    x = jnp.ones((), S.dtype)
    if M > 1:
        # The smallest interesting x is √T of the smallest T, far below the spacing at 1: it must
        # not end at 2⁻⁵³.
        low, high = jax.lax.fori_loop(
            0, 2 * jnp.finfo(S.dtype).nmant, halve, (jnp.zeros_like(S), jnp.ones_like(S))
        )
        root = jax.lax.stop_gradient((low + high) / 2)
        rate = jax.lax.stop_gradient(jax.grad(derivative)(root))
        x = jnp.clip(root - divide(derivative(root), rate), 0, 1)
    B, A, _ = parts(x)
    return Groups((x, x), (B / A, B / A), -M * B * B / A)


def orthonormal_mass(S: Array, lines: int) -> Array:
    """The mass `α = (2S/π)/(1 + (K−1)2/π)` a line at which `K` orthonormal lines make the even part
    least.
    """
    return 2 * S / math.pi / (1 + (lines - 1) * 2 / math.pi)


def pair(S: Array, T: Array, M: int) -> tuple[Array, Array, Array]:
    """Masses `(α+q)/2` and `(α−q)/2` of two opposite neurons, `α` of `M − 2` more, all `M − 1`
    lines orthonormal.

    Even and odd part are each at their least: `q² = T² − (M−2)α²` and the risk is `−T²/4 −
    ¼(2S/π)(M−1)α`.
    Returns `α`, `q` and the risk, infinite where `q² < 0`. `M ≥ 2`, `M ≤ d + 1`.
    """
    mass = orthonormal_mass(S, M - 1)
    least = math.sqrt(M - 2) * mass
    risk = -T * T / 4 - S / TURN * (M - 1) * mass
    return mass, sqrt((T - least) * (T + least)), jnp.where(least <= T, risk, jnp.inf)
