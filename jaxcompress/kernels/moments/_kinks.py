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
from jaxcompress.kernels.moments._kink_forms import (
    NONE,
    Exponents,
    Form,
    Seen,
    more,
    partners,
    pick,
    seen_by_both,
    without,
)
from jaxcompress.kernels.moments._plane import Angle, Plane, plane
from jaxcompress.kernels.moments._static_zeros import Inverse, Number, is_zero, plus, times, widen


class Kinked(NamedTuple):
    """One kink: what jumps, the width of its smoothing (the float 0.0 for none)."""

    kink: Kink
    width: Number


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
        seen_x, seen_y = seen_by_both(at, wide, left.width, right.width)
        self.edge_x = _Edge(wide, seen_x, left, right, central)
        self.edge_y = _Edge(wide.swapped, seen_y, right, left, central, swapped=True)
        self.seen, self.along_y = seen_x, seen_y.first
        self.inverses = Inverse(wide.std_x), Inverse(wide.std_y)
        self._known: dict = {}

    def expect(
        self, powers: tuple[int, int], along: int, across: int, orders: tuple[int, int]
    ) -> Number:
        """`E[z₁^along z₂^across X^m Y^l K₁⁽ⁱ⁾(X̃) K₂⁽ʲ⁾(Ỹ)]` for `powers = (m, l)` and `orders =
        (i, j)`.
        """
        exponents = Exponents(*powers, along, across)
        i, j = orders
        if i:
            out = self.edge_x.expect(exponents, i - 1, j)
        elif j:
            out = self.edge_y.expect(exponents, j - 1, 0)
        else:
            out = self._between(exponents)
        return times(out, self.inverses[0].power(i), self.inverses[1].power(j))

    def _between(self, exponents: Exponents) -> Number:
        """With both kinks as they are: by parts onto the edges."""
        if exponents not in self._known:
            self._known[exponents] = self._by_parts(exponents)
        return self._known[exponents]

    def _by_parts(self, exponents: Exponents) -> Number:
        if exponents == NONE:
            wedge = self.wide.wedge
            match self.jumps:
                case Kink.STEP, Kink.STEP:
                    return wedge.both
                case Kink.SIGN, Kink.SIGN:
                    return wedge.signs
                case Kink.STEP, Kink.SIGN:
                    return wedge.step_sign
                case _:
                    return wedge.sign_step
        form, rest = pick(exponents)
        return plus(
            times(self.seen.mean[form], self._between(rest)),
            *(
                times(n, self.seen.cov[form, m], self._between(reduced))
                for m, n, reduced in partners(rest)
            ),
            times(self.seen.first[form], self.edge_x.expect(rest, 0, 0)),
            times(self.along_y[form], self.edge_y.expect(rest, 0, 0)),
        )


class _Edge:
    """The line `X̃ = 0` of the first kink, and the point on it where the second one is zero too."""

    def __init__(
        self,
        wide: Plane,
        seen: Seen,
        own: Kinked,
        other: Kinked,
        central: bool,
        swapped: bool = False,
    ):
        self.wide, self.seen, self.own, self.other = wide, seen, own, other
        self.own_form, self.other_form = (Form.Y, Form.X) if swapped else (Form.X, Form.Y)
        self.above: Number = 0.0 if central else wide.wedge.tilt_x
        if other.kink is Kink.STEP:
            self.above = wide.wedge.above_x
        self.peak = wide.wedge.peak_x
        self.inverse = Inverse(wide.sin)
        self._known: dict = {}

    def expect(self, exponents: Exponents, turns: int, order: int) -> Number:
        """`E[F · jump·δ⁽ᵗ⁾(h + u₁) · K₂⁽ʲ⁾(k + c̃u₁ + s̃u₂)]` for the product `F` of forms, `t =
        turns`, `j = order`.
        """
        key = exponents, turns, order
        if key not in self._known:
            self._known[key] = self._by_parts(*key)
        return self._known[key]

    def _by_parts(self, exponents: Exponents, turns: int, order: int) -> Number:
        m, n = exponents[self.own_form], exponents[self.other_form]
        if m and is_zero(self.own.width):
            scale = times(float(falling(turns, m)), *[self.wide.std_x] * m)
            return (
                times(scale, self.expect(without(exponents, self.own_form), turns - m, order))
                if turns >= m
                else 0.0
            )
        if n and order and is_zero(self.other.width):
            if n > order - 1:
                return 0.0
            scale = times(float(falling(order - 1, n)), *[self.wide.std_y] * n)
            return times(scale, self.expect(without(exponents, self.other_form), turns, order - n))
        if turns:  # δ⁽ᵗ⁾ against the density: (u₁ − ∂₁) of everything beside it
            return plus(
                self.expect(more(exponents, Form.U1), turns - 1, order),
                *(
                    times(-n, self.seen.first[m], self.expect(reduced, turns - 1, order))
                    for m, n, reduced in partners(exponents)
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

    def _on_line(self, exponents: Exponents) -> Number:
        """`E[F K₂ | X̃ = 0]`."""
        if exponents == NONE:
            return self.above
        form, rest = pick(exponents)
        second, perp = self.seen.second, self.seen.perp
        sharp = is_zero(self.other.width) and rest[self.other_form] > 0  # Y δ(Y) = 0
        corner = (
            0.0
            if sharp
            else times(float(self.other.kink.value), self.peak, self._at_point(rest, 0))
        )
        return plus(
            times(self.seen.on_line[form], self._on_line(rest)),
            *(
                times(
                    n, plus(times(second[form], second[m]), perp[form, m]), self._on_line(reduced)
                )
                for m, n, reduced in partners(rest)
            ),
            times(second[form], corner),
        )

    def _at_point(self, exponents: Exponents, turns: int) -> Number:
        """`E[(u₂ − ∂₂)ᵗ F | X̃ = Ỹ = 0]`."""
        if turns:
            return plus(
                self._at_point(more(exponents, Form.U2), turns - 1),
                *(
                    times(-n, self.seen.second[m], self._at_point(reduced, turns - 1))
                    for m, n, reduced in partners(exponents)
                ),
            )
        if exponents == NONE:
            return 1.0
        form, rest = pick(exponents)
        return plus(
            times(self.seen.at_point[form], self._at_point(rest, 0)),
            *(
                times(n, self.seen.perp[form, m], self._at_point(reduced, 0))
                for m, n, reduced in partners(rest)
            ),
        )
