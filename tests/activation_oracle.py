"""Kernels of all activations with their derivatives by mpmath, for the exact floating-point inputs
given.

`Table(corner)` holds `E[f(w·x + μ) g(v·x + ν)]` for every ordered pair of named activations at one
pair of neurons, with gradient and Hessian. The derivatives are moments `E[f⁽ⁱ⁾(X) g⁽ʲ⁾(Y) z₁ᵃ z₂ᵇ]`
of the two standard normal coordinates of the neurons' plane, `X = μ + σz₁`, `Y = ν + λz₁ + rz₂`.
Two routes give them:

- `_integrated`: condition on `z₁`. The average over `z₂` is known, `t_j(z₁) = E g⁽ʲ⁾(m + rZ)`
  (`smoothed`), the rest is Gauss–Legendre quadrature at 60 digits on panels that resolve every kink
  and transition; delta functions of `f`, and of `g` where `r = 0`, are point evaluations. All pairs
  share the nodes, and the sums are products of integer matrices.
- `_tilted`: where one activation is a sine, a cosine or an exponential, `E[e^{qX} h] = e^{qμ +
  q²σ²/2} E[h shifted by qσ]` leaves `smoothed` at a complex mean. It serves norms beyond `WAVY`,
  where quadrature would have to follow each wave.

They share no code with the package, and were written from the definitions. tanh and its kin
(`SOFT`) have no `smoothed` in closed form: a second quadrature in extended precision (19 digits)
gives it. `python -m tests.activation_oracle` checks the oracle against itself (`main`, with what it
printed). Parameters are ordered `w (d), μ, v (d), ν`. `Table.exists` says which derivatives there
are.
"""

import functools
import itertools
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from mpmath import libmp, mp, mpc, mpf

from tests.oracles import Corner, Derivatives, _legendre, _pair_at, _plane, exact, swapped

DIGITS = 60
# The normal density is 1e-56 at 16 deviations. On panels of 1.5 standard deviations the error of 24
# nodes is 1e-50.
REACH, PANEL, NODES = 16, mpf(3) / 2, 24
# Bits of the integers that mpf columns become, below the largest entry.
BITS = 400
WAVY = 40
# tanh′ is 1e-26 at 30, the logistic function's at 60.
SOFT_REACH = 60

CLOSED = (
    "one",
    "x",
    "x2",
    "x3",
    "step",
    "relu",
    "relu2",
    "relu3",
    "erf",
    "gelu",
    "bump",
    "sin",
    "cos",
    "exp",
)
SOFT = ("tanh", "sigmoid", "softplus", "silu")
WAVES = {"sin": (mpc(0, 1), mpc(0, -1)), "cos": (mpc(0, 1), mpc(1)), "exp": (mpc(1), mpc(1))}
KINKS = {"step": 0, "relu": 1, "relu2": 2, "relu3": 3}
# name: {basis: (factor, n)} means a sum of factor/√n · basis
NAMED: dict[str, dict[str, tuple]] = {
    "identity": {"x": (1, 1)},
    "relu": {"relu": (1, 1)},
    "leaky_relu(0.1)": {"x": (0.1, 1), "relu": (1 - Fraction(0.1), 1)},
    "abs": {"relu": (2, 1), "x": (-1, 1)},
    "step": {"step": (1, 1)},
    "sign": {"step": (2, 1), "one": (-1, 1)},
    "rectified_power(2)": {"relu2": (1, 1)},
    "rectified_power(3)": {"relu3": (1, 1)},
    "erf": {"erf": (1, 1)},
    "normal_cdf": {"erf": (0.5, 1), "one": (0.5, 1)},
    "gelu": {"gelu": (1, 1)},
    "sin": {"sin": (1, 1)},
    "cos": {"cos": (1, 1)},
    "exp": {"exp": (1, 1)},
    "bump()": {"bump": (1, 1)},
    "monomial(2)": {"x2": (1, 1)},
    "monomial(3)": {"x3": (1, 1)},
    "hermite(2)": {"x2": (1, 2), "one": (-1, 2)},
    "hermite(3)": {"x3": (1, 6), "x": (-3, 6)},
    "2*relu - identity": {"relu": (2, 1), "x": (-1, 1)},
    "hermite(1) + 0.3*hermite(3)": {
        "x3": (0.3, 6),
        "x": (1 - 0.9 / 6**0.5, 1),
    },  # replaced below, exactly
    **{name: {name: (1, 1)} for name in SOFT},
}
ORDERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
# Which `j` are needed of `E[f⁽ⁱ⁾(X) z₁ᵃ t_j]`.
_NEEDED = {
    (0, 0): (0, 1, 2, 3, 4),
    (0, 1): (1, 2, 3),
    (0, 2): (2,),
    (1, 0): (0, 1, 2, 3),
    (1, 1): (0, 1, 2),
    (1, 2): (1,),
    (2, 0): (0, 1, 2),
    (2, 1): (0, 1),
    (2, 2): (0,),
}


def parts(name: str) -> dict[str, mpf]:
    """The activation as a linear combination of the basis, at the precision in force."""
    if name == "hermite(1) + 0.3*hermite(3)":
        factor = exact(0.3) / mp.sqrt(6)
        return {"x3": factor, "x": 1 - 3 * factor}
    return {basis: _as_mpf(factor) / mp.sqrt(n) for basis, (factor, n) in NAMED[name].items()}


