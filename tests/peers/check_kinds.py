#!/usr/bin/env python3
"""Kinds of weights and graphs that quantization must not miss or ruin, each in several variants made here.

    check_kinds.py [PART OF A NAME …]     all by default

For each variant: a small model, a command, and bounds on the size of the result and on its error in ONNX Runtime with default optimization.
Needs a release build (ONNXPRESS). Exit status 1 when a variant misses a bound.
"""
import os
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from check_cases import by_sample, drift, need, size, sqnr, tool

FLOAT, HALF, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64
VARIANTS = []


def floats(seed, *dims, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(dims) * scale).astype(np.float32)


def build(nodes, inputs, outputs, constants, opset=17, as_nodes=False, as_inputs=False, domains=()):
    """A model; constants are initializers, Constant nodes, or initializers that are inputs, too."""
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    values = [helper.make_tensor_value_info(*i) for i in inputs]
    if as_nodes:
        nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in tensors] + nodes
        tensors = []
    if as_inputs:
        values += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    graph = helper.make_graph(nodes, "g", values, [helper.make_tensor_value_info(*o) for o in outputs], tensors)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10 if opset > 18 else 8)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def variant(name, model, samples, runs):
    """`runs`: (options of quantize, most of the size, least dB); `{data}` stands for the samples."""
    VARIANTS.append((name, model, samples, runs))


IDS = {"ids": np.random.default_rng(0).integers(0, 512, (48, 8))}
STATIC, WEIGHTS, DYNAMIC = ["--data", "{data}"], ["--mode", "weights"], ["--mode", "dynamic"]


def tied(how, opset=17, **extra):
    """Embeddings that the last layer reads, too."""
    table = floats(1, 512, 64, scale=0.1)
    w = floats(2, 64, 64, scale=0.15)
    nodes = [node("Gather", ["t", "ids"], ["e"]), node("MatMul", ["e", "w"], ["h0"]), node("Relu", ["h0"], ["h"])]
    constants = {"t": table, "w": w}
    if how == "gemm":
        constants |= {"s": np.array([-1, 64])}
        nodes += [node("Reshape", ["h", "s"], ["r"]), node("Gemm", ["r", "t"], ["y"], transB=1)]
        dims = None
    elif how == "transpose":
        nodes += [node("Transpose", ["t"], ["tt"], perm=[1, 0]), node("MatMul", ["h", "tt"], ["y"])]
        dims = ["b", 8, 512]
    else:  # twice
        nodes += [node("Gather", ["t", "ids"], ["e2"]), node("Add", ["h", "e2"], ["h2"]), node("Transpose", ["t"], ["tt"], perm=[1, 0]),
                  node("MatMul", ["h2", "tt"], ["y0"]), node("Identity", ["y0"], ["y"])]
        dims = ["b", 8, 512]
    return build(nodes, [("ids", INT64, ["b", 8])], [("y", FLOAT, dims)], constants, opset, **extra)


for how in ("gemm", "transpose", "twice"):
    for opset, extra in ((13, {}), (17, {"as_nodes": True}), (21, {})):
        variant(f"tied {how} opset {opset}{' Constant' if extra else ''}", tied(how, opset, **extra), IDS,
                [(STATIC, 0.36, 25), (WEIGHTS, 0.33, 30), (WEIGHTS + ["--weights", "int4"], 0.33, 8), (DYNAMIC, 0.36, 22)])


