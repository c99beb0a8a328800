"""A pod's gateway is off unless it is asked for, and tells programs of itself by files."""

import errno
from pathlib import Path

import msgspec
import pytest

from netns.errors import KeeplineError
from relay.config import Settings
from relay.gateway.setup.prepare import Prepared, Without
from relay.sidecar import gateway

BASE = Settings(gateway="http", gateway_hosts=("api.test",))


@pytest.fixture(autouse=True)
def without_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_BASE_URL", "NODE_EXTRA_CA_CERTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_it_is_off_by_itself(mode: str) -> None:
    settings = msgspec.structs.replace(BASE, gateway=mode)
    with gateway.opened(settings, None, pytest.fail) as prepared:
        assert isinstance(prepared, Without)
        assert prepared.by_choice


def test_it_needs_a_volume() -> None:
    with (
        pytest.raises(KeeplineError, match="has to tell programs"),
        gateway.opened(BASE, None, pytest.fail),
    ):
        pass


@pytest.mark.parametrize("mode", ["http", "tls"])
def test_what_it_tells_is_there_for_as_long_as_it_is(tmp_path: Path, mode: str) -> None:
    settings = msgspec.structs.replace(BASE, gateway=mode)
    folder = tmp_path / gateway.FOLDER
    folder.mkdir(mode=0o700)
    for name in (gateway.VARIABLES, gateway.AUTHORITY):  # of a relay that was killed
        (folder / name).write_text("old")
    with gateway.opened(settings, str(tmp_path), pytest.fail) as prepared:
        assert isinstance(prepared, Prepared)
        told = (folder / gateway.VARIABLES).read_text()
        assert (
            told
            == {
                "http": "ANTHROPIC_BASE_URL=http://127.0.0.1:4430\n",
                "tls": f"NODE_EXTRA_CA_CERTS={folder / gateway.AUTHORITY}\n",
            }[mode]
        )
        assert (folder / gateway.AUTHORITY).exists() == (mode == "tls")
        assert folder.stat().st_mode & 0o777 == 0o755
        assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o644}
    assert list(folder.iterdir()) == []
    if prepared.certificates is not None:
        prepared.certificates.close()


def test_an_error_of_what_runs_beside_it_is_not_its_own(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="of the relay"),
        gateway.opened(BASE, str(tmp_path), pytest.fail),
    ):
        raise OSError(errno.EMFILE, "of the relay")
    assert list((tmp_path / gateway.FOLDER).iterdir()) == []


def test_what_was_put_in_its_place_is_not_emptied(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / gateway.FOLDER, tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / gateway.VARIABLES).touch()
    with gateway.opened(BASE, str(tmp_path), pytest.fail):
        folder.rename(tmp_path / "moved")
        folder.symlink_to(elsewhere)
    assert (elsewhere / gateway.VARIABLES).exists()


def test_a_volume_that_others_have_prepared_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / gateway.FOLDER
    folder.mkdir()
    folder.chmod(0o777)
    with (
        pytest.raises(KeeplineError, match="others can write it"),
        gateway.opened(BASE, str(tmp_path), pytest.fail),
    ):
        pass


def test_a_link_in_place_of_the_variables_leads_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / gateway.FOLDER
    folder.mkdir(mode=0o755)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    (folder / gateway.VARIABLES).symlink_to(elsewhere)
    with gateway.opened(BASE, str(tmp_path), pytest.fail):
        assert not (folder / gateway.VARIABLES).is_symlink()
    assert elsewhere.read_text() == "not ours"
