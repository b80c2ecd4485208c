#!/usr/bin/env python3
"""`onnxpress simplify` on every shared model and fixture, checked from outside.

    simplify_models.py [--peers] [NAME ...]

For each model: nodes before and after; the result must load in onnxruntime and give the outputs of
the original there (relative error at most 1e-5, on seeded inputs of two extents where axes are
free), run in tract where the original does, stay as it is in a second run, and be the same bytes
with 1, 2 and 4 threads. With --peers, onnxsim and OnnxSlim simplify the same files, in processes of
their own; their nodes, wall times and peak memory stand beside ours, and a model on which we leave
more nodes than the better of them fails unless MORE says why.
"""
import glob
import hashlib
import os
import statistics
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

from common import MODELS, ROOT, TOOL, measure, tool

PEERS = {
    "onnxsim": "import onnx, onnxsim, sys; m, _ = onnxsim.simplify(sys.argv[1]); onnx.save(m, sys.argv[2])",
    "onnxslim": "import onnx, onnxslim, sys; onnx.save(onnxslim.slim(sys.argv[1]), sys.argv[2])",
}

# Models on which a peer leaves fewer nodes, and why we do not.
MORE = {
    "big_fold": "what would be folded adds megabytes to the file",
    "custom_domain": "an unknown operator keeps it from being executed, so only exact passes run",
    "light_shufflenet": "weights are made by ConstantOfShape; folding them would add megabytes to a file of 0.07 MB",
    "loop_body": "its Loop is replaced by three copies of the body",
    "random_op": "the peer folds a random operator",
    "shared_weight_bn": "a shared weight would be stored once for each layer",
    "ultraface_rfb320_bn": "its 244 initializers are inputs that callers may override (IR 4); --freeze-initializers",
}

TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8, "tensor(bool)": np.bool_,
}
EXTENTS = [(1, 8), (2, 12), (1, 32), (1, 96), (1, 224)]


