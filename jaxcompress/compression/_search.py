"""The search among many starts: a few steps of all, the best of them to their ends, and crossings
of these.

All walks go through one compiled program (`Runner`). How a start ranks early says little about
where it ends (digits, 128 → 16, 64 starts: rank correlations of 0.1 after 4 to 20 steps, 0.7 after
30), but the very best after 4 steps are among the better ones at the end. So the field is cut once,
early, and what is saved goes into crossings: of the neurons of four students together those are
kept that the readout can spare least, and the child descends, twice as fast as a start. Three of
the four are finalists; the last is another one or a start that was cut, which brings in neurons
that no finalist has. On keys 0 and 3 the eight finalists come to 0.003507 and 0.003544 of the
second moment, the best of all 64 starts at their ends to 0.003485 and 0.003484, and the children to
0.003478 and 0.003507.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxcompress.compression._measured import Equations, bordered, strongest
from jaxcompress.compression._runner import Place, Runner, right_side
from jaxcompress.networks.internal import Layer

Report = Callable[[str, int, int], None]

# A walk that falls by less than this share in five steps has shown where it ends.
_SETTLED = 2e-4
# Risks closer than this share are one minimum: descents stop at up to `_SETTLED` above theirs.
_SAME = 5e-4
# Children in all, parents of each, and how many are raised at once: few enough that parents improve
# meanwhile.
_CHILDREN, _PARENTS, _LITTER = 40, 4, 4
# Share of the children whose last parent is no finalist. With none of them, two keys of six end at
# 0.003513 and more.
_STRANGERS = 0.5
# The winner is sought among finalists within this share of the best, once they have gone as far as
# they can.
_CLOSE = 1e-3


class Search:
    """One search: `screen`, `refine`, `cross` and `finish`, in this order, each on what the one
    before left.

    `report(stage, done, total)` is called as it goes. `reached` holds the lowest risk of every
    start.
    """

    def __init__(self, runner: Runner, starts: Float[np.ndarray, "starts n p"], report: Report):
        self.runner, self.report = runner, report
        self.field = [runner.start(hidden, frozenset([i])) for i, hidden in enumerate(starts)]
        self.reached = np.full(len(starts), np.inf)
        self.strangers: list[Place] = []
        self._tables: dict[tuple[int, int], np.ndarray] = {}

    def screen(self, steps: int, finalists: int) -> None:
        """A few steps of all starts, of which the best are left; the others are kept for
        crossings.
        """
        self._all("screen", lambda place: self.runner.go(place, steps))
        self.field, self.strangers = self.field[:finalists], self.field[finalists:]

    def refine(self, steps: int) -> None:
        """The finalists, until they hardly fall."""
        self._all("refine", lambda place: self.runner.go(place, steps, _SETTLED))

    def cross(self, steps: int, seed: np.ndarray) -> None:
        """Children of the finalists, the best as parents most often; one that is new takes the
        place of the worst.
        """
        rng, done = np.random.default_rng(seed), 0
        tried: set[tuple[int, ...]] = set()
        count = len(self.field)
        if count < 2:
            return
        self.report("cross", 0, _CHILDREN)
        while done < _CHILDREN:
            litter = [self._parents(rng, tried) for _ in range(min(_LITTER, _CHILDREN - done))]
            crossed = [self._crossed(parents) for parents in litter]
            children = dict(
                self.runner.each(lambda place: self.runner.go(place, steps, _SETTLED), crossed)
            )
            for i in range(len(litter)):
                self._adopt(children[i])
            done += len(litter)
            self.report("cross", done, _CHILDREN)

    def finish(self, steps: int) -> None:
        """The best, as far as it can go, and what is so near that it might become the best."""
        near = [place for place in self.field if place.risk <= (1 + _CLOSE) * self.field[0].risk]
        ends = dict(self.runner.each(lambda place: self.runner.go(place, steps), near))
        self.field[: len(near)] = [ends[i] for i in range(len(near))]
        self._sort()

    def _all(self, stage: str, function: Callable[[Place], Place]) -> None:
        """A function of every place of the field, each still on the way from one start."""
        total = len(self.field)
        self.report(stage, 0, total)
        for done, (i, place) in enumerate(self.runner.each(function, list(self.field)), 1):
            self.field[i] = place
            (root,) = place.roots
            self.reached[root] = place.risk
            self.report(stage, done, total)
        self._sort()

    def _sort(self) -> None:
        """The best first; of equal risk, in the order of their starts."""
        self.field.sort(key=lambda place: (place.risk, sorted(place.roots)))

    def _parents(self, rng: np.random.Generator, tried: set) -> list[Place]:
        """Students that have not met: of the field, the `r`-th best with a weight of `1/r`, and
        often a stranger; after many draws, any."""
        weight = 1 / np.arange(1, len(self.field) + 1)
        size = min(_PARENTS, len(self.field))
        for _ in range(20):
            rows = np.sort(
                rng.choice(len(self.field), size, replace=False, p=weight / weight.sum())
            )
            parents = [self.field[i] for i in rows]
            if self.strangers and rng.random() < _STRANGERS:
                parents = [
                    *parents[: _PARENTS - 1],
                    self.strangers[rng.integers(len(self.strangers))],
                ]
            numbers = tuple(place.number for place in parents)
            if numbers not in tried:
                break
        tried.add(numbers)
        return parents

    def _crossed(self, parents: Sequence[Place]) -> Place:
        """The neurons of all parents together, without those that cost least to drop."""
        aim, has_offset = self.runner.aim, self.runner.student.output_bias is not None
        tables = [[self._table(one, other) for other in parents] for one in parents]
        means = np.concatenate([place.means for place in parents])
        rights = [right_side(aim, place) for place in parents]
        right = np.concatenate([*rights, np.asarray(aim.average)[None]] if has_offset else rights)
        equations = Equations(bordered(np.block(tables), means, has_offset), right)
        kept = strongest(equations, len(parents[0].hidden), has_offset)
        hidden = np.concatenate([place.hidden for place in parents])[kept]
        return self.runner.start(hidden, frozenset().union(*(place.roots for place in parents)))

    def _table(self, one: Place, other: Place) -> Float[np.ndarray, "n n"]:
        """`E f f` between two students: the second takes the place of some neurons of the
        target.
        """
        n = len(one.hidden)
        if one is other:
            return one.table[:, :n]
        key = (one.number, other.number)
        if key not in self._tables:
            aim, runner = self.runner.aim, self.runner
            target, standard = aim.layer, other.hidden @ runner.lift
            weights: Any = np.concatenate([standard[:, :-1], np.asarray(target.weights)[n:]])
            mean: Any = (
                None
                if target.mean is None
                else np.concatenate([standard[:, -1], np.asarray(target.mean)[n:]])
            )
            there = aim._replace(layer=Layer(weights, mean, target.readout, target.activation))
            table = runner.go(runner.start(one.hidden, one.roots), 0, aim=there).table[:, n : 2 * n]
            self._tables[key], self._tables[key[::-1]] = table, table.T
        return self._tables[key]

    def _adopt(self, child: Place) -> None:
        gaps = [abs(place.risk - child.risk) for place in self.field]
        twin = int(np.argmin(gaps))
        place = twin if gaps[twin] <= _SAME * child.risk else len(self.field) - 1
        if child.risk < self.field[place].risk:
            self.field[place] = child
            self._sort()
