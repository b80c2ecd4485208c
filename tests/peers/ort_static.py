#!/usr/bin/env python3
"""onnxruntime's static quantization on given feeds: ort_static.py MODEL FEEDS.npy OUT channel|tensor CALIBRATOR"""
import os
import sys
import tempfile

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Samples(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def main():
    model, feeds, out, share, calibrator = sys.argv[1:]
    feeds = np.load(feeds, allow_pickle=True)
    with tempfile.TemporaryDirectory() as folder:
        prepared = os.path.join(folder, "prepared.onnx")
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
        made = os.path.join(folder, "made.onnx")
        quantize_static(
            prepared, made, Samples(feeds), quant_format=QuantFormat.QDQ, per_channel=share == "channel",
            calibrate_method=CalibrationMethod[calibrator],
        )
        os.replace(made, out) if os.stat(folder).st_dev == os.stat(os.path.dirname(os.path.abspath(out))).st_dev else open(out, "wb").write(open(made, "rb").read())


if __name__ == "__main__":
    main()
