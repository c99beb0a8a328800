"""packaging/Containerfile and compose.yml: what they name is there, and is what keepline says."""

import json
import re
from typing import Final

from netns.network.pod import HTTP_PORT, RELAY_UID
from relay.sidecar.relay import DRAIN_SECONDS

from . import FOLDER, IMAGE, ROOT, STATE, is_command, read

INSTRUCTIONS: Final = [
    (word, rest)
    for word, _, rest in (
        line.partition(" ")
        for line in re.sub(r"\\\n", "", (FOLDER / "Containerfile").read_text()).splitlines()
        if line and not line.startswith("#")
    )
]
SERVICES: Final = read("compose.yml")["services"]


def last(word: str) -> str:
    return [rest for each, rest in INSTRUCTIONS if each == word][-1]


def test_the_image_is_of_the_relay_s_user_and_port() -> None:
    assert last("USER") == f"{RELAY_UID}:{RELAY_UID}"
    assert last("EXPOSE") == str(HTTP_PORT)
    made = last("RUN")
    assert f"useradd --uid {RELAY_UID} " in made
    assert f"install -d -o {RELAY_UID} -g {RELAY_UID} -m 700 {STATE}" in made


def test_what_the_image_starts_is_a_command() -> None:
    assert is_command(json.loads(last("ENTRYPOINT")) + json.loads(last("CMD")))
    assert json.loads(last("CMD"))[-1] == STATE
    assert is_command(json.loads(last("HEALTHCHECK").partition("CMD ")[2]))


def test_what_is_copied_is_there_and_all_that_is_imported() -> None:
    copied = [rest.split()[0] for word, rest in INSTRUCTIONS if word == "COPY"]
    ours = [name for name in copied if not name.startswith("--from")]
    assert set(ours) == {"requirements.txt", "keepline.py", "netns", "relay"}
    assert all((ROOT / name).exists() for name in ours)


def test_nothing_is_installed_without_a_hash() -> None:
    installed = [rest for word, rest in INSTRUCTIONS if word == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in rest and "--no-deps" in rest for rest in installed)
    assert len(installed) == 1


def test_no_image_is_of_a_named_registry() -> None:
    texts = [path.read_text() for path in FOLDER.rglob("*") if path.is_file()]
    named = [
        name
        for text in texts
        for name in re.findall(r"(?:\bimage:|\bFROM|\bARG BASE=|--tag|-t)\s*([^\s,}]+)", text)
    ]
    assert IMAGE in named
    assert [name for name in named if "." in name.partition("/")[0] and "/" in name] == []


def test_the_rules_have_net_admin_and_nobody_else_has_anything() -> None:
    assert SERVICES["rules"]["cap_add"] == ["NET_ADMIN"]
    assert SERVICES["rules"]["user"] == "0:0"
    for name, service in SERVICES.items():
        assert (service["cap_drop"], service["read_only"]) == (["ALL"], True), name
        assert service["security_opt"] == ["no-new-privileges"], name
        assert service["image"] == IMAGE, name
        assert ("cap_add" in service) is (name == "rules"), name


def test_the_application_starts_once_the_rules_stand_and_the_relay_is_ready() -> None:
    needed = SERVICES["app"]["depends_on"]
    assert needed["rules"] == {"condition": "service_completed_successfully"}
    assert needed["relay"] == {"condition": "service_healthy"}
    assert SERVICES["relay"]["depends_on"]["rules"] == needed["rules"]
    assert is_command(SERVICES["relay"]["healthcheck"]["test"][1:])
    assert is_command(["keepline", *SERVICES["rules"]["command"]])


def test_all_are_in_the_network_of_one_that_does_nothing() -> None:
    joined = {name: service.get("network_mode") for name, service in SERVICES.items()}
    assert joined.pop("network") is None
    assert set(joined.values()) == {"service:network"}
    assert "restart" not in SERVICES["network"]
    assert SERVICES["network"]["dns_opt"] == ["timeout:30", "attempts:5"]


def test_there_is_time_to_drain_and_a_place_to_keep() -> None:
    assert int(SERVICES["relay"]["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
    assert SERVICES["relay"]["volumes"] == [f"keepline:{STATE}"]
    assert SERVICES["app"]["user"].split(":")[0] not in {"0", str(RELAY_UID)}
