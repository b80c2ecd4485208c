#!/usr/bin/env python3
"""Loads and runs in onnxruntime what is written for every operator, type, granularity, side and operator set.

    check_kernels.py [-v] [PART-OF-A-NAME …]

Needs a release build (ONNXPRESS). Models of one layer (products with the weight on either side, convolutions of one to
three axes, recurrent layers, tables) are quantized in every way that the command line offers. A file that is
written with status 0 must load with the default graph optimizations, give what it gives without them, and be as
close to the float model as its type allows. Otherwise the command must say why it wrote nothing. Exit status 1 when one
does not; -v shows every case.
"""
import itertools
import multiprocessing
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from common import tool

SAMPLES = 6
# Decibel that weights of so many bits keep at least; 8-bit floats have 3 or 2 bits of mantissa.
BITS = {"int16": 30, "uint16": 30, "int8": 24, "uint8": 24, "int4": 8, "uint4": 8, "int2": -3, "uint2": -3,
        "float8e4m3fn": 15, "float8e5m2": 12, "float16": 40, "bfloat16": 35, "codebook:16": 10, "ternary": 1, "binary": 1}
# With optimizations and without: kernels round inputs to 8 bits in other places.
AGREE = 24.0
# Tiny layers round the same numbers in other places when the noise of the type is as large.
ABOVE_NOISE = 6.0


def weight(name, *dims, seed=1):
    values = np.random.default_rng(seed).standard_normal(dims) * 0.3
    return numpy_helper.from_array(values.astype(np.float32), name)


def whole(name, *values, dims=None):
    array = np.array(values, np.int64)
    return numpy_helper.from_array(array if dims is None else array.reshape(dims), name)


class Case:
    """A float model: `nodes` from the inputs to `y`."""

    def __init__(self, nodes, constants, x, opset=17, ids=None):
        self.nodes, self.constants, self.x, self.opset, self.ids = nodes, constants, x, opset, ids

    def at(self, opset):
        return Case(self.nodes, self.constants, self.x, opset, self.ids)

    def model(self):
        kind = TensorProto.FLOAT if self.ids is None else TensorProto.INT64
        given = helper.make_tensor_value_info("x", kind, self.x)
        graph = helper.make_graph(self.nodes, "g", [given], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], self.constants)
        ir = {11: 6, 13: 7, 17: 8, 21: 10, 23: 11, 24: 12, 25: 13}[self.opset]
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=ir)
        return onnx.shape_inference.infer_shapes(model)

    def samples(self):
        """Of which each fills the input, along its first axis."""
        rng = np.random.default_rng(7)
        dims = [dim if isinstance(dim, int) else 1 for dim in self.x]
        dims[0] *= SAMPLES
        if self.ids is not None:
            return rng.integers(0, self.ids, dims)
        return rng.standard_normal(dims).astype(np.float32)


def node(op, inputs, output="y", **attributes):
    return helper.make_node(op, inputs.split(), output.split(), **attributes)


