"""Families of unit vectors: simplex frames, orthonormal rows about an axis, rotations."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def simplex_frame(m: int, d: int, *, dtype=None) -> Float[Array, "m d"]:
    """The corners of a regular simplex: `m` unit vectors that add up to zero, in the first `m − 1`
    of `d` dimensions.

    `⟨q_i, q_j⟩ = −1/(m−1)` for `i ≠ j`. For `m = 1` it is the first coordinate axis, for `m = 2`
    the axis and its opposite.
    Arguments: sizes (static), `dtype` the default float type when left out.
    Returns rows `(m, d)`.
    Raises `ValueError` when a size is below 1 or `m > d + 1`, because then no such frame exists.

    Example: `simplex_frame(3, 2)`.
    """
    if m < 1 or d < 1 or m > d + 1:
        raise ValueError(
            f"simplex_frame: given m={m} vectors in d={d} dimensions; expected m ≥ 1, d ≥ 1 and m "
            "≤ d + 1; take fewer vectors or more dimensions"
        )
    dtype = dtype or jnp.result_type(float)
    return padded(corners(m, dtype) if m > 1 else jnp.ones((1, 1), dtype), d)


def corners(m: int, dtype) -> Float[Array, "m m-1"]:
    """The simplex frame in its own `m − 1` dimensions; for `m = 1` a row of no length.

    One corner is `−1/√(m−1)` everywhere; the others are the rows of `√(m/(m−1)) (I − J/(m+√m))`,
    `J` of ones.
    """
    rest = max(m - 1, 1)
    others = math.sqrt(m / rest) * (np.eye(m - 1) - 1 / (m + math.sqrt(m)))
    return jnp.asarray(np.vstack([np.full((1, m - 1), -(rest**-0.5)), others]), dtype)


def padded(rows: Float[Array, "m r"], d: int) -> Float[Array, "m d"]:
    """Rows with zeros behind them up to `d` dimensions."""
    return jnp.pad(rows, ((0, 0), (0, d - rows.shape[1])))


def reflected(rows: Float[Array, "m d"], axis: Float[Array, " d"]) -> Float[Array, "m d"]:
    """Rows under an orthogonal map that takes the first coordinate axis to the unit vector `axis`.

    A Householder reflection of the coordinate axis that is the nearer one to `−axis`, so nothing
    cancels, and a sign.
    """
    sign = jnp.where(axis[0] < 0, -1, 1).astype(axis.dtype)
    normal = axis.at[0].add(sign)
    # |normal|² = 2 + 2|axis_1|, without the rounding of a sum.
    along = (rows @ normal) / (1 + jnp.abs(axis[0]))
    return -sign * (rows - along[:, None] * normal[None, :])


def completed(column: Float[Array, " m"]) -> Float[Array, "m m"]:
    """A symmetric orthogonal matrix with this unit vector as its first column."""
    return reflected(jnp.eye(column.shape[0], dtype=column.dtype), column)
