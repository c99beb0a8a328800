"""With --strict the host's files and sockets are out of reach, but for what the lists name."""

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from netns import syscalls
from tests.support.command.keepline import Done, Keepline
from tests.support.internet.world import Internet
from tests.support.machine.lacking import lacking
from tests.support.machine.unix_servers import CONNECT, CONNECT_LATER, UnixServers

ROOT: Final = Path(__file__).parents[2]
"""Where the interpreter of these tests is, and keepline."""

STRICT: Final = ("--strict",)
PRIVATE_HOME: Final = ("--strict", "--home", "private")
MASKED, ABSENT, CONNECTED = "ECONNREFUSED", "ENOENT", "connected"


@dataclass
class Machine:
    """A host with folders of a person's, and sockets wherever there may be some."""

    internet: Internet
    folders: Mapping[str, Path]
    environment: dict[str, str]
    keepline: Keepline
    servers: UnixServers
    sockets: dict[str, str] = field(default_factory=dict)

    async def bare(self, *argv: str, cwd: Path | None = None) -> str:
        """Run a program without keepline; return what it said."""
        done = await self.internet.client.run_process(
            argv, check=False, env=self.keepline.environment | self.environment, cwd=self.at(cwd)
        )
        return (done.stdout + done.stderr).decode()

    async def run(
        self,
        *argv: str,
        options: Sequence[str] = STRICT,
        cwd: Path | None = None,
        check: bool = True,
    ) -> Done:
        """Run a program under keepline."""
        return await self.keepline.run(
            *argv, options=options, env=self.environment, cwd=self.at(cwd), check=check
        )

    def at(self, cwd: Path | None) -> Path:
        """Return the working folder: the person's by default."""
        return cwd or self.folders["work"]

    async def tried(self, *options: str) -> dict[str, str]:
        """Connect to each socket from under keepline; return what came of it, by name."""
        done = await self.run(*CONNECT, *self.sockets.values(), options=options)
        outcome = json.loads(done.stdout)
        return {name: outcome[path] for name, path in self.sockets.items()}


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def over(internet: Internet, folder: str) -> Path:
    """Let a folder of the host be the test's own."""
    internet.client.call(lambda: syscalls.mount("tmpfs", folder, "tmpfs", 0, "mode=755"))
    return Path(folder)


@pytest.fixture
def machine(internet: Internet) -> Iterator[Machine]:
    with ExitStack() as undo:
        made = {
            name: Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="kl-", dir=place)))
            for name, place in (("tmp", "/tmp"), ("shm", "/dev/shm"), ("var", "/var/tmp"))
        }
        folders = made | {
            name: internet.directory / name for name in ("home", "work", "runtime", "home/.ssh")
        }
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        folders["run"] = over(internet, "/run")
        environment = {
            "HOME": str(folders["home"]),
            "XDG_RUNTIME_DIR": str(folders["runtime"]),
            "TMPDIR": str(folders["tmp"] / "of-mine"),
        }
        yield Machine(
            internet, folders, environment, Keepline(internet), UnixServers(internet.client)
        )


@pytest.fixture
def served(machine: Machine) -> Machine:
    """The machine with a socket in each folder, and odd ones."""
    serve, folders = machine.servers.serve, machine.folders
    for name in ("tmp", "shm", "run", "runtime", "home", "work", "var"):
        machine.sockets[name] = serve(str(folders[name] / "socket"))
    (folders["home"] / "sockets").mkdir()
    machine.sockets["folder of sockets"] = serve(str(folders["home"] / "sockets/socket"))
    (folders["home"] / "other").touch()
    machine.sockets["newline"] = serve(str(folders["home"] / "new\nline"))
    for name in ("var", "home/.ssh"):
        (folders[name] / "file").touch()
    machine.sockets["relative"] = str(folders["home"] / "relative")
    serve("relative", folder=str(folders["home"]))
    linked = Path(serve(str(folders["home/.ssh"] / "control.Xy12")))
    machine.sockets["linked"] = str(linked.rename(linked.with_name("control")))
    others = UnixServers(machine.internet.router)
    machine.sockets["of another network"] = others.serve(str(folders["home"] / "of-another"))
    return machine


