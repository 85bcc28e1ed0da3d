"""The risk in the numbers of a sector, for any number of neurons.

`R = (Σ_g n_g a_g m_0 − k m_0)² + Σ_h k_h (Σ_g a_g m_1 (n_g c_gh + [p = h] e_g) − m_1)² + Σ_pairs`, where `m_0 = E f` and
`m_1 = E f′` belong to each neuron and the pairs are those of the orders from 2 on (`kernels.rests`), with how often each
occurs. The first two brackets vanish together at a good student: `k²` never appears, to be taken away again.

Target classes enter the pairs as student classes of readout `−1`, own part 1 and overlaps 0; `p`, `q` count both kinds.
Letters as in `_sector`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation, AbstractRests, centred_means, rests
from jaxcompress.landscape._sector import SectorNumbers
from jaxcompress.special import divide

Partners = tuple[int | None, ...]


def known_rests(where: str, f: AbstractActivation) -> AbstractRests:
    """The rests of an activation that has them; raises `ValueError` for others."""
    found = rests(f)
    if found is None:
        raise ValueError(
            f"{where}: given the activation {f!r}; expected erf or relu, whose pairs are known without cancellation; "
            "solve a small network of it with jaxcompress.solve"
        )
    return found


def sector_risk(
    f: AbstractActivation, partners: Partners, targets: Float[Array, " H"], numbers: SectorNumbers
) -> Float[Array, ""]:
    """The risk; differentiable twice, with sizes `targets` that may be traced.

    Within a class that copies, what students and targets of the same partner leave together is
    `k_h ((Σ b)(Σ b r_pp) − Σ_{p<q} b_p b_q |p − q|²)`: next to a copy both products are small each on its own. Summed as
    `a² r_ww − 2a r_wv + r_vv` it would be good to `1e-17 k` only.
    """
    known, means = known_rests("sector_risk", f), centred_means(f)
    assert means is not None  # whoever has rests has means
    everyone, sizes = _everyone(partners, targets, numbers)
    b, e, c = everyone
    width, height = len(partners), len(targets)
    paired = _membership(partners, height)
    square = _squares(paired, targets, everyone)
    m0, m1, *_ = means(square)
    linear = (b * m1) @ (sizes[:, None] * c + paired * e[:, None])
    lower = jnp.dot(b * sizes, m0) ** 2 + jnp.dot(targets, linear**2)
    own = b * known.own(square)
    lone = jnp.asarray([each is None for each in partners] + [False] * height)
    same = jnp.dot(targets, (b @ paired) * (own @ paired)) + jnp.sum(jnp.where(lone, b * own, 0))
    return lower + same + _pairs(known, partners, targets, everyone, sizes)


def _everyone(partners: Partners, targets: Array, numbers: SectorNumbers) -> tuple[SectorNumbers, Array]:
    """Student and target classes in one list, and how many neurons they have."""
    height = targets.shape[0]
    one, eye = jnp.ones_like(targets), jnp.zeros((height, height), targets.dtype)
    everyone = SectorNumbers(
        jnp.concatenate([numbers.readout, -one]),
        jnp.concatenate([numbers.own, one]),
        jnp.concatenate([numbers.overlaps, eye]),
    )
    sizes = [jnp.ones((), targets.dtype) if each is None else targets[each] for each in partners]
    return everyone, jnp.concatenate([jnp.stack(sizes), targets])


@functools.cache
def _membership(partners: Partners, height: int) -> np.ndarray:
    """`(G + H, H)`: one where a class belongs to a target class."""
    rows = [[float(each == h) for h in range(height)] for each in (*partners, *range(height))]
    return np.array(rows)


def _squares(paired: np.ndarray, targets: Array, everyone: SectorNumbers) -> Array:
    """`|w|²` of a neuron of each class, a sum of squares."""
    _, e, c = everyone
    return jnp.sum((targets[None] - paired) * c**2 + paired * (c + e[:, None]) ** 2, 1)


@functools.cache
def _kinds(partners: Partners, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs `(p, q)` of classes: those that share a partner, for neurons on the same place; and all that have neurons
    on different places. Two targets are orthogonal, and a single neuron has no second place."""
    everyone, width = (*partners, *range(height)), len(partners)
    pairs = [(p, q) for p in range(len(everyone)) for q in range(p, len(everyone)) if p < width]
    sharing = [(p, q) for p, q in pairs if p < q and everyone[p] is not None and everyone[p] == everyone[q]]
    across = [(p, q) for p, q in pairs if p < q or everyone[p] is not None]
    return np.array(sharing, int).reshape(-1, 2).T, np.array(across, int).reshape(-1, 2).T


def _pairs(known: AbstractRests, partners: Partners, targets: Array, everyone: SectorNumbers, sizes: Array) -> Array:
    """`Σ b_p b_q r` over neurons on different places, less `Σ b_p b_q |p − q|²` over those that share one."""
    paired, b = _membership(partners, targets.shape[0]), everyone.readout
    (p, q), (i, j) = _kinds(partners, targets.shape[0])
    total = jnp.zeros((), targets.dtype)
    if p.size:
        w, u = _vectors(targets, everyone, (p, q), paired[p], paired[q], shared=True)
        total -= jnp.dot(sizes[p] * b[p] * b[q], known.apart(w, u))
    if i.size:
        w, u = _vectors(targets, everyone, (i, j), paired[i], paired[j], shared=False)
        others = sizes[j] - np.sum(paired[i] * paired[j], 1)
        twice = np.where(i == j, 1.0, 2.0)
        total += jnp.dot(twice * sizes[i] * others * b[i] * b[j], known.rest(w, u))
    return total


def _vectors(
    targets: Array, everyone: SectorNumbers, pairs: tuple, first: np.ndarray, second: np.ndarray, *, shared: bool
) -> tuple[Array, Array]:
    """Two neurons in `H + 2` orthonormal coordinates: what they have along the rest of each class, and on the places of
    both; `first`, `second` say which classes these are in. Linear in the numbers, so that derivatives are exact."""
    p, q = pairs
    _, e, c = everyone
    places = (first,) if shared else (first, second)
    bulk = jnp.sqrt(jnp.maximum(targets[None] - sum(places), 0))
    at = [(jnp.sum(place * c[p], 1), jnp.sum(place * c[q], 1)) for place in places]
    one, two = e[p] * first.sum(1), e[q] * second.sum(1)
    w = [at[0][0] + one, *(x for x, _ in at[1:])]
    u = [at[0][1] + two] if shared else [at[0][1], at[1][1] + two]
    return tuple(jnp.concatenate([c[a] * bulk, jnp.stack(x, 1)], 1) for a, x in ((p, w), (q, u)))


def steepest(partners: Partners, targets: Array, slope: SectorNumbers) -> Float[Array, ""]:
    """The largest entry of the gradient of the full risk, in all weights and readouts, from that in the numbers.

    The full gradient has the symmetry of its point: by `w_j` it is `α v_partner + Σ_h β_h S_h`, so that
    `∂R/∂e = n(α + β_p)`, `∂R/∂c_h = n(k_h β_h + [p = h] α)`.
    """
    height = targets.shape[0]
    paired = _membership(partners, height)[: len(partners)]
    sizes = jnp.where(paired.any(1), paired @ targets, 1)
    total = slope.overlaps / sizes[:, None]
    partner_entry = slope.own / sizes
    others = divide(total - paired * partner_entry[:, None], jnp.maximum(targets[None] - paired, 0))
    parts = (slope.readout / sizes, partner_entry, jnp.ravel(others))
    return jnp.max(jnp.abs(jnp.concatenate(parts)))