def _as_mpf(x) -> mpf:
    return mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else mpf(x)


def regularity(name: str) -> float:
    """The order of the derivative that jumps at zero."""
    return min((KINKS.get(basis, np.inf) for basis in NAMED[name]), default=np.inf)


# One activation.


def plain(name: str, order: int, x: mpf) -> mpf:
    """The derivative of this order without its delta functions; a jump takes the mean of its
    sides.
    """
    if name in KINKS:
        power, factor = KINKS[name] - order, mp.ff(KINKS[name], order)
        if power < 0:
            return mpf(0)
        return factor * (x**power if x > 0 else (mpf(1) / 2 if x == 0 and power == 0 else mpf(0)))
    if name in SOFT:
        return soft(name, x)[order]
    return smoothed(name, x, mpf(0))[order]


def spikes(name: str, order: int) -> list[tuple[int, int]]:
    """`(factor, k)`: what the derivative of this order has of `δ⁽ᵏ⁾` at zero."""
    k = order - 1 - KINKS.get(name, 10)
    return [(int(mp.factorial(KINKS[name])), k)] if k >= 0 else []


def soft(name: str, x, lib=mp) -> tuple:
    """tanh and its kin with four derivatives, in terms that do not cancel; `lib` is mpmath or
    NumPy.
    """
    scale = 2 if name == "tanh" else 1
    e = lib.exp(-abs(scale * x))
    small, large = e / (1 + e), 1 / (1 + e)  # the logistic function of −|x| and of |x|
    sign = lib.sign(x)
    p = small + (large - small) * (1 + sign) / 2 if lib is not mp else (large if x >= 0 else small)
    q = small * large
    odd = sign * (small - large)  # 1 − 2p
    d = (p, q, q * odd, q * (1 - 6 * q), q * odd * (1 - 12 * q))
    match name:
        case "sigmoid":
            return d
        case "tanh":
            return (-odd, 4 * d[1], 8 * d[2], 16 * d[3], 32 * d[4])
        case "softplus":
            return ((abs(x) + x) / 2 + lib.log1p(e), *d[:4])
        case "silu":
            return (x * d[0], d[0] + x * d[1], *(j * d[j - 1] + x * d[j] for j in (2, 3, 4)))
    raise ValueError(f"no oracle for {name!r}")


def _hermite(j, z):
    """Probabilists' Hermite polynomials up to order four."""
    return (1, z, z * z - 1, z**3 - 3 * z, z**4 - 6 * z * z + 3)[j]


