"""The moving parameters of many students side by side: unknowns first, slots last.

A solver's loop sees vectors `y (P, slots)` and asks for gradients and Hessians there. What differs
between slots beside `y` (frozen parameters, a target of its own) travels as `own`, arrays whose
last axis is the slots.

`CentredObjective` evaluates the short closed forms of `risk.centred_risk`; `GeneralObjective`
serves every other problem by mapping one `VectorRisk`. The rates of the flow are absorbed: in `y =
θ/√rate` it is the plain gradient flow of the risk.
"""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import has_rough_form, traits
from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk import AbstractProblem
from jaxcompress.risk.internal import AbstractCentredTarget, centred_hessian, centred_risk
from jaxcompress.solvers._vector_risk import VectorRisk
from jaxcompress.solvers._vectors import direction, length

# Unknowns up to which a processor's vectors run along the slots; beyond it, along the unknowns of
# one slot.
NARROW = 64

# A target as its students meet it.
Measured = AbstractProblem | AbstractCentredTarget


class AbstractObjective(eqx.Module):
    """What a batched solver asks of its problem. `root (P,)` is the square root of every unknown's
    rate.
    """

    root: eqx.AbstractVar[Float[Array, " P"]]

    @abc.abstractmethod
    def load(
        self, student: AbstractNetwork, problem: Measured | None
    ) -> tuple[Float[Array, " P"], Any]:
        """The unknowns of one student and what is its own; `problem` where every run has its
        target.
        """

    @abc.abstractmethod
    def network(self, y: Float[Array, " P"], own: Any) -> Any:
        """A student, of the kind of the start, with these values of its unknowns."""

    @abc.abstractmethod
    def measure(
        self, y: Float[Array, "P slots"], own: Any
    ) -> tuple[Array, Array, Float[Array, "P slots"]]:
        """Risk and rounding floor `(slots,)`, and the gradient by `y`."""

    @abc.abstractmethod
    def hessian(self, y: Float[Array, "P slots"], own: Any) -> Float[Array, "slots P P"]:
        """The Hessian by `y`."""

    @property
    def has_rough_form(self) -> bool:
        """Whether there is a form that is good to 2e-6 and much cheaper."""
        return False

    def with_accuracy(self, exact: Bool[Array, ""]) -> Self:
        """The exact form or, not `exact`, the rough one; the exact one where there is no other."""
        return self

    def symmetries(self, y: Float[Array, "P slots"], own: Any) -> Float[Array, "slots m P"] | None:
        """Orthonormal directions along which exact symmetries keep the risk constant; `None` for
        none known.
        """
        return None

    def largest(self, gradient: Float[Array, "P slots"]) -> Float[Array, " slots"]:
        """`max|∂R/∂θ|` from the gradient by `y`."""
        return jnp.max(jnp.abs(gradient) / self.root[:, None], axis=0)


def each(function: Callable, *arguments: Any, out_axes: Any = -1) -> Any:
    """`function` on every slot; one slot is taken as it is, without a batch axis."""
    leaves = jax.tree.leaves(arguments)
    if leaves[0].shape[-1] != 1:
        return jax.vmap(function, in_axes=-1, out_axes=out_axes)(*arguments)
    out = function(*jax.tree.map(lambda leaf: leaf[..., 0], arguments))
    return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, out_axes), out)


class GeneralObjective(AbstractObjective):
    """Any problem: one `VectorRisk`, mapped over the slots. `problem` is shared, or `None` where
    every run has its own.
    """

    problem: AbstractProblem | None
    template: AbstractNetwork
    freeze: tuple[str, ...] = eqx.field(static=True)
    root: Float[Array, " P"]

    def _function(self, own) -> VectorRisk:
        everything, problem = own
        problem = self.problem if problem is None else problem
        assert problem is not None  # one of the two is there
        return VectorRisk(problem, everything, self.template, self.freeze)

    def load(self, student, problem):
        function = VectorRisk.of(
            problem if self.problem is None else self.problem, student, self.freeze
        )
        return function.vector() / self.root, (function.frozen, problem)

    def network(self, y, own):
        return self._function(own).network(self.root * y)

    def measure(self, y, own):
        def one(y, own):
            (risk, floor), gradient = self._function(own).value_and_gradient(self.root * y)
            return risk, floor, self.root * gradient

        return each(one, y, own)

    def hessian(self, y, own):
        def one(y, own):
            return self.root[:, None] * self._function(own).hessian(self.root * y) * self.root[None]

        return each(one, y, own, out_axes=0)


