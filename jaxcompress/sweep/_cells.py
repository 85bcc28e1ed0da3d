"""The cells of a grid: every combination of its axes that the conditions keep."""

import dataclasses
import itertools

from jaxcompress.sweep._errors import refuse
from jaxcompress.sweep._parts import Orthonormal, Target
from jaxcompress.sweep._sizes import holds, value

_MOST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Cell:
    """One combination: `number` in the plan, the student's activation, the target, the sizes."""

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


def cells_of(
    activation: tuple[str, ...],
    target: tuple[Target, ...],
    k: tuple[int, ...],
    n: tuple[int | str, ...],
    d: tuple[int | str, ...],
    where: tuple[str, ...],
) -> tuple[Cell, ...]:
    """The cells of a grid that satisfy the conditions `where`, in the order of the axes, which
    numbers the runs.

    Raises `ValueError` for sizes that are no sizes, for a grid without cells and for targets that
    do not exist.
    """
    found: list[tuple] = []
    for f, law, teacher in itertools.product(activation, target, k):
        for n_text, d_text in itertools.product(n, d):
            width = _size("n", n_text, {"k": teacher})
            dim = _size("d", d_text, {"k": teacher, "n": width})
            if _kept(where, {"n": width, "k": teacher, "d": dim}):
                found.append((f, law, width, teacher, dim))
    distinct = list(dict.fromkeys(found))
    if not distinct:
        refuse("where", where, "conditions that leave a cell", "loosen them, or widen n, k or d")
    cells = tuple(Cell(i, *parts) for i, parts in enumerate(distinct))
    for cell in cells:
        _check_exists(cell.target, cell.n, cell.k, cell.d)
    return cells


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
            refuse(
                "where",
                condition,
                "a comparison of sums in n, k and d, such as 'n < k'",
                "rewrite it",
            )
    return all(answers.values())


def _check_exists(target: Target, n: int, k: int, d: int) -> None:
    for field, size in (("n", n), ("d", d)):
        if size < 1:
            refuse(field, size, f"at least 1 (n={n}, k={k}, d={d})", f'add "{field} >= 1" to where')
        if size > _MOST:
            refuse(field, size, f"at most {_MOST} (n={n}, k={k}, d={d})", "ask for less")
    if isinstance(target, Orthonormal) and k > d:
        refuse(
            "d",
            d,
            f"at least k={k} for an orthonormal target",
            'raise it, write "k", or add "k <= d" to where',
        )
