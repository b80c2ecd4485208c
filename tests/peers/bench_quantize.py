#!/usr/bin/env python3
"""Time and peak memory of `quantize` beside onnxruntime's quantize_static, in one run.

    bench_quantize.py [--calibrator minmax|percentile|entropy|auto] [--samples N] [MODEL …]

By default min-max on cifar_resnet8_bn with 512 samples; `auto` is set beside MinMax. Models without
samples in arrays get seeded noise of the shape of their input. `same work` is onnxpress without what
onnxruntime's tool does not do: trying layers one by one on held-out samples, correcting biases, equalizing. It still
executes the result beside the original.

The two run in turn; medians of whole processes and their ratios are printed. onnxruntime's tool needs
its Python start-up: `--import` shows what importing alone costs.
"""
import argparse
import os
import statistics
import sys
import tempfile

import numpy as np

from common import DATA, TOOL, manifest, measure, model_path, session

ROUNDS = 5
# What onnxruntime's tool does not do.
LEFT_OUT = ["--spare", "0", "--rounding", "nearest", "--bias-correction", "off", "--equalize", "off"]


def row(name, runs):
    wall, cpu, peak = (statistics.median(column) for column in zip(*runs))
    print(f"  {name:12s} wall {wall:7.2f} s   cpu {cpu:7.2f} s   peak {peak:8.1f} MB")
    return wall, peak


def noise(name, count, folder):
    """Samples for a model whose first axis is the batch."""
    given = session(model_path(name)).get_inputs()[0]
    dims = [extent if isinstance(extent, int) else 224 for extent in given.shape[1:]]
    path = os.path.join(folder, "noise.npz")
    np.savez(path, x=np.random.default_rng(0).normal(size=[count, *dims]).astype(np.float32))
    return path


def samples(name, count, folder):
    entry = manifest()[name].get("eval")
    path = entry and os.path.join(DATA, entry["data"].replace("_test", "_calib"))
    if not path or "jpeg" in np.load(path):
        return noise(name, count or 64, folder)
    if not count:
        return path
    npz = np.load(path)
    key = next(key for key in ("x", "ids", "bytes") if key in npz)
    part, x = os.path.join(folder, "part.npz"), npz[key][:count]
    if session(model_path(name)).get_inputs()[0].type == "tensor(float)" and x.dtype == np.uint8:
        x = x.astype(np.float32) / 127.5 - 1
    np.savez(part, **{key: x})
    return part


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=["cifar_resnet8_bn"])
    parser.add_argument("--calibrator", default="minmax")
    parser.add_argument("--samples", type=int, default=0)
    options = parser.parse_args()
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ort_quantize.py")
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            calib = samples(name, options.samples, folder)
            ours = [TOOL, "quantize", model_path(name), "--data", calib, "-o", os.path.join(folder, "a.onnx"),
                    "--force", "-q", "--calibrator", options.calibrator]
            theirs = [sys.executable, peer, model_path(name), calib, os.path.join(folder, "b.onnx"),
                      "--calibrator", options.calibrator]
            importing = [sys.executable, "-c", "import onnx, onnxruntime.quantization"]
            runs = {"onnxpress": [], "same work": [], "onnxruntime": [], "import only": []}
            measure(ours), measure(theirs)
            for _ in range(ROUNDS):
                runs["onnxpress"].append(measure(ours))
                runs["same work"].append(measure(ours + LEFT_OUT))
                runs["onnxruntime"].append(measure(theirs))
                runs["import only"].append(measure(importing))
        print(name)
        (a_wall, a_peak), (b_wall, b_peak) = row("onnxpress", runs["onnxpress"]), row("onnxruntime", runs["onnxruntime"])
        c_wall, c_peak = row("same work", runs["same work"])
        row("import only", runs["import only"])
        print(f"  ratio        wall {a_wall / b_wall:7.2f}     peak {a_peak / b_peak:7.2f}")
        print(f"  same work    wall {c_wall / b_wall:7.2f}     peak {c_peak / b_peak:7.2f}")


if __name__ == "__main__":
    main()
