"""Sizes that depend on each other: `"k+1"` for a dimension, `"n < k"` for the cells to keep.

A term is a whole number, a letter (`n`, `k`, `d`) or a multiple `2*k`; terms are added and
subtracted.
"""

import operator
import re

_TERM = re.compile(r"([+-])(?:(\d{1,12})\*)?([nkd]|\d{1,12})")
_COMPARISON = re.compile(r"(.+?)(<=|>=|==|!=|<|>)(.+)")
_OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def value(text: str, sizes: dict[str, int]) -> int | None:
    """What a sum of terms comes to; `None` for what is no such sum, or has a letter that `sizes`
    lacks.
    """
    text = "".join(text.split())
    text = text if text[:1] in ("+", "-") else f"+{text}"
    terms = list(_TERM.finditer(text))
    if not terms or "".join(term.group() for term in terms) != text:
        return None
    total = 0
    for term in terms:
        sign, factor, atom = term.groups()
        number = int(atom) if atom.isdigit() else sizes.get(atom)
        if number is None:
            return None
        total += (1 if sign == "+" else -1) * int(factor or 1) * number
    return total


def holds(condition: str, sizes: dict[str, int]) -> bool | None:
    """Whether a comparison of two such sums is true; `None` for what is no comparison."""
    match = _COMPARISON.fullmatch("".join(condition.split()))
    if match is None:
        return None
    left, name, right = match.groups()
    one, other = value(left, sizes), value(right, sizes)
    return None if one is None or other is None else _OPERATORS[name](one, other)
