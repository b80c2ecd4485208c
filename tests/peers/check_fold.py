#!/usr/bin/env python3
"""`simplify --only fold-exact` against the node tests of `onnx`: what is folded without an engine must be
the expected output, bit by bit (one NaN counts as good as another).

    check_fold.py

Each node test whose inputs are dense tensors becomes a model of constants, with an Identity behind each
output, since outputs of a graph are not folded.
"""
import collections
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from common import TOOL

warnings.filterwarnings("ignore")

# Fewer folded nodes mean that the check no longer reaches what it is for.
LEAST = 400


def constants(test):
    """The test as a model without inputs; None when an input is no dense tensor."""
    arrays = test.data_sets[0][0]
    if any(o.domain for o in test.model.opset_import) or any(isinstance(a, (list, dict)) or a is None for a in arrays):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    for value, array in zip(model.graph.input, arrays):
        tensor = onnx.TensorProto()
        tensor.CopyFrom(array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(np.asarray(array)))
        tensor.name = value.name
        model.graph.initializer.append(tensor)
    del model.graph.input[:]
    for output in model.graph.output:
        model.graph.node.append(helper.make_node("Identity", [output.name], [output.name + "_copy"]))
        output.name += "_copy"
    model.ir_version = max(model.ir_version, 8)
    return model


def equal(found, expected):
    if found.shape != expected.shape:
        return False
    if found.dtype.kind in "OUS":
        return bool((found == expected).all())
    found = found.astype(expected.dtype)
    return found.tobytes() == expected.tobytes() or bool(((found == expected) | ((found != found) & (expected != expected))).all())


def main():
    folded, bad = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        source, out = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
        for test in collect_testcases(None):
            model = constants(test)
            if model is None:
                continue
            onnx.save(model, source)
            limits = ["--max-fold-bytes", "10000000", "--max-fold-total", "100000000"]
            done = subprocess.run([TOOL, "simplify", source, "-o", out, "--force", "--only", "fold-exact", "--check", "0", "-q", *limits], capture_output=True)
            if done.returncode != 0:
                continue
            made = {tensor.name: tensor for tensor in onnx.load(out).graph.initializer}
            for output, expected in zip(test.model.graph.output, test.data_sets[0][1]):
                if output.name not in made or isinstance(expected, (list, dict)):
                    continue
                if isinstance(expected, onnx.TensorProto):
                    expected = numpy_helper.to_array(expected)
                folded[test.model.graph.node[-1].op_type] += 1
                if not equal(numpy_helper.to_array(made[output.name]), np.asarray(expected)):
                    bad += 1
                    print(f"{test.name}: `{output.name}` differs")
    count = sum(folded.values())
    print(f"{count} outputs folded, of {len(folded)} operators, {bad} differ")
    if bad or count < LEAST:
        sys.exit(f"failed: {bad} differ, {count} folded")


if __name__ == "__main__":
    main()
