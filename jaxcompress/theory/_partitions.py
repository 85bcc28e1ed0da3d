"""Partitions of `k` target neurons among `n` neurons, what each costs, and which is the best."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp

from jaxcompress.kernels import AbstractActivation, Erf
from jaxcompress.theory._one_neuron import one_neuron_risk

Partition = tuple[int, ...]


class RankedPartition(NamedTuple):
    """A partition, smallest groups first, and `Σ R*(ℓ_i)`."""

    partition: Partition
    risk: float


def _check(where: str, k: int, n: int) -> None:
    if any(isinstance(size, bool) or not isinstance(size, int) for size in (k, n)) or not 1 <= n <= k:
        raise ValueError(f"{where}: given k={k!r} and n={n!r}; expected integers 1 ≤ n ≤ k; every group needs a neuron")


def partitions(k: int, n: int) -> Iterator[Partition]:
    """Every way to write `k` as a sum of `n` positive integers, as tuples that do not fall, in lexicographic order.

    Arguments: `1 ≤ n ≤ k`. The first is `(1, …, 1, k−n+1)`.
    Raises `ValueError` for other sizes.
    """
    _check("partitions", k, n)
    return _at_least(1, k, n)


def _at_least(least: int, k: int, n: int) -> Iterator[Partition]:
    """Those with all parts at or above `least`."""
    if n == 1:
        yield (k,)
        return
    for first in range(least, k // n + 1):
        for rest in _at_least(first, k - first, n - 1):
            yield (first, *rest)


def rank_partitions(activation: AbstractActivation, k: int, n: int) -> list[RankedPartition]:
    """Every partition of `k` into `n` groups with its `Σ R*(ℓ_i)`, the least first: the theory's claim, by enumeration.

    Equal risks stay in the order of `partitions`. The number of partitions grows like `exp(2.6√k)/k` over all `n`: at
    `k = 12` there are 77, at `k = 60` a million.
    Arguments: an activation, `1 ≤ n ≤ k`. Returns a list of `RankedPartition`.
    Raises `ValueError` for other sizes, and where `one_neuron` has no answer.
    Where it fails: the sum is the risk of a critical point only where `copy_average` does not refuse the partition.
    """
    _check("rank_partitions", k, n)
    costs = [one_neuron_risk(activation, size, jnp.result_type(float)) for size in range(1, k - n + 2)]
    ranked = [RankedPartition(each, sum(costs[size - 1] for size in each)) for each in partitions(k, n)]
    return sorted(ranked, key=lambda each: each.risk)


def best_partition(activation: AbstractActivation, k: int, n: int) -> Partition:
    """The partition of least `Σ R*(ℓ_i)`: `(1, …, 1, k−n+1)`, copies and one average, wherever `R*` is concave.

    Of two groups `p ≤ q` concavity makes `(p−1, q+1)` as good or better, and so on down to one. For erf `R*` is
    concave, for `−ℓ² arcsin(1/(2ℓ))` is a sum of `−ℓ^{1−2j}` with positive factors; for others it is computed up to
    `k−n+1` and looked at, and the partitions are enumerated where it is not concave.

    Arguments: an activation, `1 ≤ n ≤ k`. Returns a tuple of `n` sizes that sum to `k`, smallest first.
    Raises `ValueError` for other sizes, and where `one_neuron` has no answer.
    Reference: Şimşek et al. 2023 (erf).
    """
    _check("best_partition", k, n)
    extreme = (1,) * (n - 1) + (k - n + 1,)
    if isinstance(activation, Erf) or n in (1, k):
        return extreme
    dtype = jnp.result_type(float)
    costs = [one_neuron_risk(activation, size, dtype) for size in range(1, k - n + 2)]
    # A straight line, as of hermite(2), bends by its rounding.
    slack = 1e2 * float(jnp.finfo(dtype).eps) * costs[-1]
    bends = zip(costs[:-2], costs[1:-1], costs[2:], strict=True)
    if all(low + high <= 2 * middle + slack for low, middle, high in bends):
        return extreme
    return rank_partitions(activation, k, n)[0].partition
