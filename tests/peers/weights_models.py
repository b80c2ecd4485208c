#!/usr/bin/env python3
"""`quantize --mode weights` on labelled shared models: accuracy and size for each way to store weights.

    weights_models.py [--types TYPE,…] [NAME …]

Weights alone are stored in fewer bits, at the defaults of each type: once without samples and once with 128
calibration samples. Measured in onnxruntime on all test samples: top-1 in percent, the size by that of
the float model, and with samples the signal-to-noise ratio of the outputs in onnxruntime and in tract.

Exit status 1 when a file cannot be made or run, when 4 bits chosen on samples lose more than half a point,
when the size is more than 3 % from bits, scales, tables and graph, or when tract (by the report of the
tool) and onnxruntime disagree by more than 1 dB about how far the outputs moved.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx

from common import TOOL, manifest, model_path
from compare_quantize import outputs, top1, write
from real_inputs import labelled

TYPES = ["int8", "int4", "int2", "uint2", "float16", "bfloat16", "codebook:256", "codebook:16", "codebook:4", "ternary", "binary"]
NAMES = ["mnist_mlp", "cifar_vit", "sst2_transformer", "cifar_resnet8_bn", "cifar_mobilenetv2_bn"]
MOST = 0.005
# Of the size that bits, scales, tables and graph explain.
TOLERANCE = 0.03
# Of all weights, those that must not stay in float.
MOST_WEIGHTS = 0.9
# Bits of a weight: as many numbers in a byte as it has room for.
BITS = {"float16": 16, "bfloat16": 16, "codebook:256": 8, "codebook:16": 4, "codebook:4": 2, "ternary": 8 / 5, "binary": 1}
# Element types of tensors that hold codes of weights: uint8 and the halves. Scales, tables, shapes and what
# stayed in float are counted as they are.
CODES = (2, 10, 16)


# Decibels that the engines may differ in; beyond CLOSE they differ in the float model, too.
AGREED, CLOSE = 1.0, 60.0


def explained(model, out, dtype):
    """Size that bits of the weights, and everything else as it is, add up to; all of the weights that are
    large must be stored in so many bits."""
    before = {t.name: int(np.prod(t.dims)) for t in onnx.load(model).graph.initializer if t.data_type == 1}
    tensors = onnx.load(out).graph.initializer
    codes = [t for t in tensors if t.data_type in CODES and t.name in before]
    coded = sum(before[t.name] for t in codes)
    if coded < MOST_WEIGHTS * sum(before.values()):
        return float("nan")
    return os.path.getsize(out) - sum(len(t.raw_data) for t in codes) + coded * BITS[dtype] / 8


def decibel(expected, found):
    """Signal-to-noise ratio of the first output."""
    a, b = (np.stack([np.asarray(f[0], np.float64).ravel() for f in out]) for out in (expected, found))
    noise = float(((a - b) ** 2).sum())
    return 10 * math.log10(float((a**2).sum()) / noise) if noise else math.inf


def judge(name, entry, types):
    calib, test, labels = labelled(name, entry)
    model, good = model_path(name), True
    expected = outputs(model, test)
    before = top1(entry, expected, labels)
    with tempfile.TemporaryDirectory() as folder:
        data, out = os.path.join(folder, "calib.npz"), os.path.join(folder, "out.onnx")
        tests = os.path.join(folder, "test.npz")
        write(data, calib)
        write(tests, test)
        for dtype in types:
            line = f"{name:22} {dtype:12} {100 * before:6.1f}"
            for given in ([], ["--data", data, "--test", tests]):
                command = [TOOL, "quantize", model, "--mode", "weights", "--weights", dtype, "-o", out, "--json", "--force"]
                done = subprocess.run(command + given, capture_output=True, text=True)
                if done.returncode:
                    line, good = line + "  failed     " + done.stderr.strip()[-60:], False
                    continue
                found = outputs(out, test)
                after = top1(entry, found, labels)
                size = os.path.getsize(out)
                line += f" {100 * after:6.1f} {size / os.path.getsize(model):6.4f}"
                if dtype in BITS:
                    off = size / explained(model, out, dtype) - 1
                    line += f" {100 * off:+5.1f}%"
                    good = good and abs(off) < TOLERANCE  # also false for NaN
                if given:
                    report = json.loads(done.stdout)["test"]["outputs"][0]["sqnr_db"]
                    ours = decibel(expected, found)
                    line += f" {ours:6.1f} {report:6.1f}"
                    good = good and (abs(ours - report) < AGREED or min(ours, report) > CLOSE)
                good = good and not (dtype == "int4" and given and after < before - MOST)
            print(line, flush=True)
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    entries = {name: entry.get("eval") for name, entry in manifest().items()}
    print(f"{'model':22} {'weights':12} {'float':>6} {'alone':>6} {'size':>6} {'off':>6} {'data':>6} {'size':>6} {'off':>6} {'ort dB':>6} {'tract':>6}")
    found = [judge(name, entries[name], given.types.split(",")) for name in given.names or NAMES]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
