"""The command line: parse, call, print. Nothing is computed here."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxcompress import cli_show, cli_sweep
from jaxcompress._internal.files import check_writable
from jaxcompress._internal.progress import progress_bar
from jaxcompress.cli_cache import add_cache_options, keep_as_asked, troubles_on_one_line

_GUIDE = """\
Take a trained two-layer network and find a smaller one that computes almost the same function. The
error is the exact average over Gaussian inputs: no data is needed, only the inputs' mean and
covariance if you have them.

the target is an .npz file with plain arrays (d inputs, k hidden neurons, o outputs):
  weights      (k, d)            one row a hidden neuron
  readout      (k,) or (k, o)    what each hidden neuron contributes
  bias         (k,)              optional, hidden biases
  output_bias  () or (o,)        optional
  activation   a string          relu, erf, tanh, gelu, leaky_relu(0.1), … (jaxcompress.activations)

write one with NumPy, here from scikit-learn's MLPClassifier `model`:
  numpy.savez("target.npz", weights=model.coefs_[0].T, readout=model.coefs_[1],
              bias=model.intercepts_[0], output_bias=model.intercepts_[1], activation="relu")
  numpy.savez("inputs.npz", mean=X.mean(0), covariance=numpy.cov(X.T))

then:
  jaxcompress compress target.npz --width 16 --mean-covariance inputs.npz --out small.npz
"""

_EPILOG = """\
exit status: 0 done; 2 bad input (one line says what was given, what was expected and what to do);
130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    if options.command is None:
        _parser().print_help()
        return 0
    try:
        _need_rich()
        with troubles_on_one_line():
            return options.run(options)
    # OSError: the disk filled up, or a folder went away, during the work
    except (ValueError, OSError) as error:
        # without its number
        own = isinstance(error, OSError) and error.filename is None and error.strerror
        print(f"jaxcompress: {' '.join(str(own or error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:  # what to do next, where a command says so
        print(
            f"jaxcompress: {'; '.join(('interrupted', *map(str, interrupt.args)))}", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "jaxcompress", description=_GUIDE, epilog=_EPILOG, formatter_class=form
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    compress = commands.add_parser(
        "compress",
        help="a network in, a smaller one out (jaxcompress compress --help)",
        description="Find the network of M hidden neurons closest to the target on average, save "
        "it and report.",
        epilog=_EPILOG,
        formatter_class=form,
    )
    _add_options(compress)
    add_cache_options(compress)
    compress.set_defaults(run=_compress)
    cli_sweep.add_commands(commands, _EPILOG)
    cli_show.add_commands(commands, _EPILOG)
    return parser


def _add_options(compress: argparse.ArgumentParser) -> None:
    add = compress.add_argument
    add("target", type=Path, metavar="TARGET.npz", help="the network to compress")
    width = "hidden neurons of the smaller network"
    add("--width", type=int, required=True, metavar="M", help=width)
    starts = "starts of the search (default 64)"
    add("--starts", type=int, default=64, metavar="S", help=starts)
    add("--seed", type=int, default=0, help="seed of the random starts (default 0)")
    out = "where to put the result (default: TARGET-M.npz beside the target)"
    add("--out", type=Path, metavar="SMALL.npz", help=out)
    law = "mean (d,) and covariance (d, d) of the inputs (default: zero and identity)"
    add("--mean-covariance", type=Path, metavar="FILE.npz", help=law)
    add("--json", action="store_true", help="print the report as JSON instead of a table")
    plot = "draw what the starts reached and what pruning costs"
    add("--plot", type=Path, metavar="FILE.png", help=plot)


def _need_rich() -> None:
    try:
        import rich  # noqa: F401
    except ImportError:
        raise ValueError(
            "the command line needs the package rich; install it with pip install "
            "'jaxcompress[cli]'"
        ) from None


def _compress(options: argparse.Namespace) -> int:
    # The search runs one walk a processor by itself. Eigenvalues of 1226 unknowns take 0.13 s of
    # processor time in one thread of BLAS and up to 3 s in two, which wait for each other in a
    # loop; the name is read when BLAS is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    import jaxcompress as jc

    stored = jc.load(options.target)
    target = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), stored)
    inputs = _inputs(options.mean_covariance)
    key = _key(options.seed)
    out = options.out or options.target.with_name(f"{options.target.stem}-{options.width}.npz")
    _check_no_input_is_lost(options, out)
    check_writable(out)
    draw = None if options.plot is None else _plotter(options.plot)
    keep_as_asked(options)
    with progress_bar("prepare") as bar:
        small = jc.compress(
            target,
            options.width,
            key=key,
            num_starts=options.starts,
            inputs=inputs,
            progress=None
            if bar is None
            else lambda stage, done, total: bar.update(_STAGES.get(stage, stage), done, total),
        )
    jc.save(out, jax.tree.map(lambda leaf: leaf.astype(stored.weights.dtype), small.network))
    report = {"target": str(options.target), "out": str(out), **small.report.to_dict()}
    if draw is not None:
        draw(report, options.plot)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print_table(report)
    return 0


