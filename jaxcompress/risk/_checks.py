"""Checks of student, target and input distribution, in the name of the function that the user
called.
"""

from collections.abc import Sequence

from jaxtyping import Array

from jaxcompress._internal.checks import check_finite, check_floating
from jaxcompress.kernels import AbstractInputs
from jaxcompress.networks import GatedTwoLayer, TwoLayer
from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk._problem import AbstractProblem
from jaxcompress.risk._target import AbstractTarget


def check_target(where: str, target: AbstractTarget, inputs: AbstractInputs) -> None:
    """Raise `ValueError` unless a target is one and finite, and the distribution of the inputs fits
    it.
    """
    if not isinstance(inputs, AbstractInputs):
        raise ValueError(
            f"{where}: given inputs of type {type(inputs).__name__}; expected a distribution, an "
            "AbstractInputs; build one with Gaussian(mean, covariance)"
        )
    if target.runs:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in target.parameters().items())
        raise ValueError(
            f"{where}: given a target of {shapes} with leading axes {target.runs}; expected one "
            "target; use jax.vmap or solve_many for leading axes"
        )
    check_finite(f"{where}: target", **target.parameters())
    target.check_inputs(where, inputs)
    check_floating(where, **_first_of(target), **{"inputs' mean": getattr(inputs, "mean", None)})


def check_student(where: str, student: AbstractNetwork, kind: type = TwoLayer) -> None:
    """Raise `ValueError` unless a student is one network of this kind and finite."""
    check_network(where, "student", student, kind)
    if student.weights.ndim != 2:
        raise ValueError(
            f"{where}: given a student with weights of shape {student.weights.shape}; expected (n, "
            "d); use jax.vmap or solve_many for leading axes"
        )
    check_finite(f"{where}: student", **student.parameters())


def check_pair(
    where: str, student: AbstractNetwork, target: AbstractTarget, inputs: AbstractInputs
) -> None:
    """Raise `ValueError` unless student, target and law are such, finite, and of the same inputs,
    outputs and dtype.
    """
    check_student(where, student, target.students)
    check_target(where, target, inputs)
    if student.dim != target.dim_under(inputs):
        law = "" if inputs.dim is None else f", inputs of dimension {inputs.dim}"
        raise ValueError(
            f"{where}: given a student of input dimension {student.dim} and {target.described()}"
            f"{law}; expected the same; pad the weights with zeros or reduce the law"
        )
    if student.outputs != target.outputs:
        raise ValueError(
            f"{where}: given a student with {_outputs(student)} and a target with "
            f"{_outputs(target)}; expected the same; a readout (n,) is one scalar output, (n, o) "
            "is o outputs"
        )
    check_floating(where, **{"student's weights": student.weights}, **_first_of(target))


def check_network(where: str, name: str, given: object, kind: type = TwoLayer) -> None:
    """Raise `ValueError` unless this is a network of this kind."""
    if not isinstance(given, kind):
        known = "a TwoLayer" if kind is TwoLayer else "a TwoLayer or a GatedTwoLayer"
        remedy = (
            "gated neurons are for population_risk, risk_hessian and the solvers against networks"
            if isinstance(given, GatedTwoLayer)
            else "build a network with TwoLayer(weights, readout)"
        )
        raise ValueError(
            f"{where}: given {name} of type {type(given).__name__}; expected {known}; {remedy}"
        )


def check_measured(where: str, problem: object, kind: type = AbstractProblem) -> None:
    """Raise `ValueError` unless this is a target that has been measured."""
    if not isinstance(problem, kind):
        raise ValueError(
            f"{where}: given a problem of type {type(problem).__name__}; expected a "
            f"{kind.__name__}, a target that has been measured; make one with "
            "RiskProblem.of(target)"
        )


def check_freeze(where: str, network: AbstractNetwork, freeze: Sequence[str]) -> None:
    """Raise `ValueError` when `freeze` names something that is not a parameter of the network."""
    names = tuple(network.parameters())
    if isinstance(freeze, str) or any(name not in names for name in freeze):
        raise ValueError(
            f"{where}: given freeze={freeze!r}; expected a tuple of names among {names}; "
            'name what stays, for example freeze=("readout",)'
        )


def _first_of(target: AbstractTarget) -> dict[str, Array]:
    """The array whose dtype is the target's, by its name in messages."""
    named = target.parameters().items()
    return {f"target's {name}": array for name, array in list(named)[:1]}


def _outputs(network: AbstractNetwork | AbstractTarget) -> str:
    return "a scalar output" if network.outputs is None else f"{network.outputs} outputs"
