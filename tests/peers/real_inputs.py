"""Inputs of the shared models: samples to calibrate with and others to measure with, as the arrays
that the models take.

Labelled models get their own data. For the others: pictures of the ImageNet sample, resized; frames of
the speech recording, with the states that the model itself makes; normal noise where nothing real is
there (policies).
"""
import os

import numpy as np

from common import DATA, NORMALISED, images, model_path, prepare, session

# 3-channel models without labels: divisor, mean, colour order of their own preprocessing.
PICTURES = {
    "fastestdet": (255.0, 0.0, "bgr"), "ppocr_v2_cls": (127.5, 1.0, "bgr"), "ultraface_rfb320_bn": (128.0, 127 / 128, "rgb"),
    "yolox_nano_3class": (1.0, 0.0, "bgr"), "yunet_n_320": (1.0, 0.0, "bgr"), "superres_core": (255.0, 0.0, "y"),
}
SIZES = {"ppocr_v2_cls": (48, 192), "superres_core": (224, 224)}
CALIBRATION, TEST = 128, 64


def sample_file(entry, part):
    """Samples of a labelled model as it takes them, and labels."""
    name = entry["data"].replace("_test", part)
    x, y = images(np.load(os.path.join(DATA, name)))
    more = os.path.join(DATA, name.replace(".npz", "_more.npz"))
    if part == "_calib" and os.path.exists(more):
        extra, labels = images(np.load(more))
        x, y = np.concatenate([x, extra]), np.concatenate([y, labels])
    if part == "_calib" and name in NORMALISED:
        mean, std, div = NORMALISED[name]
        shape = (1, -1, 1, 1)
        x = np.round((x * np.reshape(std, shape) + np.reshape(mean, shape)) * div)
    return prepare(x, entry["preprocess"]), y


def labelled(name, entry):
    given = session(model_path(name)).get_inputs()[0]
    calib, _ = sample_file(entry, "_calib")
    test, labels = sample_file(entry, "_test")
    feed = lambda x: [{given.name: x[i : i + 1]} for i in range(len(x))]
    return feed(calib[:CALIBRATION]), feed(test), labels


def pictures(name):
    from PIL import Image

    raw = np.concatenate([images(np.load(os.path.join(DATA, "imagenet_sample" + part)))[0] for part in ("_calib.npz", "_calib_more.npz", "_test.npz")])
    given = session(model_path(name)).get_inputs()[0]
    height, width = SIZES.get(name) or given.shape[2:]
    div, shift, order = PICTURES[name]

    def one(x):
        picture = np.asarray(Image.fromarray(x.transpose(1, 2, 0)).resize((width, height), Image.BILINEAR), np.float32)
        if order == "y":
            picture = picture @ np.array([[0.299], [0.587], [0.114]], np.float32)
        picture = picture[..., ::-1] if order == "bgr" else picture
        return {given.name: np.ascontiguousarray((picture / div - shift).transpose(2, 0, 1)[None], np.float32)}

    return [one(x) for x in raw[:100]], [one(x) for x in raw[100 : 100 + TEST]]


def speech():
    return np.load(os.path.join(DATA, "speech_16k.npz"))["pcm"].astype(np.float32) / 32768


def windows(x, length, step):
    return [x[i : i + length] for i in range(0, len(x) - length + 1, step)]


def streaming(name):
    """Frames of speech for models that hand their state on; the states are the model's own."""
    run = session(model_path(name))
    inputs, outputs = run.get_inputs(), [o.name for o in run.get_outputs()]
    x = speech()
    hann = np.hanning(513)[:512].astype(np.float32)
    spectra = [np.fft.rfft(w * hann) for w in windows(x, 512, 256)]
    frames = {
        "silero_vad_16k_static": lambda: [w[None] for w in windows(x, 576, 512)],
        "silero_vad_v5_if": lambda: [w[None] for w in windows(x, 576, 512)],
        "dtln_1_lstm": lambda: [np.abs(s)[None, None].astype(np.float32) for s in spectra],
        "gtcrn_stream": lambda: [np.stack([s.real, s.imag], -1)[None, :, None].astype(np.float32) for s in spectra],
    }[name]()
    shape = lambda given: [d if isinstance(d, int) else 1 for d in given.shape]
    states = {g.name: np.zeros(shape(g), np.float32) for g in inputs[1:] if g.type == "tensor(float)"}
    fixed = {g.name: np.array(16000, np.int64) for g in inputs[1:] if g.type == "tensor(int64)"}
    feeds = []
    for frame in frames:
        feed = {inputs[0].name: frame, **states, **fixed}
        feeds.append(feed)
        states = dict(zip(states, run.run(outputs[1:], feed)))
    half = len(feeds) // 2
    pick = lambda part, count: part[:: max(1, len(part) // count)][:count]
    return pick(feeds[:half], CALIBRATION), pick(feeds[half:], TEST)


def audio(name):
    x = speech()
    if name == "basic_pitch_nmp":
        x = np.interp(np.arange(0, len(x), 16000 / 22050), np.arange(len(x)), x).astype(np.float32)
        feeds = [{"serving_default_input_2:0": w[None, :, None]} for w in windows(x, 43844, 22000)]
    else:
        spectra = np.array([np.abs(np.fft.rfft(w * np.hanning(320))) for w in windows(x, 320, 160)], np.float32)
        power = np.log10(np.maximum(spectra**2, 1e-12))
        feeds = [{"input_1": w[None]} for w in windows(power, 901, 100)]
    half = (len(feeds) + 1) // 2
    return feeds[:half], feeds[half:]


def noise(name):
    random = np.random.default_rng(0)
    given = session(model_path(name)).get_inputs()
    def one():
        shape = lambda g: [d if isinstance(d, int) else 1 if i == 0 else 64 for i, d in enumerate(g.shape)]
        draw = lambda g: random.integers(0, 256, shape(g)).astype(np.uint8) if g.type == "tensor(uint8)" else random.standard_normal(shape(g)).astype(np.float32)
        return {g.name: draw(g) for g in given}
    return [one() for _ in range(CALIBRATION)], [one() for _ in range(TEST)]


UNLABELLED = {
    **{name: pictures for name in PICTURES},
    **{name: streaming for name in ("silero_vad_16k_static", "silero_vad_v5_if", "dtln_1_lstm", "gtcrn_stream")},
    **{name: audio for name in ("basic_pitch_nmp", "dnsmos_bak_ovr")},
    **{name: noise for name in ("policy_apollo", "policy_go1", "byte_bilstm_tract")},
}


def unlabelled(name):
    return UNLABELLED[name](name)
