"""What a critical point is called: the names of the theory, each with how far away the named point
is.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcompress._internal.checks import check_concrete
from jaxcompress.landscape.symmetry._checks import check_one
from jaxcompress.landscape.symmetry._classification import Classification
from jaxcompress.landscape.symmetry._core import CHANNEL, Reduced, reduce_network
from jaxcompress.landscape.symmetry._distance import symmetries_of
from jaxcompress.landscape.symmetry._isotropy import Isotropy, isotropy
from jaxcompress.landscape.symmetry._named_points import (
    NamedPoint,
    copy_average_point,
    orthonormal,
    sector_point,
    target_itself,
)
from jaxcompress.landscape.symmetry._neurons import rows_of
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries
from jaxcompress.landscape.symmetry._units import Units, rows_apart, scaled, units_of
from jaxcompress.networks import TwoLayer
from jaxcompress.special.internal import precision

# A neuron that dies, or joins another, does so along a flat valley: |∇R| = 1e-10 is reached 1e-3
# before the end.
LOOSE = 1e-2
# A function may differ by this many times the distance: readouts multiply what weights are off by.
_STEEP = 4.0
# Inputs over which functions are compared: their mean square is known to a few per cent.
_INPUTS = 2048


class _Thresholds(NamedTuple):
    """Distances within which a name is given: of the whole network, and of its core."""

    whole: float
    core: float


class _Named(NamedTuple):
    """What was found of a network, before the neurons that do not count are mentioned."""

    kind: str
    name: str
    isotropy: str
    distance: float
    threshold: float
    partition: tuple[int, ...] | None = None
    point: TwoLayer | None = None
    core: TwoLayer | None = None

    def of(self, reduced: Reduced) -> Classification:
        """The classification of a reduced network."""
        return Classification(
            **self._replace(name=self.name + _remarks(reduced))._asdict(),
            dead=reduced.dead,
            infinite=reduced.infinite,
            repeated=reduced.repeated,
        )


class _Problem(NamedTuple):
    """What a core is held against: the target, its symmetries, and what was held fixed."""

    target: TwoLayer
    symmetries: TargetSymmetries
    freeze: tuple[str, ...]


def classify(
    network: TwoLayer,
    target: TwoLayer,
    *,
    symmetries: TargetSymmetries | None = None,
    freeze: Sequence[str] = (),
    tolerance: float | None = None,
    loose: float = LOOSE,
) -> Classification:
    """The name of the critical point that a network is at, with the distance from it.

    A network is first reduced to its core (dead neurons leave, equal ones count as one). The core
    is then held against the target, the copy–average network of its groups, and the critical point
    of its own sector, the networks with its isotropy; where there is no sector, against the nearest
    network of that isotropy. Inputs are isotropic.

    Arguments:

    - `network`: weights `(n, d)`, readout `(n,)` or `(n, o)`, concrete;
    - `target`: weights `(k, d)`, readout `(k,)` or `(k, o)`, concrete;
    - `symmetries`: the `target_symmetries` of the target, if they are known already;
    - `freeze`: the names of the parameters that were held;
    - `tolerance`: the distance at which a name is given, in units of the target's size (1e-6 in
      float64, 3e-4 in float32 when left out);
    - `loose`: the same for dead and repeated neurons, to which flat valleys lead and before which a
      flow stops early (the others must be within `loose²`); a neuron of norm `1/loose` counts as
      infinite, and in a pair that cancels one of a fifth of that.

    Returns a `Classification`; never a name without a distance within the threshold that it states,
    nor one for a network that is another function: `E (f − f_point)²` is within
    `(4·threshold·Σ‖b‖)²`.
    Raises `ValueError` for leading axes, sizes that do not fit, parameters frozen that do not
    exist, and unless `0 < tolerance ≤ loose < 1`.
    Reference: Şimşek et al. 2023; Arjevani & Field 2019.
    Where it fails: names beyond `"target"` need an orthonormal target of equal readouts and the
    target's activation, those of sectors erf or ReLU and a JAX that has float64 (the network need
    not); isotropy is found as far as swaps of target neurons generate it. Whether a point is
    critical is not checked. Cost, one core: 5 to 100 ms, and once a structure of sector some
    seconds to compile its solver.

    >>> import jaxcompress as jc
    >>> target = jc.targets.orthonormal(4, 5, activation=jc.activations.erf)
    >>> jc.landscape.classify(jc.theory.copy_average(target, (1, 3)), target).name
    'copy–average 3+1'
    """
    check_one("classify", "network", network)
    check_one("classify", "target", target)
    check_concrete("classify", *network.parameters().values(), *target.parameters().values())
    found = symmetries_of("classify", network, target if symmetries is None else symmetries)
    assert found is not None
    problem = _Problem(target, found, checked_freeze("classify", network, freeze))
    tolerance = name_tolerance(network.weights.dtype) if tolerance is None else tolerance
    if not 0 < tolerance <= loose < 1:
        raise ValueError(
            f"classify: given tolerance={tolerance!r}, loose={loose!r}; expected 0 < tolerance ≤ "
            "loose < 1, of a network's size; leave them out for those of the dtype"
        )
    units = units_of(target)
    strict = reduce_network(network, tolerance, 1 / loose, units)
    kept = _kept(strict, found, tolerance)
    named = _by_points(strict, problem, kept, _Thresholds(tolerance, tolerance))
    if named is not None:
        return named.of(strict)
    degenerate = reduce_network(network, loose, 1 / loose, units)
    if degenerate.dead + degenerate.repeated > 0:
        # the live neurons feel what the others lack by its square
        thresholds = _Thresholds(loose, max(tolerance, loose**2))
        by_core = _kept(degenerate, found, thresholds.core)
        named = _by_points(degenerate, problem, by_core, thresholds)
        if named is not None:
            return named.of(degenerate)
    return _by_isotropy(strict, kept, tolerance, loose).of(strict)


def checked_freeze(where: str, network: TwoLayer, freeze: Sequence[str]) -> tuple[str, ...]:
    """The names of parameters that were held, in the network's order.

    Raises `ValueError` for a name that the network does not have.
    """
    known = tuple(network.parameters())
    if isinstance(freeze, str) or not set(freeze) <= set(known):
        raise ValueError(
            f"{where}: given freeze={freeze!r}; expected a tuple of names among "
            f"{', '.join(known)}; "
            'as freeze=("readout",)'
        )
    return tuple(name for name in known if name in freeze)


def name_tolerance(dtype) -> float:
    """The distance at which names are given: ends with `|∇R|` at its tolerance and curvature 1e-4
    are this near.
    """
    return 0.1 * precision(dtype).critical ** 0.5


def _kept(reduced: Reduced, symmetries: TargetSymmetries, threshold: float) -> Isotropy | None:
    """The isotropy of the core."""
    return (
        None
        if reduced.core is None
        else isotropy(scaled(reduced.core, reduced.units), symmetries, threshold)
    )


def _by_points(
    reduced: Reduced, problem: _Problem, found: Isotropy | None, thresholds: _Thresholds
) -> _Named | None:
    """The nearest named point that is within the thresholds, of the whole and of the core, in
    parameters and as a function.
    """
    if reduced.infinite:
        return None  # the others are at home in another landscape
    if reduced.core is None or found is None:
        distance = reduced.gap(reduced.place(None))
        if distance > thresholds.whole or not _alike(reduced, None, thresholds.whole):
            return None
        return _Named("nothing", "no neuron", "", distance, thresholds.whole)
    best = None
    for known in _candidates(reduced.core, problem, found, reduced.units):
        named = _held_against(reduced, known, found, thresholds)
        # where two points are equally near, the first has the better name
        if named is not None and (
            best is None or best.distance - named.distance > 0.1 * thresholds.whole
        ):
            best = named
    return best


def _held_against(
    reduced: Reduced, known: NamedPoint, found: Isotropy, thresholds: _Thresholds
) -> _Named | None:
    """The name of a known point, where the network is within the thresholds of it."""
    assert reduced.core is not None
    point = reduced.place(known.point)
    distance = reduced.gap(point)
    near = distance <= thresholds.whole
    near = near and rows_apart(reduced.core, known.point, reduced.units) <= thresholds.core
    if not near or not _alike(reduced, known.point, thresholds.whole):
        return None
    return _Named(
        known.kind,
        known.name,
        found.group,
        distance,
        thresholds.whole,
        partition=known.partition,
        point=point,
        core=known.point,
    )


def _alike(reduced: Reduced, point: TwoLayer | None, threshold: float) -> bool:
    """Whether the network is the named one as a function: `E (f − f_point)²` within the threshold,
    in units.

    Distances of parameters do not see what large readouts make of them. A mean over fixed inputs
    tells the size of it without compiling a risk for every pair of widths.
    """
    rng, network = np.random.default_rng(0), reduced.network
    x = jnp.asarray(rng.normal(size=(_INPUTS, network.dim)), network.weights.dtype)
    apart = np.asarray(network(x), float) - (0.0 if point is None else np.asarray(point(x), float))
    rounding = 64 * float(np.finfo(x.dtype).eps) * float(np.sum(np.abs(rows_of(network)[1])))
    allowed = _STEEP * threshold * reduced.units.total + rounding
    return float(np.sqrt(np.sum(apart**2) / _INPUTS)) <= allowed


def _by_isotropy(
    reduced: Reduced, found: Isotropy | None, threshold: float, loose: float
) -> _Named:
    """A network by what is at infinity and by its isotropy alone, or unknown."""
    core = reduced.core
    group = "1" if found is None else found.group
    if reduced.infinite:
        distance, allowed = reduced.gap(reduced.place(core)), 2 * CHANNEL * loose
        if distance <= allowed:
            name = f"channel to infinity {group}"
            return _Named("infinite", name, group, distance, allowed, core=core)
    elif found is not None and not found.trivial:
        distance = math.hypot(found.distance, reduced.gap(reduced.place(core)))
        if distance <= threshold:
            name = f"symmetric {group}"
            return _Named("symmetric", name, group, distance, threshold, core=core)
    return _Named("unknown", "unknown", group, math.inf, threshold, core=core)


def _candidates(
    core: TwoLayer, problem: _Problem, found: Isotropy, units: Units
) -> Iterator[NamedPoint]:
    """The named points to try, the cheap ones first."""
    target, symmetries, freeze = problem
    seen = orthonormal(core, target)
    for known in (
        target_itself(core, target, symmetries, units),
        None if seen is None else copy_average_point(seen),
        None if seen is None else sector_point(seen, found, freeze),
    ):
        if known is not None:
            yield known


def _remarks(reduced: Reduced) -> str:
    """What became of the neurons that the core does not count."""
    parts = [
        (reduced.dead, "at zero"),
        (reduced.infinite, "at infinity"),
        (reduced.repeated, "repeated"),
    ]
    return "".join(f", {count} {what}" for count, what in parts if count)
