"""Copy–average networks: every neuron stands for a group of orthonormal target neurons, one or
many.
"""

import math
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_integer, is_concrete
from jaxcompress.kernels import AbstractActivation, dual_activation, hermite_coefficients
from jaxcompress.kernels.internal import Erf
from jaxcompress.networks import TwoLayer
from jaxcompress.theory._averaging import Neuron
from jaxcompress.theory._one_neuron import known_neuron

# Entries of VVᵀ and readouts may be off by this many ulp of one: a QR decomposition leaves 4 in 100
# dimensions.
_ROUNDING = 1e4


def copy_average(target: TwoLayer, partition: Sequence[int]) -> TwoLayer:
    """The critical point at which neuron `i` stands for group `i` of the target: `w_i = c Σ v_j`,
    `a_i = a b`.

    `c` and `a` are those of `one_neuron` for the group's size, `b` the target's readout; groups are
    consecutive target neurons, and a group of one is copied. The risk is `b² Σ R*(ℓ_i)`.

    It is critical in all directions if no group leaves anything of its mean and of its linear part,
    `a E φ(X) = ℓ E φ(Y)` and `a c E φ′(X) = E φ′(Y)`, for this is all that the neurons of other
    groups see of it. So it is where the average over a Gaussian `E φ(βx + τZ)` is a multiple of
    `φ(γx)`: erf, normal_cdf, sin, cos, exp, bump, identity, `hermite(p)`. There a neuron is `E[f* |
    X]`, the best of all functions of its `X`, and with `d` the dual activation `R*(ℓ) = ℓ d(1) +
    ℓ(ℓ−1) d(0) − ℓ² d(1/ℓ)`. For ReLU, GELU, tanh, sigmoid, softplus and SiLU it is not: their
    neurons move towards the groups of others, and only one group `(k,)`, or copies alone, are
    critical.

    Arguments: `target` of one output, without biases, with orthonormal rows `(k, d)` and equal
    readouts `(k,)`; `partition`, `n` positive integers that sum to `k` (static).
    Returns a network of `n` neurons in the target's dtype.
    Raises `ValueError` for another target (where its arrays can be looked at) or partition, for an
    activation whose groups see each other, and where `one_neuron` has no answer.
    Reference: Şimşek et al. 2023 (erf).
    """
    if not isinstance(target, TwoLayer):
        raise ValueError(
            f"copy_average: given a target of type {type(target).__name__}; expected a TwoLayer; "
            "make one with targets.orthonormal"
        )
    sizes = _sizes("copy_average", partition, target)
    _check_target(target)
    neurons = group_neurons("copy_average", target.activation, sizes, target.weights.dtype)
    scales, readouts = (
        np.array([each[i] for each in neurons], target.weights.dtype) for i in (0, 1)
    )
    weights, readout = _averages(
        target.weights, target.readout, scales, readouts, np.repeat(range(len(sizes)), sizes)
    )
    return TwoLayer(weights, readout, activation=target.activation)


@jax.jit
def _averages(
    V: Array, b: Array, scales: Array, readouts: Array, group: Array
) -> tuple[Array, Array]:
    """Weights and readouts of the groups; the target's readouts are one number."""
    return scales[:, None] * jax.ops.segment_sum(V, group, scales.size), readouts * b[0]


def copy_average_risk(
    activation: AbstractActivation, partition: Sequence[int], *, dtype=None
) -> Float[Array, ""]:
    """The risk `Σ_i R*(ℓ_i)` of the copy–average network against an orthonormal target of unit
    readout.

    Arguments: an activation and `n` positive integers (static); `dtype` the default float type when
    left out.
    Returns a scalar.
    Raises `ValueError` as `copy_average`, where it is said for which activations the sum holds.
    """
    sizes = _sizes("copy_average_risk", partition)
    dtype = jnp.dtype(dtype or jnp.result_type(float))
    return jnp.asarray(
        sum(each.risk for each in group_neurons("copy_average_risk", activation, sizes, dtype)),
        dtype,
    )


