#!/usr/bin/env python3
"""`--engine ort` with the shared library that the Python package onnxruntime brings.

    check_engine_ort.py

- `compare` of a float and a quantized model gives the figures of tract, and of onnxruntime in Python.
- `calibrate`, `prune`, `factorize` and `simplify` run, and the results load.
- A model that tract cannot run is quantized and compared.
- `compare --latency` finds the ratio that Python finds; the best of TRIES counts, for other programs disturb. Python
  counts the time of its one thread: a loop that never waits is interrupted more than runs that are asked for.
- `compare --profile` finds the nodes and kernels that a profile in Python finds, and leaves no trace behind.
- `--optimization all` gives the outputs of integer kernels, and `basic` times without them.
- A library that is missing, none at all, another one or too old is an error in words; one that aborts or hangs ends
  its process and not the command.
"""
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from common import DATA, MODELS, ROOT, TOOL

FIXTURES = os.path.join(ROOT, "fixtures")
CAPI = os.path.join(os.path.dirname(ort.__file__), "capi")
# Of the signal-to-noise ratios that the two engines see, in decibel.
CLOSE_DB = 0.5
# Of the ratio of latencies here and in Python.
CLOSE_RATIO = 0.10
TRIES = 5

failures = []


def check(good, what):
    print(("ok      " if good else "FAILED  ") + what, flush=True)
    if not good:
        failures.append(what)


