"""Stands in for pykms, which is in no archive but the Raspberry Pi's.

picamera2 asks for its names when it is imported. Its preview on a screen, which needs the rest, is
not used by the kiosk.
"""


class PixelFormat:
    """Pixel formats by name."""

    RGB888 = BGR888 = XRGB8888 = XBGR8888 = ABGR8888 = YUV420 = YVU420 = NV12 = None
