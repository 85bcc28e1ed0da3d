"""Rodas5P: a linearly implicit method for gradient flows `dy/dt = −∇φ(y)`.

Eight stages, order five with an embedded estimate of order four, stiffly accurate and L-stable,
with dense output of order four. A stage solves one linear system with `M = I/(γh) + ∇²φ(y)`, the
same for all stages and symmetric: one Cholesky factorisation a step and no iteration. A step so
long that `M` is indefinite (the flow leaves a saddle) has no factor; its trial is NaN, and the step
is rejected.

Coefficients: Steinebach 2023, *Construction of Rosenbrock–Wanner method Rodas5P and numerical
benchmarks within the Julia Differential Equations package*, BIT 63:27, in the form without products
by the Jacobian (Hairer & Wanner 1996, section IV.7): stage `i` solves `M k_i = −∇φ(y + Σ_j a_ij
k_j) + Σ_j (c_ij/h) k_j`, and the step is `y + Σ_j a_8j k_j + k_8`, with `k_8` the error estimate.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

GAMMA = 0.21193756319429014
_LAST = [
    -7.502846399306121,
    2.561846144803919,
    -11.627539656261098,
    -0.18268767659942256,
    0.030198172008377946,
]


def _lower(*rows: list[float]) -> np.ndarray:
    out = np.zeros((8, 8))
    for i, row in enumerate(rows, 1):
        out[i, : len(row)] = row
    return out


_A = _lower(
    [3.0],
    [2.849394379747939, 0.45842242204463923],
    [-6.954028509809101, 2.489845061869568, -10.358996098473584],
    [2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641],
    _LAST,
    [*_LAST, 1.0],
    [*_LAST, 1.0, 1.0],
)
_C = _lower(
    [-14.155112264123755],
    [-17.97296035885952, -2.859693295451294],
    [147.12150275711716, -1.41221402718213, 71.68940251302358],
    [165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306],
    [
        24.854864614690072,
        -3.0009227002832186,
        47.4931110020768,
        5.5814197821558125,
        -0.6610691825249471,
    ],
    [
        30.91273214028599,
        -3.1208243349937974,
        77.79954646070892,
        34.28646028294783,
        -19.097331116725623,
        -28.087943162872662,
    ],
    [
        37.80277123390563,
        -3.2571969029072276,
        112.26918849496327,
        66.9347231244047,
        -40.06618937091002,
        -54.66780262877968,
        -9.48861652309627,
    ],
)
DENSE = np.array(
    [
        [
            25.948786856663858,
            -2.5579724845846235,
            10.433815404888879,
            -2.3679251022685204,
            0.524948541321073,
            1.1241088310450404,
            0.4272876194431874,
            -0.17202221070155493,
        ],
        [
            -9.91568850695171,
            -0.9689944594115154,
            3.0438037242978453,
            -24.495224566215796,
            20.176138334709044,
            15.98066361424651,
            -6.789040303419874,
            -6.710236069923372,
        ],
        [
            11.419903575922262,
            2.8879645146136994,
            72.92137995996029,
            80.12511834622643,
            -52.072871366152654,
            -59.78993625266729,
            -0.15582684282751913,
            4.883087185713722,
        ],
    ]
)

# Up to here a solve by the explicit inverse of the factor is two products, three times faster than
# two triangular solves (24 unknowns, one core: 0.21 against 0.68 µs); beyond it the inverse costs
# more than it saves.
_EXPLICIT = 64


def factor(
    hessian: Float[Array, "slots P P"], shift: Float[Array, " slots"]
) -> Float[Array, "slots P P"]:
    """What `apply_inverse` needs of `shift·I + hessian`; NaN where that is not positive
    definite.
    """
    size = hessian.shape[-1]
    eye = jnp.eye(size, dtype=hessian.dtype)
    lower = jax.lax.linalg.cholesky(
        hessian + shift[:, None, None] * eye[None], symmetrize_input=False
    )
    if size > _EXPLICIT:
        return lower
    identity = jnp.broadcast_to(eye, lower.shape)
    return jax.lax.linalg.triangular_solve(lower, identity, left_side=True, lower=True)


def apply_inverse(
    factored: Float[Array, "slots P P"], right: Float[Array, "P slots"]
) -> Float[Array, "P slots"]:
    """The solution of the systems that were factored."""
    if right.shape[0] <= _EXPLICIT:
        half = jnp.einsum("bij,jb->bi", factored, right)
        return jnp.einsum("bij,bi->jb", factored, half)
    half = jax.lax.linalg.triangular_solve(factored, right.T[..., None], left_side=True, lower=True)
    return jax.lax.linalg.triangular_solve(
        factored, half, left_side=True, lower=True, transpose_a=True
    )[..., 0].T


# Rows of a step, for a loop whose stage `i` evaluates the gradient at `y + Σ_j A_ij k_j`: rows 1 to
# 7 are the stages, and row 8 is the step's end. `stage 0` is `y` itself, where the gradient is
# known.
STAGES = np.pad(np.concatenate([_A, [[*_LAST, 1.0, 1.0, 1.0]]]), ((0, 0), (0, 1)))
PULLS = np.pad(_C, ((0, 1), (0, 1)))


def rosenbrock_stages(
    gradient: Callable[[Array], Array],
    hessian: Float[Array, "slots P P"],
    y: Float[Array, "P slots"],
    slope: Float[Array, "P slots"],
    h: Float[Array, " slots"],
) -> tuple[Float[Array, "P slots"], Float[Array, "8 P slots"]]:
    """One step of length `h` from `y`, where the gradient is `slope`: the new point and the stages
    `k`.

    `k[7]` is the error estimate. The stages are a loop, so that `gradient` is compiled once.
    """
    factored = factor(hessian, 1 / (GAMMA * h))
    both = jnp.asarray(np.stack([_A, _C], 1), y.dtype)

    def stage(i, k):
        moved, pulled = jnp.tensordot(both[i], k, 1)
        return k.at[i].set(apply_inverse(factored, pulled / h[None] - gradient(y + moved)))

    first = jnp.zeros((8, *y.shape), y.dtype).at[0].set(apply_inverse(factored, -slope))
    k = jax.lax.fori_loop(1, 8, stage, first)
    return y + jnp.tensordot(both[7, 0], k, 1) + k[7], k
