"""The face detector: MobileNetV2 trunk behind a light stem, feature pyramid, anchor-free heads.

The trunk's first blocks work at the highest resolutions: measured on x86-64 the first two take
44 % of the INT8 network's time for a quarter of its multiply-adds. A patchify stem (Liu et al.
2022, arXiv:2201.03545) and one strided 3x3 convolution stand in for four. The trunk's last
three blocks see 8x6 cells and are left out: large faces are the easy ones.

FCOS-style (Tian et al. 2019, arXiv:1904.01355): every cell of three levels (strides 8, 16,
32) predicts one score and one box. The score is trained towards the IoU of its own box
(quality focal loss, Li et al. 2020, arXiv:2006.04388), so it ranks boxes by how well they
fit; boxes are trained with GIoU (Rezatofighi et al. 2019, arXiv:1902.09630).

The box codes pass a ReLU6 and a shift, which bounds them to -3..3: a quantised model then
spends its 256 steps on codes that mean something (`edge_app.vision.detector.decode`).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from edge_app.vision.detector import BASE_SIZE, CODE_GAIN, cell_grid
from edge_app.vision.geometry import Boxes
from training.models.backbone import BATCH_NORM_MOMENTUM, mobilenet_v2

STRIDES = (8, 16, 32)
STEM_END = "block_3_project_BN"
"""The trunk's layer whose place the stem takes, at stride 8."""

TRUNK = "trunk"
"""Name of what is left of MobileNetV2 behind the stem."""

TAPS = ("block_6_expand_relu", "block_13_expand_relu", "block_13_project_BN")
"""Trunk outputs at strides 8, 16 and 32."""

PATCH, PATCH_CHANNELS, STEM_CHANNELS = 4, 32, 48
"""Side of the stem's patches, and the width of its two convolutions (strides 4 and 8)."""

PRIOR = 0.01
"""Score of an untrained cell: focal losses start stable from a low prior (Lin et al. 2017)."""

FOCAL_POWER = 2.0
"""Exponent of the quality focal loss, as published."""

BOX_WEIGHT = 2.0
"""Weight of GIoU against the score loss, as in GFL."""

SIZE_RANGES = (2.0, 5.5)
"""A level with stride s takes faces of 2s to 5.5s (16-44, 32-88, 64 and more; the first
level also takes everything smaller)."""

MAX_REACH = 1.4
"""Positive cells lie at most this many strides from the centre; codes reach 1.5."""

TARGET_COLUMNS = 6
"""Per cell: positive (0/1), ignore (0/1), and the box x0, y0, x1, y1 in canvas pixels."""


def build_detector(
    width: int, height: int, alpha: float, channels: int, weights: str | None
) -> keras.Model:
    """The model as it is trained: input (height, width, 3) in -1..1, two outputs.

    Scores (N, 1) are logits, codes (N, 4) lie in 0..6; see :func:`inference_model`.

    Args:
        width: Input width, a multiple of 32.
        height: Input height, a multiple of 32.
        alpha: MobileNetV2 width multiplier.
        channels: Width of the feature pyramid and heads.
        weights: "imagenet", a weights file without top, or None for random.

    Raises:
        RecipeError: The weights cannot be used.
    """
    trunk = mobilenet_v2(width, height, alpha, weights)
    blocks = keras.Model(
        trunk.get_layer(STEM_END).output, [trunk.get_layer(n).output for n in TAPS], name=TRUNK
    )
    c3, c4, c5 = blocks(_stem(trunk))
    p5 = _conv(c5, channels, "lateral5")
    p4 = layers.Add()([_conv(c4, channels, "lateral4"), _twice(p5)])
    p4 = _separable(p4, channels, "smooth4")
    p3 = layers.Add()([_conv(c3, channels, "lateral3"), _twice(p4)])
    p3 = _separable(p3, channels, "smooth3")
    rows = []
    for level, feature in zip((3, 4, 5), (p3, p4, p5), strict=True):
        x = _separable(feature, channels, f"head{level}_a")
        x = _separable(x, channels, f"head{level}_b")
        score = layers.Conv2D(
            1,
            1,
            bias_initializer=keras.initializers.Constant(float(np.log(PRIOR / (1 - PRIOR)))),
            name=f"score{level}",
        )(x)
        codes = layers.Conv2D(
            4, 1, bias_initializer=keras.initializers.Constant(3.0), name=f"codes{level}"
        )(x)
        codes = layers.ReLU(6.0, name=f"codes{level}_bound")(codes)
        rows.append((layers.Reshape((-1, 1))(score), layers.Reshape((-1, 4))(codes)))
    scores = layers.Concatenate(axis=1, name="scores")([score for score, _ in rows])
    codes = layers.Concatenate(axis=1, name="codes")([codes for _, codes in rows])
    return keras.Model(trunk.input, [scores, codes], name="face_detector")


def freeze_trunk(detector: keras.Model, frozen: bool) -> None:
    """Train only what has no ImageNet weights (frozen), or everything."""
    for layer in detector.layers:
        layer.trainable = not frozen or layer.name != TRUNK


def inference_model(model: keras.Model) -> keras.Model:
    """The same model with scores in 0..1 and codes in -3..3: what is exported."""
    scores = layers.Activation("sigmoid", name="score")(model.outputs[0])
    codes = layers.Rescaling(1.0, offset=-3.0, name="code")(model.outputs[1])
    return keras.Model(model.input, [scores, codes], name=model.name)


