"""Kernels, normal probabilities and their derivatives by mpmath, for the exact floating-point
inputs given.

Two routes that share no formula with the package or with each other:

- `closed_form` and its central differences (240 digits, step 1e-40): pairs without means;
- `conditioned` (50 digits): Gauss–Legendre quadrature over the first pre-activation of the
  expectations that differentiation under the integral sign gives, the second one averaged by hand
  in one dimension. It serves all pairs with means, needs up to seconds for a pair of neurons, and
  is therefore kept in `oracle_values.json`, which `python -m tests.oracles` (from the root of the
  repository) writes anew together with the inputs.

The tests compare the two routes, and the quadrature with differences of itself, at generic points.
Parameters are ordered `w (d), μ, v (d), ν`. A ReLU with neither norm nor mean has derivative zero.
"""

import functools
import itertools
import json
import pathlib
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import scipy.special
from mpmath import mp, mpf

DIM = 3
STEP = mpf(10) ** -40
STORE = pathlib.Path(__file__).with_name("oracle_values.json")
STORED_PAIRS = (("relu", "relu"), ("relu", "erf"), ("erf", "erf"))
# The normal density is 1e-49 at 15 deviations and erfc 1e-57 at 16; what lies beyond is not
# integrated.
REACH, SATURATED = 15, 16


class Corner(NamedTuple):
    """Two neurons, in exact floating-point numbers; `w` and `v` of shape `(3,)`."""

    name: str
    w: np.ndarray
    v: np.ndarray
    mean_w: float = 0.0
    mean_v: float = 0.0


class Derivatives(NamedTuple):
    """Value, gradient `(2d + 2,)` and Hessian `(2d + 2, 2d + 2)` in float64, rounded once at the
    end.
    """

    value: float
    gradient: np.ndarray
    hessian: np.ndarray


def exact(x) -> mpf:
    """The very number that a float holds, as long as the working precision exceeds 53 bits."""
    return mpf(float(x))


def swapped(oracle: Derivatives) -> Derivatives:
    """The same for the two neurons exchanged."""
    half = len(oracle.gradient) // 2
    order = np.r_[half : 2 * half, 0:half]
    return Derivatives(oracle.value, oracle.gradient[order], oracle.hessian[np.ix_(order, order)])


def is_dead(name: str, weights, mean) -> bool:
    """A homogeneous neuron that is zero everywhere, where no derivative exists."""
    return name == "relu" and mean == 0 and not np.any(weights)


# Pairs without means: closed forms, and differences of them.


def closed_form(f: str, g: str, s: mpf, t: mpf, c: mpf) -> mpf:
    """`E[f(X) g(Y)]` for variances `s`, `t` and covariance `c`, means zero (checked against
    quadrature).
    """
    match f, g:
        case "relu", "relu":
            if s <= 0 or t <= 0:
                return mpf(0)
            cosine = c / mp.sqrt(s * t)
            angle = mp.acos(max(mpf(-1), min(mpf(1), cosine)))
            return (mp.sqrt(max(s * t - c * c, 0)) + (mp.pi - angle) * c) / (2 * mp.pi)
        case "relu", "erf":
            return c / mp.sqrt(2 * mp.pi * (1 + t))
        case "erf", "erf":
            return 2 / mp.pi * mp.asin(c / mp.sqrt((1 + s) * (1 + t)))
        case "gelu", "gelu":  # Stein's lemma twice
            density = 1 / (2 * mp.pi * mp.sqrt((1 + s) * (1 + t) - c * c))
            level = mpf(1) / 4 + mp.asin(c / mp.sqrt((1 + s) * (1 + t))) / (2 * mp.pi)
            return c * level + density * (s * t + c * c * (1 / (1 + s) + 1 / (1 + t) - 1))
        case "relu", "identity":
            return c / 2
        case "erf", "identity":
            return 2 * c / mp.sqrt(2 * mp.pi * (1 + s))
        case "identity", "identity":
            return c
    return closed_form(g, f, t, s, c)


def centred(f: str, g: str, w, v) -> Derivatives:
    """Value and derivatives by the weights alone (`2d` of them), by central differences of the
    closed form.
    """

    def kernel(w, v):
        return closed_form(f, g, _dot(w, w), _dot(v, v), _dot(w, v))

    with mp.workdps(240):
        return _differences(
            kernel, [*map(exact, w)], [*map(exact, v)], is_dead(f, w, 0) or is_dead(g, v, 0)
        )