class CentredObjective(AbstractObjective):
    """Activations with short formulas, no biases, standard normal inputs.

    `own` is the frozen readout or `None`, and the target or `None`. Unknowns are ordered neuron by
    neuron.
    """

    target: AbstractCentredTarget | None
    root: Float[Array, " P"]
    template: AbstractNetwork
    f: AbstractActivation = eqx.field(static=True)
    move_readout: bool = eqx.field(static=True)
    exact: Bool[Array, ""] | None = None

    @property
    def has_rough_form(self):
        return has_rough_form(self.f)

    def with_accuracy(self, exact):
        return dataclasses.replace(self, exact=exact) if self.has_rough_form else self

    @property
    def neuron(self) -> int:
        """Unknowns of one neuron."""
        return self.template.dim + (self._outputs if self.move_readout else 0)

    @property
    def _outputs(self) -> int:
        return self.template.outputs or 1

    def load(self, student, problem):
        readout = student.readout.reshape(student.width, self._outputs)
        parts = [student.weights, readout] if self.move_readout else [student.weights]
        y = jnp.concatenate(parts, axis=1).reshape(-1) / self.root
        return y, (
            None if self.move_readout else readout,
            None if problem is None else problem.short_form(),
        )

    def network(self, y, own):
        weights, readout = self.parts(y, own)
        return eqx.tree_at(
            lambda s: (s.weights, s.readout),
            self.template,
            (weights, readout.reshape(self.template.readout.shape)),
        )

    def measure(self, y, own):
        def one(y, own, target):
            weights, readout = self.parts(y, own)
            value, magnitude, *slopes = centred_risk(self.f, target, weights, readout, self.exact)
            floor = jnp.finfo(value.dtype).eps * magnitude
            return jnp.maximum(value, 0), floor, self._joined(y, slopes)

        return self._wide(one, y, own)

    def hessian(self, y, own):
        def one(y, own, target):
            weights, readout = self.parts(y, own)
            root = _column(self.root, y)
            out = centred_hessian(self.f, target, weights, readout, self.move_readout, self.exact)
            return out * root[:, None] * root[None]

        return jnp.moveaxis(self._wide(one, y, own), -1, 0)

    def symmetries(self, y, own):
        """Scaling `(w, a) → (λw, a/λ)` of every homogeneous neuron: `(w, −a)`."""
        if not (self.move_readout and is_homogeneous(self.f)):
            return None
        n, d = self.template.width, self.template.dim
        blocks = y.T.reshape(-1, n, self.neuron)
        # in y = θ/√rate the direction (w, −a) has the components (w, −a)/√rate, which is (y_w,
        # −y_a)
        signs = jnp.where(jnp.arange(self.neuron) < d, 1.0, -1.0).astype(y.dtype)
        tangents = direction(blocks * signs[None, None], 2)
        wide = jnp.eye(n, dtype=y.dtype)[None, :, :, None] * tangents[:, :, None]
        return wide.reshape(-1, n, n * self.neuron)

    def parts(self, y: Array, own: Any) -> tuple[Array, Array]:
        """Weights `(n, d, *slots)` and readout `(n, o, *slots)`."""
        blocks = (_column(self.root, y) * y).reshape(self.template.width, self.neuron, *y.shape[1:])
        d = self.template.dim
        return blocks[:, :d], blocks[:, d:] if self.move_readout else own[0]

    def slopes(self, gradient: Float[Array, "P slots"]) -> Float[Array, "n d slots"]:
        """`∂R/∂w` from the gradient by `y`."""
        blocks = (gradient / self.root[:, None]).reshape(
            self.template.width, self.neuron, *gradient.shape[1:]
        )
        return blocks[:, : self.template.dim]

    def with_weights(
        self, y: Float[Array, "P slots"], weights: Float[Array, "n d slots"]
    ) -> Float[Array, "P slots"]:
        """The unknowns with other weights."""
        blocks = y.reshape(self.template.width, self.neuron, *y.shape[1:])
        root = self.root.reshape(self.template.width, self.neuron, 1)
        d = self.template.dim
        return jnp.concatenate([weights / root[:, :d], blocks[:, d:]], axis=1).reshape(y.shape)

    def target_of(self, own: Any) -> AbstractCentredTarget:
        """The target of one slot."""
        target = self.target if own[1] is None else own[1]
        assert target is not None  # one of the two is there
        return target

    def _targets_of(self, own: Any) -> AbstractCentredTarget:
        """The targets of all slots; a shared one for as many as there are."""
        target = self.target_of(own)
        return target if own[1] is not None else jax.tree.map(lambda leaf: leaf[..., None], target)

    def pull(
        self, readout: Float[Array, "n o slots"], weights: Float[Array, "n d slots"], own: Any
    ) -> Float[Array, "n slots"]:
        """A bound of the curvature of the risk by the direction of each neuron, at unit norm."""
        mine = jnp.sum(jnp.abs(readout) * length(weights, 1)[:, None], 0) / math.pi
        return 2 * jnp.sum(jnp.abs(readout) * (mine + self._targets_of(own).pull())[None], 1)

    def _wide(self, one: Callable, y: Array, own: Any) -> Any:
        """`one` along the slots where they are many and narrow, slot by slot otherwise."""
        if y.shape[0] <= NARROW and y.shape[-1] > 1:
            return one(y, own, self._targets_of(own))
        return each(lambda y, own: one(y, own, self.target_of(own)), y, own)

    def _joined(self, y: Array, slopes) -> Array:
        parts = slopes if self.move_readout else slopes[:1]
        return _column(self.root, y) * jnp.concatenate(parts, axis=1).reshape(y.shape)


def _column(vector: Array, like: Array) -> Array:
    """A vector of unknowns with the slots' axis, if there is one."""
    return vector.reshape(-1, *([1] * (like.ndim - 1)))


def is_homogeneous(activation: AbstractActivation) -> bool:
    """Whether a neuron may slide to norm zero and stay there."""
    return traits(activation).degree is not None
