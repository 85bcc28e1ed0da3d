"""The predicted minimiser of the simplified ReLU risk: its phase and its network."""

import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcompress._internal.checks import check_finite
from jaxcompress.kernels import activations
from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.special.internal import divide, sqrt, unit
from jaxcompress.theory import _phases
from jaxcompress.theory._frames import completed, corners, padded, reflected, simplex_frame
from jaxcompress.theory._split import every_split


class FramePhase(eqx.Enumeration):  # pyright: ignore[reportGeneralTypeIssues]
    """The phases of the minimum. Comparing with one gives an array; `FramePhase[code]` is its
    message.

    Example: `predict_frame(moments, 3, 5).phase == FramePhase.tilted`.
    """

    isotropic = "No linear part: a regular simplex frame of equal masses, in any orientation."
    tilted = (
        "A simplex frame tilted towards the linear part until its inner products are those "
        "that serve both parts."
    )
    split = (
        "Two simplex frames in orthogonal subspaces, each tilted by an angle of its own and with "
        "its own mass."
    )
    pair = (
        "Two opposite neurons carry the linear part; all other neurons and their line are "
        "orthonormal."
    )


class FramePrediction(eqx.Module):
    """The predicted minimiser for given moments.

    - `network`: its weights and readout
    - `risk`: the simplified risk there, less the second moment `E f²` of the target
    - `phase`: a code of `FramePhase`; `message` spells it out
    - `groups (2,)`: the numbers of neurons in its two groups of equal neurons: `(M, 0)` for one
      frame, `(k, M − k)` for a split, `(2, M − 2)` for the pair and the others

    Example: `predict_frame(moments, 3, 5).message`.
    """

    network: TwoLayer
    risk: Float[Array, "*runs"]
    phase: FramePhase
    groups: Int[Array, "*runs 2"]

    @property
    def message(self) -> str:
        """The phase in words, of a single prediction."""
        registry: Any = FramePhase
        return registry[self.phase]


class _Arrangement(NamedTuple):
    """One phase's answer: unit rows with the axis first, masses, risk, the phase's number and its
    groups.
    """

    directions: Float[Array, "n d"]
    masses: Float[Array, " n"]
    risk: Float[Array, ""]
    phase: Any
    groups: Int[Array, " 2"]


def _about(cosine: Array, rows: Array) -> Array:
    """Unit rows at this cosine to the axis, their rest along `rows`, one column more than they
    have.
    """
    sine = sqrt((1 - cosine) * (1 + cosine))
    return jnp.concatenate([jnp.full((rows.shape[0], 1), cosine), sine * rows], 1)


def _isotropic(S: Array, width: int, dim: int) -> _Arrangement:
    mass, risk = _phases.isotropic(S, width)
    rows = simplex_frame(width, dim, dtype=S.dtype)
    return _Arrangement(
        rows, jnp.full(width, mass), risk, FramePhase.isotropic, jnp.array([width, 0])
    )


def _tilted(S: Array, T: Array, width: int, dim: int) -> _Arrangement:
    (x, _), (mass, _), risk = _phases.tilted(S, T, width)
    rows = padded(_about(x, corners(width, S.dtype)), dim)
    return _Arrangement(rows, jnp.full(width, mass), risk, FramePhase.tilted, jnp.array([width, 0]))


def _split(found: _phases.Groups, k: int, width: int) -> _Arrangement:
    """Groups of `k` and `width − k`, in `width − 1` dimensions."""
    (x, y), (p, q), risk = found
    rows = jax.scipy.linalg.block_diag(corners(k, x.dtype), corners(width - k, x.dtype))
    directions = jnp.concatenate([_about(x, rows[:k]), _about(y, rows[k:])])
    masses = jnp.concatenate([jnp.full(k, p), jnp.full(width - k, q)])
    return _Arrangement(directions, masses, risk, FramePhase.split, jnp.array([k, width - k]))


def _pair(S: Array, T: Array, width: int, dim: int) -> _Arrangement:
    """Rows `u_1, −u_1, u_2, …` with `⟨u_1, t⟩ = q` and `⟨u_j, t⟩ = α`, for `t = q u_1 + α Σ
    u_j`.
    """
    mass, q, risk = _phases.pair(S, T, width)
    cosines = unit(jnp.concatenate([q[None], jnp.full(width - 2, mass)])).direction
    # Where T = 0 there is no direction, and another phase is chosen; any will do.
    cosines = jnp.where((cosines == 0).all(), jnp.eye(1, width - 1, dtype=S.dtype)[0], cosines)
    lines = padded(completed(cosines), dim)
    directions = jnp.concatenate([lines[:1], -lines[:1], lines[1:]])
    masses = jnp.concatenate([jnp.stack([mass + q, mass - q]) / 2, jnp.full(width - 2, mass)])
    return _Arrangement(directions, masses, risk, FramePhase.pair, jnp.array([2, width - 2]))


