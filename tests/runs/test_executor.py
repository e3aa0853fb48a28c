"""What every executor must do, and trials through each."""

from concurrent.futures import CancelledError

import executor_tasks as tasks
import pytest

from narsfast.common.trial import Trial
from narsfast.errors import MachineError, UserError
from narsfast.runs import InProcess, Processes, TrialTimedOut, WorkerLost, run_trials

EXECUTORS = {"in_process": InProcess, "processes": lambda: Processes(2, gpus=0)}


@pytest.fixture(params=EXECUTORS)
def executor(request):
    with EXECUTORS[request.param]() as executor:
        yield executor


@pytest.fixture
def processes():
    with Processes(2, gpus=0) as executor:
        yield executor


class TestContract:
    def test_results_belong_to_their_futures(self, executor):
        futures = {executor.submit(tasks.add, number, 1): number for number in range(7)}
        ended = {future: future.result() for future in executor.as_completed(futures)}
        assert ended == {future: number + 1 for future, number in futures.items()}

    def test_result_works_without_as_completed(self, executor):
        first, second = executor.submit(tasks.add, 1, 1), executor.submit(tasks.add, 2, 2)
        assert second.result() == 4
        assert first.result() == 2
        assert first.exception() is None

    def test_no_futures(self, executor):
        assert list(executor.as_completed([])) == []

    def test_futures_already_done(self, executor):
        future = executor.submit(tasks.add, 1, 1)
        future.result()
        assert list(executor.as_completed([future])) == [future]

    def test_reports_in_order_and_first_the_beginning(self, executor):
        told = []
        assert executor.submit(tasks.count_to, 4, report=told.append).result() == 4
        assert told == [0.0, 0.25, 0.5, 0.75, 1.0]

    def test_nothing_is_told_without_report(self, executor):
        assert executor.submit(tasks.count_to, 4).result() == 4

    def test_an_exception_is_the_futures_and_the_next_task_runs(self, executor):
        broken, whole = executor.submit(tasks.fail, "why"), executor.submit(tasks.add, 1, 2)
        assert {future for future in executor.as_completed([broken, whole])} == {broken, whole}
        with pytest.raises(ValueError, match="why"):
            broken.result()
        assert whole.result() == 3

    def test_an_exception_of_report_is_the_futures_and_the_next_task_runs(self, executor):
        def report(fraction):
            raise LookupError("nobody listens")

        broken = executor.submit(tasks.count_to, 2, report=report)
        with pytest.raises(LookupError, match="nobody listens"):
            broken.result()
        assert executor.submit(tasks.add, 1, 2).result() == 3

    @pytest.mark.parametrize("function", [tasks.work_for, tasks.swallow_everything])
    def test_time_limit(self, executor, function):
        late = executor.submit(function, 20, timeout=0.2)
        with pytest.raises(TrialTimedOut, match=r"0\.2 s"):
            late.result()
        assert executor.submit(tasks.work_for, 0.0, timeout=20).result() == "finished"

    def test_cancel_before_the_beginning(self, executor):
        futures = [executor.submit(tasks.work_for, 0.2) for _ in range(4)]
        assert futures[-1].cancel()
        assert set(executor.as_completed(futures)) == set(futures)
        assert [future.cancelled() for future in futures] == [False, False, False, True]

    def test_shutdown_cancels(self, executor):
        futures = [executor.submit(tasks.work_for, 30) for _ in range(4)]
        executor.shutdown()
        for future in futures:
            with pytest.raises(CancelledError):
                future.result(timeout=10)
        executor.shutdown()
        with pytest.raises(RuntimeError, match=r"shut ?down"):
            executor.submit(tasks.add, 1, 1)


def test_in_process_runs_one_at_a_time_in_order_when_waited_for():
    begun = []
    with InProcess() as executor:
        futures = [
            executor.submit(tasks.add, 0, number, report=lambda _, number=number: begun.append(number))
            for number in range(4)
        ]
        assert begun == []
        ended = executor.as_completed(futures)
        next(ended)
        assert begun == [0]
        next(ended)
        assert begun == [0, 1]


def test_in_process_lets_ctrl_c_through():
    def press(report):
        raise KeyboardInterrupt

    with InProcess() as executor, pytest.raises(KeyboardInterrupt):
        list(executor.as_completed([executor.submit(press)]))


