"""The projected risk around a student: value, gradient and second derivatives, from one look at
every pair of neurons.

Letters: hidden parameters `θ_i` (a row of weights, and the bias where there is one) act on `x̄ =
(z, 1)` with standard normal `z`; `f_i` the student's neurons, `g_j` those of the target; `a` the
best readout for these `θ` (`_readout`), `r` the residual `f_student − f_target`. The risk is
`E‖r‖²` and its gradient `2 a_i E[f′_i r x̄]`. Half of its Hessian is the difference of what hidden
parameters do and of what the readout takes back,

`C_ij E[f′_i f′_j x̄x̄ᵀ] + δ_ij a_i E[f″_i r x̄x̄ᵀ] − Bᵀ (G⁻¹ ⊗ I) B`,
`B_(l,o),i = a_io E[f_l f′_i x̄] + δ_li E[f′_i r_o x̄]`,

with `C = a aᵀ` and `G = E[f fᵀ]`. Without the two terms of `r` it is the Gauss–Newton matrix in
Kaufman's form. Far from a minimum the terms of `r` make the matrix indefinite; next to one they
cancel most of it (digits, 128 → 16: nineteen twentieths along a step). So they enter with a share
`t` between none and all.

No matrix of hidden parameters is formed. In the plane of two neurons, with unit vectors `x̂`, `ŷ`,
every moment is `E[q z] = a x̂ + b ŷ` and `E[q zzᵀ] = m I + xx x̂x̂ᵀ + xy (x̂ŷᵀ + ŷx̂ᵀ) + yy ŷŷᵀ`,
so that a product with a vector is a few products with the matrix of unit vectors. Next to
coincident neurons the split into `x̂` and `ŷ` loses the digits that the Hessian would need there;
risk and gradient do not feel it.
References: Golub & Pereyra 1973; Kaufman 1975.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.compression._pair_moments import Alone, Matrices, Vectors, alone_moments
from jaxcompress.compression._pairs import all_pairs
from jaxcompress.compression._readout import Solver, factored
from jaxcompress.kernels import AbstractInputs
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import Layer, as_layer


class Aim(NamedTuple):
    """The target on standard normal inputs, its output bias, the law, `E‖f_target‖²` and `E
    f_target`.
    """

    layer: Layer
    offset: Float[Array, " o"] | None
    inputs: AbstractInputs
    second_moment: Float[Array, ""]
    average: Float[Array, " o"]


class Model(NamedTuple):
    """What is known at one point. `table`: `E f f` of the student's neurons with themselves and
    with the target's.

    `readout`: the best one, with the output bias as its last row where there is one. `units`: the
    unit vectors of student and target; `slopes` and `slopes_alone`: `E[f′ f]` and `E[f′]`; `cross`,
    `bend` and `alone`: second moments, already times what they enter with; `coefficients` and
    `gap`: readouts and output bias of the residual.
    """

    risk: Float[Array, ""]
    gradient: Float[Array, "n p"]
    readout: Float[Array, "m o"]
    table: Float[Array, "n nk"]
    means: Float[Array, " n"]
    solver: Solver
    units: Float[Array, "nk r"]
    slopes: Vectors
    slopes_alone: Alone
    cross: Matrices
    bend: Matrices
    alone: Alone
    coefficients: Float[Array, "nk o"]
    gap: Float[Array, " o"]
    lift: Float[Array, "p r1"]


def hidden_of(student: TwoLayer) -> Float[Array, "*runs n p"]:
    """The hidden parameters, one row a neuron."""
    if student.bias is None:
        return student.weights
    return jnp.concatenate([student.weights, student.bias[..., None]], axis=-1)


def with_hidden(
    student: TwoLayer, hidden: Float[Array, "n p"], readout: Float[Array, "m o"]
) -> TwoLayer:
    """A student of the same structure with these hidden parameters and this readout, the output
    bias last in it.
    """
    n, d = student.weights.shape
    bias = None if student.bias is None else hidden[:, d]
    offset = None if student.output_bias is None else readout[n].reshape(student.output_bias.shape)
    return TwoLayer(
        hidden[:, :d], readout[:n].reshape(student.readout.shape), bias, offset, student.activation
    )


@eqx.filter_jit
def model_at(aim: Aim, student: TwoLayer) -> Model:
    """Measure a student (its readout does not matter) against a target of the same activation."""
    x, n = as_layer(student, aim.inputs), student.width
    pairs = all_pairs(x, aim.layer)
    units, slopes = pairs.units, pairs.slopes
    neuron_means, slopes_alone, alone = alone_moments(pairs.norms, x)
    solver, readout, risk = _project(aim, student, pairs.table, neuron_means)
    a = readout[:n]
    away = jnp.zeros_like(a[0]) if student.output_bias is None else readout[n]
    gap = away if aim.offset is None else away - aim.offset
    coefficients = jnp.concatenate([a, -aim.layer.readout])
    weight = a @ coefficients.T
    constant = a @ gap
    slope = _joined(
        jnp.sum(weight * slopes.mean, 1) + constant * slopes_alone.mean,
        (jnp.sum(weight * slopes.x, 1) + constant * slopes_alone.x)[:, None] * units[:n]
        + (weight * slopes.y) @ units,
    )
    lift = lift_of(aim.inputs, student)
    bend = jax.tree.map(lambda leaf: weight * leaf, pairs.bend)
    return Model(
        risk=risk,
        gradient=2 * slope @ lift.T,
        readout=readout,
        table=pairs.table,
        means=neuron_means,
        solver=solver,
        units=units,
        slopes=slopes,
        slopes_alone=slopes_alone,
        cross=jax.tree.map(lambda leaf: weight[:, :n] * leaf, pairs.cross),
        bend=bend,
        alone=Alone(
            jnp.sum(bend.mean, 1) + constant * alone.mean,
            jnp.sum(bend.x, 1) + constant * alone.x,
            jnp.sum(bend.xx, 1) + constant * alone.xx,
        ),
        coefficients=coefficients,
        gap=gap,
        lift=lift,
    )


def curvature(
    model: Model, vector: Float[Array, "n p"], share: Float[Array, ""]
) -> Float[Array, "n p"]:
    """The Hessian of the projected risk times a vector, the terms of the residual by their share
    `t`.
    """
    n = vector.shape[0]
    standard = vector @ model.lift
    v, shift = standard[:, :-1], standard[:, -1]
    units, a = model.units, model.readout[:n]
    met = v @ units.T  # ŷ_j · v_i
    along = jnp.diagonal(met)  # x̂_i · v_i
    by_other = met[:, :n].T  # x̂_i · v_j
    # what hidden parameters do: through the slopes of two neurons, and through the bend of one
    q, bend, alone = model.cross, model.bend, model.alone
    slopes, slopes_alone = model.slopes, model.slopes_alone
    on_x = jnp.sum(q.xx * by_other + q.xy * along[None] + q.x * shift[None], 1)
    on_y = q.xy * by_other + q.yy * along[None] + q.y * shift[None]
    on_one = jnp.sum(q.mean * shift[None] + q.x * by_other + q.y * along[None], 1)
    straight = q.mean @ v + share * alone.mean[:, None] * v
    on_x += share * (alone.xx * along + jnp.sum(bend.xy * met, 1) + alone.x * shift)
    on_one += share * (alone.mean * shift + alone.x * along + jnp.sum(bend.y * met, 1))
    on_all = share * (bend.xy * along[:, None] + bend.yy * met + bend.y * shift[:, None])
    # what the readout takes back
    # E[f′_i g_j x̄]·v_i
    drift = slopes.x * along[:, None] + slopes.y * met + slopes.mean * shift[:, None]
    drift_alone = slopes_alone.x * along + slopes_alone.mean * shift
    moved = drift[:, :n].T @ a
    away = drift @ model.coefficients + drift_alone[:, None] * model.gap[None]
    if model.readout.shape[0] > n:
        moved, away = (
            jnp.concatenate([moved, (drift_alone @ a)[None]]),
            jnp.pad(away, ((0, 1), (0, 0))),
        )
    plain, rest = jnp.split(model.solver(jnp.concatenate([moved, away], axis=1)), 2, axis=1)
    back, both = plain + share * rest, share * (plain + rest)
    returned = both[:n] @ model.coefficients.T
    returned = returned.at[:, :n].add(a @ back[:n].T)
    constant = both[:n] @ model.gap + (a @ back[n] if model.readout.shape[0] > n else 0)
    on_all = on_all.at[:, :n].add(on_y) - returned * slopes.y
    on_x -= jnp.sum(returned * slopes.x, 1) + slopes_alone.x * constant
    on_one -= jnp.sum(returned * slopes.mean, 1) + slopes_alone.mean * constant
    out = _joined(on_one, straight + on_x[:, None] * units[:n] + on_all @ units)
    return 2 * out @ model.lift.T


def sensitivity(model: Model) -> Float[Array, " n"]:
    """How much of the output moves with each neuron: `‖a_i‖² E f′²`, the natural unit of its hidden
    parameters.
    """
    return 2 * jnp.diagonal(model.cross.mean)


def _joined(on_one: Array, on_inputs: Array) -> Float[Array, "n r1"]:
    return jnp.concatenate([on_inputs, on_one[:, None]], axis=1)


def _project(
    aim: Aim, student: TwoLayer, table: Float[Array, "n nk"], means: Float[Array, " n"]
) -> tuple[Solver, Float[Array, "m o"], Float[Array, ""]]:
    """The best readout, what solves for it, and the risk there."""
    n = student.width
    matrix, right = table[:, :n], table[:, n:] @ aim.layer.readout
    if aim.offset is not None:
        right += means[:, None] * aim.offset[None]
    if student.output_bias is not None:
        matrix = jnp.block(
            [[matrix, means[:, None]], [means[None], jnp.ones((1, 1), matrix.dtype)]]
        )
        right = jnp.concatenate([right, aim.average[None]])
    solver = factored(matrix)
    readout = solver(right)
    return solver, readout, aim.second_moment + jnp.sum(readout * (matrix @ readout - 2 * right))


def lift_of(inputs: AbstractInputs, student: TwoLayer) -> Float[Array, "p r1"]:
    """The linear map from a neuron's hidden parameters to what it is on `x̄`, read off the law
    itself.
    """
    dtype, d = student.weights.dtype, student.dim
    rows = d + (student.bias is not None)
    weights: Any = np.eye(rows, d, dtype=dtype)
    shift: Any = np.where(np.arange(rows) < d, 0, 1).astype(dtype)
    weights, mean = inputs.standardize(weights, shift)
    return jnp.concatenate([weights, (shift if mean is None else mean)[:, None]], axis=1)
