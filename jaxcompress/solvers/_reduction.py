"""The exact reduction of a wide input dimension: flows of isotropic problems never leave the span
of all weights.

Under standard normal inputs the gradient by a neuron's weights is a combination of the rows of `A =
[V; W]`, and everything depends on their inner products alone. `V` are the vectors of the target's
`span`: its weights, the samples, or the directions of its linear part. With `A = L Qᵀ`, `L` lower
triangular and `Q` of `k + n` orthonormal columns, the rows of `L` are the same problem in `k + n`
dimensions, and `W_end = (W′_end L⁻¹) A`. One more dimension is added: it stands for all directions
outside the span, so that the spectrum misses none.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Where no diagonal entry of the Cholesky factor is below this power of the unit roundoff (1e-2 in
# float64) times the largest norm, the inner products alone determine `L` to its three quarters
# (1e-12); otherwise it comes from a QR decomposition, which survives any degeneracy, ten times
# slower. One such run decides for its batch.
_WELL_SPANNED = 1 / 8


class Reduced(NamedTuple):
    """The weights in the span (one axis longer than it), and how they were found."""

    target: Float[Array, "*targets k r"]
    students: Float[Array, "runs n r"]
    factor: Float[Array, "runs k+n k+n"]
    regular: Bool[Array, ""]


def reduce_weights(
    target: Float[Array, "*targets k d"], students: Float[Array, "runs n d"]
) -> Reduced:
    """Students and their target, or a target each, in `k + n + 1` dimensions."""
    runs = students.shape[0]
    k = target.shape[-2]
    own = target.ndim == 3
    corner = jnp.einsum("...kd,...ld->...kl", target, target)
    corner = corner if own else jnp.broadcast_to(corner, (runs, k, k))
    # all students against one target in one product of matrices
    mixed = jnp.einsum("rnd,rkd->rnk" if own else "rnd,kd->rnk", students, target)
    # run by run: as one batched product it is eight times slower on a CPU
    square = jax.lax.map(lambda weights: weights @ weights.T, students)
    gram = jnp.concatenate(
        [
            jnp.concatenate([corner, jnp.swapaxes(mixed, 1, 2)], 2),
            jnp.concatenate([mixed, square], 2),
        ],
        1,
    )
    quick = jnp.linalg.cholesky(gram, symmetrize_input=False)
    largest = jnp.sqrt(jnp.max(jnp.diagonal(gram, axis1=1, axis2=2), 1))
    least = jnp.finfo(gram.dtype).eps ** _WELL_SPANNED
    spanned = jnp.min(jnp.diagonal(quick, axis1=1, axis2=2), 1) > least * largest  # false for NaN
    regular = jnp.all(spanned)
    factor = jax.lax.cond(
        regular,
        lambda: quick,
        lambda: jax.lax.map(
            lambda run: _qr(_stacked(target, run))[1].T, students_of(target, students)
        ),
    )
    wide = jnp.pad(factor, ((0, 0), (0, 0), (0, 1)))
    return Reduced(wide[:, :k] if own else wide[0, :k], wide[:, k:], factor, regular)


def lift_weights(
    reduced: Reduced,
    target: Float[Array, "*targets k d"],
    students: Float[Array, "runs n d"],
    ends: Float[Array, "runs n r"],
) -> Float[Array, "runs n d"]:
    """The ends in the dimension of the starts. Nothing ever moves along the added dimension."""
    inside = ends[..., :-1]
    k = target.shape[-2]

    def quick() -> Array:
        shares = jax.lax.linalg.triangular_solve(
            reduced.factor, inside, left_side=False, lower=True
        )
        # one pass over the memory instead of two products
        rows = [target[..., j, :] for j in range(k)] + [
            students[:, j] for j in range(students.shape[1])
        ]
        terms = [shares[:, :, j, None] * jnp.atleast_2d(row)[:, None] for j, row in enumerate(rows)]
        return functools.reduce(jnp.add, terms)

    def careful() -> Array:
        def one(run):
            end, weights = run
            return end @ _qr(_stacked(target, weights))[0].T

        return jax.lax.map(one, (inside, students_of(target, students)))

    return jax.lax.cond(reduced.regular, quick, careful)


def students_of(target: Array, students: Array):
    """What differs between runs: the students, and their targets where they have their own."""
    return (target, students) if target.ndim == 3 else students


def _stacked(target: Array, run) -> Float[Array, "k+n d"]:
    return jnp.concatenate(run) if target.ndim == 3 else jnp.concatenate([target, run])


def _qr(stacked: Float[Array, "r d"]) -> tuple[Array, Array]:
    q, r = jnp.linalg.qr(stacked.T)
    return q, r
