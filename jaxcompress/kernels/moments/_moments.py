"""What a pair of activations must supply: the expectations that value, gradient and Hessian are
made of.

By Price's theorem every derivative of `E[f(w·x) g(v·x)]` with respect to the weights is again an
expectation over the same Gaussian: the gradient is `E[f′g x]`, the Hessian blocks are `E[f″g xxᵀ]`,
`E[f′g′ xxᵀ]` and `E[fg″ xxᵀ]`. Inside the plane of the two neurons `x` is `z = (z₁, z₂)` (see
`_plane`); outside it `x` is independent of both pre-activations. So a handful of in-plane moments
is all, they stay finite where the neurons coincide, and a new family of activations has to write
down nothing else.
"""

import abc
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Array, Float

from jaxcompress.kernels.moments._plane import Plane

# Powers of `z₁` and `z₂` in the order of `First` and `Second`.
FIRST = ((0, 0), (1, 0), (0, 1))
SECOND = (*FIRST, (2, 0), (1, 1), (0, 2))


class Part(NamedTuple):
    """A product `f⁽ⁱ⁾(X) g⁽ʲ⁾(Y)` by its `orders (i, j)`, and the powers of `z₁`, `z₂` by which it
    is multiplied.
    """

    orders: tuple[int, int]
    powers: tuple[tuple[int, int], ...]


VALUE = Part((0, 0), ((0, 0),))
GRADIENT = Part((1, 0), FIRST)
SECOND_DERIVATIVE = Part((2, 0), SECOND)
MIXED_DERIVATIVE = Part((1, 1), SECOND)


def by_parts(moments: Sequence[Array], parts: Sequence[Part]) -> list[tuple[Array, ...]]:
    """What was computed in one row, part by part."""
    left = iter(moments)
    return [tuple(next(left) for _ in part.powers) for part in parts]


class First(NamedTuple):
    """Moments `E[q]`, `E[q z₁]`, `E[q z₂]` of some product `q`."""

    mean: Float[Array, "..."]
    along: Float[Array, "..."]
    across: Float[Array, "..."]


class Second(NamedTuple):
    """Moments of some product `q`: `E[q]`, `E[q z₁]`, `E[q z₂]`, `E[q z₁²]`, `E[q z₁z₂]`, `E[q
    z₂²]`.
    """

    mean: Float[Array, "..."]
    along: Float[Array, "..."]
    across: Float[Array, "..."]
    along_along: Float[Array, "..."]
    along_across: Float[Array, "..."]
    across_across: Float[Array, "..."]

    def reflected(self, plane: Plane) -> "Second":
        """The same moments in the frame of the other neuron (the change of frame is its own
        inverse).
        """
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
    """The moments of one ordered pair `(f, g)` of activations, each a formula on a `Plane`, without
    plumbing.

    What holds for `g` is what holds for the first activation of the pair `(g, f)`, so each formula
    is written once.
    """

    @abc.abstractmethod
    def expect(self, plane: Plane, parts: Sequence[Part]) -> list[tuple[Float[Array, "..."], ...]]:
        """The moments of every part, in the frame of the first neuron: what they have in common is
        computed once.
        """

    def value(self, plane: Plane) -> Float[Array, "..."]:
        """`E[f g]`."""
        return self.expect(plane, (VALUE,))[0][0]

    def gradient(self, plane: Plane) -> First:
        """Moments of `f′(X) g(Y)`."""
        return First(*self.expect(plane, (GRADIENT,))[0])

    def second_derivative(self, plane: Plane) -> Second:
        """Moments of `f″(X) g(Y)`."""
        return Second(*self.expect(plane, (SECOND_DERIVATIVE,))[0])

    def mixed_derivative(self, plane: Plane) -> Second:
        """Moments of `f′(X) g′(Y)`."""
        return Second(*self.expect(plane, (MIXED_DERIVATIVE,))[0])


class WeightedMoments(AbstractMoments):
    """The moments of sums of activations: a weighted sum of the moments of their pairs."""

    def __init__(self, parts: tuple[tuple[float, AbstractMoments], ...]):
        self.parts = parts

    def expect(self, plane: Plane, parts: Sequence[Part]) -> list[tuple[Float[Array, "..."], ...]]:
        each = [(factor, part.expect(plane, parts)) for factor, part in self.parts]
        factor, out = each[0]
        out = [tuple(factor * moment for moment in moments) for moments in out]
        for factor, more in each[1:]:
            out = [
                tuple(old + factor * new for old, new in zip(*pair, strict=True))
                for pair in zip(out, more, strict=True)
            ]
        return out
