#!/usr/bin/env python3
"""`factorize` on labelled shared models: accuracy that is left within a budget, beside plain SVD at the same ranks.

    factorize_models.py [--json FILE] [--options "…"] [--frontier] [NAME[=SHARE,…] …]

Each model is factorized with 512 calibration samples (100 images for SqueezeNet), without labels and without
training, by one command, and measured in onnxruntime on all test samples: top-1, and the latency of one run
beside the original there (one thread, medians of interleaved rounds) and in tract. The column `svd` is the model
with the same ranks from the weights alone (`--ranks`, `--method svd`, `--refit off`). Seconds and the peak
memory are those of the command. --frontier tries shares from 0.9 to 0.3. minilm_sst2 is made by
export_minilm.py beside the shared models; MINILM names the file, else it is left out.

Exit status 1 when a row keeps less top-1 than its floor, takes longer than five minutes or more than 2 GB.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from common import DATA, TOOL, manifest, model_path, session, tool
from compare_quantize import latency, write
from prune_models import SAMPLES, SHARES, top1
from real_inputs import sample_file

PRODUCTS = ["--ops", "MatMul,Gemm"]
# What the budget counts, and, for a share of it, the least top-1.
ROWS = {
    "mnist_mlp": (["--params"], {0.30: 0.980}),
    "cifar_vit": (["--params", *PRODUCTS], {0.67: 0.622}),
    "sst2_transformer": (["--params", *PRODUCTS], {0.67: 0.790}),
    "cifar_resnet8_bn": (["--macs"], {0.60: 0.780}),
    "imagenet_squeezenet11": (["--macs"], {0.75: 0.560}),
    "minilm_sst2": (["--params", "--only", "/l.*", *PRODUCTS], {0.70: 0.760}),
}
MINILM = {"data": "sst2_wordpiece_test.npz", "preprocess": {"kind": "tokens", "dtype": "int64"}}
# Longest that a command may take, in seconds, and most memory, in bytes.
PATIENCE, MEMORY = 300, 2 << 30


def factorize(model, out, arguments):
    """One command: its report, the seconds it took, and the most memory that it and its engine had."""
    start = time.perf_counter()
    command = [TOOL, "factorize", model, "-o", out, "-q", "--force", "--json", *arguments]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=said, stderr=errors)
        peak = 0
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.05)
        said.seek(0), errors.seek(0)
        if process.returncode not in (0, 3):
            raise RuntimeError((errors.read().strip().splitlines() or ["it failed"])[0])
        return json.loads(said.read()), time.perf_counter() - start, peak


def memory(pid):
    """Bytes of memory that a process and those that it started have now."""
    total = 0
    try:
        with open(f"/proc/{pid}/status") as file:
            lines = [line for line in file if line.startswith("VmRSS")]
        total += int(lines[0].split()[1]) * 1024 if lines else 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                total += sum(memory(int(child)) for child in file.read().split())
    except (OSError, IndexError):
        pass
    return total


def tract(model, out, data):
    """Time of one run in tract by that of the original."""
    code, said, _ = tool("compare", model, out, "--data", data, "--samples", 8, "--latency", "--json", "-q")
    return json.loads(said)["latency_ms"]["ratio"] if code == 0 else float("nan")


def judge(name, entry, shares, options, rows):
    model = os.environ["MINILM"] if name == "minilm_sst2" else model_path(name)
    budget, floors = ROWS.get(name, (["--macs"], {}))
    x, _ = sample_file(entry, "_calib")
    test, labels = sample_file(entry, "_test")
    given = session(model).get_inputs()[0].name
    feeds = [{given: x[i : i + 1]} for i in range(min(SAMPLES, len(x)))]
    before = top1(model, entry, test, labels)
    with tempfile.TemporaryDirectory() as folder:
        data, out, plain, ranks = (os.path.join(folder, end) for end in ("calib.npz", "out.onnx", "svd.onnx", "ranks.json"))
        write(data, feeds)
        for share in shares:
            row = {"name": name, "aim": share, "counts": budget, "before": before, "samples": len(feeds), "tests": len(test)}
            try:
                limit = [budget[0], str(share), *budget[1:]]
                report, row["seconds"], row["memory"] = factorize(model, out, ["--data", data, *limit, *options])
                row["kept"] = report["budget"]["left"] / report["budget"]["original"]
                with open(ranks, "w") as file:
                    json.dump(report["ranks"], file)
                factorize(model, plain, ["--ranks", ranks, "--method", "svd", "--refit", "off"])
                row["top1"], row["svd"] = (top1(path, entry, test, labels) for path in (out, plain))
                times = latency({"before": model, "after": out}, {given: test[:1]})
                row["ort"], row["tract"] = times["after"] / times["before"], tract(model, out, data)
            except Exception as error:
                row["failed"] = str(error)
            floor = floors.get(share)
            row["missed"] = floor is not None and row.get("top1", 0.0) < floor
            row["slow"] = row.get("seconds", 0.0) > PATIENCE or row.get("memory", 0) > MEMORY
            rows.append(row)
            show(row, floor)


def show(row, floor):
    if "failed" in row:
        print(f"{row['name']:22} {row['aim']:4.2f} {row['failed']}", flush=True)
        return
    least = f"{100 * floor:5.1f}" if floor else "    -"
    marks = " MISSED" * row["missed"] + " SLOW" * row["slow"]
    print(
        f"{row['name']:22} {row['aim']:4.2f} {row['kept']:6.3f} {100 * row['before']:7.1f} {100 * row['top1']:6.1f} {least} "
        f"{100 * row['svd']:6.1f} {row['ort']:5.2f} {row['tract']:6.2f} {row['seconds']:8.1f} {row['memory'] >> 20:6}{marks}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json")
    parser.add_argument("--options", default="")
    parser.add_argument("--frontier", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    known, rows = {name: entry.get("eval") for name, entry in manifest().items()}, []
    if "MINILM" in os.environ and os.path.exists(os.path.join(DATA, MINILM["data"])):
        known["minilm_sst2"] = MINILM
    print(f"{'model':22} {'aim':>4} {'kept':>6} {'before':>7} {'top-1':>6} {'floor':>5} {'svd':>6} {'ort':>5} {'tract':>6} {'seconds':>8} {'MB':>6}")
    for asked in arguments.names or ROWS:
        name, _, shares = asked.partition("=")
        if name not in known:
            print(f"{name:22} left out: no such model here")
            continue
        shares = [float(share) for share in shares.split(",")] if shares else list(ROWS.get(name, ([], {0.75: None}))[1])
        judge(name, known[name], SHARES if arguments.frontier else shares, arguments.options.split(), rows)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 1 if any(row["missed"] or row["slow"] or "failed" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
