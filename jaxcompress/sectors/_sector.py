"""Sectors: networks that a group of permutations of an orthonormal target leaves as they are, and
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
    """The numbers of a point: readouts `a_g`, own parts `e_g` (zero for single neurons), overlaps
    `c_gh`.

    Where a paired class has one neuron, its own part and its overlap with its partner are one
    number: the own part has it, and the overlap is zero.
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
    of symmetric criticality a point that is critical within the sector is critical among all
    networks; a minimum within it may be a saddle outside. For ReLUs of readout one, `n = k`, the
    minima that descents end in are in `Sector((k−p, p), (0, 1))`: beside `k − p` copies a class of
    `p` neurons turns round, `w_j ≈ −v_j + (2/k) Σ v` over all targets, or with `2/p` over its own.
    Raises `ValueError` for sizes below one and partners that do not exist.
    Reference: Arjevani & Field 2019, *On the principle of least symmetry breaking in shallow ReLU
    models*.
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
        """The isotropy, as `S5×S3`: all permutations within target classes, partners moving
        along.
        """
        return "×".join(f"S{size}" for size in self.targets if size > 1) or "1"

    @property
    def free(self) -> int:
        """How many numbers a point has."""
        return len(self.places())

    def places(self, freeze: tuple[str, ...] = ()) -> tuple[int, ...]:
        """Where the free numbers stand in `(a, e, c)`, laid out one after another, rows of `c`
        first.
        """
        width, height = len(self.partners), len(self.targets)
        out = [] if "readout" in freeze else list(range(width))
        out += [width + g for g, partner in enumerate(self.partners) if partner is not None]
        for g, partner in enumerate(self.partners):
            lone = {partner} if partner is not None and self.targets[partner] == 1 else set()
            out += [2 * width + g * height + h for h in range(height) if h not in lone]
        return tuple(out)


def copy_average_sector(n: int, k: int) -> Sector:
    """The sector of copy–average points: `n − 1` neurons each with a target neuron, one with the
    other `k − n + 1`.

    Arguments: `1 ≤ n ≤ k`, the students first.
    Returns `Sector((n−1, k−n+1), (0, None))`; for `n = 1`, `Sector((k,), (None,))`.
    Raises `ValueError` otherwise.
    Reference: Şimşek et al. 2023; for ReLU the point leans, and is no longer a copy and an average.
    """
    n, k = _checked("copy_average_sector", n, k)
    return Sector((k,), (None,)) if n == 1 else Sector((n - 1, k - n + 1), (0, None))


def perturbed_copy_sector(n: int, k: int) -> Sector:
    """The sector of perturbed copies: `n` neurons each with a target neuron, and `k − n` target
    neurons without.

    Arguments: `1 ≤ n ≤ k`, the students first.
    Returns `Sector((n, k−n), (0,))`; for `n = k`, `Sector((k,), (0,))`.
    Raises `ValueError` otherwise.
    Reference: Şimşek et al. 2023.
    """
    n, k = _checked("perturbed_copy_sector", n, k)
    return Sector((k,), (0,)) if n == k else Sector((n, k - n), (0,))


def _checked(where: str, n: int, k: int) -> tuple[int, int]:
    """Both widths as integers of Python."""
    width, height = as_integer(n), as_integer(k)
    if width is None or height is None or not 1 <= width <= height:
        raise ValueError(
            f"{where}: given n={n!r}, k={k!r}; expected integers with 1 ≤ n ≤ k, no more students"
        )
    return width, height
