"""Initial points: LeCun's distribution, and mirrored networks, whose function is zero."""

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
    """LeCun's initial point: weights `N(0, I/d)`, readouts `N(0, 1/m)` of size at least `floor`.

    Arguments:

    - `key`: a key of JAX
    - `width`, `dim`: `m` and `d` (static)
    - `activation`: that of the network (static)
    - `outputs`: how many (static); left out, one scalar output
    - `floor`: the least size of a readout, `≥ 0`; smaller ones are raised to it and keep their sign
    - `runs`: with it (static), every array has a leading axis, and run `i` draws from
      `fold_in(key, i)`
    - `dtype`: the default float type when left out

    Returns a `TwoLayer`.
    Raises `ValueError` unless sizes are whole numbers of at least 1, and for a negative floor.
    Reference: LeCun, Bottou, Orr & Müller 1998.

    Example: `lecun(jax.random.key(0), 16, 8, activation=activations.tanh, runs=4)`.
    """
    _check("narrow.lecun", width, dim, outputs, floor, runs)
    dtype = dtype or jnp.result_type(float)
    if runs is not None:
        starts = Starts(key, runs, _lecun, **_given(width, dim, activation, outputs, dtype))
        return jax.vmap(lambda i: _raised(starts.draw(i), floor))(jnp.arange(runs))
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
    """The mirrored LeCun initial point: weights `[W_h; W_h]`, readouts `[a; −a]`, so that `f ≡ 0`.

    `a = max(|N(0, 1/m)|, floor)`. With several outputs the signs of `a` form a Walsh pattern,
    `(−1)^popcount(j & o)` for pair `j` and output `o`, because two outputs with the same signs
    would have parallel gradients.
    Arguments and returns as for `lecun`.
    Raises `ValueError` as `lecun`, and for an odd `width`.
    Reference: Zhang et al. 2021, section 4.

    Example: `mirrored_lecun(jax.random.key(0), 16, 8, activation=activations.tanh, floor=1.0)`.
    """
    _check("narrow.mirrored_lecun", width, dim, outputs, floor, runs)
    half = _half("narrow.mirrored_lecun", width)
    # the variance of a readout is 1/m, with all m neurons, not the half of them that is drawn
    drawn = lecun(key, half, dim, activation=activation, outputs=outputs, runs=runs, dtype=dtype)
    sizes = jnp.maximum(jnp.abs(drawn.readout) * 0.5**0.5, jnp.asarray(floor, drawn.readout.dtype))
    signs = _walsh(half, outputs, sizes.dtype)
    return _mirrored(drawn.weights, sizes * jnp.broadcast_to(signs, sizes.shape), activation)


def mirrored(
    weights: Float[Array, "*runs h d"],
    readout: Float[Array, "*runs h"] | Float[Array, "*runs h o"],
    activation: AbstractActivation,
) -> TwoLayer:
    """The network `[W; W]`, `[a; −a]` of `2h` neurons, whose function is zero.

    Raises `ValueError` as `TwoLayer`.

    Example: `mirrored(weights, readout, activations.tanh)`.
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
            f"{where}: given width {width}; expected an even number, because neurons come in "
            "mirrored pairs; add one"
        )
    return width // 2


def _check(where: str, width, dim, outputs, floor, runs) -> None:
    if not all(is_count(1 if number is None else number) for number in (width, dim, outputs, runs)):
        raise ValueError(
            f"{where}: given width {width}, dim {dim}, outputs {outputs}, runs {runs}; expected "
            "whole numbers of at least 1; raise what is below, or leave outputs and runs out"
        )
    if is_concrete(floor) and not np.all(np.asarray(floor) >= 0):
        raise ValueError(f"{where}: given floor={floor}; expected a number ≥ 0; 0 means no floor")
