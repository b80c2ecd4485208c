#!/usr/bin/env python3
"""What `simplify` makes of constants against ONNX Runtime without graph optimization: all node tests of `onnx`,
their inputs made constants, plain and with NaN, infinities, and large, tiny and extreme numbers planted.

    check_constants.py [PART OF A NAME]

What is computed must be what ONNX Runtime computes, but for rounding; what is declined is fine.
"""
import collections
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import onnx

import planted
from common import TOOL

# Fewer computed models mean that the check no longer reaches what it is for.
LEAST = 1500

LIMITS = ["--max-fold-bytes", "10000000", "--max-fold-total", "100000000"]

# Not about constants: ONNX Runtime 1.31 has no Swish in models of operator set 26.
SKIP = ["--skip", "fuse-activation"]


def simplified(model, folder):
    source, out = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
    onnx.save(model, source)
    done = subprocess.run([TOOL, "simplify", source, "-o", out, "--force", "-q", *LIMITS, *SKIP], capture_output=True, text=True)
    return onnx.load(out) if done.returncode == 0 else None


def check(case):
    """`(operator, what came of it, words)`."""
    name, kind, model, arrays = case
    operator = model.graph.node[-1].op_type
    model = planted.apart(planted.holding(model, arrays, ()))
    expected = planted.reference(model, {})
    if expected is None:
        return operator, "not run", ""
    with tempfile.TemporaryDirectory() as folder:
        result = simplified(model, folder)
    if result is None:
        return operator, "refused", ""
    found = planted.reference(result, {})
    if found is None:
        return operator, "differs", f"{name}, {kind}: ONNX Runtime does not run the result"
    for output, one, other in zip(model.graph.output, found, expected):
        if not isinstance(other, (list, dict)):
            words = planted.difference(name, one, other, arrays)
            if words:
                return operator, "differs", f"{name}, {kind}: `{output.name}` is {words}"
    computed = len(result.graph.node) <= len(model.graph.output)
    return operator, "computed" if computed else "declined", ""


def main():
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    cases = [
        (name, kind, model, arrays)
        for name, model, given in planted.tests()
        if part in name
        for kind, arrays in planted.variants(name, given)
    ]
    counts, wrong = collections.Counter(), collections.Counter()
    with ThreadPoolExecutor(2) as pool:
        for operator, outcome, words in pool.map(check, cases):
            counts[outcome] += 1
            if outcome == "differs":
                wrong[operator] += 1
                print(words)
    print(f"{len(cases)} models: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    if wrong:
        print("operators that differ: " + ", ".join(f"{operator} ({count})" for operator, count in wrong.most_common()))
    if wrong or not part and counts["computed"] < LEAST:
        sys.exit("failed")


if __name__ == "__main__":
    main()
