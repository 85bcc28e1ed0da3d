"""Loops over blocks of an axis, whose memory is given back before the next, also in reverse
mode.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def block_size(count: int, most: int) -> int:
    """The largest divisor of `count` up to `most`, unless that is less than half of it: then
    `most`.
    """
    most = max(1, most)
    if count <= most:
        return max(1, count)
    return next((size for size in range(most, most // 2, -1) if count % size == 0), most)


def in_blocks(function: Callable, arrays, most: int):
    """`function` on blocks of at most `most` of the leading axis of `arrays`, its results put one
    after another.

    What is left over, if nothing near `most` divides the axis, costs a copy of arguments and
    results.
    """
    split, rest = _split(arrays, most)
    if split is None:
        return function(rest)
    out = jax.lax.scan(
        jax.checkpoint(lambda _, block: (None, function(block)), prevent_cse=False), None, split
    )[1]
    out = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), out)
    if rest is None:
        return out
    last = jax.checkpoint(function)(rest)
    return jax.tree.map(lambda one, other: jnp.concatenate([one, other]), out, last)


def summed_blocks(function: Callable, arrays, most: int):
    """The sum of `function` over blocks of at most `most` of the leading axis of `arrays`."""
    split, rest = _split(arrays, most)
    if split is None:
        return function(rest)
    function = jax.checkpoint(function, prevent_cse=False)
    shapes = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0], split))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def step(total, block):
        return jax.tree.map(jnp.add, total, function(block)), None

    total, _ = jax.lax.scan(step, zeros, split)
    return total if rest is None else step(total, rest)[0]


def _split(arrays, most: int):
    """The arrays cut into whole blocks (`None` for one block) and what remains (`None` for
    nothing).
    """
    count = jax.tree.leaves(arrays)[0].shape[0]
    size = block_size(count, most)
    if size >= count:
        return None, arrays
    full = count // size * size
    split = jax.tree.map(
        lambda leaf: leaf[:full].reshape(full // size, size, *leaf.shape[1:]), arrays
    )
    return split, None if full == count else jax.tree.map(lambda leaf: leaf[full:], arrays)
