"""The table of `first_call.py`, and the check that no program has grown since its record."""

from markdown import machine, table, times

GROWTH = 1.1  # of the lines of a program that `--check` lets pass


def first_call(record: dict) -> list[str]:
    """What a first call costs before it computes."""
    rows = []
    for row in record["rows"]:
        count = row.get("counted", {})
        counts = [str(count.get(what, "—")) for what in ("lines", "erfc", "exp")]
        if "cold" not in row:
            rows.append([row["row"], *counts, *["—"] * 10])
            continue
        cold, first, warm = row["cold"], row["cold"]["first"], row["warm"]
        made = first["trace_seconds"] + first["lower_seconds"]
        parts = [made, first["compile_seconds"], first["run_seconds"], first["seconds"]]
        rows.append(
            [
                row["row"],
                *counts,
                f"{first['programs']}",
                *(f"{seconds:.2f}" for seconds in (cold["import_seconds"], *parts)),
                times(cold.get("ratio")),
                f"{warm['first']['seconds']:.2f}",
                f"{warm['again']['seconds']:.2f}",
                f"{cold['peak_bytes'] / 1e6:.0f}",
            ]
        )
    head = [
        "first call of",
        "lines",
        "erfc",
        "exp",
        "programs",
        "import",
        "trace, lower",
        "compile",
    ]
    head += ["run", "together", "of the yardstick", "from the cache", "again", "MB"]
    return [
        "### What a first call costs",
        "",
        machine(record),
        "Processor seconds of a fresh process on one core. Rows are `solve_many` with 16 runs of "
        "n = 3",
        "against k = 6 in d = 7 (`+b`: with hidden and output biases), and `compress` of the "
        "digits,",
        "128 → 16. The yardstick is what one value with its gradient and one Hessian take to "
        "compile;",
        "lines, `erfc` and `exp` are those of StableHLO; programs leave out single operations on "
        "arrays.",
        "",
        *table(head, rows),
        "",
    ]


def grown(record: dict) -> list[str]:
    """The programs that have more lines than the record, by more than a tenth; each is lowered
    anew.
    """
    import first_call_once
    import jax

    jax.config.update("jax_enable_x64", True)
    found = []
    for row in record["rows"]:
        if "counted" in row:
            before = row["counted"]["lines"]
            now = first_call_once.counted(row["name"], row["biased"])["lines"]
            if now > GROWTH * before:
                more = f"{now / before - 1:.0%} more than stored"
                found.append(f"solve_many of {row['row']} lowers to {now} lines, {more}")
    return found
