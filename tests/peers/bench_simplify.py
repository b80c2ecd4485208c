#!/usr/bin/env python3
"""`onnxpress simplify` of a generated transformer of 1 GB beside a plain copy and one load, in one run.

    bench_simplify.py [FOLDER]        makes its file in a temporary folder, in FOLDER if given

Random weights; LayerNormalization and Gelu are decomposed as exporters write them, batch and length
are free. Wall time and peak resident memory of whole processes, medians of three rounds in turn, with
--check 0 (no execution) and as it is by default; the engine runs in a process of its own, whose
memory is not counted.
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

LAYERS, WIDTH, ROUNDS = 20, 1024, 3


def transformer(path):
    random = np.random.default_rng(0)
    nodes, weights = [], []

    def constant(name, value):
        weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def matrix(name, rows, columns):
        return constant(name, (random.standard_normal((rows, columns), np.float32) / np.float32(rows**0.5)))

    def op(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    two, epsilon = constant("two", np.float32(2)), constant("epsilon", np.float32(1e-5))
    root, one, half = (constant(n, np.float32(v)) for n, v in (("root", 2**0.5), ("one", 1), ("half", 0.5)))
    last = constant("last", np.array([-1]))

    def norm(x, name):
        mean = op("ReduceMean", [x, last], name + "/mean")
        centred = op("Sub", [x, mean], name + "/sub")
        squares = op("Pow", [centred, two], name + "/pow")
        deviation = op("Sqrt", [op("Add", [op("ReduceMean", [squares, last], name + "/var"), epsilon], name + "/add")], name + "/sqrt")
        scaled = op("Mul", [op("Div", [centred, deviation], name + "/div"), constant(name + "/scale", np.ones(WIDTH, np.float32))], name + "/mul")
        return op("Add", [scaled, constant(name + "/bias", np.zeros(WIDTH, np.float32))], name)

    def dense(x, name, rows, columns):
        product = op("MatMul", [x, matrix(name + "/w", rows, columns)], name + "/matmul")
        return op("Add", [product, constant(name + "/b", np.zeros(columns, np.float32))], name)

    x = "x"
    for i in range(LAYERS):
        h = norm(x, f"{i}/norm1")
        q, k, v = (dense(h, f"{i}/{n}", WIDTH, WIDTH) for n in "qkv")
        scores = op("MatMul", [q, op("Transpose", [k], f"{i}/t", perm=[0, 2, 1])], f"{i}/scores")
        attended = op("MatMul", [op("Softmax", [scores], f"{i}/softmax", axis=-1), v], f"{i}/attended")
        x = op("Add", [x, dense(op("Identity", [attended], f"{i}/copy"), f"{i}/o", WIDTH, WIDTH)], f"{i}/r1")
        h = dense(norm(x, f"{i}/norm2"), f"{i}/up", WIDTH, 4 * WIDTH)
        gate = op("Add", [op("Erf", [op("Div", [h, root], f"{i}/e1")], f"{i}/e2"), one], f"{i}/e3")
        h = op("Mul", [op("Mul", [h, gate], f"{i}/e4"), half], f"{i}/gelu")
        x = op("Add", [x, dense(h, f"{i}/down", 4 * WIDTH, WIDTH)], f"{i}/r2")
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", "L", WIDTH]) for n in ("x", x)]
    graph = helper.make_graph(nodes, "transformer", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return len(nodes)


def main():
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        path, out = os.path.join(folder, "transformer.onnx"), os.path.join(folder, "out.onnx")
        before = transformer(path)
        size = os.path.getsize(path) / 2**20
        commands = {
            "copy": ["cp", path, out],
            "load": [TOOL, "inspect", path],
            "onnx.load": [sys.executable, "-c", "import onnx, sys; onnx.load(sys.argv[1])", path],
            "--check 0": [TOOL, "simplify", path, "-o", out, "--force", "-q", "--check", "0"],
            "default": [TOOL, "simplify", path, "-o", out, "--force", "-q"],
        }
        found = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                found[name].append(measure(command))
        print(f"transformer, {size:.0f} MB, {before} nodes -> {len(onnx.load(out, load_external_data=False).graph.node)}")
        seconds = {name: statistics.median(run[0] for run in runs) for name, runs in found.items()}
        bound = 2 * seconds["copy"] + seconds["load"]
        for name, runs in found.items():
            peak = statistics.median(run[2] for run in runs)
            print(f"  {name:10} {seconds[name]:7.2f} s = {seconds[name] / bound:5.2f} of two copies and a load   peak {peak:7.1f} MB = {peak / size:5.2f} files")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
