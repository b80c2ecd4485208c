"""Checks `convert-opset` from outside: runs models before and after in ONNX Runtime.

    python check_opset.py 'COMMAND {target} {in} {out}' [--models FILE…] [--cases NAME…]

COMMAND raises the default operator set of the model {in} to {target} and writes {out}; it writes
nothing when it refuses. Three sets of models are tried:

  hand      one operator each, in the forms that operator sets 7 to 24 had (see `hand_cases`)
  node      the node tests of the `onnx` package, at every version at which they are valid
  --models  files, on seeded random inputs

Each converted model must pass `onnx.checker` with shape inference, and give the same bits as the
original with graph optimisations off; what differs by rounding is named below.

Needs onnx, onnxruntime and numpy (tests/peers was written against 1.23, 1.31, 2.x).
"""

import argparse
import collections
import pathlib
import shlex
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, checker, helper, numpy_helper, parser

warnings.filterwarnings("ignore")
ort.set_default_logger_severity(4)

# From 19 on ONNX Runtime computes AveragePool in another kernel, which differs in the last bit.
ROUNDED = {"AveragePool"}
# It also puts casts around operators it has no half-precision kernel for, at other versions around
# others, and a neighbour may then be computed in single precision.
HALF = 1e-3
# The results differ from run to run.
RANDOM = {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}

rng = np.random.default_rng(20240607)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def ir_version(opset):
    return 8 if opset <= 18 else 10 if opset <= 22 else {23: 11, 24: 12}.get(opset, 13)


def single(op, opset, inputs, outputs=1, initializers=(), hidden=False, **attributes):
    """A model of one node. `inputs` are arrays (None: left out); those whose index is in
    `initializers` become initializers, the others graph inputs. `hidden`: nothing declares the
    rank of the first input and of the outputs."""
    names, graph_inputs, inits, feeds, nodes = [], [], [], {}, []

    def graph_input(name, array, dims=None):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        graph_inputs.append(helper.make_tensor_value_info(name, kind, array.shape if dims is None else dims))
        feeds[name] = array

    for i, array in enumerate(inputs):
        if array is None:
            names.append("")
            continue
        name = f"x{i}"
        names.append(name)
        if i in initializers:
            inits.append(numpy_helper.from_array(array, name))
        elif i == 0 and hidden:
            graph_input("whole", array)
            graph_input("dims", np.array(array.shape), ["rank"])
            nodes.append(helper.make_node("Reshape", ["whole", "dims"], [name], name="r"))
        else:
            graph_input(name, array)
    results = [f"y{i}" for i in range(outputs)]
    nodes.append(helper.make_node(op, names, results, name="n", **attributes))
    if hidden:
        nodes += [helper.make_node("Identity", [y], [f"out_{y}"]) for y in results]
        results = [f"out_{y}" for y in results]
    graph = helper.make_graph(nodes, "g", graph_inputs, [onnx.ValueInfoProto(name=r) for r in results], inits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version(opset))
    try:
        for value, array in zip(graph.output, run(model, feeds)):
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, array.shape))
        model.graph.CopyFrom(graph)
    except Exception as error:
        print(f"{op} {opset} {attributes}: original does not run: {str(error)[:200]}")
    return model, feeds


