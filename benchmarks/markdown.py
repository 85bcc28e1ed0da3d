"""What the tables of reports are made of: rows, times, ratios, and the machine of a record."""


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table, numbers to the right."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *rows)]


def time_of(seconds: float) -> str:
    """Three digits in the unit that suits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{1e6 * seconds:.3g} µs"


def times(ratio: float | None) -> str:
    """A ratio."""
    return "—" if ratio is None else f"{ratio:.3g} ×"


def machine(record: dict) -> str:
    """One sentence about what a record was measured with."""
    made = record["environment"]
    where = made["processor"] if made["platform"] == "cpu" else made["device"]
    return (
        f"{where}, {made['precision']}, {made['cores_usable']} usable core(s), jax {made['jax']}, "
        f"SciPy {made['scipy']}, diffrax {made['diffrax']}, optax {made['optax']}."
    )
