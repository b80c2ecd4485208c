#!/usr/bin/env python3
"""Small inputs that once failed, each with what is right: the folder `cases` of the shared material.

    check_cases.py [PART OF A NAME …]     all cases by default

Needs the shared material (ONNXPRESS_SHARED) and a release build (ONNXPRESS). A case is a command and what must hold
of its outcome, in ONNX Runtime where models are compared. Exit status 1 when a case fails.
"""
import glob
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from common import DATA, MODELS, ROOT, SHARED, TOOL

ort.set_default_logger_severity(4)
# Where the package keeps its shared library, for `--engine ort`.
os.environ.setdefault("ORT_DYLIB_PATH", next(iter(glob.glob(os.path.join(os.path.dirname(ort.__file__), "capi", "libonnxruntime*"))), ""))
CASES = os.path.join(SHARED, "cases")
CASE_LIST = []


class Wrong(Exception):
    """What is not as it should be."""


def case(name, *arguments):
    """Registers a check for `name`, called once for each of `arguments` (once without any when there are none)."""
    def register(check):
        for given in arguments or [()]:
            label = " ".join([name, *(str(a) for a in given)])
            CASE_LIST.append((label, check, given))
        return check
    return register


def need(condition, message):
    if not condition:
        raise Wrong(message)


def path(name):
    return os.path.join(CASES, name)


def tool(*arguments, status=0, seconds=300):
    """Runs onnxpress; returns standard output, standard error, seconds and peak megabytes of its largest process."""
    start = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    try:
        done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Wrong(f"not done after {seconds} s") from None
    took, peak = time.monotonic() - start, max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    allowed = status if isinstance(status, tuple) else (status,)
    need(done.returncode in allowed, f"status {done.returncode}, wanted {allowed}: {done.stderr.strip()[-300:]}")
    return done.stdout, done.stderr, took, peak


def session(model, optimize=False):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def outputs(model, feed, optimize=False):
    run = session(model, optimize)
    return run.run(None, {i.name: feed[i.name] for i in run.get_inputs()})


def sqnr(reference, found):
    reference, found = (np.asarray(a, np.float64) for a in (reference, found))
    noise = float(((reference - found) ** 2).sum())
    return np.inf if noise == 0 else 10 * np.log10(float((reference**2).sum()) / noise)


def equal(original, result, feeds, tolerance=1e-4):
    """Outputs of both models are equal up to rounding, without optimization; NaN and infinities stand where they stood."""
    for feed in feeds:
        for a, b in zip(outputs(original, feed), outputs(result, feed)):
            a, b = np.asarray(a), np.asarray(b)
            need(a.shape == b.shape, f"{a.shape} became {b.shape}")
            if a.dtype.kind in "fc":
                same = np.allclose(a, b, rtol=tolerance, atol=tolerance * max(1e-6, np.nanmax(np.abs(np.where(np.isfinite(a), a, 0)), initial=0)), equal_nan=True)
            else:
                same = np.array_equal(a, b)
            need(same, f"{a.ravel()[:4]} became {b.ravel()[:4]}")


def floats(seed, *dims):
    return np.random.default_rng(seed).standard_normal(dims).astype(np.float32)


def size(result, original):
    whole = lambda p: os.path.getsize(p) + (os.path.getsize(p + ".data") if os.path.exists(p + ".data") else 0)
    return whole(result) / whole(original)


def nodes(model):
    return len(onnx.load(model).graph.node)


def by_sample(model, npz, optimize=True):
    """Outputs of a model on a sample file, run by run: as many samples at a time as its first dim wants, or one."""
    run = session(model, optimize)
    arrays = dict(np.load(npz))
    first = [i.shape[0] for i in run.get_inputs() if isinstance(i.shape[0], int)]
    batch = max(first, default=1)
    rows = []
    for start in range(0, min(len(a) for a in arrays.values()) - batch + 1, batch):
        rows.append(run.run(None, {i.name: arrays[i.name][start : start + batch] for i in run.get_inputs()}))
    return [np.stack([np.asarray(row[k]) for row in rows]) for k in range(len(rows[0]))]


def drift(original, result, npz, optimize=True):
    """The smallest SQNR of the outputs over a sample file, in decibel; the result runs as it is deployed."""
    pairs = zip(by_sample(original, npz, False), by_sample(result, npz, optimize))
    return min(sqnr(a, b) for a, b in pairs)


