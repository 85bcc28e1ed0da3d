"""Sums over scale mixtures of smoothed kinks (`_terms.ScaleMixture`)."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.kernels.activations._terms import ScaleMixture
from jaxcompress.kernels.moments._static_zeros import Number, plus, times

# Pairs of widths up to which their formulas are written out one after another; more run in a
# compiled loop.
_UNROLLED = 4


def over_pairs(
    dtype, x: ScaleMixture, y: ScaleMixture, terms: Callable[[Number, Number], list[Number]]
) -> Sequence[Number]:
    """`Σ share·share·terms(width, width)`."""
    shares = [p * q for p in x.shares for q in y.shares]
    widths = [(p, q) for p in x.widths for q in y.widths]
    if len(widths) <= _UNROLLED:
        lines = [
            [times(share, term) for term in terms(*pair)]
            for share, pair in zip(shares, widths, strict=True)
        ]
        return [plus(*column) for column in zip(*lines, strict=True)]
    fixed = [part.widths[0] if len(part.widths) == 1 else None for part in (x, y)]

    def both(pair: Array) -> list[Array]:
        chosen = [pair[i] if known is None else known for i, known in enumerate(fixed)]
        return [
            term if isinstance(term, Array) else jnp.asarray(term, dtype) for term in terms(*chosen)
        ]

    rows = jnp.asarray([(share, *pair) for share, pair in zip(shares, widths, strict=True)], dtype)
    start = [jnp.zeros(leaf.shape, dtype) for leaf in jax.eval_shape(both, rows[0, 1:])]

    def add(sums, row):
        return [old + row[0] * new for old, new in zip(sums, both(row[1:]), strict=True)], None

    return jax.lax.scan(add, start, rows)[0]
