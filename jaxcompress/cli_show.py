"""The commands that read sweeps: parse, call, print. Nothing is computed here."""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from jaxcompress.cli_cache import add_cache_options, keep_as_asked


def add_commands(commands: Any, epilog: str) -> None:
    """Add `show` and `replay` to the command line."""
    form = argparse.RawDescriptionHelpFormatter
    show = commands.add_parser(
        "show",
        help="what a sweep has found so far",
        description="Print what a sweep has found so far, a row a cell, with the lowest risks, "
        "the number of a run that ended there (see replay) and their names, and draw it: risk "
        "against width, where runs ended, and the phase diagram. It may be running meanwhile.",
        epilog=epilog,
        formatter_class=form,
    )
    show.add_argument("directory", type=Path, metavar="DIR", help="the folder of the sweep")
    levels = "lowest risks a cell to name (default 3)"
    show.add_argument("--levels", type=int, default=3, metavar="L", help=levels)
    as_json = "print JSON instead of a table (and draw only with --plot)"
    show.add_argument("--json", action="store_true", help=as_json)
    plot = "where to draw it (default: figure.png in DIR)"
    show.add_argument("--plot", type=Path, metavar="FILE", help=plot)
    add_cache_options(show)
    show.set_defaults(run=_show)
    replay = commands.add_parser(
        "replay",
        help="one run of a sweep again, with its trajectory",
        description="Do one run of a sweep again, from its number alone, and say where it ends "
        "and where it ended.",
        epilog=epilog,
        formatter_class=form,
    )
    replay.add_argument("directory", type=Path, metavar="DIR", help="the folder of the sweep")
    number = "number of the run: first_run of its cell, plus seed"
    replay.add_argument("number", type=int, metavar="RUN", help=number)
    out = "store the trajectory, for xarray.open_zarr"
    replay.add_argument("--out", type=Path, metavar="FOLDER", help=out)
    plot = "draw risk and order parameters against time"
    replay.add_argument("--plot", type=Path, metavar="FILE", help=plot)
    add_cache_options(replay)
    replay.set_defaults(run=_replay)


def _show(options: argparse.Namespace) -> int:
    from jaxcompress import sweep

    if options.plot is not None:
        check_drawing(options.plot)
    keep_as_asked(options)  # names are found by programs too
    rows = sweep.table(options.directory, levels=options.levels)
    if options.json:
        print(json.dumps([row.to_dict() for row in rows], indent=2))
    else:
        _print_table(rows)
        if any(row.done < row.runs for row in rows):
            print(f"unfinished; go on with: jaxcompress resume {options.directory}")
    if options.plot is not None or not options.json:
        _draw(rows, options.plot, options.directory / "figure.png")
    return 0


def _draw(rows: list[Any], asked: Path | None, usual: Path) -> None:
    """The figure, where it was asked for or where it usually is; that no table depends on."""
    try:
        from jaxcompress import plotting

        plotting.save_sweep_figure([row.to_dict() for row in rows], asked or usual)
    except (ImportError, OSError) as error:
        if asked is not None:
            raise
        print(f"not drawn: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
    else:
        if asked is None:
            print(f"drawn in {usual}")


def check_drawing(path: Path) -> None:
    """Raise `ValueError` unless a figure could be put there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ValueError(
            "--plot needs matplotlib; install it with pip install 'jaxcompress[plot]'"
        ) from None
    from jaxcompress.plotting.internal import check_format

    check_format(path)


def _replay(options: argparse.Namespace) -> int:
    from jaxcompress import sweep

    if options.plot is not None:
        check_drawing(options.plot)
    if options.out is not None and options.out.exists():
        raise ValueError(
            f"{options.out}: given a place where something is; expected a new folder; choose "
            "another"
        )
    keep_as_asked(options)
    way = sweep.trajectory(options.directory, options.number)
    about = way.attrs
    print(
        f"run {about['run']}: {about['activation']} n={about['n']} k={about['k']} d={about['d']} "
        f"{about['target']}"
    )
    print(f"risk     {float(way.risk[0]):.8g} at the start, {about['end_risk']:.10g} at the end")
    stored = sweep.stored_run(options.directory, options.number)
    if stored is None:
        print("stored   nothing yet")
    else:
        print(f"stored   {stored['risk']:.10g}, {stored['result']}")
    if abs(about["trajectory_gap"]) > 1e-6 * max(1.0, about["end_risk"]):
        gap = f"{about['trajectory_gap']:+.2g}"
        print(
            f"the flow at tight tolerances ends {gap} from there: the loose steps of the sweep "
            "left its basin"
        )
    if options.out is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Consolidated metadata", module="zarr"
            )  # readers need not know it
            way.to_zarr(options.out)
    if options.plot is not None:
        from jaxcompress import plotting

        plotting.save_trajectory_figure(way, options.plot)
    return 0


def _print_table(rows: list[Any]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    ends: dict[str, int] = {}
    for row in rows:
        for name, count in row.results.items():
            ends[name] = ends.get(name, 0) + count
    said = ", ".join(f"{count} {name}" for name, count in ends.items())
    title = f"{sum(row.done for row in rows)} of {sum(row.runs for row in rows)} runs" + (
        f": {said}" if said else ""
    )
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, padding=(0, 1))
    table.add_column("cell", overflow="fold")
    for name in ("done", "converged", "10 %", "median", "90 %", "lowest risks", "share", "run"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("name", overflow="fold")
    for row in rows:
        cell = row.cell
        target = "" if cell.target.label == "orthonormal" else f" {cell.target.label}"
        first = [f"{cell.activation} n={cell.n} k={cell.k} d={cell.d}{target}", str(row.done)]
        first.append(f"{row.converged / row.done:.1%}" if row.done else "–")
        first += [f"{risk:.4g}" if row.converged else "–" for risk in row.risk[1:4]]
        for level in row.levels:
            table.add_row(
                *first,
                f"{level.risk:.8g}",
                f"{level.count / row.converged:.1%}",
                str(level.run),
                level.name,
            )
            first = [""] * len(first)
        if not row.levels:
            table.add_row(*first, "–", "–", "–", "")
    console = Console()
    console.width = console.width if console.is_terminal else 200  # a file has no edge
    console.print(table)
