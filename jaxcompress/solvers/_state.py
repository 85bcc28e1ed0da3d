"""What is known of a run: where it stands, its flow, its Newton steps, its polish.

In the slots every array has the slots as its last axis, in the store the runs as its first.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solvers._vanishing import Slide


class Point(NamedTuple):
    """The unknowns with risk, rounding floor and gradient there, if they are `known` yet.

    The gradient is the whole one: that of unknowns which stand still is in it.
    """

    y: Array
    gradient: Array
    risk: Array
    floor: Array
    known: Array


class Curvature(NamedTuple):
    """The direction of the largest curvature, a bound of it, and the steps for which it serves."""

    direction: Array
    radius: Array
    serves: Array


class Course(NamedTuple):
    """A flow under way: its clock, its next step (zero for one to be chosen), the counts of steps,
    of accepted and of explicit ones, whether none has been taken on this rung of the ladder (one
    is, or gradients just within a tolerance would stay there), the gradient that it left off with,
    the sliding neurons, and the largest curvature, where they are followed."""

    time: Array
    length: Array
    steps: Array
    accepted: Array
    explicit: Array
    idle: Array
    norm: Array
    slide: Slide | None
    curvature: Curvature | None


class Newton(NamedTuple):
    """Whether Newton's method took over, whether it has ended, its steps this time and in all."""

    taken: Array
    over: Array
    steps: Array
    total: Array


class Polish(NamedTuple):
    """The spectrum of a run, the radius within which steps are trusted, the fruitless trials in a
    row, the steps."""

    eigenvalues: Array
    radius: Array
    stalls: Array
    steps: Array


class Slot(NamedTuple):
    """Everything about a run that changes."""

    point: Point
    course: Course
    newton: Newton
    polish: Polish


def at_start(y: Array, slide: Slide | None, curved: bool) -> Slot:
    """Runs `(runs, P)` of which nothing but the point is known."""
    runs = y.shape[0]
    blank, infinite = jnp.zeros(runs, y.dtype), jnp.full(runs, jnp.inf, y.dtype)
    count, no = jnp.zeros(runs, jnp.int32), jnp.zeros(runs, bool)
    curvature = Curvature(jnp.zeros_like(y), blank, count) if curved else None
    return Slot(
        Point(y, jnp.zeros_like(y), blank, blank, no),
        Course(blank, blank, count, count, count, ~no, infinite, slide, curvature),
        Newton(no, no, count, count),
        Polish(jnp.zeros_like(y), infinite, count, count),
    )


def slots_last(tree: Any) -> Any:
    """The rows of a store with the runs as last axis."""
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), tree)
