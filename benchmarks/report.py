"""Write the tables of benchmarks/README.md from results/*.json, between its markers, and say where
we lose.

    python benchmarks/report.py  # rewrite the README python benchmarks/report.py --check  # fail if
    it is not what the results say, or a program has grown
"""

import argparse
import json
import statistics
from pathlib import Path

from first_call_report import first_call, grown
from markdown import machine, table, time_of, times

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- begin generated -->", "<!-- end generated -->"
FLOW_RULES = ("adam", "lbfgs", "gd")


def load(name: str) -> dict | None:
    """One record, or nothing when it has not been made."""
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def works(record: dict) -> list[str]:
    """Works B to D, one row a solver."""
    head = [
        "work, solver",
        "a run",
        "against ours",
        "against our flow",
        "arrived",
        "largest gradient",
        "same end risk",
    ]
    rows = []
    for row in record["rows"]:
        mark = " ¹" if row["solver"] in FLOW_RULES else ""
        rows.append(
            [
                f"{row['work']}: {row['title']}{mark}",
                time_of(row["median_seconds_per_run"]),
                times(row["ratio_to_ours"]),
                times(row.get("ratio_to_ours_flow")),
                f"{row['converged']} of {row['runs']}",
                f"{row['largest_gradient']:.1e}",
                f"{row['same_end_risk']}",
            ]
        )
    compiled = [
        f"{row['work']} {row['compile_seconds']:.1f} s"
        for row in record["rows"]
        if row["solver"] == "ours"
    ]
    return [
        "### Works B to D",
        "",
        machine(record),
        f"Compilation is not in the times; ours takes {', '.join(compiled)}.",
        "",
        *table(head, rows),
        "",
        "¹ Not a gradient flow: it may end in another basin, which the last column counts.",
        "",
    ]


def tables_of(rows: list[dict]) -> list[str]:
    """Work A, and a table of 4096 × 4096 neurons."""
    lines = [
        [
            f"{row['neurons']}², d = {row['dim']}: {row['activation']}, {row['quantity']}, "
            f"{row['solver']}",
            time_of(row["median_cpu_seconds"]),
            times(row["ratio_to_ours"]),
            times(row["ratio_to_product"]),
            f"{row['largest_difference']:.1e}",
        ]
        for row in rows
    ]
    head = [
        "table (work A: 1000 neurons)",
        "processor time",
        "against ours",
        "against `W Vᵀ`",
        "difference",
    ]
    return ["### Tables of kernels", "", *table(head, lines), ""]


def million(record: dict) -> list[str]:
    """The gradient of a risk against a million neurons."""
    lines = [
        [
            f"{row['activation']}, {row['dtype']}",
            time_of(row["median_cpu_seconds"]),
            times(row["ratio_to_products"]),
            times(row["ratio_to_products_in_cache"]),
            f"{row['peak_over_target']:.2f} ×",
        ]
        for row in record["rows"]
    ]
    head = [
        "gradient",
        "processor time",
        "against three products",
        "against them in cache",
        "memory, of the target's",
    ]
    title = "### Gradient of the risk of 64 neurons against 10⁶, d = 256"
    return [title, "", *table(head, lines), ""]


def accuracy(record: dict) -> list[str]:
    """How many pairs of activations are within the limits at every corner."""
    lines = []
    for dtype, limits in record["limits"].items():
        for quantity, limit in zip(("value", "gradient", "hessian"), limits, strict=False):
            rows = record[dtype]
            within = sum(row[quantity] <= limit for row in rows)
            worst = max(rows, key=lambda row, quantity=quantity: row[quantity])
            where = (
                f"{worst[quantity]:.0e}: {worst['f']} with {worst['g']}, "
                f"{worst[quantity + '_corner']}"
            )
            lines.append(
                [f"{dtype}, {quantity}", f"{limit:.0e}", f"{within} of {len(rows)}", where]
            )
    head = ["every pair of activations against mpmath", "limit", "pairs within it", "worst"]
    return ["### Accuracy of the kernels", "", *table(head, lines), ""]


