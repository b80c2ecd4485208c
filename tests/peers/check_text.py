"""Checks the text form against onnx.parser and onnx.printer.

usage: check_text.py TEXT_FORM MODEL.onnx...

TEXT_FORM is the built example `text_form`, which prints a model (.onnx or text) in full. For each
model given, each node test of onnx, and each model of `function_models.py`:

1. what we print must be read by onnx.parser, and be the same model in everything that the syntax
   can say;
2. what we print must be read by us, and print as the same text;
3. what onnx.printer prints must be read by us, and print as the same text as the file itself.

Two differences are expected among fixtures/graphs: `sparse_init` (the syntax has no sparse
initializers) and `unsorted` (our reader sorts the nodes). onnx.printer shows neither defaults nor
types inside of functions, so those are left out of the third.
"""

import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import onnx
import onnx.parser
import onnx.printer
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

import function_models

warnings.simplefilter("ignore")


def printed(text_form, path):
    done = subprocess.run([text_form, path], capture_output=True, text=True)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip())
    return done.stdout


def same_tensor(a, b):
    if a.data_type != b.data_type or list(a.dims) != list(b.dims):
        return False
    x, y = numpy_helper.to_array(a), numpy_helper.to_array(b)
    return x.tobytes() == y.tobytes() or bool(numpy.all(x == y))


def same_attribute(a, b):
    if a.name != b.name or a.type != b.type:
        return False
    if a.type == onnx.AttributeProto.TENSOR:
        return same_tensor(a.t, b.t)
    if a.type == onnx.AttributeProto.GRAPH:
        return not list(graph_differences(a.g, b.g))
    for message in (a, b):
        message.doc_string = ""
    return a == b


def graph_differences(a, b):
    if a.name != b.name:
        yield "graph name"
    for field in ("input", "output", "value_info"):
        x, y = getattr(a, field), getattr(b, field)
        if [(v.name, v.type) for v in x] != [(v.name, v.type) for v in y]:
            yield f"{field} of {a.name}"
    tensors = {t.name: t for t in b.initializer}
    if {t.name for t in a.initializer} != set(tensors):
        yield f"initializers of {a.name}"
    for tensor in a.initializer:
        if tensor.name in tensors and not same_tensor(tensor, tensors[tensor.name]):
            yield f"initializer {tensor.name}"
    if len(a.node) != len(b.node):
        yield f"number of nodes of {a.name}"
    for x, y in zip(a.node, b.node):
        key = lambda n: (n.op_type, n.domain, n.name, n.overload, list(n.input), list(n.output))
        if key(x) != key(y):
            yield f"node {key(x)} / {key(y)}"
        elif len(x.attribute) != len(y.attribute):
            yield f"number of attributes of {x.name}"
        for p, q in zip(x.attribute, y.attribute):
            if not same_attribute(p, q):
                yield f"attribute {p.name} of {x.name} ({x.op_type})"


def function_differences(a, b):
    for field in ("name", "domain", "overload", "input", "output", "attribute", "opset_import", "value_info"):
        if getattr(a, field) != getattr(b, field):
            yield f"{field} of function {a.name}"
    if len(a.attribute_proto) != len(b.attribute_proto):
        yield f"number of defaults of function {a.name}"
    for x, y in zip(a.attribute_proto, b.attribute_proto):
        if not same_attribute(x, y):
            yield f"default {x.name} of function {a.name}"
    for difference in graph_differences(onnx.GraphProto(node=a.node), onnx.GraphProto(node=b.node)):
        yield f"{difference} in function {a.name}"


def check(text_form, path, folder):
    """What differs. `text_form` prints models; `folder` is for files."""
    model = onnx.load(path)
    ours = printed(text_form, path)
    theirs = onnx.parser.parse_model(ours)
    header = lambda m: (m.ir_version, [(o.domain, o.version) for o in m.opset_import])
    if header(model) != header(theirs):
        yield "header"
    yield from graph_differences(model.graph, theirs.graph)
    if len(model.functions) != len(theirs.functions):
        yield "number of functions"
    for a, b in zip(model.functions, theirs.functions):
        yield from function_differences(a, b)
    file = Path(folder, "ours.txt")
    file.write_text(ours)
    if printed(text_form, file) != ours:
        yield "our text reads back differently"
    # What onnx.printer does not show.
    for function in model.functions:
        del function.attribute_proto[:], function.value_info[:]
        function.ClearField("doc_string")
    stripped, file = Path(folder, "stripped.onnx"), Path(folder, "theirs.txt")
    onnx.save(model, stripped)
    file.write_text(onnx.printer.to_text(model))
    if printed(text_form, file) != printed(text_form, stripped):
        yield "onnx.printer's text reads back differently"


def corpora(paths):
    """Names and models: the files, the node tests of onnx, and models with functions."""
    with tempfile.TemporaryDirectory() as folder:
        yield "files", paths
        tests = {c.name: c.model for c in collect_testcases(None) if c.model is not None}
        functions = {name: model for name, model, _ in function_models.models()}
        for name, models in {"node tests": tests, "models with functions": functions}.items():
            files = []
            for test, model in models.items():
                files.append(Path(folder, f"{name.split()[0]}-{test}.onnx"))
                onnx.save(model, files[-1])
            yield name, files


def attempt(text_form, path):
    with tempfile.TemporaryDirectory() as folder:
        try:
            return list(check(text_form, path, folder))
        except Exception as error:  # the report goes on with the next model
            return [str(error).replace("\n", " ")]


def main(text_form, *paths):
    failed = 0
    for name, files in corpora(paths):
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda path: attempt(text_form, path), files))
        print(f"{name}: {results.count([])} of {len(files)} the same")
        for path, differences in zip(files, results):
            for difference in differences:
                print(f"  {Path(path).name}: {difference}")
        failed += len(files) - results.count([])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
