"""The gateway with real programs: who gets it, in which mode, what they are told, what it needs."""

import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Final

import pytest
import trio

from relay.gateway.setup.prepare import BASE_URL_PORT
from relay.record.events import (
    ConnectionDenied,
    ConnectionOpened,
    InnerDiffers,
    NameRefused,
    SessionStarted,
    UpstreamOpened,
    UpstreamReady,
)
from relay.startup import DEFERRED
from tests.support.command.asking import (
    HOSTS,
    HTTP,
    NAME,
    TLS,
    URL,
    answers,
    ask,
    explained,
    keepline_of,
    other_authority,
    runs,
    said,
    script,
    serve_api,
    with_openssl,
    without_openssl,
)
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.api.server import Api
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import listen, over_tls, serve
from tests.support.internet.world import SECOND, THIRD, Internet

MODELS: Final = ("GET", f"{URL}/v1/models")
OTHER: Final = "two.test"
BASE_URL: Final = f"http://127.0.0.1:{BASE_URL_PORT}"
WHAT_IT_IS_TOLD: Final = 'echo "$ANTHROPIC_BASE_URL $NODE_EXTRA_CA_CERTS"'


@pytest.fixture
async def api(internet: Internet, nursery: trio.Nursery) -> Api:
    """Serve https://server.test."""
    return await serve_api(internet, nursery)


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    """Return keepline, whose programs trust the internet's authority, and so does it."""
    return keepline_of(internet, internet.authority)


def of(done: Done) -> str:
    """Return what the session's gateway is, as the flight log has it."""
    return done.only(SessionStarted).gateway


# Mode tls


@pytest.mark.parametrize("program", ["bun", "node"])
async def test_a_program_reaches_the_api_over_h2_and_others_as_ever(
    internet: Internet, nursery: trio.Nursery, api: Api, keepline: Keepline, program: str
) -> None:
    """The other host's authority is one that only the caller's own NODE_EXTRA_CA_CERTS names."""
    authority = other_authority(internet, "others")
    keepline.environment["NODE_EXTRA_CA_CERTS"] = str(authority.file)
    other = over_tls(Site(), authority.server_context(OTHER))
    for address in (SECOND, THIRD):
        await nursery.start(serve, other, listen(internet.server, address, 443))

    words = (*MODELS, "POST", f"{URL}/v1/messages", "GET", f"https://{OTHER}/")
    done = await keepline.run(*ask(program, *words), options=TLS)

    models, told, hello = answers(done)
    assert (models.status, len(json.loads(models.text)["data"])) == (200, 19)
    assert (told.status, told.text) == (200, said())
    assert (hello.status, hello.text) == (200, "hello")
    assert done.stderr == ""
    assert [asked.request.protocol for asked in api.log.asked] == ["h2", "h2"]
    assert api.log.connections == 1
    assert [event.protocol for event in done.all(UpstreamReady)] == ["h2"]
    assert [event.host for event in done.all(UpstreamOpened)] == [NAME]
    assert {event.name for event in done.all(ConnectionOpened)} == {NAME, OTHER}


async def test_the_certificate_is_of_the_sessions_own_ca(api: Api, keepline: Keepline) -> None:
    openssl = needs("openssl")
    show = (
        f"{openssl} s_client -connect {NAME}:443 -servername {NAME} -verify_hostname {NAME}"
        ' -CAfile "$NODE_EXTRA_CA_CERTS" -verify_return_error </dev/null 2>&1;'
        f'{openssl} x509 -in "$NODE_EXTRA_CA_CERTS" -noout -text'
    )
    done = await keepline.run("sh", "-c", show, options=TLS)
    shown = done.stdout.decode()
    assert re.search(r"^issuer=CN ?= ?keepline session CA [0-9a-f]{8}$", shown, re.MULTILINE)
    assert "Verify return code: 0 (ok)" in shown
    assert re.search(rf"Name Constraints: critical\s+Permitted:\s+DNS:{NAME}\s", shown)
    assert api.log.asked == []