PRIVATE = ("tmp", "shm", "run", "runtime", "folder of sockets")


async def test_a_socket_of_the_host_is_reached_without_strict(served: Machine) -> None:
    bare = json.loads(await served.bare(*CONNECT, *served.sockets.values()))
    assert set(bare.values()) == {CONNECTED}
    assert set((await served.tried()).values()) == {CONNECTED}


async def test_and_not_with_it(served: Machine) -> None:
    assert await served.tried(*STRICT) == {
        name: ABSENT if name in PRIVATE else MASKED for name in served.sockets
    }


async def test_a_private_home_has_none(served: Machine) -> None:
    outcome = await served.tried(*PRIVATE_HOME)
    assert {name: outcome[name] for name in ("var", "work")} == {"var": MASKED, "work": MASKED}
    assert {outcome[name] for name in served.sockets if name not in ("var", "work")} == {ABSENT}


@pytest.mark.parametrize(("options", "in_home"), [(STRICT, CONNECTED), (PRIVATE_HOME, ABSENT)])
async def test_a_socket_that_is_made_anew_is_out_of_reach(
    served: Machine, options: Sequence[str], in_home: str
) -> None:
    """As by a service that restarts. A mask on the old one is gone then: SECURITY.md says so."""
    paths = [served.sockets[name] for name in (*PRIVATE, "home")]
    async with served.keepline.start(
        *CONNECT_LATER, *paths, options=options, env=served.environment, cwd=served.at(None)
    ) as session:
        assert await session.readline() == b"ready\n"
        for path in paths:
            served.servers.serve(path)
        done = await session.end(b"\n")
    outcome = json.loads(done.stdout)
    assert [outcome[path] for path in paths] == [ABSENT] * len(PRIVATE) + [in_home]


async def test_no_way_leads_up_from_the_working_folder(served: Machine) -> None:
    """What is above it is the private folder, and not the one that it was in."""
    path = served.sockets["tmp"]
    up = "../" * len(served.folders["work"].parts)
    done = await served.run(*CONNECT, up.removesuffix("/") + path)
    assert set(json.loads(done.stdout).values()) == {ABSENT}
    of_another = served.internet.router.directory.name
    assert of_another in await served.bare("ls", "../..")
    done = await served.run("ls", "../..")
    assert of_another not in done.stdout.decode()


async def test_a_folder_that_is_passed_on_is_an_error(served: Machine) -> None:
    """From it `..` leads to sockets that no path leads to any more."""
    path = "/proc/self/fd/7/socket"
    argv = ("sh", "-c", f'exec "$@" 7</dev/shm/{served.folders["shm"].name}', "sh")
    assert CONNECTED in await served.bare(*argv, *CONNECT, path)
    done = await served.bare(*argv, *Keepline.argv("run", "--strict", "--"), *CONNECT, path)
    assert CONNECTED not in done
    assert "descriptor 7, which is passed on, is a folder" in done


async def test_the_masks_stay_on_in_a_nested_namespace(served: Machine) -> None:
    home, tmp = served.sockets["home"], served.sockets["tmp"]
    connect = shlex.join([*CONNECT, home, tmp, f"/mnt{home}", f"/mnt{tmp}"])
    script = f"""
        umount -l {home}; umount -l /tmp; rm -f {home}; mount --bind {home} {home}
        mount --bind / /mnt; umount -l /mnt/tmp
        {connect}
    """
    argv = ("unshare", "-Urm", "sh", "-c", script)
    done = await served.run(*argv, cwd=ROOT, check=False)
    if os.getuid() != 0:  # to whom --strict leaves no namespace of its own
        assert CONNECTED not in done.stdout.decode()
        assert MASKED in done.stdout.decode()


