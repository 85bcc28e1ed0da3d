"""Target networks to compress when there is no trained one: orthonormal and random."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.kernels import AbstractActivation
from jaxcompress.networks._two_layer import TwoLayer


def _check_sizes(where: str, width: int, dim: int) -> None:
    if width < 1 or dim < 1:
        raise ValueError(f"{where}: given width {width} and dim {dim}; expected both to be at least 1; raise them")


def orthonormal(width: int, dim: int, *, activation: AbstractActivation, readout: float = 1.0, dtype=None) -> TwoLayer:
    """`width` neurons along the first coordinate axes of `dim` dimensions, all with the same readout.

    Arguments: sizes (static), activation, `readout` a number; `dtype` the default float type when left out.
    Returns a `TwoLayer` with weights `(width, dim)` and readout `(width,)`.
    Raises `ValueError` when `width > dim`, for then no orthonormal family exists.
    """
    _check_sizes("targets.orthonormal", width, dim)
    if width > dim:
        raise ValueError(
            f"targets.orthonormal: given width {width} in dim {dim}; expected width ≤ dim; raise dim or use "
            "targets.random"
        )
    dtype = dtype or jnp.result_type(float)
    return TwoLayer(jnp.eye(width, dim, dtype=dtype), jnp.full(width, readout, dtype), activation=activation)


def random(
    key: Array,
    width: int,
    dim: int,
    *,
    activation: AbstractActivation,
    weights: str = "gaussian",
    readout: str = "gaussian",
    outputs: int | None = None,
    dtype=None,
) -> TwoLayer:
    """A random target whose neurons have norm one (on average) and whose readout has norm one an output.

    Arguments: `weights` is `"gaussian"` (`w ~ N(0, I/d)`) or `"sphere"` (uniform, norm one); `readout` is
    `"gaussian"` (`a ~ N(0, 1/width)`), `"rademacher"` (`±1/√width`) or `"constant"` (`1/width`); `outputs` a
    number for a readout `(width, outputs)`. Weights draw from `fold_in(key, 0)`, the readout from `fold_in(key, 1)`.
    Raises `ValueError` for sizes below 1 or an unknown law.
    Reference: Amani et al. 2022 (ensembles and their scalings).
    """
    _check_sizes("targets.random", width, dim)
    dtype = dtype or jnp.result_type(float)
    shape = (width,) if outputs is None else (width, outputs)
    w = jax.random.normal(jax.random.fold_in(key, 0), (width, dim), dtype)
    match weights:
        case "gaussian":
            w = w / jnp.sqrt(jnp.asarray(dim, dtype))
        case "sphere":
            w = w / jnp.linalg.norm(w, axis=1, keepdims=True)
        case _:
            raise ValueError(f'targets.random: given weights={weights!r}; expected "gaussian" or "sphere"; choose one')
    key = jax.random.fold_in(key, 1)
    match readout:
        case "gaussian":
            a = jax.random.normal(key, shape, dtype) / width**0.5
        case "rademacher":
            a = jax.random.rademacher(key, shape, dtype) / width**0.5
        case "constant":
            a = jnp.full(shape, 1 / width, dtype)
        case _:
            raise ValueError(
                f'targets.random: given readout={readout!r}; expected "gaussian", "rademacher" or "constant"; '
                "choose one"
            )
    return TwoLayer(w, a, activation=activation)
