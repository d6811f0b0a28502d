"""What the cost rig counts the instructions of; runs in the emulated device.

    python cost_guest.py CALLS network MODEL.tflite
    python cost_guest.py CALLS call NAME SCENE.npy

The rig subtracts a run with few calls from one with more, so all else here cancels out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_app.vision.interpreter import load_interpreter, runtime_name


def network(model: Path) -> Callable[[], object]:
    """One inference on one thread."""
    interpreter = load_interpreter(model.read_bytes(), threads=1)
    inputs = np.random.default_rng(5).integers(0, 256, interpreter.input.shape, np.uint8)
    return lambda: interpreter.run(inputs.astype(interpreter.input.dtype, copy=False))


def call(name: str, scene: Path) -> Callable[[], object]:
    """What one frame costs the detector, or one face the classifier, with everything."""
    import cv2

    from edge_app.settings import Settings
    from edge_app.vision.bundle import load_bundle
    from edge_app.vision.classifier import Classifier
    from edge_app.vision.detector import BundleDetector

    cv2.setNumThreads(1)
    settings = Settings()
    image = np.load(scene)
    detector = BundleDetector(load_bundle(settings.detector.bundle, "detect"))
    faces = detector.detect(image)
    if len(faces) != 1:
        raise SystemExit(f"{scene}: {len(faces)} faces instead of one")
    if name == settings.detector.bundle:
        return lambda: detector.detect(image)
    classifier = Classifier(load_bundle(name, "classify"))
    return lambda: classifier.classify(image, faces[0].box)


def main() -> None:
    """Make the calls, and say on what."""
    calls, what, model, *scene = sys.argv[1:]
    one = network(Path(model)) if what == "network" else call(model, Path(scene[0]))
    for _ in range(int(calls)):
        one()
    packages = {"numpy": np.__version__}
    if "cv2" in sys.modules:
        packages["OpenCV"] = sys.modules["cv2"].__version__
    version = ".".join(str(part) for part in sys.version_info[:2])
    print(runtime_name(), f"Python {version}", *(f"{k} {v}" for k, v in packages.items()), sep=", ")


if __name__ == "__main__":
    main()
