"""The moments of two activations that are finite sums of terms (`_terms`), each pair of terms by its own method."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels._blends import over_pairs
from jaxcompress.kernels._moments import FIRST, SECOND, AbstractMoments, First, Second
from jaxcompress.kernels._orthant import Kinked, Number, Orthant, plus, times
from jaxcompress.kernels._plane import Plane
from jaxcompress.kernels._terms import SHARP, Term, Terms, derivative
from jaxcompress.kernels._tilted import tilted
from jaxcompress.kernels._waves import waves


class ClosedMoments(AbstractMoments):
    """The moments of `(f, g)` from their terms."""

    def __init__(self, f: Terms, g: Terms):
        self.f, self.g = f, g

    def value(self, plane: Plane) -> Float[Array, "..."]:
        return _expect(plane, self.f, self.g, ((0, 0),))[0]

    def gradient(self, plane: Plane) -> First:
        return First(*_expect(plane, derivative(self.f), self.g, FIRST))

    def bend(self, plane: Plane) -> Second:
        return Second(*_expect(plane, derivative(self.f, 2), self.g, SECOND))

    def cross(self, plane: Plane) -> Second:
        return Second(*_expect(plane, derivative(self.f), derivative(self.g), SECOND))


def _expect(at: Plane, f: Terms, g: Terms, wanted: Sequence[tuple[int, int]]) -> list[Array]:
    """`E[f(X) g(Y) z₁^a z₂^b]` for every `(a, b)` that is wanted."""
    kinked = [(p, q) for p in f for q in g if not p.smooth and not q.smooth]
    smooth = [(p, q) for p in f for q in g if p.smooth or q.smooth]
    sums: list[Number] = [0.0] * len(wanted)
    blends = dict.fromkeys((p.kink, p.blend, q.kink, q.blend) for p, q in kinked)
    for key in blends:
        pairs = [(p, q) for p, q in kinked if (p.kink, p.blend, q.kink, q.blend) == key]
        sums = [plus(old, new) for old, new in zip(sums, _kinked(at, key, pairs, wanted), strict=True)]
    if smooth:
        # the same sums by Stein's lemma, from the derivatives of both functions
        known: dict[tuple[int, int], Number] = {}

        def mixed(i: int, j: int) -> Number:
            if (i, j) not in known:
                left, right = derivative(f, i), derivative(g, j)
                pairs = [(p, q) for p in left for q in right if p.smooth or q.smooth]
                known[i, j] = plus(*(_smooth(at, p, q) for p, q in pairs))
            return known[i, j]

        sums = [plus(old, _by_stein(at, mixed, *powers)) for old, powers in zip(sums, wanted, strict=True)]
    shape = jnp.broadcast_shapes(at.std_x.shape, at.std_y.shape, at.cos.shape)
    return [jnp.broadcast_to(jnp.asarray(total, at.cos.dtype), shape) for total in sums]


def _by_stein(at: Plane, mixed: Callable[[int, int], Number], along: int, across: int) -> Number:
    """`E[q z₁^along z₂^across]` from `mixed(i, j) = E[∂_x^i ∂_y^j q]`, for a total power up to 2."""
    x, y, c, s = at.std_x, at.std_y, at.cos, at.sin
    match along, across:
        case 0, 0:
            return mixed(0, 0)
        case 1, 0:
            return plus(times(x, mixed(1, 0)), times(y, c, mixed(0, 1)))
        case 0, 1:
            return times(y, s, mixed(0, 1))
        case 2, 0:
            squares = times(x, x, mixed(2, 0)), times(2.0, x, y, c, mixed(1, 1)), times(y, y, c, c, mixed(0, 2))
            return plus(mixed(0, 0), *squares)
        case 1, 1:
            return plus(times(x, y, s, mixed(1, 1)), times(y, y, c, s, mixed(0, 2)))
        case _:
            return plus(mixed(0, 0), times(y, y, s, s, mixed(0, 2)))


def _smooth(at: Plane, p: Term, q: Term) -> Number:
    """`E[p(X) q(Y)]` where at least one has no kink."""
    if not p.smooth:
        return _smooth(at.swapped, q, p)
    if q.smooth and p.rate.imag and q.rate.imag:
        return waves(at, complex(p.coefficient), complex(q.coefficient))
    (total,) = over_pairs(at.cos.dtype, SHARP, q.blend, lambda _, width: [tilted(at, p, q, width)])
    return total


def _kinked(
    at: Plane, key: tuple, pairs: list[tuple[Term, Term]], wanted: Sequence[tuple[int, int]]
) -> Sequence[Number]:
    """The sums over pairs of terms with the same two kinks, over all pairs of their widths."""
    left, blend_x, right, blend_y = key

    def at_widths(width_x: Number, width_y: Number) -> list[Number]:
        orthant = Orthant(at, Kinked(left, width_x), Kinked(right, width_y))
        return [
            plus(
                *(
                    times(p.coefficient * q.coefficient, orthant.expect((p.power, q.power), a, b, (p.order, q.order)))
                    for p, q in pairs
                )
            )
            for a, b in wanted
        ]

    return over_pairs(at.cos.dtype, blend_x, blend_y, at_widths)