async def test_the_ca_is_beside_the_flight_log_for_as_long_as_the_session(
    internet: Internet, keepline: Keepline
) -> None:
    command = ("sh", "-c", f"{WHAT_IT_IS_TOLD}; cat")
    async with keepline.start(*command, options=TLS, umask=0) as session:
        base, file = (await session.readline()).decode().rstrip("\n").split(" ")
        await session.until(SessionStarted)
        assert session.log is not None
        path = session.log.with_suffix(".pem")
        assert (base, file) == ("", str(path))
        assert path.stat().st_mode & 0o022 == 0, "others may not add to it"
        assert path.stat().st_uid == os.getuid()
        first, *others = path.read_text().split("-----END CERTIFICATE-----\n")[:-1]
        own = internet.authority.file.read_text()
        assert [f"{text}-----END CERTIFICATE-----\n" for text in others] == [own]
        assert first.strip() not in own
        await session.end()
    assert not path.exists()
    assert [each.suffix for each in keepline.sessions.iterdir()] == [".jsonl"]


async def test_a_ca_that_a_killed_session_left_goes_with_the_next(keepline: Keepline) -> None:
    async with keepline.start("cat", options=TLS) as session:
        await session.until(SessionStarted)
        session.process.kill()
        await session.end()
    assert [path.suffix for path in keepline.sessions.iterdir()].count(".pem") == 1
    await keepline.run("true")
    assert {path.suffix for path in keepline.sessions.iterdir()} == {".jsonl"}


REACH_FOR_KEYS: Final = """
import os, sys

def links(pid):
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:  # root may list them
        return
    for number in numbers:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{number}")
        except (PermissionError, FileNotFoundError):
            pass

own = [link for link in links("self") if "memfd" in link]
print(own, list(links(os.getppid())), "PRIVATE" in repr(os.environ), flush=True)
sys.stdin.read()
"""


def memory_files(pid: int) -> list[str]:
    """Return the names of the files without a path that a process has open."""
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(path.readlink()))
    return [link for link in links if "memfd" in link]


async def test_no_private_key_is_on_disk_or_in_the_programs_reach(
    internet: Internet, keepline: Keepline
) -> None:
    python = (sys.executable, "-I", "-c", REACH_FOR_KEYS)
    async with keepline.start(*python, options=TLS) as session:
        assert await session.readline() == b"[] [] False\n"
        kept = memory_files(session.pid)
        assert "memfd:keepline key" in " ".join(kept)
        assert "CA key" not in " ".join(kept)
        await session.end()
    for folder in (keepline.folder, internet.client.directory):
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert [path for path in files if b"PRIVATE KEY" in path.read_bytes()] == []


# Mode http


@pytest.mark.parametrize("program", ["bun", "node"])
async def test_http_needs_no_openssl_and_no_certificate(
    api: Api, keepline: Keepline, program: str
) -> None:
    argv = ask(program, "GET", "/v1/models", "POST", "/v1/messages")
    without_openssl(keepline)
    environment = {"NODE_EXTRA_CA_CERTS": ""}
    done = await keepline.run(*argv, options=HTTP, env=environment)
    models, told = answers(done)
    assert (models.status, told.text) == (200, said())
    assert done.stderr == ""
    assert {asked.request.protocol for asked in api.log.asked} == {"h2"}
    assert api.log.asked[0].request.path == "/v1/models"
    assert not list(keepline.sessions.glob("*.pem"))


@pytest.mark.parametrize("intercept", ["tproxy", "redirect", "ports"])
async def test_http_is_told_by_the_base_url(api: Api, keepline: Keepline, intercept: str) -> None:
    fetch = f'echo "$ANTHROPIC_BASE_URL"; {needs("curl")} -sS "$ANTHROPIC_BASE_URL/v1/models"'
    done = await keepline.run("sh", "-c", fetch, options=[*HTTP, "--intercept", intercept])
    base, models = done.stdout.decode().splitlines()
    assert base == BASE_URL
    assert len(json.loads(models)["data"]) == 19
    assert done.only(SessionStarted).intercept == intercept


@pytest.mark.parametrize("mode", ["tls", "http"])
@pytest.mark.parametrize(
    ("base", "protocol"),
    [(f"{URL}:8443/some/where", "h2"), (f"http://{NAME}:8080/some/where/", "http/1.1")],
    ids=["https", "http"],
)
async def test_the_users_own_base_url_is_the_upstream(
    internet: Internet, nursery: trio.Nursery, mode: str, base: str, protocol: str
) -> None:
    keepline = keepline_of(internet, internet.authority)
    api = await serve_api(internet, nursery, 8443, plain=(8080,))
    told = script(internet.directory, "tell", 'echo "$ANTHROPIC_BASE_URL"', runs(*ask("bun")))
    words = ("GET", "/v1/models")
    own = {"ANTHROPIC_BASE_URL": base}
    done = await keepline.run(str(told), *words, options=[f"--gateway={mode}"], env=own)
    seen = base if mode == "tls" else f"{BASE_URL}/some/where"
    first, answer = done.stdout.decode().splitlines()
    assert first == seen
    assert json.loads(answer)["status"] == 404  # the fake API has nothing there
    slashes = "//" if seen.endswith("/") else "/"
    (asked,) = api.log.asked
    assert asked.request.path == f"/some/where{slashes}v1/models"
    assert asked.request.protocol == protocol
    assert done.only(UpstreamOpened).host == NAME


