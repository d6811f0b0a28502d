"""The four formats of a small network, and the layers where INT8 loses."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")

from edge_app.vision.interpreter import load_interpreter
from training.exporting.conversion import Format, convert, saved_model
from training.exporting.quantisation_debug import (
    SHOWN_LAYERS,
    LayerError,
    layer_errors,
    layers_table,
    worst_layers,
)

SIDE = 16


def pictures(number: int, low: int, high: int) -> np.ndarray:
    """Noise around a colour that differs from picture to picture, all within low..high."""
    rng = np.random.default_rng(0)
    colour, noise = (
        rng.integers(low, high, (number, side, side, 3), endpoint=True) for side in (1, SIDE)
    )
    return ((colour + noise) // 2).astype(np.uint8)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """All formats, calibrated on the pictures it is tried on; ``dim``: INT8 on dark ones only."""
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(32, 3, use_bias=False, name="first")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(6.0, name="relu")(x)
    x = keras.layers.Conv2D(32, 3, name="second")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(3, name="logits")(x), name="net")
    with saved_model(model) as folder:
        made = {str(form): convert(folder, form, pictures(20, 0, 255)) for form in Format}
        made["dim"] = convert(folder, Format.INT8, pictures(20, 120, 135))
    return made


def test_every_format_is_smaller_than_the_one_before(files) -> None:
    sizes = [len(files[form]) for form in ("float32", "float16", "int8")]
    assert sizes == sorted(sizes, reverse=True)
    assert len(files["dynamic"]) < len(files["float16"])


def test_every_format_answers_alike(files) -> None:
    picture = pictures(1, 0, 255)
    real = picture.astype(np.float32) / 127.5 - 1
    exact = load_interpreter(files["float32"]).run_real(real)[0]
    spread = float(np.ptp(exact))
    for form in ("float16", "dynamic"):
        engine = load_interpreter(files[form])
        assert engine.input.dtype == "float32"
        np.testing.assert_allclose(engine.run_real(real)[0], exact, atol=0.1 * spread)
    engine = load_interpreter(files["int8"])
    assert engine.input.dtype == "uint8"
    np.testing.assert_allclose(engine.run_real(picture)[0], exact, atol=0.1 * spread)


def test_a_well_calibrated_file_loses_little_in_every_layer(files) -> None:
    errors = layer_errors(files["float32"], files["int8"], pictures(5, 0, 255))
    assert len({e.layer for e in errors}) == len(errors) >= 4
    assert {"CONV_2D", "MEAN"} <= {e.operator for e in errors}
    for e in errors:
        assert 0 <= e.error < 0.1
        assert e.added <= e.error
        assert e.clipped < 0.01 or e.operator != "CONV_2D", "one of few values may be at the edge"
        assert e.low <= e.high


def test_a_layer_that_cannot_hold_its_values_is_found(files) -> None:
    """Calibrated on dim pictures, the first layer clips what bright ones give."""
    errors = layer_errors(files["float32"], files["dim"], pictures(5, 0, 255))
    worst = worst_layers(errors)[0]
    assert "relu" in worst["layer"] or "first" in worst["layer"]
    assert worst["added"] > 0.3
    assert worst["clipped"] > 0.1
    good = layer_errors(files["float32"], files["int8"], pictures(5, 0, 255))
    assert errors[-1].error > 5 * good[-1].error


def test_the_table_shows_the_worst_first_and_no_more_than_it_says() -> None:
    errors = [
        LayerError(f"layer|{i};fused", "CONV_2D", 0.1, -1.0, 1.0, i / 100, i / 100, 0.0)
        for i in range(SHOWN_LAYERS + 5)
    ]
    worst = worst_layers(errors)
    assert len(worst) == SHOWN_LAYERS
    rows = layers_table(worst).splitlines()[2:]
    assert len(rows) == SHOWN_LAYERS
    assert rows[0].startswith(f"| layer/{SHOWN_LAYERS + 4} | CONV_2D | {SHOWN_LAYERS + 4}.00 |")
