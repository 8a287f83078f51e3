"""One server under one kind of load, slice after slice, with what it cost."""

from __future__ import annotations

import statistics

from benchmarks import load, machine
from benchmarks.load import Source
from benchmarks.run import Run
from benchmarks.servers import Server


class Side:
    """Called for one slice, answers its rate. `status` is what every request must be answered."""

    def __init__(
        self,
        server: Server,
        source: Source,
        run: Run,
        *,
        status: int = 201,
        clients: int = load.CLIENTS,
        settles: bool = True,
    ) -> None:
        self._server = server
        self._source = source
        self._seconds = run.seconds
        self._status = status
        self._clients = clients
        self._settles = settles
        self.slices: list[load.Slice] = []
        self._cpu: list[float] = []
        self._rest: list[float] = []

    def __call__(self) -> float:
        return self.slice().rate

    def median(self) -> float:
        """One slice; answers its median time to answer, in milliseconds."""
        return self.slice().p50

    def slice(self) -> load.Slice:
        before = machine.cpu_seconds(self._server.pid)
        found = load.measure(
            self._server.port, self._source, self._seconds, clients=self._clients
        ).only(self._status)
        used = machine.cpu_seconds(self._server.pid) - before
        self._cpu.append(used / (found.rate * (found.seconds + load.WARM_SECONDS)))
        if self._settles:
            self._rest.append(self._server.settle())
        self.slices.append(found)
        return found

    @property
    def latencies(self) -> list[float]:
        """Of all slices together, in ascending order."""
        return sorted(latency for one in self.slices for latency in one.latencies)

    @property
    def cost(self) -> str:
        """Processor time of the server for one request."""
        return f"{1e6 * statistics.median(self._cpu):.0f} us of CPU each"

    @property
    def rest(self) -> str:
        """Processor time that the server needed after a slice to finish its own work."""
        return f"{1_000 * statistics.median(self._rest):.0f} ms of CPU"

    @property
    def busiest(self) -> float:
        return max(one.busy for one in self.slices)