def prepared(how, opset=17):
    """A weight that constant nodes prepare."""
    w = floats(3, 64, 96, scale=0.2)
    nodes, constants = [], {}
    if how == "cast":
        constants["h"] = w.astype(np.float16)
        nodes.append(node("Cast", ["h"], ["w"], to=FLOAT))
    elif how == "transpose cast":
        constants["h"] = np.ascontiguousarray(w.T).astype(np.float16)
        nodes += [node("Transpose", ["h"], ["t"], perm=[1, 0]), node("Cast", ["t"], ["w"], to=FLOAT)]
    elif how == "cast transpose":
        constants["h"] = np.ascontiguousarray(w.T).astype(np.float16)
        nodes += [node("Cast", ["h"], ["t"], to=FLOAT), node("Transpose", ["t"], ["w"], perm=[1, 0])]
    elif how == "double":
        constants["h"] = w.astype(np.float64)
        nodes.append(node("Cast", ["h"], ["w"], to=FLOAT))
    elif how == "reshape":
        constants |= {"h": w.reshape(-1), "s": np.array([64, 96])}
        nodes.append(node("Reshape", ["h", "s"], ["w"]))
    elif how == "identity":
        constants["h"] = w
        nodes.append(node("Identity", ["h"], ["w"]))
    nodes += [node("MatMul", ["x", "w"], ["m"]), node("Relu", ["m"], ["a"]), node("MatMul", ["a", "w2"], ["y"])]
    constants["w2"] = floats(4, 96, 64, scale=0.2)
    return build(nodes, [("x", FLOAT, ["b", 64])], [("y", FLOAT, ["b", 64])], constants, opset)


X64 = {"x": floats(5, 64, 64)}
for how, most in (("cast", 0.45), ("transpose cast", 0.45), ("cast transpose", 0.45), ("double", 0.25), ("reshape", 0.33), ("identity", 0.33)):
    variant(f"prepared {how}", prepared(how, 15 if how == "reshape" else 17), X64,
            [(STATIC, most, 30), (WEIGHTS, most, 33), (DYNAMIC, most, 30)])


def einsum(equation, w, x, opset=17):
    second = floats(9, w.shape[-1] if w.ndim == 2 else 8, 8, scale=0.3)
    nodes = [node("Einsum", ["x", "w"], ["y"], equation=equation)]
    return build(nodes, [("x", FLOAT, ["b", *x])], [("y", FLOAT, None)], {"w": w}, opset)


for equation, w, x in (("bsd,dhk->bshk", (64, 4, 32), (5, 64)), ("bshk,hkd->bsd", (4, 32, 96), (5, 4, 32)), ("bld,df->blf", (64, 96), (7, 64)),
                       ("bd,df->bf", (64, 96), (64,)), ("...d,df->...f", (64, 96), (3, 5, 64)), ("bsd,fd->bsf", (96, 64), (5, 64)), ("bhwc,cd->bhwd", (64, 96), (4, 4, 64))):
    model = einsum(equation, floats(6, *w, scale=0.2), x)
    variant(f"einsum {equation}", model, {"x": floats(7, 40, *x)}, [(WEIGHTS, 0.36, 33), (STATIC, 0.40, 25), (DYNAMIC, 0.40, 25)])


def trained(channel, opset, dtype=np.int8):
    """A QAT export: the float weight is followed by QuantizeLinear and DequantizeLinear."""
    w = floats(8, 32, 16, 3, 3, scale=0.2)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    scale = (np.abs(w).max((1, 2, 3)) / 127).astype(np.float32) if channel else np.float32(np.abs(w).max() / 127)
    zero = np.zeros(np.shape(scale), dtype) if dtype == np.int8 else np.full(np.shape(scale), 128, dtype)
    axis = {"axis": 0} if channel else {}
    nodes = [node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]), node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
             node("QuantizeLinear", ["w", "s", "z"], ["wq"], **axis), node("DequantizeLinear", ["wq", "s", "z"], ["wd"], **axis),
             node("Conv", ["xd", "wd", "b"], ["y"], pads=[1] * 4)]
    constants = {"w": w, "s": scale, "z": zero, "xs": np.float32(0.03), "xz": np.uint8(128), "b": floats(9, 32)}
    return build(nodes, [("x", FLOAT, [1, 16, 8, 8])], [("y", FLOAT, [1, 32, 8, 8])], constants, opset)


for channel, opset, dtype in ((True, 13, np.int8), (False, 13, np.int8), (True, 19, np.int8), (False, 17, np.uint8)):
    variant(f"QAT {'channel' if channel else 'tensor'} opset {opset} {np.dtype(dtype)}", trained(channel, opset, dtype), {"x": floats(10, 16, 16, 8, 8)},
            [(STATIC + ["--existing", "complete"], 0.36, 60), (WEIGHTS, 0.36, 60), (None, 0.36, 100)])


