"""mask-kiosk, the device half: look at people coming in, drive a light and a buzzer."""

__version__ = "0.1.0"
