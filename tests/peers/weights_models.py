#!/usr/bin/env python3
"""`quantize --mode weights` on labelled shared models: accuracy and size for each number of bits.

    weights_models.py [NAME …]

Weights alone become integers, in blocks of 32 below 8 bits: once without samples and once with 128
calibration samples. Measured in onnxruntime on all test samples: top-1 in percent and the size by that of
the float model.

Exit status 1 when a file cannot be made or run, or 4 bits chosen on samples lose more than half a point.
"""
import os
import subprocess
import sys
import tempfile

from common import TOOL, manifest, model_path
from compare_quantize import outputs, top1, write
from real_inputs import labelled

TYPES = ["int8", "int4", "int2", "uint2"]
NAMES = ["mnist_mlp", "cifar_vit", "sst2_transformer", "cifar_resnet8_bn", "cifar_mobilenetv2_bn"]
MOST = 0.005


def judge(name, entry):
    calib, test, labels = labelled(name, entry)
    model, good = model_path(name), True
    before = top1(entry, outputs(model, test), labels)
    line = f"{name:22} {100 * before:6.1f}"
    with tempfile.TemporaryDirectory() as folder:
        data, out = os.path.join(folder, "calib.npz"), os.path.join(folder, "out.onnx")
        write(data, calib)
        for dtype in TYPES:
            for given in ([], ["--data", data]):
                command = [TOOL, "quantize", model, "--mode", "weights", "--weights", dtype, "-o", out, "-q", "--force"]
                done = subprocess.run(command + given, capture_output=True, text=True)
                if done.returncode:
                    line, good = line + "  failed     ", False
                    continue
                after = top1(entry, outputs(out, test), labels)
                line += f" {100 * after:6.1f} {os.path.getsize(out) / os.path.getsize(model):5.3f}"
                good = good and not (dtype == "int4" and given and after < before - MOST)
    print(line, flush=True)
    return good


def main():
    entries = {name: entry.get("eval") for name, entry in manifest().items()}
    print(f"{'model':22} {'float':>6}" + "".join(f" {t:>12} {t + ' data':>12}" for t in TYPES))
    found = [judge(name, entries[name]) for name in sys.argv[1:] or NAMES]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
