"""Figures for classifiers, detectors and the two together; pure functions of arrays.

Every figure is exactly reproducible: the only random one, the bootstrap, takes a seed.
"""

from training.metrics.calibration import Calibration, CalibrationBin, calibration
from training.metrics.classification import (
    ClassFigures,
    ClassifierFigures,
    Interval,
    classifier_figures,
    confusion_matrix,
    wilson,
)
from training.metrics.curves import OneVsRest, one_vs_rest
from training.metrics.detection import (
    Detections,
    FalseAlarms,
    Matches,
    Truths,
    assign,
    average_precision,
    false_alarms,
    match,
)
from training.metrics.end_to_end import EndToEndClass, EndToEndFigures, end_to_end_figures

__all__ = [
    "Calibration",
    "CalibrationBin",
    "ClassFigures",
    "ClassifierFigures",
    "Detections",
    "EndToEndClass",
    "EndToEndFigures",
    "FalseAlarms",
    "Interval",
    "Matches",
    "OneVsRest",
    "Truths",
    "assign",
    "average_precision",
    "calibration",
    "classifier_figures",
    "confusion_matrix",
    "end_to_end_figures",
    "false_alarms",
    "match",
    "one_vs_rest",
    "wilson",
]
