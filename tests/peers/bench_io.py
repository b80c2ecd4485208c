#!/usr/bin/env python3
"""Reading and writing of large models beside onnx.load + onnx.save and a plain copy, in one run.

    bench_io.py [FOLDER]        makes its files (about 5 GB) in a temporary folder, in FOLDER if given

First a generated model of 1 GB, inline and with external data: wall time and peak resident memory of
whole processes, medians of rounds in turn. onnxpress has its output on the disk when it ends, so it
stands beside a plain copy and beside one that is flushed, too; before each run the disk is idle. Then
chains of 10,000, 100,000 and 1,000,000 nodes: time for each node as a whole, and without what a small
model takes; other graphs of a million nodes or initializers; and other commands on such a chain.
"""
import os
import random
import shutil
import statistics
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import TOOL, measure

LAYERS, WIDTH, ROUNDS = 64, 2048, 5
CHAINS = (100, 10_000, 100_000, 1_000_000)
MANY = CHAINS[-1]
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


def write(folder, name, nodes, first, last, **more):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in (first, last)]
    graph = helper.make_graph(nodes, name, ends[:1], ends[1:], **more)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = os.path.join(folder, name + ".onnx")
    with open(path, "wb") as file:
        file.write(model.SerializeToString())
    return path


def relus(length):
    return [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(length)]


def chain(folder, length):
    return write(folder, f"chain{length}", relus(length), "v0", f"v{length}")


def others(folder):
    """Graphs of many things that are no chain in order."""
    infos = [helper.make_tensor_value_info(f"v{i}", TensorProto.FLOAT, ["N", 2]) for i in range(1, MANY)]
    yield "a type for each value", write(folder, "declared", relus(MANY), "v0", f"v{MANY}", value_info=infos)
    shuffled = relus(MANY)
    random.Random(0).shuffle(shuffled)
    yield "nodes out of order", write(folder, "shuffled", shuffled, "v0", f"v{MANY}")
    one = np.zeros(1, np.float32).tobytes()
    weights = [helper.make_tensor(f"w{i}", TensorProto.FLOAT, [1], one, raw=True) for i in range(MANY)]
    yield "small initializers", write(folder, "wide", relus(1), "v0", "v1", initializer=weights)


def repeated(command, out):
    """Medians of wall seconds and peak megabytes."""
    runs = []
    for _ in range(ROUNDS):
        os.makedirs(out)
        runs.append(measure(command))
        shutil.rmtree(out)
    wall, _, peak = (statistics.median(column) for column in zip(*runs))
    return wall, peak


def main():
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    out = os.path.join(folder, "out")
    try:
        for path, saving, kind in zip(large(folder), ("{}", "dict(save_as_external_data=True, location='out.data')"), ("inline", "external")):
            data = path if kind == "inline" else path + ".data"
            size = os.path.getsize(data) / 2**20
            copy = os.path.join(out, "copy")
            commands = {
                "copy": ["cp", data, copy],
                "and flush": ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", data, copy],
                "onnxpress": [TOOL, "convert", path, "-o", os.path.join(out, "ours.onnx"), "-q"],
                "onnx": [sys.executable, "-c", PEER, path, os.path.join(out, "theirs.onnx"), saving],
            }
            runs = {name: [] for name in commands}
            for _ in range(ROUNDS):
                for name, command in commands.items():
                    os.makedirs(out)
                    os.sync()
                    runs[name].append(measure(command))
                    shutil.rmtree(out)
            wall, peak = ({n: statistics.median(r[i] for r in rows) for n, rows in runs.items()} for i in (0, 2))
            print(f"{kind}, {size:.0f} MB of weights")
            for name in commands:
                print(f"  {name:10s} {wall[name]:6.2f} s = {wall[name] / wall['copy']:5.2f} copies   peak {peak[name]:7.1f} MB = {peak[name] / size:5.2f} files")
        target = os.path.join(out, "out.onnx")
        least = None
        for length in CHAINS:
            path = chain(folder, length)
            wall, peak = repeated([TOOL, "convert", path, "-o", target, "-q"], out)
            least = wall if least is None else least
            print(f"chain of {length:9,d} nodes: {wall:6.3f} s, {wall / length * 1e6:6.2f} us each, "
                  f"{(wall - least) / length * 1e6:5.2f} us beyond the smallest, peak {peak:7.1f} MB")
        for command in (["inspect", path], ["print", path], ["diff", path, path]):
            wall, peak = repeated([TOOL, *command], out)
            print(f"{command[0]} of {MANY:,d} nodes: {wall:6.2f} s, peak {peak:7.1f} MB")
        for what, path in others(folder):
            wall, peak = repeated([TOOL, "convert", path, "-o", target, "-q"], out)
            print(f"{MANY:,d} {what}: {wall:6.2f} s, peak {peak:7.1f} MB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