def _density(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def _falling(u, r, count: int) -> list:
    """`Φ(u)` and its derivatives by `ru`: `(−1)ʲ⁻¹ He_{j−1}(u) φ(u)/rʲ`."""
    out = [mp.erfc(-u / mp.sqrt(2)) / 2]
    peak, before, here = _density(u), mpf(0), mpf(1)
    for j in range(1, count):
        out.append((-1) ** (j - 1) * here * peak / r**j)
        before, here = here, u * here - (j - 1) * before
    return out


def everything_smoothed(m, r) -> dict[str, tuple]:
    """`E g⁽ʲ⁾(m + rZ)` for `j = 0 … 4`, by activation (kinked ones for `r > 0` only); `m` may be
    complex.
    """
    zero, one, rr = mpf(0), mpf(1), r * r
    wide = mp.sqrt(1 + rr)
    p = _falling(m / wide, wide, 6)
    shrink, wave, other = mp.exp(-rr / 2), mp.sin(m), mp.cos(m)
    growth = mp.exp(m + rr / 2)
    root = mp.sqrt(2 * mp.pi)
    out = {
        "one": (one, zero, zero, zero, zero),
        "x": (m, one, zero, zero, zero),
        "x2": (m * m + rr, 2 * m, 2 * one, zero, zero),
        "x3": (m**3 + 3 * m * rr, 3 * (m * m + rr), 6 * m, 6 * one, zero),
        "erf": (mp.erf(m / wide / mp.sqrt(2)), *(2 * x for x in p[1:5])),
        "gelu": tuple(m * p[j] + (j * p[j - 1] if j else 0) + rr * p[j + 1] for j in range(5)),
        "bump": tuple(root * x for x in p[1:6]),
        "sin": tuple(shrink * x for x in (wave, other, -wave, -other, wave)),
        "cos": tuple(shrink * x for x in (other, -wave, -other, wave, other)),
        "exp": (growth,) * 5,
    }
    if r > 0:
        s = _falling(m / r, r, 5)
        peak = rr * s[1]  # r φ(m/r)
        relu = (m * s[0] + peak, *s[:4])
        relu2 = ((m * m + rr) * s[0] + m * peak, *(2 * x for x in relu[:4]))
        relu3 = ((m * m + 3 * rr) * m * s[0] + (m * m + 2 * rr) * peak, *(3 * x for x in relu2[:4]))
        out |= {"step": tuple(s), "relu": relu, "relu2": relu2, "relu3": relu3}
    else:
        out |= {
            name: tuple(plain(name, j, m) for j in range(5)) if mp.im(m) == 0 else ()
            for name in KINKS
        }
    return out


def smoothed(name: str, m, r) -> tuple:
    """One entry of `everything_smoothed`."""
    return everything_smoothed(m, r)[name]


def softly_smoothed(name: str, m: list[mpf], r: mpf, kinked: dict[str, list]) -> list[tuple]:
    """The same for tanh and its kin, in extended precision; `kinked` holds step and relu smoothed
    at the same means.

    For `r ≤ 1` over `z`; for larger `r` over `x`, the part that does not decay being a kinked
    function.
    """
    if r == 0:
        return [soft(name, x) for x in m]
    means, width = np.array([_extended(x) for x in m]), _extended(r)
    reach, length = (REACH, 1) if r <= 1 else (SOFT_REACH, 1)
    rule = _legendre(NODES, 40)
    left = np.arange(-reach, reach, length, dtype=np.longdouble)
    node = np.array([_extended((1 + x) / 2) for x, _ in rule])
    weight = np.array([_extended(w / 2) for _, w in rule])
    at, by = (left[:, None] + length * node).ravel(), np.tile(length * weight, len(left))
    root = np.sqrt(2 * np.longdouble(np.pi) + 2 * np.longdouble(1.2246467991473531772e-16))
    sums = np.zeros((5, len(means)), np.longdouble)
    for block in range(0, len(means), 256):
        here = slice(block, block + 256)
        if r <= 1:
            density = by * np.exp(-at * at / 2) / root
            values = soft(name, means[here, None] + width * at, np)
        else:
            u = (at - means[here, None]) / width
            density = by * np.exp(-u * u / 2) / root / width
            values = [x - y for x, y in zip(soft(name, at, np), _hard(name, at), strict=True)]
            # higher derivatives fall on the density: left on the activation they would cancel to
            # 1/r of themselves
            last = 2 if name in ("softplus", "silu") else 1
            values = [
                *values[:last],
                *(
                    values[last] * he / width**k
                    for k, he in enumerate((1, u, u * u - 1, u**3 - 3 * u))
                ),
            ]
        sums[:, here] = [np.sum(density * x, -1) for x in values[:5]]
    out = []
    for n in range(len(m)):
        extra = [mpf(0)] * 5
        if r > 1:
            step, relu = kinked["step"][n], kinked["relu"][n]
            extra[:1] = [{"tanh": 2 * step[0] - 1, "sigmoid": step[0]}.get(name, relu[0])]
            extra[1] = step[0] if name in ("softplus", "silu") else mpf(0)
        out.append(
            tuple(
                mpf(float(x)) + mpf(float(x - float(x))) + y
                for x, y in zip(sums[:, n], extra, strict=True)
            )
        )
    return out


def _hard(name: str, x: np.ndarray) -> list:
    """What tanh and its kin become far away, with derivatives."""
    step, zero = (1 + np.sign(x)) / 2, 0 * x
    match name:
        case "tanh":
            return [np.sign(x), zero, zero, zero, zero]
        case "sigmoid":
            return [step, zero, zero, zero, zero]
    return [x * step, step, zero, zero, zero]


def _extended(x: mpf) -> np.longdouble:
    high = float(x)
    return np.longdouble(high) + np.longdouble(float(x - high))


# Two neurons.


def _mesh(low: mpf, high: mpf, panel: mpf, transitions: list[tuple[mpf, mpf, int]]) -> list[mpf]:
    """Break points: evenly, at each centre, and for `(centre, width, reach)` in units of the width
    around it.
    """
    count = int(mp.ceil((high - low) / panel))
    points = {low + (high - low) * j / count for j in range(count + 1)}
    for centre, width, reach in transitions:
        points.add(centre)
        if width > 0:
            length = min(PANEL, mpf(reach) / 10) if reach <= REACH else mpf(1)
            steps = int(reach / length)
            points |= {
                centre + sign * width * length * j for j in range(1, steps + 1) for sign in (1, -1)
            }
    return sorted(p for p in points if low <= p <= high)


def _nodes(mu: mpf, nu: mpf, plane: tuple, softly: bool) -> list[tuple[mpf, mpf]]:
    """Nodes `z₁` and weights that include the normal density."""
    sigma, tau, cosine, sine = plane[:4]
    slope, r = abs(tau * cosine), tau * sine
    transitions = []
    for centre, steep, widths in (
        (-mu / sigma if sigma else None, sigma, (mpf(0), mpf(1))),
        (-nu / (tau * cosine) if slope else None, slope, (r, mp.sqrt(1 + r * r))),
    ):
        if centre is None or abs(centre) > 10**6:
            continue
        transitions += [(centre, width / steep, REACH) for width in widths if width / steep < 1]
        transitions.append((centre, mpf(0), REACH))
        if softly and steep > 1:
            transitions.append((centre, 1 / steep, SOFT_REACH))
    shift = min(sigma + slope, mpf(12))
    # a sine of slope k is a polynomial on panels of 4/k, to 1e-50
    steepest = max(sigma, slope)
    panel = min(PANEL, 4 / max(steepest, mpf(1))) if steepest <= WAVY else PANEL
    panel = min(panel, mpf(1)) if softly else panel
    points = _mesh(-REACH - shift, REACH + shift, panel, transitions)
    rule = _legendre(NODES, mp.dps)
    out = []
    for left, right in itertools.pairwise(points):
        half = (right - left) / 2
        for x, weight in rule:
            z = left + half * (1 + x)
            out.append((z, half * weight * _density(z)))
    return out


def _column(numbers: list[mpf]) -> tuple[np.ndarray, int]:
    """Integers, and the power of two by which they are too large."""
    top = max((x._mpf_[2] + x._mpf_[3] for x in numbers if x), default=0)
    return np.array([libmp.to_fixed(x._mpf_, BITS - top) for x in numbers], object), BITS - top


class Table:
    """All pairs of named activations at one corner: `table[f, g]` are the `Derivatives`, `f` by `w`
    and `g` by `v`.
    """

    def __init__(
        self, corner: Corner, names: tuple[str, ...] = tuple(NAMED), route: str | None = None
    ):
        self.corner, self.names, self.route = corner, names, route
        with mp.workdps(DIGITS):
            self.mu, self.nu, self.plane = (
                exact(corner.mean_w),
                exact(corner.mean_v),
                _plane(corner.w, corner.v),
            )
            self.wide = max(self.plane[:2]) > WAVY
        self.basis = sorted({basis for name in names for basis in NAMED[name]})

    @functools.cached_property
    def _raw(self) -> dict:
        quadrature = self.basis if not self.wide else [x for x in self.basis if x not in WAVES]
        with mp.workdps(DIGITS):
            return _integrated(self.mu, self.nu, self.plane, quadrature)

    @functools.cached_property
    def turned(self) -> "Table":
        """The same with the neurons exchanged."""
        w, v, mean_w, mean_v = self.corner[1:]
        return Table(Corner(self.corner.name, v, w, mean_v, mean_w), self.names, self.route)

    def _tilts(self, basis: str) -> bool:
        return basis in WAVES and (self.wide if self.route is None else self.route == "tilted")

    def moments(self, f: str, g: str) -> dict | None:
        """`E[f⁽ⁱ⁾(X) z₁ᵃ t_j]` of two members of the basis; `None` where the other order is to be
        taken.
        """
        if self._tilts(f):
            return _tilted(f, g, self.mu, self.nu, self.plane) if g not in SOFT else {}
        if self._tilts(g):
            return None
        return self._raw[f, g]

    def computable(self, f: str, g: str) -> bool:
        """Whether there is an oracle: waves of great norm have none with tanh and its kin,
        exponentials overflow.
        """
        bases = {*NAMED[f], *NAMED[g]}
        if not self.wide:
            return True
        return "exp" not in bases and not (bases & set(WAVES) and bases & set(SOFT))

    def exists(self, f: str, g: str) -> set[tuple[int, int]]:
        """The orders `(i, j)` of derivatives by the first and by the second neuron that exist."""
        sigma, tau, cosine, sine = self.plane[:4]
        p, q = regularity(f), regularity(g)
        out = set(ORDERS)
        if sigma == 0 and self.mu == 0:
            out = {o for o in out if o[0] < p}
        if tau == 0 and self.nu == 0:
            out = {o for o in out if o[1] < q}
        with mp.workdps(DIGITS):
            same_kink = (
                sigma > 0
                and tau > 0
                and sine == 0
                and abs(self.mu * tau * cosine - self.nu * sigma) < 1e-50
            )
        if same_kink:
            top = {0: 0, 1: 1}.get(p + q, 2)
            out = {o for o in out if sum(o) <= top}
        return out

    def half_exists(self, f: str, g: str) -> bool:
        """Whether second derivatives by the weights exist although those by the means don't: a step
        on a ReLU.
        """
        alive = self.plane[0] > 0 and self.plane[1] > 0
        return regularity(f) + regularity(g) == 1 and self.mu == 0 and self.nu == 0 and alive

    def __getitem__(self, pair: tuple[str, str]) -> Derivatives:
        f, g = pair
        with mp.workdps(DIGITS):
            sums: dict = {}
            other = []
            for (p, x), (q, y) in itertools.product(parts(f).items(), parts(g).items()):
                raw = self.moments(p, q)
                if raw is None:
                    other.append((p, q, x * y))
                    continue
                for key, value in raw.items():
                    sums[key] = sums.get(key, mpf(0)) + x * y * value
            value, gradient, hessian = _assemble(sums, self.plane, len(self.corner.w))
            if other:
                back: dict = {}
                for p, q, factor in other:
                    for key, number in self.turned.moments(q, p).items():
                        back[key] = back.get(key, mpf(0)) + factor * number
                a, b, c = _assemble(back, self.turned.plane, len(self.corner.w))
                half = len(b) // 2
                order = [*range(half, 2 * half), *range(half)]
                value += a
                gradient = [x + b[i] for x, i in zip(gradient, order, strict=True)]
                hessian = [
                    [hessian[i][j] + c[order[i]][order[j]] for j in range(2 * half)]
                    for i in range(2 * half)
                ]
            return Derivatives(
                float(value),
                np.array([float(x) for x in gradient]),
                np.array([[float(x) for x in y] for y in hessian]),
            )


def _integrated(mu: mpf, nu: mpf, plane: tuple, basis: list[str]) -> dict:
    """`{(f, g): {(i, a, j): E[f⁽ⁱ⁾(X) z₁ᵃ t_j]}}` by quadrature."""
    sigma, tau, cosine, sine = plane[:4]
    slope, r = tau * cosine, tau * sine
    soft_ones = [x for x in basis if x in SOFT]
    nodes = _nodes(mu, nu, plane, bool(soft_ones))
    closed = [everything_smoothed(nu + slope * z, r) for z, _ in nodes]
    at_x = [everything_smoothed(mu + sigma * z, mpf(0)) for z, _ in nodes]
    softly = {}
    kinked = {name: [row[name] for row in closed] for name in ("step", "relu")} if soft_ones else {}
    for name in soft_ones:
        softly[name] = softly_smoothed(name, [nu + slope * z for z, _ in nodes], r, kinked)
    y_columns = {
        (g, j): _column(
            [row[j] for row in softly[g]] if g in SOFT else [row[g][j] for row in closed]
        )
        for g in basis
        for j in range(5)
    }
    x_columns = {}
    for f in basis:
        rows = (
            [soft(f, mu + sigma * z) for z, _ in nodes] if f in SOFT else [row[f] for row in at_x]
        )
        for i in range(3):
            terms = [row[i] * weight for row, (_, weight) in zip(rows, nodes, strict=True)]
            for a in range(3):
                x_columns[f, i, a] = _column(terms)
                terms = [x * z for x, (z, _) in zip(terms, nodes, strict=True)]
    out: dict = {(f, g): {} for f in basis for g in basis}
    for (i, a), orders in _NEEDED.items():
        left = np.array([x_columns[f, i, a][0] for f in basis])
        wanted = [(g, j) for g in basis for j in orders]
        product = left @ np.array([y_columns[key][0] for key in wanted]).T
        for row, f in enumerate(basis):
            for col, (g, j) in enumerate(wanted):
                shift = x_columns[f, i, a][1] + y_columns[g, j][1]
                out[f, g][i, a, j] = mpf(int(product[row, col])) * mpf(2) ** -shift
    _add_spikes_of_f(out, mu, nu, plane, basis)
    if r == 0:
        _add_spikes_of_g(out, mu, nu, plane, basis)
    return out


def _soft_at(name: str, m: mpf, r: mpf) -> tuple:
    kinked = {x: [smoothed(x, m, r)] for x in ("step", "relu")} if r > 0 else {}
    return softly_smoothed(name, [m], r, kinked)[0]


def _add_spikes_of_f(out: dict, mu: mpf, nu: mpf, plane: tuple, basis: list[str]) -> None:
    sigma, tau, cosine, sine = plane[:4]
    slope, r = tau * cosine, tau * sine
    if sigma == 0:
        return
    z = -mu / sigma
    m = nu + slope * z
    if r == 0 and abs(m) < mpf(10) ** -50 * (abs(nu) + tau):
        m = mpf(0)  # the kinks coincide
    if abs(z) > 10**4:
        return
    level = everything_smoothed(m, r)
    for f in basis:
        if f not in KINKS:
            continue
        for g in basis:
            t = level[g] if g not in SOFT else _soft_at(g, m, r)
            for (i, a), orders in _NEEDED.items():
                for factor, k in spikes(f, i):
                    for j in orders:
                        height = z**a * t[j]
                        if k == 1:  # −d/dz of φ zᵃ t_j, over σ
                            fall = -z * height + (a * z ** (a - 1) * t[j] if a else 0)
                            if j + 1 < len(t):
                                fall += z**a * slope * t[j + 1]
                            height = -fall / sigma
                        out[f, g][i, a, j] += factor * _density(z) / sigma * height


def _add_spikes_of_g(out: dict, mu: mpf, nu: mpf, plane: tuple, basis: list[str]) -> None:
    """Where `Y` moves with `z₁` alone: products of two delta functions are left out (zero, or not
    there).
    """
    sigma, tau, cosine = plane[:3]
    slope = tau * cosine
    if slope == 0:
        return
    z = -nu / slope
    if abs(z) > 10**4:
        return
    x = mu + sigma * z
    if abs(x) < mpf(10) ** -50 * (abs(mu) + sigma):
        x = mpf(0)
    for f in basis:
        for g in basis:
            if g not in KINKS:
                continue
            for (i, a), orders in _NEEDED.items():
                for j in orders:
                    for factor, k in spikes(g, j) if j <= 2 else []:
                        height = z**a * plain(f, i, x)
                        if k == 1:
                            fall = -z * height + (a * z ** (a - 1) * plain(f, i, x) if a else 0)
                            fall += z**a * sigma * plain(f, i + 1, x)
                            height = -fall / slope
                        out[f, g][i, a, j] += factor * _density(z) / abs(slope) * height


def _tilted(f: str, g: str, mu: mpf, nu: mpf, plane: tuple) -> dict:
    """The same for `f = Re κe^{qx}`: `z₁` is shifted by `qσ`, and what is left is Stein's lemma."""
    sigma, tau, cosine = plane[:3]
    slope = tau * cosine
    q, kappa = WAVES[f]
    q, kappa = (q.real, kappa.real) if f == "exp" else (q, kappa)
    t = smoothed(g, nu + q * sigma * slope, tau)
    shift, scale = q * sigma, kappa * mp.exp(q * mu + q * q * sigma * sigma / 2)
    out = {}
    for (i, a), orders in _NEEDED.items():
        for j in orders:
            if a == 0:
                inner = t[j]
            elif a == 1:
                inner = slope * t[j + 1] + shift * t[j]
            else:
                inner = (
                    (1 + shift * shift) * t[j] + 2 * shift * slope * t[j + 1] + slope**2 * t[j + 2]
                )
            out[i, a, j] = mp.re(scale * q**i * inner)
    return out


def _assemble(raw: dict, plane: tuple, dim: int) -> tuple:
    """Value, gradient and Hessian in mpf, from `E[f⁽ⁱ⁾ z₁ᵃ t_j]` by parts over `z₂`."""
    r, first, second = plane[1] * plane[3], [*plane[4], mpf(0)], [*plane[5], mpf(0)]
    constant = [mpf(0)] * dim + [mpf(1)]

    def moment(i, j, a, b):
        base = raw.get((i, a, j), mpf(0))
        if b == 0:
            return base
        if b == 1:
            return r * raw.get((i, a, j + 1), mpf(0))
        return base + r * r * raw.get((i, a, j + 2), mpf(0))

    def gradient(i, j):
        o, p, q = moment(i, j, 0, 0), moment(i, j, 1, 0), moment(i, j, 0, 1)
        return [o * c + p * x + q * y for c, x, y in zip(constant, first, second, strict=True)]

    def block(i, j):
        basis = (constant, first, second)
        o, p, q = moment(i, j, 0, 0), moment(i, j, 1, 0), moment(i, j, 0, 1)
        mixed = moment(i, j, 1, 1)
        # outside the plane the second moment is the mean's
        inside = ((o, p, q), (p, moment(i, j, 2, 0) - o, mixed), (q, mixed, moment(i, j, 0, 2) - o))
        rows = []
        for row in range(dim + 1):
            left = [mp.fsum(basis[m][row] * inside[m][n] for m in range(3)) for n in range(3)]
            rows.append(
                [
                    mp.fsum(left[n] * basis[n][col] for n in range(3))
                    + (o if row == col != dim else 0)
                    for col in range(dim + 1)
                ]
            )
        return rows

    cross = block(1, 1)
    top = [x + y for x, y in zip(block(2, 0), cross, strict=True)]
    bottom = [[cross[i][j] for i in range(dim + 1)] + y for j, y in enumerate(block(0, 2))]
    return moment(0, 0, 0, 0), gradient(1, 0) + gradient(0, 1), top + bottom


@functools.cache
def mean_squares(std: float, mean: float) -> dict[str, tuple[float, float, float]]:
    """`E f⁽ⁱ⁾(X)²` for every named activation, in float64; infinite where there are delta
    functions.
    """
    with mp.workdps(25):
        std, mean = mpf(std), mpf(mean)
        nodes = _nodes(mean, mpf(0), (std, mpf(0), mpf(0), mpf(1)), True)
        weights = np.array([float(w) for _, w in nodes])
        rows = [everything_smoothed(mean + std * z, mpf(0)) for z, _ in nodes]
        values = {
            (f, i): np.array([float(row[f][i]) for row in rows]) for f in CLOSED for i in range(3)
        }
        for name in SOFT:
            levels = [soft(name, mean + std * z) for z, _ in nodes]
            values |= {(name, i): np.array([float(x[i]) for x in levels]) for i in range(3)}
        out = {}
        for name in NAMED:
            squares = []
            for i in range(3):
                with np.errstate(all="ignore"):
                    total = sum(float(x) * values[basis, i] for basis, x in parts(name).items())
                    sharp = std > 0 and i > regularity(name)
                    squares.append(np.inf if sharp else float(np.sum(weights * total**2)))
            out[name] = tuple(squares)
        return out


# Corners: the same numbers for every pair of activations; `mean_w = mean_v = 0` with `biased =
# False` means no biases.


class Given(NamedTuple):
    """A corner, and whether its means are given to the kernel as arrays."""

    corner: Corner
    biased: bool


_AXIS = np.array([0.75, -1.0, 0.0])
_SIDE = np.array([0.0, 0.0, 1.25])


def _leaning(angle: float, sign: float = 1.0, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors at a small angle that leans on a coordinate of its own, so that it is exact."""
    return scale * _AXIS, scale * (sign * _AXIS + angle * _SIDE)


def corners() -> list[Given]:
    """The corners of the table in float64."""
    rng = np.random.default_rng(20261017)
    at = lambda angle, norm_w, norm_v: _pair_at(angle, norm_w, norm_v, rng)  # noqa: E731
    zero, one = np.zeros(3), np.array([0.6, -0.7, 0.4])
    pairs = {
        "generic": at(1.0, 1.3, 0.8),
        "generic obtuse": at(2.2, 0.7, 1.6),
        "orthogonal": (np.array([1.5, 0.5, 0.0]), np.array([-0.5, 1.5, 0.0])),
        "angle 1e-3": at(1e-3, 1.25, 1.25),
        "angle 1e-7": at(1e-7, 1.25, 1.25),
        "angle 1e-12": _leaning(1e-12),
        "angle 1e-15": _leaning(1e-15),
        "angle 1e-3, norms 1 1.7": at(1e-3, 1.0, 1.7),
        "angle 1e-7, norms 1 1.7": at(1e-7, 1.0, 1.7),
        "angle 1e-12, norms 1 1.7": at(1e-12, 1.0, 1.7),
        "parallel up to rounding": (one, 1.7 * one),
        "coincident": at(0.0, 1.0, 1.0),
        "coincident, norms 1 2": at(0.0, 1.0, 2.0),
        "opposite": at(np.pi, 1.0, 1.0),
        "opposite, norms 1 0.5": at(np.pi, 1.0, 0.5),
        "angle pi-1e-3": at(np.pi - 1e-3, 1.25, 0.9),
        "angle pi-1e-7": at(np.pi - 1e-7, 1.25, 0.9),
        "angle pi-1e-12": _leaning(1e-12, -1.0),
        "first zero": (zero, one),
        "second zero": (one, zero),
        "both 1e-8": at(1.0, 1e-8, 1e-8),
        "both 1e-8, angle 1e-7": at(1e-7, 1e-8, 1e-8),
        "norms 1e-8 1": at(1.0, 1e-8, 1.0),
        "norms 1 1e-8": at(1.0, 1.0, 1e-8),
        "norms 5": at(1.0, 5.0, 4.0),
        "norms 1e6": at(1.0, 1e6, 1e6),
        "norms 1e6, angle 1e-7": at(1e-7, 1e6, 1e6),
        "norms 1e6, coincident": at(0.0, 1e6, 1e6),
        "norms 1 1e6": at(1.0, 1.0, 1e6),
    }
    out = [Given(Corner(name, *pair), False) for name, pair in pairs.items()]
    means = {
        (0.0, 0.0): ("generic", "coincident", "opposite"),
        (0.3, 0.3): ("generic", "coincident", "angle 1e-7", "angle 1e-12"),
        (0.3, -0.3): (
            "generic obtuse",
            "orthogonal",
            "angle 1e-3",
            "angle 1e-7",
            "angle 1e-15",
            "coincident",
            "opposite",
            "angle pi-1e-7",
            "first zero",
            "second zero",
            "both 1e-8",
            "norms 1 1e-8",
            "norms 1e6",
            "norms 1e6, angle 1e-7",
        ),
        (0.0, 0.3): ("generic", "angle 1e-3, norms 1 1.7", "both 1e-8"),
        (5.0, -5.0): (
            "generic",
            "orthogonal",
            "angle 1e-3",
            "coincident",
            "opposite",
            "angle pi-1e-3",
            "first zero",
        ),
        (-5.0, -5.0): ("generic obtuse", "angle 1e-7", "norms 1e-8 1", "norms 1 1e6"),
        (-2.0, 5.0): ("generic", "angle pi-1e-7"),
    }
    for (mean_w, mean_v), names in means.items():
        for name in names:
            out.append(
                Given(
                    Corner(f"{name}, means {mean_w:g} {mean_v:g}", *pairs[name], mean_w, mean_v),
                    True,
                )
            )
    return out


def single_corners() -> list[Given]:
    """The corners of the table in float32: numbers that it holds."""
    rng = np.random.default_rng(20261018)
    pairs = {
        "generic": tuple(rng.normal(size=(2, 3))),
        "orthogonal": (np.array([1.5, 0.5, 0.0]), np.array([-0.5, 1.5, 0.0])),
        "angle 1e-3": _leaning(1e-3),
        "angle 1e-6": _leaning(1e-6),
        "coincident": _leaning(0.0),
        "opposite": _leaning(0.0, -1.0),
        "angle pi-1e-3": _leaning(1e-3, -1.0),
        "first zero": (0 * _AXIS, _AXIS),
        "second zero": (_AXIS, 0 * _AXIS),
        "both 1e-4": tuple(1e-4 * rng.normal(size=(2, 3))),
        "norms 1e-4 1": (1e-4 * rng.normal(size=3), rng.normal(size=3)),
        "norms 1e4": tuple(1e4 * rng.normal(size=(2, 3))),
        "norms 1e4, angle 1e-3": _leaning(1e-3, 1.0, 1e4),
        "norms 1e4, coincident": _leaning(0.0, 1.0, 1e4),
    }
    means = {
        (0.3, 0.3): ("generic", "coincident", "angle 1e-3"),
        (0.3, -0.3): (
            "generic",
            "angle 1e-6",
            "opposite",
            "first zero",
            "both 1e-4",
            "norms 1e4, angle 1e-3",
        ),
        (5.0, -5.0): ("generic", "angle pi-1e-3"),
        (-2.0, 5.0): ("generic",),
    }
    every = [(name, pair, 0.0, 0.0, False) for name, pair in pairs.items()]
    every += [
        (f"{n}, means {a:g} {b:g}", pairs[n], a, b, True)
        for (a, b), names in means.items()
        for n in names
    ]
    single = lambda x: np.float32(x).astype(np.float64)  # noqa: E731
    return [
        Given(Corner(name, single(w), single(v), float(single(a)), float(single(b))), biased)
        for name, (w, v), a, b, biased in every
    ]


# Checks of the oracle against itself.


def _difference(x: Derivatives, y: Derivatives) -> float:
    """The largest difference, relative to the largest number of its kind (values: or of the
    gradient).
    """
    level = max(abs(x.value), float(np.abs(x.gradient).max()), 1e-300)
    gaps = [abs(x.value - y.value) / level, float(np.abs(x.gradient - y.gradient).max()) / level]
    return max(
        *gaps,
        float(np.abs(x.hessian - y.hessian).max()) / max(float(np.abs(x.hessian).max()), level),
    )


def against_turned(corner: Corner, names: tuple[str, ...]) -> float:
    """Condition on the first neuron, and on the second."""
    table = Table(corner, names)
    pairs = [(f, g) for f in names for g in names if len(table.exists(f, g)) == 6]
    return max(_difference(table[f, g], swapped(table.turned[g, f])) for f, g in pairs)


def against_tilted(corner: Corner, names: tuple[str, ...]) -> float:
    """Quadrature of waves, and their tilting."""
    one, other = Table(corner, names, "integrated"), Table(corner, names, "tilted")
    return max(_difference(one[f, g], other[f, g]) for f in WAVES for g in names if g not in SOFT)


def against_closed_forms(corner: Corner) -> float:
    """Arccosine, arcsine, hyperbolic sine, exponential and Isserlis' polynomials, without means;
    values only.
    """
    table = Table(corner, tuple(name for name in NAMED if name not in SOFT))
    with mp.workdps(DIGITS):
        sigma, tau, cosine, sine = table.plane[:4]
        s, t, c = sigma**2, tau**2, sigma * tau * cosine
        known = {
            ("relu", "relu"): sigma
            * tau
            * (sine + (mp.pi - mp.acos(cosine)) * cosine)
            / (2 * mp.pi),
            ("step", "step"): (mp.pi - mp.acos(cosine)) / (2 * mp.pi),
            ("erf", "erf"): 2 / mp.pi * mp.asin(c / mp.sqrt((1 + s) * (1 + t))),
            ("bump", "bump"): 1 / mp.sqrt((1 + s) * (1 + t) - c * c),
            ("sin", "sin"): mp.exp(-(s + t) / 2) * mp.sinh(c),
            ("cos", "cos"): mp.exp(-(s + t) / 2) * mp.cosh(c),
            ("exp", "exp"): mp.exp((s + t) / 2 + c),
            ("x", "sin"): c * mp.exp(-t / 2),
            ("x2", "x2"): s * t + 2 * c * c,
            ("x3", "x3"): 9 * s * t * c + 6 * c**3,
            ("relu2", "x2"): (s * t + 2 * c * c) / 2,
        }
        return max(
            float(abs(table._raw[pair][0, 0, 0] / value - 1)) for pair, value in known.items()
        )


def against_differences(names: tuple[str, ...]) -> float:
    """Directional first and second derivatives, and Richardson's differences of values at 60
    digits.
    """
    point, along = (
        np.array([12, -7, 3, 5, -4, 9, 8, -3.0]) / 16,
        np.array([3, 1, -2, 4, -1, 2, 3, -5.0]) / 4,
    )
    values = {}
    for n in (-4, -2, -1, 0, 1, 2, 4):
        w, mu, v, nu = np.split(point + n * along / 2**12, (3, 4, 7))
        values[n] = Table(Corner("", w, v, float(mu[0]), float(nu[0])), names)
    worst = 0.0
    with mp.workdps(DIGITS):
        h = mpf(2) ** -12
        for f, g in itertools.product(names, names):
            at = {
                n: mp.fsum(
                    x * y * table.moments(p, q)[0, 0, 0]
                    for (p, x), (q, y) in itertools.product(parts(f).items(), parts(g).items())
                )
                for n, table in values.items()
            }
            first = [(at[n] - at[-n]) / (2 * n * h) for n in (1, 2, 4)]
            second = [(at[n] - 2 * at[0] + at[-n]) / (n * h) ** 2 for n in (1, 2, 4)]
            best = [(64 * x - 20 * y + z) / 45 for x, y, z in (first, second)]
            d = values[0][f, g]
            level = max(abs(d.gradient).max(), abs(d.hessian).max())
            gaps = d.gradient @ along - float(best[0]), along @ d.hessian @ along - float(best[1])
            worst = max(worst, *(abs(x) / level for x in gaps))
    return worst


def against_one_dimension() -> float:
    """`smoothed` and `softly_smoothed`, and quadrature of the activation itself with derivatives by
    differences.
    """
    worst = 0.0
    with mp.workdps(30):
        for m, r in ((mpf("0.37"), mpf("0.8")), (mpf("-1.3"), mpf("2.5"))):
            for name in CLOSED[1:] + SOFT:
                ours = _soft_at(name, m, r) if name in SOFT else smoothed(name, m, r)
                span = [-12, -6, -3, -m / r, 0, 3, 6, 12]
                kernel = lambda z, name=name, m=m, r=r: plain(name, 0, m + r * z) * _density(z)  # noqa: E731
                for j in range(5):
                    # E g⁽ʲ⁾ = E g He_j(Z)/rʲ: Stein
                    hermite = functools.partial(_hermite, j)
                    true = (
                        mp.quad(lambda z, k=kernel, he=hermite: k(z) * he(z), sorted(span)) / r**j
                    )
                    worst = max(worst, float(abs(true - ours[j]) / max(abs(true), 1)))
    return worst


def main() -> None:
    """Print how far apart the routes are: minutes.

    5e-19 (tanh and its kin; the others 30 digits), 8e-46, 0, 2e-17 (tanh and its kin), 0 and 1e-15
    (its differences end in float64) in this order.
    """
    rng = np.random.default_rng(1)
    closed = tuple(name for name in NAMED if name not in SOFT)
    generic = Corner("generic", *rng.normal(size=(2, 3)), 0.3, -0.2)
    near = Corner("near", generic.w, generic.w + 1e-7 * generic.v, 0.3, 0.1)
    print(f"one dimension: {against_one_dimension():.1e}", flush=True)
    print(f"closed forms: {against_closed_forms(Corner('', generic.w, generic.v)):.1e}", flush=True)
    print(f"waves by tilting: {against_tilted(generic, closed):.1e}", flush=True)
    print(f"the other neuron first: {against_turned(generic, tuple(NAMED)):.1e}", flush=True)
    print(f"the other neuron first, angle 1e-7: {against_turned(near, closed):.1e}", flush=True)
    print(f"differences: {against_differences(closed):.1e}", flush=True)


if __name__ == "__main__":
    main()
