"""The Hessian of the population risk, assembled in weight space from blocks that are finite
everywhere.

Letters as in `_population`. `θ_i = (w_i, bias_i)` are a neuron's inner parameters, `p` of them; on
standard normal inputs they act on `x̄ = (x, 1)`. With `C = a aᵀ` and `C′ = a bᵀ` (summed over
outputs) the blocks are

- own `(i, i)`: `2 Σ_j C_ij E[f″f x̄x̄ᵀ] − 2 Σ_j C′_ij E[f″g x̄x̄ᵀ]`, cross `(i, j)`: `2 C_ij E[f′f′
  x̄x̄ᵀ]`;
- `(θ_i, a_l)`: `2 a_i E[f′f x̄]_il`, and for `l = i` the residual `2 (Σ_j a_j E[f′f x̄]_ij − Σ_j
  b_j E[f′g x̄]_ij)`;
- `(a_i, a_j)`: `2 G_ij` for each output.

An output bias is a neuron that is always one, and enters the same formulas.
"""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.kernels.internal import BEND, CROSS, GRADIENT, VALUE, First, Frames, Second
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import Layer, offset_of
from jaxcompress.risk._empirical import (
    Blocks,
    EmpiricalProblem,
    Target,
    check_samples,
    empirical_blocks,
    problem_of,
)
from jaxcompress.risk._meetings import look, meetings
from jaxcompress.risk._population import RiskProblem, check_compatible
from jaxcompress.risk._problem import AbstractProblem
from jaxcompress.risk._samples import Samples
from jaxcompress.risk._terms import total


def parameter_mask(network: TwoLayer, freeze: Sequence[str]) -> np.ndarray:
    """Which entries of the flattened network move: a static boolean array of length P.

    Raises `ValueError` when `freeze` names something that is not a parameter of the network.
    """
    names = network.parameters()
    unknown = [name for name in freeze if name not in names]
    if isinstance(freeze, str) or unknown:
        raise ValueError(
            f"given freeze={freeze!r}; expected a tuple of names among {tuple(names)}, for "
            f'example freeze=("readout",)'
        )
    return np.concatenate(
        [np.full(array.size, name not in freeze) for name, array in names.items()]
    )


def risk_hessian(
    student: TwoLayer,
    target: Target,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
) -> Float[Array, "P P"]:
    """The exact Hessian of the risk in the student's parameters.

    The risk is `population_risk`, `simplified_risk` for moments, and `empirical_risk` for samples.

    Arguments as for these; `freeze` names parameters to leave out (static): any of "weights",
    "readout", "bias", "output_bias". Rows and columns follow
    `jax.flatten_util.ravel_pytree(student)`.
    Returns a symmetric `(P, P)` array; entries are accurate also where neurons coincide, where
    differentiating the closed forms twice gives NaN. A homogeneous neuron of zero norm contributes
    zero second derivatives.
    Raises `ValueError` as `population_risk`, and for unknown names in `freeze`.
    Reference: Safran & Shamir 2018 and Arjevani & Field 2019 (ReLU, zero mean); here for any pair
    and mean.
    """
    inputs = StandardNormal() if inputs is None else inputs
    if isinstance(target, Samples):
        check_samples(student, target, inputs)
    else:
        check_compatible(student, target, inputs)
    parameter_mask(student, freeze)
    return _hessian_once(student, target, inputs, tuple(freeze))


@eqx.filter_jit
def _hessian_once(
    student: TwoLayer, target: Target, inputs: AbstractInputs, freeze: tuple[str, ...]
) -> Array:
    return hessian(problem_of(target, inputs), student, freeze)


def hessian(
    problem: AbstractProblem, student: TwoLayer, freeze: Sequence[str] = ()
) -> Float[Array, "P P"]:
    """`risk_hessian` against a target that has been measured, or on samples."""
    if isinstance(problem, EmpiricalProblem):
        lift = jnp.eye(
            student.dim + (student.bias is not None), student.dim + 1, dtype=student.weights.dtype
        )
        return _assembled(student, empirical_blocks(problem.samples, student), lift, freeze)
    assert isinstance(problem, RiskProblem)  # there is no third kind
    blocks = _blocks(problem, problem.student_layer(student), offset_of(student))
    return _assembled(student, blocks, _lift(problem.inputs, student), freeze)


def _assembled(
    student: TwoLayer, blocks: Blocks, lift: Float[Array, "p r1"], freeze: Sequence[str]
) -> Array:
    """The Hessian by the student's parameters from its blocks, `lift` taking `(w, bias)` to what
    these stand for.
    """
    inner, outer, mixed, lean = blocks
    readout = student.readout_matrix
    inner = jnp.einsum("pa,iajb,qb->ipjq", lift, inner, lift)
    mixed = jnp.einsum("pa,ialo->iplo", lift, mixed)
    names = list(student.parameters())
    n, d, o = student.width, student.dim, readout.shape[1]
    sizes = {"weights": n * d, "readout": n * o, "bias": n, "output_bias": o}
    cuts = {
        name: cut
        for name, cut in {"weights": slice(0, d), "bias": slice(d, d + 1)}.items()
        if name in names
    }
    eye = jnp.eye(o, dtype=inner.dtype)
    rows = {("readout", "readout"): outer[:, None, :, None] * eye[None, :, None, :]}
    for name, cut in cuts.items():
        rows[name, "readout"] = mixed[:, cut]
        rows.update(
            {(name, other): inner[:, cut, :, other_cut] for other, other_cut in cuts.items()}
        )
    if "output_bias" in names:
        assert lean is not None  # who has one meets the constant
        slope = jnp.einsum("pa,ia,io->ipo", lift, lean[0], 2 * readout)
        rows["output_bias", "output_bias"] = 2 * eye
        rows["readout", "output_bias"] = 2 * lean[1][:, None, None] * eye[None]
        rows.update({(name, "output_bias"): slope[:, cut] for name, cut in cuts.items()})
    rows = {(p, q): block.reshape(sizes[p], sizes[q]) for (p, q), block in rows.items()}
    full = jnp.block(
        [[rows[p, q] if (p, q) in rows else rows[q, p].T for q in names] for p in names]
    )
    moving = np.flatnonzero(parameter_mask(student, freeze))
    full = 0.5 * (full + full.T)
    return full if len(moving) == full.shape[0] else full[np.ix_(moving, moving)]


