#!/usr/bin/env python3
"""`distill` on labelled shared models: accuracy that students regain without labels.

    distill_models.py [--json FILE] [--options "…"] [--minutes M] [NAME=HOW …]

Each model is made smaller by one command (prune 0.5 for half of the multiply-accumulates, factorize 0.5 for half of
the parameters, int2 for weights of 2 bits, …) with 512 calibration samples, and then learns from the original on
the samples of the tune set, without labels (`random 0.3` begins with random weights). Both are measured in onnxruntime on all test samples.

Exit status 1 when a row keeps less top-1 than its floor, is worse than before, or takes longer than it may.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx

from common import TOOL, manifest, model_path, session
from compare_quantize import write
from prune_models import SAMPLES, top1
from real_inputs import sample_file

# How a student is made: least top-1 after its lessons, or nothing.
FLOORS = {
    "cifar_resnet8_bn": {
        "prune 0.5": 0.797,
        "prune 0.3": 0.775,
        "int2": 0.792,
        "prune 0.5, int2": 0.765,
        "random 0.3": None,
    },
    "cifar_mobilenetv2_bn": {"prune 0.3": 0.763, "factorize 0.5": None},
    "cifar_shufflenet_g4": {"prune 0.75": 0.725, "prune 0.5": 0.690},
    "cifar_densenet": {"prune 0.4": 0.742},
    "cifar_vit": {"prune 0.5": 0.631, "prune 0.4": 0.624, "prune 0.3": 0.600},
    "sst2_transformer": {"binary": 0.780},
    "mnist_gru": {"prune 0.5": None, "int4": None},
}


def make(how, model, data, out):
    """The student, by one command for each part of `how`."""
    for part in how.split(", "):
        verb, _, share = part.partition(" ")
        weights = [] if verb in ("binary", "ternary") else ["--granularity", "channel"]
        command = {
            "prune": ["prune", model, "--macs", share],
            "random": ["prune", model, "--macs", share],
            "factorize": ["factorize", model, "--params", share],
        }.get(verb, ["quantize", model, "--mode", "weights", "--weights", verb, *weights])
        command = [TOOL, *command, "--data", data, "-o", out + ".new", "-q", "--force"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode not in (0, 3):
            raise RuntimeError((done.stderr.strip().splitlines() or ["it failed"])[0])
        os.replace(out + ".new", out)
        if verb == "random":
            forget(out)
        model = out


def forget(path):
    """Puts random numbers (He and others, 2015) in the place of all weights, and 0 in that of biases."""
    model, random = onnx.load(path), np.random.default_rng(5)
    for tensor in model.graph.initializer:
        if tensor.data_type != 1:
            continue
        old = onnx.numpy_helper.to_array(tensor)
        inputs = np.prod(old.shape[1:]) if old.ndim > 1 else 1
        new = random.normal(size=old.shape) * np.sqrt(2 / inputs) if old.ndim > 1 else np.zeros(old.shape)
        tensor.CopyFrom(onnx.numpy_helper.from_array(new.astype(np.float32), tensor.name))
    onnx.save(model, path)


def judge(name, entry, how, floor, options, patience, rows):
    model = model_path(name)
    x, _ = sample_file(entry, "_calib")
    tune, _ = sample_file(entry, "_tune")
    test, labels = sample_file(entry, "_test")
    given = session(model).get_inputs()[0].name
    row = {"name": name, "how": how, "floor": floor, "original": top1(model, entry, test, labels)}
    with tempfile.TemporaryDirectory() as folder:
        calib, data = os.path.join(folder, "calib.npz"), os.path.join(folder, "tune.npz")
        student, out = os.path.join(folder, "student.onnx"), os.path.join(folder, "out.onnx")
        write(calib, [{given: x[i : i + 1]} for i in range(min(SAMPLES, len(x)))])
        write(data, [{given: tune[i : i + 1]} for i in range(len(tune))])
        try:
            make(how, model, calib, student)
            row["before"] = top1(student, entry, test, labels)
            start = time.perf_counter()
            command = [TOOL, "distill", student, "--teacher", model, "--data", data, "-o", out, "-q", "--json", *options]
            done = subprocess.run(command, capture_output=True, text=True)
            row["seconds"] = time.perf_counter() - start
            if done.returncode not in (0, 3):
                raise RuntimeError((done.stderr.strip().splitlines() or ["it failed"])[0])
            report = json.loads(done.stdout)
            row["steps"], row["rate"] = report["steps"], report["samples_per_second"]
            row["after"] = top1(out, entry, test, labels)
            row["size"] = os.path.getsize(out) / os.path.getsize(model)
        except Exception as error:
            row["failed"] = str(error)
    row["missed"] = floor is not None and row.get("after", 0.0) < floor
    row["worse"] = row.get("after", 0.0) < row.get("before", 0.0) - 0.002
    row["slow"] = row.get("seconds", 0.0) > patience
    rows.append(row)
    show(row)


def show(row):
    if "failed" in row:
        print(f"{row['name']:22} {row['how']:14} {row['failed']}", flush=True)
        return
    least = f"{100 * row['floor']:5.1f}" if row["floor"] else "    -"
    marks = " MISSED" * row["missed"] + " WORSE" * row["worse"] + " SLOW" * row["slow"]
    print(
        f"{row['name']:22} {row['how']:14} {row['size']:5.2f} {100 * row['original']:8.1f} {100 * row['before']:6.1f} "
        f"{100 * row['after']:6.1f} {least} {row['steps']:5} {row['rate']:9.0f} {row['seconds']:7.0f}{marks}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json")
    parser.add_argument("--options", default="")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    entries, rows = {name: entry.get("eval") for name, entry in manifest().items()}, []
    print(f"{'model':22} {'student':14} {'size':>5} {'original':>8} {'before':>6} {'after':>6} {'floor':>5} {'steps':>5} {'samples/s':>9} {'seconds':>7}")
    options = arguments.options.split()
    if not {"--steps", "--minutes"} & set(options):
        options += ["--minutes", str(arguments.minutes)]
    for asked in arguments.names or FLOORS:
        name, _, how = asked.partition("=")
        known = FLOORS.get(name, {})
        for one in [how] if how else known:
            judge(name, entries[name], one, known.get(one), options, 60 * arguments.minutes * 1.1 + 30, rows)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 1 if any(row["missed"] or row["worse"] or row["slow"] or "failed" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
