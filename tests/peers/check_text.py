"""Checks the text form against onnx.parser and onnx.printer.

usage: check_text.py TEXT_FORM MODEL.onnx...

TEXT_FORM is the built example `text_form`, which prints a model (.onnx or text) in full. For each
model:

1. what we print must be read by onnx.parser, and be the same model in everything that the syntax
   can say;
2. what onnx.printer prints must be read by us, and print as the same text as the file itself.

Two differences are expected among fixtures/graphs: `sparse_init` (the syntax has no sparse
initializers) and `unsorted` (our reader sorts the nodes).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import onnx
import onnx.parser
import onnx.printer
from onnx import numpy_helper


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


def check(text_form, path):
    model = onnx.load(path)
    ours = printed(text_form, path)
    theirs = onnx.parser.parse_model(ours)
    header = lambda m: (m.ir_version, [(o.domain, o.version) for o in m.opset_import])
    if header(model) != header(theirs):
        yield "header"
    yield from graph_differences(model.graph, theirs.graph)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "theirs.txt")
        del model.functions[:]
        file.write_text(onnx.printer.to_text(model))
        again = printed(text_form, file)
    without_functions = "".join(
        line + "\n" for line in ours.splitlines() if not line.startswith("# function")
    )
    if again != without_functions:
        yield "onnx.printer's text reads back differently"


def main(text_form, *paths):
    failed = 0
    for path in paths:
        try:
            differences = list(check(text_form, path))
        except Exception as error:  # the report goes on with the next model
            differences = [str(error).replace("\n", " ")]
        print(f"{'differs' if differences else 'same':8}{path}")
        for difference in differences:
            print(f"        {difference}")
        failed += bool(differences)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
