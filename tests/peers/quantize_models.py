#!/usr/bin/env python3
"""Quantizes the labelled models and measures the results in onnxruntime and in tract.

    quantize_models.py [NAME …] [-- OPTION …]     all seven models of the acceptance table by default

What follows `--` goes to `quantize`, e.g. `-- --calibrator entropy`.

Needs the shared models and data (ONNXPRESS_SHARED) and a release build (ONNXPRESS). For each model:
file size, top-1 of original and result and their agreement in onnxruntime, the same in tract
(`compare --json`), and how many nodes onnxruntime runs as integer kernels. Exit status 1 when a
bound is missed: top-1 falls by at most 0.7 points, agreement at least 97 %, file at most 30 %.
"""
import json
import os
import sys
import tempfile

import numpy as np

from common import DATA, calibration, images, manifest, model_path, preprocessing, scores, tool

NAMES = [
    "cifar_resnet8_bn", "cifar_mobilenetv2_bn", "cifar_vit", "mnist_mlp", "mnist_burn_bn",
    "cifar_winml_cnn", "digits_sklearn_mlp",
]
MAX_DROP, MIN_AGREEMENT, MAX_SIZE = 0.007, 0.97, 0.30


def measure(name, entry, folder, given):
    calib, options = calibration(entry, folder)
    out = os.path.join(folder, name + ".int8.onnx")
    code, _, err = tool("quantize", model_path(name), "--data", calib, *options, *given, "-o", out, "-q", "--json")
    if code:
        return f"{name:26s} quantize failed ({code}): {err.strip()}", False
    npz = np.load(os.path.join(DATA, entry["data"]))
    x, y = images(npz)
    before, after = scores(model_path(name), entry, x), scores(out, entry, x)
    top = [(s.argmax(1) == y).mean() for s in (before, after)]
    agree = (before.argmax(1) == after.argmax(1)).mean()
    rms = float(np.sqrt(((after - before) ** 2).mean() / (before**2).mean()))
    size = os.path.getsize(out) / os.path.getsize(model_path(name))
    test = os.path.join(folder, "test.npz")
    np.savez(test, x=x, y=y)
    extra = ["--scores", entry["scores"]] if "scores" in entry else []
    code, text, err = tool(
        "compare", model_path(name), out, "--data", test, "--labels", "y", *preprocessing(entry["preprocess"]), *extra, "--json"
    )
    if code:
        return f"{name:26s} compare failed ({code}): {err.strip()}", False
    report = json.loads(text)
    tract = report["accuracy"].get("top1")
    line = (
        f"{name:26s} size {size:6.1%} | ort {top[0]:.4f} -> {top[1]:.4f} agree {agree:.4f} rms {rms:.4f}"
    )
    ok = top[0] - top[1] <= MAX_DROP and agree >= MIN_AGREEMENT and size <= MAX_SIZE
    if tract:
        line += f" | tract {tract['original']:.4f} -> {tract['candidate']:.4f} agree {tract['agreement']:.4f}"
        ok = ok and tract["original"] - tract["candidate"] <= MAX_DROP and tract["agreement"] >= MIN_AGREEMENT
    else:
        line += f" | tract: {report.get('not_validated')}"
        ok = False
    return line + ("" if ok else "   MISSED"), ok


def main():
    entries = manifest()
    good = True
    names, given = sys.argv[1:], []
    if "--" in names:
        at = names.index("--")
        names, given = names[:at], names[at + 1 :]
    for name in names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            line, ok = measure(name, entries[name]["eval"], folder, given)
        print(line, flush=True)
        good = good and ok
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