def _dot(x, y) -> mpf:
    return mp.fsum(a * b for a, b in zip(x, y, strict=True))


def affine(f: str, g: str, w, v, mean_w: float, mean_v: float) -> Derivatives:
    """A pair of which one is the identity, with means: differences of a closed form (checked
    against quadrature).
    """
    if f != "identity":
        return swapped(affine(g, f, v, w, mean_v, mean_w))

    def kernel(w, v):
        (*w, mu), (*v, nu) = w, v
        value, slope = _smoothed(g, nu, mp.sqrt(_dot(v, v)))[:2]
        return mu * value + _dot(w, v) * slope

    with mp.workdps(240):
        w, v = [*map(exact, w), exact(mean_w)], [*map(exact, v), exact(mean_v)]
        return _differences(kernel, w, v, is_dead(g, v[:-1], v[-1]))


def _differences(kernel, x, y, dead: bool) -> Derivatives:
    """Central differences of `kernel(x, y)` at the precision in force."""
    at = [*x, *y]
    size = len(at)

    def moved(*moves):
        z = list(at)
        for place, amount in moves:
            z[place] = z[place] + amount
        return kernel(z[: len(x)], z[len(x) :])

    value = moved()
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    if dead:
        return Derivatives(float(value), gradient, hessian)
    for i in range(size):
        up, down = moved((i, STEP)), moved((i, -STEP))
        gradient[i] = (up - down) / (2 * STEP)
        hessian[i, i] = (up - 2 * value + down) / STEP**2
        for j in range(i):
            same = moved((i, STEP), (j, STEP)) + moved((i, -STEP), (j, -STEP))
            crossed = moved((i, STEP), (j, -STEP)) + moved((i, -STEP), (j, STEP))
            hessian[i, j] = hessian[j, i] = (same - crossed) / (4 * STEP**2)
    return Derivatives(float(value), gradient, hessian)


# Pairs with means: condition on the first pre-activation.


@functools.cache
def _legendre(count: int, digits: int) -> list[tuple[mpf, mpf]]:
    """Nodes and weights of the Gauss–Legendre rule on [−1, 1], by Newton's method from the float64
    ones.
    """
    with mp.workdps(digits + 10):
        rule = []
        for start in np.polynomial.legendre.leggauss(count)[0]:
            x = mpf(start)
            for _ in range(4):
                below, here = mpf(1), x
                for n in range(1, count):
                    below, here = here, ((2 * n + 1) * x * here - n * below) / (n + 1)
                slope = count * (x * here - below) / (x * x - 1)
                x -= here / slope
            rule.append((x, 2 / ((1 - x * x) * slope * slope)))
        return rule


def _mesh(low: mpf, high: mpf, transitions: list[tuple[mpf, mpf]]) -> list[mpf]:
    """Break points half a unit apart, and as many as a transition `(centre, width)` is wide around
    each of them.
    """
    points = {low, high}
    points |= {low + mpf(j) / 2 for j in range(1, int(2 * (high - low)) + 1)}
    for centre, width in transitions:
        points |= {centre + width * j / 2 for j in range(-2 * SATURATED, 2 * SATURATED + 1)}
        points.add(centre)
    return sorted(p for p in points if low <= p <= high)


def _density(x: mpf) -> mpf:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def _distribution(x: mpf) -> mpf:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def _smoothed(name: str, m: mpf, r: mpf) -> tuple:
    """`E g^(j)(m + r·Z)` for `j = 0 … 4`, `Z` standard normal (for `r = 0` without ReLU's
    spikes).
    """
    zero = mpf(0)
    match name:
        case "identity":
            return m, mpf(1), zero, zero, zero
        case "relu":
            if r == 0 or abs(m) > SATURATED * r:
                return (m, mpf(1), zero, zero, zero) if m > 0 else (zero,) * 5
            u = m / r
            below, peak = _distribution(u), _density(u)
            return (
                m * below + r * peak,
                below,
                peak / r,
                -u * peak / r**2,
                (u * u - 1) * peak / r**3,
            )
        case "erf":
            scale = mp.sqrt(1 + r * r)
            u = m / scale
            if abs(u) > SATURATED:
                return mp.sign(u), zero, zero, zero, zero
            peak = 2 * _density(u) / scale
            return (
                mp.erf(u / mp.sqrt(2)),
                peak,
                -u * peak / scale,
                (u * u - 1) * peak / scale**2,
                (3 * u - u**3) * peak / scale**3,
            )
    raise ValueError(f"no oracle for {name!r}")