def products():
    w = weight
    yield "matmul", Case([node("MatMul", "x w")], [w("w", 32, 24)], ["n", 32])
    yield "matmul_batched", Case([node("MatMul", "x w")], [w("w", 32, 24)], ["n", 5, 32])
    yield "matmul_odd", Case([node("MatMul", "x w")], [w("w", 64, 33)], ["n", 64])
    yield "matmul_two_left_over", Case([node("MatMul", "x w")], [w("w", 50, 34)], ["n", 50])
    yield "matmul_fixed", Case([node("MatMul", "x w")], [w("w", 32, 24)], [3, 32])
    yield "matmul_sum", Case([node("MatMul", "x w", "p"), node("Add", "p b")], [w("w", 32, 24), w("b", 24)], ["n", 32])
    yield "matmul_sum_batched", Case([node("MatMul", "x w", "p"), node("Add", "b p")], [w("w", 32, 24), w("b", 24)], [2, 5, 32])
    yield "matmul_relu", Case([node("MatMul", "x w", "p"), node("Relu", "p")], [w("w", 32, 24)], ["n", 32])
    yield "matmul_vector", Case([node("MatMul", "x w")], [w("w", 32, 24)], [32])
    yield "matmul_left", Case([node("MatMul", "w x")], [w("w", 24, 32)], [32, 5])
    yield "matmul_left_batched", Case([node("MatMul", "w x")], [w("w", 24, 32)], ["n", 32, 5])
    yield "matmul_left_odd", Case([node("MatMul", "w x")], [w("w", 33, 50)], ["n", 50, 3])
    yield "matmul_left_vector", Case([node("MatMul", "w x")], [w("w", 24, 32)], [32])
    yield "matmul_left_sum", Case([node("MatMul", "w x", "p"), node("Add", "p b")], [w("w", 24, 32), w("b", 24, 1)], ["n", 32, 5])
    yield "matmul_stack", Case([node("MatMul", "x w")], [w("w", 3, 32, 24)], ["n", 3, 5, 32])
    yield "matmul_stack_left", Case([node("MatMul", "w x")], [w("w", 3, 24, 32)], ["n", 3, 32, 5])
    yield "matmul_both_sides", Case([node("MatMul", "x w", "p"), node("MatMul", "v p")], [w("w", 32, 24), w("v", 24, 32, seed=2)], ["n", 32, 32])
    yield "matmul_chain", Case([node("MatMul", "x w", "p"), node("Relu", "p", "r"), node("MatMul", "r v")], [w("w", 32, 24), w("v", 24, 32, seed=2)], ["n", 32])
    yield "matmul_shared", Case([node("MatMul", "x w", "p"), node("MatMul", "p w")], [w("w", 32, 32)], ["n", 32])
    yield "matmul_of_values", Case(
        [node("MatMul", "x w", "p"), node("Transpose", "p", "t", perm=[0, 2, 1]), node("MatMul", "p t")], [w("w", 32, 24)], ["n", 5, 32])
    for a, b, factors in itertools.product((0, 1), (0, 1), ((1.0, 1.0), (0.5, 2.0))):
        dims = [24, 32] if b else [32, 24]
        x = [32, 5] if a else [5, 32]
        yield f"gemm_{'t' * a}a_{'t' * b}b_{factors[0]}", Case(
            [node("Gemm", "x w b", transA=a, transB=b, alpha=factors[0], beta=factors[1])], [w("w", *dims), w("b", 24)], x)
    yield "gemm_plain", Case([node("Gemm", "x w")], [w("w", 32, 24)], ["n", 32])
    yield "gemm_odd", Case([node("Gemm", "x w b", transB=1)], [w("w", 33, 50), w("b", 33)], ["n", 50])
    yield "gemm_odd_columns", Case([node("Gemm", "x w b")], [w("w", 50, 33), w("b", 33)], ["n", 50])
    yield "gemm_matrix_bias", Case([node("Gemm", "x w b")], [w("w", 32, 24), w("b", 5, 24)], [5, 32])
    yield "gemm_left", Case([node("Gemm", "w x b")], [w("w", 24, 32), w("b", 24, 1)], [32, 5])
    yield "gemm_left_transposed", Case([node("Gemm", "w x", transA=1, transB=1)], [w("w", 32, 24)], [5, 32])
    yield "gemm_tanh", Case([node("Gemm", "x w b", "p"), node("Tanh", "p")], [w("w", 32, 24), w("b", 24)], ["n", 32])


