"""One neuron `w = c Σ v_j` against `k` orthonormal ones, for any activation: `a` in closed form,
`c` by bisection.

Letters: `X = w·x` of variance `s = kc²`, `Y = v_j·x`, `q = E XY = c`; `m = E φ(X)`, `μ = E φ(Y)`,
`V = Var φ(X)`, `V₁ = Var φ(Y)`, `κ = Cov(φ(X), φ(Y))`. The best readout is `a = k(mμ + κ)/(m² +
V)`, and leaves the risk `k V₁ + k² P`, `P = (μ²V − 2mμκ − κ²)/(m² + V)`. Means are kept apart, for
at large `k` they are `k` times larger than what is left of them; so `κ` and `V` are integrals of
derivatives (Price), `κ = ∫₀^q E[φ′(X)φ′(Y)] dq`, and no differences of products.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation, GaussianPair, expectation
from jaxcompress.kernels.internal import derivative_of, has_closed_form, kink_order, traits
from jaxcompress.networks.internal import ONE

# 20 nodes leave 1e-15 of κ, at k = 2 where the correlation 1/√2 is the largest, and 2e-15 of V up
# to norms of one (relu, gelu, tanh); of V at a norm of 10 4e-9 (tanh), but there it is a
# difference.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
# Neurons measured at once, in the scan and in each round of bisection alike: one compilation an
# activation.
_BATCH = 64
# Norms that are scanned: from 1e-4/√k, for the best norm of smooth functions falls like 1/√k, to
# 1e4; without closed forms only as far as the kernels' rule holds (tanh: 5e-11 at a norm of 3, 1e-5
# at 10). A limit is read off 1e4 times beyond the end: GELU's distance from ReLU falls like 1/norm²
# and is below rounding there, that of relu + erf is 1e-8.
_LEAST, _LARGEST, _LARGEST_BY_RULE, _A_DECADE = 1e-4, 1e4, 3.0, 12
_BEYOND = 1e4
# Below this share of E φ², a variance is integrated: the difference would lose more than two bits.
_SPREAD = 0.25


class Neuron(NamedTuple):
    """The scalars of the best neuron: `c`, its readout, and the risk."""

    scale: float
    readout: float
    risk: float


class _Measured(NamedTuple):
    """`m`, `V` and `κ` of many neurons, and derivatives by `log c`: arrays of JAX, then of NumPy,
    then numbers.
    """

    mean: Any
    spread: Any
    shared: Any
    mean_derivative: Any
    spread_derivative: Any
    shared_derivative: Any


@functools.partial(jax.jit, static_argnums=0)
def _measure(f: AbstractActivation, c: Float[Array, " batch"], k: Array, mu: Array) -> _Measured:
    """Kernels of each neuron with itself and with a target neuron; derivatives are kernels of
    derivatives, all of them values.
    """
    s = k * c * c
    one, none = jnp.ones_like(s), jnp.zeros_like(s)
    both, still = (
        GaussianPair(jnp.stack([s, s]), jnp.stack([s, one]), jnp.stack([s, c])),
        GaussianPair(s, one, none),
    )
    (own, across), mean = expectation(f, f, both), expectation(f, ONE, still)
    if kink_order(f) == 0:  # and is homogeneous: no derivative is needed
        return _Measured(mean, own - mean**2, across - mean * mu, none, none, none)
    products, along, about = _products_of_derivatives(f, both, s, c)
    seconds, mean_second = _by_variance(f, f, both), _by_variance(f, ONE, still)
    difference = own - mean**2
    return _Measured(
        mean,
        jnp.where(difference > _SPREAD * own, difference, s * about),
        c * along,
        2 * s * mean_second,
        2 * s * (2 * seconds[0] + products[0] - 2 * mean * mean_second),
        c * products[1] + 2 * s * (seconds[1] - mean_second * mu),
    )


def _products_of_derivatives(
    f: AbstractActivation, both: GaussianPair, s: Array, c: Array
) -> tuple[Array, Array, Array]:
    """`∂/∂q E[f(X) f(Y)] = E[f′(X) f′(Y)]` at the two pairs, and its means for `κ = c·mean` and `V
    = s·mean`.

    By Gauss–Legendre, of `q` from 0 to `c`, and of `t` in `q = s(1 − t²)`: derivatives of
    kinked functions have a square root at `q = s`, where one neuron is the other.
    """
    nodes, weights = (jnp.asarray(part, c.dtype)[:, None] for part in (_NODES, _WEIGHTS))
    itself = jnp.broadcast_to(s, (nodes.size, s.size))
    var_y = jnp.concatenate([both.var_y, jnp.ones_like(itself), itself])
    cov = jnp.concatenate([both.cov, nodes * c[None], (1 - nodes**2) * itself])
    table = expectation(
        derivative_of(f), derivative_of(f), GaussianPair(jnp.broadcast_to(s, cov.shape), var_y, cov)
    )
    at, along, about = jnp.split(table, (2, 2 + nodes.size))
    return at, jnp.sum(weights * along, 0), jnp.sum(2 * weights * nodes * about, 0)


def _by_variance(f: AbstractActivation, g: AbstractActivation, pairs: GaussianPair) -> Array:
    """`∂/∂s E[f(X) g(Y)] = ½ E[f″(X) g(Y)]`, by the kernels' own rule where `f` has kinks.

    The rule traces all moments of its integrand: softplus 2.4 s instead of 0.1.
    """
    order = kink_order(f)
    if order is None or order > 1:
        return 0.5 * expectation(derivative_of(derivative_of(f)), g, pairs)
    _, backward = jax.vjp(
        lambda var_x: expectation(f, g, GaussianPair(var_x, pairs.var_y, pairs.cov)), pairs.var_x
    )
    return backward(jnp.ones_like(pairs.var_x))[0]


class _Target(NamedTuple):
    """`φ`, `k`, and mean and variance of one target neuron."""

    activation: AbstractActivation
    k: int
    mean: float
    spread: float
    dtype: type

    def measure(self, c: np.ndarray) -> _Measured:
        """In the dtype asked for; then in float64, on the host."""
        # As static as the arguments are: also inside somebody's jit.
        with jax.ensure_compile_time_eval():
            given = (jnp.asarray(x, self.dtype) for x in (c, self.k, self.mean))
            return _Measured(
                *(np.asarray(part, float) for part in _measure(self.activation, *given))
            )

    def profile(self, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`P` and its derivative by `log c`; infinite where exponentials have left the range of the
        dtype.
        """
        at, mu = self.measure(c), self.mean
        with np.errstate(all="ignore"):
            above = mu**2 * at.spread - 2 * at.mean * mu * at.shared - at.shared**2
            below = at.mean**2 + at.spread
            above_derivative = mu**2 * at.spread_derivative - 2 * mu * (
                at.mean_derivative * at.shared + at.mean * at.shared_derivative
            )
            above_derivative -= 2 * at.shared * at.shared_derivative
            below_derivative = 2 * at.mean * at.mean_derivative + at.spread_derivative
            value = above / below
            derivative = (above_derivative - above / below * below_derivative) / below
        within = (
            (below > 0)
            & (below < float(jnp.finfo(self.dtype).max) ** 0.3)
            & np.isfinite(derivative)
        )
        return np.where(within, value, np.inf), np.where(within, derivative, 0.0)

    def neuron(self, c: float) -> Neuron:
        """The best readout at this `c`, and the risk."""
        at = _Measured(*(float(part[0]) for part in self.measure(np.full(_BATCH, c))))
        readout = self.k * (at.mean * self.mean + at.shared) / (at.mean**2 + at.spread)
        P = (self.mean**2 * at.spread - 2 * at.mean * self.mean * at.shared - at.shared**2) / (
            at.mean**2 + at.spread
        )
        return Neuron(c, readout, max(self.k * (self.spread + self.k * P), 0.0))


