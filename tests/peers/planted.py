"""Node tests of `onnx` with numbers planted that are hard to compute with, and what ONNX Runtime makes of them."""
import copy
import warnings
import zlib

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

warnings.filterwarnings("ignore")

# Newer versions than what ONNX Runtime knows are written as this one.
NEWEST_OPSET, NEWEST_IR = 26, 11

# Drawn anew in each run, or nothing that an inference model has.
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Dropout", "ImageDecoder"}

FLOATS = (np.float16, np.float32, np.float64)

# Share of elements that are replaced.
SHARE = 1 / 4


def extremes(dtype):
    return np.finfo(dtype).max


# What takes the place of some elements.
PLANTED = {
    "plain": lambda dtype: [],
    "nan": lambda dtype: [np.nan],
    "infinite": lambda dtype: [np.inf, -np.inf],
    "negative infinite": lambda dtype: [-np.inf],
    "large": lambda dtype: [1e30, -1e30, 1e10, -1e10] if dtype != np.float16 else [3e4, -3e4],
    "spread": lambda dtype: [200.0, -200.0, 100.0, -100.0, 20.0, -20.0],
    "small": lambda dtype: [1e-40, -1e-40, 0.0, -0.0],
    "extreme": lambda dtype: [extremes(dtype), -extremes(dtype)],
}


def plant(array, kind, generator):
    """`array` with some elements replaced, at least one; whole rows at times."""
    if array.dtype.type not in FLOATS or not array.size or kind == "plain":
        return array
    values = np.array(PLANTED[kind](array.dtype.type), np.float64)
    flat = array.copy().reshape(-1)
    chosen = generator.random(flat.size) < SHARE
    chosen[generator.integers(flat.size)] = True
    if array.ndim > 1 and generator.random() < 0.5:
        row = generator.integers(flat.size // array.shape[-1]) * array.shape[-1]
        chosen[row : row + array.shape[-1]] = True
    with np.errstate(all="ignore"):
        flat[chosen] = generator.choice(values, int(chosen.sum())).astype(array.dtype)
    return flat.reshape(array.shape)


def as_array(value):
    if isinstance(value, onnx.TensorProto):
        return None if value.data_type == onnx.TensorProto.STRING else numpy_helper.to_array(value)
    return np.asarray(value)


def tests():
    """`(name, model, arrays)` of the node tests whose inputs are dense numbers and that ONNX Runtime could know."""
    for test in collect_testcases(None):
        if any(node.op_type in RANDOM for node in test.model.graph.node) or not test.data_sets:
            continue
        given = test.data_sets[0][0]
        if any(isinstance(value, (list, dict)) or value is None for value in given):
            continue
        arrays = [as_array(value) for value in given]
        if any(array is None or array.dtype.kind in "OUS" for array in arrays):
            continue
        model = copy.deepcopy(test.model)
        model.ir_version = min(max(model.ir_version, 8), NEWEST_IR)
        for entry in model.opset_import:
            if entry.domain == "":
                entry.version = min(entry.version, NEWEST_OPSET)
        yield test.name, model, arrays


# What is planted in functions that are spelled out; their operators are tried alone, too.
FEW = ("plain", "infinite", "spread")


def variants(name, arrays):
    """`(kind, arrays)` for each kind of planted numbers, the same in every run."""
    for kind in FEW if "_expanded" in name else PLANTED:
        generator = np.random.default_rng(zlib.crc32(f"{name} {kind}".encode()))
        changed = [plant(array, kind, generator) for array in arrays]
        if kind == "plain" or any(a is not b for a, b in zip(changed, arrays)):
            yield kind, changed


def holding(model, arrays, given):
    """The model with the arrays as initializers, but those whose index is in `given`."""
    made = copy.deepcopy(model)
    inputs = list(made.graph.input)
    del made.graph.input[:]
    for index, (value, array) in enumerate(zip(inputs, arrays)):
        if index in given:
            made.graph.input.append(value)
        else:
            made.graph.initializer.append(numpy_helper.from_array(array, value.name))
    return made


def apart(model):
    """The model with an Identity behind each output: outputs of a graph are not folded."""
    made = copy.deepcopy(model)
    for output in made.graph.output:
        made.graph.node.append(helper.make_node("Identity", [output.name], [output.name + "_copy"]))
        output.name += "_copy"
    return made


def reference(model, feed):
    """What ONNX Runtime computes without graph optimization; None when it does not run the model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, feed)
    except Exception:
        return None


# What functions that are spelled out lose by rounding on the way: exponents are differences of large numbers.
OF_FUNCTIONS = 1e-3


def difference(name, found, expected, arrays):
    """Why two outputs are not the same but for rounding; None when they are."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return f"dims {list(found.shape)}, not {list(expected.shape)}"
    if expected.dtype.kind in "OUS":
        return None if (found == expected).all() else "other strings"
    if found.dtype != expected.dtype:
        return f"{found.dtype}, not {expected.dtype}"
    if expected.dtype.kind not in "f" and expected.dtype not in (ml_dtypes.bfloat16,):
        unequal = found.reshape(-1) != expected.reshape(-1)
        if not unequal.any():
            return None
        at = int(np.argmax(unequal))
        return f"{found.reshape(-1)[at]}, not {expected.reshape(-1)[at]}"
    step = float(np.finfo(expected.dtype).eps) if expected.dtype != ml_dtypes.bfloat16 else 2**-7
    found, expected = found.astype(np.float64).reshape(-1), expected.astype(np.float64).reshape(-1)
    # Sums cancel: what is small may be as wrong as what it is made of.
    made_of = [np.abs(a[np.isfinite(a)]).max(initial=0) for a in arrays if a.dtype.type in FLOATS]
    finite = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    with np.errstate(all="ignore"):
        of_functions = OF_FUNCTIONS * np.abs(expected) if "_expanded" in name else 0
        slack = of_functions + 64 * step * np.abs(expected) + 16 * step * min(max([finite, *made_of]), max(finite, 1.0)) + 1e-37
        same = (found == expected) | (np.isnan(found) & np.isnan(expected)) | (np.abs(found - expected) <= slack)
    same &= np.isfinite(found) == np.isfinite(expected)
    if same.all():
        return None
    at = int(np.argmin(same))
    return f"{found[at]}, not {expected[at]}"
