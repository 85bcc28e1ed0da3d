"""A declared grid of runs, checked as a whole when it is made."""

import dataclasses
import functools
import hashlib
import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxcompress.sweep._cells import Cell, cells_of
from jaxcompress.sweep._cost import target_bytes, unknowns, usual_block
from jaxcompress.sweep._distributions import activation_of, check_inputs, numbers_in
from jaxcompress.sweep._errors import (
    check_choice,
    check_fits,
    check_flag,
    check_keys,
    check_whole,
    refuse,
)
from jaxcompress.sweep._parts import Random, Solver, Start, Target, part_from, plain, target_from

_TOLERANCES = ("gradient_tolerance", "flow_tolerance", "rtol", "atol")
_PARAMETERS = ("weights", "readout", "bias", "output_bias")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A grid of cells (activation, target, k, n, d), with the same number of runs in each.

    Axes, each one entry or a list:

    - `activation`: names;
    - `n`: widths of the student, numbers or sums in `k` such as `"k-1"`;
    - `k`: widths of the target (the papers' N);
    - `d`: input dimensions, numbers or sums in `n` and `k` such as `"k+1"`;
    - `target`: distributions of targets (`Orthonormal`, `Random`, or the name of one);
    - `where`: conditions, such as `"n < k"`; cells that break one are left out.

    For all cells:

    - `runs`: runs a cell;
    - `key`: the seed of everything;
    - `inputs`: `"standard_normal"` or `"gaussian(mean=0.5, variance=1, correlation=0.2)"`;
    - `start` (`Start`): the distribution of students;
    - `freeze`: names of parameters that stay;
    - `solver` (`Solver`): the method and its numbers;
    - `risk`: `"population"` or `"simplified"` (orders 0 and 1 of the target, at a cost that does
      not depend on `k`);
    - `networks`: whether the end points are stored;
    - `block`: the most runs that are solved, stored and lost together (left out: what is estimated
      to take ten seconds, 2048 to 16384; many processes want smaller ones);
    - `precision`: `"float64"` or `"float32"`.

    Run `id` is number `id % runs` of cell `id // runs`, and draws its start from `fold_in(key, id)`
    (as `Starts` does) and, where it has one of its own, its target from `fold_in(fold_in(key, id),
    2)`: neither block nor device nor any other run enters. A target to a cell is that of the cell's
    first run. `estimate(plan)` says what it will cost; `plan.cells` lists the cells;
    `Plan.from_toml(path)` reads a file.
    Raises `ValueError`, one line that names the field, for whatever could not be run.

    >>> from jaxcompress.sweep import Plan
    >>> [(cell.n, cell.k, cell.d) for cell in Plan("erf", n=[2, "k-1"], k=4, d="k+1", runs=9).cells]
    [(2, 4, 5), (3, 4, 5)]
    """

    activation: tuple[str, ...]
    n: tuple[int | str, ...]
    k: tuple[int, ...]
    d: tuple[int | str, ...]
    runs: int
    key: int = 0
    target: tuple[Target, ...] = dataclasses.field(
        default_factory=lambda: (target_from("orthonormal"),)
    )
    where: tuple[str, ...] = ()
    inputs: str = "standard_normal"
    start: Start = dataclasses.field(default_factory=Start)
    freeze: tuple[str, ...] = ()
    solver: Solver = dataclasses.field(default_factory=Solver)
    risk: str = "population"
    networks: bool = True
    block: int | None = None
    precision: str = "float64"

    def __post_init__(self):
        for name, normal in _normal(self).items():
            object.__setattr__(self, name, normal)
        for name in self.activation:
            activation_of("activation", name)
        check_flag("networks", self.networks)
        check_choice("risk", self.risk, ("population", "simplified"))
        check_choice("precision", self.precision, ("float64", "float32"))
        if self.risk == "simplified" and self.inputs != "standard_normal":
            refuse(
                "inputs",
                self.inputs,
                '"standard_normal" with the simplified risk',
                'change it, or take risk "population"',
            )
        _check_freeze(self)
        for field, number in _numbers(self):
            check_fits(field, number, self.precision)
        check_inputs(self.inputs, sorted({cell.d for cell in self.cells}), self.precision)
        check_whole("runs", self.runs, 1, (2**31 - 1) // len(self.cells))
        if self.block is None:
            object.__setattr__(self, "block", self._usual_block())

    @functools.cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every combination that the conditions keep, in the order that numbers the runs."""
        return cells_of(self.activation, self.target, self.k, self.n, self.d, self.where)

    @property
    def total(self) -> int:
        """The number of runs."""
        return self.runs * len(self.cells)

    def to_dict(self) -> dict[str, Any]:
        """The plan in plain values: numbers, strings, lists and tables; `Plan.from_dict` takes it
        back.
        """
        out: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            if field.name in ("start", "solver"):
                given = plain(given)
            elif field.name == "target":
                given = [plain(target) for target in given]
            out[field.name] = list(given) if isinstance(given, tuple) else given
        return out

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> "Plan":
        """The plan of a table.
        Raises `ValueError` that names the field that is unknown, missing or wrong.
        """
        known = tuple(field.name for field in dataclasses.fields(cls))
        check_keys("", table, known)
        for name in ("activation", "n", "k", "d", "runs"):
            if name not in table:
                refuse(name, None, "a value", "add this field, which has no default")
        return cls(**table)

    @classmethod
    def from_toml(cls, path: str | os.PathLike) -> "Plan":
        """The plan in a TOML file.
        Raises `ValueError` that names the file, and the line or field that is wrong.
        """
        try:
            table = tomllib.loads(
                Path(path).read_text("utf-8-sig")
            )  # TOML is UTF-8; editors may mark it as such
        except OSError as error:
            raise ValueError(
                f"{path}: given a plan that cannot be read ({error.strerror}); check the path"
            ) from None
        except ValueError as error:  # neither TOML nor, perhaps, text
            raise ValueError(
                f"{path}: given what is no TOML ({' '.join(str(error).split())}); mend it"
            ) from None
        try:
            return cls.from_dict(table)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def to_toml(self) -> str:
        """The plan as text for a TOML file, every default written out."""
        table = self.to_dict()
        targets = table.pop("target")
        tables = {name: table.pop(name) for name in ("start", "solver")}
        # JSON's strings, numbers and lists of them are TOML's.
        parts = [_lines(table)]
        parts += [f"[[target]]\n{_lines(target)}" for target in targets]
        parts += [f"[{name}]\n{_lines(entry)}" for name, entry in tables.items()]
        return "\n".join(parts)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of everything that the results depend on."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def unknowns(self, cell: Cell) -> int:
        """Numbers that a run of this cell solves for."""
        return unknowns(cell, self.start, self.freeze)

    def target_bytes(self, cell: Cell) -> int:
        """Bytes of one target of this cell, as the solver holds it."""
        return target_bytes(cell, self.risk, self.precision)

    def _usual_block(self) -> int:
        own = [self.target_bytes(cell) for cell in self.cells if cell.own_targets]
        return usual_block([self.unknowns(cell) for cell in self.cells], own)


def _lines(table: dict[str, Any]) -> str:
    return "".join(
        f"{name} = {json.dumps(entry, ensure_ascii=False)}\n" for name, entry in table.items()
    )


def _normal(plan: Plan) -> dict[str, Any]:
    """Axes as tuples, tables as records. Raises `ValueError` for entries of a wrong type."""
    out: dict[str, Any] = {
        name: _axis(name, getattr(plan, name)) for name in ("activation", "n", "k", "d", "target")
    }
    for name in ("n", "d"):
        out[name] = tuple(
            entry if isinstance(entry, str) else check_whole(name, entry, 1) for entry in out[name]
        )
    out["k"] = tuple(check_whole("k", entry, 1) for entry in out["k"])
    out["target"] = tuple(target_from(entry) for entry in out["target"])
    # of one distribution there are several spellings
    _check_once("target", plan.target, out["target"])
    for name in ("where", "freeze"):
        out[name] = _axis(name, getattr(plan, name), least=0)
        if not all(isinstance(entry, str) for entry in out[name]):
            refuse(name, getattr(plan, name), "a list of strings", "put every entry in quotes")
    out["runs"] = check_whole("runs", plan.runs, 1)
    out["key"] = check_whole("key", plan.key, 0, 2**32 - 1)
    out["block"] = None if plan.block is None else check_whole("block", plan.block, 1)
    out["start"] = part_from("start", Start, plan.start)
    out["solver"] = part_from("solver", Solver, plan.solver)
    return out


def _axis(name: str, given: Any, least: int = 1) -> tuple:
    """One entry or many, as a tuple without repetitions."""
    entries = tuple(given) if isinstance(given, list | tuple | range) else (given,)
    if len(entries) < least:
        refuse(name, given, "at least one entry", "add one")
    _check_once(name, given, entries)
    return entries


def _check_once(name: str, given: Any, entries: tuple) -> None:
    if any(entry == other for i, entry in enumerate(entries) for other in entries[:i]):
        refuse(
            name, given, "every entry once", "remove repetitions; more runs are asked for with runs"
        )


def _numbers(plan: Plan) -> Iterator[tuple[str, float]]:
    """Every number that becomes one of the plan's precision, with its field."""
    for part, names in (("start", ("scale", "readout")), ("solver", _TOLERANCES)):
        for name in names:
            if (number := getattr(getattr(plan, part), name)) is not None:
                yield f"{part}.{name}", number
    for target in plan.target:
        if isinstance(target, Random):
            for name in ("weights", "readout"):
                yield from (
                    (f"target.{name}", number) for number in numbers_in(getattr(target, name))
                )
        else:
            yield "target.readout", target.readout
    yield from (("inputs", number) for number in numbers_in(plan.inputs))


def _check_freeze(plan: Plan) -> None:
    there = {"weights", "readout"}
    there |= {name for name in ("bias", "output_bias") if getattr(plan.start, name)}
    for name in plan.freeze:
        if name not in there:
            known = ", ".join(parameter for parameter in _PARAMETERS if parameter in there)
            refuse(
                "freeze",
                name,
                f"parameters that students have: {known}",
                "rename it, or give students biases",
            )
    if there <= set(plan.freeze):
        refuse("freeze", plan.freeze, "a parameter that moves", "free at least one")
