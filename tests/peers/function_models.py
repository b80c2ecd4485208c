"""Models with model-local functions, made from what ONNX says about its own operators.

Many operators are defined as functions of others. Each node test of such an operator becomes a
model that calls a local function with that body, and nodes of the body that are defined so
themselves become calls, too. Attributes keep the defaults of the operator's schema.
"""
import onnx
from onnx import defs, helper
from onnx.backend.test.case.node import collect_testcases

DOMAIN = "local"


def body(schema, version):
    """The body for models of this version, or None."""
    if schema.has_function:
        for given in reversed(schema.function_opset_versions):
            if given <= version:
                function = onnx.FunctionProto()
                function.ParseFromString(schema.get_function_with_opset_version(given))
                return function
    return None


def localize(nodes, version, functions):
    """Turns the nodes that have a body into calls; adds the functions they need, callees first."""
    for node in nodes:
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                localize(graph.node, version, functions)
        if node.domain not in ("", "ai.onnx"):
            continue
        schema = defs.get_schema(node.op_type, version, "")
        function = body(schema, version)
        if function is None:
            continue
        name = node.op_type
        if name not in functions:
            function.domain = DOMAIN
            del function.attribute[:]
            for key, attribute in sorted(schema.attributes.items()):
                if attribute.default_value.name:
                    default = function.attribute_proto.add()
                    default.CopyFrom(attribute.default_value)
                    default.name = key
                else:
                    function.attribute.append(key)
            del function.opset_import[:]
            function.opset_import.extend(
                [helper.make_opsetid("", version), helper.make_opsetid(DOMAIN, 1)])
            localize(function.node, version, functions)
            functions[name] = function
        node.domain = DOMAIN


def models():
    """Name, model and data sets (inputs, outputs), one for each node test that has a body."""
    for case in collect_testcases(None):
        if case.model is None:
            continue
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        version = next((o.version for o in model.opset_import if not o.domain), 0)
        functions = {}
        try:
            localize(model.graph.node, version, functions)
        except defs.SchemaError:
            continue
        if functions:
            model.functions.extend(functions.values())
            model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
            model.ir_version = max(model.ir_version, 10)
            yield case.name, model, case.data_sets