# Which command gets it


@pytest.fixture
def claude(internet: Internet) -> Path:
    """Make a program of that name, which tells what it was told."""
    return script(internet.directory, "claude", WHAT_IT_IS_TOLD)


async def test_a_command_named_claude_gets_it_and_no_other(
    internet: Internet, keepline: Keepline, claude: Path
) -> None:
    link = internet.directory / "link"
    link.symlink_to(claude)
    below = internet.directory / "below"
    below.mkdir()
    (below / "claude").symlink_to(link)
    paths = {"PATH": f"{claude.parent}:{keepline.environment['PATH']}"}
    for argv in (["claude"], [str(claude)], [str(below / "claude"), "-p", "hello"]):
        done = await keepline.run(*argv, options=[HOSTS], env=paths)
        assert of(done).startswith("gateway on (tls; the command is claude): it reads requests")
        assert done.stdout.decode().endswith(".pem\n")
        assert done.stderr == ""
    for argv, how in (([str(link)], "link runs claude"), (["env", "claude"], "env runs claude")):
        done = await keepline.run(*argv, options=[HOSTS], env=paths)
        assert of(done).startswith(f"gateway on (tls; {how}): it reads requests")
        assert done.stdout.decode().endswith(".pem\n")
    done = await keepline.run("sh", "-c", WHAT_IT_IS_TOLD, "claude", options=[HOSTS], env=paths)
    assert of(done) == ""
    assert done.stdout.decode().split() == [str(internet.authority.file)]


async def test_claude_asks_through_it(api: Api, internet: Internet, keepline: Keepline) -> None:
    claude = script(internet.directory, "claude", runs(*ask("bun")))
    done = await keepline.run(str(claude), "POST", f"{URL}/v1/messages", options=[HOSTS])
    (told,) = answers(done)
    assert told.text == said()
    assert [asked.request.protocol for asked in api.log.asked] == ["h2"]


async def test_without_openssl_claude_takes_http(keepline: Keepline, claude: Path) -> None:
    without_openssl(keepline)
    done = await keepline.run(str(claude), options=[HOSTS])
    assert done.stdout.decode().split()[0] == BASE_URL
    assert of(done).startswith("gateway on (http; the command is claude; over plain HTTP: ")
    assert "openssl" in of(done)


async def test_with_real_names_claude_takes_http(keepline: Keepline, claude: Path) -> None:
    done = await keepline.run(str(claude), options=["--dns=real", HOSTS])
    assert done.stdout.decode().split()[0] == BASE_URL
    assert of(done).startswith("gateway on (http; ")


async def test_with_a_loopback_base_url_it_is_off_and_that_is_said(
    keepline: Keepline, claude: Path
) -> None:
    own = {"ANTHROPIC_BASE_URL": "http://localhost:8080/secret"}
    done = await keepline.run(str(claude), env=own)
    assert done.stdout.decode().split()[0] == own["ANTHROPIC_BASE_URL"]
    assert of(done) == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("keepline: the gateway is off: ANTHROPIC_BASE_URL is on loopback")
    assert "secret" not in line
    done = await keepline.run(str(claude), env=own, options=["--gateway=http"], check=False)
    assert (done.status, done.stdout) == (125, b"")
    assert "secret" not in done.stderr


# Settings


async def test_it_can_be_turned_off_in_each_way(keepline: Keepline, claude: Path) -> None:
    async def is_on(**arguments: object) -> bool:
        done = await keepline.run(str(claude), **arguments)  # type: ignore[arg-type]
        assert done.stderr == ""
        return bool(of(done))

    assert await is_on()
    assert not await is_on(options=["--gateway=off"])
    assert not await is_on(env={"KEEPLINE_GATEWAY": "off"})
    keepline.config.write_text('[gateway]\nmode = "off"\n')
    assert not await is_on()
    assert await is_on(env={"KEEPLINE_GATEWAY": "auto"})
    keepline.config.write_text('gateway = "off"\n')
    assert not await is_on()
    assert await is_on(options=["--gateway=tls"])