async def test_the_folders_are_as_programs_expect_them(machine: Machine) -> None:
    script = "stat -c '%n %a %u' /run /run/lock /tmp /dev /dev/shm $XDG_RUNTIME_DIR $TMPDIR"
    done = await machine.run("sh", "-c", script)
    own = str(os.getuid())
    assert done.stdout.decode().split("\n")[:-1] == [
        f"/run 755 {own}",
        f"/run/lock 1777 {own}",
        f"/tmp 1777 {own}",
        f"/dev 755 {own}",
        f"/dev/shm 1777 {own}",
        f"{machine.folders['runtime']} 700 {own}",
        f"{machine.folders['tmp']}/of-mine 700 {own}",
    ]


async def test_what_is_written_there_stays_there(machine: Machine) -> None:
    files = [f"{folder}/written" for folder in ("/run", "/tmp", "/dev/shm")]
    await machine.run("sh", "-c", f"touch {' '.join(files)} ./written")
    assert not any(map(os.path.exists, files))
    assert (machine.folders["work"] / "written").exists()


async def test_devices_are_few(machine: Machine) -> None:
    done = await machine.run("ls", "/dev")
    assert set(done.stdout.decode().split()) - {"console"} == {
        *("fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"),
        *("tty", "urandom", "zero"),
    }


async def test_names_are_looked_up_with_resolv_conf_in_run(machine: Machine) -> None:
    """As with systemd-resolved, whose file is one of /run's."""
    folder = machine.folders["run"] / "systemd/resolve"
    client = machine.internet.client

    def make() -> None:
        folder.mkdir(parents=True)
        (folder / "stub-resolv.conf").write_text("nameserver 203.0.113.53\n")
        syscalls.mount(str(folder / "stub-resolv.conf"), "/etc/resolv.conf", flags=syscalls.MS_BIND)

    client.call(make)
    done = await machine.run("getent", "ahostsv4", "v4.test")
    assert done.stdout.startswith((b"198.18.", b"198.19."))


async def test_kernel_settings_can_be_read_alone(machine: Machine) -> None:
    places = "/sys/kernel/uevent_helper /sys/fs/cgroup/new"
    if os.getuid() == 0:
        places += " /proc/sys/kernel/core_pattern /proc/sysrq-trigger"
    script = f"for f in {places}; do (: >>$f) 2>/dev/null && echo $f; done; cat /proc/sys/net/*/*/*"
    done = await machine.run(
        "sh", "-c", f"{script} | head -c1 >/dev/null; touch /sys/x", check=False
    )
    assert done.stdout == b""
    assert "Read-only file system" in done.stderr


async def test_a_chroots_settings_and_devices_are_the_same(machine: Machine) -> None:
    root = machine.folders["work"] / "chroot"
    for name in ("sys", "dev"):
        (root / name).mkdir(parents=True)

    def mount() -> None:
        for name in ("sys", "dev"):
            flags = syscalls.MS_BIND | syscalls.MS_REC
            syscalls.mount(f"/{name}", str(root / name), flags=flags)

    machine.internet.client.call(mount)
    done = await machine.run("sh", "-c", "ls chroot/dev; touch chroot/sys/new", check=False)
    assert done.stdout == b""
    assert "Read-only file system" in done.stderr


async def test_lock_files_of_editors_stay(machine: Machine) -> None:
    lock = machine.folders["home"] / ".claude/ide/1.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("{}")
    done = await machine.run("rm", str(lock), check=False)
    assert "Read-only file system" in done.stderr
    assert (await machine.run("cat", str(lock))).stdout == b"{}"
    await machine.run("touch", str(lock.parents[1] / "other"))
    await machine.run("rm", str(lock), options=("--no-auto-ports",))
    assert not lock.exists()


async def test_a_private_home_is_empty_and_ends_with_the_session(machine: Machine) -> None:
    home = machine.folders["home"]
    (home / "secret").write_text("secret")
    work = home / "project"
    work.mkdir()
    script = "ls -A $HOME; pwd; touch $HOME/written made; cat $HOME/secret"
    done = await machine.run("sh", "-c", script, options=PRIVATE_HOME, cwd=work, check=False)
    assert done.stdout.decode().split() == ["project", str(work)]
    assert "secret: No such file" in done.stderr
    assert names_in(home) == {".ssh", "project", "secret"}
    assert names_in(work) == {"made"}