def best_neuron(f: AbstractActivation, k: int, dtype) -> Neuron:
    """The lowest of all neurons `w = c Σ v_j` with their best readouts, `c` of either sign.

    Of a homogeneous function every norm is as good, and the balanced one is taken, `‖w‖ = |a|`.
    Where no norm is the best, `c` is zero or infinite, the readout is what it tends to, and the
    risk its infimum.
    Raises `ValueError` where the function is zero, where it jumps without being homogeneous, for
    then the kernel of a neuron with itself has no derivative, and where the kernels are not known
    as far as the risk falls.
    """
    if k == 1:
        return Neuron(1.0, 1.0, 0.0)
    still = _Target(f, 1, 0.0, 0.0, dtype).measure(np.ones(_BATCH))
    target = _Target(f, k, float(still.mean[0]), float(still.spread[0]), dtype)
    if not target.mean**2 + target.spread > 0:
        raise ValueError(
            f"one_neuron: given {f!r}, which is zero; expected an activation that is not; choose "
            "another"
        )
    power = traits(f).degree
    if power is None:
        if kink_order(f) == 0:
            raise ValueError(
                f"one_neuron: given {f!r}, which jumps and is not homogeneous; expected an "
                "activation with a derivative, or one without a scale such as step; smooth the "
                "jump, for example with normal_cdf for step"
            )
        low, high = _scanned(target)
        return _limit(target, low) if high is None else target.neuron(_bisected(target, low, high))
    found = target.neuron(1 / math.sqrt(k))
    norm = abs(found.readout) ** (1 / (power + 1))
    return Neuron(norm / math.sqrt(k), found.readout / norm**power, found.risk)