async def test_the_config_file_has_a_table_for_it(api: Api, keepline: Keepline) -> None:
    keepline.config.write_text(f'[gateway]\nmode = "tls"\nhosts = ["{NAME}"]\nhold = "none"\n')
    done = await keepline.run(*ask("bun", *MODELS))
    assert answers(done)[0].status == 200
    assert of(done) == (
        f"gateway on (tls; gateway = tls): it reads requests to {NAME} and their answers, and"
        " keeps nothing of either"
    )
    assert [asked.request.protocol for asked in api.log.asked] == ["h2"]


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ('[gateway]\nhosts = ["bad host"]', ":2", "'bad host'"),
        ('[gateway]\nhosts = ["localhost"]', ":2", "'localhost' is on loopback"),
        ('[gateway]\n\nhosts = ["a.test:0"]', ":3", "'a.test:0' has a port that is no number"),
        ('[gateway]\nmode = "on"', ":2", "Invalid enum value 'on'"),
        ("[gateway]\nstream_silence = -1", ":2", "Expected `int` >= 0"),
        ('[gateway]\nhost = "a.test"', ":2", "there is no such setting, but mode, hosts, hold"),
    ],
)
async def test_a_bad_table_is_told_with_its_place(
    keepline: Keepline, text: str, place: str, told: str
) -> None:
    keepline.config.write_text(f"{text}\n")
    done = await keepline.run("true", check=False)
    assert (done.status, done.stdout) == (125, b"")
    cause, fix = done.stderr.splitlines()
    assert cause.startswith(f"keepline: {keepline.config}{place}: ")
    assert told in cause
    assert fix.startswith("  try: ")


@pytest.mark.parametrize("host", ["bad host", "::1", "localhost", "a.test:99999", "*.test"])
async def test_bad_hosts_are_told_with_their_place(keepline: Keepline, host: str) -> None:
    for place, arguments in (
        ("--gateway-hosts: ", {"options": [f"--gateway-hosts={host}"]}),
        ("KEEPLINE_GATEWAY_HOSTS: ", {"env": {"KEEPLINE_GATEWAY_HOSTS": host}}),
    ):
        done = await keepline.run("true", check=False, **arguments)
        assert (done.status, done.stdout) == (125, b"")
        assert done.stderr.startswith(f"keepline: {place}gateway_hosts: {host!r} ")


# What it lacks


async def refused(keepline: Keepline, *options: str, env: dict[str, str] | None = None) -> str:
    """Return why a session with it does not start, when it must not."""
    argv = ("touch", str(keepline.folder / "has run"))
    done = await keepline.run(*argv, options=options, env=env, check=False)
    assert (done.status, done.stdout, done.events) == (125, b"", [])
    assert not (keepline.folder / "has run").exists()
    cause, fix = done.stderr.splitlines()
    assert fix.startswith("  try: ")
    return cause.removeprefix("keepline: ") + fix


async def test_tls_that_was_asked_for_needs_openssl(keepline: Keepline) -> None:
    without_openssl(keepline)
    assert await refused(keepline, *TLS) == (
        "the tls gateway needs the openssl program, and the system has none"
        "  try: install openssl where root alone can write, or use --gateway=http"
    )


async def test_an_openssl_of_the_path_is_not_run(
    api: Api, keepline: Keepline, tmp_path: Path
) -> None:
    """An earlier session may have left it in a folder of the user's."""
    script(tmp_path, "openssl", f"touch {tmp_path / 'has run'}")
    first = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = await keepline.run(*ask("node", "GET", f"{URL}/v1/models"), options=TLS, env=first)
    assert [answer.status for answer in answers(done)] == [200]
    assert not (tmp_path / "has run").exists()


async def test_tls_that_was_asked_for_needs_names(keepline: Keepline) -> None:
    told = await refused(keepline, *TLS, "--dns=real")
    assert told.startswith("the tls gateway needs dns = synthetic: ")
    assert told.endswith("  try: leave out --dns real, or use --gateway=http")


@pytest.mark.parametrize(
    ("program", "told"),
    [("/bin/false", "no certificate came out"), ("/bin/echo", "no certificate came out")],
)
async def test_an_openssl_that_fails_is_told(keepline: Keepline, program: str, told: str) -> None:
    with_openssl(keepline, program)
    cause = await refused(keepline, *TLS)
    assert cause.startswith(f"/usr/bin/openssl: {told}  try: ")


