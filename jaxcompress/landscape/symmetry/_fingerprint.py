"""Numbers of a network that no symmetry of the risk changes, to tell thousands of networks apart
before any matching.

Letters as in `_matching`: table `M`, own numbers `o_i`, lengths `‖C_i‖`, `R = (WWᵀ)^{1/2}`. Where
neurons have two signs every neuron is written with both, where maps turn columns every column is,
each time at weight ½ (`ω`).
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import is_concrete
from jaxcompress.landscape.symmetry._checks import check_one
from jaxcompress.landscape.symmetry._distance import Symmetric, symmetries_of
from jaxcompress.landscape.symmetry._lower_bounds import column_points
from jaxcompress.landscape.symmetry._neurons import Neurons, neurons
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries
from jaxcompress.networks import TwoLayer


def fingerprint(network: TwoLayer, target: Symmetric = None) -> Float[Array, " m"]:
    """Numbers that no symmetry changes, and that move no more than the network does.

    `‖fingerprint(a) − fingerprint(b)‖ ≤ min ‖x(a) − P s x(b) Q‖`, the exact distance modulo
    symmetries: networks whose fingerprints differ are distinct, those whose fingerprints agree are
    worth a `distance`. They are what each neuron sees, `(o_i, ‖C_i‖, sort M_i, sort R_i)`, and what
    each target sees, `sort M_·p`, in fixed mixtures, each sorted over neurons or targets (of a
    colour).
    Arguments: one network, traced or not: use `jax.vmap` for many; `target` as for `distance`, with
    entries that are known (for many calls its `target_symmetries`).
    Returns `(m,)` in the network's dtype; `m` depends on sizes, activation and target: 1281 for n =
    k = 20 and ReLU. Cost, one core: 0.5 ms for that one; 1000 of them under `vmap` 0.9 s.
    Raises `ValueError` for leading axes, or sizes that do not fit.
    Where it fails: no derivatives; in float32 it is good to 1e-6 of the norms.

    >>> import jax, jax.numpy as jnp, jaxcompress as jc
    >>> a = jc.targets.random(jax.random.key(0), 3, 4, activation=jc.activations.erf)
    >>> b = jc.TwoLayer(-a.weights[::-1], -a.readout[::-1], activation=a.activation)
    >>> bool(jnp.allclose(jc.landscape.fingerprint(a), jc.landscape.fingerprint(b), atol=1e-5))
    True
    """
    check_one("fingerprint", "network", network)
    symmetries = symmetries_of("fingerprint", network, target)
    # one network is measured in float64 by NumPy, 100 times faster than by operations that are
    # compiled one by one
    traced = not all(is_concrete(array) for array in network.parameters().values())
    xp: Any = jnp if traced else np
    return jnp.asarray(_numbers(neurons(network, xp), symmetries, xp), network.weights.dtype)


def _numbers(rows: Neurons, symmetries: TargetSymmetries | None, xp: Any) -> Any:
    """The fingerprint by NumPy or by `jax.numpy`."""
    table, lengths, colours, omega = _seen(rows, symmetries, xp)
    signs = rows.signs
    u, sizes, _ = xp.linalg.svd(rows.weights, full_matrices=False)
    root = (u * sizes[None]) @ u.T
    related = xp.concatenate([sign * root for sign in signs], 1)
    share = 1 / math.sqrt(len(signs))
    parts = [
        xp.concatenate([rows.own_with(sign) for sign in signs]) / math.sqrt(2),
        xp.concatenate([lengths[:, None]] * len(signs)) / math.sqrt(2),
        xp.concatenate([xp.sort(sign * related, axis=1) for sign in signs])
        * (share / math.sqrt(8)),
    ]
    both = xp.concatenate([sign * table for sign in signs])
    columns = [rows.offset]
    for colour in np.unique(colours):
        group = both[:, np.flatnonzero(colours == colour)]
        parts.append(xp.sort(group, axis=1) * math.sqrt(omega / 2))
        columns.append(_mixed_sorted(xp.sort(group, axis=0).T, xp) * (share * math.sqrt(omega) / 2))
    return xp.concatenate([_mixed_sorted(xp.concatenate(parts, 1), xp) * share, *columns])


def _seen(
    rows: Neurons, symmetries: TargetSymmetries | None, xp: Any
) -> tuple[Any, Any, np.ndarray, float]:
    """The table with a column for every point, the lengths outside the span, the colours of
    columns, their weight.
    """
    w = rows.weights
    if symmetries is None:
        return w, xp.zeros_like(w[:, 0]), np.arange(w.shape[1]), 1.0
    frame = xp.asarray(symmetries.frame, w.dtype)
    table = w @ frame.T
    outside = w - table @ frame if symmetries.complement else xp.zeros_like(w)
    colours = symmetries.colours[column_points(symmetries)]
    if symmetries.doubled:
        table = xp.concatenate([table, -table], 1)
    return table, xp.sqrt(xp.sum(outside**2, 1)), colours, 0.5 if symmetries.doubled else 1.0


def _mixed_sorted(rows: Any, xp: Any) -> Any:
    """The rows in another orthonormal basis (cosines), every coordinate sorted: what a set of rows
    is, without order.

    Coordinates sorted as they are would forget which of them stood in one row.
    """
    size = rows.shape[1]
    grid = np.arange(size)
    basis = np.sqrt(2 / size) * np.cos(np.pi * (grid[:, None] + 0.5) * grid[None] / size)
    basis[:, 0] = np.sqrt(1 / size)
    return xp.ravel(xp.sort(rows @ xp.asarray(basis, rows.dtype), axis=0))
