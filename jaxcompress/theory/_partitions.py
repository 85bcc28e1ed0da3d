"""Partitions of `k` target neurons among `n` neurons, what each costs, and which is the best."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp

from jaxcompress._internal.checks import as_integer
from jaxcompress.kernels import AbstractActivation
from jaxcompress.theory._copy_average import group_neurons

Partition = tuple[int, ...]


class RankedPartition(NamedTuple):
    """A partition, smallest groups first, and `Σ R*(ℓ_i)`."""

    partition: Partition
    risk: float


def _checked(where: str, k: int, n: int) -> tuple[int, int]:
    """Both sizes as integers of Python."""
    width, parts = as_integer(k), as_integer(n)
    if width is None or parts is None or not 1 <= parts <= width:
        raise ValueError(
            f"{where}: given k={k!r} and n={n!r}; expected integers 1 ≤ n ≤ k; every group needs a "
            "neuron"
        )
    return width, parts


def partitions(k: int, n: int) -> Iterator[Partition]:
    """Every way to write `k` as a sum of `n` positive integers, as tuples that do not fall, in
    lexicographic order.

    Arguments: `1 ≤ n ≤ k`, what is parted first. The first is `(1, …, 1, k−n+1)`.
    Raises `ValueError` for other sizes.
    """
    return _risen(*_checked("partitions", k, n))


def _risen(k: int, n: int) -> Iterator[Partition]:
    """From one to the next: the last part that can rise does, and all behind it but the last
    follow.
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
        risen = parts[i] + 1
        parts[i:] = [risen] * (n - 1 - i) + [left - risen * (n - 1 - i)]


def rank_partitions(activation: AbstractActivation, k: int, n: int) -> list[RankedPartition]:
    """Every partition of `k` into `n` groups with its `Σ R*(ℓ_i)`, the least first: the theory's
    claim, by enumeration.

    Equal risks stay in the order of `partitions`. Their number over all `n` is 77 for `k = 12` and
    a million for 60.
    Arguments: an activation, `1 ≤ n ≤ k`, the target's `k` first.
    Returns a list of `RankedPartition`.
    Raises `ValueError` for other sizes, and for activations whose groups see each other
    (`copy_average`).
    """
    k, n = _checked("rank_partitions", k, n)
    sizes = tuple(range(1, k - n + 2)) if n > 1 else (k,)
    neurons = group_neurons("rank_partitions", activation, sizes, jnp.result_type(float))
    costs = {size: float(neuron.risk) for size, neuron in zip(sizes, neurons, strict=True)}
    ranked = [RankedPartition(each, sum(costs[size] for size in each)) for each in partitions(k, n)]
    return sorted(ranked, key=lambda each: each.risk)


def best_partition(activation: AbstractActivation, k: int, n: int) -> Partition:
    """The partition of least `Σ R*(ℓ_i)`: `(1, …, 1, k−n+1)`, copies and one average.

    Wherever the sum holds, `R*(ℓ) = Σ_p c_p² (ℓ − ℓ^{2−p})` with the Hermite coefficients `c_p`, `p
    ≥ 1`, of the activation, for `d(ρ) = Σ c_p² ρ^p` (`copy_average`). It is concave, so of two
    groups `p ≤ q` `(p−1, q+1)` are as good or better, and so on down to one.

    Arguments: an activation, `1 ≤ n ≤ k`, the target's `k` first.
    Returns a tuple of `n` sizes that sum to `k`, smallest first.
    Raises `ValueError` for other sizes, and for activations whose groups see each other.
    Reference: Şimşek et al. 2023 (erf).
    """
    k, n = _checked("best_partition", k, n)
    # An activation that is not closed under averages shows it in pairs.
    sizes = (1, min(2, k - n + 1), k - n + 1) if n > 1 else (k,)
    group_neurons("best_partition", activation, sizes, jnp.result_type(float))
    return (1,) * (n - 1) + (k - n + 1,)
