"""`M = d + 1` and `t ≠ 0`: two simplex frames of `k` and `M − k` neurons, each tilted to an angle
of its own.

One frame of `M` needs `M − 1` dimensions besides the axis, one more than there are; two of `k` and
`M − k` need `M − 2`, and find their places in orthogonal subspaces. A group of one stands on the
axis. Letters as in `_phases`. Found by minimising over weights, not proved: for `M` from 3 to 9 the
best split or the pair is the lowest of all ends. From small to large `‖t‖` the sizes go through `1
+ (M−1)`, `2 + (M−2)`, … to halves, and then comes the pair.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.special.internal import divide
from jaxcompress.theory._phases import TURN, Groups, inner, relu_mean

# All of M ≤ 13 and ‖t‖/S in [0.01, 1.2] end at the same minima, to 1e-15, from 3 angles a group and
# after 15 steps.
_STARTS, _STEPS = 5, 30
# Steps that no longer ask for a lower risk, which is blind to the last half of the angles' digits.
_LAST = 2


def _cosines(angles: Array, sizes: Array) -> Array:
    """The cosines to the axis, free for a simplex frame and ±1 for a single neuron."""
    return jnp.where(sizes > 1, jnp.sin(angles), jnp.where(angles < 0, -1, 1).astype(angles.dtype))


def _system(
    angles: Array, sizes: Array, S: Array, T: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """`A (2, 2)` and `B (2,)` of the risk `AΣΣ − 2BΣ` in the two masses: `A_11, A_12, A_22, B_1,
    B_2`.
    """
    x, y = _cosines(angles, sizes)
    k, m = sizes
    one, other = (n / 2 + n * (n - 1) * relu_mean(*inner(z, n)) for n, z in ((k, x), (m, y)))
    across = k * m * relu_mean(1 + x * y, 1 - x * y)
    return one, across, other, k * (S / TURN + x * T / 4), m * (S / TURN + y * T / 4)


def _masses(angles: Array, sizes: Array, S: Array, T: Array) -> tuple[Array, Array, Array]:
    """The best masses at these angles, and the risk `−BᵀA⁻¹B` there."""
    one, across, other, b, c = _system(angles, sizes, S, T)
    determinant = one * other - across * across
    p, q = (other * b - across * c) / determinant, (one * c - across * b) / determinant
    return p, q, -(p * b + q * c)


def _risk(angles: Array, sizes: Array, S: Array, T: Array) -> Array:
    return _masses(angles, sizes, S, T)[2]


def _newton(angles: Array, damping: Array | float, sizes: Array, S: Array, T: Array) -> Array:
    """A Newton step with the Hessian made positive: its eigenvalues raised to `damping` at
    least.
    """

    def gradient_twice(angles):
        gradient = jax.grad(_risk)(angles, sizes, S, T)
        return gradient, gradient

    hessian, (u, v) = jax.jacfwd(gradient_twice, has_aux=True)(angles)
    # A single neuron's angle is no unknown: its row and column are zero, and so is its part of the
    # gradient.
    a, b, c = hessian[0, 0] + (sizes[0] == 1), hessian[0, 1], hessian[1, 1] + (sizes[1] == 1)
    shift = jnp.maximum(damping - (a + c) / 2 + jnp.hypot((a - c) / 2, b), 0)
    a, c = a + shift, c + shift
    return angles - jnp.stack([c * u - b * v, a * v - b * u]) / (a * c - b * b)


def _descend(angles: Array, sizes: Array, S: Array, T: Array) -> tuple[Array, Array]:
    """The end of damped Newton steps from one start, each taken only when it lowers the risk; the
    last ones always.
    """
    least = jnp.sqrt(jnp.finfo(angles.dtype).eps)

    def step(i, state):
        angles, risk, damping = state
        last = i >= _STEPS
        new = _newton(angles, jnp.where(last, least, damping), sizes, S, T)
        lower = _risk(new, sizes, S, T)
        better = (lower < risk) | last
        damping = jnp.where(better, damping / 4, jnp.minimum(damping * 8, 1e4))
        return jnp.where(better, new, angles), jnp.where(better, lower, risk), damping

    start = (angles, _risk(angles, sizes, S, T), jnp.asarray(0.1, angles.dtype))
    angles, risk, _ = jax.lax.fori_loop(0, _STEPS + _LAST, step, start)
    return angles, risk


@jax.custom_jvp
def _angles(S: Array, T: Array, sizes: Array) -> Array:
    """The angles of the lowest end of all starts."""
    side = jnp.linspace(-1.3, 1.3, _STARTS, dtype=S.dtype)
    starts = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 2)
    ends, risks = jax.vmap(_descend, (0, None, None, None))(starts, sizes, S, T)
    return ends[jnp.argmin(jnp.where(jnp.isfinite(risks), risks, jnp.inf))]


@_angles.defjvp
def _angles_slope(primals, tangents):
    S, T, sizes = primals
    angles = _angles(S, T, sizes)
    # At a zero of the gradient a Newton step moves nothing, and differentiates to the implicit
    # function.
    least = jnp.sqrt(jnp.finfo(S.dtype).eps)
    return angles, jax.jvp(lambda S, T: _newton(angles, least, sizes, S, T), (S, T), tangents[:2])[
        1
    ]


def split(S: Array, T: Array, sizes: Float[Array, " 2"]) -> Groups:
    """The lowest two-group arrangement with groups of these sizes (traced, each ≥ 1, three neurons
    at least).

    Two scalars are minimised over, the angles, by damped Newton steps from several starts; the
    masses are closed. Only the ratio of `S` and `T` matters to the angles.
    """
    s, tau = (jnp.where(S + T > 0, divide(part, S + T), 1) for part in (S, T))
    angles = _angles(s, tau, sizes)
    x, y = _cosines(angles, sizes)
    p, q, risk = _masses(angles, sizes, S, T)
    return Groups((x, y), (p, q), risk)


def every_split(S: Array, T: Array, width: int) -> Groups:
    """`split` for the groups `(k, width − k)`, `k = 1 … width // 2`, stacked."""
    sizes = jnp.asarray([(k, width - k) for k in range(1, width // 2 + 1)], S.dtype)
    return jax.vmap(split, (None, None, 0))(S, T, sizes)
