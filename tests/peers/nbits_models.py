#!/usr/bin/env python3
"""`quantize --mode weights --weights int4` beside onnxruntime's MatMulNBits quantizers, on labelled shared models.

    nbits_models.py [NAME …]

4 bits in blocks of 32. Ours symmetric and asymmetric, without samples and with 128 calibration samples (data), and
without convert-nbits (pairs). Theirs: round to nearest, symmetric and asymmetric, HQQ and k_quant, as far as what they
need is installed; each Gemm is made a MatMul and an Add for them first, because they know MatMul alone. Measured in onnxruntime
on all test samples: top-1 in percent, and size and latency of one run by those of the float model (one thread,
medians of interleaved rounds). Last, how many of 64 samples tract puts into the class that onnxruntime finds.

Exit status 1 when ours cannot be made or run, our better one is behind the best of theirs (or the float model, when that
is less) by more than MOST_POINTS with samples or PLAIN_POINTS without (theirs leaves Conv and tables in float, in files
up to five times as large), our file is larger than theirs, slower than the pairs, or tract agrees on less than
AGREEMENT.
"""
import os
import subprocess
import sys
import tempfile

from common import TOOL, manifest, model_path
from compare_quantize import outputs, top1, write
from dynamic_models import agreement, latencies
from real_inputs import labelled

NAMES = ["mnist_mlp", "cifar_vit", "sst2_transformer"]
MOST_POINTS, PLAIN_POINTS, SIZE, LATENCY, AGREEMENT = 0.003, 0.015, 1.03, 1.2, 0.95


def without_gemm(model):
    """The model with a MatMul and an Add for each Gemm of a constant matrix."""
    import onnx
    from onnx import helper, numpy_helper

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        plain = not attributes.get("transA") and attributes.get("alpha", 1) == attributes.get("beta", 1) == 1
        if node.op_type != "Gemm" or not plain or node.input[1] not in stored:
            nodes.append(node)
            continue
        matrix = node.input[1]
        if attributes.get("transB"):
            turned = numpy_helper.to_array(stored[matrix]).T.copy()
            matrix += "_turned"
            model.graph.initializer.append(numpy_helper.from_array(turned, matrix))
        product = node.output[0] + "_product" if len(node.input) > 2 else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], matrix], [product], name=node.name + "_product"))
        if len(node.input) > 2:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=node.name))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    return model


def theirs(path, folder):
    """Files that onnxruntime's quantizers make, by name; those that fail are missing."""
    import logging

    import onnx
    from onnxruntime.quantization import matmul_nbits_quantizer as nbits

    logging.disable(logging.CRITICAL)
    configs = {
        "nearest": lambda: nbits.DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, accuracy_level=4),
        "asymmetric": lambda: nbits.DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=False, accuracy_level=4),
        "hqq": lambda: nbits.HQQWeightOnlyQuantConfig(block_size=32),
        "k_quant": lambda: nbits.KQuantWeightOnlyQuantConfig(),
    }
    files = {}
    for name, config in configs.items():
        out = os.path.join(folder, f"theirs_{name}.onnx")
        try:
            model = without_gemm(onnx.load(path))
            quantizer = nbits.MatMulNBitsQuantizer(model, bits=4, block_size=32, algo_config=config())
            quantizer.process()
            quantizer.model.save_model_to_file(out)
        except (Exception, SystemExit) as error:
            print(f"  {name} of theirs failed: {str(error)[:80]}")
            continue
        files[name] = out
    return files


def judge(name, entry):
    calib, test, labels = labelled(name, entry)
    model = model_path(name)
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "calib.npz")
        write(data, calib)
        files = {"float": model}
        variants = {
            "ours": [], "ours asymmetric": ["--asymmetric-weights"], "ours data": ["--data", data],
            "ours asymmetric data": ["--asymmetric-weights", "--data", data], "ours pairs": ["--skip", "convert-nbits"],
        }
        for variant, options in variants.items():
            out = os.path.join(folder, variant.replace(" ", "_") + ".onnx")
            command = [TOOL, "quantize", model, "--mode", "weights", "--weights", "int4", "-o", out, "-q", *options]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"{name}: {variant}: {done.stderr.strip()}")
                return False
            files[variant] = out
        files.update(theirs(model, folder))
        times = dict(zip(files, latencies(list(files.values()), test[0])))
        rows = {}
        for variant, path in files.items():
            size = os.path.getsize(path) / os.path.getsize(model)
            rows[variant] = (top1(entry, outputs(path, test), labels), size, times[variant] / times["float"])
            accuracy, size, time = rows[variant]
            print(f"{name:18} {variant:22} {100 * accuracy:6.1f} {size:6.3f} {time:6.2f}", flush=True)
        agrees = agreement(files["ours data"], test[:64], entry, folder)
    print(f"{name:18} {'tract agrees':22} {100 * agrees:6.1f}", flush=True)
    best = max(row[0] for variant, row in rows.items() if not variant.startswith("ours") and variant != "float")
    # What is above the float model is chance.
    best = min(best, rows["float"][0])
    smallest = min(row[1] for variant, row in rows.items() if not variant.startswith("ours"))
    plain = max(rows["ours"][0], rows["ours asymmetric"][0])
    chosen = max(rows["ours data"][0], rows["ours asymmetric data"][0])
    good = chosen >= best - MOST_POINTS and plain >= best - PLAIN_POINTS and rows["ours"][1] <= smallest * SIZE
    return good and rows["ours"][2] <= rows["ours pairs"][2] * LATENCY and agrees >= AGREEMENT


def main():
    entries = {name: entry.get("eval") for name, entry in manifest().items()}
    print(f"{'model':18} {'file':22} {'top-1':>6} {'size':>6} {'time':>6}")
    found = [judge(name, entries[name]) for name in sys.argv[1:] or NAMES]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
