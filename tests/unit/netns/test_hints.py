"""A namespace that cannot be made names the setting to change; nothing here makes one."""

import errno

import pytest

from netns.errors import SandboxError
from netns.hints import host_facts, namespace_hint

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


def test_the_first_cause_that_explains_it_is_named() -> None:
    facts = {"apparmor_restrict": "1", "seccomp": "2", "apparmor_profile": "docker-default"}
    assert "restrict_unprivileged_userns" in namespace_hint(errno.EPERM, facts)


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
