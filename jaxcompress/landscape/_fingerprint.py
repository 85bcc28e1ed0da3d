"""Numbers of a network that no symmetry of the risk changes, to tell thousands of networks apart before any matching.

Letters as in `_matching`: table `M`, own numbers `o_i`, lengths `‖C_i‖`, `R = (WWᵀ)^{1/2}`. Where neurons have two
signs every neuron is written with both, where maps turn columns every column is, each time at weight ½ (`ω`).
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.landscape._distance import Symmetric, check_one, symmetries_of
from jaxcompress.landscape._hierarchy import column_points
from jaxcompress.landscape._neurons import Neurons, neurons
from jaxcompress.landscape._symmetries import TargetSymmetries
from jaxcompress.networks import TwoLayer


def fingerprint(network: TwoLayer, target: Symmetric = None) -> Float[Array, " m"]:
    """Numbers that no symmetry changes, and that move no more than the network does.

    `‖fingerprint(a) − fingerprint(b)‖ ≤ min ‖x(a) − P s x(b) Q‖`, the exact distance modulo symmetries: networks whose
    fingerprints differ are distinct, those whose fingerprints agree are worth a `distance`. They are what each neuron
    sees, `(o_i, ‖C_i‖, sort M_i, sort R_i)`, and what each target sees, `sort M_·p`, in fixed mixtures, each sorted
    over neurons or targets (of a colour).
    Arguments: one network, traced or not: use `jax.vmap` for many; `target` as for `distance`, with entries that are
    known (for many calls its `target_symmetries`).
    Returns `(m,)` in the network's dtype; `m` depends on sizes, activation and target: 1241 for n = k = 20 and ReLU.
    Raises `ValueError` for leading axes, or sizes that do not fit.
    Where it fails: no derivatives; in float32 it is good to 1e-6 of the norms.
    """
    check_one("fingerprint", "network", network)
    symmetries = symmetries_of("fingerprint", network, target)
    rows = neurons(network, jnp)
    table, lengths, colours, omega = _seen(rows, symmetries)
    signs = rows.signs
    root = _root(rows.weights)
    related = jnp.concatenate([sign * root for sign in signs], 1)
    share = 1 / math.sqrt(len(signs))
    parts = [
        jnp.concatenate([rows.own_with(sign) for sign in signs]) / math.sqrt(2),
        jnp.concatenate([lengths[:, None]] * len(signs)) / math.sqrt(2),
        jnp.concatenate([jnp.sort(sign * related, axis=1) for sign in signs]) * (share / math.sqrt(8)),
    ]
    both = jnp.concatenate([sign * table for sign in signs])
    columns = [rows.offset]
    for colour in np.unique(colours):
        group = both[:, np.flatnonzero(colours == colour)]
        parts.append(jnp.sort(group, axis=1) * math.sqrt(omega / 2))
        columns.append(_mixed_sorted(jnp.sort(group, axis=0).T) * (share * math.sqrt(omega) / 2))
    return jnp.concatenate([_mixed_sorted(jnp.concatenate(parts, 1)) * share, *columns])


def _seen(rows: Neurons, symmetries: TargetSymmetries | None) -> tuple[Array, Array, np.ndarray, float]:
    """The table with a column for every point, the lengths outside the span, the colours of columns, their weight."""
    w = rows.weights
    if symmetries is None:
        return w, jnp.zeros_like(w[:, 0]), np.arange(w.shape[1]), 1.0
    frame = jnp.asarray(symmetries.frame, w.dtype)
    table = w @ frame.T
    outside = w - table @ frame if symmetries.complement else jnp.zeros_like(w)
    colours = symmetries.colours[column_points(symmetries)]
    if symmetries.doubled:
        table = jnp.concatenate([table, -table], 1)
    return table, jnp.sqrt(jnp.sum(outside**2, 1)), colours, 0.5 if symmetries.doubled else 1.0


def _root(rows: Array) -> Array:
    u, sizes, _ = jnp.linalg.svd(rows, full_matrices=False)
    return (u * sizes[None]) @ u.T


def _mixed_sorted(rows: Array) -> Array:
    """The rows in another orthonormal basis (cosines), every coordinate sorted: what a set of rows is, without order.

    Coordinates sorted as they are would forget which of them stood in one row.
    """
    size = rows.shape[1]
    grid = np.arange(size)
    basis = np.sqrt(2 / size) * np.cos(np.pi * (grid[:, None] + 0.5) * grid[None] / size)
    basis[:, 0] = np.sqrt(1 / size)
    return jnp.ravel(jnp.sort(rows @ jnp.asarray(basis, rows.dtype), axis=0))
