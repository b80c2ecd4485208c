#!/usr/bin/env python3
"""Compares QDQ models with their QOperator form in onnxruntime.

    check_qoperator.py [NAME …]

Needs the shared models and data (ONNXPRESS_SHARED) and a release build (ONNXPRESS). Each model is
quantized, and converted with `convert --qoperator`, both for `ort` and with operators of ONNX alone.
Without graph optimizations the two forms must agree to 40 dB, or be 10 dB nearer to each other than to the float
model, whichever is less: integer kernels round a last bit in another way, and a model that amplifies what quantization
does amplifies that, too. With them the converted model must be as close to the float model as the QDQ one. Exit
status 1 when one is not.
"""
import collections
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

from common import DATA, calibration, images, manifest, model_path, prepare, tool

NAMES = [
    "cifar_resnet8_bn", "cifar_mobilenetv2_bn", "cifar_mobilenetv3_se", "cifar_shufflenet_g4", "cifar_densenet",
    "cifar_vit", "mnist_mlp", "mnist_cntk", "imagenet_squeezenet11", "sst2_transformer",
]
SAMPLES = 128
MIN_AGREEMENT, MIN_NEARER, MAX_LOSS = 40.0, 10.0, 0.5


def outputs(path, samples, level):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = level
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    batch = given.shape[0] if isinstance(given.shape[0], int) and given.shape[0] > 0 else 32
    parts = [samples[at : at + batch] for at in range(0, len(samples) - batch + 1, batch)]
    return np.concatenate([np.ravel(y) for part in parts for y in session.run(None, {given.name: part})]).astype(np.float64)


def decibel(a, b):
    noise = ((a - b) ** 2).sum()
    return np.inf if noise == 0 else 10 * np.log10((a**2).sum() / noise)


def measure(name, entry, folder):
    calib, options = calibration(entry, folder)
    x, _ = images(np.load(os.path.join(DATA, entry["data"])))
    samples = prepare(x[:SAMPLES], entry["preprocess"])
    qdq = os.path.join(folder, "qdq.onnx")
    code, _, err = tool("quantize", model_path(name), "--data", calib, *options, "--spare", "0", "-o", qdq, "-q")
    if code:
        print(f"{name:24s} quantize failed ({code}): {err.strip()}")
        return False
    plain, full = ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    reference = outputs(model_path(name), samples, full)
    before, usual = outputs(qdq, samples, plain), decibel(reference, outputs(qdq, samples, full))
    good = True
    for runtime in ("ort", "portable"):
        out = os.path.join(folder, runtime + ".onnx")
        code, _, err = tool("convert", qdq, f"--qoperator={runtime}", "-o", out, "-q")
        if code == 3 and runtime == "portable" and "nothing became an operator on integers" in err:
            print(f"{name:24s} {runtime}: {err.strip()}")
            continue
        if code:
            print(f"{name:24s} {runtime}: convert failed ({code}): {err.strip()}")
            return False
        agreement, loss = decibel(before, outputs(out, samples, plain)), usual - decibel(reference, outputs(out, samples, full))
        operators = collections.Counter(node.op_type for node in onnx.load(out).graph.node)
        integer = sum(n for op, n in operators.items() if op.startswith(("QLinear", "QGemm", "MatMulInteger")))
        least = min(MIN_AGREEMENT, usual + MIN_NEARER)
        fine = agreement >= least and loss <= MAX_LOSS and (integer > 0 or runtime == "portable")
        good = good and fine
        print(
            f"{name:24s} {runtime:8s} agree {agreement:6.1f} dB | to float {usual:5.1f} -> {usual - loss:5.1f} dB | "
            f"{integer} operators on integers" + ("" if fine else "   MISSED"), flush=True
        )
    return good


def main():
    entries = manifest()
    good = True
    for name in sys.argv[1:] or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            good = measure(name, entries[name]["eval"], folder) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
