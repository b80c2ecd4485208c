#!/usr/bin/env python3
"""Quantizes models of one operator each, and compares float and quantized in onnxruntime.

    check_operators.py [NAME …]

Needs a release build (ONNXPRESS). Every operator that quantize-static knows stands between two
convolutions, so that it is reached by integers, and is quantized for `ort`, for `qnn` (which takes
everything), with `--qoperator`, and with 8-bit floats. Exit status 1 when a result does not load, or
its signal-to-noise ratio against the float model is below the bound.
"""
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from common import tool

# Decibel. 8-bit integers give 30 to 45 on one operator; 8-bit floats have 3 or 2 bits of mantissa.
WAYS = {
    "ort": ([], 20.0),
    "qnn": (["--target", "qnn"], 18.0),
    "qoperator": (["--qoperator"], 20.0),
    "portable": (["--target", "portable", "--qoperator"], 20.0),
    "float8e4m3fn": (["--target", "portable", "--weights", "float8e4m3fn", "--activations", "float8e4m3fn"], 15.0),
    "float8e5m2": (["--weights", "float8e5m2"], 15.0),
}
# onnxruntime's optimizer makes QLinearConv of 8-bit floats, which it then has no kernel for.
UNOPTIMIZED = {"float8e4m3fn"}
UNTOUCHED = 100.0
# What every model takes.
SHAPE = [1, 4, 8, 8]


def weight(name, *dims, seed=1):
    values = np.random.default_rng(seed).standard_normal(dims).astype(np.float32)
    return numpy_helper.from_array(values * np.float32(0.5), name)


def whole(name, *values, dims=None):
    array = np.array(values, np.int64)
    return numpy_helper.from_array(array if dims is None else array.reshape(dims), name)


def node(op, *inputs, outputs=("m",), **attributes):
    return helper.make_node(op, ["a", *inputs], list(outputs), **attributes)


