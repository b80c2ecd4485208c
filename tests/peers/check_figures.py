#!/usr/bin/env python3
"""What commands report of their results, against what these do on samples that nobody has seen.

    check_figures.py [--json FILE] [--tests N] [COMMAND/NAME[=SAMPLES,…] …]

`factorize`, `prune` and `quantize` get 16, 64 and 512 samples of fixtures and of shared models (`quantize` not 16: now and
then one of many test samples leaves ranges that were seen on so few). The signal-to-noise ratio that they report
for their worst output is put beside the one on test samples, by `compare`. Shared models that are not there are left
out, and so is sst2_transformer unless it is named: its samples are sentences that it was trained on, which it is 2 dB
surer of than of test sentences, whatever is held out of them.

Exit status 1 when a row reports more than 3 dB away from what the test samples say, or fails.
"""
import argparse
import json
import os
import sys
import tempfile

import numpy as np

from common import DATA, MODELS, NORMALISED, ROOT, images, manifest, model_path, prepare, session, tool

SAMPLES = {"factorize": [16, 64, 512], "prune": [16, 64, 512], "quantize": [64, 512]}
NEAR_DB = 3.0
FIXTURES = os.path.join(ROOT, "fixtures")
DIGITS = {"data": "digits_test.npz", "preprocess": {"kind": "image", "div": 16.0, "mean": [0.0], "std": [1.0]}}
# What is asked of each command.
BUDGETS = {"factorize": ["--params", "70%"], "prune": ["--params", "70%"], "quantize": []}
NAMES = ["digits_mlp", "digits_resnet_bn", "mnist_mlp", "cifar_resnet8_bn", "cifar_mobilenetv2_bn", "cifar_vit"]


def raw(entry, part, folder):
    name = entry["data"].replace("_test", part)
    x, _ = images(np.load(os.path.join(folder, name)))
    if part == "_calib" and name in NORMALISED and folder == DATA:
        mean, std, div = NORMALISED[name]
        shape = (1, -1, 1, 1)
        x = np.round((x * np.reshape(std, shape) + np.reshape(mean, shape)) * div)
    return prepare(x, entry["preprocess"])


def sets(name, known):
    """The model, samples to work with, and samples to judge on."""
    if name.startswith("digits_") and name not in known:
        model, entry, folder = os.path.join(FIXTURES, name + ".onnx"), DIGITS, FIXTURES
    elif name in known and known[name]:
        model, entry, folder = model_path(name), known[name], DATA
    else:
        return None
    given = session(model).get_inputs()[0]
    pool = np.concatenate([raw(entry, "_calib", folder), raw(entry, "_tune", folder)])
    shape = [len(pool)] + list(given.shape[1:])
    test = raw(entry, "_test", folder)
    return model, given.name, pool.reshape(shape), test.reshape([len(test)] + shape[1:])


def worst(report):
    return min(output.get("sqnr_db", 300.0) for output in report["outputs"])


def row(command, name, count, found, tests):
    model, given, pool, test = found
    with tempfile.TemporaryDirectory() as folder:
        data, unseen, out = (os.path.join(folder, end) for end in ("some.npz", "test.npz", "out.onnx"))
        np.savez(data, **{given: pool[:count]})
        np.savez(unseen, **{given: test[:tests]})
        code, said, error = tool(command, model, "--data", data, "-o", out, "--json", "-q", *BUDGETS[command])
        if code not in (0, 3):
            return {"failed": (error.strip().splitlines() or ["it failed"])[0]}
        drift = json.loads(said)["drift"]
        code, said, error = tool("compare", model, out, "--data", unseen, "--json", "-q")
        if code != 0:
            return {"failed": (error.strip().splitlines() or ["compare failed"])[0]}
        return {"reported": worst(drift), "on": drift.get("figures", ""), "test": worst(json.loads(said))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json")
    parser.add_argument("--tests", type=int, default=1000)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    known = manifest() if os.path.exists(os.path.join(MODELS, "models.json")) else {}
    known = {name: entry.get("eval") for name, entry in known.items()}
    asked, rows = arguments.names or [f"{command}/{name}" for command in BUDGETS for name in NAMES], []
    print(f"{'command':10} {'model':22} {'samples':>7} {'reported':>8} {'test':>7} {'apart':>6}")
    for item in asked:
        command, _, name = item.partition("/")
        name, _, counts = name.partition("=")
        found = sets(name, known)
        if found is None:
            print(f"{command:10} {name:22} left out: no such model here")
            continue
        for count in [int(count) for count in counts.split(",")] if counts else SAMPLES[command]:
            result = {"command": command, "name": name, "samples": count, **row(command, name, count, found, arguments.tests)}
            rows.append(result)
            if "failed" in result:
                print(f"{command:10} {name:22} {count:7} {result['failed']}", flush=True)
                continue
            apart = result["reported"] - result["test"]
            result["far"] = abs(apart) > NEAR_DB
            print(
                f"{command:10} {name:22} {count:7} {result['reported']:8.1f} {result['test']:7.1f} {apart:+6.1f}" + " FAR" * result["far"] + f"  {result['on']}",
                flush=True,
            )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 1 if any("failed" in row or row["far"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
