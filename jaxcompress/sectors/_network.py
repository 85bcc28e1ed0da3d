"""Between the numbers of a sector and the network itself. Letters as in `_sector`."""

import jax.numpy as jnp
import numpy as np

from jaxcompress._internal.checks import as_integer
from jaxcompress.kernels import AbstractActivation
from jaxcompress.networks import TwoLayer
from jaxcompress.sectors._sector import Sector, SectorNumbers

# 10⁸ weights are 0.8 GB.
_LARGEST = 10**8


def lifted(
    sector: Sector, numbers: SectorNumbers, f: AbstractActivation, dim: int | None, dtype
) -> TwoLayer:
    """The network of a point, see `SectorPoint.lift`."""
    given, dim = dim, sector.k if dim is None else as_integer(dim)
    if dim is None or dim < sector.k or sector.n * dim > _LARGEST:
        raise ValueError(
            f"lift: given dim={given!r} for {sector.n} neurons against {sector.k}; expected an "
            f"integer, k at least, and {_LARGEST} weights at most; a point of more neurons is its "
            "numbers"
        )
    a, e, c = (np.asarray(part) for part in numbers)
    first = np.concatenate([[0], np.cumsum(sector.targets)])
    weights, classes = [], np.repeat(np.arange(len(sector.targets)), sector.targets)
    for g, partner in enumerate(sector.partners):
        rows = np.zeros((sector.sizes[g], dim))
        rows[:, : sector.k] = c[g, classes][None]
        if partner is not None:
            rows[np.arange(len(rows)), first[partner] + np.arange(len(rows))] += e[g]
        weights.append(rows)
    readout = np.repeat(a, sector.sizes)
    return TwoLayer(
        jnp.asarray(np.concatenate(weights), dtype), jnp.asarray(readout, dtype), activation=f
    )


def sector_coordinates(sector: Sector, network: TwoLayer) -> SectorNumbers:
    """The numbers of the nearest network of a sector: averages over its group, and the inverse of
    `lift`.

    Arguments: a network of `n` neurons, one output and no biases, ordered as `SectorPoint.lift`
    orders it, whose first `k` inputs are the target's directions.
    Returns `SectorNumbers` in its dtype, a start for `solve_sector`.
    Raises `ValueError` for networks of other shapes. Where it fails: it orders nothing; an
    `align`ed network does.
    """
    if network.parameters().keys() != {"weights", "readout"} or network.readout.shape != (
        sector.n,
    ):
        raise ValueError(
            "sector_coordinates: given "
            f"{', '.join(f'{n} {x.shape}' for n, x in network.parameters().items())} for {sector}; "
            f"expected one network of {sector.n} neurons with one output and no biases"
        )
    if network.dim < sector.k:
        raise ValueError(
            f"sector_coordinates: given {network.dim} inputs for {sector}; expected {sector.k} at "
            "least, the target's directions first; rotate the network so"
        )
    ends = np.cumsum(sector.sizes)[:-1]
    columns = np.cumsum(sector.targets)
    parts = [
        _average(rows, p, columns)
        for rows, p in zip(np.split(network.weights, ends), sector.partners, strict=True)
    ]
    readout = [np.mean(part) for part in np.split(np.asarray(network.readout), ends)]
    dtype = network.weights.dtype
    own, overlaps = ([part[i] for part in parts] for i in (0, 1))
    return SectorNumbers(
        *(jnp.asarray(np.asarray(part), dtype) for part in (readout, own, overlaps))
    )


def _average(rows: np.ndarray, partner: int | None, ends: np.ndarray) -> tuple[float, np.ndarray]:
    """Own part and overlaps of one class; the partner's own entry is told from those beside it."""
    blocks = np.split(np.asarray(rows)[:, : ends[-1]], ends[:-1], axis=1)
    overlaps = np.array([block.mean() for block in blocks])
    if partner is None:
        return 0.0, overlaps
    block, count = blocks[partner], len(rows)
    entry = np.trace(block) / count
    beside = (block.sum() - np.trace(block)) / max(count * (count - 1), 1)
    overlaps[partner] = beside
    return entry - beside, overlaps
