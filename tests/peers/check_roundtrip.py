#!/usr/bin/env python3
"""Reads and writes files with `onnxpress convert` and demands the same bytes.

    check_roundtrip.py

Corpus: every shared model, every fixture (but one whose nodes are unsorted on purpose and one whose
data lies outside), and the models of onnx's own node tests (about 1,880). Prints counts; exit status 1
when a file differs or is refused.
"""
import glob
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from common import MODELS, ROOT, tool

NOT_IDENTICAL = {"unsorted.onnx", "external_data.onnx"}


def node_tests(folder):
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases(None):
        if case.model is not None:
            with open(os.path.join(folder, case.name + ".onnx"), "wb") as file:
                file.write(case.model.SerializeToString())
    return sorted(glob.glob(os.path.join(folder, "*.onnx")))


def same(path):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.onnx")
        code, _, err = tool("convert", path, "-o", out)
        if code:
            return f"{path}: {err.strip()}"
        with open(path, "rb") as a, open(out, "rb") as b:
            return None if a.read() == b.read() else f"{path}: the bytes differ"


def main():
    good = True
    with tempfile.TemporaryDirectory() as folder:
        fixtures = glob.glob(os.path.join(ROOT, "fixtures", "**", "*.onnx"), recursive=True)
        corpora = {
            "shared models": sorted(glob.glob(os.path.join(MODELS, "*.onnx"))),
            "fixtures": [f for f in sorted(fixtures) if os.path.basename(f) not in NOT_IDENTICAL],
            "onnx node tests": node_tests(folder),
        }
        for name, files in corpora.items():
            with ThreadPoolExecutor(2) as pool:
                wrong = [text for text in pool.map(same, files) if text]
            print(f"{name}: {len(files) - len(wrong)} of {len(files)} byte-identical")
            for text in wrong:
                print("  " + text)
            good = good and files and not wrong
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
