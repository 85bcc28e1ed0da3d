"""A queue of runs through a fixed number of lanes, inside one compiled loop.

A lane that has finished hands its result over and takes the next run, so a batch does not wait for its slowest member,
and what is kept in fast memory does not grow with the number of runs. Runs are prepared a deck at a time, as many as
there are lanes; from the deck they are dealt to the lanes that are free.

Every array of a lane's state has the lanes as its last axis; every array of the store has the runs as its first. No
arithmetic crosses lanes: the result of a run depends neither on its neighbours nor on its place in the queue.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

Progress = Callable[[Any], None]


class Queue(NamedTuple):
    """The runs to do: the first `length` entries of `order (runs,)`, and whether progress through them is told."""

    order: Int[Array, " runs"]
    length: Int[Array, ""]
    told: Bool[Array, ""]


class Occupancy(NamedTuple):
    """Lane steps that belonged to a run and all lane steps, as long as runs were waiting."""

    busy: Array
    all: Array


def run_in_lanes(
    load: Callable[[Any, Array], Any],
    step: Callable[[Any], Any],
    done: Callable[[Any], Array],
    save: Callable[[Any], Any],
    store: Any,
    queue: Queue,
    lanes: int,
    progress: Progress | None = None,
) -> tuple[Any, Occupancy]:
    """Put the runs of a queue through `lanes` lanes and return the store with their rows replaced.

    `load(store, ids (lanes,))` prepares the states of these runs; `step` advances all lanes; `done` tells which have
    ended; `save` extracts their rows of the store, with the lanes as last axis. `progress(count)` is told, whenever a
    deck has been dealt, how many runs have left the queue.
    """
    position = jnp.arange(lanes, dtype=jnp.int32)
    runs = queue.order.shape[0]

    def deal(store: Any, base: Array) -> Any:
        """The states of the runs from `base` on; beyond the last one it is repeated and never used."""
        return load(store, queue.order[jnp.minimum(base + position, queue.length - 1)])

    def body(carry):
        state, places, deck, base, dealt, store, occupancy = carry
        state = step(state)
        active, waiting = places < queue.length, base + dealt < queue.length
        busy = jnp.sum(active, dtype=jnp.float32)
        occupancy = jax.tree.map(
            lambda n, m: n + jnp.where(waiting, m, 0), occupancy, Occupancy(busy, jnp.full_like(busy, lanes))
        )
        ended = done(state) & active
        rows = jnp.where(ended, queue.order[jnp.minimum(places, runs - 1)], runs)
        store = jax.tree.map(
            lambda old, new: old.at[rows].set(jnp.moveaxis(new, -1, 0), mode="drop"), store, save(state)
        )
        free = ended | ~active
        place = dealt + jnp.cumsum(free, dtype=jnp.int32) - 1
        taken = free & (place < lanes) & (base + place < queue.length)
        card = jnp.minimum(place, lanes - 1)
        state = jax.tree.map(lambda new, old: jnp.where(spread(taken, old), new[..., card], old), deck, state)
        places = jnp.where(taken, base + place, jnp.where(free, queue.length, places))
        dealt += jnp.sum(taken, dtype=jnp.int32)
        again = (dealt >= lanes) & (base + lanes < queue.length)
        if progress is not None:
            jax.lax.cond(again & queue.told, lambda: jax.debug.callback(progress, base), lambda: None)
        deck = jax.lax.cond(again, lambda: deal(store, base + lanes), lambda: deck)
        base, dealt = jnp.where(again, base + lanes, base), jnp.where(again, 0, dealt)
        return state, places, deck, base, dealt, store, occupancy

    # The first deck is dealt at once; the loop goes on with the second.
    zero, nothing = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32)
    places = jnp.where(position < queue.length, position, queue.length)
    second = zero + lanes
    carry = (deal(store, zero), places, deal(store, second), second, zero, store, Occupancy(nothing, nothing))
    end = jax.lax.while_loop(lambda carry: jnp.any(carry[1] < queue.length), body, carry)
    return end[-2], end[-1]


def spread(mask: Array, leaf: Array) -> Array:
    """A mask over lanes, with the axes of a leaf."""
    return mask.reshape((1,) * (leaf.ndim - 1) + mask.shape)
