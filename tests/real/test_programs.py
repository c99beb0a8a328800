"""npm, pip, curl and apt-get give the same results under keepline as without."""

import hashlib
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from relay.record.events import (
    ConnectionClosed,
    ConnectionDenied,
    DialFailed,
    LookupFailed,
    SessionEnded,
)
from tests.support.command.both import CALLERS, Both, Ran
from tests.support.command.programs import needs

everybody = pytest.mark.parametrize("who", CALLERS)


def files(folder: Path) -> dict[str, str]:
    """Return the digest of each file, and the target of each link, by its path below the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def went_through_the_relay(ran: Ran) -> None:
    """See that connections were made and that nothing was lost on the way."""
    connections = [event for event in ran.events if isinstance(event, ConnectionClosed)]
    assert sum(event.received for event in connections) > 0
    assert not [
        event
        for event in ran.events
        if isinstance(event, ConnectionDenied | DialFailed | LookupFailed)
    ]
    (end,) = [event for event in ran.events if isinstance(event, SessionEnded)]
    assert end.status == 0


@everybody
def test_npm_view(both: Both, environment: Mapping[str, str]) -> None:
    npm = needs("npm")

    def view(folder: Path) -> list[str]:
        return [npm, "view", "left-pad", "version", f"--cache={folder}.cache"]

    bare, kept = both.run("npm view", view, environment)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", bare.stdout)
    assert kept.stdout == bare.stdout
    went_through_the_relay(kept)


@everybody
def test_npm_install(both: Both, environment: Mapping[str, str]) -> None:
    npm = needs("npm")

    def install(folder: Path) -> list[str]:
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier"]
        return [
            npm,
            "install",
            "eslint",
            "express",
            *quiet,
            f"--cache={folder}.cache",
        ]

    bare, kept = both.run("npm install", install, environment)
    installed = files(bare.folder)
    packages = json.loads((bare.folder / "package-lock.json").read_text())["packages"]
    assert len(packages) > 100
    assert len(installed) > 1000
    assert files(kept.folder) == installed
    went_through_the_relay(kept)


@everybody
def test_pip_download(both: Both, environment: Mapping[str, str]) -> None:
    # The index itself is asked, whatever else this machine is told to look at.
    local = {"PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONFIG_FILE"}
    remote = {name: text for name, text in environment.items() if name not in local}
    remote["PIP_CONFIG_FILE"] = os.devnull

    def download(folder: Path) -> list[str]:
        quiet = ["--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off"]
        return [sys.executable, "-m", "pip", "download", *quiet, "--dest", str(folder), "rich"]

    bare, kept = both.run("pip download", download, remote)
    for ran in (bare, kept):
        assert len(re.findall("^ *Downloading .*whl", ran.stdout, re.MULTILINE)) >= 4
    downloaded = files(bare.folder)
    assert len(downloaded) >= 4
    assert files(kept.folder) == downloaded
    went_through_the_relay(kept)


@everybody
def test_curl_over_https(both: Both, environment: Mapping[str, str]) -> None:
    curl = needs("curl")
    asked = subprocess.run(
        [needs("npm"), "config", "get", "registry"],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    url = asked.stdout.strip().rstrip("/") + "/left-pad"
    assert url.startswith("https://")

    def fetch(folder: Path) -> list[str]:
        shown = "%{http_code} %{http_version} %{ssl_verify_result} %{remote_ip}"
        return [curl, "-v", "-sS", "--max-time", "60", "-o", str(folder / "body"), "-w", shown, url]

    bare, kept = both.run("curl -v", fetch, environment)
    *result, _address = bare.stdout.split()
    *result_kept, address_kept = kept.stdout.split()
    assert result[0] == "200"
    assert result[2] == "0"
    assert result_kept == result
    assert address_kept.startswith(("198.18.", "198.19."))
    assert json.loads((bare.folder / "body").read_text())["name"] == "left-pad"
    assert files(kept.folder) == files(bare.folder)
    for ran in (bare, kept):
        assert "SSL connection using TLS" in ran.stderr
        assert "SSL certificate verify ok" in ran.stderr
    went_through_the_relay(kept)


@pytest.mark.for_root
@pytest.mark.parametrize("who", ["root"])
def test_apt_get_update(both: Both, environment: Mapping[str, str]) -> None:
    apt = needs("apt-get")

    def update(folder: Path) -> list[str]:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        options = {
            "Dir::State": folder / "state",
            "Dir::State::status": "/var/lib/dpkg/status",
            "Dir::Cache": folder / "cache",
        }
        return [apt, "update", *(f"-o{name}={value}" for name, value in options.items())]

    bare, kept = both.run("apt-get update", update, environment)
    fetched = files(bare.folder / "state/lists")
    fetched.pop("lock")
    assert fetched
    fetched_kept = files(kept.folder / "state/lists")
    fetched_kept.pop("lock")
    assert fetched_kept == fetched
    downloader = pwd.getpwnam("_apt").pw_uid
    for ran in (bare, kept):
        assert "unsandboxed" not in ran.stderr
        assert (ran.folder / "state/lists/partial").stat().st_uid == downloader
    went_through_the_relay(kept)
