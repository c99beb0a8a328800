"""A base URL with a token in its path, where others than the program can connect."""

from relay.gateway.setup.prepare import Place
from relay.inbound.proxy.secret import Secret
from tests.support.inprocess.gateway import gateway
from tests.support.internet.servers.api.server import fake_api

SECRET = Secret.of(b"0123456789abcdef")


async def test_the_token_is_taken_from_each_path_and_asked_for_in_each() -> None:
    async with (
        fake_api(protocols=("http/1.1",)) as served,
        gateway(served, place=Place(1, SECRET)) as it,
    ):
        async with it.connection() as program:
            for _ in range(2):
                assert (await program.ask("GET", f"{SECRET.path}/v1/models?a=/b")).status == 200
            refused = await program.ask("GET", "/v1/models")
            assert refused.status == 502
            assert b"token" in refused.body
        async with it.connection() as program:
            assert (await program.ask("POST", "/v1/messages", b"{}")).status == 502
    assert [asked.request.path for asked in served.log.asked] == ["/v1/models?a=/b"] * 2


def test_without_one_a_path_is_as_it_is() -> None:
    assert Place().below(b"/v1") == b"/v1"