_ORDERS = {(0, 0): 0, (1, 0): 1, (0, 1): 1, (2, 0): 2, (1, 1): 2, (0, 2): 2}
_KEYS = [
    (i, j, a, b)
    for (i, j), top in _ORDERS.items()
    for a in range(top + 1)
    for b in range(top + 1 - a)
]


def _exact_dot(x, y) -> Fraction:
    return sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, y, strict=True))


def _plane(w, v) -> tuple:
    """Lengths, cosine, sine and an orthonormal basis: first along `w`, second across, towards
    `v`.
    """
    ss, tt, ww_vv = _exact_dot(w, w), _exact_dot(v, v), _exact_dot(w, v)
    as_mpf = lambda q: mpf(q.numerator) / q.denominator  # noqa: E731
    sigma, tau = mp.sqrt(as_mpf(ss)), mp.sqrt(as_mpf(tt))
    w, v = [exact(x) for x in w], [exact(x) for x in v]
    gap = as_mpf(ss * tt - ww_vv**2)
    if sigma > 0 and tau > 0:
        cosine, sine = as_mpf(ww_vv) / (sigma * tau), mp.sqrt(gap) / (sigma * tau)
    else:
        cosine, sine = mpf(0), mpf(1)
    first = (
        [x / sigma for x in w]
        if sigma > 0
        else _across([x / tau for x in v] if tau > 0 else [1, 0, 0])
    )
    if tau > 0 and sine > 0:
        second = [(y / tau - cosine * x) / sine for x, y in zip(first, v, strict=True)]
    else:
        second = _across(first)
    return sigma, tau, cosine, sine, first, second


def _across(unit: list) -> list:
    """Some unit vector at a right angle to this one."""
    axis = min(range(len(unit)), key=lambda i: abs(unit[i]))
    rest = [(1 if i == axis else 0) - unit[axis] * x for i, x in enumerate(unit)]
    length = mp.sqrt(_dot(rest, rest))
    return [x / length for x in rest]


def _moments(f: str, g: str, mu: mpf, nu: mpf, plane: tuple, keys=_KEYS) -> dict:
    """`E[f^(i)(X) g^(j)(Y) z₁^a z₂^b]` for `X = μ + σz₁`, `Y = ν + τ(cos z₁ + sin z₂)`."""
    sigma, tau, cosine, sine = plane[:4]
    r = tau * sine

    def of_y(z1):
        """`E[g^(j)(Y) z₂^b]` given `z₁`, by parts where `b > 0`."""
        t = _smoothed(g, nu + tau * cosine * z1, r)
        return [
            [t[j], r * t[j + 1] if j < 4 else 0, t[j] + r * r * t[j + 2] if j < 3 else 0]
            for j in range(3)
        ]

    low, high, transitions = mpf(-REACH), mpf(REACH), []
    if f == "relu" and sigma > 0:
        low = max(low, -mu / sigma)
        high = max(high, low + 9)
    elif f == "erf" and sigma > 1:
        transitions.append((-mu / sigma, 1 / sigma))
    slope = abs(tau * cosine)
    if slope > 0 and g != "identity":
        width = (mp.sqrt(1 + r * r) if g == "erf" else r) / slope
        transitions.append((-nu / (tau * cosine), min(width, mpf(1))))
    total = dict.fromkeys(keys, mpf(0))
    points = _mesh(low, high, transitions)
    for left, right in itertools.pairwise(points):
        half = (right - left) / 2
        for node, weight in _legendre(24, mp.dps):
            z1 = left + half * (1 + node)
            ys = of_y(z1)
            xs = _plain(f, mu + sigma * z1)
            here = half * weight * _density(z1)
            powers = (here, here * z1, here * z1 * z1)
            for i, j, a, b in keys:
                if xs[i]:
                    total[i, j, a, b] += powers[a] * xs[i] * ys[j][b]
    if f == "relu" and sigma > 0:  # f″ is a spike at X = 0
        z1 = -mu / sigma
        ys = of_y(z1)
        for key in keys:
            if key[0] == 2:
                total[key] = _density(z1) / sigma * z1 ** key[2] * ys[0][key[3]]
    if g == "relu" and tau > 0 and r == 0:  # g″ is a spike at Y = 0, which only z₁ moves
        z1 = -nu / (tau * cosine)
        for key in keys:
            if key[1] == 2:
                total[key] = (
                    _density(z1)
                    / tau
                    * z1 ** key[2]
                    * _plain(f, mu + sigma * z1)[0]
                    * (key[3] != 1)
                )
    return total


