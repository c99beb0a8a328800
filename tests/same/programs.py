"""The programs: command lines by what a person types, and where the programs are.

Those that scripts/programs and scripts/same install come first; `lacking` names those not found.
"""

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .row import Program

_ROOT: Final = Path(__file__).resolve().parents[2]
_PROGRAMS: Final = _ROOT / ".venv/programs"
_NPM: Final = _PROGRAMS / "node_modules/.bin"
_BUILT: Final = _PROGRAMS / "same"
_PYTHON: Final = _PROGRAMS / "python/bin/python"
_CLIENTS: Final = Path(__file__).with_name("clients")

_NEEDED: Final = (
    *("apt-get", "bash", "bwrap", "curl", "getent", "git", "java", "nc", "node", "npm", "perl"),
    *("ssh", "strace", "timeout", "unshare", "wget"),
)

CURL_SAYS: Final = (
    r"connect to \S+ port \d+ failed: (.*)$|Immediate connect fail for \S+: (.*)$"
    r"|^curl: \(\d+\) ((?!Failed to connect|Couldn't connect).*?)(?: after \d+ m.*|: \S+)?$"
    r"|^(hello|late)"
)

_LARGE: Final = ("chromium", "epmd", "erl")
"""What --large needs beside."""


def lacking(*, large: bool) -> Iterator[str]:
    """Yield the names of programs that this machine lacks, or that scripts have not made."""
    for name in (*_NEEDED, *(_LARGE if large else ())):
        if shutil.which(name) is None:
            yield name
    made = [
        _NPM / "bun",
        _NPM / "wait-on",
        _NPM / "claude",
        _BUILT / "connect",
        _BUILT / "Connect.class",
        _PYTHON,
    ]
    for path in made:
        if not path.exists():
            yield str(path.relative_to(_ROOT))


def curl(words: str, url: str = "http://v4.test/") -> Program:
    """Fetch by curl."""
    return Program(
        " ".join(["curl", *words.split(), url]), ("curl", "-sSv", *words.split(), url), CURL_SAYS
    )


def shell(title: str, script: str, says: str, start: float = 0.2) -> Program:
    """Run a line of bash."""
    return Program(title, ("bash", "-c", script), says, start)


def dev_tcp(host: str, port: int) -> Program:
    """Connect by bash itself, as scripts do that wait for a port."""
    script = f"exec 3<>/dev/tcp/{host}/{port} && echo open"
    says = (
        r"(open)$|(Connection refused|Connection timed out|No route to host|\w+ \w+ unreachable)$"
    )
    return shell(f"bash: </dev/tcp/{host}/{port}", script, says)


def nc(words: str) -> Program:
    """Look whether a port is open, by OpenBSD's nc."""
    says = r"failed: (.*)$|(succeeded!)|(timed out)|: (Name .*|Temp.*)"
    return Program(f"nc {words}", ("nc", "-v", *words.split()), says)


def wait_on(words: str) -> Program:
    """Wait for a port by wait-on of npm."""
    says = r"(Timed out waiting)"
    return Program(f"wait-on {words}", (str(_NPM / "wait-on"), *words.split()), says, 0.8)


def node(words: str) -> Program:
    """Connect, fetch or look up by Node."""
    argv = ("node", str(_CLIENTS / "net.mjs"), *words.split())
    return Program(f"Node: {words}", argv, start=0.3)


def bun(words: str) -> Program:
    """Do the same by Bun."""
    argv = (str(_NPM / "bun"), str(_CLIENTS / "net.mjs"), *words.split())
    return Program(f"Bun: {words}", argv, start=0.3)


def bun_abort(url: str) -> Program:
    """Fetch by Bun, with a signal that aborts it after 2 s."""
    script = (
        f"try {{ await fetch('{url}', {{signal: AbortSignal.timeout(2000)}}) }}"
        " catch (error) { console.log('said:', error.name) }"
    )
    argv = (str(_NPM / "bun"), "-e", script)
    return Program(f"Bun: fetch({url}, AbortSignal.timeout(2000))", argv, start=0.3)


def java(host: str, port: int, milliseconds: int) -> Program:
    """Connect by Java, whose sockets are those of IPv6."""
    argv = ("java", "-XX:TieredStopAtLevel=1", "-cp", str(_BUILT), "Connect", host, str(port))
    title = f"Java: Socket.connect({host}:{port}, {milliseconds} ms)"
    return Program(title, (*argv, str(milliseconds)), start=0.6)


def musl(host: str, port: int) -> Program:
    """Resolve and connect by a static program with musl for its libc."""
    argv = (str(_BUILT / "connect"), host, str(port))
    return Program(f"static musl: connect({host}:{port})", argv)


def python(what: str, words: str, title: str) -> Program:
    """Connect by Python in one of the ways of clients/net.py."""
    argv = (sys.executable, "-I", str(_CLIENTS / "net.py"), what, *words.split())
    return Program(f"Python: {title}", argv)


def wget(words: str, url: str) -> Program:
    """Fetch by wget, once."""
    says = r"failed: (.*?)\.?$|(200 OK)|(unable to resolve)"
    argv = ("wget", "--tries=1", "-O", "/dev/null", *words.split(), url)
    return Program(" ".join(["wget --tries=1", *words.split(), url]), argv, says)


