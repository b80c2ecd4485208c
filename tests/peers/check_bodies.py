#!/usr/bin/env python3
"""Layers in the bodies of Loop, Scan and If: quantized with `--engine ort`, run in ONNX Runtime.

    check_bodies.py

- A Loop whose count is an input, with branches in its steps, in several operator sets: the result is close to the
  original, also for counts that calibration has not seen, and ONNX Runtime has integer kernels in all bodies.
- The same of a Scan behind a branch with a Conv.
- A branch that no sample takes computes with floats, and the report says why.
- Statistics and samples give the same file.
- The shared model whose layers are all in branches, when it is there: convolutions become integer kernels.
"""
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper, parser

from common import model_path, tool
from real_inputs import streaming

CAPI = os.path.join(os.path.dirname(ort.__file__), "capi")
# Signal-to-noise ratio that outputs keep, in decibel: several steps feed each other.
CLOSE_DB = 15.0
INTEGER = {"QLinearMatMul", "MatMulIntegerToFloat", "QGemm", "QLinearConv"}

LOOP = """<ir_version: 8, opset_import: ["" : OPSET]>
g (int64 n, float[1,32] x) => (float[1,32] y, float[K,1,16] all) {
  go = Constant <value = bool {1}> ()
  y, all = Loop (n, go, x) <body = run (int64 i, bool c, float[1,32] s) => (bool d, float[1,32] t, float[1,16] out) {
    d = Identity (c)
    p = MatMul (s, w)
    r = Relu (p)
    q = MatMul (r, w2)
    t = Tanh (q)
    two = Constant <value = int64 {2}> ()
    m = Mod (i, two)
    odd = Cast <to = 9> (m)
    out = If (odd) <
      then_branch = th () => (float[1,16] a) { e = Exp (t) [in_then] a = MatMul (e, w3) },
      else_branch = el () => (float[1,16] b) { z = Abs (t) [in_else] b = Gemm (z, w3, b3) }
    >
  }>
}"""
SCAN = """<ir_version: 8, opset_import: ["" : OPSET]>
g (bool go, float[1,4,16] x) => (float[1,32] y, float[16,1,16] all) {
  h = If (go) <
    then_branch = th () => (float[1,8,16] a) { [conv] c = Conv <pads = [1,1]> (x, k, kb) a = Relu (c) },
    else_branch = el () => (float[1,8,16] b) { [other] b = Conv <pads = [1,1]> (x, k) }
  >
  rows = Transpose <perm = [2, 0, 1]> (h)
  y, all = Scan (start, rows) <num_scan_inputs = 1, body = run (float[1,32] s, float[1,8] row) => (float[1,32] t, float[1,16] out) {
    [in_step] p = MatMul (row, w4)
    u = Tanh (p)
    v = Add (u, s)
    t = Tanh (v)
    [behind] out = MatMul (t, w3)
  }>
}"""
SHAPES = {"w": (32, 64), "w2": (64, 32), "w3": (32, 16), "b3": (16,), "w4": (8, 32), "k": (8, 4, 3), "kb": (8,), "start": (1, 32)}

failures = []
rng = np.random.default_rng(7)


def check(good, what):
    print(("ok      " if good else "FAILED  ") + what, flush=True)
    if not good:
        failures.append(what)


def model(text, opset):
    made = parser.parse_model(text.replace("OPSET", str(opset)))
    used = [name for name in SHAPES if f" {name})" in text or f" {name}," in text or f"({name}," in text]
    weights = [numpy_helper.from_array((rng.normal(size=SHAPES[name]) * 0.2).astype(np.float32), name) for name in used]
    made.graph.initializer.extend(weights)
    return made


def write_samples(folder, feeds):
    for i, feed in enumerate(feeds):
        sample = os.path.join(folder, f"test_data_set_{i}")
        os.makedirs(sample)
        for j, (name, array) in enumerate(feed.items()):
            with open(os.path.join(sample, f"input_{j}.pb"), "wb") as file:
                file.write(numpy_helper.from_array(array, name).SerializeToString())


def quantize(path, out, *more):
    return tool("quantize", path, "-o", out, "--force", "--spare", 0, "-v", "--engine", "ort", "--ort-library", CAPI, *more)


