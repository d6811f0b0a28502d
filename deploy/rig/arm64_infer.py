"""Runs the shipped models on stored inputs and says what came out, on whatever machine runs it.

    python arm64_infer.py INPUTS.npz OUT.json

The arm64 rig starts it on x86-64 and in every arm64 environment, and compares.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path

import cv2
import numpy as np

from edge_app.vision.bundle import load_bundle
from edge_app.vision.interpreter import runtime_name
from edge_app.vision.kernels import kernels


def main() -> None:
    """Write JSON: versions, kernels of each model, and a hash of every input's outputs."""
    inputs, output = (Path(name) for name in sys.argv[1:])
    found = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "runtime": runtime_name(),
        "kernels": {},
        "outputs": {},
    }
    with np.load(inputs) as arrays:
        for name in sorted({key.split("/")[0] for key in arrays.files}):
            model, task = name.split(":")
            interpreter = load_bundle(model, task).interpreter
            found["kernels"][model] = str(kernels(interpreter))
            for key in sorted(key for key in arrays.files if key.split("/")[0] == name):
                outputs = interpreter.run(arrays[key][None])
                digest = hashlib.sha256(b"".join(part.tobytes() for part in outputs))
                found["outputs"][key] = digest.hexdigest()
    output.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