def ranges(axis, large, small, between):
    """Two branches of unlike ranges that a Concat joins."""
    nodes = [node("Conv", ["x", "w1"], ["a"], pads=[1] * 4), node("Relu", ["a"], ["a1"]), node("Mul", ["a1", "k"], ["a2"]),
             node("Conv", ["x", "w2"], ["c"], pads=[1] * 4), node("Sigmoid" if small == 1 else "Tanh", ["c"], ["c1"])]
    constants = {"w1": floats(11, 8, 3, 3, 3), "w2": floats(12, 8, 3, 3, 3), "k": np.float32(large)}
    parts = ["a2", "c1"]
    if between:
        shape = np.array([1, 8, 64])
        nodes += [node("Reshape", ["a2", "s"], ["a3"]), node("Reshape", ["c1", "s"], ["c3"])]
        constants["s"] = shape
        parts = ["a3", "c3"]
    nodes.append(node("Concat", parts, ["y"], axis=axis))
    return build(nodes, [("x", FLOAT, [1, 3, 8, 8])], [("y", FLOAT, None)], constants)


def halves(original, result, npz, axis):
    a, b = by_sample(original, npz, False)[0], by_sample(result, npz)[0]
    return min(sqnr(p, q) for p, q in zip(np.split(a, 2, axis + 1), np.split(b, 2, axis + 1)))


def half(tensor):
    return tensor.astype(np.float16)


def halved(opset):
    """A model in float16 throughout."""
    nodes = [node("Gather", ["t", "ids"], ["e"]), node("MatMul", ["e", "w"], ["m"]), node("Add", ["m", "b"], ["a"]), node("Relu", ["a"], ["r"]), node("MatMul", ["r", "w2"], ["y"])]
    constants = {"t": half(floats(13, 512, 64, scale=0.3)), "w": half(floats(14, 64, 128, scale=0.15)), "b": half(floats(15, 128)), "w2": half(floats(16, 128, 64, scale=0.1))}
    return build(nodes, [("ids", INT64, ["b", 8])], [("y", HALF, ["b", 8, 64])], constants, opset)


for opset in (13, 17, 21):
    variant(f"float16 opset {opset}", halved(opset), IDS, [(WEIGHTS, 0.58, 30), (WEIGHTS + ["--weights", "int4"], 0.36, 10)])


def halved_conv():
    nodes = [node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4), node("Relu", ["c"], ["r"]), node("Conv", ["r", "w2"], ["y"])]
    constants = {"w": half(floats(17, 32, 16, 3, 3, scale=0.2)), "b": half(floats(18, 32)), "w2": half(floats(19, 32, 32, 1, 1, scale=0.2))}
    return build(nodes, [("x", HALF, ["n", 16, 8, 8])], [("y", HALF, ["n", 32, 8, 8])], constants)


variant("float16 conv", halved_conv(), {"x": half(floats(20, 16, 16, 8, 8))}, [(WEIGHTS, 0.62, 30)])


def left(batched):
    """A weight on the left of a product."""
    if batched:
        return build([node("MatMul", ["w", "x"], ["y"])], [("x", FLOAT, ["b", 48, 5])], [("y", FLOAT, ["b", 64, 5])], {"w": floats(21, 64, 48)})
    return build([node("MatMul", ["w", "x"], ["y0"]), node("Relu", ["y0"], ["y"])], [("x", FLOAT, [48, 7])], [("y", FLOAT, [64, 7])], {"w": floats(21, 64, 48)})


variant("left batched", left(True), {"x": floats(22, 32, 48, 5)}, [(STATIC, 0.45, 30), (WEIGHTS, 0.45, 33), (DYNAMIC, 1.05, 30), (STATIC + ["--qoperator"], 1.05, 30)])
variant("left", left(False), {"x": floats(22, 48 * 20, 7)}, [(STATIC, 0.45, 30), (WEIGHTS, 0.45, 33), (DYNAMIC, 1.05, 30), (STATIC + ["--qoperator"], 1.05, 30)])