def single(name):
    """Nodes from `a`, [1, 4, 8, 8], to `m` of four axes, and their constants; opset 20."""
    n, w, i = node, weight, whole
    other = helper.make_node("Relu", ["a"], ["b"])
    table = {
        "Add": ([other, n("Add", "b")], []),
        "AddConstant": ([n("Add", "k")], [w("k", 1, 4, 1, 1)]),
        "AveragePool": ([n("AveragePool", kernel_shape=[2, 2], strides=[2, 2])], []),
        "BatchNormalization": ([n("BatchNormalization", "s", "t", "t", "v")], [
            w("s", 4), w("t", 4), numpy_helper.from_array(np.ones(4, np.float32), "v")]),
        "Clip": ([n("Clip", "l", "h")], [numpy_helper.from_array(np.float32(x), y) for x, y in ((-1, "l"), (1, "h"))]),
        "Concat": ([other, n("Concat", "b", axis=1)], []),
        "Conv": ([n("Conv", "k", "c", pads=[1, 1, 1, 1])], [w("k", 4, 4, 3, 3), w("c", 4)]),
        "ConvDepthwise": ([n("Conv", "k", group=4)], [w("k", 4, 1, 3, 3)]),
        "ConvTranspose": ([n("ConvTranspose", "k", group=2, strides=[2, 2])], [w("k", 4, 2, 3, 3)]),
        "ConvTransposeStored": ([n("ConvTranspose", "k")], [w("k", 4, 32, 3, 3)]),
        "DepthToSpace": ([n("DepthToSpace", blocksize=2)], []),
        "Div": ([n("Div", "k")], [numpy_helper.from_array(np.float32(1.7), "k")]),
        "Expand": ([n("Expand", "k")], [i("k", 2, 4, 8, 8)]),
        "Flatten": ([n("Flatten", outputs=["f"]), helper.make_node("Reshape", ["f", "k"], ["m"])], [i("k", *SHAPE)]),
        "Gather": ([n("Gather", "k", axis=1)], [i("k", 3, 0)]),
        "GatherElements": ([n("GatherElements", "k", axis=3)], [i("k", *([1, 0] * 32), dims=[1, 4, 8, 2])]),
        "GatherND": ([n("GatherND", "k", outputs=["f"]), helper.make_node("Unsqueeze", ["f", "o"], ["m"])],
                     [i("k", 0, 1, 0, 2, dims=[2, 2]), i("o", 0)]),
        "Gelu": ([n("Gelu")], []),
        "Gemm": ([n("Flatten", outputs=["f"]), helper.make_node("Gemm", ["f", "k", "c"], ["g"]),
                  helper.make_node("Reshape", ["g", "o"], ["m"])], [w("k", 256, 16), w("c", 16), i("o", 1, 4, 2, 2)]),
        "GemmTransposed": ([n("Flatten", outputs=["f"]), helper.make_node("Gemm", ["f", "k", "c"], ["g"], transB=1),
                            helper.make_node("Reshape", ["g", "o"], ["m"])], [w("k", 16, 256), w("c", 16), i("o", 1, 4, 2, 2)]),
        "GlobalAveragePool": ([n("GlobalAveragePool")], []),
        "HardSigmoid": ([n("HardSigmoid")], []),
        "HardSwish": ([n("HardSwish")], []),
        "Identity": ([n("Identity")], []),
        "InstanceNormalization": ([n("InstanceNormalization", "s", "t")], [w("s", 4), w("t", 4)]),
        "LayerNormalization": ([n("LayerNormalization", "s", "t")], [w("s", 8), w("t", 8)]),
        "LeakyRelu": ([n("LeakyRelu", alpha=0.1)], []),
        "MatMul": ([n("MatMul", "k")], [w("k", 8, 8)]),
        "MatMulSum": ([n("Reshape", "o", outputs=["f"]), helper.make_node("MatMul", ["f", "k"], ["g"]),
                       helper.make_node("Add", ["g", "c"], ["h"]), helper.make_node("Reshape", ["h", "p"], ["m"])],
                      [i("o", 32, 8), w("k", 8, 8), w("c", 8), i("p", *SHAPE)]),
        "MatMulOfActivations": ([other, n("MatMul", "b")], []),
        "MaxPool": ([n("MaxPool", kernel_shape=[2, 2])], []),
        "Mul": ([other, n("Mul", "b")], []),
        "PRelu": ([n("PRelu", "k")], [w("k", 4, 1, 1)]),
        "Pad": ([n("Pad", "k")], [i("k", 0, 0, 1, 1, 0, 0, 1, 1)]),
        "ReduceMax": ([n("ReduceMax", "k", keepdims=1)], [i("k", 3)]),
        "ReduceMean": ([n("ReduceMean", "k", keepdims=1)], [i("k", 2, 3)]),
        "ReduceMin": ([n("ReduceMin", "k", keepdims=1)], [i("k", 3)]),
        "Relu": ([n("Relu")], []),
        "Reshape": ([n("Reshape", "k")], [i("k", 1, 4, 16, 4)]),
        "Resize": ([n("Resize", "", "k", mode="nearest")], [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "k")]),
        "ResizeLinear": ([n("Resize", "", "k", mode="linear")], [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "k")]),
        "Sigmoid": ([n("Sigmoid")], []),
        "Slice": ([n("Slice", "k", "o", "p")], [i("k", 1), i("o", 7), i("p", 2)]),
        "Softmax": ([n("Softmax", axis=3)], []),
        "SpaceToDepth": ([n("SpaceToDepth", blocksize=2)], []),
        "Split": ([n("Split", axis=1, num_outputs=2, outputs=["m", "rest"])], []),
        "Squeeze": ([n("Squeeze", "k", outputs=["f"]), helper.make_node("Unsqueeze", ["f", "k"], ["m"])], [i("k", 0)]),
        "Sub": ([other, n("Sub", "b")], []),
        "Tanh": ([n("Tanh")], []),
        "Tile": ([n("Tile", "k")], [i("k", 1, 1, 1, 2)]),
        "TopK": ([n("TopK", "k", axis=3, outputs=["m", "places"])], [i("k", 2)]),
        "Transpose": ([n("Transpose", perm=[0, 1, 3, 2])], []),
        "Where": ([other, helper.make_node("Less", ["a", "z"], ["q"]), helper.make_node("Where", ["q", "a", "b"], ["m"])],
                  [numpy_helper.from_array(np.float32(0.1), "z")]),
        "GRU": recurrent("GRU", 3), "LSTM": recurrent("LSTM", 4), "RNN": recurrent("RNN", 1),
        "Scan": scan(),
    }
    return table if name is None else table[name]


