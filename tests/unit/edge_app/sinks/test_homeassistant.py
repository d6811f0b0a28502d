"""The discovery message against the rules of Home Assistant's documentation."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app import __version__
from edge_app.domain import Signal
from edge_app.settings import MqttSettings, Settings, replace_settings
from edge_app.settings_sections import KIOSK_ID, TOPIC
from edge_app.sinks.homeassistant import discovery, discovery_topic, says_started, status_topic

DOOR = replace_settings(Settings(), {"mqtt.kiosk_id": "front-door"}).mqtt

# What Home Assistant's pages on MQTT sensors and binary sensors list, as far as it is used here.
COMMON = {
    "platform",
    "unique_id",
    "name",
    "icon",
    "state_topic",
    "value_template",
    "json_attributes_topic",
    "device_class",
    "entity_category",
}
ALLOWED = {
    "sensor": COMMON
    | {"unit_of_measurement", "state_class", "options", "suggested_display_precision"},
    "binary_sensor": COMMON | {"payload_on", "payload_off"},
}
DEVICE_CLASSES = {"sensor": {"enum", "temperature"}, "binary_sensor": {"problem"}}


def test_the_device_is_described() -> None:
    config = discovery(DOOR)
    assert config["device"] == {
        "identifiers": ["mask_kiosk_front-door"],
        "name": "Front door",
        "manufacturer": "mask-kiosk",
        "model": "Face mask light",
        "sw_version": __version__,
    }
    assert config["origin"] == {"name": "mask-kiosk", "sw_version": __version__}
    assert discovery_topic(DOOR) == "homeassistant/device/mask_kiosk_front-door/config"


@pytest.mark.parametrize("key", discovery(DOOR)["components"])
def test_an_entity_obeys_the_rules(key: str) -> None:
    entity = discovery(DOOR)["components"][key]
    platform = entity["platform"]
    assert set(entity) <= ALLOWED[platform]
    assert entity["unique_id"] == f"mask_kiosk_front-door_{key}"
    assert entity["state_topic"] == f"mask-kiosk/front-door/{key}"
    assert entity.get("device_class") in {None, *DEVICE_CLASSES[platform]}
    assert entity.get("entity_category") in {None, "diagnostic"}
    if entity.get("device_class") == "enum":  # then neither unit nor state class
        assert not {"unit_of_measurement", "state_class"} & set(entity)
        assert entity["options"] == [str(signal) for signal in Signal]
    elif platform == "sensor":
        assert entity["state_class"] == "measurement"
        assert entity["unit_of_measurement"]


MQTT = st.builds(
    MqttSettings,
    kiosk_id=st.from_regex(KIOSK_ID, fullmatch=True),
    discovery_prefix=st.from_regex(TOPIC, fullmatch=True),
)


@given(MQTT)
def test_any_name_makes_valid_topics_and_json(settings: MqttSettings) -> None:
    config = discovery(settings)
    assert json.loads(json.dumps(config)) == config
    assert config["device"]["name"].strip()
    topics = [discovery_topic(settings), status_topic(settings), config["availability"][0]["topic"]]
    topics += [entity["state_topic"] for entity in config["components"].values()]
    for topic in topics:
        assert not re.search(r"[#+\x00\s]", topic)
        assert len(topic.encode()) < 65536
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", discovery_topic(settings).split("/")[-2])


@given(st.binary() | st.sampled_from([b"offline", b"Online", b"online\n", b" online"]))
def test_only_one_word_means_that_home_assistant_has_started(payload: bytes) -> None:
    assert says_started(payload) == (payload == b"online")


def test_home_assistants_own_word_is_understood() -> None:
    assert says_started(b"online")