def convolutions():
    w = weight
    for axes in (1, 2, 3):
        space, k = [9, 8, 7][:axes], [3] * axes
        yield f"conv{axes}d", Case([node("Conv", "x w b")], [w("w", 16, 8, *k), w("b", 16)], ["n", 8, *space])
        yield f"conv{axes}d_grouped", Case([node("Conv", "x w", group=2)], [w("w", 24, 8, *k)], ["n", 16, *space])
        yield f"conv{axes}d_depthwise", Case([node("Conv", "x w b", group=64)], [w("w", 64, 1, *k), w("b", 64)], ["n", 64, *space])
        yield f"conv{axes}d_transposed", Case([node("ConvTranspose", "x w b")], [w("w", 8, 16, *k), w("b", 16)], ["n", 8, *space])
    pads = dict(pads=[1, 1, 1, 1], strides=[2, 2], dilations=[2, 1])
    yield "conv2d_relu", Case([node("Conv", "x w b", "c", **pads), node("Relu", "c")], [w("w", 16, 8, 3, 3), w("b", 16)], ["n", 8, 9, 8])
    yield "conv2d_chain", Case(
        [node("Conv", "x w", "c"), node("Clip", "c l h", "r"), node("Conv", "r v", "d"), node("Add", "d r", "e"), node("Relu", "e")],
        [w("w", 16, 8, 1, 1), numpy_helper.from_array(np.float32(0), "l"), numpy_helper.from_array(np.float32(6), "h"), w("v", 16, 16, 1, 1)], ["n", 8, 9, 8])
    yield "conv2d_gate", Case(
        [node("Conv", "x w", "c"), node("GlobalAveragePool", "c", "p"), node("Conv", "p v", "q"), node("Sigmoid", "q", "s"), node("Mul", "c s")],
        [w("w", 24, 8, 3, 3), w("v", 24, 24, 1, 1)], ["n", 8, 9, 8])
    yield "conv2d_matmul", Case(
        [node("Conv", "x w b", "c"), node("Relu", "c", "r"), node("Reshape", "r d", "f"), node("MatMul", "f v")],
        [w("w", 16, 8, 3, 3), w("b", 16), whole("d", 1, 672), w("v", 672, 33)], [1, 8, 9, 8])
    yield "conv2d_transposed_grouped", Case([node("ConvTranspose", "x w", group=2, strides=[2, 2])], [w("w", 8, 8, 3, 3)], ["n", 8, 5, 4])
    yield "conv2d_concat", Case(
        [node("Conv", "x w", "c"), node("Conv", "x v", "d"), node("Concat", "c d", "e", axis=1), node("Conv", "e u")],
        [w("w", 16, 8, 3, 3), w("v", 16, 8, 3, 3, seed=2), w("u", 16, 32, 1, 1, seed=3)], ["n", 8, 9, 8])


def recurrent():
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for direction in ("forward", "reverse", "bidirectional"):
            both = 2 if direction == "bidirectional" else 1
            constants = [weight("w", both, gates * 24, 32), weight("r", both, gates * 24, 24, seed=2), weight("b", both, gates * 48, seed=3)]
            yield f"{op.lower()}_{direction}", Case([node(op, "x w r b", "y", hidden_size=24, direction=direction)], constants, [7, 1, 32])
        yield f"{op.lower()}_plain", Case([node(op, "x w r", "y", hidden_size=24)], [weight("w", 1, gates * 24, 32), weight("r", 1, gates * 24, 24, seed=2)], [7, 1, 32])
    yield "gru_linear", Case([node("GRU", "x w r b", "y", hidden_size=24, linear_before_reset=1)],
                             [weight("w", 1, 72, 32), weight("r", 1, 72, 24, seed=2), weight("b", 1, 144, seed=3)], [7, 1, 32])


