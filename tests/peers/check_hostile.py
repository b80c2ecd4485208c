#!/usr/bin/env python3
"""Hostile models and samples, and faults of the system, against the release build.

    check_hostile.py            makes the corpus in a temporary folder, and removes it

The shared material makes the corpus and judges: hostile/make_hostile.py, run_hostile.py and
run_faults.py in ONNXPRESS_SHARED. Fails when a file that must be handled is not, or when a run that
is killed or meets a full disk leaves a torn output.

    ONNXPRESS_KILLS           how often a run is killed at a random moment (1000)
"""
import csv
import os
import subprocess
import sys
import tempfile

from common import ROOT, SHARED, TOOL

HOSTILE = os.path.join(SHARED, "hostile")
KILLS = os.environ.get("ONNXPRESS_KILLS", "1000")
# Cases in which onnxpress does something else on purpose, and why.
ALLOWED = {"npz/wrong_input_name.npz": "a single array feeds the single input, whatever its name"}


def script(folder, name, *arguments):
    """Runs a script of the shared material, whose temporary files stay in `folder`."""
    command = [sys.executable, os.path.join(HOSTILE, name), *arguments]
    environment = dict(os.environ, TMPDIR=folder)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    return done.returncode, done.stdout.splitlines()


def corpus(folder):
    """Judges every file of the corpus, read by two commands; True when all that must be handled are."""
    out = os.path.join(folder, "corpus")
    code, lines = script(folder, "make_hostile.py", out)
    if code:
        sys.exit("\n".join(lines))
    calib = ["--calib-cmd", f"{TOOL} quantize {{with}} --data {{file}} -o {{out}}"]
    good = judged(folder, out, ["--model-cmd", f"{TOOL} convert {{file}} -o {{out}}", *calib])
    return judged(folder, out, ["--model-cmd", f"{TOOL} simplify {{file}} -o {{out}}"]) and good


def judged(folder, out, commands):
    """Judges the corpus in `out`."""
    report = os.path.join(folder, "report.tsv")
    _, lines = script(folder, "run_hostile.py", out, "--report", report, *commands)
    print("\n".join(lines))
    if not os.path.exists(report) or any("corpus changed" in line for line in lines):
        return False
    with open(report, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    failed = [row["file"] for row in rows if row["level"] == "must" and row["result"] != "pass"]
    for name in sorted(set(failed) & set(ALLOWED)):
        print(f"allowed: {name}: {ALLOWED[name]}")
    bad = sorted(set(failed) - set(ALLOWED))
    print(f"corpus: {len(rows)} files, {len(failed)} that must be handled are not, {len(failed) - len(bad)} of them allowed")
    return bool(rows) and not bad


def faults(folder):
    """Kills, full disks and refused folders; True when no output is torn."""
    models = [os.path.join(ROOT, "fixtures", "digits_resnet_bn.onnx"), os.path.join(folder, "apart.onnx")]
    subprocess.run([TOOL, "convert", models[0], "--external-data", "-o", models[1]], check=True)
    fine = True
    for model in models:
        command = f"{TOOL} convert {{in}} -o {{out}} -q"
        arguments = ["--cmd", command, "--force-cmd", command + " --force", "--kills", KILLS]
        # Weights in a file of their own stay beside the model, so it is read where it lies.
        code, lines = script(folder, "run_faults.py", model, *arguments)
        print(f"faults, {os.path.basename(model)}, {KILLS} kills: " + "; ".join(lines))
        fine &= code == 0
    return fine


def main():
    with tempfile.TemporaryDirectory(prefix="onnxpress-hostile-") as folder:
        results = [corpus(folder), faults(folder)]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
