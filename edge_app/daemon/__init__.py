"""The running kiosk: the only package, beside the command line, that knows time and threads.

Four threads, so that nothing slow stops the light:

- *capture* (:mod:`.capture`) reads the source into a slot that holds the newest frame only,
  opens a lost camera again, and plays files at their own speed;
- *pipeline* (:mod:`.kiosk`) loads the models, takes frames from the slot and hands
  observations on;
- *delivery* (:mod:`.delivery`) brings observations to the journal and the network;
- the *main* thread (:mod:`.kiosk`) drives lamps and buzzer, sees when frames or pipeline
  stand still, tells systemd, and ends the run. Signals arrive here (:mod:`.service`), and it
  never waits for the others.
"""

from edge_app.daemon.kiosk import Kiosk
from edge_app.daemon.service import run_kiosk

__all__ = ["Kiosk", "run_kiosk"]
