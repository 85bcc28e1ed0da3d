"""The common formula of piecewise and smoothed functions: moments of polynomials over two kinks, at
any angle.

This file computes `E[z₁^a z₂^b X^m Y^l K₁⁽ⁱ⁾(X̃) K₂⁽ʲ⁾(Ỹ)]` in the plane of two neurons (`_plane`),
where `X̃ = X + ν_x ε₁` and `Ỹ = Y + ν_y ε₂` carry private noise: orthant moments of the jointly
Gaussian `X, Y, X̃, Ỹ`. In units of their standard deviations `X̃ ~ h + u₁` and `Ỹ ~ k + c̃u₁ +
s̃u₂` with independent standard normal `u`. Each factor `L` of the polynomial is a form with
coordinates `(l₁, l₂)` on `u`, coordinates on the frame of `Ỹ`, and a part at a right angle to both.
By parts, a factor is traded for its covariances with the others and for the two edges `X̃ = 0` and
`Ỹ = 0` (lines, where one Gaussian integral remains) and from there for the corner (a point). No
step divides by the sine `s̃`, so moments stay exact where neurons coincide, unless two kinks are
themselves differentiated into `δ(X̃) δ(Ỹ)`, whose expectation is truly `1/s̃`; at `s̃ = 0` that is
stated to be zero.

Letters: `a = σ_x/σ̃_x`, `p = ν_x/σ̃_x`, so `a² + p² = 1`; `b`, `q` the same for `Y`; `c`, `s`
cosine and sine of the angle, `c̃ = abc`, `s̃² = a²b²s² + a²q² + b²p² + p²q²`. Sharp kinks have `p =
0.0` exactly, known at trace time: zeros of Python are left out of every product, so that simple
pairs have short formulas.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxcompress.kernels.activations._terms import Kink, falling
from jaxcompress.kernels.moments._plane import Angle, Plane, plane
from jaxcompress.kernels.moments._static_zeros import Inverse, Number, is_zero, plus, times, widen

# The forms, and where each one's exponent stands in a tuple: the pre-activations, the frame of the
# plane, and the coordinates on the line `X̃ = 0` and across it.
_X, _Y, _Z1, _Z2, _U1, _U2 = range(6)
_NONE = (0, 0, 0, 0, 0, 0)


class Kinked(NamedTuple):
    """One kink: what jumps, the width of its smoothing (the float 0.0 for none)."""

    kink: Kink
    width: Number


class Forms(NamedTuple):
    """What is known of every form, in the order of their exponents, seen from one of the kinks.

    Means; covariances, and those of what is at a right angle to both kinks; coordinates along this
    kink and across it; means on the line where it is zero, and at the point where both are.
    """

    mean: tuple[Number, ...]
    cov: dict[tuple[int, int], Number]
    perp: dict[tuple[int, int], Number]
    first: tuple[Number, ...]
    second: tuple[Number, ...]
    on_line: tuple[Number, ...]
    at_point: tuple[Number, ...]


def widened(at: Plane, width_x: Number, width_y: Number) -> Plane:
    """The plane of the smoothed pre-activations; that of the given ones where nothing is
    smoothed.
    """
    if is_zero(width_x) and is_zero(width_y):
        return at
    std_x, a, p = widen(at.std_x, width_x)
    std_y, b, q = widen(at.std_y, width_y)
    cos = at.cos * times(a, b)
    sin = jnp.sqrt(
        plus(
            *(
                times(root, root)
                for root in (times(a, b, at.sin), times(a, q), times(b, p), times(p, q))
            )
        )
    )
    angle = Angle(cos, sin, jnp.arctan2(sin, cos), jnp.arctan2(sin, -cos))
    return plane(at.mean_x, at.mean_y, std_x, std_y, angle)


class Orthant:
    """The expectations of one pair of kinks; each is computed once."""

    def __init__(self, at: Plane, left: Kinked, right: Kinked):
        self.wide = wide = widened(at, left.width, right.width)
        self.jumps = left.kink, right.kink
        central = wide.mean_x is None
        forms_x, forms_y = _forms(at, wide, left.width, right.width)
        self.edge_x = _Edge(wide, forms_x, left, right, (_X, _Y), central)
        self.edge_y = _Edge(wide.swapped, forms_y, right, left, (_Y, _X), central)
        self.forms, self.on_y = forms_x, forms_y.first
        self.inverses = Inverse(wide.std_x), Inverse(wide.std_y)
        self._known: dict = {}

    def expect(
        self, powers: tuple[int, int], along: int, across: int, orders: tuple[int, int]
    ) -> Number:
        """`E[z₁^along z₂^across X^m Y^l K₁⁽ⁱ⁾(X̃) K₂⁽ʲ⁾(Ỹ)]` for `powers = (m, l)` and `orders =
        (i, j)`.
        """
        exponents = (*powers, along, across, 0, 0)
        i, j = orders
        if i:
            out = self.edge_x.expect(exponents, i - 1, j)
        elif j:
            out = self.edge_y.expect(exponents, j - 1, 0)
        else:
            out = self._between(exponents)
        return times(out, self.inverses[0].power(i), self.inverses[1].power(j))

    def _between(self, exponents: tuple[int, ...]) -> Number:
        """With both kinks as they are: by parts onto the edges."""
        if exponents not in self._known:
            self._known[exponents] = self._by_parts(exponents)
        return self._known[exponents]

    def _by_parts(self, exponents: tuple[int, ...]) -> Number:
        if exponents == _NONE:
            wedge = self.wide.wedge
            match self.jumps:
                case Kink.STEP, Kink.STEP:
                    return wedge.both
                case Kink.SIGN, Kink.SIGN:
                    return wedge.signs
                case Kink.STEP, Kink.SIGN:
                    return wedge.lean_x
                case _:
                    return wedge.lean_y
        form, rest = _pick(exponents)
        return plus(
            times(self.forms.mean[form], self._between(rest)),
            *(
                times(n, self.forms.cov[form, m], self._between(less))
                for m, n, less in _partners(rest)
            ),
            times(self.forms.first[form], self.edge_x.expect(rest, 0, 0)),
            times(self.on_y[form], self.edge_y.expect(rest, 0, 0)),
        )


class _Edge:
    """The line `X̃ = 0` of the first kink, and the point on it where the second one is zero too."""

    def __init__(
        self,
        wide: Plane,
        forms: Forms,
        own: Kinked,
        other: Kinked,
        places: tuple[int, int],
        central: bool,
    ):
        self.wide, self.forms, self.own, self.other = wide, forms, own, other
        self.own_place, self.other_place = places
        self.above: Number = 0.0 if central else wide.wedge.tilt_x
        if other.kink is Kink.STEP:
            self.above = wide.wedge.above_x
        self.peak = wide.wedge.peak_x
        self.inverse = Inverse(wide.sin)
        self._known: dict = {}

    def expect(self, exponents: tuple[int, ...], turns: int, order: int) -> Number:
        """`E[F · jump·δ⁽ᵗ⁾(h + u₁) · K₂⁽ʲ⁾(k + c̃u₁ + s̃u₂)]` for the product `F` of forms, `t =
        turns`, `j = order`.
        """
        key = exponents, turns, order
        if key not in self._known:
            self._known[key] = self._by_parts(*key)
        return self._known[key]

    def _by_parts(self, exponents: tuple[int, ...], turns: int, order: int) -> Number:
        m, n = exponents[self.own_place], exponents[self.other_place]
        if m and is_zero(self.own.width):
            scale = times(float(falling(turns, m)), *[self.wide.std_x] * m)
            return (
                times(scale, self.expect(_without(exponents, self.own_place), turns - m, order))
                if turns >= m
                else 0.0
            )
        if n and order and is_zero(self.other.width):
            if n > order - 1:
                return 0.0
            scale = times(float(falling(order - 1, n)), *[self.wide.std_y] * n)
            return times(
                scale, self.expect(_without(exponents, self.other_place), turns, order - n)
            )
        if turns:  # δ⁽ᵗ⁾ against the density: (u₁ − ∂₁) of everything beside it
            return plus(
                self.expect(_with(exponents, _U1), turns - 1, order),
                *(
                    times(-n, self.forms.first[m], self.expect(less, turns - 1, order))
                    for m, n, less in _partners(exponents)
                ),
                times(-1.0, self.wide.cos, self.expect(exponents, turns - 1, order + 1)),
            )
        density = times(float(self.own.kink.value), self.wide.x.density)
        if order == 0:
            return times(density, self._on_line(exponents))
        corner = times(
            density, float(self.other.kink.value), self.peak, self._at_point(exponents, order - 1)
        )
        return times(corner, self.inverse.power(order))

    def _on_line(self, exponents: tuple[int, ...]) -> Number:
        """`E[F K₂ | X̃ = 0]`."""
        if exponents == _NONE:
            return self.above
        form, rest = _pick(exponents)
        second, perp = self.forms.second, self.forms.perp
        sharp = is_zero(self.other.width) and rest[self.other_place] > 0  # Y δ(Y) = 0
        corner = (
            0.0
            if sharp
            else times(float(self.other.kink.value), self.peak, self._at_point(rest, 0))
        )
        return plus(
            times(self.forms.on_line[form], self._on_line(rest)),
            *(
                times(n, plus(times(second[form], second[m]), perp[form, m]), self._on_line(less))
                for m, n, less in _partners(rest)
            ),
            times(second[form], corner),
        )

    def _at_point(self, exponents: tuple[int, ...], turns: int) -> Number:
        """`E[(u₂ − ∂₂)ᵗ F | X̃ = Ỹ = 0]`."""
        if turns:
            return plus(
                self._at_point(_with(exponents, _U2), turns - 1),
                *(
                    times(-n, self.forms.second[m], self._at_point(less, turns - 1))
                    for m, n, less in _partners(exponents)
                ),
            )
        if exponents == _NONE:
            return 1.0
        form, rest = _pick(exponents)
        return plus(
            times(self.forms.at_point[form], self._at_point(rest, 0)),
            *(
                times(n, self.forms.perp[form, m], self._at_point(less, 0))
                for m, n, less in _partners(rest)
            ),
        )


def _pick(exponents: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """A form of the product, and the product without it once; the pre-activations last."""
    form = next(i for i in (_U1, _U2, _Z1, _Z2, _X, _Y) if exponents[i])
    return form, _less(exponents, form)


def _partners(exponents: tuple[int, ...]) -> list[tuple[int, float, tuple[int, ...]]]:
    """Every form of the product, its exponent, and the product without it once."""
    return [(i, float(n), _less(exponents, i)) for i, n in enumerate(exponents) if n]


def _less(exponents: tuple[int, ...], form: int) -> tuple[int, ...]:
    return tuple(n - (i == form) for i, n in enumerate(exponents))


def _with(exponents: tuple[int, ...], form: int) -> tuple[int, ...]:
    return tuple(n + (i == form) for i, n in enumerate(exponents))


def _without(exponents: tuple[int, ...], form: int) -> tuple[int, ...]:
    return tuple(0 if i == form else n for i, n in enumerate(exponents))


def _forms(at: Plane, wide: Plane, width_x: Number, width_y: Number) -> tuple[Forms, Forms]:
    """What is known of the forms, seen from the first kink and from the second; nothing here
    cancels.
    """
    c, s, x, y = at.cos, at.sin, at.std_x, at.std_y
    _, a, p = widen(x, width_x)
    _, b, q = widen(y, width_y)
    sharp = is_zero(width_x) and is_zero(width_y)
    # stands beside a width everywhere but in `b s / s̃`, which is 1 without any
    over = 0.0 if sharp else 1 / wide.sin
    pp, qq, noise = times(p, p), times(q, q), times(over, over)
    second_x = (
        times(x, b, c, pp, over),
        times(y, s) if sharp else times(y, b, over, plus(times(c, c, pp), times(s, s))),
    )
    second_z = times(b, c, pp, over), 1.0 if sharp else times(b, s, over)
    turned_x = (
        times(x, s) if sharp else times(x, a, over, plus(times(c, c, qq), times(s, s))),
        times(y, a, c, qq, over),
    )
    turned_z = s if sharp else times(a, over, plus(times(c, c, qq), times(s, s)))
    turned_z2 = times(-1.0, c) if sharp else times(-1.0, a, b, b, c, s, over)
    central = wide.mean_x is None
    h, k, alpha, beta = (
        (0.0,) * 4 if central else (wide.x.height, wide.y.height, wide.wedge.alpha, wide.wedge.beta)
    )
    mean_x, mean_y = (0.0, 0.0) if central else (wide.known_mean_x, wide.known_mean_y)
    mean = (mean_x, mean_y, 0.0, 0.0, 0.0, 0.0)
    at_point = (
        times(pp, plus(mean_x, times(-1.0, x, b, c, over, beta))),
        times(qq, plus(mean_y, times(-1.0, y, a, c, over, alpha))),
        times(-1.0, plus(times(a, h), times(second_z[0], beta))),
        times(-1.0, second_z[1], beta),
    )
    cov = {
        (_X, _X): times(x, x),
        (_X, _Y): times(x, y, c),
        (_X, _Z1): x,
        (_Z1, _Z1): 1.0,
        (_Z2, _Z2): 1.0,
    }
    cov |= {(_Y, _Y): times(y, y), (_Y, _Z1): times(y, c), (_Y, _Z2): times(y, s)}
    z1_z1 = times(pp, plus(times(b, b, s, s), qq), noise)
    z1_z2 = times(-1.0, b, b, c, s, pp, noise)
    y_z1 = times(y, c, pp, qq, noise)
    perp = {
        (_X, _X): times(x, x, z1_z1),
        (_X, _Y): times(x, y_z1),
        (_X, _Z1): times(x, z1_z1),
        (_X, _Z2): times(x, z1_z2),
    }
    perp |= {
        (_Z1, _Z1): z1_z1,
        (_Z1, _Z2): z1_z2,
        (_Z2, _Z2): times(plus(qq, times(b, b, c, c, pp)), noise),
    }
    perp |= {(_Y, _Y): times(y, y, qq, plus(times(c, c, pp), times(s, s)), noise)}
    perp |= {(_Y, _Z1): y_z1, (_Y, _Z2): times(y, s, qq, noise)}
    shared = mean, _both_ways(cov), _both_ways(perp)
    from_x = Forms(
        *shared,
        first=(times(x, a), times(y, a, c), a, 0.0, 1.0, 0.0),
        second=(*second_x, *second_z, 0.0, 1.0),
        on_line=(
            times(mean_x, pp),
            plus(mean_y, times(-1.0, y, a, c, h)),
            times(-1.0, a, h),
            0.0,
            times(-1.0, h),
            0.0,
        ),
        at_point=(*at_point, times(-1.0, h), times(-1.0, beta)),
    )
    bc, bs = times(b, c), times(b, s)
    from_y = Forms(
        *shared,
        first=(times(x, bc), times(y, b), bc, bs, 1.0, 0.0),
        second=(*turned_x, turned_z, turned_z2, 0.0, 1.0),
        on_line=(
            *(plus(mean_x, times(-1.0, x, bc, k)), times(mean_y, qq)),
            *(times(-1.0, bc, k), times(-1.0, bs, k), times(-1.0, k), 0.0),
        ),
        at_point=(*at_point, times(-1.0, k), times(-1.0, alpha)),
    )
    return from_x, from_y


def _both_ways(table: dict[tuple[int, int], Number]) -> dict[tuple[int, int], Number]:
    """A symmetric table; what is not in it is zero, as for the coordinates on the line."""
    full = dict.fromkeys(((i, j) for i in range(6) for j in range(6)), 0.0)
    return full | table | {(j, i): value for (i, j), value in table.items()}
