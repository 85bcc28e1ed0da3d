"""One kind of critical point for wider and wider targets: a family of sectors, followed from size
to size.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxcompress._internal.checks import as_integer
from jaxcompress.kernels import AbstractActivation
from jaxcompress.sectors._point import SectorPoint
from jaxcompress.sectors._sector import Sector, SectorNumbers
from jaxcompress.sectors._solve import solve_sector
from jaxcompress.sectors._starts import default_start

# Where consecutive sizes differ by more than this factor, sizes between them are solved too, so
# that the prediction stays close: copy–averages, perturbed copies and turned ReLUs were all kept
# from 20 to 10⁶, at 1 ms for each size.
_STRIDE = 2.0
# A number that changes faster than this power of k does not follow a power: it is about to change
# its sign.
_STEEPEST = 2.5


class SectorFamily(eqx.Module):
    """Points of a family, one for each size; the properties stack them.

    - `sizes`: the parameters `k` that were asked for (static)
    - `points`: a `SectorPoint` for each

    Example: `fit_expansion(found.sizes, found.risk, terms=3)`.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    points: tuple[SectorPoint, ...]

    @property
    def risk(self) -> Float[Array, " sizes"]:
        """The population risks, without a factor ½, as `fit_expansion` takes them."""
        return jnp.stack([point.risk for point in self.points])

    @property
    def numbers(self) -> SectorNumbers:
        """The numbers, with a leading axis for the sizes."""
        return SectorNumbers(
            *(jnp.stack(part) for part in zip(*(p.numbers for p in self.points), strict=True))
        )

    @property
    def converged(self) -> Bool[Array, " sizes"]:
        """Which points are critical."""
        return jnp.stack([point.converged for point in self.points])

    @property
    def stats(self) -> dict[str, Int[Array, " sizes"]]:
        """`"steps"`, the number of steps that were tried for each size."""
        return {"steps": jnp.stack([point.stats["steps"] for point in self.points])}


def follow_sector(
    family: Callable[[int], Sector],
    sizes: Sequence[int],
    activation: AbstractActivation,
    *,
    start: SectorNumbers | SectorPoint | None = None,
    freeze: tuple[str, ...] = (),
) -> SectorFamily:
    """Follow a critical point through a family of sectors, by `solve_sector` from size to size.

    Every initial point is predicted from the two points before it: each number follows the power of
    `k` that joins its last two values. Between sizes more than a factor 2 apart others are solved
    too; they are not returned.

    Arguments:

    - `family`: a function from `k` to a `Sector`, of one structure (the same partners and as many
      target classes) for all integers in the range
    - `sizes`: ascending integers `k`
    - `activation`: erf or relu
    - `start`: the initial point for the first size, as in `solve_sector`
    - `freeze`: as in `solve_sector`

    Returns a `SectorFamily`.
    Raises `ValueError` for sizes that do not ascend, for a family that changes its structure, and
    as `solve_sector`.
    Where it fails: where the family ends, or is no longer a minimum of its sector, another point is
    found; look at the numbers.

    Example: `follow_sector(lambda k: copy_average_sector(k - 2, k), [100, 1000], activations.erf)`.
    """
    whole = tuple(size for size in map(as_integer, sizes) if size is not None)
    falling = any(one >= two for one, two in itertools.pairwise(whole))
    if not whole or len(whole) < len(sizes) or whole[0] < 1 or falling:
        raise ValueError(
            f"follow_sector: given sizes={sizes!r}; expected ascending positive integers; sort "
            "them, and leave out what occurs twice"
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
    """The sizes, and others between them: at most a stride apart, as far as integers allow it."""
    out = {sizes[0]}
    for one, two in itertools.pairwise(sizes):
        steps = max(1, math.ceil(math.log(two / one) / math.log(_STRIDE)))
        out |= {round(one * (two / one) ** (i / steps)) for i in range(1, steps)} | {two}
    return sorted(out)


def _extrapolated(size: int, known: list[int], numbers: list[SectorNumbers]) -> SectorNumbers:
    """Every number by the power of the size that joins its last two values; numbers that change
    their sign stay as they are.
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
    """The numbers of a point, scaled as those of the default initial point; where these are zero,
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