def _plain(name: str, x: mpf) -> tuple:
    """The activation and two derivatives, without ReLU's spike."""
    return _smoothed(name, x, mpf(0))[:3]


def conditioned_value(f: str, g: str, w, v, mean_w, mean_v, digits: int = 50) -> mpf:
    """`E[f(w·x + μ) g(v·x + ν)]` by quadrature."""
    with mp.workdps(digits):
        return _moments(f, g, mpf(mean_w), mpf(mean_v), _plane_of_mpf(w, v), keys=[(0, 0, 0, 0)])[
            0, 0, 0, 0
        ]


def _plane_of_mpf(w, v) -> tuple:
    """As `_plane`, for numbers that are not floats."""
    if all(isinstance(x, float | np.floating) for x in (*w, *v)):
        return _plane(w, v)
    sigma, tau = mp.sqrt(_dot(w, w)), mp.sqrt(_dot(v, v))
    cosine = _dot(w, v) / (sigma * tau)
    return sigma, tau, cosine, mp.sqrt(1 - cosine * cosine)


def conditioned(f: str, g: str, w, v, mean_w: float, mean_v: float) -> Derivatives:
    """Value and derivatives by weights and means, by quadrature of the differentiated integrand."""
    size = len(w) + 1
    if is_dead(f, w, mean_w) or is_dead(g, v, mean_v):
        return Derivatives(0.0, np.zeros(2 * size), np.zeros((2 * size, 2 * size)))
    with mp.workdps(50):
        plane = _plane(w, v)
        m = _moments(f, g, exact(mean_w), exact(mean_v), plane)
        # and the mean is a weight on the constant 1
        frame = [[*plane[4], mpf(0)], [*plane[5], mpf(0)]]
        constant = [mpf(0)] * (size - 1) + [mpf(1)]

        def gradient(i, j):
            return [
                m[i, j, 0, 0] * o + m[i, j, 1, 0] * p + m[i, j, 0, 1] * q
                for o, p, q in zip(constant, *frame, strict=True)
            ]

        def block(i, j):
            basis = [constant, *frame]
            second = [
                [m[i, j, 0, 0], m[i, j, 1, 0], m[i, j, 0, 1]],
                [m[i, j, 1, 0], m[i, j, 2, 0], m[i, j, 1, 1]],
                [m[i, j, 0, 1], m[i, j, 1, 1], m[i, j, 0, 2]],
            ]
            out = np.zeros((size, size))
            for row, column in itertools.product(range(size), repeat=2):
                inside = mp.fsum(
                    second[p][q] * basis[p][row] * basis[q][column]
                    for p, q in itertools.product(range(3), repeat=2)
                )
                outside = (row == column) - mp.fsum(
                    vector[row] * vector[column] for vector in basis
                )
                out[row, column] = inside + m[i, j, 0, 0] * outside
            return out

        cross = block(1, 1)
        hessian = np.block([[block(2, 0), cross], [cross.T, block(0, 2)]])
        slopes = np.array([float(x) for x in (*gradient(1, 0), *gradient(0, 1))])
        return Derivatives(float(m[0, 0, 0, 0]), slopes, hessian)


@functools.cache
def root_mean_square(f: str, std: float, mean: float) -> float:
    """`√E f(X)²`, the scale that errors of values are relative to: float64 suffices, and is 1000
    times faster.
    """
    low, transitions = -float(REACH), []
    if f == "relu" and std > 0:
        low = max(low, -mean / std)
    elif f == "erf" and std > 1:
        transitions = [(mpf(-mean / std), mpf(1 / std))]
    edges = np.array(
        [float(edge) for edge in _mesh(mpf(low), mpf(max(REACH, low + 9)), transitions)]
    )
    nodes, weights = np.polynomial.legendre.leggauss(16)
    half = np.diff(edges)[:, None] / 2
    z = edges[:-1, None] + half * (1 + nodes)
    x = mean + std * z
    values = {"identity": x, "relu": np.maximum(x, 0), "erf": scipy.special.erf(x / 2**0.5)}[f]
    return float(
        np.sqrt(np.sum(half * weights * np.exp(-z * z / 2) * values**2) / (2 * np.pi) ** 0.5)
    )


