"""The layer for rpi-image-gen, against the rules of that tool (2026, its docs/layer and site/).

The tool itself cannot be had from a package registry. These are its rules for what a layer may
hold, as far as this layer uses them; its own `rpi-image-gen metadata --lint` knows them all.
"""

from __future__ import annotations

import re
from email.parser import HeaderParser
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

IMAGE = Path(__file__).resolve().parents[3] / "deploy" / "image"
LAYER = IMAGE / "layer" / "mask-kiosk.yaml"
CONFIGS = sorted((IMAGE / "config").glob("*.yaml"))

LAYER_FIELDS = {"Name", "Category", "Desc", "Version", "Requires", "RequiresProvider"}
POLICIES = {"y", "n", "lazy", "force", "immediate", "skip"}


def metadata() -> dict[str, str]:
    lines = LAYER.read_text(encoding="utf-8").splitlines()
    block = lines[lines.index("# METABEGIN") + 1 : lines.index("# METAEND")]
    assert all(line == "#" or line.startswith("# ") for line in block)
    text = "\n".join(line[2:] for line in block if line != "#")
    message = HeaderParser().parsestr(text)
    assert not message.get_payload()
    assert len(message.keys()) == len(set(message.keys()))
    return {key: " ".join(value.split()) for key, value in message.items()}


def variables() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for key, value in metadata().items():
        if match := re.fullmatch(r"X-Env-Var-(\w+)(?:-(\w+))?", key):
            found.setdefault(match[1], {})[match[2] or "default"] = value
    return found


def accepts(rule: str, value: str) -> bool:
    """The tool's rules that this layer uses."""
    if rule == "string":
        return value != ""
    if rule.startswith("regex:"):
        return re.fullmatch(rule.removeprefix("regex:"), value) is not None
    low, high = re.fullmatch(r"int:(\d+)-(\d+)", rule).groups()
    return value.isdigit() and int(low) <= int(value) <= int(high)


def test_every_field_is_one_that_the_tool_knows() -> None:
    for key in metadata():
        known = (
            key in {"X-Env-VarPrefix", "X-Env-VarRequires", "X-Env-VarRequires-Valid"}
            or key.removeprefix("X-Env-Layer-") in LAYER_FIELDS
            or re.fullmatch(r"X-Env-Var-[a-z_]+(-(Desc|Required|Valid|Set))?", key)
        )
        assert known, key
    assert metadata()["X-Env-Layer-Name"] == LAYER.stem
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata()["X-Env-Layer-Version"])


def test_every_variable_is_described_and_its_default_is_allowed() -> None:
    assert len(variables()) == 9
    for name, fields in variables().items():
        assert set(fields) == {"default", "Desc", "Required", "Valid", "Set"}, name
        assert fields["Required"] in {"y", "n"}
        assert fields["Set"] in POLICIES
        if fields["Set"] == "y":
            assert accepts(fields["Valid"], fields["default"]), name


def test_the_rules_for_other_layers_variables_survive_the_tools_splitting_at_commas() -> None:
    names = metadata()["X-Env-VarRequires"].split(",")
    rules = metadata()["X-Env-VarRequires-Valid"].split(",")
    assert names == ["IGconf_device_hostname", "IGconf_ieee80211_regdom"]
    assert len(rules) == len(names)
    hostname, country = rules
    assert accepts(hostname, "mask-kiosk")
    assert not accepts(hostname, "-kiosk")
    assert not accepts(hostname, "Mask_Kiosk")
    assert accepts(country, "GB")
    assert not accepts(country, "gb")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("camera", ["picamera", "picamera:1", "/dev/video0"], ["", "picam", "a b", '"']),
        ("camera", ["rtsp://me:pw@10.0.0.7/live?x=1"], ["rtsp://$(reboot)/", 'rtsp://x"\nred=1']),
        ("pin_red", ["0", "27"], ["28", "-1", "GPIO17", ""]),
        ("wifi_ssid", ["", "Front door 5G"], ["x" * 33, "a;b", "$(reboot)", "a\\b", "a\nb"]),
        (
            "wifi_passphrase",
            ["", "12345678", "correct horse", "0f" * 32],
            ["1234567", "x" * 64, 'pass"word', "pass$word", "pass`word`"],
        ),
        (
            "bundle",
            ["/home/me/mask-kiosk-0.1.0-offline-arm64.tar.gz"],
            ["mask-kiosk-0.1.0-offline-arm64.tar.gz", "/home/me/bundle.tar.gz", ""],
        ),
    ],
)
def test_what_a_variable_may_be(name: str, good: list[str], bad: list[str]) -> None:
    rule = variables()[name]["Valid"]
    assert [value for value in good if not accepts(rule, value)] == []
    assert [value for value in bad if accepts(rule, value)] == []


def test_the_body_is_what_mmdebstrap_takes() -> None:
    body = yaml.safe_load(LAYER.read_text(encoding="utf-8"))
    assert set(body) == {"mmdebstrap"}
    assert set(body["mmdebstrap"]) == {"packages", "customize-hooks"}
    (hook,) = body["mmdebstrap"]["customize-hooks"]
    script = IMAGE / "layer" / "mask-kiosk.d" / "install-in-root"
    assert hook == 'sh "$IGconf_maskkiosk_assetdir/install-in-root" "$1"'
    assert variables()["assetdir"]["default"] == "${DIRECTORY}/mask-kiosk.d"
    used = set(re.findall(r"IGconf_maskkiosk_(\w+)", script.read_text(encoding="utf-8")))
    assert used == set(variables()) - {"assetdir"}


def test_its_packages_are_those_of_the_installer() -> None:
    """Otherwise the installer refuses: in there it has no network."""
    script = (IMAGE.parent / "install" / "system.sh").read_text(encoding="utf-8")
    lists = re.findall(r"^(?:PI_|CAMERA_)?PACKAGES=\((.*)\)$", script, re.MULTILINE)
    assert len(lists) == 3
    packages = yaml.safe_load(LAYER.read_text(encoding="utf-8"))["mmdebstrap"]["packages"]
    assert {*packages} == {*" ".join(lists).split(), "wpasupplicant"}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_configuration_sets_only_what_the_layer_has(config: Path) -> None:
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    assert content["layer"][-1] == "mask-kiosk"
    suite = config.stem.removeprefix("mask-kiosk-")
    assert {f"debian-{suite}-arm64-multi", f"rpi-debian-{suite}"} <= set(content["layer"])
    required = metadata()["X-Env-Layer-Requires"].split(",")
    assert set(required) <= set(content["layer"])
    assert set(content["maskkiosk"]) == set(variables()) - {"assetdir"}
    for name, value in content["maskkiosk"].items():
        assert accepts(variables()[name]["Valid"], str(value)), name


def test_there_is_one_for_each_system() -> None:
    assert [path.stem for path in CONFIGS] == ["mask-kiosk-bookworm", "mask-kiosk-trixie"]
