"""Small models with operators that the built-in engine does not run: attention in one operator, group
normalisation. Each is a projection in front, the operator, and a projection behind."""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEADS, KEYS, SIZE, STEPS = 6, 6, 3, 8, 5


def save(folder, name, opset, nodes, weights, shape=("N", STEPS, WIDTH), result=None, integers={}):
    random = np.random.default_rng(0)
    stored = [numpy_helper.from_array(random.standard_normal(dims).astype(np.float32), key) for key, dims in weights.items()]
    stored += [numpy_helper.from_array(array, key) for key, array in integers.items()]
    port = lambda key, dims: helper.make_tensor_value_info(key, TensorProto.FLOAT, dims)
    graph = helper.make_graph(nodes, "g", [port("x", shape)], [port("y", result or shape)], stored)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    path = os.path.join(folder, name + ".onnx")
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def make(folder):
    node = helper.make_node
    full, part = HEADS * SIZE, KEYS * SIZE
    qkv = [node("MatMul", ["x", w], [w[1:]]) for w in ("wq", "wk", "wv")] + [node("MatMul", ["a", "wo"], ["y"])]
    weights = lambda keys: {"wq": (WIDTH, full), "wk": (WIDTH, keys), "wv": (WIDTH, keys), "wo": (full, WIDTH)}
    ordered = lambda projections, attention: projections[:3] + [attention] + projections[3:]
    yield save(folder, "multi_head", 17, ordered(qkv, node(
        "MultiHeadAttention", ["q", "k", "v"], ["a"], domain="com.microsoft", num_heads=HEADS)), weights(full))
    for name, keys, heads in (("attention_3d", full, HEADS), ("attention_grouped", part, KEYS)):
        yield save(folder, name, 23, ordered(qkv, node(
            "Attention", ["q", "k", "v"], ["a"], q_num_heads=HEADS, kv_num_heads=heads)), weights(keys))
    lengths = {"past": np.array([STEPS - 1], np.int32), "total": np.array(STEPS, np.int32)}
    yield save(folder, "group_query", 17, ordered(qkv, node(
        "GroupQueryAttention", ["q", "k", "v", "", "", "past", "total"], ["a"], domain="com.microsoft",
        num_heads=HEADS, kv_num_heads=KEYS)), weights(part), (1, STEPS, WIDTH), integers=lengths)
    yield save(folder, "packed", 17, [
        node("Attention", ["x", "w", "b"], ["a"], domain="com.microsoft", num_heads=HEADS),
        node("MatMul", ["a", "wo"], ["y"])], {"w": (WIDTH, 3 * full), "b": (3 * full,), "wo": (full, WIDTH)})
    yield save(folder, "group_norm", 21, [
        node("Conv", ["x", "c"], ["h"]), node("GroupNormalization", ["h", "s", "o"], ["n"], num_groups=4),
        node("Conv", ["n", "d"], ["y"])], {"c": (8, 3, 1, 1), "s": (8,), "o": (8,), "d": (2, 8, 1, 1)}, ("N", 3, 4, 4), ("N", 2, 4, 4))
