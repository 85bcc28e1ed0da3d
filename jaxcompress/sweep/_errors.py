"""One line for every fault of a plan: which field, what was given, what was expected, what to
do.
"""

from typing import Any, NoReturn

import numpy as np

from jaxcompress._internal.checks import as_integer, span

_LONG = 120  # characters that are repeated of what was given


def refuse(field: str, given: Any, expected: str, remedy: str) -> NoReturn:
    """Raise the `ValueError` of a field."""
    try:
        said = " ".join(repr(given).split())
    except ValueError:  # Python prints no number of more than 4300 digits
        said = "a number of thousands of digits"
    said = said if len(said) <= _LONG else said[:_LONG] + "…"
    raise ValueError(f"Plan.{field}: given {said}; expected {expected}; {remedy}")


def check_whole(field: str, given: Any, least: int, most: int = 2**31 - 1) -> int:
    """A whole number in a range, as Python's. Raises `ValueError` for anything else, `True` and
    `3.0` included.
    """
    number = as_integer(given)
    if number is None or not least <= number <= most:
        refuse(field, given, span(least, most), "write one, such as 1024 and not 1e3")
    return number


def as_real(given: Any) -> float | None:
    """A number as a float, zero without its sign: equal plans then have one spelling. `None` for
    anything else.
    """
    if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating):
        return None
    try:
        number = float(given) + 0.0
    except OverflowError:
        return None
    return number if abs(number) < float("inf") else None


def check_real(field: str, given: Any) -> float:
    """A finite number. Raises `ValueError` for anything else."""
    number = as_real(given)
    if number is None:
        refuse(field, given, "a finite number", "change it, or leave it out for the default")
    return number


def check_positive(field: str, given: Any, allow_none: bool = False) -> float | None:
    """A finite positive number, or `None` where that stands for a default.
    Raises `ValueError` for anything else.
    """
    if given is None and allow_none:
        return None
    number = as_real(given)
    if number is None or number <= 0:
        refuse(
            field,
            given,
            "a finite positive number",
            "change it" + (", or leave it out" if allow_none else ""),
        )
    return number


def check_fits(field: str, number: float, precision: str) -> None:
    """Raise `ValueError` for a number that is infinite, or no longer different from zero, in a
    precision.
    """
    with np.errstate(all="ignore"):
        there = np.dtype(precision).type(number)
    if not np.isfinite(there) or (number and not there):
        limits = np.finfo(precision)
        expected = f"a size from {limits.smallest_subnormal:.2g} to {limits.max:.2g} in {precision}"
        refuse(
            field,
            number,
            expected,
            "change it" + ("" if precision == "float64" else ', or take "float64"'),
        )


def check_flag(field: str, given: Any) -> bool:
    """True or false. Raises `ValueError` for anything else."""
    if not isinstance(given, bool):
        refuse(field, given, "true or false", "write one of them without quotes")
    return given


def check_choice(field: str, given: Any, choices: tuple[str, ...]) -> str:
    """One of a few words. Raises `ValueError` for anything else."""
    if not isinstance(given, str) or given not in choices:
        refuse(field, given, " or ".join(f'"{choice}"' for choice in choices), "choose one")
    return given


def check_keys(field: str, given: Any, known: tuple[str, ...]) -> dict:
    """A table whose keys are known. Raises `ValueError` that names the first key that is not."""
    if not isinstance(given, dict):
        refuse(field, given, f"a table with {', '.join(known)}", "write it as a table")
    unknown = [name for name in given if name not in known]
    if unknown:
        where = f"{field}.{unknown[0]}" if field else unknown[0]
        refuse(
            where,
            given[unknown[0]],
            f"only the fields {', '.join(known)}",
            "rename or remove this one",
        )
    return given
