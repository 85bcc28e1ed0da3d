"""Samples as a target: inputs with the outputs that a student should have there."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcompress._internal.checks import as_array, check_finite, check_floating, check_integer
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import TwoLayer
from jaxcompress.risk._assembly import assembled
from jaxcompress.risk._empirical_terms import empirical_blocks, residuals
from jaxcompress.risk._problem import AbstractProblem
from jaxcompress.risk._target import AbstractTarget


class Samples(AbstractTarget):
    """A finite set of inputs and the outputs wanted there; every solver takes it in the place of a
    target.

    >>> samples = jc.Samples.of(jax.random.key(0), target, 1000)
    >>> solution = jc.solve(student, samples)

    Arguments, of one floating dtype: `inputs (samples, d)`, one row a sample; `targets (samples,)`
    for one output or `(samples, o)` for several. Leading axes on both are a batch of data sets. The
    law of the inputs is then the one that gives every row the same weight, and the risk is
    `empirical_risk`.
    Raises `ValueError` when shapes or dtypes do not fit together, and for NaN.
    """

    kind: ClassVar[str] = "samples"
    measured_by: ClassVar[str] = "empirical_risk"
    students: ClassVar[type] = TwoLayer

    inputs: Float[Array, "*runs samples d"]
    targets: Float[Array, "*runs samples"] | Float[Array, "*runs samples o"]

    def __init__(
        self,
        inputs: Float[Array, "*runs samples d"],
        targets: Float[Array, "*runs samples"] | Float[Array, "*runs samples o"],
    ):
        self.inputs = as_array("Samples", "inputs", inputs)
        self.targets = as_array("Samples", "targets", targets)
        check_floating("Samples", **self.parameters())
        rows, more = self.inputs.shape[:-1], self.targets.ndim - self.inputs.ndim + 1
        if (
            self.inputs.ndim < 2
            or more not in (0, 1)
            or self.targets.shape[: len(rows)] != rows
            or not self._filled()
        ):
            raise ValueError(
                f"Samples: given inputs {self.inputs.shape} and targets {self.targets.shape}; "
                "expected (samples, d) and (samples,) or (samples, o), none of them empty; "
                "transpose or reshape what differs"
            )
        check_finite("Samples", **self.parameters())

    def _filled(self) -> bool:
        return self.inputs.size > 0 and self.targets.size > 0

    @classmethod
    def of(
        cls, key: Array, target: TwoLayer, count: int, *, inputs: AbstractInputs | None = None
    ) -> "Samples":
        """`count` independent draws of the input distribution (`StandardNormal()` when left out)
        with the target's outputs.
        """
        count = check_integer("Samples.of", "count", count, 1, remedy="ask for one sample or more")
        law = StandardNormal() if inputs is None else inputs
        x = law.sample(key, (count,), target.dim, target.weights.dtype)
        return cls(x, target(x))

    def parameters(self) -> dict[str, Array]:
        """The arrays by name."""
        return {"inputs": self.inputs, "targets": self.targets}

    @property
    def count(self) -> int:
        """Number of samples."""
        return self.inputs.shape[-2]

    @property
    def dim(self) -> int:
        """Input dimension `d`."""
        return self.inputs.shape[-1]

    @property
    def outputs(self) -> int | None:
        """Number of outputs `o`, or `None` for a scalar output."""
        return None if self.targets.ndim == self.inputs.ndim - 1 else self.targets.shape[-1]

    @property
    def runs(self) -> tuple[int, ...]:
        """The leading axes of a batch of data sets."""
        return self.inputs.shape[:-2]

    def with_outputs(self) -> Float[Array, "*runs samples o"]:
        """The targets, a scalar output with its axis."""
        return self.targets[..., None] if self.outputs is None else self.targets

    def problem(self, inputs):
        return EmpiricalProblem.of(self)

    @property
    def pairs(self):
        return self.count

    def span(self):
        return self.inputs

    def in_span(self, rows):
        return eqx.tree_at(lambda s: s.inputs, self, rows)

    def check_inputs(self, where, inputs):
        if not isinstance(inputs, StandardNormal):
            raise ValueError(
                f"{where}: given samples and a distribution of the inputs, "
                f"{type(inputs).__name__}; expected samples alone, which are their own law; leave "
                "inputs out"
            )

    def described(self):
        return f"samples of input dimension {self.dim}"

    def batch(self, rows: Int[Array, " size"]) -> "Samples":
        """Some of the samples of one data set, by number: a minibatch.
        Raises `ValueError` for a batch of data sets.
        """
        if self.runs:
            raise ValueError(
                f"Samples.batch: given samples with leading axes {self.runs}; expected one data "
                "set; use jax.vmap"
            )
        return jax.tree.map(lambda leaf: leaf[rows], self)


class EmpiricalProblem(AbstractProblem):
    """Samples as a problem for the solvers; `second_moment` is `mean ‖y‖²`.

    Build with `EmpiricalProblem.of(samples)`.
    Example: `jc.risk.EmpiricalProblem.of(samples).hessian(student)`.
    """

    samples: Samples
    second_moment: Float[Array, ""]

    @classmethod
    def of(cls, samples: Samples) -> "EmpiricalProblem":
        """Measure one data set. Raises `ValueError` for a batch of them."""
        if samples.runs:
            raise ValueError(
                f"EmpiricalProblem: given samples with leading axes {samples.runs}; expected one "
                "data set; use jax.vmap or solve_many for leading axes"
            )
        second_moment = jnp.mean(jnp.sum(samples.with_outputs() ** 2, axis=1))
        return cls(samples=samples, second_moment=second_moment)

    def risk_and_floor(self, student):
        r, size = residuals(student, self.samples.inputs, self.samples.with_outputs())
        # |r| is known to ε·size, so r² to this much: near an interpolating student the floor falls
        # with the risk
        unsure = jnp.finfo(r.dtype).eps * jax.lax.stop_gradient(size)
        floor = jnp.mean(jnp.sum(unsure * (2 * jnp.abs(jax.lax.stop_gradient(r)) + unsure), axis=1))
        return jnp.mean(jnp.sum(r * r, axis=1)), floor

    def hessian(self, student, freeze=()):
        x, y = self.samples.inputs, self.samples.with_outputs()
        inner = student.dim + (student.bias is not None)
        lift = jnp.eye(inner, student.dim + 1, dtype=student.weights.dtype)
        return assembled(student, empirical_blocks(student, x, y), lift, freeze)


def minibatches(key: Array, count: int, size: int, steps: int) -> Int[Array, "steps size"]:
    """Which samples every step sees: each epoch a permutation of its own, cut into pieces of
    `size`.

    >>> for rows in jc.risk.minibatches(key, samples.count, 32, steps=100):
    ...     gradient = jax.grad(jc.empirical_risk)(student, samples.batch(rows))

    Arguments, all but the key static:

    - `key`: epoch `i` draws from `fold_in(key, i)`;
    - `count`: how many samples there are; the `count mod size` samples at an epoch's end wait for
      the next one;
    - `size`: of a minibatch;
    - `steps`: how many there are.

    Raises `ValueError` unless `1 ≤ size ≤ count`.
    """
    if not 1 <= size <= count:
        raise ValueError(
            f"minibatches: given size={size} for {count} samples; expected from 1 to {count}; "
            "lower the size"
        )
    pieces = count // size
    epochs = jnp.arange(-(-steps // pieces))
    orders = jax.vmap(lambda i: jax.random.permutation(jax.random.fold_in(key, i), count))(epochs)
    return orders[:, : pieces * size].reshape(-1, size)[:steps]