def tables():
    w, table = weight, weight("t", 100, 32)
    product = w("w", 32, 24, seed=2)
    gather = node("Gather", "t x", "e")
    yield "table", Case([node("Gather", "t x")], [table], ["n", 8], ids=100)
    yield "table_matmul", Case([gather, node("MatMul", "e w")], [table, product], ["n", 8], ids=100)
    yield "table_sum_matmul", Case([gather, node("Add", "e p", "s"), node("MatMul", "s w")], [table, product, w("p", 8, 32, seed=3)], ["n", 8], ids=100)
    yield "table_norm_matmul", Case(
        [gather, node("LayerNormalization", "e s z", "l"), node("MatMul", "l w", "p"), node("Add", "p b")], [table, product, w("s", 32), w("z", 32), w("b", 24)], ["n", 8], ids=100)
    yield "table_matmul_and_output", Case([gather, node("MatMul", "e w", "p"), node("Concat", "e p", axis=2)], [table, product], ["n", 8], ids=100)
    yield "table_twice", Case(
        [gather, node("Add", "x o", "i"), node("Gather", "t i", "f"), node("MatMul", "e w", "p"), node("MatMul", "f w", "q"), node("Add", "p q")],
        [table, product, whole("o", 0)], ["n", 8], ids=100)
    yield "table_twice_once_read", Case(
        [gather, node("MatMul", "e w", "p"), node("Gather", "t x", "f"), node("ReduceMean", "f", "m", keepdims=1, axes=[2]), node("Add", "p m")],
        [table, product], ["n", 8], ids=100)
    yield "table_reshape_matmul", Case(
        [gather, node("Reshape", "e d", "r"), node("MatMul", "r v")], [table, w("v", 256, 24), whole("d", 1, 256)], [1, 8], ids=100)
    yield "table_columns", Case([node("Gather", "t x", "e", axis=1), node("Transpose", "e", "r", perm=[1, 2, 0]), node("MatMul", "r w")],
                                [w("t", 32, 100), product], ["n", 8], ids=100)
    yield "table_conv", Case([gather, node("Transpose", "e", "r", perm=[0, 2, 1]), node("Conv", "r v")], [table, w("v", 24, 32, 3)], ["n", 8], ids=100)


# These are quantized in all ways, the others in the usual ones.
ALL_WAYS = {"matmul", "matmul_odd", "matmul_sum", "matmul_left", "matmul_stack", "gemm_a_tb_1.0", "gemm_ta_b_0.5", "conv1d_grouped", "conv2d",
            "conv2d_matmul", "conv3d_depthwise", "conv2d_transposed", "lstm_forward", "gru_forward", "table", "table_matmul"}
# And these for operator sets from old to new.
ALL_OPSETS = {"matmul", "matmul_odd", "matmul_left", "gemm_a_tb_1.0", "conv2d", "lstm_forward", "table_matmul"}
OPSETS = (11, 13, 21, 23, 24, 25)


def cases():
    for name, case in itertools.chain(products(), convolutions(), recurrent(), tables()):
        yield name, case
        for opset in OPSETS if name in ALL_OPSETS else ():
            yield f"{name}@{opset}", case.at(opset)


def ways(full):
    """Options by name, with what the file is held to in decibel; all of them for the plain operator set."""
    target = lambda name: ["--target", name]
    for name in ("ort", "tensorrt", "openvino", "qnn", "tract", "portable"):
        yield f"static {name}", ["--data", "x.npz", *target(name)], 24
    for name in ("ort", "portable", "tract"):
        yield f"qoperator {name}", ["--data", "x.npz", *target(name), "--qoperator"], 24
    for name in ("ort", "portable"):
        yield f"dynamic {name}", ["--mode", "dynamic", *target(name)], 24
        yield f"weights {name}", ["--mode", "weights", *target(name)], 24
        for bits in ("int4", "int2"):
            yield f"weights {name} {bits}", ["--mode", "weights", *target(name), "--weights", bits], BITS[bits]
    if not full:
        return
    signs = (["--asymmetric-weights"], ["--symmetric-weights"])
    grains = ("tensor", "channel", "block:16", "block:32")
    for name, bits, sign, grain in itertools.product(("ort", "portable"), list(BITS)[:8], signs, grains):
        options = [*target(name), "--weights", bits, *sign, "--granularity", grain]
        label = f"{name} {bits} {sign[0][2:4]} {grain}"
        yield "weights " + label, ["--mode", "weights", *options], BITS[bits]
        yield "static " + label, ["--data", "x.npz", *options], min(20, BITS[bits])
        if bits in ("int8", "uint8") and "block" not in grain:
            yield "dynamic " + label, ["--mode", "dynamic", *options], BITS[bits]
            yield "qoperator " + label, ["--data", "x.npz", "--qoperator", *options], 20
    for name, bits, activations, sign in itertools.product(
            ("ort", "portable", "qnn", "tensorrt", "openvino"), ("int8", "uint8"), ("uint8", "int8", "uint16", "int16"), ("--asymmetric-activations", "--symmetric-activations")):
        options = ["--data", "x.npz", *target(name), "--weights", bits, "--activations", activations, sign]
        yield f"static {name} {bits} x {activations} {sign[2:4]}", options, 20
        if name in ("ort", "portable") and activations.endswith("8"):
            yield f"qoperator {name} {bits} x {activations} {sign[2:4]}", [*options, "--qoperator"], 20
    for bits in list(BITS)[8:]:
        for name in ("ort", "portable"):
            yield f"weights {name} {bits}", ["--mode", "weights", *target(name), "--weights", bits], BITS[bits]


