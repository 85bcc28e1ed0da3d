"""The risk in the numbers of a sector, for any number of neurons.

`R = (Σ_g n_g a_g m_0 − k m_0)² + Σ_h k_h (Σ_g a_g m_1 (n_g c_gh + [p = h] e_g) − m_1)² + Σ_pairs`;
`m_0 = E f` and `m_1 = E f′` belong to each neuron, and the pairs are those of the orders from 2 on
(`hermite_remainder`), with how often each occurs. The first two brackets vanish together at a good
student: `k²` never appears, to be taken away again.

Target classes enter the pairs as student classes of readout `−1`, own part 1 and overlaps 0; `p`,
`q` count both kinds. Letters as in `_sector`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import AbstractHermiteRemainder, centred_means, hermite_remainder
from jaxcompress.sectors._sector import Sector, SectorNumbers
from jaxcompress.special.internal import divide


def known_remainder(where: str, f: AbstractActivation) -> AbstractHermiteRemainder:
    """The Hermite remainder of an activation that has one; raises `ValueError` for others."""
    found = hermite_remainder(f)
    if found is None:
        raise ValueError(
            f"{where}: given the activation {f!r}; expected erf or relu, whose pairs are known "
            "without cancellation; solve a small network of it with jaxcompress.solvers"
        )
    return found


class Classes(NamedTuple):
    """The classes of a sector as arrays: `targets (H,)`, the sizes; `paired (G, H)`, one where a
    class is paired.
    """

    targets: Float[Array, " H"]
    paired: Float[Array, "G H"]


def classes(sector: Sector) -> Classes:
    """Arrays of one shape for all sectors with as many classes, which then share what is
    compiled.
    """
    paired = [[float(each == h) for h in range(len(sector.targets))] for each in sector.partners]
    return Classes(jnp.asarray(sector.targets, float), jnp.asarray(paired, float))


def sector_risk(
    f: AbstractActivation, classes: Classes, numbers: SectorNumbers
) -> Float[Array, ""]:
    """The risk; differentiable twice, and all classes may be traced.

    Within a class that copies, what students and targets of the same partner leave together is `k_h
    ((Σ b)(Σ b r_pp) − Σ_{p<q} b_p b_q |p − q|²)`: next to a copy both products are small each on
    its own. Summed as `a² r_ww − 2a r_wv + r_vv` it would be good to `1e-17 k` only.
    """
    known, means = known_remainder("sector_risk", f), centred_means(f)
    assert means is not None  # where the remainder is known, the means are
    targets = classes.targets
    everyone, paired, sizes = _everyone(classes, numbers)
    b, e, c = everyone
    square = squares(targets, paired, everyone)
    m0, m1, *_ = means(square)
    linear = (b * m1) @ (sizes[:, None] * c + paired * e[:, None])
    lower = jnp.dot(b * sizes, m0) ** 2 + jnp.dot(targets, linear**2)
    own = b * known.own(square)
    same = jnp.dot(targets, (b @ paired) * (own @ paired)) + jnp.dot(
        (1 - jnp.sum(paired, 1)) * b, own
    )
    return lower + same + _pairs(known, targets, paired, everyone, sizes)


def squares(targets: Array, paired: Array, everyone: SectorNumbers) -> Array:
    """`|w|²` of a neuron of each class, as a sum of squares."""
    _, e, c = everyone
    return jnp.sum((targets[None] - paired) * c**2 + paired * (c + e[:, None]) ** 2, 1)


def _everyone(classes: Classes, numbers: SectorNumbers) -> tuple[SectorNumbers, Array, Array]:
    """Student and target classes in one list, with partners and with how many neurons they have."""
    targets, paired = classes
    one, eye = jnp.ones_like(targets), jnp.eye(targets.shape[0], dtype=targets.dtype)
    everyone = SectorNumbers(
        jnp.concatenate([numbers.readout, -one]),
        jnp.concatenate([numbers.own, one]),
        jnp.concatenate([numbers.overlaps, 0 * eye]),
    )
    return everyone, jnp.concatenate([paired, eye]), jnp.concatenate([_sizes(classes), targets])


def _sizes(classes: Classes) -> Float[Array, " G"]:
    """How many neurons each class of the student has."""
    return classes.paired @ (classes.targets - 1) + 1


def _pairs(
    known: AbstractHermiteRemainder,
    targets: Array,
    paired: Array,
    everyone: SectorNumbers,
    sizes: Array,
) -> Array:
    """`Σ b_p b_q r` over neurons on different places, less `Σ b_p b_q |p − q|²` over those that
    share one.

    Two targets are orthogonal, and a class meets itself on different places.
    """
    width, b = sizes.shape[0] - targets.shape[0], everyone.readout
    p, q = np.array([(p, q) for p in range(width) for q in range(p, sizes.shape[0])]).T
    sharing = jnp.sum(paired[p] * paired[q], 1)
    w, u = _vectors(targets, everyone, (p, q), (paired[p], paired[q]), shared=False)
    lone = 1 - jnp.sum(paired, 1)
    others = sizes[q] - jnp.where(p == q, jnp.maximum(sharing, lone[p]), sharing)
    total = jnp.dot(np.where(p == q, 1.0, 2.0) * sizes[p] * others * b[p] * b[q], known.pair(w, u))
    apart = p < q
    p, q, sharing = p[apart], q[apart], sharing[apart]
    w, u = _vectors(targets, everyone, (p, q), (paired[p], paired[q]), shared=True)
    return total - jnp.dot(sharing * sizes[p] * b[p] * b[q], known.squared_distance(w, u))


def _vectors(
    targets: Array,
    everyone: SectorNumbers,
    pairs: tuple,
    places: tuple[Array, Array],
    *,
    shared: bool,
) -> tuple[Array, Array]:
    """Two neurons in orthonormal coordinates: what they have along the rest of each class, and on
    the places of both; `places (pairs, H)` say in which classes these are. Linear in the numbers,
    so that derivatives are exact."""
    p, q = pairs
    _, e, c = everyone
    kept = places[:1] if shared else places
    bulk = jnp.sqrt(jnp.maximum(targets[None] - sum(kept), 0))
    at = [[jnp.sum(place * c[each], 1) for place in kept] for each in (p, q)]
    at[0][0] += e[p] * jnp.sum(places[0], 1)
    at[1][-1] += e[q] * jnp.sum(places[1], 1)
    w, u = (
        jnp.concatenate([c[each] * bulk, jnp.stack(x, 1)], 1)
        for each, x in zip((p, q), at, strict=True)
    )
    return w, u


def steepest(classes: Classes, slope: SectorNumbers) -> Float[Array, ""]:
    """The largest entry of the gradient of the full risk, in all weights and readouts, from that in
    the numbers.

    The full gradient has the symmetry of its point: by `w_j` it is `α v_partner + Σ_h β_h S_h`, so
    that `∂R/∂e = n(α + β_p)`, `∂R/∂c_h = n(k_h β_h + [p = h] α)`.
    """
    targets, paired = classes
    sizes = _sizes(classes)
    partner_entry = slope.own / sizes
    total = slope.overlaps / sizes[:, None] - paired * partner_entry[:, None]
    others = divide(total, jnp.maximum(targets[None] - paired, 0))
    parts = (slope.readout / sizes, partner_entry, jnp.ravel(others))
    return jnp.max(jnp.abs(jnp.concatenate(parts)))
