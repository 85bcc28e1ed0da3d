"""The linear forms that the moments of two kinks are polynomials of, and what is known of each.

Six forms on the plane of two neurons: the pre-activations `X`, `Y`, the frame `z₁`, `z₂` of the
plane, and the coordinates `u₁`, `u₂` on the line where a kink is zero and across it. A monomial is
their exponents. Letters as in `_kinks`; nothing here cancels.
"""

import enum
from typing import NamedTuple

from jaxtyping import Array

from jaxcompress.kernels.moments._plane import Plane
from jaxcompress.kernels.moments._static_zeros import Number, is_zero, plus, times, widen


class Form(enum.IntEnum):
    """The forms, in the order in which tuples have an entry for each."""

    X = 0
    Y = 1
    Z1 = 2
    Z2 = 3
    U1 = 4
    U2 = 5


class Exponents(NamedTuple):
    """A monomial of the forms."""

    x: int = 0
    y: int = 0
    z1: int = 0
    z2: int = 0
    u1: int = 0
    u2: int = 0


class Each(NamedTuple):
    """A number for each of the forms, indexed by `Form`."""

    x: Number
    y: Number
    z1: Number
    z2: Number
    u1: Number
    u2: Number


Table = dict[tuple[int, int], Number]
NONE = Exponents()


class Seen(NamedTuple):
    """What is known of every form, seen from one of the kinks.

    - `mean`, and `cov` of pairs; `perp`, the covariances of what is at a right angle to both kinks;
    - `first`, `second`: coordinates along this kink and across it;
    - `on_line`, `at_point`: means where this kink is zero, and where both are.
    """

    mean: Each
    cov: Table
    perp: Table
    first: Each
    second: Each
    on_line: Each
    at_point: Each


def pick(exponents: Exponents) -> tuple[int, Exponents]:
    """A form of the product, and the product without it once; the pre-activations last."""
    order = (Form.U1, Form.U2, Form.Z1, Form.Z2, Form.X, Form.Y)
    form = next(form for form in order if exponents[form])
    return form, less(exponents, form)


def partners(exponents: Exponents) -> list[tuple[int, float, Exponents]]:
    """Every form of the product, its exponent, and the product without it once."""
    return [(i, float(n), less(exponents, i)) for i, n in enumerate(exponents) if n]


def less(exponents: Exponents, form: int) -> Exponents:
    """The product with a form once less."""
    return Exponents(*(n - (i == form) for i, n in enumerate(exponents)))


def more(exponents: Exponents, form: int) -> Exponents:
    """The product with a form once more."""
    return Exponents(*(n + (i == form) for i, n in enumerate(exponents)))


def without(exponents: Exponents, form: int) -> Exponents:
    """The product without any power of a form."""
    return Exponents(*(0 if i == form else n for i, n in enumerate(exponents)))


class _Letters(NamedTuple):
    """`σ_x`, `σ_y`, cosine and sine of the angle, and the shares of `_kinks`: `pp = p²`, `qq = q²`;
    `over = 1/s̃`, which stands beside a width everywhere but in `b s / s̃`, and is left out, with
    `sharp`, where nothing is smoothed.
    """

    x: Array
    y: Array
    c: Array
    s: Array
    a: Number
    b: Number
    pp: Number
    qq: Number
    over: Number
    sharp: bool


def seen_by_both(at: Plane, wide: Plane, width_x: Number, width_y: Number) -> tuple[Seen, Seen]:
    """What is known of the forms, seen from the first kink and from the second."""
    known = _letters(at, wide, width_x, width_y)
    central = wide.mean_x is None
    mean_x, mean_y = (0.0, 0.0) if central else (wide.known_mean_x, wide.known_mean_y)
    mean = Each(mean_x, mean_y, 0.0, 0.0, 0.0, 0.0)
    second_x, second_y = _across_x(known), _across_y(known)
    at_x, at_y = _at_point(known, wide, mean, second_x)
    cov, perp = _both_ways(_covariances(known)), _both_ways(_perpendicular(known))
    x, y, c, a, b = known.x, known.y, known.c, known.a, known.b
    h, k = (0.0, 0.0) if central else (wide.x.height, wide.y.height)
    bc, bs = times(b, c), times(b, known.s)
    from_x = Seen(
        mean,
        cov,
        perp,
        first=Each(times(x, a), times(y, a, c), a, 0.0, 1.0, 0.0),
        second=second_x,
        on_line=Each(
            x=times(mean_x, known.pp),
            y=plus(mean_y, times(-1.0, y, a, c, h)),
            z1=times(-1.0, a, h),
            z2=0.0,
            u1=times(-1.0, h),
            u2=0.0,
        ),
        at_point=at_x,
    )
    from_y = Seen(
        mean,
        cov,
        perp,
        first=Each(times(x, bc), times(y, b), bc, bs, 1.0, 0.0),
        second=second_y,
        on_line=Each(
            x=plus(mean_x, times(-1.0, x, bc, k)),
            y=times(mean_y, known.qq),
            z1=times(-1.0, bc, k),
            z2=times(-1.0, bs, k),
            u1=times(-1.0, k),
            u2=0.0,
        ),
        at_point=at_y,
    )
    return from_x, from_y