def basins(record: dict) -> list[str]:
    """End points against the reference flow."""
    rows = []
    for row in record["rows"]:
        low, high = row["wilson_95"]
        loose = {
            item["rtol"]: f"{item['same_as_reference']} of {item['runs']}"
            for item in row.get("lsoda", [])
        }
        check = row.get("check")
        checked = f"{check['same_as_reference']} of {check['arrived']}" if check else "—"
        share = f"{row['same']} of {row['runs']} = {row['fraction']:.2%} ({low:.2%} to {high:.2%})"
        of_both = f"{row['same_of_both_converged']} of {row['both_converged']}"
        rows.append(
            [row["work"], share, of_both, loose.get(1e-3, "—"), loose.get(1e-6, "—"), checked]
        )
    head = [
        "starts",
        "ours, default",
        "where both converged",
        "LSODA, rtol 1e-3",
        "LSODA, rtol 1e-6",
        "reference checked",
    ]
    return ["### Same basin as the flow at rtol 1e-10", "", *table(head, rows), ""]


def short_of(record: dict) -> list[str]:
    """Which rows of the work–precision diagram hold runs that did not arrive."""
    short: dict[str, list[str]] = {}
    for row in record["rows"]:
        if row["converged"] < row["runs"]:
            short.setdefault(f"{row['work']}, {row['title']}", []).append(
                f"{row['converged']} of {row['runs']}"
            )
    return [
        f"- {who}: {', '.join(counts)} runs arrived within the budget of steps."
        for who, counts in short.items()
    ] + [""]


def slots(record: dict) -> list[str]:
    """Slot scaling, the heavy-tailed workload and the equality of answers."""
    best = min(row["median_seconds_per_run"] for row in record["scaling"])
    rows = [
        [
            str(row["slots"] or "default"),
            time_of(row["median_seconds_per_run"]),
            times(row["median_seconds_per_run"] / best),
        ]
        for row in record["scaling"]
    ]
    out = ["### Slots", "", *table(["slots, work B", "a run", "against the best"], rows), ""]
    for row in record.get("heavy", []):
        out.append(
            f"- {row['work']}, {row['slots'] or 'default'} slots: the slowest run takes "
            f"{row['tail']:.0f} times the median; occupancy "
            f"{row.get('occupancy', float('nan')):.1%} until the queue is empty, "
            f"{row['lockstep_occupancy']:.1%} in lockstep."
        )
    for row in record.get("same_answers", []):
        order = "bit-identical" if row["bit_identical_in_another_order"] else "NOT bit-identical"
        out.append(
            f"- {row['work']}, slots {row['slots']}: converged ends differ by at most "
            f"{row['largest_difference']:.1e} in a parameter and "
            f"{row['largest_function_distance']:.1e} in the relative distance of functions; "
            f"{order} in another order of the queue."
        )
    return [*out, ""]


def stages(record: dict) -> list[str]:
    """Where the time goes."""
    rows = [
        [row["stage"], time_of(1e-6 * row["microseconds_per_slot"])] for row in record["stages"]
    ]
    rows += [
        [
            f"whole step, {row['what']} ({row['steps']:.1f} steps a run)",
            time_of(1e-6 * row["microseconds_per_step"]),
        ]
        for row in record["whole"]
    ]
    head = [f"work {record['work']}, {record['slots']} slots", "a slot"]
    return ["### Stages", "", *table(head, rows), ""]


def processes(record: dict) -> list[str]:
    """Throughput of several processes."""
    return [
        *[
            f"{row['processes']} processes, a core each, do {row['throughput_ratio']:.2f} times "
            f"the runs of one (work {row['work']})."
            for row in record["rows"]
        ],
        "",
    ]


def sweeps(record: dict) -> list[str]:
    """A large sweep, and what plan, store and progress add to the bare solver."""
    large, extra = record["large"], record["overhead"]
    rows = [
        [
            f"{row['activation']}, n = {row['n']}, k = {row['k']}",
            time_of(statistics.median(row["bare_cpu_seconds"]) / row["runs"]),
            f"{row['overhead']:+.1%}",
        ]
        for row in extra["cells"]
    ]
    return [
        "### Sweeps",
        "",
        f"{large['runs']} runs by {large['processes']} processes on a core each, nothing compiled "
        f"before: {large['seconds']:.0f} s, {large['converged']} converged; "
        f"{large['compile_share']:.0%} of the processes' time was compiling, "
        f"{large['store_share']:.2%} storing. A second look at all checksums takes "
        f"{time_of(large['check_seconds'])}; the largest process took "
        f"{large['peak_memory'] / 1e6:.0f} MB of memory, the store {large['disk'] / 1e6:.0f} MB "
        "of disk.",
        "",
        f"Plan, store and progress add {extra['overhead']:.1%} to the processor time of "
        f"`solve_many` on the same runs in one call{_by_wall(record)}:",
        "",
        *table(["25 000 runs of", "a run, bare", "as a sweep"], rows),
        "",
    ]


