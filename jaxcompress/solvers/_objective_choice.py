"""Which objective serves a student and its target: the short formulas where they do, `VectorRisk`
elsewhere.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.kernels.internal import centred
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk import AbstractProblem, AbstractTarget
from jaxcompress.solvers._objective import (
    AbstractObjective,
    CentredObjective,
    GeneralObjective,
    Measured,
)
from jaxcompress.solvers._vector_risk import VectorRisk


def measured(
    target: AbstractTarget,
    inputs: AbstractInputs,
    student: AbstractNetwork,
    freeze: tuple[str, ...],
) -> Measured:
    """A target as its students will meet it: by the short formulas where these serve."""
    f = student.activation
    serves = (
        isinstance(inputs, StandardNormal)
        and centred(f, f) is not None
        and _is_plain(student, freeze)
    )
    short = target.short_form(f) if serves else None
    return target.problem(inputs) if short is None else short


def objective_of(
    problem: Measured,
    shared: bool,
    student: AbstractNetwork,
    freeze: tuple[str, ...],
    rates: dict[str, Array],
) -> AbstractObjective:
    """The objective of a batch: `student` is any one of them, `problem` the target of all or, not
    `shared`, any one.
    """
    target = problem.short_form()
    if target is None or not _is_plain(student, freeze) or not target.serves(student.activation):
        # a short form was chosen for a student that it serves
        assert isinstance(problem, AbstractProblem)
        root = jnp.sqrt(VectorRisk.of(problem, student, freeze).scale(rates))
        return GeneralObjective(
            problem=problem if shared else None, template=student, freeze=freeze, root=root
        )
    move_readout = "readout" not in freeze
    n, d, o = student.width, student.dim, student.outputs or 1
    row = [jnp.broadcast_to(rates["weights"], d)] + [
        jnp.broadcast_to(rates["readout"], o)
    ] * move_readout
    root = jnp.sqrt(jnp.tile(jnp.concatenate(row), n))
    return CentredObjective(
        target=target if shared else None,
        root=root,
        template=student,
        f=student.activation,
        move_readout=move_readout,
    )


def _is_plain(student: AbstractNetwork, freeze: tuple[str, ...]) -> bool:
    """Whether a network is one that the short formulas know."""
    plain = isinstance(student, TwoLayer) and student.bias is None and student.output_bias is None
    return plain and "weights" not in freeze