async def test_the_commands_own_file_is_opened_in_a_private_home(machine: Machine) -> None:
    """Where it is a link, the link is there too."""
    home = machine.folders["home"]
    store = home / "share/versions"
    store.mkdir(parents=True)
    (home / "bin").mkdir()
    shutil.copy("/bin/ls", store / "1.0")
    (store / "other").touch()
    (home / "bin/mine").symlink_to("../share/versions/1.0")
    machine.environment["PATH"] = f"{home}/bin:{os.environ['PATH']}"
    done = await machine.run("mine", str(store), options=PRIVATE_HOME)
    assert done.stdout == b"1.0\n"


async def test_the_gateways_certificate_is_opened_in_a_private_home(machine: Machine) -> None:
    machine.environment["XDG_STATE_HOME"] = str(machine.folders["home"] / ".local/state")
    machine.environment["XDG_CONFIG_HOME"] = str(machine.folders["home"] / ".config")
    options = (*PRIVATE_HOME, "--gateway=tls", "--gateway-hosts=v4.test")
    script = "cat $NODE_EXTRA_CA_CERTS; find $HOME -type f"
    done = await machine.run("sh", "-c", script, options=options)
    *certificate, found = done.stdout.decode().splitlines()
    assert certificate[0] == "-----BEGIN CERTIFICATE-----"
    assert found.endswith(".pem")


@pytest.mark.parametrize("options", [STRICT, PRIVATE_HOME])
async def test_a_program_in_tmp_is_opened(machine: Machine, options: Sequence[str]) -> None:
    program = machine.folders["tmp"] / "program"
    shutil.copy("/bin/ls", program)
    (machine.folders["tmp"] / "other").touch()
    done = await machine.run(str(program), str(program.parent), options=options)
    assert done.stdout == b"of-mine\nprogram\n"


@pytest.mark.parametrize(
    ("options", "folder"),
    [(STRICT, "/tmp"), (STRICT, "/dev/shm"), (STRICT, "runtime"), (PRIVATE_HOME, "home")],
)
async def test_a_working_folder_that_would_be_empty_is_an_error(
    machine: Machine, options: Sequence[str], folder: str
) -> None:
    cwd = Path(folder) if folder.startswith("/") else machine.folders[folder]
    done = await machine.run("touch", "ran", options=options, cwd=cwd, check=False)
    assert (done.status, done.stdout) == (125, b"")
    assert f"the working folder, {cwd}, is private" in done.stderr
    assert "  try: " in done.stderr
    assert not (cwd / "ran").exists()


async def test_a_working_folder_that_is_gone_is_an_error(machine: Machine) -> None:
    nested = shlex.join(Keepline.argv("run", "--strict", "--", "echo", "ran"))
    done = await machine.bare("sh", "-c", f"mkdir gone; cd gone; rmdir ../gone; {nested}")
    assert "working folder: No such file or directory" in done
    assert "  try: " in done


async def test_a_mount_that_is_refused_is_named_and_nothing_runs(machine: Machine) -> None:
    """As on a kernel before 5.12, or in a container that forbids it."""
    argv = lacking("mount_setattr:ENOSYS", *Keepline.argv("run", "--strict", "--", "echo", "ran"))
    said = (await machine.bare(*argv)).splitlines()
    assert len(said) == 2
    assert "cannot be made read-only: Function not implemented" in said[0]
    assert "Linux 5.12" in said[1]


async def test_a_folder_from_which_nothing_is_run_stays_one(machine: Machine) -> None:
    def mount() -> None:
        syscalls.mount("tmpfs", "/run", "tmpfs", syscalls.MS_NOEXEC, "mode=755")

    machine.internet.client.call(mount)
    script = "cp /bin/true /run/program; cp /bin/true /tmp/program; /tmp/program && /run/program"
    done = await machine.run("sh", "-c", script, check=False)
    assert done.status == 126


