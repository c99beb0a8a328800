"""The run: in every round each metric is taken of all variants, one right after the other.

So whatever else the machine does meanwhile hits them alike, and ratios hold where figures do not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from .clients import Client, LoadError
from .metrics import EACH, EMPTY, START, Effort, Figures, Load, Metric, loads
from .variants import DIRECT, Variant
from .world import MANY, NAME, SERVER, World


def measure(
    world: World, variants: Sequence[Variant], effort: Effort, progress: Callable[[str], None]
) -> Figures:
    """Measure everything; raises LoadError if anything but a peer fails."""
    figures = Figures()
    clients = {}
    for variant in variants:
        if variant.installed:
            clients[variant] = Client(world, variant)
        else:
            figures.missing[variant.name] = "not installed here"
    run = _Run(figures, clients, effort)
    progress("memory")
    run.take(EMPTY, run.empty)
    run.take(EACH, run.each)
    for number in range(effort.rounds):
        progress(f"round {number + 1} of {effort.rounds}")
        for load in loads(effort, SERVER, NAME, MANY):
            run.take(load, partial(run.load, load))
        run.take(START, run.start)
    for client in clients.values():
        client.close()
    return figures


@dataclass(frozen=True)
class _Run:
    figures: Figures
    clients: dict[Variant, Client]
    """Those that are alive."""
    effort: Effort

    def take(self, metric: Metric, figure: Callable[[Variant, Client], float]) -> None:
        """Have each variant's turn; of ours nothing may fail, of a peer it is noted."""
        for variant, client in tuple(self.clients.items()):
            try:
                self.figures.add(metric, variant.name, figure(variant, client))
            except LoadError as error:
                if not variant.is_peer:
                    raise LoadError(f"{variant.name}, {metric.title}: {error}") from error
                self.figures.add(metric, variant.name, None)
                self.figures.missing[f"{variant.name}, {metric.title}"] = str(error)
                if not client.alive:
                    self.clients.pop(variant).close()

    def empty(self, _variant: Variant, client: Client) -> float:
        """Weigh the relay once its first connection has made it load all it needs."""
        client.ask("hold", address=SERVER, count=1)
        return client.relay_memory()

    def each(self, _variant: Variant, client: Client) -> float:
        """Weigh it with many idle connections; only once, for it may keep what they leave."""
        before = client.relay_memory()
        client.ask("hold", address=SERVER, count=self.effort.idle)
        grown = client.relay_memory() - before
        client.ask("hold", address=SERVER, count=0)
        return grown / self.effort.idle

    def load(self, load: Load, _variant: Variant, client: Client) -> float:
        """Have the client find it out."""
        return client.ask(load.order, **load.arguments)

    def start(self, variant: Variant, _client: Client) -> float:
        """Time `true`; whoever starts it is the client without any relay."""
        command = [*variant.prefix, "true"]
        return self.clients[DIRECT].ask("start_up", command=command, count=self.effort.starts)
