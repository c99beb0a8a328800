"""What the kernel refuses is told with what is missing."""

import errno

import pytest

from netns.network.pod import refusal


@pytest.mark.parametrize(
    ("number", "has_net_admin", "cause", "next_step"),
    [
        (errno.EPERM, False, "this process has no NET_ADMIN", "add: [NET_ADMIN]"),
        (errno.EPERM, True, "although this process has NET_ADMIN", "the user namespace"),
        (errno.ENOENT, True, "No such file", "modprobe -a nft_chain_nat"),
        (errno.EEXIST, True, "File exists", "one init step"),
        (errno.ENETDOWN, True, "Network is down", "bring lo up"),
        (errno.EMSGSIZE, True, "Message too long", "exclude fewer networks"),
        (errno.EPROTONOSUPPORT, True, "Protocol not supported", "use a kernel with nf_tables"),
    ],
)
def test_each_lack_has_its_words(
    number: int, has_net_admin: bool, cause: str, next_step: str
) -> None:
    error = refusal.told(number, "nf_tables: the rule 'x', ip", has_net_admin=has_net_admin)
    assert error.cause.startswith("nf_tables: the rule 'x', ip: ")
    assert cause in error.cause
    assert next_step in error.next_step
