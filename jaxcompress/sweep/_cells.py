"""The cells of a grid: every combination of its axes that the conditions keep."""

import dataclasses
import itertools
from typing import TYPE_CHECKING

from jaxcompress.sweep._errors import refuse
from jaxcompress.sweep._parts import Orthonormal, Target
from jaxcompress.sweep._sizes import holds, value

if TYPE_CHECKING:
    from jaxcompress.sweep._plan import Plan


_MOST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Cell:
    """One combination: `number` in the plan, activation of the student, target law, sizes."""

    number: int
    activation: str
    target: Target
    n: int
    k: int
    d: int

    @property
    def target_activation(self) -> str:
        """The activation of the target."""
        return self.target.activation or self.activation

    @property
    def own_targets(self) -> bool:
        """Whether every run has a target of its own."""
        return not isinstance(self.target, Orthonormal) and self.target.each == "run"


def cells_of(plan: "Plan") -> tuple[Cell, ...]:
    """The cells of a plan, in the order of its axes (activation, target, k, n, d), which numbers the runs.

    Raises `ValueError` for sizes that are no sizes, for a grid without cells and for targets that do not exist.
    """
    found: list[tuple] = []
    for f, target, k in itertools.product(plan.activation, plan.target, plan.k):
        for n_text, d_text in itertools.product(plan.n, plan.d):
            n = _size("n", n_text, {"k": k})
            d = _size("d", d_text, {"k": k, "n": n})
            if _kept(plan.where, {"n": n, "k": k, "d": d}):
                found.append((f, target, n, k, d))
    distinct = list(dict.fromkeys(found))
    if not distinct:
        refuse("where", plan.where, "conditions that leave a cell", "loosen them, or widen n, k or d")
    for _, target, n, k, d in distinct:
        _check_exists(target, n, k, d)
    return tuple(Cell(i, *parts) for i, parts in enumerate(distinct))


def _size(field: str, given: int | str, sizes: dict[str, int]) -> int:
    """A number, or what a sum such as "k+1" comes to."""
    size = given if isinstance(given, int) else value(given, sizes)
    if size is None:
        letters = " and ".join(sizes)
        refuse(field, given, f"a number, or a sum in {letters} such as 'k+1'", "rewrite it")
    return size


def _kept(conditions: tuple[str, ...], sizes: dict[str, int]) -> bool:
    answers = {condition: holds(condition, sizes) for condition in conditions}
    for condition, answer in answers.items():
        if answer is None:
            refuse("where", condition, "a comparison of sums in n, k and d, such as 'n < k'", "rewrite it")
    return all(answers.values())


def _check_exists(target: Target, n: int, k: int, d: int) -> None:
    for field, size in (("n", n), ("d", d)):
        if size < 1:
            refuse(field, size, f"at least 1 (n={n}, k={k}, d={d})", f'add "{field} >= 1" to where')
        if size > _MOST:
            refuse(field, size, f"at most {_MOST} (n={n}, k={k}, d={d})", "ask for less")
    if isinstance(target, Orthonormal) and k > d:
        refuse("d", d, f"at least k={k} for an orthonormal target", 'raise it, write "k", or add "k <= d" to where')
