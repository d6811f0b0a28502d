"""Models that were installed after the application: ``python -m edge_app models``.

The folder (``/var/lib/mask-kiosk-models``) belongs to root; the kiosk only reads it::

    versions/VERSION/NAME.tflite, NAME.json, NAME.selftest.npz, NAME.json.minisig
    active/NAME.json        which version counts, and which came before

VERSION is the SHA-256 of the card, which names the hashes of the other files. A version's folder
appears whole, by one rename, and is never changed; which one counts is changed by one rename too.
See docs/models.md for what happens when something breaks.

- :mod:`.layout` and :mod:`.record` read: all that the kiosk itself needs;
- :mod:`.incoming`, :mod:`.minisign`, :mod:`.keys` decide whether a bundle is let in;
- :mod:`.files`, :mod:`.changes` write; :mod:`.service` talks to systemd;
- :mod:`.install` and :mod:`.overview` are the commands, :mod:`.boot` what the unit runs as root.
"""
