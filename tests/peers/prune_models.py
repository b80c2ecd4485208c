#!/usr/bin/env python3
"""`prune` on labelled shared models: accuracy that is left at a share of the multiply-accumulates.

    prune_models.py [--json FILE] [--options "…"] [--frontier] [--quantize] [NAME[=SHARE,…] …]

Each model is cut to a share of its multiply-accumulates with 512 calibration samples and without labels,
by one command, and measured in onnxruntime on all test samples: top-1, size, and the latency of one run
beside the original (one thread, medians of interleaved rounds), there and in the engine of onnxpress.
--frontier tries shares from 0.9 to 0.3. --quantize also quantizes each result: top-1 and size of that.

Exit status 1 when a row keeps less top-1 than its floor, or a CIFAR row takes longer than two minutes.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from common import TOOL, manifest, model_path, session, tool
from compare_quantize import latency, write
from real_inputs import sample_file

SAMPLES = 512
# Share of the multiply-accumulates: least top-1.
FLOORS = {
    "cifar_resnet8_bn": {0.75: 0.790, 0.50: 0.740},
    "cifar_mobilenetv2_bn": {0.75: 0.745, 0.50: 0.650},
    "cifar_densenet": {0.75: 0.710},
    "cifar_shufflenet_g4": {0.75: 0.680},
    "cifar_vit": {0.75: 0.615, 0.50: 0.560},
    "mnist_mlp": {0.50: 0.980, 0.25: 0.975},
    "imagenet_squeezenet11": {0.75: 0.520},
    "sst2_transformer": {0.75: 0.785},
}
SHARES = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
# Longest that a CIFAR row may take, in seconds.
PATIENCE = 120


def top1(path, entry, x, labels):
    run = session(path)
    given = run.get_inputs()[0]
    fixed = isinstance(given.shape[0], int) and given.shape[0] > 0
    batch = given.shape[0] if fixed else 50
    hits = 0
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        real = len(part)
        if real < batch and fixed:
            part = np.concatenate([part, np.repeat(part[-1:], batch - real, 0)])
        scores = run.run(None, {given.name: part})[entry.get("output", 0)].reshape(len(part), -1)[:real]
        hits += int((scores.argmax(1) == labels[start : start + real]).sum())
    return hits / len(x)


def prune(model, data, out, options):
    """One command; the share of multiply-accumulates that is left, and the seconds it took."""
    start = time.perf_counter()
    command = [TOOL, "prune", model, "--data", data, "-o", out, "-q", "--force", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise RuntimeError((done.stderr.strip().splitlines() or ["it failed"])[0])
    macs = json.loads(done.stdout)["drift"]["macs"]
    return macs["candidate"] / macs["original"], time.perf_counter() - start


def own_latency(model, out, data):
    """Time of one run in the engine of onnxpress, beside the original."""
    code, text, error = tool("compare", model, out, "--data", data, "--samples", "8", "--latency", "--json", "-q")
    if code not in (0, 3):
        raise RuntimeError((error.strip().splitlines() or ["compare failed"])[0])
    return json.loads(text)["latency_ms"]["ratio"]


def judge(name, entry, shares, options, quantized, rows):
    model = model_path(name)
    x, _ = sample_file(entry, "_calib")
    test, labels = sample_file(entry, "_test")
    given = session(model).get_inputs()[0].name
    feeds = [{given: x[i : i + 1]} for i in range(min(SAMPLES, len(x)))]
    before = top1(model, entry, test, labels)
    with tempfile.TemporaryDirectory() as folder:
        data, out = os.path.join(folder, "calib.npz"), os.path.join(folder, "out.onnx")
        write(data, feeds)
        for share in shares:
            row = {"name": name, "aim": share, "before": before}
            try:
                row["macs"], row["seconds"] = prune(model, data, out, [*options, "--macs", str(share)])
                row["top1"] = top1(out, entry, test, labels)
                row["size"] = os.path.getsize(out) / os.path.getsize(model)
                one = {given: test[:1]}
                times = latency({"before": model, "after": out}, one)
                row["latency"] = times["after"] / times["before"]
                row["own_latency"] = own_latency(model, out, data)
                if quantized:
                    prune(model, data, out, [*options, "--macs", str(share), "--quantize"])
                    row["quantized_top1"] = top1(out, entry, test, labels)
                    row["quantized_size"] = os.path.getsize(out) / os.path.getsize(model)
            except Exception as error:
                row["failed"] = str(error)
            floor = FLOORS.get(name, {}).get(share)
            row["missed"] = floor is not None and row.get("top1", 0.0) < floor
            row["slow"] = name.startswith("cifar") and row.get("seconds", 0.0) > PATIENCE
            rows.append(row)
            show(row, floor)


def show(row, floor):
    if "failed" in row:
        print(f"{row['name']:24} {row['aim']:5.2f} {row['failed']}", flush=True)
        return
    least = f"{100 * floor:5.1f}" if floor else "    -"
    quantized = ""
    if "quantized_top1" in row:
        quantized = f" {100 * row['quantized_top1']:6.1f} {row['quantized_size']:6.3f}"
    marks = " MISSED" * row["missed"] + " SLOW" * row["slow"]
    print(
        f"{row['name']:24} {row['aim']:5.2f} {row['macs']:6.3f} {100 * row['before']:7.1f} {100 * row['top1']:6.1f} {least} "
        f"{row['size']:6.2f} {row['latency']:8.2f} {row['own_latency']:8.2f} {row['seconds']:8.1f}{quantized}{marks}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json")
    parser.add_argument("--options", default="")
    parser.add_argument("--frontier", action="store_true")
    parser.add_argument("--quantize", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    known, rows = {name: entry.get("eval") for name, entry in manifest().items()}, []
    print(f"{'model':24} {'aim':>5} {'MACs':>6} {'before':>7} {'top-1':>6} {'floor':>5} {'size':>6} {'latency':>8} {'tract':>8} {'seconds':>8}"
          + f" {'int8':>6} {'size':>6}" * arguments.quantize)
    for asked in arguments.names or FLOORS:
        name, _, shares = asked.partition("=")
        shares = [float(share) for share in shares.split(",")] if shares else list(FLOORS.get(name, {0.75: None}))
        judge(name, known[name], SHARES if arguments.frontier else shares, arguments.options.split(), arguments.quantize, rows)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 1 if any(row["missed"] or row["slow"] or "failed" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
