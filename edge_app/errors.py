"""The one exception tree of the kiosk.

Every error is a :class:`KioskError` *and* the builtin that a caller would expect
(``ValueError``, ``FileNotFoundError``, ...), so ``except OSError`` works as usual.
Two mix-ins say what to do: :class:`Temporary` faults are retried with a back-off,
:class:`Permanent` ones stop the kiosk. ``exit_code`` is what the command line returns:
2 for bad usage or input, 1 for everything else.

A message is one line: what is wrong, where, and what to do about it.
"""

from __future__ import annotations


class KioskError(Exception):
    """Base of all errors raised on purpose by this project."""

    exit_code = 1


class Temporary(KioskError):  # noqa: N818 - a mix-in, read as "except Temporary"
    """May go away by itself: back off and try again."""


class Permanent(KioskError):  # noqa: N818 - a mix-in, read as "except Permanent"
    """Stays until somebody acts: stop and say what to do."""


class UsageError(Permanent, ValueError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class SettingsError(Permanent, ValueError):
    """A settings file is missing, malformed, or holds a value that is not allowed."""

    exit_code = 2


class SourceNotFoundError(Permanent, FileNotFoundError):
    """The named video, folder or device does not exist."""

    exit_code = 2


class SourceUnreadableError(Permanent, ValueError):
    """The source exists but is empty, truncated or not in a format that can be read."""

    exit_code = 2


class SourceMissingDriverError(Permanent, ImportError):
    """The source needs a library that is not installed (picamera2, say)."""

    exit_code = 2


class CameraLostError(Temporary, ConnectionError):
    """A live camera could not be opened or went away."""


class CameraMissingError(CameraLostError):
    """There is no such camera, or not at the moment: an unplugged one looks the same."""

    exit_code = 2


class CameraStalledError(Temporary, TimeoutError):
    """A live camera is open but delivers no frames."""


class BundleNotFoundError(Permanent, FileNotFoundError):
    """A model bundle (``name.tflite`` + ``name.json``) is missing."""

    exit_code = 2


class BundleError(Permanent, ValueError):
    """A model bundle is damaged, or its model disagrees with its card."""

    exit_code = 2


class SignatureError(Permanent, ValueError):
    """A bundle is not signed, or not by a key that this kiosk trusts."""

    exit_code = 2


class SelfTestError(Permanent, RuntimeError):
    """A model says something else about its stored pictures than it did at export."""


class ModelStoreError(Permanent, OSError):
    """The installed models cannot be read or changed: a full disk, missing rights, damage."""


class ModelStoreBusyError(Temporary, OSError):
    """Another command changes the installed models right now."""


class ServiceSilentError(Temporary, TimeoutError):
    """systemd runs here, but does not say how the kiosk is."""


class UpdateFailedError(Permanent, RuntimeError):
    """The kiosk did not work with a new model and went back to the one before."""


class UnconfirmedModelError(Temporary, RuntimeError):
    """A newly installed model cannot be used; after a few starts it is rolled back by itself."""


class InterpreterMissingError(Permanent, ImportError):
    """Neither ai-edge-litert nor tflite-runtime can be imported."""

    exit_code = 2


class PinError(Permanent, ValueError):
    """A GPIO pin cannot be used: it does not exist, is used twice, or is forbidden."""

    exit_code = 2


class PinBusyError(Temporary, OSError):
    """A GPIO pin is held by another process."""


class AlreadyRunningError(Temporary, OSError):
    """Another kiosk runs on this machine and holds what this one needs."""


class JournalError(Temporary, OSError):
    """The event journal cannot be read or written: a full disk, a damaged file, a lock."""


class JournalUnreadableError(Permanent, ValueError):
    """A command cannot read the event journal that it was asked to show."""

    exit_code = 2


class SnapshotError(Temporary, OSError):
    """A picture of a violation cannot be stored: a full disk, a file system without writing."""


class BrokerError(Temporary, ConnectionError):
    """The MQTT broker cannot be reached, or refuses."""


class WebError(Temporary, OSError):
    """The status page cannot be served: its address is in use, or not there yet."""


class ExpectationsError(Permanent, ValueError):
    """An ``expected.json`` is missing, malformed, or cannot apply to its clip."""

    exit_code = 2


class OutputError(Permanent, OSError):
    """A result file cannot be written."""

    exit_code = 2


class DatasetError(Permanent, ValueError):
    """A data set is missing, empty, or holds something that cannot be used."""

    exit_code = 2


class RecipeError(Permanent, ValueError):
    """A training recipe is missing, malformed, or holds a value that is not allowed."""

    exit_code = 2


class DivergedError(RecipeError):
    """A training came to nothing: its loss is infinite or not a number."""


class ExportError(Permanent, RuntimeError):
    """A trained model cannot be turned into a bundle that the device accepts."""


class MissingPackageError(Permanent, ImportError):
    """An optional package is not installed; the message says with which command it comes."""

    exit_code = 2


class WorkerLostError(Temporary, RuntimeError):
    """A process elsewhere, on a cluster or in a team, died, or never came."""


class TrackingError(Temporary, ConnectionError):
    """A finished run could not be recorded on the experiment tracking server."""
