"""How far two networks are from being the same: the distance modulo the symmetries of the risk.

A network is a list of rows `x_i = (w_i, β_i, a_i)`, balanced where the activation is homogeneous
(`_neurons`), and the symmetries that are left act on it by isometries: permutations `P`, signs `s`,
and the orthogonal maps `Q` of a target, which are a finite group on its span and all rotations `O`
of the complement. Then

    D(a, b) = min_{P, s, Q} ‖x(a) − P s x(b) Q‖

is a pseudometric, zero exactly where a symmetry, or a limit of scalings, joins the networks. It is
a joint matching of neurons and targets, at least as hard as telling graphs apart, so a search for
it ends at upper bounds, which break the axioms and, worse, may keep a network away from its own
image. `distance` is therefore a pseudometric that can be computed, `d ≤ D`:

- without a target, `d = D`, one optimal assignment;
- with a target of at most 720 maps on its span (six equal neurons), all of them are tried, each
  with its optimal assignment: `d = D` if either network lies in the span of the target. A part
  outside of it enters by lengths or by inner products, whichever says more, and `d ≤ D`;
- with more maps, by optimal matching of what every neuron sees (`_lower_bounds`): `d ≤ D`. It is
  blind to what neither this nor `(WWᵀ)^{1/2}` tells apart; on random networks it is 0.5 to 1.0 of
  `D`, 0.96 to 1.0 on close ones.

Which of them it is depends on the target alone, so that the axioms hold among all networks that are
compared. In all three an image is at rounding distance, since nothing is searched. `align` does
search: the network that it returns is an image of `b` whatever it found, so `D ≤ distance(a,
align(a, b, target))`. Networks are certainly distinct where their `distance` is large, and
certainly the same where the aligned one is near.
"""

import math

import numpy as np

from jaxcompress._internal.checks import check_concrete
from jaxcompress.landscape.symmetry._checks import check_one
from jaxcompress.landscape.symmetry._lower_bounds import relaxed
from jaxcompress.landscape.symmetry._matching import (
    Match,
    View,
    listed,
    matched,
    own_costs,
    relation_costs,
    view,
)
from jaxcompress.landscape.symmetry._neurons import neurons
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries, symmetries_in
from jaxcompress.networks import TwoLayer

Symmetric = TwoLayer | TargetSymmetries | None


def distance(a: TwoLayer, b: TwoLayer, target: Symmetric = None) -> float:
    """The distance between two networks modulo the symmetries of the risk.

    `min_{P, s, Q} ‖x(a) − P s x(b) Q‖` over permutations of neurons, signs (of odd and even
    activations; of those odd up to a constant, with an output bias), and the orthogonal maps that
    fix the target; neurons `x_i = (w, β, a)` of a homogeneous activation are balanced to `‖(w, β)‖
    = ‖a‖` first. A lower bound of it where the module says so.

    Arguments:

    - `a`, `b`: two networks of the same sizes, activation and dtype, weights `(n, d)`;
    - `target`: the network that both are solved against under isotropic inputs, or its
      `target_symmetries` (found once for many comparisons, in 2 ms for twenty equal neurons), or
      `None`: no rotations, as for inputs that are not isotropic.

    Returns a float: a pseudometric, invariant to rounding (1e-14 of the norms; float32 is measured
    in float64). Raises `ValueError` for leading axes, entries that are not finite, or networks that
    do not fit together.
    Where it fails: symmetries that belong to one kind of function are not known, and networks that
    differ by them are apart: `(β, a) → (β + t, a e^{−t})` of exp, `(β, a) → (β + π, −a)` of sin and
    cos, and rotations among neurons of polynomials of degree 2, `Σ_j (w_j·x)²`. A homogeneous
    neuron of mass `m = ‖a‖ ‖w‖` is `√(2m)` away from a dead one, so that an end point whose dead
    neuron still has 1e-12 is 1e-6 away from where it leads. Cost, one core: 0.3 ms without a
    target, 1 to 20 ms for n = 3 and six equal targets, 30 ms for n = k = 20.

    >>> import jax, jaxcompress as jc
    >>> a = jc.targets.random(jax.random.key(0), 3, 4, activation=jc.activations.erf)
    >>> b = jc.TwoLayer(-a.weights[::-1], -a.readout[::-1], activation=a.activation)
    >>> jc.landscape.distance(a, b) < 1e-6  # another order, and both signs turned
    True
    """
    x, y, symmetries = views("distance", a, b, target)
    square = _square(x, y, symmetries)
    return math.sqrt(square + float(np.sum((x.rows.offset - y.rows.offset) ** 2)))


def _square(x: View, y: View, symmetries: TargetSymmetries | None) -> float:
    """The squared distance, but for the output biases."""
    if symmetries is not None and symmetries.points is None:
        return relaxed(x, y, symmetries).square
    return max(match.square for match in list_matches(x, y, symmetries))


def list_matches(x: View, y: View, symmetries: TargetSymmetries | None) -> list[Match]:
    """The best matchings where maps are listed, with the complement by lengths and, if there is
    one, by relations.
    """
    bases = [own_costs(x, y)]
    # else the lengths say all, up to rounding
    if min(_share_outside(x), _share_outside(y)) > 1e-14:
        bases.append(relation_costs(x, y))
    if symmetries is None or symmetries.points is None:
        still = np.arange(x.table.shape[1])
        return [matched(x, y, base, still) for base in bases]
    return [listed(x, y, base, symmetries.points) for base in bases]


def _share_outside(x: View) -> float:
    """The part of the weights outside the span of the target."""
    return float(
        np.linalg.norm(x.lengths) / max(np.linalg.norm(x.rows.weights), np.finfo(float).tiny)
    )


def views(
    where: str, a: TwoLayer, b: TwoLayer, target: Symmetric
) -> tuple[View, View, TargetSymmetries | None]:
    """Both networks as the target sees them, once they are known to fit together."""
    for name, network in (("a", a), ("b", b)):
        check_one(where, name, network)
    shapes = [
        {name: (*array.shape, array.dtype.name) for name, array in each.parameters().items()}
        for each in (a, b)
    ]
    if shapes[0] != shapes[1] or a.activation != b.activation:
        raise ValueError(
            f"{where}: given {shapes[0]} with {a.activation!r} and {shapes[1]} with "
            f"{b.activation!r}; expected networks of the same sizes, biases, activation and dtype; "
            "cast one, or add neurons with zero readout"
        )
    check_concrete(where, *a.parameters().values(), *b.parameters().values())
    symmetries = symmetries_of(where, a, target)
    return view(neurons(a), symmetries), view(neurons(b), symmetries), symmetries


def symmetries_of(where: str, network: TwoLayer, target: Symmetric) -> TargetSymmetries | None:
    """The symmetries of the target, found here unless they were given."""
    if target is None:
        return None
    if not isinstance(target, TwoLayer | TargetSymmetries):
        raise ValueError(
            f"{where}: given a target of type {type(target).__name__}; expected a TwoLayer, its "
            "target_symmetries, or None; moments do not tell the symmetries of a target"
        )
    dim = target.dim if isinstance(target, TwoLayer) else target.frame.shape[1]
    outputs = isinstance(target, TwoLayer) and target.outputs != network.outputs
    if dim != network.dim or outputs:
        raise ValueError(
            f"{where}: given a target of dimension {dim} for weights {network.weights.shape} and "
            f"readout {network.readout.shape}; expected the dimension and outputs of the networks; "
            "pass their target"
        )
    return symmetries_in(where, target) if isinstance(target, TwoLayer) else target
