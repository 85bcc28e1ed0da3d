"""What a plan is made of besides its sizes: distributions of targets, of starts, and what the
solver is asked for.

Each is a frozen record of plain values, which TOML can hold; each refuses what it cannot be, by its
field's name.
"""

import dataclasses
from typing import Any

from jaxcompress.sweep._distributions import READOUTS, WEIGHTS, activation_of, distribution_named
from jaxcompress.sweep._errors import (
    check_choice,
    check_flag,
    check_keys,
    check_positive,
    check_real,
    check_whole,
    refuse,
)


def _set(part: Any, **normal: Any) -> None:
    """Replace entries of a record that is being made by their one spelling."""
    for name, entry in normal.items():
        object.__setattr__(part, name, entry)


@dataclasses.dataclass(frozen=True)
class Orthonormal:
    """`k` neurons along the first coordinate axes, all with this `readout`. `activation`: that of
    the student, if left out.

    Example: `Plan("erf", n=3, k=4, d=5, runs=10, target=Orthonormal(readout=2.0))`.
    """

    readout: float = 1.0
    activation: str | None = None

    law = "orthonormal"

    def __post_init__(self):
        _set(self, readout=check_real("target.readout", self.readout))
        if self.activation is not None:
            activation_of("target.activation", self.activation)

    @property
    def label(self) -> str:
        """How tables and the store call it."""
        parts = [f"readout={repr(self.readout).removesuffix('.0')}"] if self.readout != 1 else []
        parts += [f"activation={self.activation}"] if self.activation else []
        return f"orthonormal({', '.join(parts)})" if parts else "orthonormal"


@dataclasses.dataclass(frozen=True)
class Random:
    """A network of `k` neurons from an ensemble (`networks.ensembles.Ensemble`).

    `weights` (gaussian, rademacher, uniform, sparse, sphere) and `readout` (constant, gaussian,
    uniform, rademacher) are distributions by name, with arguments as in `"gaussian(scale=2)"`;
    `scaling` of the readout, `"1/N"` or `"1/sqrt(N)"`; `each`: a target to every `"run"`, or one to
    every `"cell"`; `activation`: that of the student, if left out.
    Example: `Plan("erf", n=3, k=40, d=5, runs=10, target=Random("sphere", each="cell"))`.
    """

    weights: str = "gaussian"
    readout: str = "constant"
    scaling: str = "1/N"
    each: str = "run"
    activation: str | None = None

    law = "random"

    def __post_init__(self):
        distribution_named("target.weights", self.weights, WEIGHTS)
        distribution_named("target.readout", self.readout, READOUTS)
        check_choice("target.scaling", self.scaling, ("1/N", "1/sqrt(N)"))
        check_choice("target.each", self.each, ("run", "cell"))
        if self.activation is not None:
            activation_of("target.activation", self.activation)

    @property
    def label(self) -> str:
        """How tables and the store call it."""
        tail = f", {self.activation}" if self.activation else ""
        return f"random({self.weights}, {self.readout}, {self.scaling}, a {self.each}{tail})"


@dataclasses.dataclass(frozen=True)
class Start:
    """The distribution of students: `"glorot_normal"` or `"glorot_uniform"`, times `scale`.

    `readout`: the value of every readout instead of a random one; `bias`, `output_bias`: whether
    students have them (they start at zero).
    Example: `Plan("erf", n=3, k=4, d=5, runs=10, start=Start(scale=0.1))`.
    """

    law: str = "glorot_normal"
    scale: float = 1.0
    readout: float | None = None
    bias: bool = False
    output_bias: bool = False

    def __post_init__(self):
        check_choice("start.law", self.law, ("glorot_normal", "glorot_uniform"))
        _set(self, scale=check_positive("start.scale", self.scale))
        if self.readout is not None:
            _set(self, readout=check_real("start.readout", self.readout))
        check_flag("start.bias", self.bias)
        check_flag("start.output_bias", self.output_bias)


@dataclasses.dataclass(frozen=True)
class Solver:
    """What the solver is asked for: `"solve"` (flow, then polish) or `"flow"`, and the numbers of
    `solve_many`.

    Tolerances that are left out are those of the precision.
    Example: `Plan("erf", n=3, k=4, d=5, runs=10, solver=Solver("flow", max_steps=500))`.
    """

    method: str = "solve"
    gradient_tolerance: float | None = None
    flow_tolerance: float | None = None
    rtol: float = 1e-3
    atol: float = 1e-4
    max_steps: int = 2000

    def __post_init__(self):
        check_choice("solver.method", self.method, ("solve", "flow"))
        for name in ("gradient_tolerance", "flow_tolerance", "rtol", "atol"):
            may_lack = name.endswith("_tolerance")
            _set(
                self,
                **{
                    name: check_positive(f"solver.{name}", getattr(self, name), allow_none=may_lack)
                },
            )
        _set(self, max_steps=check_whole("solver.max_steps", self.max_steps, 1))
        if self.method == "flow" and self.flow_tolerance is not None:
            remedy = "give gradient_tolerance, or leave it out"
            refuse(
                "solver.flow_tolerance", self.flow_tolerance, 'nothing with method "flow"', remedy
            )

    def options(self) -> dict[str, Any]:
        """The arguments of `solve_many` or `flow_many`."""
        given = dataclasses.asdict(self)
        if given.pop("method") == "flow":
            given.pop("flow_tolerance")
        return given


Target = Orthonormal | Random
_TARGETS: dict[str, type] = {"orthonormal": Orthonormal, "random": Random}


def names(part: Any) -> tuple[str, ...]:
    """The fields of a record."""
    return tuple(field.name for field in dataclasses.fields(part))


def part_from(field: str, kind: type, given: Any) -> Any:
    """A record from a table of its fields. Raises `ValueError` that names what does not fit."""
    return given if isinstance(given, kind) else kind(**check_keys(field, given, names(kind)))


def target_from(given: Any) -> Target:
    """A target distribution from its name or its table. Raises `ValueError` that names what does
    not fit.
    """
    if isinstance(given, Orthonormal | Random):
        return given
    table = {"law": given} if isinstance(given, str) else dict(check_keys("target", given, _KEYS))
    law = check_choice("target.law", table.pop("law", "orthonormal"), tuple(_TARGETS))
    return part_from("target", _TARGETS[law], table)


_KEYS = ("law", *dict.fromkeys((*names(Orthonormal), *names(Random))))


def plain(part: Any) -> dict[str, Any]:
    """The fields of a record that are given, for TOML has no nothing; a target with its
    distribution.
    """
    given = {name: entry for name, entry in dataclasses.asdict(part).items() if entry is not None}
    return {"law": part.law, **given} if isinstance(part, Orthonormal | Random) else given
