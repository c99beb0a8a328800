"""nsswitch.conf keeps only sources of host names that ask our name server, or nobody."""

import pytest

from netns.mounts import without_bypasses


@pytest.mark.parametrize(
    ("hosts", "kept"),
    [
        ("files dns", "files dns"),
        ("files", "files dns"),
        ("", "dns"),
        ("mymachines resolve [!UNAVAIL=return] files myhostname dns", "files myhostname dns"),
        ("files mdns4_minimal [NOTFOUND=return] dns", "files dns"),
        ("files [SUCCESS=merge] resolve [!UNAVAIL=return] dns", "files [SUCCESS=merge] dns"),
        ("files[NOTFOUND=return] dns", "files [NOTFOUND=return] dns"),
        ("files [ NOTFOUND=return ] dns", "files [ NOTFOUND=return ] dns"),
        ("resolve [ !UNAVAIL=return ] files dns", "files dns"),
        ("resolve [!UNAVAIL=return NOTFOUND=continue] files dns", "files dns"),
        (
            "files [NOTFOUND=continue UNAVAIL=return] dns",
            "files [NOTFOUND=continue UNAVAIL=return] dns",
        ),
        ("files libvirt libvirt_guest wins nis ldap sss dns", "files dns"),
        ("files dns # resolve", "files dns"),
        ("compat altfiles dns", "compat altfiles dns"),
    ],
)
def test_sources_that_ask_elsewhere_go_with_their_actions(hosts: str, kept: str) -> None:
    assert without_bypasses(f"hosts: {hosts}\n") == f"hosts: {kept}\n"


def test_other_databases_and_comments_stay_as_they_are() -> None:
    text = "# hosts: resolve\npasswd: files systemd\nhosts:\tresolve dns\n\nnetworks: files"
    assert without_bypasses(text) == (
        "# hosts: resolve\npasswd: files systemd\nhosts: dns\n\nnetworks: files"
    )


def test_an_indented_line_and_the_last_one_without_newline_count_too() -> None:
    assert without_bypasses("  hosts: mdns dns") == "hosts: dns\n"


def test_without_a_line_for_hosts_nothing_changes() -> None:
    """The default of glibc is then `dns [!UNAVAIL=return] files`: no way around it."""
    assert without_bypasses("passwd: files\n") == "passwd: files\n"
    assert without_bypasses("") == ""
