"""What a critical point is called: the names of the theory, each with how far away the named point is."""

import math
from typing import NamedTuple

import numpy as np

from jaxcompress.landscape._distance import check_one, symmetries_of
from jaxcompress.landscape._forms import copy_average_form, is_orthonormal, sector_form, target_itself
from jaxcompress.landscape._isotropy import isotropy
from jaxcompress.landscape._reduced import Reduced, reduce_network, rows_of
from jaxcompress.landscape._symmetries import TargetSymmetries
from jaxcompress.networks import TwoLayer
from jaxcompress.special import precision

# A neuron that dies, or joins another, does so along a flat valley: |∇R| = 1e-10 is reached 1e-3 before the end.
_LOOSE = 1e-2


class Classification(NamedTuple):
    """What a network is near to.

    `kind`: `"target"` (all of it, copied), `"copy-average"`, `"perturbed copy"`, `"perturbed copy-average"` (both the
    critical points of their sectors, found to rounding), `"symmetric"` (another isotropy), `"nothing"` (no neuron is
    left), or `"unknown"`. `name`: the kind in words, with what happened to neurons that are not counted.
    `partition`: how many target neurons each neuron stands for, where the kind has one. `isotropy`: the group of the
    core, as `S5×S3`. `distance` of the network from the named point, at most `threshold`; infinite for `"unknown"`.
    `dead`, `infinite`, `repeated`: how many neurons are at zero (or cancel), at infinity, or share the direction of
    another one; any but the last is the boundary of the landscape. `point`: the named network, neuron by neuron;
    `core`: the same without neurons that are not counted, or `None` where none is left.
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
    freeze: tuple[str, ...] = (),
    tolerance: float | None = None,
    loose: float = _LOOSE,
) -> Classification:
    """The name of the critical point that a network is at, with the distance from it.

    A network is first reduced to its core (dead neurons leave, equal ones count as one). The core is then held against
    the target, the copy–average network of its groups, and the critical point of its own sector, the networks with its
    isotropy; where there is no sector, against the nearest network of that isotropy. Inputs are isotropic.

    Arguments: one network and its target; `symmetries`, the `target_symmetries` if they are at hand; `freeze`, the
    parameters that were held. `tolerance`, the distance at which a name is given (1e-6 in float64, 3e-4 in float32);
    `loose`, the same for degenerate points, with dead, infinite or repeated neurons, to which flat valleys lead and at
    which a flow stops early: there a neuron of norm `1/loose`, in units of the target's, counts as infinite.
    Returns a `Classification`; never a name without a distance within the threshold that it states.
    Raises `ValueError` for leading axes, sizes that do not fit, and unless `0 < tolerance ≤ loose`.
    Reference: Şimşek et al. 2023; Arjevani & Field 2019.
    Where it fails: names beyond `"target"` need an orthonormal target of readout one and the target's activation;
    isotropy is found as far as swaps of target neurons generate it. That a point is critical is not looked at.
    Cost, one core: 2 to 30 ms, and once a structure of sector some seconds to compile its solver.
    """
    check_one("classify", "network", network)
    found = symmetries_of("classify", network, target if symmetries is None else symmetries)
    assert found is not None
    dtype = network.weights.dtype
    tolerance = name_tolerance(dtype) if tolerance is None else tolerance
    if not 0 < tolerance <= loose:
        raise ValueError(
            f"classify: given tolerance={tolerance!r}, loose={loose!r}; expected 0 < tolerance ≤ loose; leave them out "
            "for those of the dtype"
        )
    first, readout = rows_of(target)
    lengths = np.linalg.norm(first, axis=1), np.linalg.norm(readout, axis=1)
    infinity = (float(np.max(lengths[0], initial=1)) / loose, float(np.sum(lengths[1], initial=1)) / loose)
    strict = reduce_network(network, tolerance, infinity)
    named = _named(strict, target, found, tuple(freeze), tolerance)
    if named is None:
        degenerate = reduce_network(network, loose, infinity)
        if degenerate.dead + degenerate.infinite + degenerate.repeated > 0:
            named = _named(degenerate, target, found, tuple(freeze), loose)
    return named or _symmetric(strict, found, tolerance)


def name_tolerance(dtype) -> float:
    """The distance at which names are given: ends with `|∇R|` at its tolerance and curvature 1e-4 are this near."""
    return 0.1 * precision(dtype).critical ** 0.5


def _named(
    reduced: Reduced, target: TwoLayer, symmetries: TargetSymmetries, freeze: tuple[str, ...], threshold: float
) -> Classification | None:
    """The first form whose point is within the threshold."""
    remarks = _remarks(reduced)
    if reduced.core is None:
        distance = reduced.gap(reduced.place(None))
        if distance > threshold:
            return None
        return _classification(reduced, "nothing", "no neuron" + remarks, None, "", distance, threshold, None, None)
    core = reduced.core
    found = isotropy(core, symmetries, threshold)
    for form in _forms(core, target, symmetries, found, freeze):
        point = reduced.place(form.point)
        distance = reduced.gap(point)
        if distance <= threshold:
            known = form.partition, found.group, distance, threshold, point, form.point
            return _classification(reduced, form.kind, form.name + remarks, *known)
    return None


def _symmetric(reduced: Reduced, symmetries: TargetSymmetries, threshold: float) -> Classification:
    """A network by its isotropy alone, or unknown."""
    core, remarks = reduced.core, _remarks(reduced)
    found = None if core is None else isotropy(core, symmetries, threshold)
    if found is None or found.trivial or found.distance > threshold:
        group = "1" if found is None else found.group
        return _classification(reduced, "unknown", "unknown" + remarks, None, group, math.inf, threshold, None, core)
    name = f"symmetric {found.group}{remarks}"
    return _classification(reduced, "symmetric", name, None, found.group, found.distance, threshold, None, core)


def _forms(core, target, symmetries, found, freeze):
    """The forms to try, the cheap ones first."""
    form = target_itself(core, target, symmetries)
    if form is not None:
        yield form
    if core.activation == target.activation and core.bias is None and is_orthonormal(target):
        form = copy_average_form(core, target)
        if form is not None:
            yield form
        form = None if found.trivial else sector_form(core, target, found, freeze)
        if form is not None:
            yield form


def _classification(reduced: Reduced, kind, name, partition, group, distance, threshold, point, core) -> Classification:
    counts = reduced.dead, reduced.infinite, reduced.repeated
    return Classification(kind, name, partition, group, distance, threshold, *counts, point, core)


def _remarks(reduced: Reduced) -> str:
    """What became of the neurons that the core does not count."""
    parts = [(reduced.dead, "at zero"), (reduced.infinite, "at infinity"), (reduced.repeated, "repeated")]
    return "".join(f", {count} {what}" for count, what in parts if count)
