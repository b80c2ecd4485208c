#!/usr/bin/env python3
"""Inspects and quantizes every shared model, and loads each result in onnxruntime.

    all_models.py [NAME …]

Each model must either work, or end with an error or warning that names what is not supported. Models
with labelled data are calibrated on it; the others on seeded noise, which says nothing about their
accuracy. Exit status 1 on a crash, a result that onnxruntime refuses (when it runs the original), or
a run that ends 0 without having quantized anything and without a warning.
"""
import json
import os
import sys
import tempfile

from common import calibration, manifest, model_path, session, tool


def loads(path):
    try:
        session(path)
        return None
    except Exception as error:  # onnxruntime raises many types
        return str(error).splitlines()[0][:160]


def check(name, entry):
    code, text, err = tool("inspect", model_path(name), "--json")
    if code:
        return f"inspect ended {code}: {err.strip()}", False
    kinds = json.loads(text)["operators"]
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.onnx")
        data, options = "random:4", []
        if entry.get("eval"):
            data, options = calibration(entry["eval"], folder)
            options = options + ["--samples", "32"]
        code, text, err = tool("quantize", model_path(name), "--data", data, *options, "-o", out, "-q", "--json")
        if code not in (0, 1, 2):
            return f"quantize ended {code}: {err.strip()[-300:]}", False
        if code:
            return f"refused: {err.strip()[-300:]}", "error:" in err and not os.path.exists(out)
        report = json.loads(text)
        step = next(s for s in report["passes"] if s["pass"] == "quantize-static")
        size = report["drift"]["size_bytes"]
        sqnr = min((o["sqnr_db"] for o in report["drift"]["outputs"]), default=None)
        what = f"{len(step['done'])} edits, {size['candidate'] / size['original']:.1%}, SQNR {sqnr}"
        ok = bool(step["done"]) or bool(report["warnings"])
        if report["warnings"]:
            what += " | " + "; ".join(report["warnings"])[:200]
        if report["drift"].get("not_validated"):
            what += " | NOT VALIDATED " + report["drift"]["not_validated"][:120]
        before, after = loads(model_path(name)), loads(out)
        if after and not before:
            return what + f" | onnxruntime refuses it: {after}", False
        return what + f" | {sum(kinds.values())} nodes", ok


def main():
    entries = manifest()
    good = True
    for name in sys.argv[1:] or sorted(entries):
        text, ok = check(name, entries[name])
        print(f"{'ok ' if ok else 'BAD'} {name:34s} {text}", flush=True)
        good = good and ok
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
