#!/usr/bin/env python3
"""Inlines model-local functions with `onnxpress convert --inline-functions` and compares.

    check_functions.py

Corpus: `function_models.py`. Each model must be written back byte by byte; inlined it must hold no
function, pass onnx.checker, and give the same bits as before in onnx's reference evaluator; where that
cannot run the functions, ONNX Runtime must give the outputs of the node test that the model was made
from. Prints counts; exit status 1 when a model fails.
"""
import collections
import os
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

import function_models
from common import session, tool

warnings.simplefilter("ignore")
# Different in each run.
RANDOM = ("bernoulli", "training_dropout")


def outputs(model, given):
    return ReferenceEvaluator(model).run(None, given)


def runs(path, given):
    try:
        session(path).run(None, given)
        return True
    except Exception:  # types it has no kernel for, and again the Loop of Range
        return False


def equal(a, b):
    if isinstance(a, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check(name, model, data_sets, folder):
    """What happened, and why it is wrong when it is."""
    path, out = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
    with open(path, "wb") as file:
        file.write(model.SerializeToString())
    code, _, err = tool("convert", path, "-o", out, "--force", "-q")
    if code:
        return "refused", err.strip()
    with open(path, "rb") as a, open(out, "rb") as b:
        if a.read() != b.read():
            return "changed", "convert changes the bytes"
    code, _, err = tool("convert", path, "--inline-functions", "-o", out, "--force", "-q")
    if code or err:
        return "not inlined", err.strip()
    plain = onnx.load(out)
    if plain.functions or any(o.domain == function_models.DOMAIN for o in plain.opset_import):
        return "not inlined", "functions are left"
    try:
        onnx.checker.check_model(plain)
    except onnx.checker.ValidationError as error:
        return "invalid", str(error)
    inputs, expected = data_sets[0]
    names = [value.name for value in model.graph.input]
    given = dict(zip(names, [onnx.numpy_helper.to_array(x) if hasattr(x, "raw_data") else x for x in inputs]))
    try:
        before = outputs(model, given)
    except Exception:  # the evaluator runs the Loop in the function of Range wrongly
        wanted = [onnx.numpy_helper.to_array(x) if hasattr(x, "raw_data") else x for x in expected]
        if not runs(path, given):
            return "inlined, not run", None
        found = session(out).run(None, given)
        if all(np.allclose(x, y, rtol=1e-3, atol=1e-5) for x, y in zip(wanted, found)):
            return "inlined, expected outputs", None
        return "different", "the outputs are not those of the node test"
    if any(word in name for word in RANDOM):
        return "inlined, random", None
    if all(equal(x, y) for x, y in zip(before, outputs(plain, given))):
        return "inlined, same outputs", None
    return "different", "the outputs differ"


def main():
    counts, failed, nested = collections.Counter(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for name, model, data_sets in function_models.models():
            try:
                what, why = check(name, model, data_sets, folder)
            except Exception as error:  # the report goes on with the next model
                what, why = "failed", f"{type(error).__name__}: {error}"
            counts[what] += 1
            nested += len(model.functions) > 1
            if why:
                failed += 1
                print(f"{what:16}{name}: {why}")
    print(f"{sum(counts.values())} models, {nested} with functions that call others")
    for what, count in sorted(counts.items()):
        print(f"{count:6} {what}")
    return 1 if failed or not counts else 0


if __name__ == "__main__":
    sys.exit(main())
