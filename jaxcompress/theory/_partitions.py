"""Partitions of `k` target neurons among `n` neurons, their risks, and the best one."""

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax.numpy as jnp

from jaxcompress._internal.checks import as_integer
from jaxcompress.kernels import AbstractActivation
from jaxcompress.theory._copy_average import group_neurons

_P = ParamSpec("_P")
_R = TypeVar("_R")

Partition = tuple[int, ...]


class RankedPartition(NamedTuple):
    """A partition, smallest groups first, and its risk `Σ R*(ℓ_i)`.

    Example: `rank_partitions` returns a list of them.
    """

    partition: Partition
    risk: float


def _either_order(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function of `(…, n, k)` take its sizes as `(…, k, n)` for one release, with a warning.

    `n ≤ k` tells the two orders apart where both are given by position; where only the first one is
    and the other is `n=`, the call is of the old order.
    """
    place = list(inspect.signature(function).parameters).index("n")

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        sizes = args[place:]
        known = [as_integer(size) for size in sizes]
        both = len(known) == 2 and None not in known and known[0] > known[1]  # type: ignore[operator]
        one = len(sizes) == 1 and "n" in kwargs and "k" not in kwargs
        if not (both or one):
            return function(*args, **kwargs)
        warnings.warn(
            f"{function.__name__} now takes the width of the student first: write n, k in place of "
            "k, n, or n= and k=; the old order goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        first: Any = args[:place]
        named: Any = dict(zip("kn", sizes, strict=False)) | kwargs
        return function(*first, **named)

    return call


def _checked(where: str, n: int, k: int) -> tuple[int, int]:
    """Both sizes as integers of Python."""
    parts, width = as_integer(n), as_integer(k)
    if width is None or parts is None or not 1 <= parts <= width:
        raise ValueError(
            f"{where}: given n={n!r} and k={k!r}; expected integers 1 ≤ n ≤ k; lower n, because "
            "every group needs a target neuron"
        )
    return parts, width


@_either_order
def partitions(n: int, k: int) -> Iterator[Partition]:
    """Every way to write `k` as a sum of `n` positive integers, in lexicographic order.

    Arguments: `n`, the number of groups, one for each neuron of the student; `k ≥ n`, the number of
    target neurons.
    Returns an iterator over tuples that do not fall; the first is `(1, …, 1, k−n+1)`.
    Raises `ValueError` for other sizes.

    Example: `list(partitions(2, 5)) == [(1, 4), (2, 3)]`.
    """
    return _ascending(*_checked("partitions", n, k))


def _ascending(n: int, k: int) -> Iterator[Partition]:
    """All of them, each from the one before.

    The last part that can grow grows by one, all parts behind it but the last take the same value,
    and the last one takes what is left.
    """
    parts = [1] * (n - 1) + [k - n + 1]
    while True:
        yield tuple(parts)
        left = parts[-1]
        for i in range(n - 2, -1, -1):
            left += parts[i]
            if (parts[i] + 1) * (n - i) <= left:
                break
        else:
            return
        grown = parts[i] + 1
        parts[i:] = [grown] * (n - 1 - i) + [left - grown * (n - 1 - i)]


@_either_order
def rank_partitions(activation: AbstractActivation, n: int, k: int) -> list[RankedPartition]:
    """Every partition of `k` into `n` groups with its risk `Σ R*(ℓ_i)`, the lowest risk first.

    This checks the theory's claim by enumeration. Equal risks stay in the order of `partitions`.
    The number of partitions over all `n` is 77 for `k = 12` and a million for `k = 60`.

    Arguments: an activation; `n` and `k ≥ n`, the widths of student and target.
    Returns a list of `RankedPartition`.
    Raises `ValueError` for other sizes, and for activations whose groups see each other
    (`copy_average`).

    Example: `rank_partitions(activations.erf, 6, 8)[0].partition == (1, 1, 1, 1, 1, 3)`.
    """
    n, k = _checked("rank_partitions", n, k)
    sizes = tuple(range(1, k - n + 2)) if n > 1 else (k,)
    neurons = group_neurons("rank_partitions", activation, sizes, jnp.result_type(float))
    costs = {size: float(neuron.risk) for size, neuron in zip(sizes, neurons, strict=True)}
    ranked = [RankedPartition(each, sum(costs[size] for size in each)) for each in _ascending(n, k)]
    return sorted(ranked, key=lambda each: each.risk)


@_either_order
def best_partition(activation: AbstractActivation, n: int, k: int) -> Partition:
    """The partition of lowest risk `Σ R*(ℓ_i)`: `(1, …, 1, k−n+1)`, copies and one average.

    Wherever the sum holds, `R*(ℓ) = Σ_p c_p² (ℓ − ℓ^{2−p})` with the Hermite coefficients `c_p`, `p
    ≥ 1`, of the activation, because `d(ρ) = Σ c_p² ρ^p` (`copy_average`). It is concave, so that of
    two groups `p ≤ q` the sizes `(p−1, q+1)` are as good or better, and so on down to one.

    Arguments: an activation; `n` and `k ≥ n`, the widths of student and target.
    Returns a tuple of `n` sizes that sum to `k`, smallest first.
    Raises `ValueError` for other sizes, and for activations whose groups see each other.
    Reference: Şimşek et al. 2023 (erf).

    Example: `best_partition(activations.erf, 6, 8) == (1, 1, 1, 1, 1, 3)`.
    """
    n, k = _checked("best_partition", n, k)
    # An activation that is not closed under Gaussian averages shows it in pairs.
    sizes = (1, min(2, k - n + 1), k - n + 1) if n > 1 else (k,)
    group_neurons("best_partition", activation, sizes, jnp.result_type(float))
    return (1,) * (n - 1) + (k - n + 1,)
