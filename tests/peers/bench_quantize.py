#!/usr/bin/env python3
"""Time and peak memory of `quantize` beside onnxruntime's quantize_static (MinMax), in one run.

    bench_quantize.py [MODEL …]        cifar_resnet8_bn with 512 samples by default

The two run in turn; medians of whole processes and their ratios are printed. onnxruntime's tool needs
its Python start-up: `--import` shows what importing alone costs.
"""
import os
import statistics
import sys
import tempfile

from common import DATA, TOOL, manifest, measure, model_path

ROUNDS = 5


def row(name, runs):
    wall, cpu, peak = (statistics.median(column) for column in zip(*runs))
    print(f"  {name:12s} wall {wall:7.2f} s   cpu {cpu:7.2f} s   peak {peak:8.1f} MB")
    return wall, peak


def main():
    names = [a for a in sys.argv[1:] if not a.startswith("-")] or ["cifar_resnet8_bn"]
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ort_quantize.py")
    for name in names:
        calib = os.path.join(DATA, manifest()[name]["eval"]["data"].replace("_test", "_calib"))
        with tempfile.TemporaryDirectory() as folder:
            ours = [TOOL, "quantize", model_path(name), "--data", calib, "-o", os.path.join(folder, "a.onnx"), "--force", "-q"]
            theirs = [sys.executable, peer, model_path(name), calib, os.path.join(folder, "b.onnx")]
            importing = [sys.executable, "-c", "import onnx, onnxruntime.quantization"]
            runs = {"onnxpress": [], "onnxruntime": [], "import only": []}
            measure(ours), measure(theirs)
            for _ in range(ROUNDS):
                runs["onnxpress"].append(measure(ours))
                runs["onnxruntime"].append(measure(theirs))
                runs["import only"].append(measure(importing))
        print(name)
        (a_wall, a_peak), (b_wall, b_peak) = row("onnxpress", runs["onnxpress"]), row("onnxruntime", runs["onnxruntime"])
        row("import only", runs["import only"])
        print(f"  ratio        wall {a_wall / b_wall:7.2f}     peak {a_peak / b_peak:7.2f}")


if __name__ == "__main__":
    main()
