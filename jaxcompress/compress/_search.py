"""The search among many starts: a field that is halved, finalists that converge, and crossings of these.

All walks go through one compiled program (`Runner`). The field is halved while the walks are still far from their
ends, the rest goes on until it hardly falls. How a start ranks early says little about where it ends (digits, 128 → 16,
64 starts: rank correlations of 0.1 after 1 to 20 steps, 0.7 after 30), so that the field is narrowed early and what is
saved goes into crossings: of the neurons of two finalists together those are kept that the other's readout can spare
least, and the child descends, twice as fast as a start. There, eight finalists and their children come to 0.003478 of
the energy; the best of 64 starts that all converge, to 0.003485.
"""

import concurrent.futures
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxcompress.compress._measured import Equations, bordered, strongest
from jaxcompress.compress._model import Aim, lift_of
from jaxcompress.compress._walk import Walk, advance, blank
from jaxcompress.networks import Layer, TwoLayer
from jaxcompress.special import precision

# Shares of the field that are left for the stages of the screening, and shares of its steps that these take.
_HALVINGS = ((1.0, 0.0), (0.5, 0.25), (0.25, 0.75))
# A walk that falls by less than this share in five steps has shown where it ends.
_SETTLED = 1e-4
# Risks closer than this share are one minimum: descents stop at up to `_SETTLED` above theirs.
_SAME = 3e-4
# Children a finalist, and how many are raised at once: few enough that parents improve, enough for the processors.
_CHILDREN, _LITTER = 3, 4
# The winner is sought among finalists within this share of the best, once they have gone as far as they can.
_CLOSE, _LAST = 1e-3, 60


