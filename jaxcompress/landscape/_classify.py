"""What a critical point is called: the names of the theory, each with how far away the named point
is.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcompress._internal.checks import check_concrete
from jaxcompress.landscape._distance import check_one, symmetries_of
from jaxcompress.landscape._forms import (
    Form,
    copy_average_form,
    orthonormal,
    sector_form,
    target_itself,
)
from jaxcompress.landscape._isotropy import Isotropy, isotropy
from jaxcompress.landscape._neurons import rows_of
from jaxcompress.landscape._reduced import (
    CHANNEL,
    Reduced,
    Units,
    reduce_network,
    rows_apart,
    scaled,
    units_of,
)
from jaxcompress.landscape._symmetries import TargetSymmetries
from jaxcompress.networks import TwoLayer
from jaxcompress.special.internal import precision

# A neuron that dies, or joins another, does so along a flat valley: |∇R| = 1e-10 is reached 1e-3
# before the end.
LOOSE = 1e-2
# A function may differ by this many times the distance: readouts multiply what weights are off by.
_STEEP = 4.0
# Inputs over which functions are compared: their mean square is known to a few per cent.
_INPUTS = 2048


class Classification(NamedTuple):
    """What a network is near to.

    `kind`: `"target"` (all of it, copied), `"copy-average"`, `"perturbed copy"`, `"perturbed
    copy-average"` (both the critical points of their sectors, found to rounding), `"symmetric"`
    (another isotropy), `"nothing"` (no neuron is left), `"infinite"` (in a channel that ends at
    infinity: a neuron of infinite norm, or a pair that becomes a neuron and its derivative, with
    readouts that grow without bound), or `"unknown"`. `name`: the kind in words, with what happened
    to neurons that are not counted. `partition`: how many target neurons each neuron stands for,
    where the kind has one. `isotropy`: the group of the core, as `S5×S3`. `distance` of the network
    from the named point, in units of the target's largest weights and readout, at most `threshold`;
    from infinity `1/norm`; infinite for `"unknown"`. `dead`, `infinite`, `repeated`: how many
    neurons are at zero (or cancel), at infinity, or share the direction of another one; any but the
    last is the boundary of the landscape. `point`: the named network, neuron by neuron; `core`: the
    same without neurons that are not counted, or `None` where none is left.
    """

    kind: str
    name: str
    partition: tuple[int, ...] | None
    isotropy: str
    distance: float
    threshold: float
    dead: int
    infinite: int
    repeated: int
    point: TwoLayer | None
    core: TwoLayer | None

    @property
    def boundary(self) -> bool:
        """Whether a neuron is at zero or at infinity."""
        return self.dead + self.infinite > 0


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

    Arguments: one network and its target; `symmetries`, the `target_symmetries` if they are at
    hand; `freeze`, the parameters that were held. `tolerance`, the distance at which a name is
    given (1e-6 in float64, 3e-4 in float32); `loose`, the same for dead and repeated neurons, to
    which flat valleys lead and before which a flow stops early (the others must be within
    `loose²`); a neuron of norm `1/loose` counts as infinite, and in a pair that cancels one of a
    fifth of that. All in units of the target's.
    Returns a `Classification`; never a name without a distance within the threshold that it states,
    nor one for a network that is another function: `E (f − f_point)²` is within
    `(4·threshold·Σ‖b‖)²`.
    Raises `ValueError` for leading axes, sizes that do not fit, parameters frozen that do not
    exist, and unless `0 < tolerance ≤ loose < 1`.
    Reference: Şimşek et al. 2023; Arjevani & Field 2019.
    Where it fails: names beyond `"target"` need an orthonormal target of equal readouts and the
    target's activation, those of sectors erf or ReLU and a JAX that has float64 (the network need
    not); isotropy is found as far as swaps of target neurons generate it. That a point is critical
    is not looked at. Cost, one core: 5 to 100 ms, and once a structure of sector some seconds to
    compile its solver.
    """
    check_one("classify", "network", network)
    check_one("classify", "target", target)
    check_concrete("classify", *network.parameters().values(), *target.parameters().values())
    found = symmetries_of("classify", network, target if symmetries is None else symmetries)
    assert found is not None
    freeze = checked_freeze("classify", network, freeze)
    tolerance = name_tolerance(network.weights.dtype) if tolerance is None else tolerance
    if not 0 < tolerance <= loose < 1:
        raise ValueError(
            f"classify: given tolerance={tolerance!r}, loose={loose!r}; expected 0 < tolerance ≤ "
            "loose < 1, of a network's size; leave them out for those of the dtype"
        )
    units = units_of(target)
    strict = reduce_network(network, tolerance, 1 / loose, units)
    kept = _kept(strict, found, tolerance)
    named = _named(strict, target, found, kept, freeze, (tolerance, tolerance))
    if named is None:
        degenerate = reduce_network(network, loose, 1 / loose, units)
        if degenerate.dead + degenerate.repeated > 0:
            # the live neurons feel what the others lack by its square
            core_threshold = max(tolerance, loose**2)
            by_core = _kept(degenerate, found, core_threshold)
            named = _named(degenerate, target, found, by_core, freeze, (loose, core_threshold))
    return named or _by_isotropy(strict, kept, tolerance, loose)


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