def hand_cases():
    """Yields (name, model, feeds): each changed form of each operator, with its variations."""
    x3, x4 = floats(2, 3, 4), floats(2, 3, 6, 5)

    def case(name, *args, **kwargs):
        return (name, *single(*args, **kwargs))

    for v in (7, 9, 11, 12):
        for op in ("Softmax", "LogSoftmax", "Hardmax"):
            for axis in (None, 0, 1, 2, 3) + ((-1, -2) if v >= 11 else ()):
                at = {} if axis is None else {"axis": axis}
                yield case(f"{op}-{v}-{axis}", op, v, [x4], **at)
                yield case(f"{op}-{v}-{axis}-norank", op, v, [x4], hidden=True, **at)
            yield case(f"{op}-{v}-ones", op, v, [floats(2, 5, 1, 1)])
        yield case(f"Squeeze-{v}", "Squeeze", v, [floats(1, 3, 1)], axes=[0, 2])
        yield case(f"Squeeze-all-{v}", "Squeeze", v, [floats(1, 3, 1)])
        yield case(f"Unsqueeze-{v}", "Unsqueeze", v, [x3], axes=[0, 4])
        if v >= 11:
            yield case(f"Unsqueeze-neg-{v}", "Unsqueeze", v, [x3], axes=[-1, 0])
            yield case(f"Squeeze-neg-{v}", "Squeeze", v, [floats(1, 3, 1)], axes=[-1])
        yield case(f"Split-{v}", "Split", v, [x4], outputs=2, axis=2, split=[2, 4])
        yield case(f"Split-equal-{v}", "Split", v, [x4], outputs=3, axis=2)
        yield case(f"Split-default-{v}", "Split", v, [x4], outputs=2)
        yield case(f"Flatten-{v}", "Flatten", v, [x4], axis=2)
        for spec in (dict(ceil_mode=1), dict(count_include_pad=1, pads=[1] * 4), {}):
            if v < 10 and "ceil_mode" in spec:
                continue
            yield case(f"AveragePool-{v}-{spec}", "AveragePool", v, [x4], kernel_shape=[3, 2], strides=[2, 2], **spec)
            spec.pop("count_include_pad", None)
            yield case(f"MaxPool-{v}-{spec}", "MaxPool", v, [x4], kernel_shape=[3, 2], strides=[2, 2], **spec)
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
            for op in ("AveragePool", "MaxPool", "LpPool"):
                yield case(f"{op}-{v}-{pad}", op, v, [x4], kernel_shape=[3, 2], strides=[2, 3], auto_pad=pad)
        yield case(f"LpPool-{v}", "LpPool", v, [x4], kernel_shape=[3, 2], pads=[1, 0, 1, 0], p=1)
        c = [np.abs(floats(3)) + 0.5 for _ in range(4)]
        yield case(f"BatchNormalization-{v}", "BatchNormalization", v, [x4, *c], epsilon=0.01)
        if v < 12:
            yield case(f"Dropout-{v}", "Dropout", v, [x4], ratio=0.3)
        yield case(f"Dropout-default-{v}", "Dropout", v, [x4])
        yield case(f"Dropout-mask-{v}", "Dropout", v, [x4], outputs=2)
        for op in ("ArgMax", "ArgMin"):
            yield case(f"{op}-{v}", op, v, [x4], axis=2, keepdims=0)
        for op in ("Sum", "Max", "Min", "Mean"):
            yield case(f"{op}-{v}", op, v, [x4, x4[::-1].copy()])
            if v >= 8:
                yield case(f"{op}-broadcast-{v}", op, v, [x4, floats(5)])
        yield case(f"Gemm-{v}", "Gemm", v, [floats(3, 4), floats(5, 4), floats(5)], transB=1, alpha=0.5)
        yield case(f"Reshape-{v}", "Reshape", v, [x4, np.array([0, -1, 5])], initializers=(1,))
        yield case(f"Cast-{v}", "Cast", v, [x4 * 9], to=TensorProto.INT32)
        yield case(f"DepthToSpace-{v}", "DepthToSpace", v, [floats(1, 8, 2, 3)], blocksize=2)
        yield case(f"Concat-{v}", "Concat", v, [x4, x4], axis=1)
        yield case(f"LRN-{v}", "LRN", v, [x4], size=3)
        yield case(f"PRelu-{v}", "PRelu", v, [x4, floats(5)])
        yield case(f"Pow-{v}", "Pow", v, [np.abs(x4), floats(5)])
        for op, gates, extra in (("LSTM", 4, 3), ("GRU", 3, 2), ("RNN", 1, 2)):
            h, i = 5, 4
            w = [floats(5, 2, i), floats(1, gates * h, i), floats(1, gates * h, h), floats(1, 2 * gates * h)]
            yield case(f"{op}-{v}", op, v, w, outputs=extra, hidden_size=h)
        for op in REDUCTIONS:
            x = np.abs(x4) + 0.1
            for at in (dict(axes=[1, 2]), dict(axes=[-1] if v >= 11 else [3], keepdims=0), {}, dict(keepdims=0)):
                yield case(f"{op}-{v}-{at}", op, v, [x], **at)
    for v in (7, 9):
        yield case(f"Slice-{v}", "Slice", v, [x4], axes=[1, 3], starts=[1, -4], ends=[3, -1])
        yield case(f"Slice-noaxes-{v}", "Slice", v, [x4], starts=[0, 1, -2, 0], ends=[1, 2**31 - 1, 2**63 - 1, 3])
        yield case(f"TopK-{v}", "TopK", v, [np.round(x4)], outputs=2, k=2, axis=1)
    for v in (7, 9, 10):
        yield case(f"Clip-{v}", "Clip", v, [x4], min=-0.3, max=0.6)
        yield case(f"Clip-min-{v}", "Clip", v, [x4], min=0.0)
        yield case(f"Clip-none-{v}", "Clip", v, [x4])
        for mode in ("constant", "reflect", "edge"):
            pads = [0, 1, 2, 0, 0, 0, 1, 3]
            yield case(f"Pad-{mode}-{v}", "Pad", v, [x4], pads=pads, mode=mode, value=1.5)
        yield case(f"Pad-neg-{v}", "Pad", v, [x4], pads=[0, 0, -1, 1, 0, 0, 2, -2])
    for scales in ([1, 1, 2, 3], [1, 1, 1.7, 2.3], [1, 1, 1, 1]):
        s = np.array(scales, np.float32)
        for mode in ("nearest", "linear"):
            for v in (7, 8):
                yield case(f"Upsample-{v}-{mode}-{scales}", "Upsample", v, [x4], scales=list(map(float, s)), mode=mode)
            yield case(f"Upsample-9-{mode}-{scales}", "Upsample", 9, [x4, s], initializers=(1,), mode=mode)
            yield case(f"Upsample-9-dynamic-{mode}-{scales}", "Upsample", 9, [x4, s], mode=mode)
            yield case(f"Resize-10-{mode}-{scales}", "Resize", 10, [x4, s], initializers=(1,), mode=mode)
    for scales in ([1, 1, 0.5, 0.25], [1, 1, 0.5, 2.3], [1, 1, 0.6, 0.7]):
        s = np.array(scales, np.float32)
        for mode in ("nearest", "linear"):
            yield case(f"Resize-10-{mode}-{scales}", "Resize", 10, [x4, s], initializers=(1,), mode=mode)
    empty = np.zeros(0, np.float32)
    for v in (11, 12):
        for ctm in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn"):
            for scales in ([1, 1, 2, 3], [1, 1, 0.6, 1.7]):
                s = np.array(scales, np.float32)
                size = np.array([2, 3, 4, 11])
                for nearest in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
                    at = dict(coordinate_transformation_mode=ctm, nearest_mode=nearest)
                    yield case(f"Resize-{v}-{ctm}-{nearest}-{scales}", "Resize", v, [x4, empty, s], initializers=(1, 2), **at)
                at = dict(coordinate_transformation_mode=ctm)
                for mode in ("linear", "cubic"):
                    yield case(f"Resize-{v}-{ctm}-{mode}-{scales}", "Resize", v, [x4, empty, s], initializers=(1, 2), mode=mode, **at)
                yield case(f"Resize-{v}-{ctm}-sizes", "Resize", v, [x4, empty, empty, size], initializers=(1, 2, 3), mode="linear", **at)
                yield case(f"Resize-{v}-{ctm}-sizes-dynamic", "Resize", v, [x4, empty, empty, size], initializers=(1, 2), mode="linear", **at)
    for v in (9, 10):
        data, index = floats(3, 4), np.array([[0, 2, 1, 0]])
        yield case(f"Scatter-{v}", "Scatter", v, [data, index, floats(1, 4)], axis=0)
        indices, depth = np.array([[0, 2], [5, 1]]), np.array([3])
        yield case(f"OneHot-{v}", "OneHot", v, [indices, depth, np.array([0.5, 2], np.float32)], initializers=(1, 2), axis=1)
    for v in (7, 8):
        each = [np.abs(floats(3, 6, 5)) + 0.5 for _ in range(4)]
        yield case(f"BatchNormalization-each-{v}", "BatchNormalization", v, [x4, *each], initializers=(1, 2, 3, 4), spatial=0)
        yield case(f"BatchNormalization-spatial-{v}", "BatchNormalization", v, [x4, *(np.ones(3, np.float32),) * 4], spatial=1)
    rois, batch = np.array([[0, 0, 4, 4], [1, 2, 5.5, 6]], np.float32), np.array([0, 1])
    for mode in ("avg", "max"):
        yield case(f"RoiAlign-{mode}", "RoiAlign", 10, [x4, rois, batch], output_height=3, output_width=2, sampling_ratio=2, mode=mode)
    scale, zero = np.float32(0.05), np.uint8(120)
    scalars = [np.array(scale), np.array(zero)]
    yield case("QuantizeLinear-10", "QuantizeLinear", 10, [x4, *scalars], initializers=(1, 2))
    yield case("DequantizeLinear-10", "DequantizeLinear", 10, [np.arange(256, dtype=np.uint8), *scalars], initializers=(1, 2))
    for axis in (None, 1, 2):
        at = {} if axis is None else {"axis": axis}
        yield case(f"DFT-17-{axis}", "DFT", 17, [floats(2, 5, 4, 1)], **at)
    for v in (13, 17):
        yield case(f"Split-equal-{v}", "Split", v, [x4], outputs=3, axis=2)
        yield case(f"Split-sizes-{v}", "Split", v, [x4, np.array([2, 4])], outputs=2, axis=2, initializers=(1,))
        for op in REDUCTIONS:
            if op != "ReduceSum":
                for at in (dict(axes=[1, -1]), dict(axes=[3], keepdims=0), dict(keepdims=0)):
                    yield case(f"{op}-{v}-{at}", op, v, [np.abs(x4) + 0.1], **at)
    for v in (9, 12):
        yield case(f"MeanVarianceNormalization-{v}", "MeanVarianceNormalization", v, [x4])
    for name, text in BODIES.items():
        for v in (9, 11, 12):
            model = parser.parse_model(text.replace("VERSION", str(v)).replace("IR", str(ir_version(v))))
            feeds = {i.name: np.array(3) if i.name == "n" else np.array(i.name == "yes") for i in model.graph.input}
            feeds["x"] = x3
            yield f"{name}-{v}", model, feeds
    for mode in ("bilinear", "nearest", "bicubic", None):
        at = {} if mode is None else {"mode": mode}
        yield case(f"GridSample-{mode}", "GridSample", 16, [x4, rng.uniform(-1.2, 1.2, (2, 4, 4, 2)).astype(np.float32)], **at)
    for hidden in (False, True):
        yield case(f"GroupNormalization-{hidden}", "GroupNormalization", 18, [floats(2, 6, 4, 3), floats(3), floats(3)], hidden=hidden, num_groups=3)
    for v in (18, 19, 20):
        yield case(f"GroupNormalization-{v}", "GroupNormalization", v, [floats(2, 6, 4, 3), floats(3), floats(3)], initializers=(1, 2), num_groups=3)
    for v in (20, 21, 22):
        for op in ("MaxPool", "AveragePool"):
            for at in (dict(ceil_mode=1), dict(ceil_mode=1, strides=[3, 3]), dict(pads=[1, 1, 1, 1])):
                yield case(f"{op}-{v}-{at}", op, v, [floats(1, 2, 7, 8)], kernel_shape=[2, 2], **{"strides": [2, 2], **at})
        for to in (TensorProto.FLOAT16, TensorProto.UINT8):
            yield case(f"Cast-{v}-{to}", "Cast", v, [np.abs(x4)], to=to)
        yield case(f"QuantizeLinear-{v}", "QuantizeLinear", v, [x4, *scalars], initializers=(1, 2))
        yield case(f"DequantizeLinear-{v}", "DequantizeLinear", v, [np.arange(256, dtype=np.uint8), *scalars], initializers=(1, 2))
    for v in (23, 24):
        yield case(f"RMSNormalization-{v}", "RMSNormalization", v, [x4, floats(5)])
        yield case(f"Attention-{v}", "Attention", v, [floats(1, 2, 3, 4), floats(1, 2, 5, 4), floats(1, 2, 5, 4)])


