"""A runner's probes say whether it takes work."""

import asyncio

import httpx2

from agentcontainer.runner.probes import exposition
from agentcontainer.telemetry.server import serving
from tests.coordination.bed import Bed


async def test_a_runner_is_ready_while_it_renews_its_lease_and_does_not_drain(bed: Bed) -> None:
    bed.configure(runner_lost_after_seconds=5)
    async with bed.runner() as runner:
        supervisor = runner.supervisor
        scraped = exposition(supervisor, bed.pool, runner.folder)
        async with (
            serving("127.0.0.1:0", scraped, setting="TEST", unready_reason=supervisor.unready_reason) as port,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
        ):

            async def until(status: int, reason: str | None) -> None:
                async with asyncio.timeout(30):
                    while True:
                        answer = await http.get("/readyz")
                        body = answer.json()
                        if answer.status_code == status and (reason or "") in body.get("reason", ""):
                            return
                        await asyncio.sleep(0.05)

            await until(200, None)
            runner.proxy.drop_packets()
            await until(503, "the database has not recorded a heartbeat")
            assert (await http.get("/healthz")).status_code == 200
            assert 'agentcontainer_runner_slots{state="free"} 1.0' in (await http.get("/metrics")).text
            runner.proxy.forward_again()
            await until(200, None)
            await runner.drain()
            await until(503, "draining")
            assert (await http.get("/healthz")).status_code == 200
