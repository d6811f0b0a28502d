from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.errors import SignatureError
from edge_app.store.keys import trusted_keys
from tests.model_bundles import Signer


def test_no_folder_is_no_key(tmp_path: Path) -> None:
    assert trusted_keys(tmp_path / "keys") == {}


def test_every_pub_file_is_a_key_and_others_are_not(tmp_path: Path) -> None:
    first, second = Signer(), Signer()
    first.trust(tmp_path)
    second.trust(tmp_path)
    (tmp_path / "note.txt").write_text("the old key is in the safe")
    assert set(trusted_keys(tmp_path)) == {first.id, second.id}


def test_a_key_that_others_may_change_is_refused(tmp_path: Path) -> None:
    path = Signer().trust(tmp_path)
    path.chmod(0o664)
    with pytest.raises(SignatureError, match=r"others? .*may change this key \(mode 0664\); run:"):
        trusted_keys(tmp_path)


def test_a_damaged_key_is_named_and_not_passed_over(tmp_path: Path) -> None:
    """Else a kiosk would silently trust fewer keys than its owner thinks."""
    Signer().trust(tmp_path)
    (tmp_path / "damaged.pub").write_text("RW")
    (tmp_path / "damaged.pub").chmod(0o644)
    with pytest.raises(SignatureError, match=r"damaged\.pub: no minisign public key"):
        trusted_keys(tmp_path)


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.pub").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SignatureError, match=r"gone\.pub: cannot read the key: No such file"):
        trusted_keys(tmp_path)