def count(graph):
    total = len(graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            total += count(attribute.g) if attribute.HasField("g") else 0
            total += sum(count(inner) for inner in attribute.graphs)
    return total


def nodes(path):
    model = onnx.load(path, load_external_data=False)
    return count(model.graph)


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # The models are compared, not what the runtime makes of them.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds(run, first, other):
    random = np.random.default_rng(0)
    named, out = {}, {}
    for given in run.get_inputs():
        dims = []
        for axis, dim in enumerate(given.shape):
            if isinstance(dim, str):
                dim = named.setdefault(dim, first if axis == 0 else other)
            dims.append((first if axis == 0 else other) if dim is None else dim)
        dtype = TYPES[given.type]
        if np.issubdtype(dtype, np.floating):
            out[given.name] = random.standard_normal(dims).astype(dtype)
        else:
            out[given.name] = random.integers(0, 2 if dtype == np.bool_ else 8, dims).astype(dtype)
    return out


def same_outputs(original, result):
    """The largest relative error, and on how many inputs; None when the original does not run."""
    try:
        before = session(original)
        inputs = [feeds(before, *extent) for extent in EXTENTS]
    except Exception:
        return None, 0
    after = session(result)
    free = any(isinstance(d, str) or d is None for given in before.get_inputs() for d in given.shape)
    worst, runs = 0.0, 0
    for values in inputs if free else inputs[:1]:
        try:
            expected = before.run(None, values)
        except Exception:
            continue
        for a, b in zip(expected, after.run(None, values)):
            if np.asarray(a).dtype == object:
                assert np.array_equal(a, b), "other strings"
                continue
            a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
            assert a.shape == b.shape, f"shape {b.shape}, expected {a.shape}"
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            scale = np.abs(a[np.isfinite(a)]).max(initial=0.0) or 1.0
            error = np.abs(a - b)[~same].max(initial=0.0) / scale
            worst = max(worst, float(np.nan_to_num(error, nan=np.inf)))
        runs += 1
        if runs == 2:
            break
    return worst, runs


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def check(path, folder):
    """Nodes after, seconds, MB, error, runs, problems."""
    problems = []
    out = os.path.join(folder, "ours.onnx")
    seconds, _, memory = measure([TOOL, "simplify", path, "-o", out, "--force", "-q", "--inline-data"])
    error, runs = same_outputs(path, out)
    # float16 models are rounded at every step.
    half = any(i.data_type == onnx.TensorProto.FLOAT16 for i in onnx.load(path, load_external_data=False).graph.initializer)
    if error is not None and error > (1e-2 if half else 1e-5):
        problems.append(f"outputs differ by {error:.1e}")
    again = os.path.join(folder, "again.onnx")
    tool("simplify", out, "-o", again, "--force", "-q", "--inline-data")
    if nodes(again) != nodes(out) or digest(again) != digest(out):
        problems.append("a second run changes something")
    for threads in (1, 2, 4):
        other = os.path.join(folder, "threads.onnx")
        tool("simplify", path, "-o", other, "--force", "-q", "--inline-data", "--threads", threads)
        if digest(other) != digest(out):
            problems.append(f"other bytes with {threads} threads")
    return nodes(out), seconds, memory, error, runs, problems


def main():
    arguments = [a for a in sys.argv[1:] if a != "--peers"]
    with_peers = "--peers" in sys.argv
    paths = sorted(glob.glob(os.path.join(MODELS, "*.onnx")))
    paths += sorted(glob.glob(os.path.join(ROOT, "fixtures", "*.onnx")) + glob.glob(os.path.join(ROOT, "fixtures", "graphs", "*.onnx")))
    if arguments:
        paths = [p for p in paths if os.path.basename(p)[:-5] in arguments]
    failed, fewer, better, ratios, memories, executed = [], 0, 0, [], [], 0
    removable = 0
    print(f"{'model':32} {'nodes':>6} {'ours':>6} {'s':>6} {'MB':>5} {'error':>8} {'runs':>4}", *(f"{p:>9} {'s':>6} {'MB':>5}" for p in PEERS if with_peers))
    for path in paths:
        name = os.path.basename(path)[:-5]
        with tempfile.TemporaryDirectory() as folder:
            try:
                after, seconds, memory, error, runs, problems = check(path, folder)
            except (Exception, SystemExit) as problem:
                print(f"{name:32} FAILED {problem}")
                failed.append(name)
                continue
            before = nodes(path)
            executed += runs > 0
            fewer += after < before
            row = f"{name:32} {before:6} {after:6} {seconds:6.2f} {memory:5.0f} {'-' if error is None else format(error, '8.1e'):>8} {runs:4}"
            best = None
            if with_peers:
                for peer, code in PEERS.items():
                    out = os.path.join(folder, "peer.onnx")
                    try:
                        peer_seconds, _, peer_memory = measure([sys.executable, "-c", code, path, out])
                        found = nodes(out)
                        ratios.append(peer_seconds / seconds)
                        memories.append(memory / peer_memory)
                        best = min(found, best or found)
                        row += f" {found:9} {peer_seconds:6.2f} {peer_memory:5.0f}"
                        os.remove(out)
                    except (Exception, SystemExit):
                        row += f" {'failed':>9} {'':6} {'':5}"
                if best is not None:
                    removable += min(after, best) < before
                    better += after < best
                    if after > best:
                        reason = MORE.get(name)
                        row += f"  more: {reason}" if reason else "  MORE"
                        if not reason:
                            problems.append(f"{after} nodes, a peer leaves {best}")
        print(row + "".join(f"  {p}" for p in problems), flush=True)
        failed += [name] if problems else []
    print(f"{len(paths)} models, {fewer} with fewer nodes, {executed} executed in onnxruntime, {len(failed)} failed")
    if with_peers and ratios:
        print(f"fewer nodes than the better peer: {better} of {removable} where anything can be removed")
        print(f"time of a peer by ours: median {statistics.median(ratios):.1f}; our peak memory by a peer's: median {statistics.median(memories):.2f}")
    if failed:
        sys.exit("failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
