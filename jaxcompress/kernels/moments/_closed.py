"""The moments of two activations that are finite sums of terms (`_terms`), each pair of terms by
its own method.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._terms import SHARP, Term, Terms, derivative
from jaxcompress.kernels.moments._exponentials import tilted
from jaxcompress.kernels.moments._kinks import Kinked, Orthant
from jaxcompress.kernels.moments._moments import AbstractMoments, Part, by_parts
from jaxcompress.kernels.moments._plane import Plane
from jaxcompress.kernels.moments._scale_mixtures import over_pairs
from jaxcompress.kernels.moments._static_zeros import Number, plus, times
from jaxcompress.kernels.moments._trigonometric import trigonometric


class ClosedMoments(AbstractMoments):
    """The moments of `(f, g)` from their terms."""

    def __init__(self, f: Terms, g: Terms):
        self.f, self.g = f, g

    def expect(self, plane: Plane, parts: Sequence[Part]) -> list[tuple[Float[Array, "..."], ...]]:
        products = [(derivative(self.f, i), derivative(self.g, j)) for (i, j), _ in parts]
        wanted = [
            (powers, [(p, q) for p in left for q in right if not p.smooth and not q.smooth])
            for (left, right), part in zip(products, parts, strict=True)
            for powers in part.powers
        ]
        sums: list[Number] = [0.0] * len(wanted)
        for key in dict.fromkeys(
            (p.kink, p.mixture, q.kink, q.mixture) for _, pairs in wanted for p, q in pairs
        ):
            some = [
                (
                    powers,
                    [(p, q) for p, q in pairs if (p.kink, p.mixture, q.kink, q.mixture) == key],
                )
                for powers, pairs in wanted
            ]
            sums = [
                plus(old, new) for old, new in zip(sums, _kinked(plane, key, some), strict=True)
            ]
        if any(p.smooth or q.smooth for left, right in products for p in left for q in right):
            stein = _Stein(plane, self.f, self.g)
            powers = [(part.orders, each) for part in parts for each in part.powers]
            sums = [plus(old, stein.expect(*some)) for old, some in zip(sums, powers, strict=True)]
        shape = jnp.broadcast_shapes(plane.std_x.shape, plane.std_y.shape, plane.cos.shape)
        return by_parts(
            [jnp.broadcast_to(jnp.asarray(each, plane.cos.dtype), shape) for each in sums], parts
        )


class _Stein:
    """The moments of pairs of terms of which at least one has no kink, from the derivatives of both
    functions.
    """

    def __init__(self, at: Plane, f: Terms, g: Terms):
        self.at, self.f, self.g = at, f, g
        self._known: dict[tuple[int, int], Number] = {}

    def _mixed(self, i: int, j: int) -> Number:
        """`E[f⁽ⁱ⁾(X) g⁽ʲ⁾(Y)]`."""
        if (i, j) not in self._known:
            left, right = derivative(self.f, i), derivative(self.g, j)
            pairs = [(p, q) for p in left for q in right if p.smooth or q.smooth]
            self._known[i, j] = plus(*(_smooth(self.at, p, q) for p, q in pairs))
        return self._known[i, j]

    def expect(self, orders: tuple[int, int], powers: tuple[int, int]) -> Number:
        """`E[q z₁^a z₂^b]` for the product `q` of these derivatives: Stein's lemma, written out up
        to a total power of 2.
        """
        at, (i, j) = self.at, orders
        x, y, c, s = at.std_x, at.std_y, at.cos, at.sin

        def mixed(more: int, beside: int) -> Number:
            return self._mixed(i + more, j + beside)

        match powers:
            case 0, 0:
                return mixed(0, 0)
            case 1, 0:
                return plus(times(x, mixed(1, 0)), times(y, c, mixed(0, 1)))
            case 0, 1:
                return times(y, s, mixed(0, 1))
            case 2, 0:
                squares = (
                    times(x, x, mixed(2, 0)),
                    times(2.0, x, y, c, mixed(1, 1)),
                    times(y, y, c, c, mixed(0, 2)),
                )
                return plus(mixed(0, 0), *squares)
            case 1, 1:
                return plus(times(x, y, s, mixed(1, 1)), times(y, y, c, s, mixed(0, 2)))
            case 0, 2:
                return plus(mixed(0, 0), times(y, y, s, s, mixed(0, 2)))
            case 0, b:
                below = times(b - 1.0, self.expect(orders, (0, b - 2)))
                return plus(below, times(y, s, self.expect((i, j + 1), (0, b - 1))))
            case a, b:
                below = times(a - 1.0, self.expect(orders, (a - 2, b))) if a > 1 else 0.0
                return plus(
                    below,
                    times(x, self.expect((i + 1, j), (a - 1, b))),
                    times(y, c, self.expect((i, j + 1), (a - 1, b))),
                )


def _smooth(at: Plane, p: Term, q: Term) -> Number:
    """`E[p(X) q(Y)]` where at least one has no kink."""
    if not p.smooth:
        return _smooth(at.swapped, q, p)
    if q.smooth and p.rate.imag and q.rate.imag:
        return trigonometric(at, complex(p.coefficient), complex(q.coefficient))
    (total,) = over_pairs(
        at.cos.dtype, SHARP, q.mixture, lambda _, width: [tilted(at, p, q, width)]
    )
    return total


def _kinked(
    at: Plane, key: tuple, wanted: list[tuple[tuple[int, int], list[tuple[Term, Term]]]]
) -> Sequence[Number]:
    """The sums over pairs of terms with the same two kinks, over all pairs of their widths.

    `wanted` has the powers of `z₁` and `z₂` of each sum, and its pairs of terms.
    """
    left, mixture_x, right, mixture_y = key

    def at_widths(width_x: Number, width_y: Number) -> list[Number]:
        orthant = Orthant(at, Kinked(left, width_x), Kinked(right, width_y))
        return [
            plus(
                *(
                    times(
                        p.coefficient * q.coefficient,
                        orthant.expect((p.power, q.power), a, b, (p.order, q.order)),
                    )
                    for p, q in pairs
                )
            )
            for (a, b), pairs in wanted
        ]

    return over_pairs(at.cos.dtype, mixture_x, mixture_y, at_widths)
