"""Figures travel with the model: into its card, and nothing else of it changes."""

import json

from training.evaluation.card import record_metrics


def test_the_figures_replace_the_cards_metrics(tmp_path):
    card = {"name": "m", "sha256": "0" * 64, "metrics": {"old": 1}}
    (tmp_path / "m.json").write_text(json.dumps(card))
    alarms = {"rooms": {"pictures": 174, "per_hundred": 2.298851}}
    report = {"split": "test", "false_alarms": {"INT8": alarms, "float": {}}}
    written = record_metrics(tmp_path / "m.tflite", report, "INT8")
    found = json.loads(written.read_text())
    rounded = {"rooms": {"pictures": 174, "per_hundred": 2.2989}}
    assert found == {**card, "metrics": {"split": "test", "false_alarms": rounded}}