REDUCTIONS = [
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
]  # fmt: skip


# Changed operators inside bodies, reading values from outside.
BODIES = {
    "If": """<ir_version: IR, opset_import: ["": VERSION]>
        g (float[2,3,4] x, bool yes) => (float[a,b,c,d] y) {
            u = Unsqueeze<axes = [0]>(x)
            y = If (yes) <
                then_branch = t () => (p) { q = ReduceSum<axes = [1]>(u) p = Softmax<axis = 2>(q) },
                else_branch = e () => (r) { r = ReduceSum<axes = [1]>(u) }
            >
        }""",
    "Loop": """<ir_version: IR, opset_import: ["": VERSION]>
        g (float[2,3,4] x, int64 n, bool yes) => (float[a,b,c] last, float[s,1,2,4] all) {
            last, all = Loop (n, yes, x) <
                body = b (int64 i, bool go, float[2,3,4] state) => (bool again, float[2,3,4] next, float[1,2,4] sum) {
                    again = Identity(go)
                    next = Softmax<axis = 1>(state)
                    few = ReduceSum<axes = [1], keepdims = 0>(next)
                    sum = Unsqueeze<axes = [0]>(few)
                }
            >
        }""",
    "Scan": """<ir_version: IR, opset_import: ["": VERSION]>
        g (float[2,3,4] x) => (float[3,4] last, float[2,1,4] all) {
            start = Constant<value = float[3,4] {0,0,0,0,0,0,0,0,0,0,0,0}>()
            last, all = Scan<num_scan_inputs = 1,
                body = b (float[3,4] state, float[3,4] row) => (float[3,4] next, float[1,4] sum) {
                    next = Add(state, row)
                    sum = ReduceSum<axes = [0]>(next)
                }
            >(start, x)
        }""",
}