class DetectorTrainer(keras.Model):
    """Wraps the detector for ``fit``: targets are (N, TARGET_COLUMNS) per picture."""

    def __init__(self, detector: keras.Model, width: int, height: int) -> None:
        super().__init__(name="detector_trainer")
        self.detector = detector
        cells = cell_grid(width, height, STRIDES)
        self._centres = ops.convert_to_tensor(cells[None, :, :2])
        self._strides = ops.convert_to_tensor(cells[None, :, 2:])
        self.score_loss = keras.metrics.Mean(name="score_loss")
        self.box_loss = keras.metrics.Mean(name="box_loss")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.detector(inputs, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **_: Any
    ) -> Any:
        logits, codes = ops.cast(y_pred[0][..., 0], "float32"), ops.cast(y_pred[1], "float32") - 3.0
        positive, ignore, truth = y[..., 0], y[..., 1], y[..., 2:]
        boxes = self._decode(codes)
        overlap, giou = _iou_and_giou(boxes, truth)
        quality = positive * ops.stop_gradient(ops.clip(overlap, 0.0, 1.0))
        gap = ops.abs(quality - ops.sigmoid(logits)) ** FOCAL_POWER
        cross_entropy = ops.relu(logits) - logits * quality + ops.log1p(ops.exp(-ops.abs(logits)))
        count = ops.maximum(ops.sum(positive), 1.0)
        score_loss = ops.sum(gap * cross_entropy * (1.0 - ignore)) / count
        box_loss = ops.sum((1.0 - giou) * positive) / count
        self.score_loss.update_state(score_loss)
        self.box_loss.update_state(box_loss)
        return score_loss + BOX_WEIGHT * box_loss

    def _decode(self, codes: Any) -> Any:
        centres = self._centres + codes[..., :2] * CODE_GAIN * self._strides
        half = BASE_SIZE / 2 * self._strides * ops.exp(codes[..., 2:] * CODE_GAIN)
        return ops.concatenate([centres - half, centres + half], axis=-1)


def _iou_and_giou(a: Any, b: Any) -> tuple[Any, Any]:
    top_left = ops.maximum(a[..., :2], b[..., :2])
    bottom_right = ops.minimum(a[..., 2:], b[..., 2:])
    overlap = ops.prod(ops.relu(bottom_right - top_left), axis=-1)
    hull = ops.prod(
        ops.maximum(a[..., 2:], b[..., 2:]) - ops.minimum(a[..., :2], b[..., :2]), axis=-1
    )
    union = ops.prod(a[..., 2:] - a[..., :2], axis=-1)
    union = union + ops.prod(ops.relu(b[..., 2:] - b[..., :2]), axis=-1) - overlap
    iou = overlap / ops.maximum(union, 1e-6)
    return iou, iou - (hull - union) / ops.maximum(hull, 1e-6)


def _stem(trunk: keras.Model) -> Any:
    """Stride 8, as many channels as the blocks that it stands for would give."""
    x = layers.Conv2D(PATCH_CHANNELS, PATCH, PATCH, use_bias=False, name="patch")(trunk.input)
    x = layers.ReLU(6.0)(_batch_norm(x, "patch"))
    x = layers.Conv2D(STEM_CHANNELS, 3, 2, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU(6.0)(_batch_norm(x, "stem"))
    channels = trunk.get_layer(STEM_END).output.shape[-1]
    x = layers.Conv2D(channels, 1, use_bias=False, name="squeeze")(x)
    return _batch_norm(x, "squeeze")


def _twice(x: Any) -> Any:
    """Twice as wide and high; nearest neighbours would leave the fast INT8 kernels (XNNPACK)."""
    return layers.UpSampling2D(interpolation="bilinear")(x)


def _batch_norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)


def _conv(x: Any, channels: int, name: str) -> Any:
    x = layers.Conv2D(channels, 1, use_bias=False, name=name)(x)
    return layers.ReLU(6.0)(_batch_norm(x, name))


def _separable(x: Any, channels: int, name: str) -> Any:
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_dw")(x)
    x = layers.ReLU(6.0)(_batch_norm(x, f"{name}_dw"))
    return _conv(x, channels, name)


def assign_targets(boxes: Boxes, ignored: Boxes, cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Which cell is to find which face.

    A face belongs to the levels whose size range holds it (ranges overlap, so that a face
    between two levels trains both). Cells near its centre are positive; a cell claimed by
    two faces takes the smaller one. Cells inside an ignored face teach nothing.

    Args:
        boxes: Faces (F, 4) in canvas pixels.
        ignored: Faces (G, 4) that are too small, cut or doubtful.
        cells: From :func:`edge_app.vision.detector.cell_grid`, (N, 3).

    Returns:
        float32 (N, TARGET_COLUMNS).
    """
    target = np.zeros((len(cells), TARGET_COLUMNS), np.float32)
    x, y, stride = cells.T
    for x0, y0, x1, y1 in ignored:
        target[(x >= x0) & (x < x1) & (y >= y0) & (y < y1), 1] = 1
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) if len(boxes) else np.zeros(0)
    for i in np.argsort(-areas):
        x0, y0, x1, y1 = boxes[i]
        size = float(np.sqrt(areas[i]))
        low, high = SIZE_RANGES
        level = (size >= stride * low) & ((size < stride * high) | (stride == STRIDES[-1]))
        level |= (stride == STRIDES[0]) & (size < stride * low)
        reach = np.clip(size / 3, stride, MAX_REACH * stride)
        near = (np.abs(x - (x0 + x1) / 2) < reach) & (np.abs(y - (y0 + y1) / 2) < reach)
        mine = level & near
        target[mine, 0] = 1
        target[mine, 1] = 0
        target[mine, 2:] = boxes[i]
    return target
