"""``models install`` and ``models rollback``: let a bundle in, switch to it, see whether it works.

In this order: read everything once; the signature of the card; the card; the hashes on it; the
self-test in a process of its own; only then is anything switched. A kill at any moment leaves
the old or the new model: see :mod:`edge_app.store.changes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from edge_app.errors import (
    BundleError,
    KioskError,
    ServiceSilentError,
    SignatureError,
    UpdateFailedError,
    UsageError,
)
from edge_app.store import service
from edge_app.store.changes import change, exclusively, keep, prune, staged
from edge_app.store.going_back import damage, go_back, is_shipped, named, now
from edge_app.store.incoming import CARD, MODEL, SELFTEST, SIGNATURE, Incoming, read_incoming
from edge_app.store.keys import trusted_keys
from edge_app.store.layout import SHORT, names, read_record
from edge_app.store.minisign import Signature, read_signature, verify
from edge_app.store.record import NAME, Entry, Record
from edge_app.store.service import Look
from edge_app.trial import try_selftest
from edge_app.vision import bundle
from edge_app.vision.bundle import Card, find_bundle, read_card

SelfTest = Callable[[str, Path], str]


def install(
    path: Path, store: Path, keys: Path, out: TextIO, self_test: SelfTest = try_selftest
) -> int:
    """Install a bundle and see that the kiosk works with it; else the one before counts again.

    Args:
        path: The bundle, see :func:`edge_app.store.incoming.read_incoming`.
        store: The folder of installed models.
        keys: The folder of trusted keys.
        out: Gets what was done.
        self_test: Runs the stored pictures (task, ``.tflite``); says how close the results are.

    Returns:
        0, the exit code.

    Raises:
        SignatureError: It is not signed by a trusted key.
        BundleNotFoundError: A file is missing.
        BundleError: It is damaged, or not for this application or role.
        SelfTestError: It says something else than at export.
        ModelStoreError: The store cannot be written.
        ModelStoreBusyError: Another command is at work.
        ServiceSilentError: systemd does not say whether the kiosk runs.
        UpdateFailedError: The kiosk did not work with it within a minute.
    """
    incoming = read_incoming(path)
    signature = _signed(incoming, keys)
    name, version = incoming.name, hashlib.sha256(incoming.files[CARD]).hexdigest()
    short = f"{name} {version[:SHORT]}"
    print(f"{short}: signed by key {signature.key_id} ({signature.comment})", file=out)
    with exclusively(store):
        active = read_record_or_none(store, name)
        if active is not None and active.version == version and active.confirmed:
            if damage(store, name, version) is None:
                print(f"{short}: is in use already, nothing was done", file=out)
                return 0
        with staged(store, {f"{name}{s}": content for s, content in _files(incoming)}) as folder:
            card = _accepted(folder / f"{name}{MODEL}", incoming, store)
            result = self_test(card.task, folder / f"{name}{MODEL}")
            print(f"{short}: self-test passed: {result}", file=out, flush=True)
            seen = service.look()  # an answer first: nothing is switched that nobody could watch
            keep(store, folder, version, is_whole=damage(store, name, version) is None)
        entry = Entry(version, now(), signature.key_id, signature.comment)
        change(store, name, lambda record: record.installed(entry))
        try:
            return _settle(store, name, version, seen, out)
        finally:
            prune(store)


def rollback(name: str | None, store: Path, out: TextIO) -> int:
    """Go back to the version before the active one, at last to the shipped one.

    Args:
        name: The model; None: the only one of which a version is installed.
        store: The folder of installed models.
        out: Gets what was done.

    Returns:
        0; 1 if the kiosk does not work with it either.

    Raises:
        UsageError: There is nothing to go back from, or several models.
        ModelStoreError: The store cannot be written, or there is nothing to go back to.
        ModelStoreBusyError: Another command is at work.
    """
    if name is None:
        name = _only_installed(store)
    if not NAME.fullmatch(name):
        raise UsageError(f"{name[:100]!r} is not the name of a model (not a path, no .tflite)")
    with exclusively(store):
        before = change(store, name, lambda _record: None).active  # a damaged record is mended
        if before is None:
            if not is_shipped(name):
                raise UsageError(f"{name}: no such model is installed or shipped")
            print(f"{name}: the shipped one counts", file=out, flush=True)
        else:
            after = go_back(store, name, before.version)
            what = f"{before.version[:SHORT]} gave way to {named(after)}"
            print(f"{name}: {what}", file=out, flush=True)
        trouble = _restarted(name, out)
    if trouble is None:
        return 0
    print(f"{name}: the kiosk does not work: {trouble}", file=out)
    return 1


def read_record_or_none(store: Path, name: str) -> Entry | None:
    """The active version, as far as it is known."""
    try:
        return read_record(store, name).active
    except BundleError:
        return None


def _signed(incoming: Incoming, keys: Path) -> Signature:
    card = incoming.get(CARD)
    where = incoming.origin / f"{incoming.name}{SIGNATURE}"
    trusted = trusted_keys(keys)
    if not trusted:
        raise SignatureError(
            f"{keys}: no key that this kiosk trusts is installed there, so no model can be; "
            f"run: sudo install -D -m 644 -t {keys} YOURS.pub (docs/models.md)"
        )
    signature = read_signature(incoming.get(SIGNATURE), where)
    key = trusted.get(signature.key_id)
    if key is None:
        raise SignatureError(
            f"{where}: signed by key {signature.key_id}, which this kiosk does not trust "
            f"(it trusts {', '.join(sorted(trusted))}); if it is yours, put its .pub into {keys}"
        )
    verify(card, signature, key, where)
    return signature


def _files(incoming: Incoming) -> list[tuple[str, bytes]]:
    return [(s, incoming.get(s)) for s in (MODEL, CARD, SELFTEST, SIGNATURE)]


def _accepted(model: Path, incoming: Incoming, store: Path) -> Card:
    """The card, once it fits the files and the model that it is to replace."""
    try:
        card = read_card(model)
    except BundleError as error:  # the folder that it names is gone when somebody reads that
        raise BundleError(str(error).replace(f"{model.parent}/", f"{incoming.origin}: ")) from None
    for suffix, expected in ((MODEL, card.sha256), (SELFTEST, card.selftest_sha256)):
        if expected is None:
            raise BundleError(
                f"{incoming.origin}: the card names no self-test; on the workstation run: "
                "python -m training selftest, then sign the card again"
            )
        if hashlib.sha256(incoming.get(suffix)).hexdigest() != expected:
            raise BundleError(
                f"{incoming.origin}: {incoming.name}{suffix} is damaged or not the one that the "
                "card describes (its sha256 is another): fetch the bundle again"
            )
    for other in _same_name(card.name, store):
        if (other.task, set(other.labels)) != (card.task, set(card.labels)):
            raise BundleError(
                f"{incoming.origin}: is {_role(card)}, but {card.name} is {_role(other)}: export "
                "it under another name, and name that one in the settings"
            )
    return card


def _same_name(name: str, store: Path) -> list[Card]:
    """The cards of the installed and the shipped model of a name, as far as they can be read."""
    cards = []
    shipped = bundle.MODELS_DIR / f"{name}{MODEL}"
    active = read_record_or_none(store, name)
    models = [shipped] if shipped.is_file() else []
    if active is not None and damage(store, name, active.version) is None:
        models.append(store / "versions" / active.version / f"{name}{MODEL}")
    for model in models:
        try:
            cards.append(read_card(model))
        except KioskError:
            continue
    return cards


def _role(card: Card) -> str:
    return f"for {card.task!r} ({', '.join(card.labels)})" if card.labels else f"for {card.task!r}"


def _settle(store: Path, name: str, version: str, seen: Look | None, out: TextIO) -> int:
    """Let the kiosk, as it was seen, take up a new version; confirm it, or go back."""
    short = f"{name} {version[:SHORT]}"
    if seen is None or not seen.is_wanted:
        how = "systemd does not run the kiosk here"
        if seen is not None:
            how = "the service is stopped; its next start confirms the model, or rolls it back"
        print(f"{short}: switched without waiting: {how}", file=out)
        return 0
    found = _taken_up(name, version)
    if isinstance(found, Look):
        if name in found.models:
            change(store, name, lambda record: _if_active(record, version, Record.confirmed))
            print(f"{short}: the kiosk works with it", file=out)
        else:
            how = "the kiosk's settings name other models; the first start with it confirms it"
            print(f"{short}: switched, but {how}, or rolls it back", file=out)
        return 0
    after = go_back(store, name, version, found)
    again = _taken_up(name, _version_in_use(name))
    end = "which works again" if isinstance(again, Look) else f"which does not work either: {again}"
    raise UpdateFailedError(
        f"{short}: the kiosk did not work with it within {service.HEALTHY_S:g} s: {found}; "
        f"rolled back to {named(after)}, {end}"
    )


def _taken_up(name: str, version: str) -> Look | str:
    """The kiosk that works after a start with a version; or what is wrong."""
    if not service.restart():
        return "systemd did not take the order to restart the service"
    return service.wait_until_healthy(name, version)


def _restarted(name: str, out: TextIO) -> str | None:
    """After a rollback by hand: what is wrong with the kiosk; None also where none runs."""
    try:
        seen = service.look()
    except ServiceSilentError as error:
        return f"{error}; it was not restarted"
    if seen is None or not seen.is_wanted:
        print(f"{name}: the service does not run here; nothing was restarted", file=out)
        return None
    found = _taken_up(name, _version_in_use(name))
    if isinstance(found, str):
        return found
    which = "with it" if name in found.models else "but its settings name other models"
    print(f"{name}: the kiosk works {which}", file=out)
    return None


def _version_in_use(name: str) -> str:
    try:
        return read_card(find_bundle(name)).version
    except KioskError:  # the service will say what is wrong with it
        return ""


def _if_active(record: Record, version: str, then: Callable[[Record], Record]) -> Record | None:
    active = record.active
    return then(record) if active is not None and active.version == version else None


def _only_installed(store: Path) -> str:
    installed = [name for name in names(store) if read_record_or_none(store, name) is not None]
    if len(installed) == 1:
        return installed[0]
    if not installed:
        raise UsageError(f"{store}: no model is installed, the shipped ones count")
    raise UsageError(f"name one of the installed models: {', '.join(installed)}")