def node_cases():
    """The node tests of the onnx package, at every version from 7 to 24 at which they are valid."""
    from onnx.backend.test.case.node import collect_testcases

    for test in collect_testcases(None):
        if any(op.domain for op in test.model.opset_import):
            continue
        arrays = test.data_sets[0][0]
        for version in range(7, 25):
            model = onnx.ModelProto()
            model.CopyFrom(test.model)
            model.ir_version = ir_version(version)
            model.opset_import[0].version = version
            try:
                checker.check_model(model, full_check=True)
            except Exception:
                continue
            feeds = dict(zip((i.name for i in model.graph.input), arrays))
            yield f"{test.name}-{version}", model, feeds


def file_cases(paths):
    for path in paths:
        model = onnx.load(path)
        inits = {t.name for t in model.graph.initializer}
        feeds = {}
        for value in model.graph.input:
            if value.name in inits:
                continue
            kind = value.type.tensor_type
            shape = [d.dim_value if d.dim_value > 0 else 2 for d in kind.shape.dim]
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
            if np.issubdtype(dtype, np.floating):
                feeds[value.name] = rng.standard_normal(shape).astype(dtype)
            else:
                feeds[value.name] = rng.integers(0, 2, shape).astype(dtype)
        yield pathlib.Path(path).name, model, feeds


