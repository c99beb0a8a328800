"""A namespace that cannot be made names the setting to change; nothing here makes one."""

import errno
import signal
from typing import Final

import pytest

from netns import hints
from netns.errors import SandboxError
from netns.hints import (
    end_hint,
    host_facts,
    kept_capability,
    map_hint,
    namespace_hint,
    refused_call,
    refused_filter,
    silent_hint,
)

# What a plain Linux shows; each case changes what its failure is about.
PLAIN = {
    "max_user_namespaces": "15000",
    "max_net_namespaces": "15000",
    "apparmor_profile": "unconfined",
    "seccomp": "0",
}


@pytest.mark.parametrize(
    ("number", "changed", "hint"),
    [
        (errno.ENOSPC, {"max_user_namespaces": "0"}, "sysctl user.max_user_namespaces=15000"),
        (errno.ENOSPC, {"max_net_namespaces": "0"}, "sysctl user.max_net_namespaces=15000"),
        (errno.ENOSPC, {}, "too many namespaces are open"),
        (errno.ENOSPC, {}, "`--disable-userns`"),
        (errno.EROFS, {}, "/proc is read-only"),
        (errno.EPERM, {"seccomp": "2"}, "packaging/seccomp.json"),
        (errno.EACCES, {"apparmor_profile": "docker-default (enforce)"}, "apparmor=unconfined"),
        (errno.EACCES, {"apparmor_profile": "containers-default-0.44"}, "AppArmor forbids it"),
        (errno.EFBIG, {}, "ulimit -f"),
        (errno.ENOSYS, {}, "CONFIG_USER_NS"),
        (errno.EINVAL, {}, "CONFIG_USER_NS"),
        (errno.EPERM, {"unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        (errno.EPERM, {"unprivileged_userns_clone": "1"}, "unshare --user --net true"),
        (errno.EPERM, {"apparmor_restrict": "1"}, "apparmor_restrict_unprivileged_userns=0"),
        (errno.EACCES, {"apparmor_restrict": "1"}, "apparmor_restrict_unprivileged_userns=0"),
        (errno.EPERM, {"apparmor_restrict": "0"}, "unshare --user --net true"),
        (errno.EPERM, {"seccomp": "2"}, "--security-opt seccomp=unconfined"),
        (errno.EPERM, {"apparmor_profile": "docker-default (enforce)"}, "apparmor=unconfined"),
        (errno.EPERM, {}, "unshare --user --net true"),
        (None, {}, "unshare --user --net true"),
    ],
)
def test_the_hint_names_what_forbids_it(
    number: int | None, changed: dict[str, str], hint: str
) -> None:
    assert hint in namespace_hint(number, PLAIN | changed)


def test_facts_that_the_machine_does_not_tell_are_no_reason() -> None:
    assert "unshare --user --net true" in namespace_hint(errno.EPERM, {})


BESIDE: Final = {
    "apparmor_restrict": "1",
    "seccomp": "2",
    "apparmor_profile": "docker-default (enforce)",
}
"""A container on a host whose AppArmor restricts user namespaces."""


def test_whatever_may_forbid_it_is_named_the_likeliest_first() -> None:
    told = namespace_hint(errno.EPERM, BESIDE)
    assert told.index("seccomp") < told.index("restrict_unprivileged_userns")
    assert "apparmor=unconfined" not in told


def test_no_seccomp_filter_says_what_apparmor_says() -> None:
    told = namespace_hint(errno.EACCES, BESIDE)
    assert "seccomp" not in told
    assert told.index("restrict_unprivileged_userns") < told.index("apparmor=unconfined")


@pytest.mark.parametrize(
    ("number", "lacks_setfcap", "hint"),
    [
        (errno.EPERM, True, "--cap-add SETFCAP, or run as another user (--user)"),
        (errno.EROFS, True, "/proc is read-only"),
        (errno.EPERM, False, "unshare --user --net true"),
    ],
)
def test_a_map_that_cannot_be_written(number: int, lacks_setfcap: bool, hint: str) -> None:
    assert hint in map_hint(number, PLAIN, lacks_setfcap=lacks_setfcap)


@pytest.mark.parametrize("number", [None, errno.ENOSPC, errno.ENOSYS, errno.EPERM])
def test_a_hint_is_one_line(number: int) -> None:
    assert "\n" not in namespace_hint(number, PLAIN)


def test_facts_are_read_from_this_machine() -> None:
    facts = host_facts()
    assert facts["seccomp"] in {"0", "1", "2"}
    assert int(facts["max_user_namespaces"]) >= 0
    assert all("\0" not in text and text == text.strip() for text in facts.values())


def test_an_error_shows_its_cause_and_keeps_the_hint_apart() -> None:
    error = SandboxError("no namespace", "make one")
    assert (str(error), error.cause, error.next_step) == (
        "no namespace",
        "no namespace",
        "make one",
    )


@pytest.mark.parametrize(
    ("number", "facts", "told"),
    [
        (signal.SIGKILL, {}, "free memory"),
        (signal.SIGSYS, {"seccomp": "2"}, "seccomp"),
        (signal.SIGSYS, {}, "defect"),
        (signal.SIGSEGV, {"seccomp": "2"}, "defect"),
    ],
)
def test_a_child_that_was_killed(number: int, facts: dict[str, str], told: str) -> None:
    assert told in end_hint(number, facts)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EPERM, "forbids it"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOMEM, "free memory"),
        (errno.ENOSPC, "make room"),
        (errno.EIO, "doctor"),
    ],
)
def test_a_call_that_fails_where_nobody_expects_it(
    monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    monkeypatch.setattr(hints, "host_facts", dict)
    with pytest.raises(OSError, match="why") as raised:
        raise OSError(number, "why")
    cause, hint = refused_call(raised.value)
    assert cause.startswith("a call to the kernel in test_hints.py:")
    assert cause.endswith(": why")
    assert told in hint
    assert refused_call(OSError(number, "why", "/a/file"))[0] == "/a/file: why"


def test_a_forbidden_call_names_the_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "host_facts", lambda: {"seccomp": "2"})
    assert "seccomp" in refused_call(OSError(errno.ENOSYS, "why"))[1]
    assert "seccomp" in silent_hint({"seccomp": "2"})
    assert "defect" in silent_hint({})
    assert "seccomp" in namespace_hint(errno.ENOSYS, {"seccomp": "2"})


@pytest.mark.parametrize(
    ("number", "seccomp", "hint"),
    [
        (errno.EINVAL, "0", "CONFIG_SECCOMP_FILTER"),
        (errno.EPERM, "2", "allows prctl and seccomp"),
        (errno.EINVAL, "2", "allows prctl and seccomp"),
        (errno.ENOMEM, "2", "nest fewer sandboxes"),
    ],
)
def test_a_filter_that_is_refused_names_what_most_likely_does_it(
    number: int, seccomp: str, hint: str
) -> None:
    assert hint in refused_filter(number, PLAIN | {"seccomp": seccomp})


def test_capabilities_that_stay_are_a_filters_doing_or_a_defect() -> None:
    assert "seccomp=unconfined" in kept_capability(PLAIN | {"seccomp": "2"})
    assert kept_capability(PLAIN) == hints.REPORT
