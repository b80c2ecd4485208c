#!/usr/bin/env python3
"""Compares `onnxpress convert --infer-shapes` with `onnx.shape_inference` and with executions.

    check_shapes.py [--verbose]

Corpus: the node tests of `onnx`, all fixtures, every shared model. What files declare about inner
values and outputs is taken away first, so that everything found is inferred.

Peer: for every inner value, does one know more than the other? Execution: every extent that is
found, evaluated with the extents of the inputs, must be that of the value in a run. For node tests
the run is the expected output of the test; they are tried as they are, with constant integer inputs,
and with every axis of the other inputs left open. Models run in ONNX Runtime, at two sizes of their
open axes, with every inner value as an output.

Prints counts; exit status 1 when something is contradicted.
"""
import argparse
import collections
import glob
import itertools
import math
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from common import MODELS, ROOT, session, tool

# Sizes of open axes that are tried until two of them run; one number for each axis, in turn.
# Large ones come first: a window that does not fit its axis is no valid run.
SIZES = [(2, 96, 64), (3, 128, 192), (2, 3, 5), (3, 4, 7), (1, 1, 1), (2, 2, 2), (1, 16, 8), (4, 4, 4), (1, 160, 320), (1, 512, 256), (1, 256, 64), (32, 32, 32), (64, 64, 64)]

# Where `onnx.shape_inference` is wrong, by operator, with the reason.
PEER_IS_WRONG = {}

THEIRS, OURS, EQUAL, CONTRADICT = "theirs knows more", "ours knows more", "equal", "contradict"


def bodies(graph):
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs


def walk(graph, path=""):
    yield path, graph
    for i, body in enumerate(bodies(graph)):
        yield from walk(body, f"{path}/{i}")


def shape(kind):
    """Extents of a tensor type: numbers, names, None; None alone when the rank is unknown."""
    if not kind.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim]