WORKS = [
    tasks.Work("a", 2),
    tasks.Work("b", 3, "raise"),
    tasks.Work("d", 4, "hang"),
    tasks.Work("e", 1),
]


def test_every_way_to_end_becomes_a_trial(executor):
    started, told = [], []
    trials = list(
        run_trials(
            executor,
            tasks.train,
            WORKS,
            timeout=0.3,
            started=lambda work: started.append(work.candidate),
            report=lambda work, fraction: told.append((work.candidate, fraction)),
        )
    )
    by_candidate = {trial.candidate: trial for trial in trials}
    assert len(trials) == len(WORKS)
    assert by_candidate["a"] == Trial("a", (0.0, 1.0), "ok", 2, 0.0)
    assert by_candidate["b"].message == "RuntimeError: something broke"
    assert {name: (trial.outcome, trial.epochs, trial.curve) for name, trial in by_candidate.items()} == {
        "a": ("ok", 2, (0.0, 1.0)),
        "b": ("failed", 3, ()),
        "d": ("timed_out", 4, ()),
        "e": ("ok", 1, (0.0,)),
    }
    assert by_candidate["d"].seconds >= 0.3
    assert sorted(started) == ["a", "b", "d", "e"]
    assert ("a", 0.5) in told


def test_a_mistake_of_the_user_is_no_trial(executor):
    with pytest.raises(UserError, match="/nowhere"):
        list(run_trials(executor, tasks.train, [tasks.Work("a", 1, "user"), *WORKS]))


def test_what_a_shutdown_ends_is_no_trial(executor):
    trials = run_trials(executor, tasks.train, [tasks.Work("a", 1), *[tasks.Work("b", 1, "hang")] * 4])
    assert next(trials).candidate == "a"
    executor.shutdown()
    with pytest.raises(CancelledError):
        next(trials)


def test_what_a_dead_worker_had_is_trained_again(processes, tmp_path, caplog):
    works = [tasks.Work("a", 2), tasks.Work("b", 2, f"die until {tmp_path / 'second'}"), tasks.Work("c", 2)]
    outcomes = {trial.candidate: trial.outcome for trial in run_trials(processes, tasks.train, works)}
    assert outcomes == {"a": "ok", "b": "ok", "c": "ok"}
    assert "candidate b: the worker process" in caplog.text
    assert "it is tried again in 0 s" in caplog.text


def ended_before_trouble(executor, works, said):
    """Train until the machine disturbs a training for good; return the ids of those that ended, and of all begun."""
    ended, begun = [], []

    def collect():
        for trial in run_trials(
            executor, tasks.train, works, started=lambda work: begun.append(work.candidate)
        ):
            ended.append(trial.candidate)

    with pytest.raises(MachineError, match=said):
        collect()
    return sorted(ended), begun


def test_a_worker_that_dies_again_and_again_stops_the_run_after_all_others(processes):
    works = [tasks.Work("a", 2), tasks.Work("b", 2, "die"), tasks.Work("c", 2), tasks.Work("d", 2)]
    said = r"candidate b: the worker process .* was killed .* fewer `workers`"
    ended, begun = ended_before_trouble(processes, works, said)
    assert ended == ["a", "c", "d"]
    assert begun.count("b") >= 4


def test_lack_of_memory_is_tried_again_and_then_stops_the_run_after_all_others(executor):
    works = [tasks.Work(name, 2, "memory" if name in "ac" else "ok") for name in "abcd"]
    said = r"candidate [ac]: the machine is out of memory .MemoryError: too big"
    ended, begun = ended_before_trouble(executor, works, said)
    assert ended == ["b", "d"]
    assert min(begun.count("a"), begun.count("c")) >= 2


def test_what_waiting_does_not_mend_is_not_tried_again(executor):
    started = []
    with pytest.raises(MachineError, match="Permission denied"):
        list(
            run_trials(
                executor,
                tasks.train,
                [tasks.Work("a", 2, "forbidden")],
                started=lambda work: started.append(work.candidate),
            )
        )
    assert started == ["a"]


def test_lost_worker_says_how(processes):
    for function, args, how in [(tasks.die, (), "memory ran out"), (tasks.leave, (3,), "exit code 3")]:
        with pytest.raises(WorkerLost, match=how):
            processes.submit(function, *args).result()
