"""The state machine of a host that is alone: nobody to talk to, but ranks that fail or are to be stopped."""

from __future__ import annotations

from byo_container.training.cluster import events
from byo_container.training.cluster.effects import Effect
from byo_container.training.cluster.events import Event
from byo_container.training.cluster.host_state import HostState


class SingleHost:
    """The only host of a job."""

    def __init__(self, host: HostState) -> None:
        self.host = host

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Changes the state by an event at the time `now`; returns what is to be done."""
        host = self.host
        match event:
            case events.LocalReady(payload):
                host.start({host.current: payload})
            case events.LocalRankFailed(text) if not host.is_stopped:
                host.end(host.named(text))
            case events.Orphaned() if host.may_stop():
                host.stop_orphan(now)
            case events.Leaving(result):
                host.decide(result.status, result.text)
                host.leave()
            case _:
                host.handle(event, now)
        return host.take_effects()

    def missing(self) -> str:
        """No host is missing."""
        return ""
