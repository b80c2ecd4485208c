#!/usr/bin/env python3
"""Time and peak memory of `quantize --mode weights` on a generated transformer beside onnxruntime's quantizers.

    bench_weights.py [--layers N] [--width D] [--rounds N] [--options "…"]

A transformer of N layers (20) of width D (1024) with seeded weights, one gigabyte by default, is made in a temporary
folder. 4-bit integers in blocks of 32, rounded to nearest, without samples: onnxpress beside
onnxruntime's MatMulNBitsQuantizer; and 8-bit integers with a scale for each channel beside quantize_dynamic.
The two run in turn, as whole processes; medians. Peak memory includes pages of mapped files, and is set
against the size of the model.

Exit status 1 when ours is not FASTER times as fast, or its peak is more than MEMORY of the model.
"""
import argparse
import os
import statistics
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper

from common import TOOL, measure

FASTER, MEMORY = 5.0, 1.2

NBITS = """
import logging, sys
logging.disable(logging.CRITICAL)
import onnx
from onnxruntime.quantization import matmul_nbits_quantizer as nbits
config = nbits.DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True)
quantizer = nbits.MatMulNBitsQuantizer(onnx.load(sys.argv[1]), algo_config=config)
quantizer.process()
quantizer.model.save_model_to_file(sys.argv[2])
"""
DYNAMIC = """
import logging, sys
logging.disable(logging.CRITICAL)
from onnxruntime.quantization import QuantType, quantize_dynamic
quantize_dynamic(sys.argv[1], sys.argv[2], per_channel=True, weight_type=QuantType.QInt8)
"""


def transformer(path, layers, width):
    """A decoder-like model: for each layer four projections, an attention, and a feed-forward of four times the width."""
    random = np.random.default_rng(0)
    nodes, weights = [], []

    def weight(name, *dims):
        values = random.standard_normal(dims, dtype=np.float32) / np.sqrt(np.float32(dims[0]))
        weights.append(helper.make_tensor(name, TensorProto.FLOAT, dims, values.tobytes(), raw=True))
        return name

    def node(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    scale = weight("norm_scale", width)
    x = "x"
    for i in range(layers):
        h = node("LayerNormalization", [x, scale], f"norm_a_{i}")
        q, k, v = (node("MatMul", [h, weight(f"{n}_{i}", width, width)], f"p{n}_{i}") for n in "qkv")
        t = node("Transpose", [k], f"t_{i}", perm=[0, 2, 1])
        s = node("Softmax", [node("MatMul", [q, t], f"scores_{i}")], f"softmax_{i}", axis=-1)
        a = node("MatMul", [s, v], f"mixed_{i}")
        x = node("Add", [x, node("MatMul", [a, weight(f"o_{i}", width, width)], f"po_{i}")], f"sum_a_{i}")
        h = node("LayerNormalization", [x, scale], f"norm_b_{i}")
        u = node("Relu", [node("MatMul", [h, weight(f"up_{i}", width, 4 * width)], f"pup_{i}")], f"relu_{i}")
        x = node("Add", [x, node("MatMul", [u, weight(f"down_{i}", 4 * width, width)], f"pdown_{i}")], f"sum_b_{i}")
    dims = ["N", "L", width]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
    graph = helper.make_graph(nodes, "transformer", [value("x")], [value(x)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", default="")
    options = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.onnx")
        transformer(model, options.layers, options.width)
        size = os.path.getsize(model)
        print(f"{options.layers} layers of width {options.width}: {size / 1e6:.0f} MB")
        out = [os.path.join(folder, name) for name in ("a.onnx", "b.onnx")]
        ours = [TOOL, "quantize", model, "-o", out[0], "--mode", "weights", "--force", "-q", *options.options.split()]
        pairs = {
            "4 bits in blocks": (ours + ["--weights", "int4", "--rounding", "nearest"], NBITS),
            "8 bits by channel": (ours + ["--weights", "int8", "--rounding", "nearest"], DYNAMIC),
        }
        for what, (mine, script) in pairs.items():
            theirs = [sys.executable, "-c", script, model, out[1]]
            runs = [[], []]
            for _ in range(options.rounds):
                for seen, command in zip(runs, (mine, theirs)):
                    seen.append(measure(command))
            (wall, _, peak), (their_wall, _, their_peak) = (
                [statistics.median(column) for column in zip(*seen)] for seen in runs
            )
            faster, share = their_wall / wall, peak * 1e6 / size
            bad = faster < FASTER or share > MEMORY
            missed |= bad
            print(
                f"{what:18} onnxpress {wall:6.2f} s {peak:7.0f} MB {os.path.getsize(out[0]) / size:6.3f} of the size   "
                f"onnxruntime {their_wall:6.2f} s {their_peak:7.0f} MB {os.path.getsize(out[1]) / size:6.3f}   "
                f"{faster:5.1f} times as fast, peak {share:4.2f} of the model{' MISSED' * bad}"
            )
    return missed


if __name__ == "__main__":
    sys.exit(main())