async def test_an_openssl_that_fails_does_not_keep_claude_from_running(
    keepline: Keepline, claude: Path
) -> None:
    with_openssl(keepline, "/bin/false")
    done = await keepline.run(str(claude))
    assert done.stdout.decode().split() == [keepline.environment["NODE_EXTRA_CA_CERTS"]]
    assert done.stderr == (
        "keepline: the gateway is off: /usr/bin/openssl: no certificate came out\n"
    )
    assert of(done) == ""


async def test_where_nothing_can_be_kept_at_home_the_certificate_is_elsewhere(
    keepline: Keepline, claude: Path, tmp_path: Path
) -> None:
    in_the_way, passing = tmp_path / "file", tmp_path / "run"
    in_the_way.touch()
    passing.mkdir(mode=0o700)
    env = {"XDG_STATE_HOME": str(in_the_way), "XDG_RUNTIME_DIR": str(passing)}
    done = await keepline.run(str(claude), env=env)
    (shown,) = done.stdout.decode().split()
    assert Path(shown).parent == passing / "keepline"
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"keepline: the record of this session is in {passing}/keepline: ")


async def test_a_folder_that_others_may_write_costs_claude_the_gateway_and_the_log(
    keepline: Keepline, claude: Path, tmp_path: Path
) -> None:
    open_to_all = tmp_path / "keepline/sessions"
    open_to_all.mkdir(parents=True)
    open_to_all.chmod(0o777)
    state = {"XDG_STATE_HOME": str(tmp_path)}
    done = await keepline.run(str(claude), env=state)
    assert done.stdout.decode().split() == [keepline.environment["NODE_EXTRA_CA_CERTS"]]
    first, second = done.stderr.splitlines()
    assert first.startswith("keepline: the gateway is off: the gateway's certificate cannot be ")
    assert second.startswith("keepline: no flight log for this session: ")
    told = await refused(keepline, *TLS, env=state)
    assert told.endswith("or use --gateway=http or off")


# What people are told


async def test_the_first_line_of_explain_tells_what_it_reads(keepline: Keepline) -> None:
    for options, mode in ((TLS, "tls"), (HTTP, "http")):
        await keepline.run("true", options=options)
        first, *rest = await explained(keepline)
        assert first.startswith("session ")
        assert first.endswith(
            f"; gateway on ({mode}; gateway = {mode}): it reads requests to {NAME} and their"
            " answers, and keeps nothing of either"
        )
        assert rest == ["No connection was seen at all."]
    await keepline.run("true")
    assert "gateway" not in (await explained(keepline))[0]


async def test_the_first_line_of_doctor_tells_what_it_reads(
    keepline: Keepline, tmp_path: Path
) -> None:
    async def first(**env: str) -> str:
        told = await keepline.call("doctor", env=env)
        assert told.status == 0
        return told.stdout.decode().splitlines()[0]

    reads = "it reads requests to api.anthropic.com and their answers, and keeps nothing of either"
    name = "gateway, for claude"
    on = f"works   {name}: gateway on"
    assert await first() == f"{on} (tls; the command is claude): {reads}"
    without_openssl(keepline)
    http = await first()
    assert http.startswith(f"{on} (http; the command is claude; over plain HTTP: ")
    assert http.endswith(reads)
    assert await first(KEEPLINE_GATEWAY="off") == f"works   {name}: gateway off (gateway = off)"
    told = await first(ANTHROPIC_BASE_URL="http://localhost/secret")
    assert told.startswith(f"lacks   {name}: gateway off (ANTHROPIC_BASE_URL is on loopback")
    assert "secret" not in told


# Policy


@pytest.mark.parametrize("mode", [TLS, HTTP], ids=["tls", "http"])
@pytest.mark.parametrize(
    "rule", [f"--deny={NAME}", f"--deny={NAME}:443", f"--allow={OTHER}", f"--allow={NAME}:80"]
)
async def test_what_may_not_be_reached_is_not_reached_by_it(
    api: Api, keepline: Keepline, mode: tuple[str, ...], rule: str
) -> None:
    url = "/v1/models" if mode is HTTP else f"{URL}/v1/models"
    done = await keepline.run(*ask("bun", "GET", url), options=[*mode, rule])
    (answer,) = answers(done)
    assert answer.error is not None
    assert {ConnectionDenied, NameRefused} & {type(event) for event in done.events}
    assert (api.log.connections, done.all(UpstreamOpened)) == (0, [])


