"""`M = d + 1` and `t ≠ 0`: two simplex frames of `k` and `M − k` neurons, each tilted to an angle of its own.

One frame of `M` needs `M − 1` dimensions besides the axis, one more than there are; two of `k` and `M − k` need
`M − 2`, and find their places in orthogonal subspaces. A group of one stands on the axis. Letters as in `_phases`.
Found by minimising over weights, not proved: for `M` from 3 to 7 the best split or the pair is the lowest of all ends.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.theory._phases import _TURN, Groups, _inner, _relu_mean

_STARTS = 7  # angles a group: from 5 on, every split for M ≤ 13 ends at the same minimum
_STEPS = 40  # Newton steps with damping: 25 suffice for M ≤ 13
_LAST = 3  # without: the gradient is at rounding after two


def _cosines(angles: Array, sizes: Array) -> Array:
    """The cosines to the axis, free for a simplex frame and ±1 for a single neuron."""
    return jnp.where(sizes > 1, jnp.sin(angles), jnp.where(angles < 0, -1, 1).astype(angles.dtype))


def _system(angles: Array, sizes: Array, S: Array, T: Array) -> tuple[Array, Array, Array, Array, Array]:
    """`A (2, 2)` and `B (2,)` of the risk `AΣΣ − 2BΣ` in the two masses: `A_11, A_12, A_22, B_1, B_2`."""
    x, y = _cosines(angles, sizes)
    k, m = sizes
    one, other = (n / 2 + n * (n - 1) * _relu_mean(*_inner(z, n)) for n, z in ((k, x), (m, y)))
    across = k * m * _relu_mean(1 + x * y, 1 - x * y)
    return one, across, other, k * (S / _TURN + x * T / 4), m * (S / _TURN + y * T / 4)


def _masses(angles: Array, sizes: Array, S: Array, T: Array) -> tuple[Array, Array, Array]:
    """The best masses at these angles, and the risk `−BᵀA⁻¹B` there."""
    one, across, other, b, c = _system(angles, sizes, S, T)
    determinant = one * other - across * across
    p, q = (other * b - across * c) / determinant, (one * c - across * b) / determinant
    return p, q, -(p * b + q * c)


def _risk(angles: Array, sizes: Array, S: Array, T: Array) -> Array:
    return _masses(angles, sizes, S, T)[2]


def _newton(angles: Array, damping: Array | float, sizes: Array, S: Array, T: Array) -> Array:
    """A Newton step with the Hessian made positive: its eigenvalues raised to `damping` at least."""
    gradient = jax.grad(_risk)(angles, sizes, S, T)
    hessian = jax.hessian(_risk)(angles, sizes, S, T) + jnp.diag(jnp.where(sizes > 1, 0, 1).astype(angles.dtype))
    a, b, c = hessian[0, 0], hessian[0, 1], hessian[1, 1]
    lowest = (a + c) / 2 - jnp.hypot((a - c) / 2, b)
    shift = jnp.maximum(damping - lowest, 0)
    a, c = a + shift, c + shift
    step = jnp.stack([c * gradient[0] - b * gradient[1], a * gradient[1] - b * gradient[0]]) / (a * c - b * b)
    return angles - step


def _descend(angles: Array, sizes: Array, S: Array, T: Array) -> tuple[Array, Array]:
    """The end of damped Newton steps from one start, each taken only when it lowers the risk."""

    def step(_, state):
        angles, risk, damping = state
        new = _newton(angles, damping, sizes, S, T)
        lower = _risk(new, sizes, S, T)
        better = lower < risk
        damping = jnp.where(better, damping / 4, jnp.minimum(damping * 8, 1e4))
        return jnp.where(better, new, angles), jnp.where(better, lower, risk), damping

    start = (angles, _risk(angles, sizes, S, T), jnp.asarray(0.1, angles.dtype))
    angles, risk, _ = jax.lax.fori_loop(0, _STEPS, step, start)
    return angles, risk


def split(S: Array, T: Array, sizes: Float[Array, " 2"]) -> Groups:
    """The lowest two-group arrangement with groups of these sizes (traced, each ≥ 1, three neurons at least).

    Two scalars are minimised over: the angles; the masses are closed. Several starts, damped Newton steps on each, and
    plain ones from the best end, of which the last carries the derivatives by `S` and `T`.
    """
    scale = S + T
    s, tau = (jnp.where(scale > 0, part / jnp.where(scale > 0, scale, 1), 1) for part in (S, T))
    side = jnp.linspace(-1.3, 1.3, _STARTS, dtype=S.dtype)
    starts = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 2)
    ends, risks = jax.vmap(_descend, (0, None, None, None))(starts, sizes, *map(jax.lax.stop_gradient, (s, tau)))
    angles = jax.lax.stop_gradient(ends[jnp.argmin(risks)])
    floor = jnp.sqrt(jnp.finfo(S.dtype).eps)
    for _ in range(_LAST):
        angles = _newton(jax.lax.stop_gradient(angles), floor, sizes, s, tau)
    x, y = _cosines(angles, sizes)
    p, q, risk = _masses(angles, sizes, S, T)
    return Groups((x, y), (p, q), risk)