def _scanned(target: _Target) -> tuple[float, float | None]:
    """A bracket, in `c`, about the lowest minimum; an end of the scan and `None` where the risk is
    lowest there.
    """
    root, largest = (
        math.sqrt(target.k),
        _LARGEST if has_closed_form(target.activation) else _LARGEST_BY_RULE,
    )
    decades = math.log10(largest / _LEAST * root)
    norms = np.geomspace(_LEAST / root, largest, math.ceil(decades * _A_DECADE / _BATCH) * _BATCH)
    found: list[tuple[float, float, float | None]] = []
    for sign in (1, -1):
        c = sign * norms / root
        risks = np.concatenate([target.profile(part)[0] for part in c.reshape(-1, _BATCH)])
        # Exponentials leave the range of the dtype before the norms end.
        c, risks = c[np.isfinite(risks)], risks[np.isfinite(risks)]
        within = np.flatnonzero((risks[1:-1] < risks[:-2]) & (risks[1:-1] <= risks[2:])) + 1
        found += [(risks[i], c[i - 1], c[i + 1]) for i in within]
        found += [(risks[end] + _noise(target), c[end], None) for end in (0, -1)]
    _, low, high = min(found, key=lambda each: each[0])
    if high is None and abs(low) * root > 0.99 * largest and largest < _LARGEST:
        raise ValueError(
            f"one_neuron: given {target.activation!r} and k={target.k}, whose risk still falls at "
            f"a norm of {largest}; expected the best norm to be smaller, where quadrature is "
            "right; take an activation with closed forms"
        )
    return low, high


def _limit(target: _Target, end: float) -> Neuron:
    """What the neurons tend to beyond an end of the scan."""
    outwards = abs(end) * math.sqrt(target.k) > 1
    beyond = end * (_BEYOND if outwards else 1 / _BEYOND)
    near = target.neuron(end)
    known = np.isfinite(target.profile(np.full(_BATCH, beyond))[0][0])
    far = target.neuron(beyond) if known else near
    growth = abs(far.readout / near.readout) if near.readout else 1.0
    readout = (
        0.0
        if growth < 0.1
        else math.copysign(math.inf, far.readout)
        if growth > 10
        else far.readout
    )
    return Neuron(math.copysign(math.inf if outwards else 0.0, end), readout, far.risk)


def _noise(target: _Target) -> float:
    """What `P` is known to: in a profile flat to rounding, of many odd neurons, the ends would be
    as good as minima.
    """
    return 1e3 * float(jnp.finfo(target.dtype).eps) * (target.spread + target.mean**2) / target.k


def _bisected(target: _Target, low: float, high: float) -> float:
    """The zero of the derivative between `low` and `high` to the last bit, `_BATCH − 1` parts at
    once.
    """
    for _ in range(12):
        c = np.linspace(low, high, _BATCH)
        derivatives = target.profile(c)[1]
        i = int(np.argmax(derivatives[1:] > 0)) + 1
        narrower = (c[i - 1], c[i])
        if narrower == (low, high) or derivatives[i] <= 0:
            break
        low, high = narrower
        if abs(high - low) <= 2 * float(jnp.finfo(target.dtype).eps) * abs(low):
            break
    return (low + high) / 2