def recurrent(op, batch, directions, extra):
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    constants = {"w": floats(23, directions, gates * 32, 24, scale=0.3), "r": floats(24, directions, gates * 32, 32, scale=0.3), "b": floats(25, directions, 2 * gates * 32, scale=0.2)}
    inputs = ["x", "w", "r", "b"]
    if extra == "lengths":
        constants["l"] = np.array([7, 5, 3, 7][:batch], np.int32)
        inputs.append("l")
    nodes = [node(op, inputs, ["Y", "Yh"], hidden_size=32, direction="bidirectional" if directions == 2 else "forward"), node("MatMul", ["Yh", "k"], ["y"])]
    constants["k"] = floats(26, 32, 16, scale=0.3)
    return build(nodes, [("x", FLOAT, [7, batch, 24])], [("Y", FLOAT, None), ("y", FLOAT, None)], constants)


for op, batch, directions, extra in (("LSTM", 3, 1, ""), ("LSTM", 3, 2, ""), ("GRU", 4, 1, ""), ("GRU", 2, 2, ""), ("RNN", 3, 1, ""), ("LSTM", 4, 1, "lengths")):
    most = 0.45 if op == "LSTM" else 1.0
    variant(f"{op} batch {batch} directions {directions} {extra}", recurrent(op, batch, directions, extra), {"x": floats(27, 7 * 16, batch, 24)},
            [(STATIC, most, 25), (WEIGHTS, 0.45, 30), (DYNAMIC, 1.0, 25), (DYNAMIC + ["--weights", "uint8", "--asymmetric-weights"], 1.0, 25)])


def branches():
    """A weight in the main graph and equal ones in both branches."""
    w = floats(28, 64, 64, scale=0.2)
    graphs = []
    for at, op in enumerate(("Relu", "Tanh")):
        body = [node("MatMul", ["x", f"w{at}"], [f"m{at}"]), node(op, [f"m{at}"], [f"o{at}"])]
        graphs.append(helper.make_graph(body, f"g{at}", [], [helper.make_tensor_value_info(f"o{at}", FLOAT, None)], [numpy_helper.from_array(w, f"w{at}")]))
    nodes = [node("ReduceSum", ["x"], ["s"], keepdims=0), node("Greater", ["s", "zero"], ["c"]), node("If", ["c"], ["i"], then_branch=graphs[0], else_branch=graphs[1]), node("MatMul", ["i", "w"], ["y"])]
    return build(nodes, [("x", FLOAT, ["b", 64])], [("y", FLOAT, ["b", 64])], {"w": w, "zero": np.float32(0)})


variant("equal weights in branches", branches(), X64, [(WEIGHTS, 0.20, 30), (STATIC, 0.25, 25), (None, 0.42, 100)])


def embedding(op):
    constants = {"t": floats(29, 512, 64), "w": floats(30, 64, 64, scale=0.2), "p": floats(31, 1, 8, 64)}
    nodes = [node("Gather", ["t", "ids"], ["e"])]
    if op == "add":
        nodes.append(node("Add", ["e", "p"], ["e1"]))
    if op == "reshape":
        constants |= {"s": np.array([0, 512]), "w": floats(30, 512, 32, scale=0.1)}
        nodes.append(node("Reshape", ["e", "s"], ["e1"]))
    if op == "concat":
        constants |= {"w": floats(30, 128, 32, scale=0.1), "u": floats(32, 512, 64)}
        nodes += [node("Gather", ["u", "ids"], ["f"]), node("Concat", ["e", "f"], ["e1"], axis=-1)]
    nodes += [node("MatMul", ["e" if op == "plain" else "e1", "w"], ["m"]), node("Relu", ["m"], ["r"]), node("MatMul", ["r", "w3"], ["y"])]
    constants["w3"] = floats(33, constants["w"].shape[1], 16, scale=0.3)
    return build(nodes, [("ids", INT64, ["b", 8])], [("y", FLOAT, None)], constants)


for op in ("plain", "add", "reshape", "concat"):
    variant(f"embedding {op}", embedding(op), IDS, [(STATIC + ["--target", t], 0.45, 24) for t in ("ort", "qnn", "portable", "tract", "openvino")])