def recurrent(op, gates):
    nodes = [
        node("Reshape", "o", outputs=["f"]), helper.make_node(op, ["f", "k", "r"], ["g"], hidden_size=16),
        helper.make_node("Reshape", ["g", "p"], ["m"]),
    ]
    return nodes, [whole("o", 8, 1, 32), weight("k", 1, gates * 16, 32), weight("r", 1, gates * 16, 16), whole("p", 1, 4, 8, 4)]


def scan():
    """A product in a body, with a weight of the graph around it."""
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [32])
    body = helper.make_graph(
        [helper.make_node("MatMul", ["row", "k"], ["product"]), helper.make_node("Add", ["state", "product"], ["next"]),
         helper.make_node("Identity", ["next"], ["seen"])],
        "body", [value("state"), value("row")], [value("next"), value("seen")],
    )
    nodes = [
        node("Reshape", "o", outputs=["f"]), helper.make_node("Scan", ["start", "f"], ["last", "all"], body=body, num_scan_inputs=1),
        helper.make_node("Reshape", ["all", "p"], ["m"]),
    ]
    start = numpy_helper.from_array(np.zeros(32, np.float32), "start")
    return nodes, [whole("o", 8, 32), weight("k", 32, 32), whole("p", 1, 4, 8, 8), start]


def build(name):
    """The operator between two convolutions."""
    nodes, constants = single(name)
    opening = helper.make_node("Conv", ["x", "first"], ["a"])
    inner = helper.make_graph([opening, *nodes], name, [helper.make_tensor_value_info("x", 1, SHAPE)], [
        helper.make_tensor_value_info("m", 1, [None] * 4)], [weight("first", 4, 4, 1, 1, seed=2), *constants])
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    inferred = onnx.shape_inference.infer_shapes(model)
    dims = {v.name: v for v in [*inferred.graph.value_info, *inferred.graph.output]}["m"].type.tensor_type.shape.dim
    channels = dims[1].dim_value
    model.graph.node.append(helper.make_node("Conv", ["m", "final"], ["y"]))
    model.graph.initializer.append(weight("final", 3, channels, 1, 1, seed=3))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", 1, [None] * 4))
    onnx.checker.check_model(model)
    return model


def run(path, samples, optimized=True):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.stack([session.run(None, {"x": sample})[0] for sample in samples]).astype(np.float64)


def decibel(a, b):
    noise = ((a - b) ** 2).sum()
    return np.inf if noise == 0 else 10 * np.log10((a**2).sum() / noise)


def check(name, folder):
    path, data = os.path.join(folder, "float.onnx"), os.path.join(folder, "x.npz")
    onnx.save(build(name), path)
    samples = np.random.default_rng(0).standard_normal((32, *SHAPE)).astype(np.float32)
    np.savez(data, x=samples[:, 0])
    reference = run(path, samples)
    good, cells = True, []
    for way, (options, bound) in WAYS.items():
        out = os.path.join(folder, way + ".onnx")
        # Layers are not spared, so that the operator in question is reached.
        code, told, err = tool("quantize", path, "--data", data, "--spare", "0", *options, "-o", out, "-q", "--force")
        try:
            # Weights so small stay float, and the report says that nothing was done.
            if code and not (code == 3 and way == "float8e5m2" and "nothing was quantized" in told):
                raise RuntimeError(err.strip())
            found = [decibel(reference, run(out, samples, optimized)) for optimized in (True, False) if not (optimized and way in UNOPTIMIZED)]
        except Exception as error:
            good = False
            cells.append(f"{way} FAILED: {str(error)[:300]}")
            continue
        # An output that hardly differs was not quantized, but for small weights that stay float.
        missed = min(found) < bound or (min(found) > UNTOUCHED and way != "float8e5m2")
        good = good and not missed
        cells.append(f"{way} {min(found):.0f}" + (" MISSED" if missed else ""))
    print(f"{name:24s} dB: " + " | ".join(cells), flush=True)
    return good


def main():
    good = True
    for name in sys.argv[1:] or single(None):
        with tempfile.TemporaryDirectory() as folder:
            good = check(name, folder) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