def _by_wall(record: dict) -> str:
    """The same by wall clock, where a core was free for it."""
    wall = record.get("overhead_wall")
    if wall is None:
        return ""
    return (
        f" ({wall['overhead']:.1%} of the wall clock in the first {len(wall['cells'])} cells, "
        "medians of three)"
    )


def losses(works_record: dict | None) -> list[str]:
    """Every row in which somebody else is faster than ours."""
    if works_record is None:
        return []
    lost = []
    for row in works_record["rows"]:
        if row["ratio_to_ours"] < 1 and not row["solver"].startswith("ours") and row["converged"]:
            same = f"{row['same_end_risk']} of {row['runs']} ends have our risk"
            lost.append(
                f"- Work {row['work']}: {row['title']} takes {row['ratio_to_ours']:.2f} of our "
                f"time ({same})."
            )
    for row in works_record.get("tables", []):
        if row["solver"] != "ours" and row["ratio_to_ours"] < 1:
            what = f"{row['activation']}, {row['quantity']}"
            lost.append(
                f"- Work A, {what}: {row['solver']} takes {row['ratio_to_ours']:.2f} of our time."
            )
    return ["### Where we lose", "", *(lost or ["Nowhere in the rows above."]), ""]


def ceilings(record: dict) -> list[str]:
    """Share of the chip's limits."""
    limits = record.get("ceilings")
    if limits is None:
        return []
    rows = [
        [f"{row['work']}: {row['solver']}", *(f"{row[name]:.2%}" for name in SHARES)]
        for row in limits["shares"]
    ]
    head = ["share of", "matrix product", "elementwise arithmetic", "memory traffic"]
    return [
        f"### Against the limits of {record['environment']['device']}",
        "",
        *table(head, rows),
        "",
    ]


SHARES = ("share_of_matmul", "share_of_elementwise", "share_of_bandwidth")


def headline(record: dict) -> list[str]:
    """Both LSODA ratios of every work, in words."""
    out = []
    for work in dict.fromkeys(row["work"] for row in record["rows"]):
        ratios = {
            row["solver"]: row["ratio_to_ours"] for row in record["rows"] if row["work"] == work
        }
        if {"lsoda", "lsoda-ours"} <= ratios.keys():
            spread = next(
                r["seconds_per_run"]
                for r in record["rows"]
                if r["work"] == work and r["solver"] == "ours"
            )
            shaky = (max(spread) - min(spread)) / statistics.median(spread)
            out.append(
                f"- Work {work}: LSODA with the autodiff Hessian takes {times(ratios['lsoda'])} "
                f"our time, with our Hessian {times(ratios['lsoda-ours'])} (our repeats spread "
                f"over {shaky:.0%})."
            )
    return [*out, ""]


def generated() -> str:
    """Everything between the markers."""
    made = {name: load(name) for name in ("works", "processes", "basins", "slots", "stages")}
    lines: list[str] = []
    if made["works"]:
        lines += [*headline(made["works"]), *losses(made["works"]), *works(made["works"])]
    tables = load("gram_tables") or {"rows": (made["works"] or {}).get("tables", [])}
    lines += tables_of(tables["rows"]) if tables["rows"] else []
    firsts = {"first_call": first_call, "million": million, "kernel_accuracy": accuracy}
    for name, section in {**firsts, "sweeps": sweeps}.items():
        record = load(name)
        lines += section(record) if record else []
    sections = {"processes": processes, "basins": basins, "slots": slots, "stages": stages}
    for name, section in sections.items():
        if made[name]:
            lines += section(made[name])
    for name in ("works", "works-gpu"):
        record = load(name)
        if record:
            lines += (
                [*works(record), *ceilings(record)] if name == "works-gpu" else ceilings(record)
            )
    if (HERE / "results" / "work_precision.png").exists():
        lines += [
            "![Time a run against the distance to the true end](results/work_precision.png)",
            "",
        ]
        lines += short_of(load("work_precision") or {"rows": []})
    return "\n".join(lines).strip() or "No results stored."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if the README is not up to date"
    )
    options = parser.parse_args()
    path = HERE / "README.md"
    text = path.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    new = f"{before}{BEGIN}\n\n{generated()}\n\n{END}{after}"
    if options.check:
        faults = (
            [] if new == text else ["benchmarks/README.md is not what results/ says: run report.py"]
        )
        record = load("first_call")
        faults += grown(record) if record else []
        raise SystemExit("\n".join(faults) or 0)
    path.write_text(new)


if __name__ == "__main__":
    main()