_STAGES = {"screen": "short descents", "refine": "long descents", "polish": "polish"}


def _key(seed: int):
    import jax

    try:
        return jax.random.key(seed)
    except OverflowError:
        raise ValueError(
            f"given --seed {seed}; expected a number of at most 64 bits; choose a smaller one"
        ) from None


def _check_no_input_is_lost(options: argparse.Namespace, out: Path) -> None:
    read = {
        path.resolve() for path in (options.target, options.mean_covariance) if path is not None
    }
    for path in (out, options.plot):
        if path is not None and path.resolve() in read:
            raise ValueError(
                f"{path}: given as input and as output; expected an output of its own; choose "
                "another name"
            )


def _inputs(path: Path | None):
    import jax
    import jax.numpy as jnp

    import jaxcompress as jc
    from jaxcompress.networks.internal import read_arrays, real_array

    if path is None:
        return jc.StandardNormal()
    arrays = read_arrays(path, ("mean", "covariance"))
    mean, covariance = (real_array(path, name, arrays[name]) for name in ("mean", "covariance"))
    try:
        # Checked at the precision it was stored in: a singular covariance in float32 is indefinite
        # to float64.
        law = jc.Gaussian(jnp.asarray(mean, covariance.dtype), jnp.asarray(covariance))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), law)


def _plotter(path: Path):
    """The function that draws, after making sure that it can put its figure there."""
    cli_show.check_drawing(path)
    check_writable(path)
    from jaxcompress.plotting import save_compression_figure

    return save_compression_figure


def _print_table(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{report['target_width']} → {report['width']} neurons", title_justify="left"
    )
    table.add_column("at the same width")
    table.add_column("risk E‖f−f*‖²", justify="right")
    table.add_column("relative", justify="right")
    rows = (
        ("magnitude pruning", report["pruned_risk"], report["pruned_relative_risk"]),
        ("pruning, readout refitted", report["refitted_risk"], report["refitted_relative_risk"]),
        ("this network", report["risk"], report["relative_risk"]),
    )
    for name, risk, relative in rows:
        table.add_row(
            name, f"{risk:.6g}", f"{relative:.4%}", style="bold" if name == "this network" else None
        )
    console = Console()
    console.print(table)
    times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report["seconds"].items())
    console.print(
        f"best start   {report['best_start']} (of {len(report['start_risks'])})", highlight=False
    )
    certificate = f"max|∂R/∂θ| = {report['gradient_norm']:.1e}; {_spectrum(report)}"
    console.print(f"certificate  {certificate}", highlight=False, soft_wrap=True)
    console.print(f"             {report['result']}", highlight=False, soft_wrap=True)
    console.print(f"time         {times}", highlight=False, soft_wrap=True)
    console.print(f"written to   {report['out']}", highlight=False, soft_wrap=True, markup=False)


def _spectrum(report: dict[str, Any]) -> str:
    if report["index"] is None:
        return "not polished (too many unknowns)"
    kind = "a minimum" if report["index"] == 0 else f"a saddle of index {report['index']}"
    if not report["converged"]:
        kind = f"no critical point yet, {report['index']} negative Hessian eigenvalues"
    return f"{kind}, smallest Hessian eigenvalue {report['smallest_eigenvalue']:.1e}"
