"""How many neurons suffice, and how few could, by counting."""

from jaxcompress._internal.checks import as_integer, check_sizes
from jaxcompress._internal.deprecation import renamed_arguments


@renamed_arguments(n="samples", d="dim")
def min_width(samples: int, dim: int, outputs: int = 1) -> int:
    """The smallest even width `m` at which a mirrored start has a Jacobian by the weights of full
    row rank `n·outputs`.

    `m = 2 ⌈n·outputs / min(n, d)⌉` for `n` samples of dimension `d`: at a mirrored start the rank
    is `min(n·outputs, (m/2) min(n, d))`, because `h` pairs of neurons have `h` independent
    gradients, each of them among the inputs. With `n ≥ d` this is the paper's `2n/d`.
    Arguments (static whole numbers, at least 1): `samples`, how many there are; `dim`, of the
    inputs; `outputs`.
    Raises `ValueError` for others.
    Reference: Zhang et al. 2021, theorem 1.
    Where it fails: inputs that span less than `min(n, d)` dimensions, and see `check_assumptions`.

    Example: `min_width(64, 8) == 16`.
    """
    n, d, outputs = check_sizes(
        "min_width", "raise what is below", samples=samples, dim=dim, outputs=outputs
    )
    return 2 * -(-n * outputs // min(n, d))


@renamed_arguments(n="samples", d="dim")
def counting_width(samples: int, dim: int, outputs: int = 1) -> int:
    """The smallest width `m` with as many parameters as equations: `m (d + outputs) ≥ n·outputs`.

    For one output it is `n/(d + 1)`, rounded up. Below it, almost no targets can be met.
    Arguments and errors as for `min_width`.

    Example: `counting_width(64, 8) == 8`.
    """
    n, d, outputs = check_sizes(
        "counting_width", "raise what is below", samples=samples, dim=dim, outputs=outputs
    )
    return -(-n * outputs // (d + outputs))


def is_count(number) -> bool:
    """Whether something is a whole number, not a boolean, of at least one."""
    return (as_integer(number) or 0) >= 1
