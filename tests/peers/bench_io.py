#!/usr/bin/env python3
"""Reading and writing of large models beside onnx.load + onnx.save and a plain copy, in one run.

    bench_io.py [FOLDER]        makes its files (about 4 GB) in a temporary folder, in FOLDER if given

First a generated model of 1 GB, inline and with external data: wall time and peak resident memory of
whole processes, medians of three rounds in turn. Then chains of 10,000, 100,000 and 1,000,000 nodes.
"""
import os
import shutil
import statistics
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import TOOL, measure

LAYERS, WIDTH, ROUNDS = 64, 2048, 3
CHAINS = (10_000, 100_000, 1_000_000)
PEER = "import onnx, sys; m = onnx.load(sys.argv[1]); onnx.save(m, sys.argv[2], **eval(sys.argv[3]))"


def large(folder):
    weight = np.random.default_rng(0).standard_normal((WIDTH, WIDTH), np.float32)
    nodes, weights = [], []
    for i in range(LAYERS):
        weights.append(numpy_helper.from_array(np.roll(weight, i, 0), f"w{i}"))
        nodes.append(helper.make_node("MatMul", [f"y{i}", f"w{i}"], [f"y{i + 1}"]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", WIDTH]) for n in ("y0", f"y{LAYERS}")]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inline, external = os.path.join(folder, "inline.onnx"), os.path.join(folder, "external.onnx")
    onnx.save(model, inline)
    onnx.save(model, external, save_as_external_data=True, location="external.onnx.data")
    return inline, external


def chain(folder, length):
    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(length)]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("v0", f"v{length}")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    path = os.path.join(folder, f"chain{length}.onnx")
    with open(path, "wb") as file:
        file.write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return path


def main():
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    out = os.path.join(folder, "out")
    try:
        for path, saving, kind in zip(large(folder), ("{}", "dict(save_as_external_data=True, location='out.data')"), ("inline", "external")):
            data = path if kind == "inline" else path + ".data"
            size = os.path.getsize(data) / 2**20
            commands = {
                "copy": ["cp", data, os.path.join(out, "copy")],
                "onnxpress": [TOOL, "convert", path, "-o", os.path.join(out, "ours.onnx"), "-q"],
                "onnx": [sys.executable, "-c", PEER, path, os.path.join(out, "theirs.onnx"), saving],
            }
            runs = {name: [] for name in commands}
            for _ in range(ROUNDS):
                for name, command in commands.items():
                    os.makedirs(out)
                    runs[name].append(measure(command))
                    shutil.rmtree(out)
            wall, peak = ({n: statistics.median(r[i] for r in rows) for n, rows in runs.items()} for i in (0, 2))
            print(f"{kind}, {size:.0f} MB of weights")
            for name in commands:
                print(f"  {name:10s} {wall[name]:6.2f} s = {wall[name] / wall['copy']:5.2f} copies   peak {peak[name]:7.1f} MB = {peak[name] / size:5.2f} files")
        for length in CHAINS:
            path = chain(folder, length)
            os.makedirs(out)
            runs = []
            for i in range(ROUNDS):
                runs.append(measure([TOOL, "convert", path, "-o", os.path.join(out, f"{i}.onnx"), "-q"]))
            shutil.rmtree(out)
            wall, _, peak = (statistics.median(column) for column in zip(*runs))
            print(f"chain of {length:9,d} nodes: {wall:6.2f} s, {wall / length * 1e6:5.2f} us each, peak {peak:7.1f} MB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