def stripped(model):
    """Without declarations of inner values; every output is the Identity of an inner value."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for _, graph in walk(result.graph):
        del graph.value_info[:]
    kinds = {o.name: o.type.WhichOneof("value") for o in result.graph.output}
    known = {i.name for i in result.graph.input} | {t.name for t in result.graph.initializer}
    outputs = [o.name for o in result.graph.output]
    del result.graph.output[:]
    for name in dict.fromkeys(outputs):
        if kinds[name] in ("tensor_type", None) and name not in known:
            result.graph.node.append(helper.make_node("Identity", [name], [name + "__out"]))
            result.graph.output.append(onnx.ValueInfoProto(name=name + "__out"))
        else:
            result.graph.output.append(onnx.ValueInfoProto(name=name))
    if not any(o.domain in ("", "ai.onnx") for o in result.opset_import):
        result.opset_import.append(helper.make_opsetid("", 17))
    return result


def found(model):
    """Element types and shapes that value_info lists: {(graph, value): (type, shape)}."""
    result = {}
    for path, graph in walk(model.graph):
        for value in graph.value_info:
            if value.type.HasField("tensor_type"):
                kind = value.type.tensor_type
                result[path, value.name] = kind.elem_type, shape(kind)
    return result


def infer(model):
    with tempfile.TemporaryDirectory() as folder:
        source, out = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
        onnx.save(model, source)
        code, _, error = tool("convert", source, "-o", out, "--infer-shapes")
        return (found(onnx.load(out)), None) if code == 0 else (None, error.strip().split("\n")[0])


def evaluate(extent, symbols):
    if isinstance(extent, str):
        names = {name: Fraction(n) for name, n in symbols.items()}
        return eval(extent, {"floor": lambda x: Fraction(math.floor(x)), "min": min, "max": max}, names)
    return extent


def compare(ours, theirs, names):
    """Which of two (type, shape) says more; `names` are the symbols of the inputs."""
    if theirs is None:
        return EQUAL if ours is None else OURS
    if ours is None:
        return THEIRS if theirs[0] else EQUAL
    if theirs[0] and theirs[0] != ours[0]:
        return CONTRADICT
    a, b = ours[1], theirs[1]
    if a is None or b is None:
        return EQUAL if a == b else OURS if b is None else THEIRS
    if len(a) != len(b):
        return CONTRADICT
    verdicts = {axis(x, y if isinstance(y, int) or y in names else None) for x, y in zip(a, b)}
    return next((v for v in (CONTRADICT, THEIRS, OURS) if v in verdicts), EQUAL)


def axis(ours, theirs):
    if ours == theirs:
        return EQUAL
    if theirs is None:
        return OURS
    if ours is None:
        return THEIRS
    if isinstance(ours, int) and isinstance(theirs, str):
        return OURS
    if isinstance(ours, str) and isinstance(theirs, str):
        # Names are upper bounds of what they may be: an expression says more, another name differs.
        return OURS if not ours.isidentifier() else CONTRADICT
    return CONTRADICT


def operators(model):
    return {(path, out): node.op_type for path, graph in walk(model.graph) for node in graph.node for out in node.output}


def input_names(model):
    return {d.dim_param for i in model.graph.input for d in i.type.tensor_type.shape.dim if d.dim_param}


class Tally:
    def __init__(self):
        self.counts, self.by_operator, self.wrong, self.refused = collections.Counter(), collections.Counter(), [], []

    def peer(self, name, model):
        model, _ = renamed(stripped(model))
        ours, error = infer(model)
        if error:
            self.counts["peer: not read by onnxpress"] += 1
            self.refused.append(f"{name}: {error}")
            return
        try:
            theirs = found(shape_inference.infer_shapes(model, strict_mode=False, data_prop=True))
        except Exception as error:
            self.counts["peer: not inferred by onnx"] += 1
            return
        names = input_names(model)
        for key, op in operators(model).items():
            if not key[1] or key[1].endswith("__out"):
                continue
            verdict = compare(ours.get(key), theirs.get(key), names)
            if verdict == CONTRADICT and op in PEER_IS_WRONG:
                verdict = "contradicts, and onnx is wrong"
            self.counts["peer: " + verdict] += 1
            if verdict == THEIRS:
                self.by_operator[op] += 1
            if verdict in (CONTRADICT, THEIRS):
                self.wrong.append(f"{name}: {op} `{key[1]}`: {verdict}: ours {ours.get(key)}, theirs {theirs.get(key)}")

    def run(self, name, model, shapes, actual, symbols):
        """`shapes`: what was found; `actual`: {value: array} of a run with these extents."""
        ops = operators(model)
        for value, array in actual.items():
            if ("", value) not in ops or not isinstance(array, np.ndarray):
                continue
            kind, dims = shapes.get(("", value), (None, None))
            expected = helper.np_dtype_to_tensor_dtype(array.dtype) if array.dtype != object else TensorProto.STRING
            good = kind in (None, expected) or expected in (TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16) and kind > 16
            self.counts["run: types " + ("unknown" if kind is None else "right")] += good
            try:
                values = None if dims is None else [evaluate(d, symbols) for d in dims]
                rank = values is None or len(values) == array.ndim
                good = good and rank and all(v is None or v == n for v, n in zip(values or [], array.shape))
            except ZeroDivisionError:
                good, values = False, ["division by 0"]
            self.counts["run: extents known"] += sum(v is not None for v in values or [])
            self.counts["run: extents unknown"] += array.ndim - sum(v is not None for v in values or [])
            if not good:
                self.counts["run: " + CONTRADICT] += 1
                self.wrong.append(f"{name}: {ops['', value]} `{value}`: found {kind} {dims} = {values}, executed {array.dtype} {array.shape} {symbols}")

    def case(self, test):
        """A node test: the expected outputs are the run."""
        self.peer(test.name, test.model)
        for given, outputs in test.data_sets[:1]:
            actual = dict(zip((o.name for o in test.model.graph.output), outputs))
            for how in ("as it is", "constants", "open"):
                model, symbols = opened(stripped(test.model), given, how)
                shapes, error = infer(model)
                if error:
                    self.counts["run: not read by onnxpress"] += 1
                else:
                    self.counts[f"run: node tests, {how}"] += 1
                    self.run(f"{test.name} ({how})", model, shapes, actual, symbols)

    def file(self, path):
        name = os.path.basename(path)
        model = onnx.load(path)
        self.peer(name, model)
        model, axes = renamed(stripped(model))
        shapes, error = infer(model)
        if error:
            self.counts["run: not read by onnxpress"] += 1
            return
        try:
            run = tapped(model)
        except Exception as error:
            self.counts["run: not run by ONNX Runtime"] += 1
            return
        runs = 0
        for sizes in SIZES if axes else SIZES[:1]:
            symbols = dict(zip(axes, itertools.cycle(sizes)))
            try:
                actual = run(symbols)
            except Exception:
                continue
            runs += 1
            self.run(name, model, shapes, actual, symbols)
            if runs == 2:
                break
        self.counts[f"run: files, {runs} sizes"] += 1


def opened(model, given, how):
    """Integer inputs become constants, axes of the others symbols: one for each extent."""
    symbols = {}
    if how == "as it is":
        return model, symbols
    inputs = list(zip(list(model.graph.input), given))
    del model.graph.input[:]
    for value, array in inputs:
        tensor = isinstance(array, np.ndarray) and value.type.HasField("tensor_type")
        if tensor and array.dtype in (np.int64, np.int32, bool) and array.size <= 64 and array.ndim <= 1:
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
            continue
        model.graph.input.append(value)
        if tensor and how == "open":
            for dim, extent in zip(value.type.tensor_type.shape.dim, array.shape):
                symbols[f"s{extent}"] = extent
                dim.dim_param = f"s{extent}"
    return model, symbols


def renamed(model):
    """Names of open axes that Python can evaluate, and one for each axis without."""
    names = {}
    given = {t.name for t in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in given:
            for i, dim in enumerate(value.type.tensor_type.shape.dim):
                if not dim.HasField("dim_value") or dim.dim_value < 0:
                    key = dim.dim_param or f"{value.name}.{i}"
                    dim.dim_param = names.setdefault(key, f"d{len(names)}")
    return model, list(names.values())


def tapped(model):
    """Runs a model with random inputs; every inner value of the main graph is an output."""
    tap = onnx.ModelProto()
    tap.CopyFrom(model)
    inner = [out for node in model.graph.node for out in node.output if out]
    have = {o.name for o in tap.graph.output}
    tap.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in have)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(tap.SerializeToString())
        file.flush()
        run = session(file.name)
    given = {t.name for t in model.graph.initializer}
    rng = np.random.default_rng(7)

    def once(symbols):
        feeds = {}
        for value in model.graph.input:
            if value.name in given:
                continue
            kind = value.type.tensor_type
            dims = [symbols.get(d.dim_param, d.dim_value) for d in kind.shape.dim]
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
            drawn = rng.standard_normal(dims) if np.issubdtype(dtype, np.floating) else rng.integers(0, 2, dims)
            feeds[value.name] = np.asarray(drawn).astype(dtype)
        names = [o.name for o in run.get_outputs()]
        return dict(zip(names, run.run(None, feeds)))

    return once


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    from onnx.backend.test.case.node import collect_testcases

    tally = Tally()
    cases = [c for c in collect_testcases(None) if c.model is not None and args.only in c.name]
    files = glob.glob(os.path.join(ROOT, "fixtures", "**", "*.onnx"), recursive=True)
    files += glob.glob(os.path.join(MODELS, "*.onnx"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(tally.case, cases))
        list(pool.map(tally.file, sorted(f for f in files if args.only in f)))
    for key, count in sorted(tally.counts.items()):
        print(f"{count:8} {key}")
    if tally.by_operator:
        print("theirs knows more, by operator:", dict(tally.by_operator.most_common()))
    for text in tally.refused if args.verbose else []:
        print("  not read by onnxpress: " + text)
    for text in tally.wrong:
        if args.verbose or THEIRS not in text:
            print("  " + text)
    bad = tally.counts["peer: " + CONTRADICT] + tally.counts["run: " + CONTRADICT]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