@pytest.mark.parametrize("mode", [TLS, HTTP], ids=["tls", "http"])
@pytest.mark.parametrize("rule", [f"--allow={NAME}", f"--allow={NAME}:443", f"--deny={OTHER}"])
async def test_what_may_be_reached_is_reached_by_it(
    api: Api, keepline: Keepline, mode: tuple[str, ...], rule: str
) -> None:
    url = "/v1/models" if mode is HTTP else f"{URL}/v1/models"
    done = await keepline.run(*ask("bun", "GET", url), options=[*mode, rule])
    assert answers(done)[0].status == 200
    assert done.stderr == ""


# What it costs those who have none


async def test_without_it_nothing_of_it_is_loaded(keepline: Keepline) -> None:
    argv = keepline.argv("run", "--", "true")
    argv[1:1] = ["-v"]
    done = await keepline.host.run_process(argv, env=keepline.environment)
    lines = done.stderr.decode().splitlines()
    loaded = {line.split("'")[1] for line in lines if line.startswith("import '")}
    assert "relay.session" in loaded
    assert not {name for name in loaded if name.partition(".")[0] in {"h11", "h2", "hpack"}}
    of_it = {name for name in loaded - DEFERRED if name.startswith("relay.gateway.")}
    dialects = ("dialect", "dialects", "dialects.anthropic", "sse")
    always = (
        *("setup", "setup.choice", "setup.command", "setup.files", "setup.prepare", "unused"),
        *dialects,
    )
    assert of_it == {f"relay.gateway.{name}" for name in always}


async def test_another_name_within_a_connection_to_it_is_denied_in_mode_allowlist(
    api: Api, keepline: Keepline
) -> None:
    openssl, url = needs("openssl"), f"{URL}/v1/models"
    hello = f"{openssl} s_client -connect {NAME}:443 -servername %s </dev/null 2>&1 | grep subject="
    ask_with = f'{needs("curl")} -sS --cacert "$NODE_EXTRA_CA_CERTS" -H "Host: %s" {url}'
    script = "; echo ---; ".join(
        [hello % NAME, hello % "evil.test", ask_with % NAME, ask_with % "evil.test"]
    )
    done = await keepline.run("sh", "-c", script, options=[*TLS, f"--allow={NAME}"])
    own, other, models, refused = done.stdout.decode().split("---\n")
    assert own.startswith("subject=")
    assert other.strip() == ""
    assert len(json.loads(models)["data"]) == 19
    assert "no allow rule matches" in refused
    assert [event.inner for event in done.all(ConnectionDenied)] == ["evil.test"] * 2
    assert len(api.log.asked) == 1


async def test_in_mode_open_another_name_is_recorded_and_asked_as_its_own(
    api: Api, keepline: Keepline
) -> None:
    """The gateway asks by the origin's name, whatever the program writes."""
    ask_with = f'{needs("curl")} -sS --cacert "$NODE_EXTRA_CA_CERTS" -H "Host: %s" {URL}/v1/models'
    done = await keepline.run(
        "sh", "-c", ask_with % "evil.test", options=[*TLS, "--deny=evil.test"]
    )
    assert len(json.loads(done.stdout)["data"]) == 19
    assert [event.inner for event in done.all(InnerDiffers)] == ["evil.test"]
    assert done.all(ConnectionDenied) == []


@pytest.mark.parametrize("mode", [TLS, HTTP], ids=["tls", "http"])
async def test_a_denied_address_of_the_host_is_told_with_the_rule_and_its_reason(
    api: Api, keepline: Keepline, mode: tuple[str, ...]
) -> None:
    keepline.config.write_text(
        '[policy]\ndeny = [{host = "203.0.113.0/24", reason = "not from here"}]\n'
    )
    url = "/v1/models" if mode is HTTP else f"{URL}/v1/models"
    done = await keepline.run(*ask("bun", "GET", url), options=mode)
    (answer,) = answers(done)
    assert api.log.connections == 0
    if mode is HTTP:
        assert (answer.status, "203.0.113.0/24 (not from here)" in answer.text) == (502, True)
    else:
        denied = done.all(ConnectionDenied)[0]
        assert (denied.rule, denied.reason) == ("203.0.113.0/24", "not from here")
    assert "not from here" in "\n".join(await explained(keepline))
