"""What the peer checks share: where things are, how samples are prepared, how a model is run."""
import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime as ort

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.environ.get("ONNXPRESS_SHARED", os.path.join(ROOT, "..", "shared"))
MODELS = os.path.join(SHARED, "models")
DATA = os.path.join(SHARED, "data")
TOOL = os.environ.get("ONNXPRESS", os.path.join(ROOT, "target", "release", "onnxpress"))

# How the float samples of the calibration files were normalised: x = (raw / 255 - mean) / std.
NORMALISED = {
    "cifar10_calib.npz": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], 255.0),
    "mnist_calib.npz": ([0.1307], [0.3081], 255.0),
    "digits_calib.npz": ([0.0], [1.0], 16.0),
}


def manifest():
    with open(os.path.join(MODELS, "models.json")) as file:
        return {entry["name"]: entry for entry in json.load(file)["models"]}


def model_path(name):
    return os.path.join(MODELS, name + ".onnx")


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def tool(*arguments):
    """Runs onnxpress; returns exit code, standard output, standard error."""
    done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def images(npz):
    """The images of a sample file, [N, C, H, W], and the labels."""
    if "jpeg" in npz:
        import io

        from PIL import Image

        ends = npz["offset"]
        blob = npz["jpeg"]
        pictures = [
            np.asarray(Image.open(io.BytesIO(blob[ends[i] : ends[i + 1]].tobytes())).convert("RGB"))
            for i in range(len(ends) - 1)
        ]
        return np.stack(pictures).transpose(0, 3, 1, 2), npz["y"]
    return npz[next(key for key in ("x", "ids", "bytes") if key in npz)], npz["y"]


def prepare(x, how):
    if how["kind"] == "tokens":
        return x.astype(how["dtype"])
    x = x.astype(np.float32)
    if how.get("bgr"):
        x = x[:, ::-1]
    mean = np.array(how["mean"], np.float32).reshape(1, -1, 1, 1)
    std = np.array(how["std"], np.float32).reshape(1, -1, 1, 1)
    x = (x / how.get("div", 1.0) - mean) / std
    if how.get("flatten"):
        x = x.reshape(len(x), -1)
    return np.ascontiguousarray(x.astype(how.get("dtype", "float32")))


def scores(path, entry, x):
    """Class scores of every sample, in onnxruntime."""
    run = session(path)
    given = run.get_inputs()[0]
    fixed = isinstance(given.shape[0], int) and given.shape[0] > 0
    batch = given.shape[0] if fixed else 50
    rows = []
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        real = len(part)
        if fixed and real < batch:
            part = np.concatenate([part, np.repeat(part[-1:], batch - real, 0)])
        out = run.run(None, {given.name: prepare(part, entry["preprocess"])})[entry.get("output", 0)]
        rows.append(out.reshape(len(part), -1)[:real])
    return np.concatenate(rows).astype(np.float32)


def numbers(values):
    return ",".join(repr(float(v)) for v in values)


def preprocessing(how):
    """Options of onnxpress for raw samples."""
    if how["kind"] == "tokens":
        return []
    options = ["--scale", repr(1.0 / how.get("div", 1.0)), "--mean=" + numbers(how["mean"]), "--std=" + numbers(how["std"])]
    return options + (["--channels", "bgr"] if how.get("bgr") else [])


def calibration(entry, folder):
    """Calibration file and options of onnxpress for a labelled model."""
    how = entry["preprocess"]
    name = entry["data"].replace("_test", "_calib")
    path = os.path.join(DATA, name)
    if name not in NORMALISED:
        npz = np.load(path)
        key = next(key for key in ("x", "ids", "bytes") if key in npz)
        raw = os.path.join(folder, name)
        np.savez_compressed(raw, **{key: npz[key]})
        return raw, preprocessing(how)
    mean, std, div = (np.array(part, np.float64) for part in NORMALISED[name])
    # The model wants (raw / d - m) / s; the file holds z = (raw / div - mean) / std.
    factor = div / how.get("div", 1.0)
    wanted = np.array(how["mean"]), np.array(how["std"])
    shift = (wanted[0] / factor - mean) / std
    scale = wanted[1] / factor / std
    if np.allclose(shift, 0) and np.allclose(scale, 1):
        return path, []
    return path, ["--mean=" + numbers(shift), "--std=" + numbers(scale)]


# Run by a bare interpreter: a process starts with the peak memory of the one that made it.
MEASURE = """
import os, sys, time
start = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(status, time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=sys.stderr)
"""


def measure(command):
    """Wall seconds, processor seconds and peak resident megabytes of a whole process."""
    done = subprocess.run([sys.executable, "-S", "-E", "-c", MEASURE, *command], stderr=subprocess.PIPE, text=True)
    status, wall, cpu, peak = done.stderr.splitlines()[-1].split()
    if status != "0":
        sys.exit(f"failed: {' '.join(command)}")
    return float(wall), float(cpu), float(peak)
