"""What a recipe says: one TOML file per model, as frozen dataclasses.

:mod:`training.recipe_file` reads and checks them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_app.domain import MaskState
from training.data.camera import CameraRanges


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training.

    Attributes:
        epochs: At most so many; fewer when nothing improves, see :attr:`Recipe.patience`.
        learning_rate: Its peak; how it falls from there says :attr:`Recipe.schedule`.
        frozen: Whether only the layers without start weights are trained.
        warmup_epochs: Epochs over which the learning rate rises from a hundredth.
        unfreeze_from: Layer of the backbone from which on it is trained; "" means all of it.
    """

    epochs: int
    learning_rate: float
    frozen: bool = False
    warmup_epochs: float = 0.0
    unfreeze_from: str = ""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The network.

    Attributes:
        width: Of the input, in pixels.
        height: Of the input, in pixels.
        alpha: Width multiplier of MobileNet V1 and V2; other backbones have none.
        dropout: Fraction dropped before the last layer (classifier).
        channels: Width of the feature pyramid and heads (detector).
        backbone: Name in :data:`training.models.backbones.BACKBONES` (classifier).
        dense: Units of a hidden layer before the last one, 0 for none (classifier).
    """

    width: int
    height: int
    alpha: float = 0.35
    dropout: float = 0.3
    channels: int = 48
    backbone: str = "mobilenet_v2"
    dense: int = 0


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which faces are drawn how often (classifier).

    Attributes:
        margin: Crop margin, see :func:`edge_app.vision.geometry.square_crop`.
        min_face: Faces with a shorter side (pixels of the stored picture) are not used.
        class_power: A face is drawn with weight (faces of its class) ** -class_power.
        dataset_weights: Weight of each data set; those not named are not used.
        render: Fraction of draws that are a bare face with a mask rendered on it.
        render_correct: Fraction of the rendered masks that are worn correctly.
        occluder: Fraction of bare faces that get something that is not a mask.
        shift: Largest shift of the box, as a fraction of its side.
        scale: Largest scaling of the box is ``1/scale..scale``.
        rotation: Largest rotation in degrees.
        shear: Largest shear along either axis, as a fraction of the side.
        limits: "DATASET/LABEL" -> at most so many of its faces are used, all splits together;
            which ones depends on the pictures' hashes alone.
    """

    margin: float
    min_face: float
    class_power: float
    dataset_weights: dict[str, float]
    render: float = 0.0
    render_correct: float = 0.3
    occluder: float = 0.0
    shift: float = 0.08
    scale: float = 1.15
    rotation: float = 12.0
    shear: float = 0.0
    limits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """How faces are placed on the detector's canvas.

    Attributes:
        dataset_weights: Weight of each data set; those not named are not used.
        negatives: Fraction of canvases without any face.
        face_px: Target size of one random face is drawn log-uniformly from this range.
        min_face: Faces smaller than this on the canvas are ignored, in pixels.
        max_zoom: A stored picture is enlarged at most this much.
        backdrop: Probability that the bars around a picture show a room, not grey.
        rotation: Largest rotation in degrees.
    """

    dataset_weights: dict[str, float]
    negatives: float = 0.1
    face_px: tuple[float, float] = (12.0, 150.0)
    min_face: float = 9.0
    max_zoom: float = 3.0
    backdrop: float = 0.5
    rotation: float = 10.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run, beside the data and the start weights.

    Attributes:
        name: Of the run's folder and of the bundle.
        task: ``classify`` or ``detect``.
        seed: Of the batches, the new layers and the dropout.
        batch: Pictures per step.
        steps_per_epoch: Steps between two validations.
        phases: Trained one after the other.
        model: The network.
        labels: Classes in the order of the classifier's outputs; none for a detector.
        weight_decay: AdamW's.
        label_smoothing: Of the classifier's targets.
        patience: A phase ends after so many epochs of its own without a better score.
        mixup: Alpha of mixup (Zhang et al. 2018, arXiv:1710.09412); 0 mixes nothing (classifier).
        distillation: The teachers' part of each label (Hinton et al. 2015, arXiv:1503.02531);
            0 has no teachers (classifier).
        keep_start: Part of the start weights, an earlier model's, in the result (WiSE-FT,
            Wortsman et al. 2022, arXiv:2109.01903): what it knew is not lost; 0 keeps none.
        class_weights: Whether each class weighs the same in the loss, however often its faces
            are drawn (classifier).
        schedule: How the learning rate falls within a phase: ``cosine`` to a hundredth of its
            peak, or on each ``plateau`` of the metric.
        metric: Which validation figure chooses the best epoch, see
            :data:`training.recipe_file.METRICS`; higher is better.
        sampling: Which faces a classifier sees.
        placement: How faces lie on a detector's canvas.
        camera: Augmentation.
        thresholds: For the card: ``confidence_floor``, or ``score`` and ``nms_iou``.
        licences: Licence of each data set's source, for the card.
        path: The file.
    """

    name: str
    task: str
    seed: int
    batch: int
    steps_per_epoch: int
    phases: tuple[Phase, ...]
    model: ModelSettings
    labels: tuple[MaskState, ...] = ()
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    patience: int = 8
    mixup: float = 0.0
    distillation: float = 0.0
    keep_start: float = 0.0
    class_weights: bool = False
    schedule: str = "cosine"
    metric: str = "score"
    sampling: Sampling | None = None
    placement: Placement | None = None
    camera: CameraRanges = field(default_factory=CameraRanges)
    thresholds: dict[str, float] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    path: Path = Path()

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides what a run computes; comments do not count.

        Nor do values that are the defaults: a setting that is added later, with a default
        that changes nothing, leaves the runs and cards made before it as they are.
        """
        values = _chosen(self)
        for key in ("path", "licences", "thresholds"):
            values.pop(key, None)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that the model sees, in order."""
        draws = self.sampling or self.placement
        assert draws is not None
        return tuple(draws.dataset_weights)


def _chosen(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, as plain values."""
    chosen: dict[str, Any] = {}
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        made = item.default_factory
        default = item.default if made is dataclasses.MISSING else made()
        if value != default:
            chosen[item.name] = _plain(value)
    return chosen


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _chosen(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