def run(model, feeds):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def distance(a, b):
    """0 for equal bits, else the largest difference relative to the largest number."""
    if isinstance(a, list):
        return max(map(distance, a, b), default=0.0) if len(a) == len(b) else np.inf
    if a is None or b is None:
        return 0.0 if a is b else np.inf
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    if a.tobytes() == b.tobytes() or (a.dtype == object and (a == b).all()):
        return 0.0
    if a.dtype.kind not in "fc" or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return 0.0 if np.array_equal(a, b) else np.inf
    ok = np.isfinite(a)
    if not ok.any() or np.array_equal(a[ok], b[ok]):
        return 0.0
    return float(np.abs(a[ok] - b[ok]).max() / max(np.abs(a[ok]).max(), 1e-30))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command")
    parser.add_argument("--models", nargs="*")
    parser.add_argument("--cases", nargs="*", default=["hand", "node"])
    parser.add_argument("--targets", nargs="*", type=int, default=[13, 21, 25])
    args = parser.parse_args()
    cases = file_cases(args.models) if args.models else (
        c for name in args.cases for c in {"hand": hand_cases, "node": node_cases}[name]()
    )
    counts, bad = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        source, out = pathlib.Path(folder, "in.onnx"), pathlib.Path(folder, "out.onnx")
        for name, model, feeds in cases:
            opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
            source.write_bytes(model.SerializeToString())
            try:
                before = run(model, feeds)
            except Exception as error:
                counts["not run by ONNX Runtime, checked only"] += 1
                before = None
                if args.models:
                    print(f"{name}: original does not run: {str(error)[:200]}")
            for target in args.targets:
                if target <= opset:
                    continue
                out.unlink(missing_ok=True)
                words = [w.format(**{"target": target, "in": source, "out": out}) for w in shlex.split(args.command)]
                done = subprocess.run(words, capture_output=True, text=True)
                where = f"{name} {opset}->{target}"
                if not out.exists():
                    counts["refused"] += 1
                    print(f"{where}: refused: {done.stdout.strip()} {done.stderr.strip()}")
                    continue
                try:
                    after_model = onnx.load(out)
                    if not any(o.domain not in ("", "ai.onnx", "ai.onnx.ml") for o in after_model.opset_import):
                        checker.check_model(after_model, full_check=True)
                    ops = {n.op_type for n in model.graph.node}
                    worst = 0.0
                    if before is not None and not ops & RANDOM - {"Dropout"}:
                        worst = max(map(distance, before, run(after_model, feeds)), default=0.0)
                except Exception as error:
                    if "NOT_IMPLEMENTED" in str(error):
                        counts["not in ONNX Runtime in that version, checked only"] += 1
                        continue
                    bad += 1
                    print(f"{where}: FAILED: {str(error)[:300]}")
                    continue
                allowed = 1e-5 if ops & ROUNDED and target >= 19 else 0.0
                if any(t.data_type == TensorProto.FLOAT16 for t in model.graph.initializer):
                    allowed = HALF
                counts["equal" if worst == 0.0 else f"differs {'within rounding' if worst <= allowed else 'TOO MUCH'}"] += 1
                if worst > allowed:
                    bad += 1
                    print(f"{where}: DIFFERS by {worst:.3g}")
                elif args.models:
                    print(f"{where}: ok ({worst:.3g})")
    print(dict(counts), f"{bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