def run(path, samples, optimized):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([np.ravel(session.run(None, {"x": sample})[0]) for sample in samples]).astype(np.float64)


def decibel(a, b):
    noise = ((a - b) ** 2).sum()
    return np.inf if noise == 0 else 10 * np.log10((a**2).sum() / noise)


def check(name):
    """What went wrong, and how many files were written, left as they were, or refused."""
    case = dict(cases())[name]
    lines, counts = [], [0, 0, 0]
    with tempfile.TemporaryDirectory() as folder:
        path, data = os.path.join(folder, "float.onnx"), os.path.join(folder, "x.npz")
        onnx.save(case.model(), path)
        x = case.samples()
        np.savez(data, x=x)
        samples = np.split(x, SAMPLES)
        try:
            reference = run(path, samples, True)
        except Exception as error:
            # onnxruntime itself does not run the float model.
            return [f"{name:28s} left out: {str(error)[:120]}"], counts, True
        good = True
        for way, options, bound in ways(name in ALL_WAYS):
            out = os.path.join(folder, "out.onnx")
            given = [data if option == "x.npz" else option for option in options]
            code, told, err = tool("quantize", path, *given, "--spare", "0", "--rounding", "nearest", "--skip", "correct-bias",
                                "-o", out, "-q", "--force", "--engine-in-process", "--threads", "1")
            label = f"{name:28s} {way:44s}"
            if code:
                counts[2] += 1
                # Nothing done is written, and the report says why.
                undone = [line for line in told.splitlines() if "nothing was quantized" in line]
                said = err.strip().splitlines() or undone
                if not said or code not in (1, 2, 3) or "panic" in err:
                    good = False
                    lines.append(f"{label} FAILED with status {code}: {err.strip()[:200]}")
                else:
                    lines.append(f"{label} refused: {said[0][:150]}")
                continue
            kinds = {tensor.data_type for tensor in onnx.load(out).graph.initializer}
            untouched = kinds <= {TensorProto.FLOAT, TensorProto.INT64}
            counts[1 if untouched else 0] += 1
            try:
                plain, usual = run(out, samples, False), run(out, samples, True)
            except Exception as error:
                good = False
                lines.append(f"{label} FAILED: {' '.join(str(error).split())[:260]}")
                continue
            kept, agree = decibel(reference, usual), decibel(plain, usual)
            enough = min(AGREE, decibel(reference, plain) + ABOVE_NOISE)
            bad = kept < bound or agree < min(enough, AGREE)
            good = good and not bad
            lines.append(f"{label} {'MISSED ' if bad else ''}{kept:.1f} dB of {bound}, {agree:.1f} dB between both" + (", untouched" if untouched else ""))
    return lines, counts, good


def main():
    words = [word for word in sys.argv[1:] if word != "-v"]
    names = [name for name, _ in cases() if not words or any(word in name for word in words)]
    good, counts = True, [0, 0, 0]
    with multiprocessing.Pool(2) as pool:
        for lines, found, fine in pool.imap(check, names):
            good = good and fine
            counts = [a + b for a, b in zip(counts, found)]
            wanted = [line for line in lines if "-v" in sys.argv or "FAILED" in line or "MISSED" in line or "left out" in line]
            if wanted:
                print("\n".join(wanted), flush=True)
    written, untouched, refused = counts
    print(f"{len(names)} models: {written} quantized files, {untouched} without integers, {refused} refused")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