def _lift(inputs: AbstractInputs, student: TwoLayer) -> Float[Array, "p r1"]:
    """The linear map from a neuron's `(w, bias)` to its standardised weights and mean, read off the
    law itself.
    """
    d, has_bias = student.dim, student.bias is not None
    dtype = student.weights.dtype
    probe = jnp.eye(d + has_bias, d, dtype=dtype)
    shift = jnp.zeros(d + has_bias, dtype).at[d:].set(1)
    weights, mean = inputs.standardize(probe, shift)
    mean = shift if mean is None else mean
    return jnp.concatenate([weights, mean[:, None]], axis=1)


def _blocks(problem: RiskProblem, x: Layer, offset: Array | None) -> Blocks:
    """Blocks on standard normal inputs: inner `(n, r+1, n, r+1)`, outer `(n, n)`, mixed `(n, r+1,
    n, o)`, means.
    """
    n, dim = x.weights.shape
    lean, each = None, []
    for some in meetings(x, problem.layers, problem.gap(offset)):
        parts = (VALUE, GRADIENT, BEND, CROSS) if some.own else (VALUE, GRADIENT, BEND)
        pairs, ((table,), first, second, *cross) = look(x, some, parts)
        right, slopes = some.layer.readout, _slopes(First(*first), pairs)
        bend = _contract(Second(*second), pairs, x.readout @ right.T, dim)
        each.append((bend, jnp.einsum("ija,jo->iao", slopes, right)))
        if some.own:
            outer, mixed = table[:, :n], slopes[:, :n]
            inner = _outer_blocks(Second(*(moment[:, :n] for moment in cross[0])), pairs, dim)
        if some.one is not None:
            lean = slopes[:, -1] / some.one, table[:, -1] / some.one
    inner_own, residual = total(each)
    diagonal = np.arange(n)
    inner = 2 * (x.readout @ x.readout.T)[:, None, :, None] * inner
    inner = inner.at[diagonal, :, diagonal, :].add(2 * inner_own)
    mixed = 2 * jnp.einsum("io,ila->ialo", x.readout, mixed)
    mixed = mixed.at[diagonal, :, diagonal, :].add(2 * residual)
    return Blocks(inner, 2 * outer, mixed, lean)


def _slopes(first: First, pairs: Frames) -> Float[Array, "n m r1"]:
    """`E[f′(X_i) g(Y_j) x̄]`."""
    by_weights = first.along[..., None] * pairs.along_x + first.across[..., None] * pairs.across_x
    return jnp.concatenate([by_weights, first.mean[..., None]], axis=-1)


def _contract(
    second: Second, pairs: Frames, coefficients: Array, dim: int
) -> Float[Array, "n r1 r1"]:
    """`Σ_j coefficients_ij E[q x̄x̄ᵀ]_ij`: sums in the frame of neuron `i` before any matrix is
    formed.
    """
    along, across = pairs.along_x[:, 0, :dim], pairs.across_x[..., :dim]
    m, a, c, aa, ac, cc = (coefficients * moment for moment in second)
    total, lean = jnp.sum(m, 1), jnp.einsum("ij,ijd->id", ac, across)
    out = total[:, None, None] * jnp.eye(dim, dtype=along.dtype)[None]
    out += jnp.sum(aa - m, 1)[:, None, None] * along[:, :, None] * along[:, None, :]
    out += along[:, :, None] * lean[:, None, :] + lean[:, :, None] * along[:, None, :]
    out += jnp.einsum("ijd,ije->ide", (cc - m)[..., None] * across, across)
    edge = jnp.sum(a, 1)[:, None] * along + jnp.einsum("ij,ijd->id", c, across)
    return _bordered(out, edge, total)


def _outer_blocks(second: Second, pairs: Frames, dim: int) -> Float[Array, "n r1 k r1"]:
    """`E[q x̄x̄ᵀ]` for every pair."""
    shape = second.mean.shape
    m, a, c, aa, ac, cc = (moment[..., None] for moment in second)
    along = jnp.broadcast_to(pairs.along_x[..., :dim], (*shape, dim))
    across = pairs.across_x[:, : shape[1], :dim]
    left_along, left_across = (aa - m) * along + ac * across, ac * along + (cc - m) * across
    out = m[..., None] * jnp.eye(dim, dtype=along.dtype).reshape((1,) * len(shape) + (dim, dim))
    out += (
        left_along[..., :, None] * along[..., None, :]
        + left_across[..., :, None] * across[..., None, :]
    )
    return _bordered(out, a * along + c * across, m[..., 0]).swapaxes(-3, -2)


def _bordered(block: Array, edge: Array, corner: Array) -> Array:
    """Append the row and column of the mean."""
    top = jnp.concatenate([block, edge[..., None]], axis=-1)
    bottom = jnp.concatenate([edge, corner[..., None]], axis=-1)
    return jnp.concatenate([top, bottom[..., None, :]], axis=-2)