@pytest.mark.parametrize("folder", ["/", "/usr", "home"])
async def test_other_working_folders_are_as_they_were(machine: Machine, folder: str) -> None:
    cwd = Path(folder) if folder.startswith("/") else machine.folders[folder]
    done = await machine.run("sh", "-c", "pwd; ls -A", cwd=cwd)
    said = done.stdout.decode().split("\n")[:-1]
    assert said[0] == str(cwd)
    assert set(said[1:]) == names_in(cwd)


async def test_a_working_folder_with_an_odd_name(machine: Machine) -> None:
    folder = machine.folders["tmp"] / os.fsdecode(b"odd \n\xff name")
    folder.mkdir()
    done = await machine.run("touch", "made", cwd=folder)
    assert done.stderr == ""
    assert names_in(folder) == {"made"}


PROGRAMS = {
    "mktemp": ("sh", "-c", 'f=$(mktemp) && echo text >"$f" && cat "$f"'),
    "make": ("sh", "-c", r"printf 'all:\n\t@echo text\n' >Makefile && make -j2"),
    "git": (
        "sh",
        "-c",
        "git init -q && git -c user.name=a -c user.email=b commit -q --allow-empty -m text"
        " && git log --format=%s",
    ),
    "node": (
        "node",
        "-e",
        "const s=require('net').createServer(c=>c.end('text\\n')).listen('/tmp/s',()=>"
        "require('net').connect('/tmp/s').on('data',d=>{process.stdout.write(d);s.close()}))",
    ),
    "python": (
        sys.executable,
        "-I",
        "-c",
        "import multiprocessing as m; q=m.get_context('fork').Queue(); q.put('text');"
        " print(q.get())",
    ),
    "sqlite": (
        sys.executable,
        "-I",
        "-c",
        "import sqlite3; c=sqlite3.connect('/dev/shm/db'); c.execute('pragma journal_mode=wal');"
        " c.execute('create table t(a)'); c.execute(\"insert into t values('text')\"); c.commit();"
        " print(sqlite3.connect('/dev/shm/db').execute('select a from t').fetchone()[0])",
    ),
    "tmux": (
        "sh",
        "-c",
        "tmux -L own new-session -d 'echo text >out; tmux -L own wait-for -S done'"
        " \\; wait-for done; cat out; tmux -L own kill-server 2>/dev/null || true",
    ),
    "terminal": (
        sys.executable,
        "-I",
        "-c",
        "import os; master, slave = os.openpty(); os.write(slave, b'text'); assert"
        " os.ttyname(slave).startswith('/dev/pts/'); print(os.read(master, 4).decode())",
    ),
}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_programs_work_in_it(machine: Machine, program: str) -> None:
    done = await machine.run(*PROGRAMS[program], check=False)
    assert (done.status, done.stdout) == (0, b"text\n"), done.stderr


async def test_an_overlay_does_not_show_what_is_below(served: Machine) -> None:
    tmp = served.sockets["tmp"]
    connect = shlex.join([*CONNECT, tmp, f"/mnt{tmp}"])
    script = f"mount -t overlay -o lowerdir=/:/dev none /mnt; {connect}; ls /mnt/tmp"
    done = await served.run("unshare", "-Urm", "sh", "-c", script, cwd=ROOT, check=False)
    assert CONNECTED not in done.stdout.decode()
    assert served.folders["shm"].name not in done.stdout.decode()


async def test_a_sandbox_in_it_works(machine: Machine) -> None:
    """One of namespaces, made by an ordinary user; root has none there."""
    if os.getuid() == 0:
        return
    script = (
        "mount -t tmpfs none /mnt && mount --rbind /dev /mnt && mount -t proc proc /proc && id -u"
    )
    done = await machine.run("unshare", "-Urmpf", "sh", "-c", script, check=False)
    assert (done.status, done.stdout) == (0, b"0\n"), done.stderr
    nested = Keepline.argv("run", "--strict", "--", "echo", "text")
    done = await machine.run(*nested, cwd=ROOT, check=False)
    assert (done.status, done.stdout) == (0, b"text\n"), done.stderr


async def test_without_it_nothing_is_private(machine: Machine) -> None:
    done = await machine.run("ls", "/tmp", options=())
    assert machine.folders["tmp"].name in done.stdout.decode()
