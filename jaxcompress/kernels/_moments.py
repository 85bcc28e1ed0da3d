"""What a pair of activations must supply: the expectations that value, gradient and Hessian are made of.

By Price's theorem every derivative of `E[f(w·x) g(v·x)]` with respect to the weights is again an expectation
over the same Gaussian: the gradient is `E[f′g x]`, the Hessian blocks are `E[f″g xxᵀ]`, `E[f′g′ xxᵀ]` and
`E[fg″ xxᵀ]`. Inside the plane of the two neurons `x` is `z = (z₁, z₂)` (see `_plane`); outside it `x` is
independent of both pre-activations. So a handful of in-plane moments is all, they stay finite where the neurons
coincide, and a new family of activations has to write down nothing else.
"""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from jaxcompress.kernels._plane import Plane

# Powers of `z₁` and `z₂` in the order of `First` and `Second`.
FIRST = ((0, 0), (1, 0), (0, 1))
SECOND = (*FIRST, (2, 0), (1, 1), (0, 2))


class First(NamedTuple):
    """Moments `E[q]`, `E[q z₁]`, `E[q z₂]` of some product `q`."""

    mean: Float[Array, "..."]
    along: Float[Array, "..."]
    across: Float[Array, "..."]


class Second(NamedTuple):
    """Moments of some product `q`: `E[q]`, `E[q z₁]`, `E[q z₂]`, `E[q z₁²]`, `E[q z₁z₂]`, `E[q z₂²]`."""

    mean: Float[Array, "..."]
    along: Float[Array, "..."]
    across: Float[Array, "..."]
    along_along: Float[Array, "..."]
    along_across: Float[Array, "..."]
    across_across: Float[Array, "..."]

    def reflected(self, plane: Plane) -> "Second":
        """The same moments in the frame of the other neuron (the change of frame is its own inverse)."""
        c, s = plane.cos, plane.sin
        aa, ac, cc = self.along_along, self.along_across, self.across_across
        return Second(
            self.mean,
            c * self.along + s * self.across,
            s * self.along - c * self.across,
            c * c * aa + 2 * c * s * ac + s * s * cc,
            c * s * (aa - cc) + (s * s - c * c) * ac,
            s * s * aa - 2 * c * s * ac + c * c * cc,
        )


class AbstractMoments(abc.ABC):
    """The moments of one ordered pair `(f, g)` of activations, each a formula on a `Plane`, without plumbing.

    What is asked of `g` is what is asked of the first activation of the pair `(g, f)`, so each formula is
    written once.
    """

    @abc.abstractmethod
    def value(self, plane: Plane) -> Float[Array, "..."]:
        """`E[f g]`."""

    @abc.abstractmethod
    def gradient(self, plane: Plane) -> First:
        """Moments of `f′(X) g(Y)` in the frame of the first neuron."""

    @abc.abstractmethod
    def bend(self, plane: Plane) -> Second:
        """Moments of `f″(X) g(Y)` in the frame of the first neuron."""

    @abc.abstractmethod
    def cross(self, plane: Plane) -> Second:
        """Moments of `f′(X) g′(Y)` in the frame of the first neuron."""


class WeightedMoments(AbstractMoments):
    """The moments of sums of activations: a weighted sum of the moments of their pairs."""

    def __init__(self, parts: tuple[tuple[float, AbstractMoments], ...]):
        self.parts = parts

    def _sum(self, moments: Callable[[AbstractMoments], Any]) -> Any:
        each = [jax.tree.map(lambda leaf, factor=factor: factor * leaf, moments(part)) for factor, part in self.parts]
        return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *each)

    def value(self, plane: Plane) -> Float[Array, "..."]:
        return self._sum(lambda part: part.value(plane))

    def gradient(self, plane: Plane) -> First:
        return self._sum(lambda part: part.gradient(plane))

    def bend(self, plane: Plane) -> Second:
        return self._sum(lambda part: part.bend(plane))

    def cross(self, plane: Plane) -> Second:
        return self._sum(lambda part: part.cross(plane))
