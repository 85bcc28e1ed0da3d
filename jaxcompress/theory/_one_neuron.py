"""The best single neuron against `k` orthonormal ones, in closed form for erf and ReLU."""

import functools
import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import check_integer
from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import Erf, Relu
from jaxcompress.theory._averaging import Neuron, best_neuron

# 1/3 − 1/π to 17 digits: as a difference of doubles it would lose the last two.
_EXCESS = 0.015023447149542662


class OneNeuron(eqx.Module):
    """The neuron `a φ(w·x)`, `w = c Σ_j v_j`, that stands for `k` orthonormal ones, and what that
    costs.

    `scale`: c. `readout`: a, against target readouts of one. `risk`: the risk R* of one neuron.
    `norm`: `‖w‖ = |c|√k`.
    """

    scale: Float[Array, ""]
    readout: Float[Array, ""]
    risk: Float[Array, ""]
    norm: Float[Array, ""]


def one_neuron(activation: AbstractActivation, k: int, *, dtype=None) -> OneNeuron:
    """The best neuron `a φ(w·x)` with `w = c Σ_j v_j` against `Σ_j φ(v_j·x)`, `k` orthonormal
    neurons.

    erf: `c = 1/√(k(2k−1))`, `a = k`, `R* = k/3 − (2/π)k² arcsin(1/(2k))`, which is `k(1/3 − 1/π) −
    1/(24πk) − 3/(640πk³) − …`. ReLU: `a‖w‖ = 2k h(1/√k)`, `h(u) = (√(1−u²) + u(π − arccos
    u))/(2π)`, `R* = k/2 + k(k−1)/(2π) − ½(2k h(1/√k))²`, which grows like `k²(π−1)/(2π²)`. For
    every other activation `a` is closed given `c`, and `c`, of either sign, is the lowest minimum
    of a scan, bisected to the last bit. Where the activation is homogeneous, `‖w‖ = |a|` decides
    between all the norms that are as good.

    Arguments: an activation and `k ≥ 1`, both static; `dtype` the default float type when left out,
    in which erf and ReLU are rounded once and all others are computed.
    Returns a `OneNeuron`. Where the risk falls all the way to a norm of infinity (or zero) so do
    `scale` and `norm`, the readout is what it tends to, and `risk` is the infimum, to 1e-8 or
    better: a GELU against two or more, and a SiLU against three or more, end as a ReLU.
    Raises `ValueError` for `k < 1`, other dtypes than float32 and float64, for an activation that
    is zero, that jumps without being homogeneous, or that has no closed forms and wants a norm
    beyond 3, where quadrature ends. No neuron along `Σ v_j`, of whatever activation, comes below `k
    d(1) + k(k−1) d(0) − k² d(1/k)`, `d` the dual activation; those of `copy_average` reach it.
    Reference: Şimşek et al. 2023, theorems on erf and ReLU, where this is the best of all neurons.
    For the others it is the best along `Σ v_j`, and need not be a minimum in all directions:
    against `hermite(3)` a copy of one target neuron leaves `k − 1`, this one `k − 1/k`.
    Where it fails: `R*` keeps its digits for every `k` (erf at 1e9: 1e-15 also by the scan), but a
    neuron of an odd activation that averages many is nearly linear and hardly feels its norm, so
    that `c` is right to `2e-15 k²`.
    """
    dtype = jnp.dtype(dtype or jnp.result_type(float))
    found = known_neuron(activation, k, dtype)
    values = (found.scale, found.readout, found.risk, abs(found.scale) * math.sqrt(k))
    return OneNeuron(*(jnp.asarray(value, dtype) for value in values))


def known_neuron(f: AbstractActivation, k: int, dtype) -> Neuron:
    """The numbers of `one_neuron`, on the host, each found once."""
    count = check_integer("one_neuron", "k", k, 1, remedy="it counts target neurons")
    if jnp.dtype(dtype) not in (jnp.float32, jnp.float64):
        raise ValueError(
            f"one_neuron: given dtype={jnp.dtype(dtype)}; expected float32 or float64; leave it out"
        )
    return _found(f, count, jnp.dtype(dtype))


@functools.lru_cache(maxsize=4096)
def _found(f: AbstractActivation, k: int, dtype) -> Neuron:
    if isinstance(f, Erf):
        return _erf(k)
    if isinstance(f, Relu):
        return _relu(k)
    return best_neuron(f, k, dtype)


def _erf(k: int) -> Neuron:
    """`R* = k(1/3 − 1/π) − (2/π)k²(arcsin x − x)` at `x = 1/(2k)`: one bracket small, the other a
    series.

    `arcsin x − x = Σ_{n≥1} (2n choose n) x^{2n+1}/(4^n (2n+1))`; at `x = 1/4` 14 terms leave 1e-20.
    """
    x = 1 / (2 * k)
    series = sum(math.comb(2 * n, n) * (x / 2) ** (2 * n) / (2 * n + 1) for n in range(14, 0, -1))
    risk = k * (_EXCESS - series / math.pi) if k > 1 else 0.0
    return Neuron(1 / math.sqrt(k * (2 * k - 1)), float(k), risk)


def _relu(k: int) -> Neuron:
    """No term outgrows the others: at `k = 2` the risk is a sixth of the largest, and for large `k`
    two thirds.
    """
    u = math.sqrt(1 / k)
    mass = k * (math.sqrt((k - 1) / k) + u * (math.pi - math.acos(u))) / math.pi
    risk = k / 2 + k * (k - 1) / (2 * math.pi) - mass**2 / 2 if k > 1 else 0.0
    return Neuron(math.sqrt(mass / k), math.sqrt(mass), risk)
