"""How many neurons suffice, and how few could: by counting."""

from jaxcompress._internal.checks import as_integer, check_sizes


def min_width(n: int, d: int, outputs: int = 1) -> int:
    """The smallest even `m` at which a mirrored start has a Jacobian by the weights of full row
    rank `n·outputs`.

    `m = 2 ⌈n·outputs / min(n, d)⌉`: at a mirrored start the rank is `min(n·outputs, (m/2) min(n,
    d))`, for `h` pairs of neurons have `h` independent gradients, each of them among the inputs.
    With `n ≥ d` this is the paper's `2n/d`. Arguments, static whole numbers from 1 on: samples,
    input dimension, outputs.
    Raises `ValueError` for others.
    Reference: Zhang et al. 2021, theorem 1.
    Where it fails: inputs that span less than `min(n, d)` dimensions, and see `check_assumptions`.
    """
    n, d, outputs = check_sizes("min_width", "raise what is below", n=n, d=d, outputs=outputs)
    return 2 * -(-n * outputs // min(n, d))


def counting_width(n: int, d: int, outputs: int = 1) -> int:
    """The smallest `m` with as many parameters as equations, `m (d + outputs) ≥ n·outputs`: `n/(d +
    1)` for one output.

    Arguments and errors as for `min_width`. Below it, almost no targets can be met.
    """
    n, d, outputs = check_sizes("counting_width", "raise what is below", n=n, d=d, outputs=outputs)
    return -(-n * outputs // (d + outputs))


def is_count(number) -> bool:
    """Whether something is a whole number, not a boolean, of at least one."""
    return (as_integer(number) or 0) >= 1