# ---- hostile: constants and run time ------------------------------------------------------------

@case("hostile/guard_const_mask")
@case("hostile/logsoftmax_200")
@case("hostile/lse_100")
@case("hostile/rmax_ninf")
def constants_are_right(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    tool("simplify", model, "-o", out)
    dims = [d.dim_value for d in onnx.load(model).graph.input[0].type.tensor_type.shape.dim]
    equal(model, out, [{"x": floats(s, *dims)} for s in range(3)])


@case("hostile/ls_model")
@case("hostile/sp_model")
def run_time_is_stable(folder, name):
    model, data = path(name + ".onnx"), path("hostile/wide.npz")
    text, *_ = tool("compare", model, model, "--data", data, "--json")
    report = json.loads(text)
    found = report["outputs"][0]
    need(report["passed"], "a model differs from itself")
    unlike = [found[kind][side] for kind in ("nan", "infinite") for side in ("original", "candidate") if kind in found]
    need(not any(unlike), f"not finite: {found}")


@case("hostile/pool_ceil_2d")
def every_extent_is_kept(folder, name):
    out = os.path.join(folder, "o.onnx")
    tool("simplify", path(name + ".onnx"), "-o", out)
    feeds = [{"x": floats(k, n, 3, k, m)} for n, k, m in [(1, 9, 9), (2, 225, 13), (1, 8, 11), (3, 7, 10)]]
    equal(path(name + ".onnx"), out, feeds)


@case("hostile/roi_head_empty")
def empty_batches_run(folder, name):
    out = os.path.join(folder, "o.onnx")
    tool("simplify", path(name + ".onnx"), "-o", out)
    equal(path(name + ".onnx"), out, [{"x": floats(n, n, 4, 6, 10)} for n in (0, 1, 3)])


@case("hostile/string_in")
@case("hostile/seq_in")
@case("hostile/zero_batch")
@case("graph/k4_input_string")
@case("graph/k4_input_float8")
def written_without_execution(folder, name):
    out = os.path.join(folder, "o.onnx")
    stdout, stderr, *_ = tool("simplify", path(name + ".onnx"), "-o", out)
    need(os.path.exists(out), "nothing was written")
    need("not executed" in (stdout + stderr).lower(), "does not say that it was not executed")
    onnx.checker.check_model(out)


@case("graph/k4_input_string")
@case("graph/k4_input_float8")
def weights_without_execution(folder, name):
    out = os.path.join(folder, "o.onnx")
    tool("quantize", path(name + ".onnx"), "--mode", "weights", "-o", out)
    need(size(out, path(name + ".onnx")) < 0.5, f"size {size(out, path(name + '.onnx')):.2f}")


@case("hostile/scan_more_than_inputs")
@case("hostile/maxpool_ceil_huge_pad")
def huge_cost_ends(folder, name):
    for command in (["quantize", "--data", "random:2"], ["simplify"], ["quantize", "--mode", "weights"], ["quantize", "--mode", "dynamic"]):
        out = os.path.join(folder, command[-1].replace(":", "") + ".onnx")
        _, _, took, peak = tool(command[0], path(name + ".onnx"), *command[1:], "-o", out, status=(0, 1, 3), seconds=60)
        need(took < 20, f"{' '.join(command)}: {took:.0f} s")
        need(peak < 1200, f"{' '.join(command)}: {peak:.0f} MB")


@case("hostile/model_1x4")
def other_name_is_noted(folder, name):
    out = os.path.join(folder, "o.onnx")
    stdout, stderr, *_ = tool("quantize", path(name + ".onnx"), "--data", path("hostile/wrong_input_name.npz"), "-o", out)
    array = next(iter(np.load(path("hostile/wrong_input_name.npz"))))
    need(re.search(rf"`{array}`.*`x`|`x`.*`{array}`", stdout + stderr), f"no note that names `{array}` and `x`")


# ---- graph --------------------------------------------------------------------------------------

def dims_of(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


@case("graph/k1_fix_output_other_names")
def fixed_shapes_reach_outputs(folder, name):
    out = os.path.join(folder, "o.onnx")
    tool("simplify", path(name + ".onnx"), "--fix-shape", "x=1,3,8,8", "-o", out)
    need(dims_of(onnx.load(out).graph.output[0]) == [1, 4, 8, 8], f"output {dims_of(onnx.load(out).graph.output[0])}")


@case("graph/k1_fix_value_info_stale")
def fixed_dims_reach_value_info(folder, name):
    out = os.path.join(folder, "o.onnx")
    tool("simplify", path(name + ".onnx"), "--fix-dim", "H=32", "--fix-dim", "W=32", "-o", out)
    graph = onnx.load(out).graph
    for value in [*graph.value_info, *graph.output]:
        need(all(isinstance(d, int) for d in dims_of(value)[1:]), f"{value.name}: {dims_of(value)}")


@case("graph/k2_macs_free_hw")
def macs_of_dynamic_dims(folder, name):
    out = os.path.join(folder, "o.onnx")
    stdout, stderr, *_ = tool("prune", path(name + ".onnx"), "--macs", "50%", "--data", "random:8", "-o", out, status=(0, 1, 2, 3))
    if not os.path.exists(out):
        need(re.search(r"\bH\b.*\bW\b", stderr), "refused without naming H and W")
        return
    weights = lambda p: sum(int(np.prod(i.dims)) for i in onnx.load(p).graph.initializer if len(i.dims) == 4)
    need(weights(out) <= 0.55 * weights(path(name + ".onnx")), "half of the multiply-accumulates is not gone")


@case("graph/k3_tied_gather_gemm")
def one_table_for_both(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    tool("quantize", model, "--mode", "weights", "--weights", "int8", "-o", out)
    need(size(out, model) < 0.30, f"size {size(out, model):.3f}")
    feed = {"ids": np.random.default_rng(0).integers(0, 50, (2, 5))}
    need(sqnr(outputs(model, feed)[0], outputs(out, feed, True)[0]) > 30, "less than 30 dB")


@case("graph/k5_body_input_named_like_outer_value")
@case("graph/loop_shadow")
@case("graph/k6_import_twice")
def odd_files_are_read(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    tool("inspect", model)
    tool("simplify", model, "-o", out)
    feeds = []
    for seed in range(2):
        feed = {}
        for given in session(model).get_inputs():
            dims = [d if isinstance(d, int) else 2 for d in given.shape]
            feed[given.name] = floats(seed, *dims) if given.type == "tensor(float)" else np.full(dims, 3, np.int64)
        feeds.append(feed)
    equal(model, out, feeds)


@case("graph/k7_candidate_fp16_io", ("tract",), ("ort",))
def halves_are_compared(folder, name, engine):
    original = os.path.join(MODELS, "cifar_winml_cnn.onnx")
    text, *_ = tool("compare", original, path(name + ".onnx"), "--data", "random:4", "--engine", engine, "--json")
    need(min(o["sqnr_db"] for o in json.loads(text)["outputs"]) > 30, "less than 30 dB")


@case("graph/k8_cast_float_to_int64")
def casts_are_not_rolled_back(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    stdout, stderr, *_ = tool("simplify", model, "-o", out)
    need(not re.search(r"taken back|rolled back", stdout + stderr, re.I), "passes were rolled back")
    equal(model, out, [{"x": floats(0, 1)}])


@case("graph/k9_force_data_file")
def force_replaces_its_data(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "out.onnx")
    with open(out + ".data", "wb") as file:
        file.write(b"a stranger's")
    tool("convert", model, "--external-data", "-o", out)
    tool("convert", model, "--external-data", "-o", out, "--force")
    equal(model, out, [{"x": floats(0, 3, 64)}])
    tool("convert", model, "--external-data", "-o", out, "--force")
    named = {e.value for i in onnx.load(out, load_external_data=False).graph.initializer for e in i.external_data if e.key == "location"}
    ours = {f for f in os.listdir(folder) if f not in ("out.onnx", "out.onnx.data")}
    need(ours <= named, f"left behind: {sorted(ours - named)}")
    if "out.onnx.data" not in named:
        need(open(out + ".data", "rb").read() == b"a stranger's", "a stranger's file was replaced")


@case("graph/k10_axis_name_dynamic")
def placeholder_names_are_no_equality(folder, name):
    out = os.path.join(folder, "o.onnx")
    tool("simplify", path(name + ".onnx"), "-o", out)
    equal(path(name + ".onnx"), out, [{"a": floats(0, 2, 3), "b": floats(1, 5, 3)}, {"a": floats(0, 2, 3), "b": floats(1, 2, 3)}])


@case("graph/k12_equal_weights_in_branches")
def equal_weights_are_one(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    tool("simplify", model, "-o", out)
    need(os.path.getsize(out) < 75_000, f"{os.path.getsize(out)} bytes")
    equal(model, out, [{"x": s * np.abs(floats(0, 2, 128))} for s in (1, -1)])


@case("graph/k16_layernorm_before_opset17")
def operators_before_their_version(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    tool("inspect", model)
    tool("convert", model, "--opset", "17", "-o", out)
    equal(model, out, [{"x": floats(0, 3, 64)}])


@case("graph/k17_equal_nodes_beside_loop")
@case("graph/k17_equal_matmuls_into_loop")
def equal_nodes_are_merged(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    stdout, stderr, *_ = tool("simplify", model, "-o", out)
    need(not re.search(r"taken back|rolled back", stdout + stderr, re.I), "rolled back")
    need(nodes(out) < nodes(model), f"{nodes(out)} nodes of {nodes(model)}")
    equal(model, out, [{"x": floats(n, 3, 8), "n": np.array(n, np.int64)} for n in (0, 1, 4)])


@case("graph/split_c2f")
def layers_are_tried(folder, name):
    out = os.path.join(folder, "o.onnx")
    stdout, stderr, *_ = tool("quantize", path(name + ".onnx"), "--data", path(name + ".npz"), "-o", out)
    need("not tried" not in stdout + stderr and "crashed" not in stdout + stderr, "layers were not tried one by one")


# ---- quantize -----------------------------------------------------------------------------------

def quantized(folder, name, *options, status=0):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    text = "".join(tool("quantize", model, *options, "-o", out, status=status)[:2])
    return model, out, text


@case("quantize/k1_embed_matmul", ("ort", 38, 0.45), ("qnn", 36, 0.45), ("portable", 36, 0.45), ("tensorrt", 36, 1.0))
@case("quantize/k1_embed_add_qnn", ("qnn", 36, 0.35), ("ort", 36, 0.35))
def embeddings_are_quantized(folder, name, target, least, most):
    model, out, _ = quantized(folder, name, "--data", path(name + ".npz"), "--target", target)
    need(size(out, model) <= most, f"size {size(out, model):.3f}")
    found = drift(model, out, path(name + ".npz"))
    need(found >= least, f"{found:.1f} dB")


@case("quantize/k2_left_matmul", (), ("--weights", "uint8"), ("--qoperator",))
def left_weights_load(folder, name, *options):
    options = ["--mode", "dynamic", *options] if "--qoperator" not in options else ["--data", path(name + ".npz"), *options]
    model, out, _ = quantized(folder, name, *options, status=(0, 3))
    found = drift(model, out, path(name + ".npz"))
    need(found >= 30, f"{found:.1f} dB")


@case("quantize/k2_lstm_asym_uint8")
def asymmetric_recurrent_weights(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    _, stderr, *_ = tool("quantize", model, "--mode", "dynamic", "--weights", "uint8", "--asymmetric-weights", "-o", out, status=(0, 1, 2, 3))
    if not os.path.exists(out):
        need(re.search("zero point|symmetric", stderr), f"refused without a reason: {stderr[-200:]}")
        return
    need(drift(model, out, path(name + ".npz")) >= 30, "less than 30 dB")


@case("quantize/k2_int2_odd_64x33", ("ort", "block:16"), ("portable", "block:16"), ("portable", "block:32"), ("ort", "channel"))
def odd_columns_of_two_bits(folder, name, target, granularity):
    model, out, _ = quantized(folder, name, "--mode", "weights", "--weights", "int2", "--granularity", granularity, "--target", target)
    feed = {"x": floats(0, 64, 64)}
    found, plain = (sqnr(outputs(model, feed)[0], outputs(out, feed, optimize)[0]) for optimize in (True, False))
    need(found >= 6 and abs(found - plain) < 0.5, f"{found:.1f} dB, {plain:.1f} dB without optimization")


@case("quantize/k3_concat_ranges_qnn")
def small_branch_survives(folder, name):
    model, out, text = quantized(folder, name, "--data", path(name + ".npz"), "--target", "qnn")
    a, b = by_sample(model, path(name + ".npz"), False)[0], by_sample(out, path(name + ".npz"))[0]
    half = a.shape[2] // 2
    found = sqnr(a[:, :, half:], b[:, :, half:])
    need(found >= 30, f"the small half keeps {found:.1f} dB")


@case("quantize/k4_cast_fp16_weight", ("static",), ("weights",), ("dynamic",))
def weights_behind_casts(folder, name, mode):
    options = ["--data", path(name + ".npz")] if mode == "static" else ["--mode", mode]
    model, out, _ = quantized(folder, name, *options)
    need(size(out, model) < 0.65, f"size {size(out, model):.3f} of the half model")
    found = drift(model, out, path(name + ".npz"))
    need(found >= 33, f"{found:.1f} dB")


@case("quantize/k4_fp16_llm", ("int8", 0.55, 30), ("int4", 0.30, 12))
def halves_are_stored(folder, name, weights, most, least):
    model, out, _ = quantized(folder, name, "--mode", "weights", "--weights", weights)
    need(size(out, model) <= most, f"size {size(out, model):.3f}")
    found = drift(model, out, path(name + ".npz"))
    need(found >= least, f"{found:.1f} dB")


@case("quantize/k5_tied_gemm", ("weights", "int8", 0.30), ("weights", "int4", 0.30), ("dynamic", "int8", 0.35), ("static", "int8", 0.35))
def tied_tables_are_one(folder, name, mode, weights, most):
    options = ["--data", path(name + ".npz")] if mode == "static" else ["--mode", mode]
    model, out, _ = quantized(folder, name, *options, "--weights", weights)
    need(size(out, model) <= most, f"size {size(out, model):.3f}")
    found = drift(model, out, path(name + ".npz"))
    need(found >= (25 if weights == "int8" else 8), f"{found:.1f} dB")


@case("quantize/k6_qat_conv", ("complete",), ("weights",), ("simplify",))
def trained_scales_are_kept(folder, name, how):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    if how == "simplify":
        tool("simplify", model, "-o", out)
        equal(model, out, [{"x": np.load(path(name + ".npz"))["x"][:1]}], 1e-6)
    else:
        options = ["--data", path(name + ".npz"), "--existing", "complete"] if how == "complete" else ["--mode", "weights"]
        quantized(folder, name, *options)
    need(size(out, model) <= 0.31, f"size {size(out, model):.3f}")


@case("quantize/k7_argmax_and_logits")
def indices_do_not_steer(folder, name):
    model, out, text = quantized(folder, name, "--data", path(name + ".npz"))
    alone, out_alone = path("quantize/k7_logits_only.onnx"), os.path.join(folder, "alone.onnx")
    tool("quantize", alone, "--data", path("quantize/k7_argmax_and_logits.npz"), "-o", out_alone)
    names = [o.name for o in onnx.load(model).graph.output]
    pick = lambda p: by_sample(p, path(name + ".npz"))[names.index("l")]
    both, only = sqnr(by_sample(model, path(name + ".npz"), False)[names.index("l")], pick(out)), drift(alone, out_alone, path(name + ".npz"))
    need(both >= only - 0.3, f"{both:.1f} dB, {only:.1f} dB without the ArgMax output")
    need(re.search("agree|equal", text.lower()), "class indices are not judged by agreement")


@case("quantize/k8_nms", ("ort",), ("qnn",), ("portable",))
def selection_models(folder, name, target):
    model, out, _ = quantized(folder, name, "--data", path(name + ".npz"), "--target", target)
    need(size(out, model) < 0.95, f"size {size(out, model):.3f}")
    session(out, True)


@case("quantize/k8_lstm_batch3")
def states_are_made(folder, name):
    model, out, _ = quantized(folder, name, "--data", path(name + ".npz"))
    need(size(out, model) < 0.4, f"size {size(out, model):.3f}")
    need(drift(model, out, path(name + ".npz")) >= 33, "less than 33 dB")


@case("quantize/k9_einsum_heads", ("static", 1.0), ("weights", 0.30), ("dynamic", 1.0))
def einsum_is_a_product(folder, name, mode, most):
    options = ["--data", path(name + ".npz")] if mode == "static" else ["--mode", mode]
    model, out, _ = quantized(folder, name, *options)
    need(size(out, model) <= min(most, 0.35), f"size {size(out, model):.3f}")
    need(drift(model, out, path(name + ".npz")) >= 28, "less than 28 dB")


@case("quantize/k10_memory", ("int4",))
def memory_of_the_search(folder, name, weights):
    subprocess.run([sys.executable, path(name + ".py")], cwd=folder, check=True, capture_output=True)
    made = next(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".onnx"))
    out = os.path.join(folder, "o.onnx")
    from common import measure
    _, _, peak = measure([TOOL, "quantize", made, "--mode", "weights", "--weights", weights, "-o", out, "-q"])
    model = os.path.getsize(made) / 2**20
    # A quarter of the model and the program itself, some 40 MB.
    need(peak <= 1.35 * model + 40, f"{peak:.0f} MB for a model of {model:.0f} MB")


# ---- scale --------------------------------------------------------------------------------------

@case("scale/bert_sdpa17")
@case("scale/bert")
def seeded_inputs_fit(folder, name):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    stdout, stderr, *_ = tool("simplify", model, "-o", out)
    need(not re.search(r"taken back|rolled back|crashed|out of range", stdout + stderr, re.I), (stdout + stderr)[-300:])
    found = drift(model, out, path("scale/bert.npz"))
    need(found >= 100, f"{found:.1f} dB")


@case("scale/bert", ("--macs",))
@case("scale/llama", ("--macs",), ("--params",))
@case("scale/llama_ts", ("--macs",), ("--params",))
@case("scale/bert_dyn", ("--params",))
def budgets_of_dynamic_dims(folder, name, budget):
    model, out = path(name + ".onnx"), os.path.join(folder, "o.onnx")
    command = ["prune", model, budget, "70%", "--data", path(name + ".npz"), "-o", out, "--json"]
    done = subprocess.run([TOOL, *command], capture_output=True, text=True, timeout=600)
    need(done.returncode in (0, 3), f"status {done.returncode}: {done.stderr[-300:]}")
    kept = json.loads(done.stdout)["drift"]["macs" if budget == "--macs" else "parameters"]
    need(kept["original"], "nothing was counted")
    share = kept["candidate"] / kept["original"]
    need(share <= 0.701 or done.returncode == 3, f"{share:.1%} kept with status {done.returncode}")
    need(share <= 0.95, f"nothing was pruned: {share:.1%}")
    session(out, True)


@case("scale/bert_dyn")
def heads_of_dynamic_exports(folder, name):
    stdout, *_ = tool("inspect", path(name + ".onnx"), "--channels")
    reference, *_ = tool("inspect", path("scale/bert.onnx"), "--channels")
    heads = lambda text: len(re.findall(r"\bheads?\b", text))
    need(heads(stdout) >= heads(reference) > 0, f"{heads(stdout)} mentions of heads, bert has {heads(reference)}")


@case("scale/dg16", ("factorize",), ("prune",))
def figures_hold_on_other_samples(folder, name, command):
    model, out = os.path.join(ROOT, "fixtures", "digits_mlp.onnx"), os.path.join(folder, "o.onnx")
    stdout, *_ = tool(command, model, "--params", "70%", "--data", path(name + ".npz"), "--scale", "1/16", "-o", out, "--json", status=(0, 3))
    reported = min(o["sqnr_db"] for o in json.loads(stdout)["drift"]["outputs"])
    x = np.load(os.path.join(DATA, "digits_test.npz"))["x"].astype(np.float32) / 16
    given = session(model).get_inputs()[0]
    samples = os.path.join(folder, "test.npz")
    np.savez(samples, **{given.name: x.reshape(len(x), *given.shape[1:])})
    found = drift(model, out, samples)
    need(reported <= found + 3, f"{reported:.1f} dB reported, {found:.1f} dB on the test set")


def main():
    wanted, failed = sys.argv[1:], []
    chosen = [entry for entry in CASE_LIST if not wanted or any(part in entry[0] for part in wanted)]
    for label, check, given in chosen:
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(folder, label.split(" ")[0], *given)
                print(f"right  {label}: {check.__name__}", flush=True)
            except Exception as problem:  # Any problem is the case's.
                failed.append(label)
                print(f"WRONG  {label}: {check.__name__}: {str(problem)[:300]}", flush=True)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} right")
    sys.exit(1 if failed or not chosen else 0)


if __name__ == "__main__":
    main()
