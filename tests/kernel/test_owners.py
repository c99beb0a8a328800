"""Programs that check who owns a file: what is root's passes for root's, or the reason is told.

Each runs bare and under keepline. Inside, the files of an ordinary caller's root are nobody's; of
another's they are its own, so only root can show the difference, and the other callers that all is
well without.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command.keepline import Keepline
from tests.support.internet.world import Internet
from tests.support.machine.ordinary import Ordinary

CALLERS = ("root", "ordinary") if os.getuid() == 0 else ("itself",)


@dataclass
class Caller:
    """Who runs programs in the client, and how."""

    internet: Internet
    ordinary: Ordinary | None

    async def both(self, *argv: str) -> tuple[str, str]:
        """Run a program bare and under keepline; return all that it said."""
        return await self._run(argv), await self._run(Keepline.argv("run", "--", *argv))

    async def _run(self, argv: tuple[str, ...] | list[str]) -> str:
        if self.ordinary is not None:
            argv = self.ordinary.argv(*argv)
        env = self.ordinary.environment if self.ordinary is not None else None
        done = await self.internet.client.run_process(argv, check=False, env=env)
        return (done.stdout + done.stderr).decode()


@pytest.fixture(params=CALLERS)
def caller(internet: Internet, request: pytest.FixtureRequest) -> Caller:
    """Every caller, in a client whose ssh_config.d has a file of root's, as Fedora's has.

    One that includes another, outside of that folder and behind a symbolic link.
    """
    policies = internet.directory / "policies"
    policies.mkdir()
    (policies / "openssh.txt").write_text("Ciphers aes256-ctr\n")
    (policies / "openssh.config").symlink_to("openssh.txt")
    folder = internet.directory / "ssh_config.d"
    folder.mkdir()
    text = f"SendEnv FROM_INCLUDED\nMatch all\n  Include {policies}/openssh.config\n"
    (folder / "50-redhat.conf").write_text(text)
    config = internet.directory / "ssh_config"
    config.write_text("Include /etc/ssh/ssh_config.d/*.conf\n")
    ordinary = Ordinary(internet) if request.param == "ordinary" else None
    for place, source in (("ssh_config.d", folder), ("ssh_config", config)):
        Ordinary.cover(internet, f"/etc/ssh/{place}", source)
    return Caller(internet, ordinary)


async def test_ssh_reads_what_the_system_includes(caller: Caller) -> None:
    bare, kept = await caller.both("ssh", "-G", "v4.test")
    assert kept == bare
    assert "sendenv FROM_INCLUDED" in kept
    assert "ciphers aes256-ctr" in kept


@pytest.mark.parametrize(
    "argv",
    [
        ("ssh", "-oBatchMode=yes", "v4.test", "true"),
        ("git", "ls-remote", "ssh://v4.test/a.git"),
    ],
)
async def test_ssh_connects(caller: Caller, argv: tuple[str, ...]) -> None:
    bare, kept = await caller.both(*argv)
    assert kept == bare
    assert "Connection refused" in kept


async def test_the_callers_own_configuration_may_be_a_link_into_a_store_of_roots(
    caller: Caller,
) -> None:
    if caller.ordinary is None:
        return  # whose home is the person's own
    store = caller.internet.directory / "store"
    store.mkdir()
    (store / "included").write_text("User from-store\n")
    (store / "config").write_text(f"Host *\nInclude {store}/included\n")
    own = caller.ordinary.home / ".ssh"
    own.mkdir()
    (own / "config").symlink_to(store / "config")
    bare, kept = await caller.both("ssh", "-G", "v4.test")
    assert kept == bare
    assert "user from-store" in kept


async def test_the_copies_cannot_be_written_to(caller: Caller) -> None:
    for place in ("50-redhat.conf", "new.conf"):
        script = f"echo >>/etc/ssh/ssh_config.d/{place} && echo written"
        if caller.ordinary is not None:
            said = await caller.both("sh", "-c", script)
            assert [re.sub(".*: ", "", text.strip()) for text in said] == [
                "Permission denied",
                "Read-only file system",
            ]
    assert os.listdir(caller.internet.directory / "ssh_config.d") == ["50-redhat.conf"]  # noqa: PTH208


async def test_a_file_of_another_user_is_refused_as_ever(caller: Caller) -> None:
    if caller.ordinary is None:
        return  # to whom all files are its own, or root's
    os.chown(Path(caller.internet.directory, "ssh_config.d/50-redhat.conf"), 4712, 4712)
    bare, kept = await caller.both("ssh", "-G", "v4.test")
    assert bare == kept
    assert "Bad owner or permissions" in kept


async def test_a_setuid_program_gains_nothing(caller: Caller) -> None:
    if caller.ordinary is None:
        return  # to whom no id of the test's machine is another's
    program = caller.internet.directory / "whoami"
    shutil.copy(shutil.which("whoami") or "", program)
    program.chmod(0o4755)
    assert await caller.both(str(program)) == ("root\n", "ordinary\n")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("gpg", "--batch", "--list-keys"), None),
        (("git", "-C", "/", "rev-parse"), "not a git repository"),
        (("tmux", "-L", "owners", "start-server", ";", "show-options", "-s", "escape-time"), None),
        (("bash", "-lic", "true"), None),
    ],
)
async def test_others_that_check_owners_find_what_they_find_bare(
    caller: Caller, argv: tuple[str, ...], says: str | None
) -> None:
    await caller.both(*argv)  # what they say when they start for the first time
    bare, kept = await caller.both(*argv)
    assert kept == bare
    assert "owner" not in kept
    assert says is None or says in kept
