"""A queue of runs through a fixed number of slots, inside one compiled loop.

A slot that has finished hands its result over and takes the next run, so a batch does not wait for
its slowest member, and what is kept in fast memory does not grow with the number of runs. The slots
start empty: the loop's own step is the one place where runs are loaded, and loading evaluates
nothing.

Every array of a slot's state has the slots as its last axis; every array of the store has the runs
as its first. No arithmetic crosses slots: the result of a run depends neither on its neighbours nor
on its place in the queue.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

Progress = Callable[[Any], None]


class Queue(NamedTuple):
    """The runs to do: the first `length` entries of `order (runs,)`, and whether progress is
    told.
    """

    order: Int[Array, " runs"]
    length: Int[Array, ""]
    told: Bool[Array, ""]


class Occupancy(NamedTuple):
    """Slot steps that belonged to a run and all slot steps, as long as runs were waiting."""

    busy: Array
    all: Array


class _Carry(NamedTuple):
    """The loop: states of the slots, what steps keep, places in the queue, the next place, the
    store.
    """

    state: Any
    own: Any
    kept: Any
    places: Int[Array, " slots"]
    next: Int[Array, ""]
    store: Any
    occupancy: Occupancy


def queue_of(waiting: Bool[Array, " runs"], told: Bool[Array, ""] | bool = False) -> Queue:
    """The runs that wait, in their order."""
    order = jnp.argsort(~waiting, stable=True).astype(jnp.int32)
    return Queue(order, jnp.sum(waiting, dtype=jnp.int32), jnp.asarray(told))


def run_in_slots(
    step: Callable[[Any, Any, Any], tuple[Any, Any]],
    done: Callable[[Any], Array],
    store: Any,
    own: Any,
    queue: Queue,
    slots: int,
    progress: Progress | None = None,
    kept: Any = None,
) -> tuple[Any, Occupancy]:
    """Put the runs of a queue through `slots` slots and return the store with their rows replaced.

    A row of the store is the state of its run. `step(state, own, kept)` advances all slots, `own`
    being what of each run never changes and `kept` what one step leaves to the next, whatever the
    runs; `done(state)` tells which have ended. `progress(count)` is told how many runs have left
    the queue, whenever that is another `slots` of them.
    """
    runs = queue.order.shape[0]

    def body(carry: _Carry) -> _Carry:
        free = carry.places >= queue.length
        place = carry.next + jnp.cumsum(free, dtype=jnp.int32) - 1
        taken = free & (place < queue.length)
        places = jnp.where(taken, place, carry.places)
        ids = queue.order[jnp.minimum(places, runs - 1)]
        fresh = _rows((carry.store, own), ids)
        state, own_rows = chosen(taken, fresh, (carry.state, carry.own))
        after = carry.next + jnp.sum(taken, dtype=jnp.int32)
        if progress is not None:
            _tell(progress, queue, carry.next, after, slots)
        state, kept = step(state, own_rows, carry.kept)
        active = places < queue.length
        ended = done(state) & active
        store = _with_rows(carry.store, jnp.where(ended, ids, runs), state)
        waiting = after < queue.length
        now = Occupancy(jnp.sum(active, dtype=jnp.float32), jnp.full((), slots, jnp.float32))
        occupancy = jax.tree.map(lambda n, m: n + jnp.where(waiting, m, 0), carry.occupancy, now)
        places = jnp.where(ended, queue.length, places)
        return _Carry(state, own_rows, kept, places, after, store, occupancy)

    zero, nothing = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32)
    blank, own_blank = jax.tree.map(
        lambda leaf: jnp.zeros((*leaf.shape[1:], slots), leaf.dtype), (store, own)
    )
    empty = jnp.broadcast_to(queue.length, (slots,))
    first = _Carry(blank, own_blank, kept, empty, zero, store, Occupancy(nothing, nothing))
    end = jax.lax.while_loop(
        lambda carry: (carry.next < queue.length) | jnp.any(carry.places < queue.length),
        body,
        first,
    )
    return end.store, end.occupancy


# No index is negative: told so, JAX leaves the code out that would wrap it, a third of what the
# loop lowers to.
def _rows(store: Any, ids: Int[Array, " slots"]) -> Any:
    """The rows of a store with these numbers, one a slot."""

    def of_slots(leaf: Array) -> Array:
        rows = leaf.at[ids].get(mode="promise_in_bounds", wrap_negative_indices=False)
        return jnp.moveaxis(rows, 0, -1)

    return jax.tree.map(of_slots, store)


def _with_rows(store: Any, ids: Int[Array, " slots"], state: Any) -> Any:
    """A store with these rows replaced; numbers beyond the last row are dropped."""

    def replaced(old: Array, new: Array) -> Array:
        rows = jnp.moveaxis(new, -1, 0)
        return old.at[ids].set(rows, mode="drop", wrap_negative_indices=False)

    return jax.tree.map(replaced, store, state)


def _tell(progress: Progress, queue: Queue, before: Array, after: Array, slots: int) -> None:
    """Call `progress` when another `slots` runs have left the queue, the first ones excepted."""
    full = (after // slots > before // slots) & (after > slots) | (after == queue.length) & (
        after > before
    )
    jax.lax.cond(full & queue.told, lambda: jax.debug.callback(progress, after), lambda: None)


def _spread(mask: Array, leaf: Array) -> Array:
    """A mask over slots, with the axes of a leaf."""
    return mask.reshape((1,) * (leaf.ndim - 1) + mask.shape)


def chosen(mask: Bool[Array, " slots"], new: Any, old: Any) -> Any:
    """`new` in the slots of a mask, `old` in the others."""
    return jax.tree.map(lambda n, o: jnp.where(_spread(mask, n), n, o), new, old)
