#!/usr/bin/env python3
"""Whether two builds of onnxpress write the same bytes: for changes that are to move no result.

    same_bytes.py OLD NEW [MODEL…]

Runs simplify, quantize in all modes, prune and factorize with both programs, on the fixtures and, when they are there, six
of the shared models; names what differs, and ends with 1 then. A command that fails must fail with the same status.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("ONNXPRESS_SHARED", ROOT.parent / "shared"))
MODELS = ["cifar_resnet8_bn", "cifar_mobilenetv2_bn", "cifar_vit", "mnist_mlp", "mnist_gru", "sst2_transformer"]

COMMANDS = {
    "simplify": ["simplify"],
    "static": ["quantize", "--data", "DATA"],
    "static-qnn": ["quantize", "--data", "DATA", "--target", "qnn", "--calibrator", "mse", "--equalize", "always"],
    "static-int4": ["quantize", "--data", "DATA", "--weights", "int4", "--granularity", "block:32"],
    "dynamic": ["quantize", "--mode", "dynamic"],
    "weights": ["quantize", "--mode", "weights", "--weights", "int4"],
    "weights-mixed": ["quantize", "--mode", "weights", "--average-bits", "4", "--data", "DATA"],
    "qoperator": ["quantize", "--data", "DATA", "--qoperator"],
    "prune-ratio": ["prune", "--ratio", "75%"],
    "prune-macs": ["prune", "--macs", "60%", "--data", "DATA"],
    "prune-quantize": ["prune", "--macs", "75%", "--data", "DATA", "--quantize"],
    "prune-zeros": ["prune", "--unstructured", "magnitude", "--sparsity", "50%"],
    "prune-steps": ["prune", "--macs", "70%", "--steps", "3", "--data", "DATA"],
    "factorize": ["factorize", "--macs", "60%", "--data", "DATA"],
    "factorize-energy": ["factorize", "--energy", "0.99"],
}


def models(given):
    if given:
        return [Path(path) for path in given]
    shared = [SHARED / "models" / f"{name}.onnx" for name in MODELS]
    return sorted((ROOT / "fixtures").glob("*.onnx")) + [path for path in shared if path.is_file()]


def data_of(model):
    """Options for the samples of a model: the digits of the fixtures, or noise."""
    digits = ROOT / "fixtures" / "digits_calib.npz"
    if model.stem.startswith("digits") and digits.is_file():
        return [str(digits), "--scale", "1/16", "--labels", "y"]
    return ["random:24"]


def run(program, command, model, out):
    data = data_of(model)
    words = []
    for word in command:
        words += data if word == "DATA" else [word]
    line = [program, words[0], str(model), *words[1:], "-o", str(out), "-q"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=600)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()[:16] if out.is_file() else "no file"
    return done.returncode, digest, done.stderr.strip().splitlines()[-1:]


def main():
    old, new, *given = sys.argv[1:]
    differing, count = [], 0
    for model in models(given):
        for name, command in COMMANDS.items():
            with tempfile.TemporaryDirectory() as folder:
                a = run(old, command, model, Path(folder) / "a.onnx")
                b = run(new, command, model, Path(folder) / "b.onnx")
            count += 1
            if a[:2] != b[:2]:
                differing.append((model.stem, name))
                print(f"{model.stem:24} {name:18} DIFFERS: {a} | {b}", flush=True)
    print(f"{count} results, {len(differing)} differ")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
