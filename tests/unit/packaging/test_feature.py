"""packaging/devcontainer-feature: its scripts are sound, agree, and fail closed."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from netns.network.pod import RELAY_UID
from relay.sidecar.command import WORDS

from . import FOLDER, STATE

FEATURE: Final = FOLDER / "devcontainer-feature"
SAYS: Final = json.loads((FEATURE / "devcontainer-feature.json").read_text())
SCRIPTS: Final = ("pack", "install.sh", "entrypoint", "start")


def test_the_scripts_are_sound() -> None:
    shellcheck = shutil.which("shellcheck")
    assert shellcheck
    subprocess.run([shellcheck, *(FEATURE / name for name in SCRIPTS)], check=True)


def test_it_asks_for_net_admin_and_no_more() -> None:
    assert SAYS["capAdd"] == ["NET_ADMIN"]
    assert SAYS["init"] is True
    assert not {"privileged", "securityOpt", "mounts"} & SAYS.keys()


def test_what_it_runs_is_installed_and_a_command() -> None:
    installed = (FEATURE / "install.sh").read_text()
    name = Path(SAYS["entrypoint"]).name
    assert (FEATURE / name).is_file()
    assert f"install -m 755 start {name} {Path(SAYS['entrypoint']).parent}/" in installed
    for hook in ("onCreateCommand", "postStartCommand"):
        program, group, word, *_ = SAYS[hook].split()
        assert (program, group) == ("keepline", "sidecar")
        assert word in WORDS


def test_each_option_is_a_variable_that_is_read_and_a_flag_that_is_given() -> None:
    installed, started = ((FEATURE / name).read_text() for name in ("install.sh", "start"))
    files = {"allow": "allow", "deny": "deny", "excludeCidr": "exclude-cidr"}
    assert SAYS["options"].keys() == files.keys()
    for option, file in files.items():
        assert f'${{{option.upper()}:-}}" >/etc/keepline-feature/{file}\n' in installed
        assert file in started


def test_the_relay_is_without_privilege_and_of_its_user() -> None:
    installed, started = ((FEATURE / name).read_text() for name in ("install.sh", "start"))
    assert f"useradd --uid {RELAY_UID} " in installed
    assert f"--reuid {RELAY_UID} --regid {RELAY_UID} --clear-groups" in started
    assert "--bounding-set=-all --inh-caps=-all --no-new-privs" in started
    assert f"sidecar relay --state {STATE}" in started


def test_what_anybody_may_have_root_run_takes_no_word() -> None:
    (line,) = [
        line for line in (FEATURE / "install.sh").read_text().splitlines() if "NOPASSWD" in line
    ]
    assert 'NOPASSWD: /usr/local/libexec/keepline/start ""\'' in line


@pytest.mark.parametrize(("status", "goes_on"), [(0, True), (1, False)])
def test_a_shell_goes_on_after_the_entrypoint_only_if_the_relay_is_ready(
    tmp_path: Path, *, status: int, goes_on: bool
) -> None:
    started = tmp_path / "start"
    started.write_text(f"#!/bin/sh\nexit {status}\n")
    started.chmod(0o755)
    sudo = tmp_path / "sudo"  # for a test that is not root's
    sudo.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    sudo.chmod(0o755)
    text = (FEATURE / "entrypoint").read_text()
    assert text.count("start=/usr/local/libexec/keepline/start\n") == 1
    entrypoint = tmp_path / "entrypoint"
    entrypoint.write_text(text.replace("/usr/local/libexec/keepline/start", str(started)))
    entrypoint.chmod(0o755)
    # As @devcontainers/cli writes it.
    script = f'echo Container started\ntrap "exit 0" 15\n{entrypoint}\nexec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "-", "echo", "went on"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("went on" in done.stdout) is goes_on
    assert ("the container ends" in done.stderr) is not goes_on


_KEEPLINE: Final = """#!/bin/sh
case $2 in
relay) echo "$PPID" >>$folder/relays && exec sleep 600 ;;
ready) # not at once, as in the moment in which it starts again
    [ "${3:-}" = --wait ] || exit 1
    until [ -s $folder/relays ]; do sleep 0.01; done ;;
esac
"""


def test_one_relay_is_kept_running_however_often_it_is_started(tmp_path: Path) -> None:
    text = (FEATURE / "start").read_text()
    for folder in ("/etc", "/run", "/var/log"):
        assert f"{folder}/keepline" in text
        text = text.replace(f"{folder}/keepline", f"{tmp_path}/keepline")
    text = text.replace("PATH=/usr/local/sbin:", f"PATH={tmp_path}:/usr/local/sbin:")
    for name, script in (
        ("start", text),
        ("keepline", _KEEPLINE.replace("$folder", str(tmp_path))),
        ("setpriv", '#!/bin/sh\nwhile [ "$1" != keepline ]; do shift; done\nexec "$@"\n'),
    ):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    try:
        for _ in range(2):
            subprocess.run([tmp_path / "start"], check=True)
    finally:
        leaders = (tmp_path / "relays").read_text().split()
        for leader in leaders:
            os.killpg(int(leader), signal.SIGKILL)
    assert len(leaders) == 1
    assert (tmp_path / "keepline-feature.lock").stat().st_mode & 0o777 == 0o600


def test_a_packed_feature_has_all_that_is_installed(tmp_path: Path) -> None:
    packed = tmp_path / "keepline"
    subprocess.run([FEATURE / "pack", packed], check=True)
    assert {path.name for path in packed.iterdir()} == {
        "devcontainer-feature.json",
        "source",
        *SCRIPTS,
    } - {"pack"}
    for name in ("keepline.py", "netns", "relay", "requirements.txt"):
        assert (packed / "source" / name).exists()
    again = subprocess.run([FEATURE / "pack", packed], capture_output=True, text=True, check=False)
    assert (again.returncode, "there already" in again.stderr) == (1, True)