def tool(*arguments, library=CAPI, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DYLIB_PATH"}
    chosen = ["--engine", "ort", "--ort-library", library] if library else []
    done = subprocess.run([TOOL, *map(str, arguments), *chosen], capture_output=True, text=True, env={**environment, **variables})
    return done.returncode, done.stdout, done.stderr


def compare(*arguments, library=CAPI):
    code, out, err = tool("compare", *arguments, "--json", library=library)
    check(code == 0, f"compare {os.path.basename(arguments[0])}: exit {code} {err.strip()}")
    return json.loads(out) if out else None


def session(path, level):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = level
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def outputs(path, level, inputs):
    return session(path, level).run(None, inputs)[0].astype(np.float64)


def pairs():
    """Name, model, arguments for its samples."""
    pixels = ["--scale", str(1 / 16)]
    for name in ("digits_mlp", "digits_resnet_bn", "digits_transformer"):
        yield name, os.path.join(FIXTURES, name + ".onnx"), ["digits_calib.npz", "digits_test.npz", *pixels], FIXTURES
    yield "tokens_embedding", os.path.join(FIXTURES, "tokens_embedding.onnx"), ["tokens_calib.npz", "tokens_test.npz"], FIXTURES
    for name in ("cifar_resnet8_bn", "cifar_vit"):
        path = os.path.join(MODELS, name + ".onnx")
        if os.path.exists(path) and os.path.isdir(DATA):
            yield name, path, ["cifar10_calib.npz", "cifar10_calib.npz"], DATA


def agreement(folder):
    for name, model, (calib, test, *how), data in pairs():
        quantized = os.path.join(folder, name + ".int8.onnx")
        code, _, err = tool("quantize", model, "--data", os.path.join(data, calib), *how, "-o", quantized, "--samples", 64, "--labels", "y")
        check(code == 0, f"quantize {name}: exit {code} {err.strip()}")
        if code:
            continue
        samples = ["--data", os.path.join(data, test), "--labels", "y", "--samples", 64, *how]
        ours, tracts = (compare(model, quantized, *samples, library=library) for library in (CAPI, None))
        for a, b in zip(ours["outputs"], tracts["outputs"]):
            text = f"{name} `{a['name']}`: {a['sqnr_db']:.2f} dB in ONNX Runtime, {b['sqnr_db']:.2f} dB in tract"
            check(abs(a["sqnr_db"] - b["sqnr_db"]) <= CLOSE_DB, text)
        check(ours["accuracy"].keys() == tracts["accuracy"].keys() and ours["accuracy"], f"{name}: both know the accuracy")
        same = compare(model, model, *samples)
        check(all(o["sqnr_db"] is None or o["sqnr_db"] > 150 for o in same["outputs"]), f"{name}: runs repeat")


def activation_scales(path):
    graph = onnx.load(path).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    return [float(stored[node.input[1]]) for node in graph.node if node.op_type == "QuantizeLinear"]


def others(folder):
    model, how = os.path.join(FIXTURES, "digits_resnet_bn.onnx"), ["--scale", str(1 / 16)]
    data = os.path.join(FIXTURES, "digits_calib.npz")
    made = {
        "prune": ["--macs", "70%", "--data", data, *how],
        "factorize": ["--macs", "80%", "--data", data, *how],
        "simplify": [],
    }
    for command, arguments in made.items():
        out = os.path.join(folder, command + ".onnx")
        code, text, err = tool(command, model, *arguments, "-o", out)
        check(code == 0 and "NOT VALIDATED" not in text and "not executed" not in text, f"{command}: exit {code} {err.strip()}")
        if code == 0:
            session(out, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    stats = [os.path.join(folder, engine + ".stats") for engine in ("ort", "tract")]
    for path, library in zip(stats, (CAPI, None)):
        code, _, err = tool("calibrate", model, "--data", data, *how, "-o", path, library=library)
        check(code == 0, f"calibrate: exit {code} {err.strip()}")
    results = []
    for path in stats:
        results.append(path + ".onnx")
        code, _, err = tool("quantize", model, "--stats", path, "-o", results[-1], library=None)
        check(code == 0, f"quantize --stats: exit {code} {err.strip()}")
    scales = [activation_scales(path) for path in results]
    close = len(scales[0]) == len(scales[1]) > 5 and np.allclose(*scales, rtol=0.02)
    check(close, f"calibrate: {len(scales[0])} scales as those of tract")


def beyond_tract(folder):
    """A recurrent layer in reverse, which tract computes wrongly and we refuse."""
    random, width, model = np.random.default_rng(7), 16, os.path.join(folder, "reverse.onnx")

    def weight(name, *dims):
        return numpy_helper.from_array((random.standard_normal(dims) / np.sqrt(dims[-1])).astype(np.float32), name)

    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["embedded"]),
        helper.make_node("GRU", ["embedded", "w", "r"], ["states"], direction="reverse", hidden_size=width),
        helper.make_node("Squeeze", ["states", "axes"], ["flat"]),
        helper.make_node("MatMul", ["flat", "b"], ["y"]),
    ]
    stored = [weight("a", width, width), weight("w", 1, 3 * width, width), weight("r", 1, 3 * width, width), weight("b", width, 8)]
    stored.append(numpy_helper.from_array(np.array([1], np.int64), "axes"))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [12, "batch", width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [12, "batch", 8])
    graph = helper.make_graph(nodes, "reverse", [x], [y], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), model)
    out = os.path.join(folder, "reverse.int8.onnx")
    code, _, err = tool("quantize", model, "--data", "random:16", "-o", out, library=None)
    check(code != 0 and "reverse" in err, f"tract refuses the model: {err.strip()[:90]}")
    code, text, err = tool("quantize", model, "--data", "random:16", "--spare", 0, "-o", out)
    check(code == 0 and "NOT VALIDATED" not in text, f"quantize of a model that tract cannot run: exit {code} {err.strip()}")
    if code:
        return
    scales = len(activation_scales(out))
    check(scales >= 2, f"its layers are quantized, with {scales} scales of activations")
    report = compare(model, out, "--data", "random:16")
    given = {"x": np.random.default_rng(1).standard_normal((12, 4, width)).astype(np.float32)}
    level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    a, b = (outputs(path, level, given) for path in (model, out))
    sqnr = 10 * np.log10((a**2).sum() / ((a - b) ** 2).sum())
    found = report["outputs"][0]["sqnr_db"]
    check(report["not_validated"] is None if "not_validated" in report else True, "it is validated")
    check(found > 15 and sqnr > 15, f"its outputs: {found:.1f} dB; {sqnr:.1f} dB in Python on other noise")


