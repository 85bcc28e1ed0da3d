"""The phase diagram of the tight frames: every phase's risk beside the others', and where one gives
way to the next.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_floating, is_concrete
from jaxcompress.theory import _phases
from jaxcompress.theory._split import every_split


def frame_risks(
    total: Float[Array, ""], tilt: Float[Array, ""], width: int, dim: int
) -> dict[str, Float[Array, ""]]:
    """The simplified ReLU risk less its constant in each phase, by the phase's name, infinite where
    it does not exist.

    Arguments: `total`, `S = Σ b_i‖v_i‖`; `tilt ≥ 0`, `T = ‖Σ b_i v_i‖`; scalars of one floating
    dtype, `jax.vmap` for grids; `width` M and `dim` d (static). `isotropic` exists at `T = 0`,
    `tilted` for `M ≤ d`, `split` (the best one) for `M = d + 1 ≥ 3`, `pair` for `M ≥ 2` and `T ≥
    α√(M−2)`. The sign of `total` does not count.
    Returns a dict of scalars.
    Raises `ValueError` for sizes below 1 or `width > dim + 1`, and where the arguments are no
    floating scalars.
    """
    total, tilt = as_array("frame_risks", "total", total), as_array("frame_risks", "tilt", tilt)
    check_floating("frame_risks", total=total, tilt=tilt)
    if is_concrete(tilt) and not tilt.ndim and not tilt >= 0:
        raise ValueError(
            f"frame_risks: given tilt {tilt}; expected the length of a vector, zero or more"
        )
    if total.ndim or tilt.ndim or width < 1 or dim < 1 or width > dim + 1:
        raise ValueError(
            f"frame_risks: given total {total.shape}, tilt {tilt.shape}, width {width} and dim "
            f"{dim}; expected two scalars and 1 ≤ width ≤ dim + 1; use jax.vmap for several, lower "
            "the width or raise dim"
        )
    return _risks(jnp.abs(total), tilt, width, dim)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _risks(S: Array, T: Array, width: int, dim: int) -> dict[str, Array]:
    never = jnp.full_like(S, jnp.inf)
    risks = {"isotropic": jnp.where(T == 0, _phases.isotropic(S, width)[1], never)}
    risks["tilted"] = _phases.tilted(S, T, width).risk if width <= dim else never
    risks["split"] = jnp.min(every_split(S, T, width).risk) if width == dim + 1 >= 3 else never
    risks["pair"] = _phases.pair(S, T, width)[2] if width > 1 else never
    return risks


def pair_threshold(width: int, *, dtype=None) -> Float[Array, ""]:
    """The `‖t‖/S` at which the tilted frame of `width ≤ dim` neurons gives way to the pair: the two
    risks are equal.

    It lies above `(2√M/π)/(1 + (M−1)2/π)`, where the tilted frame is orthonormal and beats every
    pair, and is found by halving.
    Arguments: `width` (static, at least 2), `dtype` the default float type when left out.
    Returns a scalar.
    Raises `ValueError` for one neuron, which has no partner.
    """
    if width < 2:
        raise ValueError(
            f"pair_threshold: given width {width}; expected 2 at least; one neuron is always tilted"
        )
    return _threshold(width, dtype or jnp.result_type(float))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _threshold(width: int, dtype) -> Array:
    one = jnp.ones((), dtype)

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        tilted = _phases.tilted(one, middle, width).risk < _phases.pair(one, middle, width)[2]
        return jnp.where(tilted, middle, low), jnp.where(tilted, high, middle)

    bracket = (math.sqrt(width) * _phases.orthonormal_mass(one, width), 2 * one)
    low, high = jax.lax.fori_loop(0, jnp.finfo(one.dtype).nmant + 2, halve, bracket)
    return (low + high) / 2
