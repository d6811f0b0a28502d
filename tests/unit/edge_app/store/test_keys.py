from __future__ import annotations

import os
import socket
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
    with pytest.raises(SignatureError, match=r"other users may change .*mode 0664\); .*chmod 644 "):
        trusted_keys(tmp_path)


def test_keys_in_a_folder_that_others_may_change_are_refused(tmp_path: Path) -> None:
    Signer().trust(tmp_path)
    tmp_path.chmod(0o777)
    with pytest.raises(SignatureError, match=r"other users may change .*mode 0777\); .*chmod 755 "):
        trusted_keys(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("which", ["key", "folder"])
def test_what_belongs_to_another_user_is_refused(tmp_path: Path, which: str) -> None:
    path = Signer().trust(tmp_path)
    os.chown(path if which == "key" else tmp_path, 12345, -1)
    with pytest.raises(SignatureError, match=r"\(owner 12345, mode .*run: sudo chown root: "):
        trusted_keys(tmp_path)


def test_a_link_is_no_key_wherever_it_leads(tmp_path: Path) -> None:
    """The folder that it leads to was not looked at."""
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "a.pub").symlink_to(Signer().trust(elsewhere))
    with pytest.raises(SignatureError, match=r"a\.pub: cannot read the key: it is a link"):
        trusted_keys(tmp_path)


def test_a_pipe_and_a_socket_hold_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pub", 0o644)
    with pytest.raises(SignatureError, match=r"a\.pub: no minisign public key"):
        trusted_keys(tmp_path)
    (tmp_path / "a.pub").unlink()
    with socket.socket(socket.AF_UNIX) as it:
        it.bind(str(tmp_path / "a.pub"))
        with pytest.raises(SignatureError, match=r"a\.pub: cannot read the key"):
            trusted_keys(tmp_path)


def test_a_damaged_key_is_named_and_not_passed_over(tmp_path: Path) -> None:
    """Else a kiosk would silently trust fewer keys than its owner thinks."""
    Signer().trust(tmp_path)
    (tmp_path / "damaged.pub").write_text("RW")
    (tmp_path / "damaged.pub").chmod(0o644)
    with pytest.raises(SignatureError, match=r"damaged\.pub: no minisign public key"):
        trusted_keys(tmp_path)


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.pub").mkdir()
    with pytest.raises(SignatureError, match=r"odd\.pub: cannot read the key: Is a directory"):
        trusted_keys(tmp_path)
