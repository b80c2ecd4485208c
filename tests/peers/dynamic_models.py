#!/usr/bin/env python3
"""`quantize --mode dynamic` beside onnxruntime's quantize_dynamic on labelled shared models.

    dynamic_models.py [NAME …]

Ours without samples and with 128 calibration samples; theirs with int8 weights per tensor and for each
channel, as the tool does by default and for matrices alone. Measured in onnxruntime on all test samples:
top-1 in percent, size by that of the float model, and the latency of one run by that of the float model (one
thread, medians of interleaved rounds). Of theirs the best figure of each column counts, from whichever of the
four files; files that theirs cannot make are missing. Last, how many of 64 samples tract puts into the class
that onnxruntime finds in our file.

Exit status 1 when ours cannot be made or run, loses more than MOST_POINTS against the best of theirs (or
the float model, when that is less: what is above it is chance), is
larger than theirs, slower than LATENCY times theirs, or when tract agrees on less than AGREEMENT.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from common import TOOL, manifest, model_path, session, tool
from compare_quantize import outputs, top1, write
from real_inputs import labelled

NAMES = ["mnist_mlp", "cifar_vit", "sst2_transformer", "cifar_resnet8_bn", "cifar_mobilenetv2_bn", "mnist_gru", "magika_standard_v3_3"]
MOST_POINTS, SIZE, LATENCY, AGREEMENT = 0.002, 1.03, 1.2, 0.97
ROUNDS = 41


def theirs(model, folder):
    """Files that onnxruntime's tool makes; those that fail are missing."""
    import logging

    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.CRITICAL)
    # Declared shapes of inner values that its shape inference finds otherwise are an error to the tool.
    plain = onnx.load(model)
    del plain.graph.value_info[:]
    source = os.path.join(folder, "plain.onnx")
    onnx.save(plain, source)
    files = []
    for per_channel in (False, True):
        for operators in (None, ["Attention", "EmbedLayerNormalization", "Gather", "Gemm", "LSTM", "MatMul"]):
            out = os.path.join(folder, f"theirs{len(files)}.onnx")
            try:
                quantize_dynamic(source, out, per_channel=per_channel, op_types_to_quantize=operators, weight_type=QuantType.QInt8)
            except Exception as error:
                print(f"  theirs failed: {str(error)[:100]}")
                continue
            files.append(out)
    return files


def latencies(paths, feed):
    """Median milliseconds of one run of each file."""
    sessions = [session(path) for path in paths]
    times = [[] for _ in paths]
    for turn in range(ROUNDS):
        for i, run in enumerate(sessions):
            # The run before brings its weights into the cache, whatever ran there last.
            run.run(None, feed)
            start = time.perf_counter()
            run.run(None, feed)
            if turn:
                times[i].append(1e3 * (time.perf_counter() - start))
    return [statistics.median(t) for t in times]


def agreement(path, feeds, entry, folder):
    """Share of samples of which tract and onnxruntime name the same class."""
    data, labels = os.path.join(folder, "test.npz"), "label_of_ort"
    slot = entry.get("output", 0)
    found = [int(np.argmax(run[slot])) for run in outputs(path, feeds)]
    write(data, feeds)
    arrays = dict(np.load(data))
    np.savez(data, **arrays, **{labels: np.array(found)})
    code, out, err = tool("compare", path, path, "--data", data, "--labels", labels, "--json")
    if code:
        print(err)
        return 0.0
    return json.loads(out)["accuracy"]["top1"]["original"]


def judge(name, entry):
    calib, test, labels = labelled(name, entry)
    model = model_path(name)
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "calib.npz")
        write(data, calib)
        ours = []
        for given in ([], ["--data", data]):
            out = os.path.join(folder, f"ours{len(ours)}.onnx")
            command = [TOOL, "quantize", model, "--mode", "dynamic", "-o", out, "-q"]
            done = subprocess.run(command + given, capture_output=True, text=True)
            if done.returncode:
                print(f"{name}: {done.stderr.strip()}")
                return False
            ours.append(out)
        peers = theirs(model, folder)
        times = latencies([model, *ours, *peers], test[0])
        rows = []
        for path, latency in zip([model, *ours, *peers], times):
            accuracy = top1(entry, outputs(path, test), labels)
            rows.append((accuracy, os.path.getsize(path) / os.path.getsize(model), latency / times[0]))
        agrees = agreement(ours[1], test[:64], entry, folder)
    before, plain, chosen, *found = rows
    best = (max(r[0] for r in found), min(r[1] for r in found), min(r[2] for r in found)) if found else (0, 9, 9)
    show = lambda row: f"{100 * row[0]:6.1f} {row[1]:6.3f} {row[2]:6.2f}"
    print(f"{name:22} {100 * before[0]:6.1f} | {show(plain)} | {show(chosen)} | {show(best)} | {agrees:5.2f}", flush=True)
    least = min(best[0], before[0]) - MOST_POINTS
    good = agrees >= AGREEMENT
    for row in (plain, chosen):
        good = good and row[0] >= least and row[1] <= best[1] * SIZE and row[2] <= best[2] * LATENCY
    return good


def main():
    entries = {name: entry.get("eval") for name, entry in manifest().items()}
    print(f"{'model':22} {'float':>6} | {'ours':>6} {'size':>6} {'time':>6} | {'data':>6} {'size':>6} {'time':>6} | {'theirs':>6} {'size':>6} {'time':>6} | tract")
    found = [judge(name, entries[name]) for name in sys.argv[1:] or NAMES]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