def _named(
    reduced: Reduced,
    target: TwoLayer,
    symmetries: TargetSymmetries,
    found: Isotropy | None,
    freeze: tuple[str, ...],
    thresholds: tuple[float, float],
) -> Classification | None:
    """The nearest form that is within the thresholds, of the whole and of the core, in parameters
    and as a function.
    """
    remarks, core, units = _remarks(reduced), reduced.core, reduced.units
    threshold, core_threshold = thresholds
    if reduced.infinite:
        return None  # the others are at home in another landscape
    if core is None or found is None:
        distance = reduced.gap(reduced.place(None))
        if distance > threshold or not _alike(reduced, None, threshold):
            return None
        return _classification(
            reduced, "nothing", "no neuron" + remarks, None, "", distance, threshold, None, None
        )
    best = None
    for form in _forms(core, target, symmetries, found, freeze, units):
        point = reduced.place(form.point)
        distance = reduced.gap(point)
        near = rows_apart(core, form.point, units) <= core_threshold and distance <= threshold
        # forms of one point are equally near; then the first has the better name
        nearer = best is None or best.distance - distance > 0.1 * threshold
        if near and nearer and _alike(reduced, form.point, threshold):
            known = form.partition, found.group, distance, threshold, point, form.point
            best = _classification(reduced, form.kind, form.name + remarks, *known)
    return best


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
) -> Classification:
    """A network by what is at infinity and by its isotropy alone, or unknown."""
    core, remarks = reduced.core, _remarks(reduced)
    group = "1" if found is None else found.group
    if reduced.infinite:
        distance, allowed = reduced.gap(reduced.place(core)), 2 * CHANNEL * loose
        if distance <= allowed:
            name = f"channel to infinity {group}{remarks}"
            return _classification(
                reduced, "infinite", name, None, group, distance, allowed, None, core
            )
    elif found is not None and not found.trivial:
        distance = math.hypot(found.distance, reduced.gap(reduced.place(core)))
        if distance <= threshold:
            name = f"symmetric {group}{remarks}"
            return _classification(
                reduced, "symmetric", name, None, group, distance, threshold, None, core
            )
    return _classification(
        reduced, "unknown", "unknown" + remarks, None, group, math.inf, threshold, None, core
    )


def _forms(
    core: TwoLayer,
    target: TwoLayer,
    symmetries: TargetSymmetries,
    found: Isotropy,
    freeze: tuple[str, ...],
    units: Units,
) -> Iterator[Form]:
    """The forms to try, the cheap ones first."""
    seen = orthonormal(core, target)
    for form in (
        target_itself(core, target, symmetries, units),
        None if seen is None else copy_average_form(seen),
        None if seen is None else sector_form(seen, found, freeze),
    ):
        if form is not None:
            yield form


def _classification(
    reduced: Reduced, kind, name, partition, group, distance, threshold, point, core
) -> Classification:
    counts = reduced.dead, reduced.infinite, reduced.repeated
    return Classification(kind, name, partition, group, distance, threshold, *counts, point, core)


def _remarks(reduced: Reduced) -> str:
    """What became of the neurons that the core does not count."""
    parts = [
        (reduced.dead, "at zero"),
        (reduced.infinite, "at infinity"),
        (reduced.repeated, "repeated"),
    ]
    return "".join(f", {count} {what}" for count, what in parts if count)