def _letters(at: Plane, wide: Plane, width_x: Number, width_y: Number) -> _Letters:
    _, a, p = widen(at.std_x, width_x)
    _, b, q = widen(at.std_y, width_y)
    sharp = is_zero(width_x) and is_zero(width_y)
    over = 0.0 if sharp else 1 / wide.sin
    pp, qq = times(p, p), times(q, q)
    return _Letters(at.std_x, at.std_y, at.cos, at.sin, a, b, pp, qq, over, sharp)


def _across_x(known: _Letters) -> Each:
    """Coordinates across the first kink."""
    x, y, c, s, _, b, pp, _, over, sharp = known
    return Each(
        x=times(x, b, c, pp, over),
        y=times(y, s) if sharp else times(y, b, over, plus(times(c, c, pp), times(s, s))),
        z1=times(b, c, pp, over),
        z2=1.0 if sharp else times(b, s, over),
        u1=0.0,
        u2=1.0,
    )


def _across_y(known: _Letters) -> Each:
    """Coordinates across the second kink."""
    x, y, c, s, a, b, _, qq, over, sharp = known
    return Each(
        x=times(x, s) if sharp else times(x, a, over, plus(times(c, c, qq), times(s, s))),
        y=times(y, a, c, qq, over),
        z1=s if sharp else times(a, over, plus(times(c, c, qq), times(s, s))),
        z2=times(-1.0, c) if sharp else times(-1.0, a, b, b, c, s, over),
        u1=0.0,
        u2=1.0,
    )


def _at_point(known: _Letters, wide: Plane, mean: Each, second: Each) -> tuple[Each, Each]:
    """Means where both kinks are zero, seen from the first and from the second."""
    x, y, c, _, a, b, pp, qq, over, _ = known
    h, k, alpha, beta = (
        (0.0,) * 4
        if wide.mean_x is None
        else (wide.x.height, wide.y.height, wide.wedge.alpha, wide.wedge.beta)
    )
    from_x = Each(
        x=times(pp, plus(mean.x, times(-1.0, x, b, c, over, beta))),
        y=times(qq, plus(mean.y, times(-1.0, y, a, c, over, alpha))),
        z1=times(-1.0, plus(times(a, h), times(second.z1, beta))),
        z2=times(-1.0, second.z2, beta),
        u1=times(-1.0, h),
        u2=times(-1.0, beta),
    )
    return from_x, from_x._replace(u1=times(-1.0, k), u2=times(-1.0, alpha))


def _covariances(known: _Letters) -> Table:
    x, y, c, s = known.x, known.y, known.c, known.s
    return {
        (Form.X, Form.X): times(x, x),
        (Form.X, Form.Y): times(x, y, c),
        (Form.X, Form.Z1): x,
        (Form.Z1, Form.Z1): 1.0,
        (Form.Z2, Form.Z2): 1.0,
        (Form.Y, Form.Y): times(y, y),
        (Form.Y, Form.Z1): times(y, c),
        (Form.Y, Form.Z2): times(y, s),
    }


def _perpendicular(known: _Letters) -> Table:
    """Covariances of what is at a right angle to both kinks; without smoothing there is nothing."""
    x, y, c, s, _, b, pp, qq, over, _ = known
    noise = times(over, over)
    z1_z1 = times(pp, plus(times(b, b, s, s), qq), noise)
    z1_z2 = times(-1.0, b, b, c, s, pp, noise)
    y_z1 = times(y, c, pp, qq, noise)
    return {
        (Form.X, Form.X): times(x, x, z1_z1),
        (Form.X, Form.Y): times(x, y_z1),
        (Form.X, Form.Z1): times(x, z1_z1),
        (Form.X, Form.Z2): times(x, z1_z2),
        (Form.Z1, Form.Z1): z1_z1,
        (Form.Z1, Form.Z2): z1_z2,
        (Form.Z2, Form.Z2): times(plus(qq, times(b, b, c, c, pp)), noise),
        (Form.Y, Form.Y): times(y, y, qq, plus(times(c, c, pp), times(s, s)), noise),
        (Form.Y, Form.Z1): y_z1,
        (Form.Y, Form.Z2): times(y, s, qq, noise),
    }


def _both_ways(table: Table) -> Table:
    """A symmetric table; what is not in it is zero, as for the coordinates on the line."""
    full: Table = dict.fromkeys(((i, j) for i in Form for j in Form), 0.0)
    return full | table | {(j, i): value for (i, j), value in table.items()}
