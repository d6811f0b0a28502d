"""Set a control of the test camera while somebody else uses it: control.py DEVICE ID VALUE."""

import fcntl
import os
import struct
import sys

VIDIOC_S_CTRL = 0xC008561C

device, number, value = sys.argv[1], int(sys.argv[2], 0), int(sys.argv[3])
camera = os.open(device, os.O_RDWR)
fcntl.ioctl(camera, VIDIOC_S_CTRL, struct.pack("Ii", number, value))