def _sizes(where: str, partition: Sequence[int], target: TwoLayer | None = None) -> tuple[int, ...]:
    """The partition as integers, checked."""
    given = list(partition) if isinstance(partition, Iterable) else []
    sizes = tuple(size for size in map(as_integer, given) if size is not None)
    whole = 0 < len(sizes) == len(given) and min(sizes) >= 1
    if not whole or (target is not None and sum(sizes) != target.width):
        total = "" if target is None else f" that sum to the target's {target.width} neurons"
        raise ValueError(
            f"{where}: given partition {partition!r}; expected positive integers{total}, one a "
            "neuron"
        )
    return sizes


def _check_target(target: TwoLayer) -> None:
    """Raise `ValueError` unless the target is orthonormal with equal readouts."""
    if (
        target.bias is not None
        or target.output_bias is not None
        or target.readout.shape != (target.width,)
    ):
        raise ValueError(
            "copy_average: given a target of "
            f"{', '.join(f'{n} {x.shape}' for n, x in target.parameters().items())}; expected one "
            "network of one output without biases; use jax.vmap for many, and leave biases out"
        )
    if not is_concrete(target.weights) or not is_concrete(target.readout):
        return
    V, b = np.asarray(target.weights), np.asarray(target.readout)
    slack = _ROUNDING * float(jnp.finfo(V.dtype).eps)
    off, apart = np.abs(V @ V.T - np.eye(len(V))).max(), np.ptp(b)
    if not (off <= slack and apart <= slack * np.abs(b).max()):
        raise ValueError(
            f"copy_average: given a target with max|VVᵀ − I| = {off:.2g} and readouts that differ "
            f"by {apart:.2g}; expected orthonormal rows and equal readouts, as of "
            "targets.orthonormal; scale rows and readouts so, or search with solve"
        )


def group_neurons(where: str, f: AbstractActivation, sizes: tuple[int, ...], dtype) -> list[Neuron]:
    """One neuron a group, once it is known that groups of these sizes do not see each other; one
    alone never does.
    """
    found = {size: known_neuron(f, size, dtype) for size in dict.fromkeys(sizes)}
    if not all(
        0 < abs(each.scale) < math.inf and abs(each.readout) < math.inf for each in found.values()
    ):
        raise ValueError(
            f"{where}: given {f!r} and groups of {sizes}, whose best norms are zero or infinite; "
            "expected neurons that exist; one_neuron has the infimum of the risk"
        )
    seen = (
        []
        if len(sizes) == 1
        else [size for size in found if size > 1 and not _hidden(f, size, found[size], dtype)]
    )
    if seen:
        raise ValueError(
            f"{where}: given {f!r} and groups of {sizes}, of which those of {seen} leave some of "
            "their mean or linear part to the others, so that the network is not critical; "
            "expected an activation closed under Gaussian averages (erf, normal_cdf, sin, cos, "
            "exp, bump), one group, or copies alone; search with solve"
        )
    return [found[size] for size in sizes]


def _hidden(f: AbstractActivation, size: int, neuron: Neuron, dtype) -> bool:
    """Whether mean and linear part of a group are met to rounding.

    Of pairs sin, bump and `hermite(3)` leave 8e-16, tanh 4e-5, softplus 7e-4, ReLU 0.2; of groups
    of 1000 tanh leaves 4e-15 and is critical as well as numbers can say.
    """
    if isinstance(f, Erf):
        return True
    with jax.ensure_compile_time_eval():
        one = jnp.ones((), dtype)
        mean, linear = map(
            float, hermite_coefficients(f, 1, abs(neuron.scale) * math.sqrt(size) * one)
        )
        target_mean, target_linear = map(float, hermite_coefficients(f, 1, one))
        root_of_square = math.sqrt(dual_activation(f, one))
    # E φ′ = linear/norm, and c/norm is a sign over √ℓ.
    unmet = (
        neuron.readout * math.copysign(1, neuron.scale) * linear / math.sqrt(size) - target_linear
    )
    left = max(abs(neuron.readout * mean - size * target_mean), size * abs(unmet))
    return left <= 1e3 * float(jnp.finfo(dtype).eps) * size * root_of_square
