"""Messages between a sealed container and its relay: read back as written, or refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns.plan import WAYS
from relay.addresses import Destination
from relay.config import ConfigError, merge
from relay.policy.verdicts import Allow, Deny
from relay.remote import messages
from relay.remote.messages import Asked, Handover, Hello, Welcome

HELLO = Hello(version="1.2", program="curl", asked=(Asked(deny=("*.example.com",)),))
WELCOME = Welcome(
    version="1.2",
    session="20260101-000000-7",
    dns_pool="198.18.0.0/15",
    resolv_conf="nameserver 203.0.113.53\n",
    intercept="auto",
    ports=(),
    patience=300,
)
HANDOVER = Handover(intercept="tproxy", listeners=1, holds=True)

texts = st.text(max_size=256)
handovers = st.builds(
    Handover,
    intercept=st.sampled_from(WAYS),
    listeners=st.integers(1, messages.MOST_LISTENERS),
    holds=st.booleans(),
    holds_ipv6=st.booleans(),
    makes=st.booleans(),
    notes=st.lists(texts, max_size=messages.MOST_NOTES).map(tuple),
    held_notes=st.lists(texts, max_size=messages.MOST_NOTES).map(tuple),
)
asked = st.builds(
    Asked,
    deny=st.lists(texts, max_size=3).map(tuple),
    allow=st.lists(texts, max_size=3).map(tuple),
    is_allowlist=st.booleans(),
    private=st.sampled_from(["allow", "deny"]),
    is_unpublished=st.booleans(),
)
hellos = st.builds(
    Hello,
    version=texts,
    program=texts,
    agent=texts,
    is_terminal=st.booleans(),
    asked=st.lists(asked, max_size=3).map(tuple),
)


@given(hellos | handovers | st.builds(messages.Ended, st.integers(0, 255)))
def test_what_is_inside_is_read_as_it_was_written(message: messages.FromInside) -> None:
    assert messages.from_inside(messages.encoded(message)) == message


@pytest.mark.parametrize(
    "message",
    [WELCOME, messages.Refused("why", "what"), messages.Serving(), messages.Finished("lost: 1")],
)
def test_what_is_outside_is_read_as_it_was_written(message: messages.FromOutside) -> None:
    assert messages.from_outside(messages.encoded(message)) == message


def test_the_first_and_the_second_message_are_what_they_are_to_be() -> None:
    assert messages.hello(messages.encoded(HELLO)) == HELLO
    assert messages.handover(messages.encoded(HANDOVER)) == HANDOVER
    with pytest.raises(ValueError, match="no Hello"):
        messages.hello(messages.encoded(HANDOVER))
    with pytest.raises(ValueError, match="another message"):
        messages.handover(messages.encoded(HELLO))


def test_another_version_is_known_whatever_else_it_says() -> None:
    with pytest.raises(messages.OtherProtocolError, match="protocol 7, not 1") as caught:
        messages.hello(b'{"type":"hello","protocol":7,"new":{"a":[1]}}')
    assert caught.value.protocol == 7


@given(st.binary(max_size=200) | st.recursive(st.none(), st.lists).map(msgspec.json.encode))
def test_anything_else_is_no_message(data: bytes) -> None:
    for read in (messages.hello, messages.from_inside, messages.handover, messages.from_outside):
        with pytest.raises(ValueError):
            read(data)


@given(st.data())
def test_half_a_message_is_none(data: st.DataObject) -> None:
    whole = messages.encoded(data.draw(hellos | handovers))
    half = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(ValueError):
        messages.from_inside(half)


def test_nesting_without_end_is_no_message() -> None:
    with pytest.raises(ValueError):
        messages.hello(b'{"type":"hello","protocol":1,"asked":' + b"[" * 60_000)
    with pytest.raises(ValueError):
        messages.from_inside(b"[" * 60_000)


BEYOND = [
    Hello(version="1", program="x" * 257),
    Hello(version="1", program="x", asked=(Asked(),) * (messages.MOST_ASKED + 1)),
    Hello(version="1", program="x", asked=(Asked(deny=("x" * 257,)),)),
    Handover(intercept="tproxy", listeners=0, holds=False),
    Handover(intercept="tproxy", listeners=messages.MOST_LISTENERS + 1, holds=False),
    Handover(intercept="tproxy", listeners=1, holds=False, notes=("x",) * 9),
    messages.Ended(256),
    messages.Ended(-1),
]


@pytest.mark.parametrize("message", BEYOND)
def test_what_is_beyond_a_bound_is_refused(message: messages.FromInside) -> None:
    with pytest.raises(ValueError):
        messages.from_inside(messages.encoded(message))


def test_a_message_that_nobody_would_read_is_not_written() -> None:
    with pytest.raises(ValueError, match="of which 65536 are read"):
        messages.encoded(Hello(version="1", program="x" * messages.MOST_BYTES))


def test_a_container_can_tighten_what_holds_and_not_loosen_it() -> None:
    project = Asked(deny=("paste.example.com",), allow=("*.example.com",)).project()
    outside = {"allow": ("a.example.com", "paste.example.com", "b.example.org")}
    policy = merge(outside, projects=[project]).policy()
    hosts = ("a.example.com", "paste.example.com", "b.example.org", "c.example.com")
    verdicts = {host: policy.decide(Destination(host, 443)) for host in hosts}
    assert isinstance(verdicts.pop("a.example.com"), Allow)
    assert all(isinstance(each, Deny) for each in verdicts.values())


@pytest.mark.parametrize("rule", ["a*b.com", "10.0.0.1/8", "", "x y"])
def test_a_rule_that_is_none_is_told(rule: str) -> None:
    with pytest.raises(ConfigError, match="the sealed container: "):
        Asked(deny=(rule,)).project()


def test_a_relay_that_comes_later_suits_if_the_namespace_is_the_same() -> None:
    assert WELCOME.suits(WELCOME)
    for other in (
        {"dns_pool": "10.0.0.0/8"},
        {"ports": (80,)},
        {"intercept": "ports"},
        {"loopback_port": 4430},
        {"authority": "PEM"},
    ):
        assert not msgspec.structs.replace(WELCOME, **other).suits(WELCOME)
    assert msgspec.structs.replace(WELCOME, session="another", patience=1).suits(WELCOME)
