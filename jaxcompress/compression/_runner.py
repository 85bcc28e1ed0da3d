"""The one compiled program of a search, and where its students stand."""

import concurrent.futures
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from jaxcompress.compression._measured import Equations, bordered
from jaxcompress.compression._model import Aim, lift_of
from jaxcompress.compression._walk import Walk, advance, blank
from jaxcompress.networks import TwoLayer
from jaxcompress.special.internal import precision


class Place(NamedTuple):
    """Where a student of the search stands; `model` is not kept, for fields of wide students would
    fill the memory.

    `roots` are the starts that it comes from; no other place has its `number`.
    """

    hidden: Float[np.ndarray, "n p"]
    risk: float
    radius: np.ndarray
    stiffness: np.ndarray
    over: bool
    roots: frozenset[int]
    steps: int
    table: Float[np.ndarray, "n nk"]
    means: Float[np.ndarray, " n"]
    gradient_norm: float
    readout: Float[np.ndarray, "m o"]
    number: int


@eqx.filter_jit
def _advance(aim: Aim, student: TwoLayer, walk: Walk, steps, share, tolerance):
    return advance(aim, student, walk, steps, share, tolerance)


class Runner:
    """The compiled program of one search, its walks as many at a time as there are processors to
    run them.
    """

    def __init__(self, aim: Aim, student: TwoLayer):
        self.aim, self.student = aim, student
        self.dtype = np.dtype(student.weights.dtype)
        self.tolerance = np.asarray(precision(self.dtype).descent, self.dtype)
        self.blank, self.numbers = blank(aim, student), itertools.count()
        self.lift = np.asarray(lift_of(aim.inputs, student))
        self.workers = _processors() if jax.default_backend() == "cpu" else 1

    def start(self, hidden: np.ndarray, roots: frozenset[int]) -> Place:
        """A place of which nothing is known yet."""
        none = np.zeros((1, 0), self.dtype)
        return Place(
            hidden=np.asarray(hidden, self.dtype),
            risk=np.inf,
            radius=np.asarray(np.inf, self.dtype),
            stiffness=np.ones((), self.dtype),
            over=False,
            roots=roots,
            steps=0,
            table=none,
            means=none[0],
            gradient_norm=np.inf,
            readout=none,
            number=next(self.numbers),
        )

    def go(self, place: Place, steps: int, share: float = -1.0, aim: Aim | None = None) -> Place:
        """So many steps further, fewer where it falls by less than a share in a block of them; what
        is known there.
        """
        if place.over:
            return place
        known: dict[str, Any] = {
            "hidden": place.hidden,
            "radius": place.radius,
            "stiffness": place.stiffness,
        }
        walk = self.blank._replace(**known)
        budget = np.asarray(steps + 1, np.int32)  # the first measures
        limit = np.asarray(share, self.dtype)
        walk, count = _advance(aim or self.aim, self.student, walk, budget, limit, self.tolerance)
        model = walk.model
        walk = walk._replace(model=None)
        walk, count, risk, gradient, readout, table, means = jax.device_get(
            (walk, count, model.risk, model.gradient, model.readout, model.table, model.means)
        )
        return Place(
            hidden=walk.hidden,
            risk=max(float(risk), 0.0) if np.isfinite(risk) else np.inf,
            radius=walk.radius,
            stiffness=walk.stiffness,
            over=bool(walk.over),
            roots=place.roots,
            steps=place.steps + int(count) - 1,
            table=table,
            means=means,
            gradient_norm=float(np.abs(gradient).max()),
            readout=readout,
            number=next(self.numbers),
        )

    def each(
        self, function: Callable[[Place], Place], places: Sequence[Place]
    ) -> Iterator[tuple[int, Place]]:
        """`function` of every place, as they are done."""
        with concurrent.futures.ThreadPoolExecutor(max(1, min(self.workers, len(places)))) as pool:
            futures = {pool.submit(function, place): i for i, place in enumerate(places)}
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()


def _processors() -> int:
    """Those that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def right_side(aim: Aim, place: Place) -> Float[np.ndarray, "n o"]:
    """`E[f f*]` of the neurons of a place."""
    right = place.table[:, len(place.hidden) :] @ np.asarray(aim.layer.readout)
    return (
        right if aim.offset is None else right + place.means[:, None] * np.asarray(aim.offset)[None]
    )


def equations_of(aim: Aim, place: Place, has_offset: bool) -> Equations:
    """The normal equations of a place."""
    n = len(place.hidden)
    right = right_side(aim, place)
    right = np.concatenate([right, np.asarray(aim.average)[None]]) if has_offset else right
    return Equations(bordered(place.table[:, :n], place.means, has_offset), right)