def latency(folder):
    """Of models large enough that a run takes longer than what surrounds it."""
    for name in ("cifar_vit", "imagenet_squeezenet11"):
        model, quantized = os.path.join(MODELS, name + ".onnx"), os.path.join(folder, name + ".fast.onnx")
        if not os.path.exists(model):
            print(f"left out: latency of {name}, which is not there")
            continue
        code, _, err = tool("quantize", model, "--data", "random:2", "--calibrator", "minmax", "-o", quantized)
        check(code == 0, f"quantize {name}: exit {code} {err.strip()}")
        found = []
        for _ in range(TRIES):
            report = compare(model, quantized, "--data", "random:1", "--latency", "--threads", 1)
            here = report["latency_ms"]
            runs = [session(path, ort.GraphOptimizationLevel.ORT_ENABLE_ALL) for path in (model, quantized)]
            given = runs[0].get_inputs()[0]
            dims = [dim if isinstance(dim, int) else 1 for dim in given.shape]
            given = {given.name: np.random.default_rng(3).standard_normal(dims).astype(np.float32)}
            times = [[], []]
            for round in range(22):
                for run, taken in zip(runs, times):
                    start = time.thread_time()
                    run.run(None, given)
                    taken.append(time.thread_time() - start)
            there = [statistics.median(taken[1:]) for taken in times]
            ratios = here["candidate"] / here["original"], there[1] / there[0]
            found.append(abs(ratios[0] / ratios[1] - 1))
            text = f"{name}: quantized takes {ratios[0]:.3f} of float, {ratios[1]:.3f} in Python ({here['engine']}, {here['original']:.2f} ms and {1e3 * there[0]:.2f} ms)"
            if found[-1] <= CLOSE_RATIO:
                break
            print("        " + text, flush=True)
        check(min(found) <= CLOSE_RATIO, text)


