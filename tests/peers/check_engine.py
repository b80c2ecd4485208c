#!/usr/bin/env python3
"""The outputs of the built-in engine against ONNX Runtime without graph optimization: all node tests of `onnx`, plain
and with NaN, infinities, and large, tiny and extreme numbers planted in what they read.

    check_engine.py [-v] [PART OF A NAME]

What the engine computes must be what ONNX Runtime computes, but for rounding and for what is listed below; what it
refuses is fine (-v lists it). Integers but for the first input are constants, as in models: the engine wants shapes,
axes and pads beforehand.
"""
import collections
import os
import subprocess
import sys
import tempfile

import onnx
from onnx import helper, numpy_helper

import planted
from common import ROOT

RUN = os.environ.get("ONNXPRESS_RUN_MODELS", os.path.join(ROOT, "target", "release", "examples", "run_models"))

# Fewer models that run mean that the check no longer reaches what it is for.
LEAST = 1500

UNBOUNDED = {"nan", "infinite", "negative infinite", "large", "extreme"}

# What differs and is not refused, see docs/ENGINE.md: why, for which planted numbers, in which operators.
OPEN = [
    (
        "NaN is lost, at times by ONNX Runtime itself",
        {"nan"},
        {"DynamicQuantizeLinear", "GlobalMaxPool", "HardSigmoid", "Hardmax", "Max", "MaxPool", "Min", "ReduceMax", "ReduceMin"}
        | {"Relu", "ScatterND", "Sigmoid", "Swish", "Tanh", "TopK"},
    ),
    (
        "fast kernels take the largest finite number for infinity, or the other way around",
        {"infinite", "negative infinite"},
        {"Clip", "DynamicQuantizeLinear", "Gelu", "MaxPool", "Sigmoid", "Swish"},
    ),
    (
        "sums and products beyond the largest number, or of places beyond all elements",
        UNBOUNDED,
        {"Attention", "Conv", "DFT", "Einsum", "GRU", "Gelu", "GridSample", "GroupNormalization", "HardSwish", "LRN", "LSTM"}
        | {"LayerNormalization", "MatMul", "MeanVarianceNormalization", "RNN", "ReduceLogSum", "ReduceMean", "ReduceSum"}
        | {"Resize", "RotaryEmbedding", "STFT"},
    ),
    ("reciprocals of numbers below 1e-37 are infinite", {"small"}, {"Div", "LpNormalization"}),
    ("gates are approximated, cells add them up", {"spread"}, {"LSTM"}),
    ("scales are planted, and no integer stands for what comes out", {*UNBOUNDED, "small"}, {"QLinearConv", "QLinearMatMul"}),
    ("no integer stands for the power", {*UNBOUNDED, "spread"}, {"Pow"}),
]


def is_open(name, kind, operator):
    """Whether this is known to differ; in functions that are spelled out, infinities are taken from each other."""
    listed = any(kind in kinds and operator in operators for _, kinds, operators in OPEN)
    return listed or "_expanded" in name and kind == "infinite"


# Models for one process.
TOGETHER = 200


def prepare(case, folder):
    """Writes what the engine needs; returns what it should compute, or None."""
    name, kind, model, arrays = case
    given = [i for i, array in enumerate(arrays) if i == 0 or array.dtype.kind not in "iu"]
    model = planted.holding(model, arrays, given)
    feed = {value.name: arrays[index] for value, index in zip(model.graph.input, given)}
    expected = planted.reference(model, feed)
    if expected is None:
        return None
    os.makedirs(folder)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    tensors = [numpy_helper.from_array(array, name) for name, array in feed.items()]
    graph = helper.make_graph([], "given", [], list(model.graph.input), tensors)
    onnx.save(helper.make_model(graph), os.path.join(folder, "given.onnx"))
    return model, arrays, expected


def run(folders):
    """Runs the engine on all of them, again behind one that ends the process."""
    while folders:
        subprocess.run([RUN, *folders], capture_output=True, timeout=600)
        done = [os.path.exists(os.path.join(f, "found.onnx")) or os.path.exists(os.path.join(f, "refused.txt")) for f in folders]
        folders = folders[done.index(False) + 1 :] if False in done else []


def judge(folder, name, model, arrays, expected):
    """`(what came of it, words)`."""
    path = os.path.join(folder, "found.onnx")
    if not os.path.exists(path):
        refused = os.path.join(folder, "refused.txt")
        return "refused", open(refused).read() if os.path.exists(refused) else "the process died"
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    for output, other in zip(model.graph.output, expected):
        words = planted.difference(name, found[output.name], other, arrays)
        if words:
            return "differs", f"`{output.name}` is {words}"
    return "equal", ""


def main():
    part = next((argument for argument in sys.argv[1:] if argument != "-v"), "")
    verbose = "-v" in sys.argv
    cases = [
        (name, kind, model, arrays)
        for name, model, given in planted.tests()
        if part in name
        for kind, arrays in planted.variants(name, given)
    ]
    counts, wrong = collections.Counter(), collections.Counter()
    for start in range(0, len(cases), TOGETHER):
        with tempfile.TemporaryDirectory() as folder:
            prepared = {}
            for index, case in enumerate(cases[start : start + TOGETHER]):
                path = os.path.join(folder, str(index))
                ready = prepare(case, path)
                if ready:
                    prepared[path] = case, ready
                else:
                    counts["not run"] += 1
            run(list(prepared))
            for path, ((name, kind, _, _), ready) in prepared.items():
                outcome, words = judge(path, name, *ready)
                operator = ready[0].graph.node[-1].op_type
                if outcome == "differs" and is_open(name, kind, operator):
                    outcome = "known to differ"
                counts[outcome] += 1
                wrong[operator] += outcome == "differs"
                if outcome == "differs" or verbose and outcome == "refused":
                    print(f"{name}, {kind}: {words}")
    print(f"{len(cases)} models: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    wrong = +wrong
    if wrong:
        print("operators that differ: " + ", ".join(f"{operator} ({count})" for operator, count in wrong.most_common()))
    if wrong or not part and counts["equal"] < LEAST:
        sys.exit("failed")


if __name__ == "__main__":
    main()
