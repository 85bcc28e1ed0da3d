"""How well does a trained network survive? Handwritten digits: 128 neurons compressed without
looking at an image.

Trains scikit-learn's MLPClassifier (128 ReLU neurons) on 1200 of its 1797 bundled digits, hands its
two layers and the training pixels' mean and covariance to the command line, and measures what comes
back on the other 597 images.

    python benchmarks/digits.py  # 128 → 16 and 128 → 8
    python benchmarks/digits.py --widths 2 4 8 16 --record  # the table and figure of the README
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).resolve().parent
TRAINING_IMAGES = 1200


def train() -> tuple[MLPClassifier, np.ndarray, np.ndarray, np.ndarray]:
    """A trained classifier, its training pixels, and held-out pixels with their labels; pixels
    between 0 and 1.
    """
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels / 16
    order = np.random.default_rng(0).permutation(len(pixels))
    seen, held_out = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    model = MLPClassifier((128,), activation="relu", max_iter=400, random_state=0)
    model.fit(pixels[seen], labels[seen])
    return model, pixels[seen], pixels[held_out], labels[held_out]


def write_inputs(model: MLPClassifier, seen: np.ndarray, folder: Path) -> None:
    """The two files that the command line reads."""
    np.savez(
        folder / "target.npz",
        weights=model.coefs_[0].T,
        readout=model.coefs_[1],
        bias=model.intercepts_[0],
        output_bias=model.intercepts_[1],
        activation="relu",
    )
    np.savez(folder / "inputs.npz", mean=seen.mean(0), covariance=np.cov(seen.T))


def logits(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Outputs of a stored ReLU network, by NumPy alone."""
    with np.load(path) as net:
        hidden = np.maximum(pixels @ net["weights"].T + net["bias"], 0)
        return hidden @ net["readout"] + net["output_bias"]


def compress(folder: Path, width: int) -> dict:
    """One run of the command line with default settings; its JSON report and its wall clock."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "jaxcompress", "compress", "target.npz", "--width", str(width)]
    command += [
        "--mean-covariance",
        "inputs.npz",
        "--out",
        f"small-{width}.npz",
        "--plot",
        f"small-{width}.png",
        "--json",
    ]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return {**json.loads(done.stdout), "wall_seconds": time.perf_counter() - begin}


def measure(folder: Path, width: int, pixels: np.ndarray, labels: np.ndarray) -> dict:
    """The smaller network against the full one on held-out images."""
    full, small = (
        logits(folder / "target.npz", pixels),
        logits(folder / f"small-{width}.npz", pixels),
    )
    error = ((small - full) ** 2).sum()
    return {
        "held_out_relative_error": float(error / (full**2).sum()),
        "held_out_relative_error_centred": float(error / ((full - full.mean(0)) ** 2).sum()),
        "accuracy": float((small.argmax(1) == labels).mean()),
        "full_accuracy": float((full.argmax(1) == labels).mean()),
    }


def prune(folder: Path, width: int, seen: np.ndarray, pixels: np.ndarray) -> dict:
    """Magnitude pruning on held-out images, plain and with the readout refitted by least squares on
    training images.
    """
    with np.load(folder / "target.npz") as net:
        size = np.linalg.norm(net["weights"], axis=1) * np.linalg.norm(net["readout"], axis=1)
        kept = np.argsort(-size)[:width]
        weights, bias, readout, offset = (
            net["weights"][kept],
            net["bias"][kept],
            net["readout"][kept],
            net["output_bias"],
        )
    full, seen_full = logits(folder / "target.npz", pixels), logits(folder / "target.npz", seen)
    features = [np.c_[np.maximum(x @ weights.T + bias, 0), np.ones(len(x))] for x in (pixels, seen)]
    refitted = features[0] @ np.linalg.lstsq(features[1], seen_full, rcond=None)[0]
    plain = features[0][:, :-1] @ readout + offset
    return {
        "held_out_pruned": float(((plain - full) ** 2).sum() / (full**2).sum()),
        "held_out_refitted": float(((refitted - full) ** 2).sum() / (full**2).sum()),
    }


def machine() -> dict:
    """What the numbers were measured with."""
    packages = ("jax", "jaxlib", "numpy", "optax", "scikit-learn")
    return {
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "architecture": platform.machine(),
        **{name: version(name) for name in packages},
    }


def draw(rows: list[dict], path: Path) -> None:
    """The figure of the README."""
    import matplotlib.figure

    from jaxcompress.plotting import save_figure, widths

    figure = matplotlib.figure.Figure(figsize=(6, 3.6), layout="constrained")
    widths(rows, figure.add_subplot(title="digits, a trained 64-128-10 ReLU network"))
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 8])
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/digits"),
        help="folder for the .npz files and figures",
    )
    parser.add_argument(
        "--record", action="store_true", help="write benchmarks/results/digits.json and .png"
    )
    options = parser.parse_args()
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    model, seen, pixels, labels = train()
    write_inputs(model, seen, folder)
    rows = []
    print("width   pruned  refitted  jaxcompress  held-out images  accuracy (full)    seconds")
    for width in options.widths:
        row = (
            compress(folder, width)
            | measure(folder, width, pixels, labels)
            | prune(folder, width, seen, pixels)
        )
        rows.append({name: value for name, value in row.items() if name not in ("target", "out")})
        print(
            f"{width:5d}  {row['pruned_relative_risk']:7.2%}  "
            f"{row['refitted_relative_risk']:8.2%}  {row['relative_risk']:11.3%}  "
            f"{row['held_out_relative_error']:15.3%}  {row['accuracy']:8.2%} "
            f"({row['full_accuracy']:.2%})  {row['wall_seconds']:8.1f}",
            flush=True,
        )
    if options.record:
        results = HERE / "results"
        results.mkdir(exist_ok=True)
        (results / "digits.json").write_text(
            json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n"
        )
        draw(rows, results / "digits.png")
    print(f"the networks, and a figure for each, are in {options.out}")


if __name__ == "__main__":
    main()
