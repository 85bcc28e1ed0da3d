"""The works on which solvers are compared: student, target, law of the starts, and the gradient at
which a run is over.

Every work has an orthonormal target with readout 1. Run number `i` starts from
`numpy.random.default_rng(i)`, weights drawn first: Glorot normal, `W ~ N(0, 2/(d+n))`, `a ~ N(0,
2/(n+1))`; a frozen readout is 1.
"""

from functools import cached_property
from typing import NamedTuple

import common  # noqa: F401 (threads and float64, before JAX)
import jax
import jax.numpy as jnp
import numpy as np
from plain import Plain, plain_risk

import jaxcompress as jc

# The flow without the polish, for a batch; `None` in versions that have none.
flow_many = jc.flow_many
# What counts as a step of ours, in `Solution.stats`.
STEPS = ("steps", "newton_steps", "polish_steps")


class _Fields(NamedTuple):
    name: str
    activation: str
    n: int
    k: int
    d: int
    readout_free: bool = True
    tolerance: float = 1e-8
    norm: str = "max"


class Work(_Fields):
    """`n` neurons against an orthonormal `k` in `d` dimensions, until the gradient's norm is within
    `tolerance`.
    """

    @property
    def freeze(self) -> tuple[str, ...]:
        """What the package is told not to move."""
        return () if self.readout_free else ("readout",)

    @property
    def unknowns(self) -> int:
        """Parameters that move."""
        return self.n * self.d + self.n * self.readout_free

    @property
    def largest_entry(self) -> float:
        """A bound on `max|∂R/∂θ|` that implies the tolerance in the work's own norm."""
        return self.tolerance if self.norm == "max" else self.tolerance / self.unknowns**0.5

    @cached_property
    def target(self) -> jc.TwoLayer:
        """The target as the package's network."""
        # it is kept, and may be asked for first inside a trace
        with jax.ensure_compile_time_eval():
            return jc.targets.orthonormal(
                self.k, self.d, activation=getattr(jc.activations, self.activation)
            )

    @cached_property
    def plain(self) -> Plain:
        """The risk in plain jnp."""
        with jax.ensure_compile_time_eval():
            return plain_risk(
                self.activation, np.eye(self.k, self.d), np.ones(self.k), self.n, self.readout_free
            )

    def size(self, gradient):
        """The norm of gradients `(..., P)` in which this work is judged."""
        return (
            jnp.max(jnp.abs(gradient), -1)
            if self.norm == "max"
            else jnp.sqrt(jnp.sum(gradient**2, -1))
        )

    def starts(self, runs: int, first_seed: int = 0) -> jc.TwoLayer:
        """Students with a leading axis `runs`, seeds `first_seed, first_seed + 1, …`."""
        draws = [self._start(np.random.default_rng(first_seed + i)) for i in range(runs)]
        weights, readouts = (jnp.asarray(np.stack(part)) for part in zip(*draws, strict=True))
        return jc.TwoLayer(weights, readouts, activation=self.target.activation)

    def _start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        weights = rng.normal(size=(self.n, self.d)) * (2 / (self.d + self.n)) ** 0.5
        return weights, rng.normal(size=self.n) * (
            2 / (self.n + 1)
        ) ** 0.5 if self.readout_free else np.ones(self.n)

    def flat(self, students: jc.TwoLayer) -> np.ndarray:
        """Students `(runs, …)` as vectors `(runs, P)` of what moves, in the order of `plain`."""
        weights = np.asarray(students.weights).reshape(students.weights.shape[0], -1)
        return (
            np.concatenate([weights, np.asarray(students.readout)], 1)
            if self.readout_free
            else weights
        )

    def network(self, vectors) -> jc.TwoLayer:
        """The inverse of `flat`."""
        vectors = jnp.asarray(vectors)
        weights = vectors[:, : self.n * self.d].reshape(-1, self.n, self.d)
        readout = (
            vectors[:, self.n * self.d :] if self.readout_free else jnp.ones(weights.shape[:2])
        )
        return jc.TwoLayer(weights, readout, activation=self.target.activation)

    def judge(self, vectors) -> tuple[np.ndarray, np.ndarray]:
        """Risk and gradient norm at end points `(runs, P)`, by the plain closed forms."""

        def one(vector):
            return self.plain.risk(vector), self.plain.gradient(vector)

        in_blocks = jax.jit(lambda y: jax.lax.map(one, y, batch_size=min(len(y), 256)))
        risks, gradients = in_blocks(jnp.asarray(vectors))
        return np.asarray(risks), np.asarray(self.size(gradients))


WORKS = {
    "B": Work("B", "erf", n=3, k=6, d=7),
    "Bp": Work("Bp", "erf", n=3, k=6, d=7, readout_free=False),
    "C": Work("C", "relu", n=20, k=20, d=20, readout_free=False, tolerance=1e-12, norm="l2"),
    "D": Work("D", "erf", n=25, k=50, d=51),
}