def perl(host: str, port: int, seconds: int) -> Program:
    """Connect by Perl's IO::Socket."""
    script = (
        f"IO::Socket::INET->new(PeerAddr => '{host}:{port}', Timeout => {seconds})"
        " ? print 'said: connected' : die qq(said: $@\n)"
    )
    says = r"^said: (?:IO::Socket::INET: )?(?:connect: )?(.*)$"
    argv = ("perl", "-MIO::Socket::INET", "-e", script)
    return Program(f"Perl: IO::Socket::INET({host}:{port}, {seconds} s)", argv, says)


def npm(url: str) -> Program:
    """Ask a registry for a package by npm, once."""
    words = ("--fetch-retries=0", "--fetch-timeout=2000", f"--registry={url}")
    says = r"npm error code (\w+)"
    return Program(" ".join(["npm view a", *words]), ("npm", "view", "a", *words), says, 1.0)


def pip(url: str) -> Program:
    """Ask an index for a package by pip, once."""
    host = url.split("/")[2]
    words = ("--retries=0", "--timeout=2", f"--index-url={url}")
    quiet = (
        *["--isolated", "--disable-pip-version-check", "--no-cache-dir", "--trusted-host"],
        host,
    )
    argv = (sys.executable, "-I", "-m", "pip", "download", *quiet, *words, "a")
    says = r"(Connection refused|timed out|No matching distribution)"
    return Program(" ".join(["pip download a", *words]), argv, says, 1.0)


def requests(url: str) -> Program:
    """Fetch by requests of Python."""
    script = (
        "import sys, requests\n"
        f"try: requests.get('{url}', timeout=2)\n"
        "except requests.RequestException as error:"
        " sys.exit('said: ' + type(error).__name__ + ': ' + str(error))"
    )
    says = r"^said: (\w+)"
    return Program(f"requests.get({url}, timeout=2)", (str(_PYTHON), "-I", "-c", script), says, 0.6)


def azure() -> Program:
    """Look for a token by azure-identity."""
    argv = (str(_PYTHON), "-I", str(_CLIENTS / "azure.py"))
    return Program("azure-identity: DefaultAzureCredential", argv, start=1.5)


def erlang(address: str) -> Program:
    """Have one node of Erlang find another, by its name and its port mapper, at an address."""
    node = "erl -noinput -setcookie row -name"
    ping = (
        f"F = fun(F, N) -> case net_adm:ping('one@{address}') of pang when N > 0 -> "
        "timer:sleep(500), F(F, N - 1); S -> S end end, "
        'io:format("said: ~p~n", [F(F, 8)]), halt().'
    )
    script = (
        f"epmd -daemon; {node} one@{address} & {node} two@{address} -eval {shlex.quote(ping)};"
        " status=$?; kill $!; epmd -kill >&2; exit $status"
    )
    title = f"erl -name two@{address}: net_adm:ping('one@{address}')"
    return shell(title, script, r"^said: (.*)$", 5)


def chromium(url: str) -> Program:
    """Print what a page has become in a browser without a window."""
    script = (
        "exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage"
        f" --user-data-dir=$HOME/profile --dump-dom {url}"
    )
    return shell(f"chromium --headless --dump-dom {url}", script, r"(onLine is \w+)", 8)


def claude(words: str) -> Program:
    """Ask an agent's command line for one answer."""
    argv = (str(_NPM / "claude"), "-p", words, "--output-format", "json")
    return Program(f'claude -p "{words}"', argv, r'"result":"([^"]{1,48})|^said: (.*)$', 2.5)


def getent(name: str) -> Program:
    """Look a name up by glibc."""
    return Program(f"getent ahostsv4 {name}", ("getent", "ahostsv4", name), r"(STREAM)")


def ssh(words: str, host: str) -> Program:
    """Log in by ssh, which gets as far as the connect."""
    argv = ("ssh", "-F", "none", "-o", "BatchMode=yes", *words.split(), "-p", "81", host)
    says = r"port 81: (.*?)\r?$|(Could not resolve hostname)"
    return Program(" ".join(["ssh", *words.split(), host]), argv, says)


def git(url: str) -> Program:
    """List what a repository has."""
    says = r"(Couldn't connect|Could not resolve host|Connection timed out|Connection refused)"
    return Program(f"git ls-remote {url}", ("git", "ls-remote", url), says)


def apt(words: str, url: str) -> Program:
    """Update the lists of a mirror."""
    script = (
        'f=$(mktemp -d); trap "rm -rf $f" EXIT;'
        " mkdir -p $f/lists/partial $f/cache/archives/partial;"
        f' echo "deb [trusted=yes] {url} stable main" >$f/sources;'
        " apt-get update -qq -o Dir::State=$f -o Dir::State::lists=$f/lists -o Dir::Cache=$f/cache"
        " -o Dir::State::status=/dev/null -o Dir::Etc::sourcelist=$f/sources -o"
        f" Dir::Etc::sourceparts=- -o APT::Sandbox::User= -o Acquire::Retries=0 {words} -o"
        " APT::Update::Error-Mode=any"
    )
    says = r"(connection timed out|Connection refused|Could not resolve|Temporary failure)"
    return shell(" ".join(["apt-get update", *words.split(), url]), script, says, start=0.5)