def moved(op, opset):
    """int8 activations that an operator moves into one that computes with floats."""
    nodes = [node("Conv", ["x", "w"], ["a"], pads=[1] * 4), node("Relu", ["a"], ["b"])]
    constants = {"w": floats(40, 16, 3, 3, 3, scale=0.3)}
    if op == "Transpose":
        nodes.append(node(op, ["b"], ["m"], perm=[0, 2, 3, 1]))
    elif op == "Reshape":
        nodes.append(node(op, ["b", "d"], ["m"]))
        constants["d"] = np.array([0, 16, -1])
    elif op == "Slice":
        nodes.append(node(op, ["b", "first", "end", "axis"], ["m"]))
        constants |= {"first": np.array([0]), "end": np.array([8]), "axis": np.array([1])}
    elif op == "Unsqueeze":
        nodes.append(node(op, ["b", "axis"], ["m"]))
        constants["axis"] = np.array([1])
    elif op == "twice":
        nodes += [node("Reshape", ["b", "d"], ["r"]), node("Transpose", ["r"], ["m"], perm=[0, 2, 1])]
        constants["d"] = np.array([0, 16, -1])
    else:
        nodes.append(node("MaxPool", ["b"], ["m"], kernel_shape=[2, 2]))
    return build([*nodes, node("Erf", ["m"], ["y"])], [("x", FLOAT, ["n", 3, 8, 8])], [("y", FLOAT, None), ("m", FLOAT, None)], constants, opset)


PICTURES = {"x": floats(41, 32, 3, 8, 8)}
for op in ("Transpose", "Reshape", "Slice", "Unsqueeze", "twice", "MaxPool"):
    for opset in (17, 21, 23):
        variant(f"moved {op} opset {opset}", moved(op, opset), PICTURES,
                [(STATIC + ["--activations", "int8"], 1.1, 28), (STATIC + ["--activations", "int16"], 1.1, 35), (STATIC + ["--target", "tensorrt"], 1.1, 28)])


def unknown(place):
    """An operator that the built-in engine does not run, in front of all layers, between or behind them."""
    norm = lambda read, made: node("LpPool", [read], [made], kernel_shape=[2, 2], p=2)
    nodes = {
        "first": [norm("x", "p"), node("Conv", ["p", "w"], ["a"], pads=[1] * 4), node("Relu", ["a"], ["b"]), node("Conv", ["b", "v"], ["y"], pads=[1] * 4)],
        "middle": [node("Conv", ["x", "w"], ["a"], pads=[1] * 4), norm("a", "b"), node("Conv", ["b", "v"], ["y"], pads=[1] * 4)],
        "last": [node("Conv", ["x", "w"], ["a"], pads=[1] * 4), node("Relu", ["a"], ["b"]), node("Conv", ["b", "v"], ["c"], pads=[1] * 4), norm("c", "y")],
    }[place]
    constants = {"w": floats(42, 32, 3, 3, 3, scale=0.3), "v": floats(43, 32, 32, 3, 3, scale=0.1)}
    return build(nodes, [("x", FLOAT, ["n", 3, 8, 8])], [("y", FLOAT, None)], constants)


for place in ("first", "middle", "last"):
    variant(f"unknown operator {place}", unknown(place), PICTURES, [(STATIC, 0.40, 28), (WEIGHTS, 0.40, 33), (WEIGHTS + ["--data", "{data}"], 0.40, 33), (DYNAMIC + ["--data", "{data}"], 0.40, 25)])


def chosen(kind):
    """Outputs that give as much as the data want."""
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["b"]), node("MatMul", ["b", "v"], ["s"])]
    constants = {"w": floats(44, 64, 64, scale=0.2), "v": floats(45, 64, 8, scale=0.2), "zero": np.float32(0), "all": np.array([-1])}
    nodes += {
        "NonZero": [node("Greater", ["s", "zero"], ["g"]), node("NonZero", ["g"], ["y"])],
        "Compress": [node("Greater", ["s", "zero"], ["g"]), node("Reshape", ["g", "all"], ["r"]), node("Compress", ["s", "r"], ["y"])],
        "GatherND": [node("Greater", ["s", "zero"], ["g"]), node("NonZero", ["g"], ["n"]), node("Transpose", ["n"], ["t"], perm=[1, 0]), node("GatherND", ["s", "t"], ["y"])],
        "Unique": [node("ArgMax", ["s"], ["i"], axis=1, keepdims=0), node("Unique", ["i"], ["y", "", "", "counts"])],
        "Where": [node("Greater", ["s", "zero"], ["g"]), node("Where", ["g", "s", "zero"], ["k"]), node("NonZero", ["k"], ["n"]), node("Cast", ["n"], ["y"], to=FLOAT)],
    }[kind]
    integers = kind in ("NonZero", "Unique")
    outputs = [("y", INT64 if integers else FLOAT, None)] + ([("counts", INT64, None)] if kind == "Unique" else [])
    return build(nodes, [("x", FLOAT, ["b", 64])], outputs, constants)


