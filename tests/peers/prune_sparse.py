#!/usr/bin/env python3
"""`onnxpress prune --storage sparse`, checked from outside: what is stored sparsely is the same model.

    prune_sparse.py [NAME ...]

Nine tenths of the weights become zero, once in a dense and once in a sparse file. The sparse one must pass the
checker of onnx, load in onnxruntime, give the same outputs on seeded inputs bit for bit, and be no larger.
"""
import glob
import os
import sys
import tempfile

import numpy as np
import onnx

from common import MODELS, ROOT, tool
from prune_masked import NOT_LOADED, outputs
from simplify_models import EXTENTS


def check(path, folder):
    name = os.path.splitext(os.path.basename(path))[0]
    files = {}
    for kind in ("dense", "sparse"):
        files[kind] = os.path.join(folder, f"{name}.{kind}.onnx")
        code, _, err = tool("prune", path, "-o", files[kind], "--force", "--unstructured", "magnitude", "--sparsity",
                            "90%", "--storage", kind, "--inline-data", "-q", "--json")
        if code:
            return f"{name}: prune failed: {err.strip()[:300]}"
    sizes = [os.path.getsize(files[kind]) for kind in files]
    sparse = len(onnx.load(files["sparse"]).graph.sparse_initializer)
    ran = False
    for extents in EXTENTS if name not in NOT_LOADED else []:
        try:
            expected = outputs(files["dense"], extents)
        except Exception:
            continue
        onnx.checker.check_model(files["sparse"])
        found = outputs(files["sparse"], extents)
        if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(expected, found)):
            return f"{name}: outputs differ at {extents}"
        ran = True
        break
    print(f"{name:32} {sparse:3} sparse weights, {sizes[0]:,} -> {sizes[1]:,} bytes; {'equal' if ran else 'not run'}", flush=True)
    return f"{name}: larger" if sizes[1] > sizes[0] else None


def main():
    paths = sorted(glob.glob(os.path.join(MODELS, "*.onnx"))) + sorted(
        glob.glob(os.path.join(ROOT, "fixtures", "*.onnx")) + glob.glob(os.path.join(ROOT, "fixtures", "graphs", "*.onnx")))
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        chosen = [p for p in paths if not wanted or os.path.splitext(os.path.basename(p))[0] in wanted]
        failures = [failure for path in chosen if (failure := check(path, folder))]
    for failure in failures:
        print("FAILED", failure)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
