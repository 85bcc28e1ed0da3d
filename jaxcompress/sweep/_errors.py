"""One line for every fault of a plan: which field, what was given, what was expected, what to do."""

from typing import Any, NoReturn


def refuse(field: str, given: Any, expected: str, remedy: str) -> NoReturn:
    """Raise the `ValueError` of a field."""
    said = " ".join(repr(given).split())
    raise ValueError(f"Plan.{field}: given {said}; expected {expected}; {remedy}")


def check_whole(field: str, given: Any, least: int, most: int = 2**31 - 1) -> int:
    """A whole number in a range. Raises `ValueError` for anything else, `True` and `3.0` included."""
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        refuse(field, given, f"a whole number from {least} to {most}", "write one, such as 1024 and not 1e3")
    return given


def check_positive(field: str, given: Any, allow_none: bool = False) -> float | None:
    """A finite positive number, or `None` where that stands for a default. Raises `ValueError` for anything else."""
    if given is None and allow_none:
        return None
    real = isinstance(given, int | float) and not isinstance(given, bool)
    if not real or not 0 < given < float("inf"):
        refuse(field, given, "a finite positive number", "change it" + (", or leave it out" if allow_none else ""))
    return float(given)


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
        refuse(where, given[unknown[0]], f"only the fields {', '.join(known)}", "rename or remove this one")
    return given
