"""What the theory takes for granted, and what no longer holds where it is not so."""

import warnings

import numpy as np

from jaxcompress._internal.checks import is_concrete
from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import kinked, traits
from jaxcompress.narrow._width import min_width
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import Samples


class NarrowWarning(UserWarning):
    """A statement of the theory of narrow networks does not hold for what was given; the message
    says which.
    """


def warn(message: str, depth: int = 4) -> None:
    """Warn at the line of whoever called the room, `depth` calls above this one."""
    warnings.warn(message, NarrowWarning, stacklevel=depth)


def check_assumptions(where: str, student: TwoLayer, samples: Samples) -> None:
    """Warn of widths, activations and samples for which Jacobians of full rank are not to be
    expected.

    Leading axes are allowed on both; what only concrete arrays show is not looked for under a
    trace.
    """
    n, d, o, m = samples.count, samples.dim, samples.outputs or 1, student.width
    least = min_width(n, d, o)
    if m < least:
        warn(
            f"{where}: width {m} is below min_width({n}, {d}, {o}) = {least}: the Jacobian by the "
            "weights at a mirrored start has no full row rank, so neither certificates nor zero "
            "loss are guaranteed"
        )
    if kinked(student.activation):
        warn(
            f"{where}: {student.activation!r} has no continuous derivative: the Jacobian jumps, no "
            "radius is certified, and Newton's steps need not converge"
        )
    if traits(student.activation).polynomial:
        warn(
            f"{where}: {student.activation!r} is a polynomial: the features of any number of "
            "neurons span only the polynomials of its degree, so more width need not give full "
            "rank"
        )
    if is_concrete(samples.inputs) and not samples.runs and _repeats(samples, student.activation):
        warn(
            f"{where}: two samples have the same or opposite features (duplicate rows, rows of "
            "zeros, or x and −x with an even derivative): the Jacobian has no full row rank, and "
            "different targets there cannot both be met"
        )


def _repeats(samples: Samples, f: AbstractActivation) -> bool:
    rows = np.asarray(samples.inputs)
    if not np.all(np.any(rows != 0, axis=1)):
        return True
    if traits(f).parity == -1:  # the derivative is even
        first = rows[np.arange(len(rows)), np.argmax(rows != 0, axis=1)]
        rows = rows * np.sign(first)[:, None]
    return len(np.unique(rows, axis=0)) < len(rows)