def kernels(path, folder):
    """How many integer kernels each graph has in ONNX Runtime, and all layers on floats."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = os.path.join(folder, "optimized.onnx")
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    graphs, found, floats = [onnx.load(options.optimized_model_filepath).graph], {}, 0
    while graphs:
        graph = graphs.pop()
        found[graph.name] = found.get(graph.name, 0) + sum(node.op_type in INTEGER for node in graph.node)
        floats += sum(node.op_type in ("Conv", "FusedConv", "MatMul", "Gemm", "FusedGemm", "FusedMatMul") for node in graph.node)
        graphs += [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return found, floats


def ratio(before, after, feeds):
    """The smallest signal-to-noise ratio of the outputs, in decibel."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    runs = [ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in (before, after)]
    signal = noise = 0
    for feed in feeds:
        expected, found = (run.run(None, feed) for run in runs)
        signal = signal + np.array([np.sum(a.astype(np.float64) ** 2) for a in expected])
        noise = noise + np.array([np.sum((a.astype(np.float64) - b) ** 2) for a, b in zip(expected, found)])
    return np.min(10 * np.log10(signal / noise))


def one(name, text, opset, feeds, unseen, wanted, *more):
    with tempfile.TemporaryDirectory() as folder:
        at = lambda file: os.path.join(folder, file)
        onnx.save(model(text, opset), at("m.onnx"))
        write_samples(at("data"), feeds)
        code, out, err = quantize(at("m.onnx"), at("q.onnx"), "--data", at("data"), *more)
        check(code == 0, f"{name}, opset {opset}: exit {code} {err.strip()}")
        if code:
            return ""
        found, floats = kernels(at("q.onnx"), folder)
        check(found == wanted, f"{name}, opset {opset}: integer kernels {found}, {floats} layers on floats")
        db = ratio(at("m.onnx"), at("q.onnx"), unseen)
        check(db > CLOSE_DB, f"{name}, opset {opset}: {db:.1f} dB")
        code, _, err = tool("calibrate", at("m.onnx"), "-o", at("s"), "--data", at("data"), "--engine", "ort", "--ort-library", CAPI)
        check(code == 0, f"{name}, opset {opset}: calibrate {err.strip()}")
        quantize(at("m.onnx"), at("s.onnx"), "--stats", at("s"), "--data", at("data"), *more)
        with open(at("q.onnx"), "rb") as a, open(at("s.onnx"), "rb") as b:
            check(a.read() == b.read(), f"{name}, opset {opset}: the same from statistics")
        return out


def shared():
    path = model_path("silero_vad_v5_if")
    if not os.path.exists(path):
        return print("left out: the shared model")
    calibration, test = streaming("silero_vad_v5_if")
    with tempfile.TemporaryDirectory() as folder:
        at = lambda file: os.path.join(folder, file)
        write_samples(at("data"), calibration)
        code, _, err = quantize(path, at("q.onnx"), "--data", at("data"))
        check(code == 0, f"shared model: exit {code} {err.strip()}")
        found, _ = kernels(at("q.onnx"), folder)
        check(max(found.values()) >= 6, "shared model: integer kernels in the branch that samples take")
        db = ratio(path, at("q.onnx"), test)
        check(db > 25, f"shared model: {db:.1f} dB")


steps = lambda n: {"n": np.array(n, np.int64), "x": rng.normal(size=(1, 32)).astype(np.float32)}
loop = {"run": 2, "th": 1, "el": 1, "g": 0}
for opset in (10, 11, 13, 18, 21):
    one("Loop", LOOP, opset, [steps(i % 5) for i in range(24)], [steps(7), steps(0), steps(1)], loop)
one("Loop as it is", LOOP, 11, [steps(i % 5) for i in range(24)], [steps(6)], loop, "--skip", "convert-opset")
out = one("Loop of one step", LOOP, 17, [steps(1) for _ in range(24)], [steps(1)], {**loop, "th": 0})
said = [line for line in out.splitlines() if "`in_then`" in line]
check(any("no sample ran its body" in line for line in said), f"Loop of one step: {said}")

way = lambda go: {"go": np.array(go), "x": rng.normal(size=(1, 4, 16)).astype(np.float32)}
for opset in (13, 17, 21):
    both = [way(i % 2 == 0) for i in range(24)]
    one("Scan", SCAN, opset, both, [way(True), way(False)], {"g": 0, "th": 1, "el": 1, "run": 2})
shared()

if failures:
    print(f"{len(failures)} failed")
    sys.exit(1)
