"""Sectors: networks that a group of permutations of an orthonormal target leaves invariant, in
their few numbers.

Letters, here and in the other files on sectors: target classes `h`, of `k_h` neurons `v_i`; student
classes `g`, of `n_g` neurons. A class *paired* with a target class `p` has a neuron for each of its
neurons, `n_g = k_p`; a class without a partner is one neuron. With `S_h = Σ_{i ∈ h} v_i`, neuron
`j` of class `g` is `w_j = e_g v_{partner of j} + Σ_h c_gh S_h`, with readout `a_g`. `G`, `H` count
classes.
"""

import dataclasses
from typing import NamedTuple

from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_integer


class SectorNumbers(NamedTuple):
    """The numbers of a point, for each class of the student.

    - `readout (G,)`: the readouts `a_g`
    - `own (G,)`: the own parts `e_g`, zero for single neurons
    - `overlaps (G, H)`: the overlaps `c_gh`

    If a paired class has one neuron, its own part and its overlap with its partner are one number:
    the own part has it, and the overlap is zero.

    Example: `solve_sector(sector, activations.erf).numbers.overlaps`.
    """

    readout: Float[Array, " G"]
    own: Float[Array, " G"]
    overlaps: Float[Array, "G H"]


@dataclasses.dataclass(frozen=True)
class Sector:
    """All networks of one isotropy against an orthonormal target of readout one.

    Arguments: `targets`, the sizes `k_h` of the target's classes; `partners`, for each class of the
    student the number of the target class that it is paired with, or `None` for a single neuron.
    Two classes may share a partner. All neurons have the activation of the target. By the principle
    of symmetric criticality, a point that is critical within the sector is critical among all
    networks; a minimum within it may be a saddle outside. For ReLU networks of readout one, `n =
    k`, gradient descent ends in minima of `Sector((k−p, p), (0, 1))`: beside `k − p` copies there
    is a class of `p` turned neurons, `w_j ≈ −v_j + (2/k) Σ v` over all targets, or with `2/p` over
    its own.
    Raises `ValueError` for sizes below one and partners that do not exist.
    Reference: Arjevani & Field 2019, *On the principle of least symmetry breaking in shallow ReLU
    models*.

    Example: `Sector((5, 3), (0, None))`: five copies, and one neuron for three others.
    """

    targets: tuple[int, ...]
    partners: tuple[int | None, ...]

    def __post_init__(self):
        targets = tuple(as_integer(size) or 0 for size in self.targets)
        # −1 stands for what is no integer
        partners = tuple(
            None if each is None else -1 if (i := as_integer(each)) is None else i
            for each in self.partners
        )
        fits = all(each is None or 0 <= each < len(targets) for each in partners)
        if not targets or not partners or min(targets) < 1 or not fits:
            raise ValueError(
                f"Sector: given targets={self.targets!r}, partners={self.partners!r}; expected "
                "positive sizes of classes of target neurons, and for one or more classes of "
                "student neurons the number of a target class, from 0, or None; leave out classes "
                "without neurons"
            )
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "partners", partners)

    @property
    def k(self) -> int:
        """Neurons of the target."""
        return sum(self.targets)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons of each class of the student."""
        return tuple(1 if each is None else self.targets[each] for each in self.partners)

    @property
    def n(self) -> int:
        """Neurons of the student."""
        return sum(self.sizes)

    @property
    def group(self) -> str:
        """The isotropy, such as `S5×S3`: all permutations within target classes, and with them
        those of the partners.
        """
        return "×".join(f"S{size}" for size in self.targets if size > 1) or "1"

    @property
    def free(self) -> int:
        """The number of free numbers of a point."""
        return len(self.places())

    def places(self, freeze: tuple[str, ...] = ()) -> tuple[int, ...]:
        """The places of the free numbers in `(a, e, c)`, written one after another, `c` by rows."""
        width, height = len(self.partners), len(self.targets)
        out = [] if "readout" in freeze else list(range(width))
        out += [width + g for g, partner in enumerate(self.partners) if partner is not None]
        for g, partner in enumerate(self.partners):
            lone = {partner} if partner is not None and self.targets[partner] == 1 else set()
            out += [2 * width + g * height + h for h in range(height) if h not in lone]
        return tuple(out)


def copy_average_sector(n: int, k: int) -> Sector:
    """The sector of copy–average points: `n − 1` neurons copy a target neuron each, one averages
    the other `k − n + 1`.

    Arguments: `n` and `k ≥ n`, the widths of student and target.
    Returns `Sector((n−1, k−n+1), (0, None))`; for `n = 1`, `Sector((k,), (None,))`.
    Raises `ValueError` for other sizes.
    Reference: Şimşek et al. 2023. For ReLU the point is tilted: no longer copies and an average.

    Example: `copy_average_sector(6, 8) == Sector((5, 3), (0, None))`.
    """
    n, k = _checked("copy_average_sector", n, k)
    return Sector((k,), (None,)) if n == 1 else Sector((n - 1, k - n + 1), (0, None))


def perturbed_copy_sector(n: int, k: int) -> Sector:
    """The sector of perturbed copies: `n` neurons approximately copy a target neuron each, and `k −
    n` target neurons have no copy.

    Arguments: `n` and `k ≥ n`, the widths of student and target.
    Returns `Sector((n, k−n), (0,))`; for `n = k`, `Sector((k,), (0,))`.
    Raises `ValueError` for other sizes.
    Reference: Şimşek et al. 2023.

    Example: `perturbed_copy_sector(6, 8) == Sector((6, 2), (0,))`.
    """
    n, k = _checked("perturbed_copy_sector", n, k)
    return Sector((k,), (0,)) if n == k else Sector((n, k - n), (0,))


def _checked(where: str, n: int, k: int) -> tuple[int, int]:
    """Both widths as integers of Python."""
    width, height = as_integer(n), as_integer(k)
    if width is None or height is None or not 1 <= width <= height:
        raise ValueError(
            f"{where}: given n={n!r}, k={k!r}; expected integers with 1 ≤ n ≤ k; lower n or raise k"
        )
    return width, height
