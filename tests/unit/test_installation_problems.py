"""What an operator is told about the processes and the queue of an installation."""

from agentcontainer.domain.processes.model import (
    ApiProcess,
    OpenTransaction,
    RegionQueue,
    Runner,
    regions_without_runner,
)
from agentcontainer.domain.processes.service import State


def runner(region: str, *, silent: float = 0.5, claims: int = 0, version: str | None = "1") -> Runner:
    return Runner(f"rnr_{region}", f"{region}-1", "host", version, region, 4, claims, silent)


def state(**changes: object) -> State:
    nothing = {
        "schema": "0010", "postgres": "17", "connections": 1, "max_connections": 100, "api_processes": [],
        "is_paused": False, "runners": [], "tasks": {}, "queues": [], "accounts": [], "open_transactions": [],
    }  # fmt: skip
    return State(**(nothing | changes))  # type: ignore[arg-type]


def test_a_runner_of_eu_takes_the_tasks_of_both_regions() -> None:
    queues = [RegionQueue("eu", 1, 1), RegionQueue("any", 1, 1)]
    assert regions_without_runner(queues, [runner("eu")], 10) == []
    assert [queue.region for queue in regions_without_runner(queues, [runner("any")], 10)] == ["eu"]
    assert len(regions_without_runner(queues, [runner("eu", silent=11)], 10)) == 2
    assert regions_without_runner([], [], 10) == []


def test_a_wrong_clock_of_a_living_runner_is_a_problem() -> None:
    fast = Runner("rnr_1", "eu-1", "host", "1", "eu", 4, 0, 0.5, clock_skew_seconds=61.0)
    [problem] = state(runners=[fast]).problems(10)
    assert problem.startswith("The clock of runner eu-1 differs by 61.0 s from the database's.")
    dead = Runner("rnr_1", "eu-1", "host", "1", "eu", 4, 0, 60.0, clock_skew_seconds=61.0)
    assert state(runners=[dead]).problems(10) == []


def test_a_paused_queue_and_a_drained_runner_are_named_with_the_command_that_ends_it() -> None:
    drained = Runner("rnr_1", "eu-1", "host", "1", "eu", 4, 0, 0.5, is_draining=True)
    assert state(runners=[drained], is_paused=True).problems(10) == [
        "The queue is paused: no runner begins a task until `agentcontainer admin resume`.",
        "Runner eu-1 is drained: it takes no task until `agentcontainer admin undrain`.",
    ]


def test_an_installation_that_is_well_has_no_problems() -> None:
    api = ApiProcess("api_1", "web1", 8080, "1", 3.0)
    well = state(api_processes=[api], runners=[runner("eu")], queues=[RegionQueue("eu", 3, 1.0)])
    assert well.problems(10) == []


def test_each_problem_is_a_sentence_that_says_what_to_do() -> None:
    ill = state(
        runners=[runner("any"), runner("eu", silent=700, claims=2, version=None)],
        queues=[RegionQueue("eu", 3, 61.0)],
        open_transactions=[OpenTransaction("10.0.0.3", "psql", 12.0)],
        api_processes=[
            ApiProcess("api_1", "web1", 8080, "2", 3.0),
            ApiProcess("api_2", "web2", 1, "9", 300.0),
        ],
    )
    region, dead, transaction, versions = ill.problems(10)
    assert region == (
        "No runner takes tasks of region eu: 3 wait, the oldest for 61 s. Start a runner with --region eu."
    )
    assert dead.startswith("Runner eu-1 has not been heard of for 700 s and still has 2 tasks.")
    assert transaction.startswith("A transaction from 10.0.0.3 has been idle for 12 s")
    assert versions == "Processes of several versions run: 1, 2. Restart the older ones."
