"""Writes operators.txt, the table of all ONNX operators, from the Python package `onnx` 1.23.2.

    pip install onnx==1.23.2 && python src/ir/schema/make_operators.py > src/ir/schema/operators.txt
"""

import re

import onnx
from onnx import defs

PINNED = "1.23.2"
UNLIMITED = 2**31 - 1
KINDS = {
    "FLOAT": "f", "INT": "i", "STRING": "s", "TENSOR": "t", "GRAPH": "g", "TYPE_PROTO": "y", "SPARSE_TENSOR": "p",
    "FLOATS": "F", "INTS": "I", "STRINGS": "S", "TENSORS": "T", "GRAPHS": "G", "TYPE_PROTOS": "Y", "SPARSE_TENSORS": "P",
}  # fmt: skip
# Bits above the numbers of TensorProto.DataType, for what is no dense tensor.
OTHER = {"seq": 32, "optional": 33, "map": 34, "sparse_tensor": 35}
HEADER = """\
# Operators of ONNX, made by make_operators.py from onnx {version}: do not edit.
# A line `@ domain`, then one line for each version of an operator, in columns divided by tabs:
# name, since version (`x` behind it: deprecated), inputs min-max>outputs min-max (`*`: unlimited),
# inputs, outputs, attributes, type variables.
# Input or output: name, `?` optional or `*` variadic or `~` variadic of mixed types, `:`, and a type
# variable or `=` and a set of types. A set is a hexadecimal mask: bit n is element type n of
# TensorProto.DataType, bits 32..35 are sequences, optionals, maps and sparse tensors.
# Attribute: name, `!` required, `:`, type (f i s t g y p, capital letters for lists).
"""


def mask(types):
    bits = 0
    for text in types:
        kind, inner = re.fullmatch(r"(\w+)\((.*)\)", text).groups()
        bit = OTHER.get(kind)
        if bit is None:
            assert kind == "tensor", text
            bit = onnx.TensorProto.DataType.Value(inner.upper())
        bits |= 1 << bit
    return f"{bits:x}"


def formal(parameter, variables):
    option = defs.OpSchema.FormalParameterOption
    mark = {option.Optional: "?", option.Single: ""}.get(parameter.option)
    if mark is None:
        mark = "*" if parameter.is_homogeneous else "~"
    known = parameter.type_str in variables
    return f"{parameter.name}{mark}:{parameter.type_str if known else '=' + mask(parameter.types)}"


def count(lowest, highest):
    return f"{lowest}-{'*' if highest == UNLIMITED else highest}"


def line(schema):
    variables = {c.type_param_str: mask(c.allowed_type_strs) for c in schema.type_constraints}
    arity = f"{count(schema.min_input, schema.max_input)}>{count(schema.min_output, schema.max_output)}"
    attributes = (
        f"{name}{'!' if a.required else ''}:{KINDS[a.type.name]}" for name, a in sorted(schema.attributes.items())
    )
    columns = (
        [schema.name],
        [f"{schema.since_version}{'x' if schema.deprecated else ''}"],
        [arity],
        (formal(p, variables) for p in schema.inputs),
        (formal(p, variables) for p in schema.outputs),
        attributes,
        (f"{name}={bits}" for name, bits in sorted(variables.items())),
    )
    return "\t".join(" ".join(column) for column in columns)


def main():
    assert onnx.__version__ == PINNED, f"expected onnx {PINNED}, found {onnx.__version__}"
    print(HEADER.format(version=PINNED), end="")
    schemas = defs.get_all_schemas_with_history()
    for domain in sorted({schema.domain for schema in schemas}):
        print(f"@ {domain or 'ai.onnx'}")
        own = (schema for schema in schemas if schema.domain == domain)
        for schema in sorted(own, key=lambda s: (s.name, s.since_version)):
            print(line(schema))


main()
