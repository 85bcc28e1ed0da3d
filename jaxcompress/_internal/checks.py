"""Checks of what users pass in: each failure says what was given, what was expected and what to
do.
"""

import operator
from typing import Any

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


def check_integer(
    where: str,
    name: str,
    given,
    least: int | None = None,
    most: int | None = None,
    *,
    remedy: str,
) -> int:
    """An integer in a range, as Python's; NumPy's are taken, booleans and 3.0 are not.

    Arguments: `where`, the function that the user called, and `name`, its argument, for the
    message; `given`, what it was given; `least` and `most`, the ends of the range, both in it;
    `remedy`, what to do.
    Raises `ValueError` for anything else.
    """
    number = as_integer(given)
    low = number is not None and (least is None or number >= least)
    high = number is not None and (most is None or number <= most)
    if number is None or not low or not high:
        raise ValueError(f"{where}: given {name}={given!r}; expected {span(least, most)}; {remedy}")
    return number


def span(least: int | None, most: int | None) -> str:
    """The integers of a range in words."""
    if least is None:
        return "a whole number"
    if most is None:
        return f"a whole number, at least {least}"
    return f"{least} or {most}" if most == least + 1 else f"a whole number from {least} to {most}"


def check_sizes(where: str, remedy: str, **sizes) -> tuple[Any, ...]:
    """Sizes as integers of Python; `None` stands for one that is left out, and stays.

    Raises `ValueError` unless all others are integers and at least 1; `remedy` says what to do
    about those that are less.
    """
    whole = {name: as_integer(size) for name, size in sizes.items()}
    given = ", ".join(f"{name} {size}" for name, size in sizes.items())
    if any(whole[name] is None for name, size in sizes.items() if size is not None):
        raise ValueError(
            f"{where}: given {given}; expected whole numbers; write 10**6, and neither 1e6 nor True"
        )
    if any(size is not None and size < 1 for size in whole.values()):
        raise ValueError(f"{where}: given {given}; expected all at least 1; {remedy}")
    return tuple(whole.values())


def check_run(where: str, run, runs: tuple[int, ...]) -> None:
    """Raise unless `run` picks from a batch with the leading axes `runs`: `ValueError` where there
    is no batch, `IndexError` for a number out of its range (which JAX would move into it) and for
    more indices than axes.
    """
    if not runs:
        raise ValueError(
            f"{where}: given an index for one object; expected a batch, with a leading axis on all "
            "arrays; use the object itself"
        )
    indices = run if isinstance(run, tuple) else (run,)
    numbers = [as_integer(index) for index in indices]
    outside = any(
        i is not None and not -count <= i < count for i, count in zip(numbers, runs, strict=False)
    )
    if len(indices) > len(runs) or outside:
        raise IndexError(
            f"{where}: given the index {run!r} for a batch of {' × '.join(map(str, runs))}; "
            "expected numbers within it, or slices or arrays of them; count from 0"
        )


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
