"""Distributions by name, as a plan writes them: `gaussian(scale=2)` for neurons, readouts and
inputs.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels import AbstractActivation, AbstractInputs, Gaussian, StandardNormal
from jaxcompress.networks import ensembles
from jaxcompress.networks.internal import activation_named
from jaxcompress.sweep._errors import refuse

_LARGE = 256
_CALL = re.compile(r"([a-z_]+)(?:\((.*)\))?")

# Distribution → what it makes, and its arguments with their defaults; `None` for an argument that
# must be given.
WEIGHTS: dict[str, tuple[Callable, dict[str, float | None]]] = {
    "gaussian": (ensembles.GaussianEntries, {"scale": 1.0}),
    "rademacher": (ensembles.RademacherEntries, {"scale": 1.0}),
    "uniform": (ensembles.UniformEntries, {"scale": 1.0}),
    "sparse": (ensembles.SparseEntries, {"probability": None, "scale": 1.0}),
    "sphere": (ensembles.Sphere, {"scale": 1.0}),
}
READOUTS: dict[str, tuple[Callable, dict[str, float | None]]] = {
    "constant": (ensembles.ConstantReadout, {"value": 1.0}),
    "gaussian": (ensembles.GaussianReadout, {"mean": 0.0, "std": 1.0}),
    "uniform": (ensembles.UniformReadout, {"low": 0.0, "high": 1.0}),
    "rademacher": (ensembles.RademacherReadout, {}),
}


def _standard_normal() -> Callable[[int, Any], AbstractInputs]:
    return lambda dim, dtype: StandardNormal()


def _gaussian(
    mean: float, variance: float, correlation: float
) -> Callable[[int, Any], AbstractInputs]:
    """Every input of the same mean and variance, every two of the same correlation."""

    if not variance > 0:
        raise ValueError(
            f"given variance={variance:g}; expected a positive number; change it, or leave it out "
            "for 1"
        )

    def law(dim: int, dtype: Any) -> AbstractInputs:
        if not -1 <= (dim - 1) * correlation <= dim - 1:
            raise ValueError(
                f"given correlation={correlation:g} between {dim} inputs; expected "
                f"{-1 / (dim - 1):.3g} to 1, for no covariance is negative; change it, or leave it "
                "out for 0"
            )
        matrix = variance * ((1 - correlation) * jnp.eye(dim, dtype=dtype) + correlation)
        return Gaussian(jnp.full(dim, mean, dtype) if mean else None, matrix)

    return law


INPUTS: dict[str, tuple[Callable, dict[str, float | None]]] = {
    "standard_normal": (_standard_normal, {}),
    "gaussian": (_gaussian, {"mean": 0.0, "variance": 1.0, "correlation": 0.0}),
}


def distribution_named(
    field: str, text: Any, laws: dict[str, tuple[Callable, dict[str, float | None]]]
) -> Any:
    """What a text such as `sparse(probability=0.1)` stands for.
    Raises `ValueError` that names the field.
    """
    match = _CALL.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or match[1] not in laws:
        expected = ", ".join(
            f"{name}({', '.join(given)})" if given else name for name, (_, given) in laws.items()
        )
        refuse(
            field, text, f"one of {expected}", 'write a name, with arguments as "gaussian(scale=2)"'
        )
    make, known = laws[match[1]]
    arguments = dict(known)
    given = set()
    for part in match[2].split(",") if match[2] else ():
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in known or name in given or not _is_number(number):
            expected = ", ".join(known) or "no arguments"
            refuse(
                field,
                text,
                f"numbers by name, each once: {expected}",
                'write them as "name=number"',
            )
        given.add(name)
        arguments[name] = float(number)
    missing = [name for name, number in arguments.items() if number is None]
    if missing:
        refuse(field, text, f"the argument {missing[0]}", f'write "{match[1]}({missing[0]}=0.1)"')
    try:
        return make(**arguments)
    except ValueError as error:
        raise ValueError(f"Plan.{field}: {error}") from None


def numbers_in(text: str) -> list[float]:
    """The arguments of a text that names a distribution."""
    return [float(number) for number in re.findall(r"=([^,)]+)", text)]


def check_inputs(text: Any, dims: Iterable[int], precision: str) -> None:
    """Raise `ValueError` unless an input distribution exists in these dimensions."""
    law = distribution_named("inputs", text, INPUTS)
    with jax.enable_x64(precision == "float64"):
        try:
            for dim in dims:
                # Of a large covariance, only what follows from its numbers is checked: none is
                # made.
                law(dim, precision) if dim <= _LARGE else jax.eval_shape(
                    lambda dim=dim: law(dim, precision)
                )
        except ValueError as error:
            raise ValueError(f"Plan.inputs: {error}") from None


def _is_number(text: str) -> bool:
    try:
        return float("-inf") < float(text) < float("inf")
    except ValueError:
        return False


def activation_of(field: str, name: Any) -> AbstractActivation:
    """The activation of a name, such as `relu` or `leaky_relu(0.1)`.
    Raises `ValueError` that names the field.
    """
    if not isinstance(name, str):
        refuse(field, name, "the name of an activation", 'write one, such as "erf"')
    return activation_named(f"Plan.{field}", np.array(name))