def quadrant(h: float, k: float, cosine: mpf, sine: mpf) -> mpf:
    """`P(X > 0, Y > 0)` for standardised means `h`, `k`."""
    with mp.workdps(35):
        plane = (mpf(1), mpf(1), cosine, sine)
        return _moments("relu", "relu", mpf(h), mpf(k), plane, keys=[(1, 1, 0, 0)])[1, 1, 0, 0]


# Corners.


def _pair_at(
    angle: float, norm_w: float, norm_v: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors of a random plane at about this angle, multiples of one vector at 0 and at π."""
    w, other = rng.normal(size=(2, DIM))
    w /= np.linalg.norm(w)
    other -= (other @ w) * w
    other /= np.linalg.norm(other)
    if angle in (0.0, np.pi):  # powers of two keep multiples exact
        w = np.ldexp(w, round(np.log2(norm_w)))
        ratio = 2.0 ** round(np.log2(norm_v / norm_w))
        return w, (-w if angle else w) * ratio
    sign = 1.0 if angle < 2 else -1.0
    bend = angle if sign > 0 else np.pi - angle
    return norm_w * w, norm_v * (sign * np.cos(bend) * w + np.sin(bend) * other)


ANGLES = {
    "coincident": 0.0,
    "opposite": np.pi,
    **{f"angle 1e-{p}": 10.0**-p for p in (3, 6, 9, 12)},
    **{f"angle pi-1e-{p}": np.pi - 10.0**-p for p in (3, 6, 9, 12)},
    "angle 1": 1.0,
    "angle 2": 2.0,
}
NORMS = ((1.0, 1.0), (1e6, 1e6), (1e-6, 1.0), (1e-6, 1e6), (1e-6, 1e-6), (1.0, 1e6))


def centred_corners() -> list[Corner]:
    """Pairs without means."""
    rng = np.random.default_rng(20220817)
    out = [
        Corner(f"{name}, norms {norms[0]:g} {norms[1]:g}", *_pair_at(angle, *norms, rng))
        for norms in NORMS
        for name, angle in ANGLES.items()
    ]
    zero, one = np.zeros(DIM), rng.normal(size=DIM)
    out += [
        Corner("both zero", zero, zero),
        Corner("first zero", zero, one),
        Corner("second zero", one, zero),
    ]
    out += [Corner("orthogonal", np.array([1.5, 0.5, 0.0]), np.array([-0.5, 1.5, 0.0]))]
    out += [Corner("axes", np.array([0.0, 2.0, 0.0]), np.array([0.0, 0.0, -3.0]))]
    out += [Corner("parallel up to rounding", one, 0.1 * one)]
    return out


def mean_corners() -> list[Corner]:
    """Pairs with means, zero among them."""
    rng = np.random.default_rng(20231102)
    out = []
    sets = {
        (1.0, 1.0): [
            (0.0, 0.0),
            (0.3, 0.3),
            (0.3, -0.3),
            (0.0, 0.3),
            (5.0, -5.0),
            (-5.0, -5.0),
            (5.0, 0.3),
        ],
        (1e6, 1e6): [(0.0, 0.0), (0.3, 0.3), (-5.0, 0.3)],
        (1e-6, 1.0): [(0.0, 0.0), (0.3, -0.3)],
        (1.0, 1e6): [(-0.3, 5.0)],
    }
    names = ("coincident", "opposite", "angle 1e-6", "angle 1e-12", "angle pi-1e-6", "angle 1")
    for norms, means in sets.items():
        for mean_w, mean_v in means:
            for name in names[:4] if norms == (1.0, 1e6) else names:
                title = f"{name}, norms {norms[0]:g} {norms[1]:g}, means {mean_w:g} {mean_v:g}"
                out.append(Corner(title, *_pair_at(ANGLES[name], *norms, rng), mean_w, mean_v))
    w, v = _pair_at(1e-3, 1.0, 2.0, rng)
    out.append(Corner("angle 1e-3, one kink", w, v, -0.25, -0.5))
    out.append(
        Corner(
            "orthogonal, means 0.3 -5",
            np.array([1.5, 0.5, 0.0]),
            np.array([-0.5, 1.5, 0.0]),
            0.3,
            -5.0,
        )
    )
    zero = np.zeros(DIM)
    for mean_w, mean_v in ((0.3, -0.3), (-0.3, 0.3), (0.0, 0.3), (5.0, 0.0)):
        out.append(Corner(f"first zero, means {mean_w:g} {mean_v:g}", zero, w, mean_w, mean_v))
        out.append(Corner(f"second zero, means {mean_w:g} {mean_v:g}", w, zero, mean_w, mean_v))
        out.append(Corner(f"both zero, means {mean_w:g} {mean_v:g}", zero, zero, mean_w, mean_v))
    return out


def single_corners() -> list[Corner]:
    """Pairs in numbers that float32 holds exactly; small angles lean on a coordinate of their
    own.
    """
    rng = np.random.default_rng(20260404)
    out = []
    base = np.array([0.75, -1.0, 0.0])
    across = np.array([0.0, 0.0, 1.25])
    for mean_w, mean_v in ((0.0, 0.0), (0.3, 0.3), (0.3, -0.3), (5.0, -5.0), (-5.0, 0.3)):
        pairs = {f"angle {e:g}": (base, base + e * across) for e in (0.0, 1e-3, 1e-6, 1e-12)}
        pairs |= {"opposite": (base, -base), "angle pi-1e-6": (base, -base + 1e-6 * across)}
        pairs["generic"] = tuple(rng.normal(size=(2, DIM)))
        pairs["norms 1e6, angle 1e-6"] = (1e6 * base, 1e6 * base + across)
        pairs["norms 1e-6 1e6"] = (1e-6 * rng.normal(size=DIM), 1e6 * rng.normal(size=DIM))
        pairs["first zero"] = (0 * base, base)
        for name, (w, v) in pairs.items():
            numbers = [np.float32(x).astype(np.float64) for x in (w, v, mean_w, mean_v)]
            title = f"single, {name}, means {mean_w:g} {mean_v:g}"
            out.append(Corner(title, numbers[0], numbers[1], float(numbers[2]), float(numbers[3])))
    return out


# The store.


def _packed(oracle: Derivatives) -> list[float]:
    rows = np.triu_indices(len(oracle.gradient))
    return [oracle.value, *oracle.gradient.tolist(), *oracle.hessian[rows].tolist()]


def unpacked(numbers: list[float], size: int = 2 * DIM + 2) -> Derivatives:
    """What `_packed` packed: value, gradient, upper triangle of the Hessian."""
    hessian = np.zeros((size, size))
    hessian[np.triu_indices(size)] = numbers[1 + size :]
    hessian = np.triu(hessian) + np.triu(hessian, 1).T
    return Derivatives(numbers[0], np.array(numbers[1 : 1 + size]), hessian)


class Stored(NamedTuple):
    """A corner with means and its oracles by the names of the two activations."""

    corner: Corner
    oracles: dict[tuple[str, str], Derivatives]


@functools.cache
def stored(family: str) -> list[Stored]:
    """The entries of one family, `double` or `single`, inputs included."""
    out = []
    for entry in json.loads(STORE.read_text())[family]:
        name, w, v, mean_w, mean_v = entry["corner"]
        corner = Corner(name, np.array(w), np.array(v), mean_w, mean_v)
        out.append(
            Stored(corner, {tuple(k.split()): unpacked(x) for k, x in entry["oracles"].items()})
        )
    return out


def main() -> None:
    """Write the store: minutes."""
    families = {"double": mean_corners(), "single": single_corners()}
    store = {}
    for family, corners in families.items():
        store[family] = []
        for corner in corners:
            entry = [
                corner.name,
                corner.w.tolist(),
                corner.v.tolist(),
                corner.mean_w,
                corner.mean_v,
            ]
            values = {
                " ".join(pair): _packed(conditioned(*pair, *corner[1:])) for pair in STORED_PAIRS
            }
            store[family].append({"corner": entry, "oracles": values})
            print(corner.name, flush=True)
    lines = [
        f'"{family}": [\n' + ",\n".join(map(json.dumps, entries)) + "\n]"
        for family, entries in store.items()
    ]
    STORE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
