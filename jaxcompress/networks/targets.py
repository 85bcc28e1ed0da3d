"""Target networks to compress when there is no trained one: orthonormal and random."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress._internal.checks import check_sizes
from jaxcompress.kernels import AbstractActivation
from jaxcompress.networks._readout_distributions import (
    ConstantReadout,
    GaussianReadout,
    RademacherReadout,
)
from jaxcompress.networks._two_layer import TwoLayer
from jaxcompress.networks._weight_distributions import GaussianEntries, Sphere

_WEIGHTS = {"gaussian": GaussianEntries, "sphere": Sphere}
_READOUTS = {
    "gaussian": GaussianReadout,
    "rademacher": RademacherReadout,
    "constant": ConstantReadout,
}


def orthonormal(
    width: int, dim: int, *, activation: AbstractActivation, readout: float = 1.0, dtype=None
) -> TwoLayer:
    """`width` neurons along the first coordinate axes of `dim` dimensions, all with the same
    readout.

    Arguments: sizes (static), activation, `readout` a number; `dtype` the default float type when
    left out.
    Returns a `TwoLayer` with weights `(width, dim)` and readout `(width,)`. Raises `ValueError`
    when `width > dim`, for then no orthonormal family exists.
    """
    width, dim = check_sizes("targets.orthonormal", "raise them", width=width, dim=dim)
    if width > dim:
        raise ValueError(
            f"targets.orthonormal: given width {width} in dim {dim}; expected width ≤ dim; raise "
            "dim or use targets.random"
        )
    dtype = dtype or jnp.result_type(float)
    return TwoLayer(
        jnp.eye(width, dim, dtype=dtype), jnp.full(width, readout, dtype), activation=activation
    )


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
    """A random target whose neurons have norm one (on average) and whose readout has norm one an
    output.

    Arguments:

    - `key`: weights draw from `fold_in(key, 0)`, the readout from `fold_in(key, 1)`;
    - `width`, `dim`: sizes (static);
    - `activation`: one of `jaxcompress.activations`;
    - `weights`: `"gaussian"` (`w ~ N(0, I/d)`) or `"sphere"` (uniform, norm one);
    - `readout`: `"gaussian"` (`a ~ N(0, 1/width)`), `"rademacher"` (`±1/√width`) or `"constant"`
      (`1/width`);
    - `outputs`: a number, for a readout `(width, outputs)`;
    - `dtype`: the default float type when left out.

    Returns a `TwoLayer`. Other distributions, and targets too wide to be held, are in `ensembles`.
    Raises `ValueError` for sizes below 1 or an unknown distribution. Reference: Amani et al. 2022
    (ensembles and their scalings).
    """
    width, dim = check_sizes("targets.random", "raise them", width=width, dim=dim)
    dtype = dtype or jnp.result_type(float)
    shape = (width,) if outputs is None else (width, outputs)
    if weights not in _WEIGHTS:
        raise ValueError(
            f'targets.random: given weights={weights!r}; expected "gaussian" or "sphere"; choose '
            f"one"
        )
    if readout not in _READOUTS:
        raise ValueError(
            f'targets.random: given readout={readout!r}; expected "gaussian", "rademacher" or '
            f'"constant"; choose one'
        )
    w = _WEIGHTS[weights]().draw(jax.random.fold_in(key, 0), width, dim, dtype)
    a = _READOUTS[readout]().draw(jax.random.fold_in(key, 1), shape, dtype)
    return TwoLayer(w, a / (width if readout == "constant" else width**0.5), activation=activation)
