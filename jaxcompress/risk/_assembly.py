"""From blocks to the Hessian in a student's parameters: one place for all risks of this form.

`θ_i = (w_i, bias_i)` are a neuron's inner parameters, `p` of them; `a` is the readout.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import AbstractNetwork


class WithOne(NamedTuple):
    """Products with the neuron that is always one: `E[f′_i x̄]` and `E f_i`."""

    derivatives: Float[Array, "n p"]
    means: Float[Array, " n"]


class Blocks(NamedTuple):
    """What a Hessian is made of: second derivatives by inner parameters (`inner`), by readouts of
    one output (`outer`) and by both (`mixed`); `one` for an output bias, which `None` leaves out.
    """

    inner: Float[Array, "n p n p"]
    outer: Float[Array, "n n"]
    mixed: Float[Array, "n p n o"]
    one: WithOne | None


def parameter_mask(network: AbstractNetwork, freeze: Sequence[str]) -> np.ndarray:
    """Which entries of the flattened network move: a static boolean array of length P."""
    return np.concatenate(
        [np.full(array.size, name not in freeze) for name, array in network.parameters().items()]
    )


def assembled(
    student: TwoLayer, blocks: Blocks, lift: Float[Array, "p r1"], freeze: Sequence[str]
) -> Float[Array, "P P"]:
    """The Hessian by the student's parameters from its blocks, `lift` taking `(w, bias)` to what
    these stand for.
    """
    readout = student.readout_matrix
    inner = jnp.einsum("pa,iajb,qb->ipjq", lift, blocks.inner, lift)
    mixed = jnp.einsum("pa,ialo->iplo", lift, blocks.mixed)
    names = list(student.parameters())
    n, d, o = student.width, student.dim, readout.shape[1]
    sizes = {"weights": n * d, "readout": n * o, "bias": n, "output_bias": o}
    cuts = {
        name: cut
        for name, cut in {"weights": slice(0, d), "bias": slice(d, d + 1)}.items()
        if name in names
    }
    eye = jnp.eye(o, dtype=inner.dtype)
    rows = {("readout", "readout"): blocks.outer[:, None, :, None] * eye[None, :, None, :]}
    for name, cut in cuts.items():
        rows[name, "readout"] = mixed[:, cut]
        rows.update(
            {(name, other): inner[:, cut, :, other_cut] for other, other_cut in cuts.items()}
        )
    if "output_bias" in names:
        assert blocks.one is not None  # a student with an output bias meets the constant
        slope = jnp.einsum("pa,ia,io->ipo", lift, blocks.one.derivatives, 2 * readout)
        rows["output_bias", "output_bias"] = 2 * eye
        rows["readout", "output_bias"] = 2 * blocks.one.means[:, None, None] * eye[None]
        rows.update({(name, "output_bias"): slope[:, cut] for name, cut in cuts.items()})
    rows = {(p, q): block.reshape(sizes[p], sizes[q]) for (p, q), block in rows.items()}
    full = jnp.block(
        [[rows[p, q] if (p, q) in rows else rows[q, p].T for q in names] for p in names]
    )
    moving = np.flatnonzero(parameter_mask(student, freeze))
    full = 0.5 * (full + full.T)
    return full if len(moving) == full.shape[0] else full[np.ix_(moving, moving)]
