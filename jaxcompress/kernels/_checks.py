"""Checks of what users pass in: each failure says what was given, what was expected and what to
do.
"""

import operator

import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def is_concrete(array) -> bool:
    """Whether the entries can be looked at (no trace is under way for this array)."""
    return not isinstance(array, jax.core.Tracer)


def check_concrete(where: str, *arrays) -> None:
    """Raise `ValueError` for arrays of a trace, where entries are looked at."""
    if not all(map(is_concrete, arrays)):
        raise ValueError(
            f"{where}: given arrays that jit, vmap or grad trace; expected concrete ones, for "
            "entries are looked at; call it outside"
        )


def as_integer(given) -> int | None:
    """An integer, also one of NumPy's, as Python's; `None` for everything else, booleans among
    it.
    """
    try:
        return None if isinstance(given, bool | np.bool_) else operator.index(given)
    except TypeError:
        return None


def as_array(where: str, name: str, given) -> Array:
    """`jnp.asarray`, with a `ValueError` for what is no array of numbers: ragged lists, strings,
    objects.
    """
    try:
        return jnp.asarray(given)
    except (TypeError, ValueError):
        kind = getattr(given, "dtype", type(given).__name__)
        raise ValueError(
            f"{where}: given {name} of type {kind}, which is no rectangular array of numbers; "
            "expected an array of floats; convert it with numpy.asarray(..., dtype=float)"
        ) from None


def check_finite(where: str, **arrays: Array | None) -> None:
    """Raise `ValueError` when a concrete array holds NaN or infinity; traced arrays pass."""
    for name, array in arrays.items():
        if array is not None and is_concrete(array) and not np.all(np.isfinite(np.asarray(array))):
            raise ValueError(
                f"{where}: given {name} with NaN or infinite entries; expected finite numbers; "
                "look for a diverged training run or a division by zero upstream"
            )


def check_floating(where: str, **arrays: Array | None) -> None:
    """Raise `ValueError` unless all arrays are float32 or all float64."""
    dtypes = {name: jnp.asarray(array).dtype for name, array in arrays.items() if array is not None}
    bad = {name: dtype for name, dtype in dtypes.items() if dtype not in (jnp.float32, jnp.float64)}
    if bad:
        raise ValueError(
            f"{where}: given {_listed(bad)}; expected real floating-point arrays (float32 or "
            "float64); cast them, for example to float64"
        )
    if len(set(dtypes.values())) > 1:
        raise ValueError(
            f"{where}: given {_listed(dtypes)}; expected one dtype for all; cast them to the same"
        )


def _listed(dtypes: dict) -> str:
    return ", ".join(f"{name} of dtype {dtype}" for name, dtype in dtypes.items())


def check_layer(where: str, name: str, weights: Array, bias: Array | None) -> None:
    """Raise `ValueError` unless `weights` is `(n, d)` and `bias` is `None` or `(n,)`."""
    if weights.ndim != 2:
        raise ValueError(
            f"{where}: given {name} of shape {weights.shape}; expected (neurons, input dimension); "
            "use jax.vmap for leading axes"
        )
    if bias is not None and bias.shape != weights.shape[:1]:
        raise ValueError(
            f"{where}: given a bias of shape {bias.shape} for {name} of shape {weights.shape}; "
            f"expected {weights.shape[:1]}; pass one number a neuron"
        )
