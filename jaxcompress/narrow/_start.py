"""Starts: LeCun's law, and its mirror image, whose function is zero."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import check_finite, is_concrete
from jaxcompress.kernels import AbstractActivation
from jaxcompress.narrow._width import is_count
from jaxcompress.networks import Starts, TwoLayer


def lecun(
    key: Array,
    width: int,
    dim: int,
    *,
    activation: AbstractActivation,
    outputs: int | None = None,
    floor: float | Array = 0.0,
    runs: int | None = None,
    dtype=None,
) -> TwoLayer:
    """LeCun's start: rows of the weights `N(0, I/d)`, readouts `N(0, 1/m)`, their sizes raised to
    `floor`.

    Arguments: `width`, `dim`, `outputs` (`None`: one scalar output) are static sizes; `floor ≥ 0`,
    a least size of every readout, which keeps its sign (0: none); with `runs`, run `i` draws from
    `fold_in(key, i)` and every array gets a leading axis. `dtype` is the default float type when
    left out.
    Returns a `TwoLayer`.
    Raises `ValueError` for sizes that are no whole numbers from 1 on, and a negative floor.
    Reference: LeCun, Bottou, Orr & Müller 1998.
    """
    _check("narrow.lecun", width, dim, outputs, floor, runs)
    dtype = dtype or jnp.result_type(float)
    if runs is not None:
        law = Starts(key, runs, _lecun, **_given(width, dim, activation, outputs, dtype))
        return jax.vmap(lambda i: _raised(law.draw(i), floor))(jnp.arange(runs))
    return _raised(_lecun(key, **_given(width, dim, activation, outputs, dtype)), floor)


def _given(width, dim, activation, outputs, dtype) -> dict:
    return {
        "width": width,
        "dim": dim,
        "activation": activation,
        "outputs": outputs,
        "dtype": dtype,
    }


def _lecun(
    key: Array, width: int, dim: int, activation: AbstractActivation, outputs: int | None, dtype
) -> TwoLayer:
    shape = (width,) if outputs is None else (width, outputs)
    weights = jax.random.normal(jax.random.fold_in(key, 0), (width, dim), dtype) / dim**0.5
    readout = jax.random.normal(jax.random.fold_in(key, 1), shape, dtype) / width**0.5
    return TwoLayer(weights, readout, activation=activation)


def _raised(network: TwoLayer, floor: float | Array) -> TwoLayer:
    v = network.readout
    sizes = jnp.maximum(jnp.abs(v), jnp.asarray(floor, v.dtype))
    return TwoLayer(network.weights, jnp.where(v < 0, -sizes, sizes), activation=network.activation)


def mirrored_lecun(
    key: Array,
    width: int,
    dim: int,
    *,
    activation: AbstractActivation,
    outputs: int | None = None,
    floor: float | Array = 0.0,
    runs: int | None = None,
    dtype=None,
) -> TwoLayer:
    """The mirrored LeCun start: weights `[W_h; W_h]`, readouts `[a; −a]`, `a = max(|N(0, 1/m)|,
    floor)`: `f ≡ 0`.

    With several outputs the signs of `a` form a Walsh pattern, `(−1)^popcount(j & o)` for pair `j`
    and output `o`: two outputs with the same signs would have parallel gradients. Arguments and
    returns as for `lecun`.
    Raises `ValueError` as `lecun`, and for odd `width`.
    Reference: Zhang et al. 2021, section 4.
    """
    _check("narrow.mirrored_lecun", width, dim, outputs, floor, runs)
    half = _half("narrow.mirrored_lecun", width)
    # the variance of a readout is 1/m, of all neurons, not of the half that is drawn
    law = lecun(key, half, dim, activation=activation, outputs=outputs, runs=runs, dtype=dtype)
    sizes = jnp.maximum(jnp.abs(law.readout) * 0.5**0.5, jnp.asarray(floor, law.readout.dtype))
    signs = _walsh(half, outputs, sizes.dtype)
    return _mirrored(law.weights, sizes * jnp.broadcast_to(signs, sizes.shape), activation)


def mirrored(
    weights: Float[Array, "*runs h d"],
    readout: Float[Array, "*runs h"] | Float[Array, "*runs h o"],
    activation: AbstractActivation,
) -> TwoLayer:
    """The network `[W; W]`, `[a; −a]` of `2h` neurons, whose function is zero.
    Raises `ValueError` as `TwoLayer`.
    """
    half = TwoLayer(weights, readout, activation=activation)
    check_finite("narrow.mirrored", **half.parameters())
    return _mirrored(half.weights, half.readout, activation)


def _mirrored(weights: Array, readout: Array, activation: AbstractActivation) -> TwoLayer:
    axis = weights.ndim - 2
    both = jnp.concatenate([weights, weights], axis), jnp.concatenate([readout, -readout], axis)
    return TwoLayer(*both, activation=activation)


def _walsh(half: int, outputs: int | None, dtype) -> Array:
    if outputs is None:
        return jnp.ones(half, dtype)
    return jnp.asarray(
        [[(-1.0) ** (j & o).bit_count() for o in range(outputs)] for j in range(half)], dtype
    )


def _half(where: str, width: int) -> int:
    if width % 2:
        raise ValueError(
            f"{where}: given width {width}; expected an even number, for neurons come in mirrored "
            "pairs; add one"
        )
    return width // 2


def _check(where: str, width, dim, outputs, floor, runs) -> None:
    if not all(is_count(1 if number is None else number) for number in (width, dim, outputs, runs)):
        raise ValueError(
            f"{where}: given width {width}, dim {dim}, outputs {outputs}, runs {runs}; expected "
            "whole numbers of at least 1; raise what is below, or leave outputs and runs out"
        )
    if is_concrete(floor) and not np.all(np.asarray(floor) >= 0):
        raise ValueError(
            f"{where}: given floor={floor}; expected a number that is not negative; 0 is no floor"
        )
