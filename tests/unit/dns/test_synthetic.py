"""Synthetic addresses: one per name, by its hash, both ways; what is in use stays its name's."""

from collections.abc import Iterable
from ipaddress import IPv4Network

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from relay.addresses import canonical
from relay.dns.synthetic import KEPT, Assignment, PoolExhaustedError, SyntheticAddresses

SMALL = IPv4Network("10.0.0.0/28")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("", ""),
        (".", ""),
        (r"dot\.", r"dot\."),
        (r"dot\..", r"dot\."),
        (r"backslash\\.", r"backslash\\"),
    ],
)
def test_canonical(name: str, expected: str) -> None:
    assert canonical(name) == expected
    assert canonical(expected) == expected


def test_a_name_keeps_its_address_and_the_address_its_name() -> None:
    synthetic = SyntheticAddresses.of()
    address, is_new, displaced = synthetic.assign("Example.com.", 0)
    assert (is_new, displaced) == (True, "")
    assert synthetic.assign("example.COM", 0) == Assignment(address, is_new=False)
    assert synthetic.name_of(address) == "example.com"
    assert synthetic.dialled(address, 0) == "example.com"
    assert len(synthetic) == 1


def test_an_address_is_the_names_in_every_session() -> None:
    """What programs have kept beside it is true in the next version too."""
    first, second = SyntheticAddresses.of(), SyntheticAddresses.of()
    names = [f"n{number}.example" for number in range(100)]
    in_order = {name: first.assign(name, 0).address for name in names}
    assert {name: second.assign(name, 0).address for name in reversed(names)} == in_order
    assert SyntheticAddresses.of().assign("github.com", 0).address == "198.19.171.253"


def test_an_address_never_assigned_has_no_name() -> None:
    assert SyntheticAddresses.of().name_of("198.18.1.0") is None
    assert SyntheticAddresses.of().dialled("198.18.1.0", 0) is None


@pytest.mark.parametrize(
    ("address", "covered"),
    [
        ("198.17.255.255", False),
        ("198.18.0.0", True),
        ("198.18.0.1", True),
        ("198.19.255.255", True),
        ("198.20.0.0", False),
        ("198.180.0.1", False),
        ("127.0.0.1", False),
    ],
)
def test_covers(address: str, covered: bool) -> None:
    assert SyntheticAddresses.of().covers(address) is covered
    assert not SyntheticAddresses().covers(address), "real addresses are handed out"


def test_another_pool() -> None:
    synthetic = SyntheticAddresses.of("100.64.0.0/10")
    address = synthetic.assign("www.example", 0).address
    assert IPv4Network("100.64.0.0/10").supernet_of(IPv4Network(address))
    assert synthetic.covers("100.64.0.1")
    assert not synthetic.covers("198.18.0.1")


def test_the_whole_pool_and_what_gives_way() -> None:
    synthetic = SyntheticAddresses.of()
    size = (1 << 17) - 256
    addresses = [synthetic.assign(f"n{i}.example", i / size).address for i in range(size)]
    assert len(set(addresses)) == size
    assert all(map(synthetic.covers, addresses))
    assert not any(address.startswith("198.18.0.") for address in addresses)
    with pytest.raises(PoolExhaustedError, match=f"{size} synthetic addresses .* larger dns_pool"):
        synthetic.assign("one.more.example", KEPT - 1)
    synthetic.dialled(addresses[0], KEPT)
    synthetic.live = lambda: {addresses[1]}
    assert synthetic.assign("one.more.example", KEPT + 1).displaced == "n2.example"
    assert synthetic.name_of(addresses[1]) == "n1.example"
    assert synthetic.assign("n0.example", KEPT + 1).address == addresses[0]


class Programs(RuleBasedStateMachine):
    """Programs that ask, connect and wait, in a pool of eight addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.synthetic = SyntheticAddresses(SMALL, reserved=8)
        self.synthetic.live = lambda: self.live
        self.now = 0.0
        self.live: set[str] = set()
        self.known: dict[str, str] = {}
        self.told: dict[str, tuple[float, int]] = {}
        """When a name was last handed out, dialled, or passed over as it had a connection; and
        which of all uses that was."""
        self.uses = 0

    names = st.sampled_from([f"{letter}.example" for letter in "abcdefghijkl"])

    @rule(name=names)
    def ask(self, name: str) -> None:
        givers = {
            known
            for known, address in self.known.items()
            if self.is_old(known) and address not in self.live
        }
        is_full = len(self.known) == 8
        if name not in self.known and is_full and not givers:
            with pytest.raises(PoolExhaustedError):
                self.synthetic.assign(name, self.now)
            self.pass_over(self.known)
            return
        address, is_new, displaced = self.synthetic.assign(name, self.now)
        assert is_new == (name not in self.known)
        assert bool(displaced) == (is_new and is_full)
        if displaced:
            assert displaced in givers
            used = self.told.pop(displaced)
            del self.known[displaced]
            self.pass_over({known for known in self.known if self.told[known] < used})
            assert not [known for known in givers if self.told.get(known, used) < used]
        assert self.known.setdefault(name, address) == address
        self.use(name)

    def is_old(self, name: str) -> bool:
        return self.now - self.told[name][0] >= KEPT

    def use(self, name: str) -> None:
        self.uses += 1
        self.told[name] = self.now, self.uses

    def pass_over(self, names: Iterable[str]) -> None:
        """Count those as used that would have given their address way, but have a connection."""
        for name in sorted(names, key=self.told.__getitem__):
            if self.is_old(name) and self.known[name] in self.live:
                self.use(name)

    @rule(seconds=st.sampled_from([1.0, KEPT / 2, KEPT]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=names)
    def connect(self, name: str) -> None:
        if name in self.known:
            assert self.synthetic.dialled(self.known[name], self.now) == name
            self.use(name)
            self.live.add(self.known[name])

    @rule(name=names)
    def close(self, name: str) -> None:
        self.live.discard(self.known.get(name, ""))

    @invariant()
    def an_address_stands_for_one_name(self) -> None:
        assert len(self.synthetic) == len(self.known) == len(set(self.known.values())) <= 8
        for name, address in self.known.items():
            assert self.synthetic.name_of(address) == name
            assert self.synthetic.covers(address)


TestPrograms = Programs.TestCase