class Place(NamedTuple):
    """Where a student of the search stands; `model` is not kept, for fields of wide students would fill the memory.

    `roots` are the starts that it comes from.
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


@eqx.filter_jit
def _advance(aim: Aim, student: TwoLayer, walk: Walk, steps, share, tolerance):
    return advance(aim, student, walk, steps, share, tolerance)


class Runner:
    """The compiled program of one search, its walks as many at a time as there are processors to run them."""

    def __init__(self, aim: Aim, student: TwoLayer):
        self.aim, self.student = aim, student
        self.dtype = np.dtype(student.weights.dtype)
        self.tolerance = np.asarray(precision(self.dtype).descent, self.dtype)
        self.blank = blank(aim, student)
        self.lift = np.asarray(lift_of(aim.inputs, student))
        self.workers = (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1

    def start(self, hidden: np.ndarray, roots: frozenset[int]) -> Place:
        """A place of which nothing is known yet."""
        infinity = np.asarray(np.inf, self.dtype)
        none = np.zeros((1, 0), self.dtype)
        hidden = np.asarray(hidden, self.dtype)
        return Place(hidden, np.inf, infinity, np.ones_like(infinity), False, roots, 0, none, none[0], np.inf, none)

    def go(self, place: Place, steps: int, share: float = -1.0, aim: Aim | None = None) -> Place:
        """So many steps further, fewer where it falls by less than a share in a block of them; what is known there."""
        if place.over:
            return place
        walk = self.blank._replace(hidden=place.hidden, radius=place.radius, stiffness=place.stiffness)
        budget = np.asarray(steps + 1, np.int32)  # the first measures
        limit = np.asarray(share, self.dtype)
        walk, count = _advance(aim or self.aim, self.student, walk, budget, limit, self.tolerance)
        model = walk.model
        walk = walk._replace(model=None)
        walk, count, risk, gradient, readout, table, means = jax.device_get(
            (walk, count, model.risk, model.gradient, model.readout, model.table, model.means)
        )
        return Place(
            walk.hidden,
            max(float(risk), 0.0) if np.isfinite(risk) else np.inf,
            walk.radius,
            walk.stiffness,
            bool(walk.over),
            place.roots,
            place.steps + int(count) - 1,
            table,
            means,
            float(np.abs(gradient).max()),
            readout,
        )

    def each(self, function: Callable[[Place], Place], places: Sequence[Place]) -> Iterator[tuple[int, Place]]:
        """`function` of every place, as they are done."""
        with concurrent.futures.ThreadPoolExecutor(max(1, min(self.workers, len(places)))) as pool:
            futures = {pool.submit(function, place): i for i, place in enumerate(places)}
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()


class Search:
    """One search: `screen`, `refine`, `cross` and `finish`, in this order, each on what the one before left.

    `report(stage, done, total)` is called as it goes. `reached` holds the lowest risk of every start.
    """

    def __init__(self, runner: Runner, starts: Float[np.ndarray, "starts n p"], report: Callable[[str, int, int], None]):
        self.runner, self.report = runner, report
        self.field = [runner.start(hidden, frozenset([i])) for i, hidden in enumerate(starts)]
        self.reached = np.full(len(starts), np.inf)

    def screen(self, steps: int, finalists: int) -> None:
        """A few steps of all starts, more of those that do best."""
        count = len(self.field)
        stages = [(max(finalists, round(part * count)), round(share * steps)) for part, share in _HALVINGS]
        total, done = sum(size for size, _ in stages), 0
        self.report("screen", done, total)
        for size, some in stages:
            self._cut(size)
            done = self._advance(lambda place, some=some: self.runner.go(place, some), "screen", done, total)
        self._cut(finalists)

    def refine(self, steps: int) -> None:
        """The finalists, until they hardly fall."""
        self.report("refine", 0, len(self.field))
        self._advance(lambda place: self.runner.go(place, steps, _SETTLED), "refine", 0, len(self.field))
        self._cut(len(self.field))

    def cross(self, steps: int) -> None:
        """Children of the finalists, the best parents first; a child that is new takes the place of the worst."""
        tried: set[tuple[float, float]] = set()
        total, done = _CHILDREN * len(self.field), 0
        while len(self.field) > 1 and done < total:
            pairs = itertools.combinations(self.field, 2)
            pairs = [pair for pair in pairs if (pair[0].risk, pair[1].risk) not in tried]
            pairs = sorted(pairs, key=lambda pair: pair[0].risk + pair[1].risk)[: min(_LITTER, total - done)]
            if not pairs:
                break
            tried.update((one.risk, other.risk) for one, other in pairs)
            children = dict(self.runner.each(lambda pair: self._child(*pair, steps), pairs))
            for i in range(len(pairs)):
                self._adopt(children[i])
            done += len(pairs)
            self.report("cross", min(done, total), total)

    def finish(self, steps: int) -> None:
        """The best, as far as it can go, and what is so near that it might become the best."""
        near = [place for place in self.field if place.risk <= (1 + _CLOSE) * self.field[0].risk]
        ends = dict(self.runner.each(lambda place: self.runner.go(place, steps), near))
        self.field[: len(near)] = [ends[i] for i in range(len(near))]
        self._cut(len(self.field))

    def _advance(self, function: Callable[[Place], Place], stage: str, done: int, total: int) -> int:
        for i, place in self.runner.each(function, list(self.field)):
            self.field[i] = place
            (root,) = place.roots
            self.reached[root] = min(self.reached[root], place.risk)
            done += 1
            self.report(stage, done, total)
        return done

    def _cut(self, size: int) -> None:
        """Only the best of the field, in order; starts of equal risk in the order of their numbers."""
        self.field = sorted(self.field, key=lambda place: (place.risk, sorted(place.roots)))[:size]

    def _child(self, one: Place, other: Place, steps: int) -> Place:
        hidden = crossed(self.runner, one, other)
        return self.runner.go(self.runner.start(hidden, one.roots | other.roots), steps, _SETTLED)

    def _adopt(self, child: Place) -> None:
        known = any(abs(place.risk - child.risk) <= _SAME * child.risk for place in self.field)
        if known:
            twin = min(range(len(self.field)), key=lambda i: abs(self.field[i].risk - child.risk))
            if child.risk < self.field[twin].risk:
                self.field[twin] = child
        elif child.risk < self.field[-1].risk:
            self.field[-1] = child
        self._cut(len(self.field))


def crossed(runner: Runner, one: Place, other: Place) -> Float[np.ndarray, "n p"]:
    """The neurons of two students together, without those that cost least to drop."""
    aim, n = runner.aim, len(one.hidden)
    target, has_offset = aim.layer, runner.student.output_bias is not None
    # the table of the two students: the other one takes the place of some neurons of the target
    standard = other.hidden @ runner.lift
    weights = np.concatenate([standard[:, :-1], np.asarray(target.weights)[n:]])
    mean = None if target.mean is None else np.concatenate([standard[:, -1], np.asarray(target.mean)[n:]])
    there = aim._replace(layer=Layer(weights, mean, target.readout, target.activation))
    both = runner.go(runner.start(one.hidden, one.roots), 0, aim=there).table[:, n : 2 * n]
    matrix = np.block([[one.table[:, :n], both], [both.T, other.table[:, :n]]])
    means = np.concatenate([one.means, other.means])
    rights = [right_side(aim, place) for place in (one, other)]
    right = np.concatenate([*rights, np.asarray(aim.average)[None]] if has_offset else rights)
    kept = strongest(Equations(bordered(matrix, means, has_offset), right), n, has_offset)
    return np.concatenate([one.hidden, other.hidden])[kept]


def right_side(aim: Aim, place: Place) -> Float[np.ndarray, "n o"]:
    """`E[f f*]` of the neurons of a place."""
    right = place.table[:, len(place.hidden) :] @ np.asarray(aim.layer.readout)
    return right if aim.offset is None else right + place.means[:, None] * np.asarray(aim.offset)[None]


def equations_of(aim: Aim, place: Place, has_offset: bool) -> Equations:
    """The normal equations of a place."""
    n = len(place.hidden)
    right = right_side(aim, place)
    right = np.concatenate([right, np.asarray(aim.average)[None]]) if has_offset else right
    return Equations(bordered(place.table[:, :n], place.means, has_offset), right)
