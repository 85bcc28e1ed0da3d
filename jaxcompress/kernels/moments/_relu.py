"""ReLU with ReLU.

Letters as in `_plane`: in units of the standard deviations `X = h + z₁`, `Y = k + cos z₁ + sin z₂`;
`P`, `A`, `B`, `C`, `J` are the wedge's `both`, `edge_x`, `edge_y`, `corner`, `ramp`. Zero means
reproduce Cho & Saul 2009 (order 1 and 0); the Hessian is that of Safran & Shamir 2018 and Arjevani
& Field 2019.
"""

from collections.abc import Sequence

from jaxtyping import Array, Float

from jaxcompress.kernels.moments._moments import (
    AbstractMoments,
    First,
    Part,
    Second,
)
from jaxcompress.kernels.moments._plane import Plane
from jaxcompress.special.internal import divide


class ReluRelu(AbstractMoments):
    """`E[max(X, 0) max(Y, 0)]` and its derivatives; relative to themselves also next to opposite
    neurons.
    """

    def expect(self, plane: Plane, parts: Sequence[Part]) -> list[tuple[Float[Array, "..."], ...]]:
        return [self._part(plane, part) for part in parts]

    def _part(self, plane: Plane, part: Part) -> tuple[Float[Array, "..."], ...]:
        """The moments of one part; of the second neuron's derivatives, which other formulas have in
        its own frame, the expectation alone.
        """
        match part.orders:
            case (0, 0):
                return (self.value(plane),)
            case (1, 0):
                return tuple(self.gradient(plane))[: len(part.powers)]
            case (2, 0):
                return tuple(self.second_derivative(plane))[: len(part.powers)]
            case (1, 1):
                return tuple(self.mixed_derivative(plane))[: len(part.powers)]
            case (i, j):
                assert i == 0, part
                assert len(part.powers) == 1, part
                return self._part(plane.swapped, Part((j, i), part.powers))

    def value(self, plane: Plane) -> Float[Array, "..."]:
        w = plane.wedge
        return (
            plane.std_x * plane.std_y * w.ramp
            + plane.known_mean_x * plane.known_mean_y * w.both
            + plane.known_mean_x * plane.std_y * w.edge_y
            + plane.known_mean_y * plane.std_x * w.edge_x
        )

    def gradient(self, plane: Plane) -> First:
        w = plane.wedge
        return First(
            mean=plane.known_mean_y * w.both + plane.std_y * (w.edge_y + plane.cos * w.edge_x),
            along=plane.rest_y * w.edge_x + plane.std_y * w.ramp,
            across=plane.std_y * plane.sin * w.both,
        )

    def second_derivative(self, plane: Plane) -> Second:
        """On the line `X = 0` (density `φ(h)/σ_x`) what remains is `σ_y sin (β + z₂)₊`."""
        w = plane.wedge
        ratio = divide(plane.std_y, plane.std_x) * plane.sin
        mean = divide(plane.rest_y, plane.std_x) * w.edge_x + ratio * w.corner
        across = ratio * w.edge_x
        return Second(
            mean,
            -plane.x.height * mean,
            across,
            plane.x.height * plane.x.height * mean,
            -plane.x.height * across,
            mean + ratio * w.corner,
        )

    def mixed_derivative(self, plane: Plane) -> Second:
        """Moments of the wedge itself, by parts onto its two edges."""
        w = plane.wedge
        c, s = plane.cos, plane.sin
        slide = s * w.corner - plane.y.height * c * w.edge_y
        return Second(
            mean=w.both,
            along=w.edge_x + c * w.edge_y,
            across=s * w.edge_y,
            along_along=w.both - plane.x.height * w.edge_x + c * slide,
            along_across=s * slide,
            across_across=w.both - s * (plane.y.height * s * w.edge_y + c * w.corner),
        )