def _splits(S: Array, T: Array, width: int) -> list[_Arrangement]:
    """Every split of `width` into two groups."""
    found = every_split(S, T, width)
    return [
        _split(jax.tree.map(lambda part, i=k - 1: part[i], found), k, width)
        for k in range(1, width // 2 + 1)
    ]


def _best(S: Array, T: Array, width: int, dim: int) -> _Arrangement:
    """The lowest phase for `S ≥ 0` and the norm `T`; the isotropic one where `T = 0` and there
    alone.
    """
    isotropic = _isotropic(S, width, dim)
    others = (
        [_tilted(S, T, width, dim)] if width <= dim else _splits(S, T, width) if width > 2 else []
    )
    others += [_pair(S, T, width, dim)] if width > 1 else []
    lowest = jnp.argmin(jnp.stack([other.risk for other in others]))
    # Without an even part a split can be as low as the pair, which is the last.
    place = jnp.where(T == 0, 0, 1 + jnp.where(S == 0, len(others) - 1, lowest))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves)[place], isotropic, *others)


def _checked(where: str, moments: TargetMoments, width: int, dim: int) -> tuple[Array, Array]:
    """`S` and `t` of the moments, once everything fits together."""
    if not isinstance(moments, TargetMoments):
        raise ValueError(
            f"{where}: given {type(moments).__name__}; expected moments; take them with "
            "target_moments"
        )
    check_finite(f"{where}: moments", **moments.parameters())
    if moments.outputs is not None or moments.order != 1 or moments.runs:
        raise ValueError(
            f"{where}: given moments of order {moments.order} with outputs={moments.outputs} "
            f"and leading axes {moments.runs}; expected those of one target of one output, of "
            "order 1; take them with order=1, and use jax.vmap for many targets"
        )
    if moments.dim != dim or width < 1 or width > dim + 1:
        raise ValueError(
            f"{where}: given width {width}, dim {dim} and moments in {moments.dim} dimensions; "
            "expected the moments' own dimension and 1 ≤ width ≤ dim + 1, beyond which no frame "
            "is known; lower the width"
        )
    return (2 * math.pi) ** 0.5 * moments.constant, 2 * moments.linear


@functools.partial(jax.jit, static_argnums=(2, 3))
def _predict(S: Array, t: Array, width: int, dim: int) -> FramePrediction:
    """The best phase, turned towards `t` and written as a balanced network."""
    sign = jnp.where(S < 0, -1, 1).astype(S.dtype)
    axis = unit(sign * t)
    # all phases are homogeneous: in units of S + T no risk underflows before it is compared
    scale = jnp.abs(S) + axis.norm
    best = _best(
        jnp.where(scale > 0, divide(jnp.abs(S), scale), 1), divide(axis.norm, scale), width, dim
    )
    direction = jnp.where(axis.norm > 0, axis.direction, jnp.eye(1, dim, dtype=S.dtype)[0])
    share = sqrt(jnp.abs(best.masses)) * sqrt(scale)
    weights = share[:, None] * reflected(best.directions, direction)
    network = TwoLayer(
        weights, sign * jnp.where(best.masses < 0, -share, share), activation=activations.relu
    )
    return FramePrediction(network, best.risk * scale * scale, best.phase, best.groups)


def predict_frame(moments: TargetMoments, width: int, dim: int) -> FramePrediction:
    """The predicted global minimiser of the simplified ReLU risk, its risk and its phase.

    With `S = √(2π) E f` and `t = 2 E[f x]` of the target `f`, in units of `S`: `isotropic` where `t
    = 0`; where `width ≤ dim`, `tilted` up to `‖t‖ = pair_threshold(width)` and `pair` beyond; where
    `width = dim + 1`, `split` first and then `pair`. The risk is homogeneous and odd: `(S, t) →
    (−S, −t)` turns the readouts' signs and nothing else, so `S < 0` is the frame of `(−S, −t)`,
    tilted against `t`. At `S = 0` it is the pair, whose companions have norm zero; at `S = 0`, `t =
    0` every neuron has. The balanced network of each is returned: `‖w_j‖ = |a_j| = √|α_j|`.

    Arguments: `moments` of order 1 of a target of one output (`target_moments`, `relu_moments`; the
    target may have any activation), for students whose activation is relu; `width` M and `dim` d
    (static). Works under `jax.jit` and `jax.vmap` over the moments, in their dtype.
    Returns a `FramePrediction`; `prediction.risk + moments.second_moment` is the simplified risk
    there.
    Raises `ValueError` for several outputs, order 2, another dimension, and `width > dim + 1` (no
    phase is known).
    Reference: Amani et al. 2022 (the isotropic frame). The other phases are the package's own: that
    they are the lowest was seen over grids of `M`, `d` and `‖t‖/S`, not proved.

    Example: `predict_frame(target_moments(target), 3, 5).risk`.
    """
    return _predict(*_checked("predict_frame", moments, width, dim), width, dim)


def tight_frame(moments: TargetMoments, width: int, dim: int) -> TwoLayer:
    """The network of `predict_frame`, which also describes arguments, errors and reference.

    Example: `tight_frame(target_moments(target), 3, 5)`.
    """
    return _predict(*_checked("tight_frame", moments, width, dim), width, dim).network
