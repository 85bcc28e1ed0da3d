"""One kind of critical point for ever wider targets: a family of sectors, followed from size to
size.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcompress._internal.checks import as_integer
from jaxcompress.kernels import AbstractActivation
from jaxcompress.sectors._sector import Sector, SectorNumbers
from jaxcompress.sectors._solve import SectorPoint, solve_sector
from jaxcompress.sectors._starts import default_start

# Between sizes further apart than this factor others are solved too, so that the prediction stays
# close: copy–averages, perturbed copies and turned ReLUs were all kept from 20 to 10⁶, at 1 ms a
# size.
_STRIDE = 2.0
# Numbers that change faster than this with k are not following a power of k, but on their way
# through zero.
_STEEPEST = 2.5


class SectorFamily(eqx.Module):
    """Points of a family, one a size.

    `sizes`: the parameters `k` that were asked for. `points`: a `SectorPoint` for each. The
    properties stack them.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    points: tuple[SectorPoint, ...]

    @property
    def risk(self) -> Float[Array, " sizes"]:
        """Risks, as `fit_expansion` takes them."""
        return jnp.stack([point.risk for point in self.points])

    @property
    def numbers(self) -> SectorNumbers:
        """Numbers, with a leading axis for the sizes."""
        return SectorNumbers(
            *(jnp.stack(part) for part in zip(*(p.numbers for p in self.points), strict=True))
        )

    @property
    def converged(self) -> Bool[Array, " sizes"]:
        """Which points are critical."""
        return jnp.stack([point.converged for point in self.points])


def follow_sector(
    family: Callable[[int], Sector],
    sizes: Sequence[int],
    activation: AbstractActivation,
    *,
    start: SectorNumbers | SectorPoint | None = None,
    freeze: tuple[str, ...] = (),
) -> SectorFamily:
    """Follow a critical point through a family of sectors, `solve_sector` from size to size.

    Each start is predicted from the two points before, every number by the power of `k` that joins
    them. Sizes that lie further apart than a factor 2 are joined by others in between, which are
    not returned.
    Arguments: `family`, from `k` to a `Sector`, of one structure (the same partners and as many
    target classes) for all integers within the range; `sizes`, ascending integers; `start`, for the
    first size, and `freeze` as in `solve_sector`.
    Returns a `SectorFamily`. Raises `ValueError` for sizes that do not ascend, for a family that
    changes structure, and as `solve_sector`.
    Where it fails: where the family ends or leaves its sector's minimum, another one is found; look
    at the numbers.
    """
    whole = tuple(size for size in map(as_integer, sizes) if size is not None)
    falling = any(one >= two for one, two in itertools.pairwise(whole))
    if not whole or len(whole) < len(sizes) or whole[0] < 1 or falling:
        raise ValueError(
            f"follow_sector: given sizes={sizes!r}; expected ascending positive integers"
        )
    sizes = whole
    found: dict[int, SectorPoint] = {}
    for size in _path(sizes):
        sector, known = family(size), list(found)[-2:]
        last = found[known[-1]].sector if known else sector
        if (sector.partners, len(sector.targets)) != (last.partners, len(last.targets)):
            raise ValueError(
                f"follow_sector: given a family with {last} and {sector}; expected one structure; "
                "follow it from the size where it begins"
            )
        if len(known) == 1:
            start = _scaled(sector, found[known[0]], freeze)
        elif known:
            start = _extrapolated(size, known, [found[each].numbers for each in known])
        found[size] = solve_sector(sector, activation, start=start, freeze=freeze)
    return SectorFamily(sizes, tuple(found[size] for size in sizes))


def _path(sizes: tuple[int, ...]) -> list[int]:
    """The sizes and others between them, a stride apart at most, as far as integers can be."""
    out = {sizes[0]}
    for one, two in itertools.pairwise(sizes):
        steps = max(1, math.ceil(math.log(two / one) / math.log(_STRIDE)))
        out |= {round(one * (two / one) ** (i / steps)) for i in range(1, steps)} | {two}
    return sorted(out)


def _extrapolated(size: int, known: list[int], numbers: list[SectorNumbers]) -> SectorNumbers:
    """Every number by the power of the size that joins its last two values; what turns its sign
    stays.
    """
    stride = math.log(known[1] / known[0])
    out = []
    for one, two in zip(*numbers, strict=True):
        before, now = np.asarray(one), np.asarray(two)
        smooth = before * now > 0
        power = np.log(np.where(smooth, now, 1) / np.where(smooth, before, 1)) / stride
        power = np.where(np.abs(power) < _STEEPEST, power, 0)
        out.append(jnp.asarray(now * (size / known[1]) ** power))
    return SectorNumbers(*out)


def _scaled(sector: Sector, point: SectorPoint, freeze: tuple[str, ...]) -> SectorNumbers:
    """A point's numbers times what the default start gains between two sectors; where it has none,
    by `1/n`.
    """
    shrink = point.sector.n / sector.n
    before, after = (default_start(each, point.activation) for each in (point.sector, sector))
    a, e, c = (
        np.asarray(now) * np.where(one * two > 0, two / np.where(one == 0, 1, one), usual)
        for now, one, two, usual in zip(
            point.numbers, before, after, (1.0, 1.0, shrink), strict=True
        )
    )
    return SectorNumbers(*map(jnp.asarray, (point.readout if "readout" in freeze else a, e, c)))