def kernels_in_python(path, given):
    """Operators that ONNX Runtime runs with all optimizations."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        options.enable_profiling, options.profile_file_prefix = True, os.path.join(folder, "trace")
        run = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        run.run(None, given)
        with open(run.end_profiling()) as file:
            events = json.load(file)
    return {e["args"]["op_name"] for e in events if e["cat"] == "Node" and e["name"].endswith("_kernel_time")}


def profile(folder):
    model, data = os.path.join(FIXTURES, "digits_resnet_bn.onnx"), os.path.join(FIXTURES, "digits_calib.npz")
    quantized, traces = os.path.join(folder, "profiled.onnx"), os.path.join(folder, "traces")
    os.mkdir(traces)
    code, _, err = tool("quantize", model, "--data", data, "--scale", 1 / 16, "-o", quantized)
    check(code == 0, f"quantize: exit {code} {err.strip()}")
    asked = ["compare", model, quantized, "--data", data, "--scale", 1 / 16, "--samples", 32, "--threads", 1, "--json"]
    code, text, err = tool(*asked, "--profile", TMPDIR=traces)
    check(code == 0, f"compare --profile: exit {code} {err.strip()}")
    # Libraries of Microsoft leave a file of their own.
    left = [name for name in os.listdir(traces) if name.startswith("onnxpress")]
    check(not left, "nothing is left of the traces")
    found = json.loads(text)["profile"]
    given = {"input": np.random.default_rng(1).standard_normal((1, 1, 8, 8)).astype(np.float32)}
    for side, path in (("original", model), ("candidate", quantized)):
        here = {kernel for row in found["by_operator"] for kernel in row["kernels"][side]}
        there = kernels_in_python(path, given)
        check(here == there, f"kernels of the {side}: {sorted(here)}" + ("" if here == there else f", in Python {sorted(there)}"))
        total = sum(row["milliseconds"][side] for row in found["by_node"])
        check(abs(total - found["milliseconds"][side]) < 1e-6 and total > 0, f"nodes of the {side} add up to {total:.3f} ms")
    layers = [n.name for n in onnx.load(model).graph.node if n.op_type == "Conv"]
    rows = {row["name"]: row for row in found["by_node"]}
    lost = [name for name in layers if name not in rows or 0 in rows[name]["milliseconds"].values()]
    check(not lost, f"{len(layers)} layers are found in both models" + (f", but {lost}" if lost else ""))
    code, text, err = tool(*asked, "--profile", "--optimization", "basic")
    basic = {kernel for row in json.loads(text)["profile"]["by_operator"] for kernel in row["kernels"]["candidate"]}
    check("QLinearConv" not in basic and "Conv" in basic, f"kernels with basic optimization: {sorted(basic)}")
    ratios = {}
    for level in ("basic", "all"):
        code, text, err = tool(*asked, "--optimization", level)
        check(code == 0, f"compare --optimization {level}: exit {code} {err.strip()}")
        ratios[level] = json.loads(text)["outputs"][0]["sqnr_db"]
    _, text, _ = tool(*asked)
    check(json.loads(text)["outputs"][0]["sqnr_db"] == ratios["basic"], "outputs are those of basic optimization")
    check(ratios["basic"] != ratios["all"], f"outputs with integer kernels: {ratios['all']:.2f} dB, {ratios['basic']:.2f} dB without")


STUB = """
struct base { const void *(*api)(unsigned); const char *(*version)(void); };
static const void *none(unsigned version) { return 0; }
static const char *old(void) { %s return "1.10.0"; }
static const struct base base = { none, old };
const struct base *OrtGetApiBase(void) { return &base; }
"""


def wrong_libraries(folder):
    model = os.path.join(FIXTURES, "digits_mlp.onnx")
    ask = ["compare", model, model, "--data", "random:1"]

    def fails(library, words, what, *more):
        code, out, err = tool(*ask, *more, library=library)
        check(code == 1 and not out and words in err, f"{what}: {err.strip()}")

    fails("/nowhere/lib.so", "there is no such shared library", "missing")
    fails(model, "the system cannot load this shared library", "a model")
    code, _, err = tool(*ask, "--engine", "ort", library=None, ORT_DYLIB_PATH=CAPI)
    check(code == 0, f"found through ORT_DYLIB_PATH: {err.strip()}")
    if os.environ.get("VIRTUAL_ENV") or sys.prefix != sys.base_prefix:
        code, _, err = tool(*ask, "--engine", "ort", library=None, VIRTUAL_ENV=sys.prefix)
        check(code == 0, f"found in the environment: {err.strip()}")
    (library,) = glob.glob(os.path.join(CAPI, "libonnxruntime.so*"))[:1] or [CAPI]
    code, _, err = tool(*ask, "--engine-in-process", library=library)
    check(code == 0, f"in the command itself: {err.strip()}")
    if not shutil.which("cc"):
        print("left out: libraries that are too old, abort or hang; there is no C compiler")
        return
    for name, body, words in (
        ("old", "", "is too old: 1.10.0; 1.17 is needed"),
        ("aborting", "__builtin_trap();", "ONNX Runtime crashed"),
        ("hanging", "for (;;) __asm__ volatile (\"\");", "ONNX Runtime took longer than 2 s"),
    ):
        source, library = os.path.join(folder, name + ".c"), os.path.join(folder, f"lib{name}.so")
        with open(source, "w") as file:
            file.write(STUB % body)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        fails(library, words, name, "--engine-seconds", "2")


def main():
    with tempfile.TemporaryDirectory() as folder:
        wrong_libraries(folder)
        agreement(folder)
        others(folder)
        beyond_tract(folder)
        profile(folder)
        latency(folder)
    print(f"{len(failures)} failed" if failures else "all as it should be")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
