#!/usr/bin/env python3
"""onnxruntime's own static quantization, as its documentation shows it.

    ort_quantize.py MODEL CALIB.npz OUT [--tensor] [--calibrator NAME]

QDQ, per channel unless --tensor; min-max unless the name is percentile, entropy or distribution.
"""
import os
import sys
import tempfile

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Samples(CalibrationDataReader):
    def __init__(self, name, x, batch):
        self.rows = iter([{name: x[i : i + batch]} for i in range(0, len(x), batch)])

    def get_next(self):
        return next(self.rows, None)


def main():
    model, calib, out = sys.argv[1:4]
    name = sys.argv[sys.argv.index("--calibrator") + 1] if "--calibrator" in sys.argv else "minmax"
    method = {
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
        "distribution": CalibrationMethod.Distribution,
    }.get(name, CalibrationMethod.MinMax)
    import onnx

    graph = onnx.load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    given = next(given for given in graph.input if given.name not in weights)
    npz = np.load(calib)
    x = npz[next(key for key in ("x", "ids", "bytes") if key in npz)]
    with tempfile.TemporaryDirectory() as folder:
        prepared = os.path.join(folder, "prepared.onnx")
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared, out, Samples(given.name, x, 1), quant_format=QuantFormat.QDQ,
            per_channel="--tensor" not in sys.argv, calibrate_method=method,
        )


if __name__ == "__main__":
    main()