def main():
    wanted, failed, count = sys.argv[1:], [], 0
    for name, model, samples, runs in VARIANTS:
        if wanted and not any(part in name for part in wanted):
            continue
        with tempfile.TemporaryDirectory() as folder:
            original, npz = os.path.join(folder, "a.onnx"), os.path.join(folder, "data.npz")
            onnx.save(model, original)
            np.savez(npz, **samples)
            for options, most, least in runs:
                result = os.path.join(folder, "b.onnx")
                shown = " ".join(options) if options else "simplify"
                count += 1
                try:
                    if os.path.exists(result):
                        os.remove(result)
                    given = ["quantize", original, *(o.format(data=npz) for o in options)] if options else ["simplify", original]
                    tool(*given, "-o", result, status=(0, 3), seconds=120)
                    need(os.path.exists(result), "nothing was written")
                    found, share = drift(original, result, npz), size(result, original)
                    need(found >= least and share <= most, f"{found:.1f} dB (at least {least}), size {share:.3f} (at most {most})")
                except Exception as problem:  # Any problem is the variant's.
                    failed.append(name)
                    print(f"WRONG  {name}: {shown.replace('{data}', 'DATA')}: {str(problem)[:260]}", flush=True)

    for axis, large, small, between in ((1, 300, 1, False), (1, 1000, 2, False), (2, 300, 1, False), (-1, 300, 1, True), (1, 300, 2, True)):
        name = f"concat axis {axis} x{large}{' reshaped' if between else ''}"
        if wanted and not any(part in name for part in wanted):
            continue
        with tempfile.TemporaryDirectory() as folder:
            original, npz, result = (os.path.join(folder, f) for f in ("a.onnx", "data.npz", "b.onnx"))
            onnx.save(ranges(axis, large, small, between), original)
            np.savez(npz, x=floats(34, 48, 3, 8, 8))
            for target in ("qnn", "ort", "tensorrt", "openvino", "portable", "tract"):
                count += 1
                try:
                    tool("quantize", original, "--data", npz, "--target", target, "-o", result, "--force", status=(0, 3))
                    found = halves(original, result, npz, axis)
                    need(found >= 25, f"one half keeps {found:.1f} dB")
                except Exception as problem:  # Any problem is the variant's.
                    failed.append(name)
                    print(f"WRONG  {name}: --target {target}: {str(problem)[:260]}", flush=True)
    for kind in ("NonZero", "Compress", "GatherND", "Unique", "Where"):
        name = f"chosen {kind}"
        if wanted and not any(part in name for part in wanted):
            continue
        with tempfile.TemporaryDirectory() as folder:
            original, npz, result = (os.path.join(folder, f) for f in ("a.onnx", "data.npz", "b.onnx"))
            onnx.save(chosen(kind), original)
            np.savez(npz, x=floats(46, 64, 64))
            for engine in ("tract", "ort"):
                count += 1
                try:
                    text, said, *_ = tool("quantize", original, "--data", npz, "--engine", engine, "-o", result, "--force")
                    need(size(result, original) < 0.36, f"size {size(result, original):.3f}")
                    unknown_to_it = engine == "tract" and kind == "Unique"
                    need(unknown_to_it or "one by one" not in text + said, "layers were not tried")
                    tool("compare", original, result, "--data", npz, "--engine", engine, status=3 if unknown_to_it else 0)
                except Exception as problem:  # Any problem is the variant's.
                    failed.append(name)
                    print(f"WRONG  {name}: --engine {engine}: {str(problem)[:260]}", flush=True)
    print(f"{count - len(failed)} of {count} right")
    sys.exit(1 if failed or not count else 0)


if __name__ == "__main__":
    main()
