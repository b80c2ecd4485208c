#!/usr/bin/env python3
"""`onnxpress prune` on every shared model and fixture, and on models with fused attention, checked from outside: what was cut must compute
what it computes with the weights set to zero instead.

    prune_masked.py [--head-dimensions] [NAME ...]

Each model is pruned at random, once by a cut and once with --mask, with the same seed. Both must load in
onnxruntime and give the same outputs on seeded inputs (relative error at most 1e-5 of the largest
element, 1e-2 in float16), the cut model must be no larger, and `inspect --channels` must explain the
model: groups, or a reason for each weight.
"""
import collections
import glob
import json
import os
import sys
import tempfile

import numpy as np
import onnx

import attention_models
from common import MODELS, ROOT, tool
from simplify_models import EXTENTS, feeds, session

# Models whose operators onnxruntime does not know, or that have no tensors as inputs.
NOT_LOADED = {"superres_prepost_custom_domain", "custom_domain"}


def outputs(path, extents):
    run = session(path)
    return run.run(None, feeds(run, *extents))


def compare(cut, masked):
    """Largest difference, relative to the largest element; and the tolerance for the type."""
    worst = 0.0
    for a, b in zip(cut, masked):
        if a.dtype.kind not in "fc":
            worst = max(worst, 0.0 if np.array_equal(a, b) else 1.0)
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        scale = max(np.nanmax(np.abs(b), initial=0.0), 1e-30)
        differ = np.where(np.isnan(a) & np.isnan(b) | (a == b), 0.0, np.abs(a - b))
        worst = max(worst, float(np.nanmax(differ, initial=0.0)) / scale)
    half = any(b.dtype == np.float16 for b in masked)
    return worst, 1e-2 if half else 1e-5


def check(path, folder, options):
    name = os.path.splitext(os.path.basename(path))[0]
    code, out, err = tool("inspect", path, "--channels", "--json", "-q")
    if code:
        return f"{name}: inspect failed: {err.strip()[:200]}"
    channels = json.loads(out)["channels"]
    reasons = collections.Counter(frozen["reason"] for frozen in channels["frozen"])
    explained = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    line = (f"{name:32} {len(channels['groups']):3} groups, parameters {channels['parameters_share']:6.1%}, "
            f"MACs {channels['macs_share']:6.1%}")
    files = []
    for kind in ([], ["--mask"]):
        file = os.path.join(folder, name + ("".join(kind) or "--cut") + ".onnx")
        code, out, err = tool("prune", path, "-o", file, "--force", "--ratio", "60%", "--multiple", 1,
                              "--importance", "random", "--seed", 1, "--json", "-q", *kind, *options)
        if code:
            return f"{name}: prune {kind} failed: {err.strip()[:300]}"
        files.append(file)
        if not kind:
            report = json.loads(out)
    kept = {key: report["drift"][key]["candidate"] / max(report["drift"][key]["original"], 1) for key in ("parameters", "macs")}
    line += f"; kept {kept['parameters']:.1%} and {kept['macs']:.1%}"
    onnx.checker.check_model(files[0]) if name not in NOT_LOADED else None
    worst, failure = None, None
    for extents in EXTENTS if name not in NOT_LOADED else []:
        try:
            masked = outputs(files[1], extents)
        except Exception:
            continue
        error, tolerance = compare(outputs(files[0], extents), masked)
        worst = max(error, worst or 0.0)
        if error > tolerance:
            failure = f"{name}: cut and masked differ by {error:.2e} at {extents}"
        break
    print(line + (f"; cut = masked to {worst:.1e}" if worst is not None else "; not run") + f" [{explained}]", flush=True)
    if worst is None and name not in NOT_LOADED:
        print(f"  {name}: runs at none of the extents", flush=True)
    return failure


def main():
    options = [a for a in sys.argv[1:] if a.startswith("--")]
    wanted = [a for a in sys.argv[1:] if not a.startswith("--")]
    paths = sorted(glob.glob(os.path.join(MODELS, "*.onnx"))) + sorted(
        glob.glob(os.path.join(ROOT, "fixtures", "*.onnx")) + glob.glob(os.path.join(ROOT, "fixtures", "graphs", "*.onnx")))
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        for path in [*paths, *attention_models.make(folder)]:
            name = os.path.splitext(os.path.basename(path))[0]
            if not wanted or name in wanted:
                failures.append(check(path, folder, options))
    failures = [failure for failure in failures if failure]
    for failure in failures:
        print("FAILED", failure)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
