import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narsfast.common.trial import EpochMetrics, Trial
from narsfast.errors import UserError
from narsfast.runs import BatchState, InFlight, PickedCandidate, Result, RunConflict, RunStore

PATH = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
CONFIG = {"seed": 1, "data": {"name": "digits", "mirror": False}, "budgets": [{"macs": [0, 1e6]}]}

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
number = st.floats(allow_nan=False, allow_infinity=False)
value = st.booleans() | st.integers(-(2**60), 2**60) | number | text
json_values = st.recursive(
    value | st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3)
)
candidate = st.text("0123456789abcdef", min_size=1, max_size=4)
member = st.builds(
    PickedCandidate,
    candidate=candidate,
    genes=st.lists(st.integers(0, 300), max_size=5).map(tuple),
    architecture=st.dictionaries(text, value, max_size=3),
    recipe=st.dictionaries(text, value, max_size=3),
    score=st.none() | number,
)
curves = st.lists(number, max_size=4).map(tuple)


def metrics_of(curve):
    """Return metrics that a training with this curve may have."""
    size = {"min_size": len(curve), "max_size": len(curve)}
    metric = st.just(()) | st.lists(number | st.none(), **size).map(tuple)
    return st.builds(EpochMetrics, metric, metric, metric, metric)


trial = st.builds(
    lambda curve, **rest: Trial(curve=curve[0], metrics=curve[1], **rest),
    candidate=candidate,
    curve=curves.flatmap(lambda curve: st.tuples(st.just(curve), metrics_of(curve))),
    outcome=st.sampled_from(["ok", "diverged", "out_of_memory", "timed_out", "failed", "lost"]),
    epochs=st.integers(1, 400),
    seconds=st.floats(0, 1e6),
    message=text,
)
result = st.builds(
    Result,
    budget=text,
    candidate=candidate,
    macs=st.integers(0, 10**12),
    params=st.integers(0, 10**12),
    predicted=number,
    validation=number,
    test=number,
    directory=st.just("best/1"),
)
write = st.one_of(
    st.tuples(st.just("fact"), text, json_values),
    st.tuples(st.just("batch"), st.integers(0, 2), st.integers(1, 9), st.lists(member, max_size=3)),
    st.tuples(st.just("trial"), trial, st.sampled_from(["search", "final"])),
    st.tuples(st.just("result"), result),
    st.just(("reopen",)),
)


class Model:
    """What a run should hold, in plain Python."""

    def __init__(self):
        self.facts, self.batches, self.trials, self.results = {}, {}, {}, {}

    def check(self, run):
        assert all(run.fact(key) == fact for key, fact in self.facts.items())
        assert {batch.index: (batch.epochs, batch.candidates) for batch in run.batches()} == self.batches
        for purpose in ("search", "final"):
            expected = [trial for (where, _), trial in sorted(self.trials.items()) if where == purpose]
            assert run.trials(purpose) == expected
        assert run.results() == list(self.results.values())


@settings(max_examples=25, deadline=None)
@given(writes=st.lists(write, max_size=8))
def test_what_was_written_reads_back(writes, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "run"
    model = Model()
    run = RunStore.open(path, CONFIG)
    for kind, *args in writes:
        if kind == "reopen":
            run.close()
            run = RunStore.open(path, CONFIG)
        elif kind == "fact":
            model.facts[args[0]] = args[1]
            run.put_fact(*args)
        elif kind == "batch":
            index, epochs, members = args
            keep(run.add_batch, args, model.batches, index, (epochs, tuple(members)))
        elif kind == "trial":
            trial, purpose = args
            keep(run.add_trial, args, model.trials, (purpose, trial.candidate), trial)
        else:
            keep(run.add_result, args, model.results, args[0].budget, args[0])
    model.check(run)
    with RunStore.read(path) as reader:
        model.check(reader)
    run.close()
    with RunStore.open(path, None) as run:
        model.check(run)
        assert run.config == CONFIG


def keep(add, args, known, key, content):
    """Add; content that contradicts what is stored must be refused and change nothing."""
    if timeless(known.setdefault(key, content)) == timeless(content):
        add(*args)
    else:
        with pytest.raises(RunConflict):
            add(*args)


def timeless(content):
    if not isinstance(content, Trial):
        return content
    return replace(content, seconds=0.0, message="", metrics=EpochMetrics())


def test_what_is_committed_is_on_the_disk(tmp_path):
    """The setting holds for one connection only, so the driver's own is asked."""
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        (synchronous,) = run._connection.execute("PRAGMA synchronous").fetchone()
        (journal,) = run._connection.execute("PRAGMA journal_mode").fetchone()
    assert (synchronous, journal) == (2, "wal")  # 2 is FULL


def test_numpy_values_are_stored_as_numbers(tmp_path):
    genes = np.array([3, 0, 1], np.int16)
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        run.put_fact("fits", {"tau": np.float32(0.5), "order": np.arange(3)})
        run.add_batch(0, 8, [PickedCandidate("a", genes, {}, {}, np.float32(71.5))])
        run.add_batch(0, 8, [PickedCandidate("a", (3, 0, 1), {}, {}, 71.5)])
        run.add_result(Result("b", "a", np.int64(5), np.int64(6), np.float32(1.5), 2.5, 3.5, "best/b"))
        assert run.fact("fits") == {"tau": 0.5, "order": [0, 1, 2]}
        assert run.batches()[0].candidates == (PickedCandidate("a", (3, 0, 1), {}, {}, 71.5),)
        assert run.results() == [Result("b", "a", 5, 6, 1.5, 2.5, 3.5, "best/b")]


def test_what_cannot_be_stored_is_refused_and_leaves_no_trace(tmp_path):
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        with pytest.raises(TypeError, match="JSON"):
            run.put_fact("broken", object())
        with pytest.raises(sqlite3.IntegrityError):
            run.add_trial(Trial("a", (), "ok", 1, 0.0), "somewhere")
        run.put_fact("whole", 1)
        assert run.fact("broken") is None
        assert run.fact("whole") == 1
        assert run.trials("search") == []
        with pytest.raises(ValueError, match="purpose"):
            run.trials("somewhere")
    with pytest.raises(ValueError, match="not a number"):
        PickedCandidate("a", (), {}, {}, float("nan"))
    with pytest.raises(ValueError, match="relative"):
        Result("b", "a", 1, 1, 0.0, 0.0, 0.0, "/tmp/b")


def test_before_the_first_batch_another_configuration_begins_anew(tmp_path):
    with RunStore.open(tmp_path / "run", {"data": "a typo", "seed": 1}) as run:
        run.put_fact("stage", "pretrain")
    with RunStore.open(tmp_path / "run", {"data": "photos"}) as run:
        assert run.config == {"data": "photos"}
        assert run.fact("stage") is None


def test_another_configuration_is_refused_with_every_difference(tmp_path):
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        run.add_batch(0, 1, [])
    other = {"seed": True, "data": {"name": "photos", "mirror": False}, "epochs": 8}
    with pytest.raises(UserError) as refusal:
        RunStore.open(tmp_path / "run", other)
    message = str(refusal.value)
    assert "seed (stored 1, given True)" in message
    assert "data.name (stored 'digits', given 'photos')" in message
    assert "epochs (not stored, given 8)" in message
    assert "budgets (stored [{'macs': [0, 1000000.0]}], not given)" in message
    assert "mirror" not in message
    with RunStore.open(tmp_path / "run", json.loads(json.dumps(CONFIG))) as run:
        assert run.config == CONFIG


def test_what_may_grow_is_stored_and_the_rest_is_refused(tmp_path):
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        run.add_batch(0, 1, [])
        run.put_fact("stage", "done")
    grown = {**CONFIG, "baselines": ["a"]}
    with pytest.raises(UserError, match="baselines"):
        RunStore.open(tmp_path / "run", grown)
    with pytest.raises(UserError, match="seed") as refusal:
        RunStore.open(tmp_path / "run", {**grown, "seed": 2}, growing=("baselines",))
    assert "baselines" not in str(refusal.value)
    assert RunStore.stored_config(tmp_path / "run") == CONFIG
    with RunStore.open(tmp_path / "run", grown, growing=("baselines",)) as run:
        assert run.config == grown
        assert run.fact("stage") == "done"


def test_a_tuple_in_the_configuration_is_a_list(tmp_path):
    RunStore.open(tmp_path / "run", {"range": (1, 2)}).close()
    with RunStore.open(tmp_path / "run", {"range": (1, 2)}) as run:
        assert run.config == {"range": [1, 2]}


def test_stored_config(tmp_path):
    assert RunStore.stored_config(tmp_path) is None
    with RunStore.open(tmp_path / "run", CONFIG):
        assert RunStore.stored_config(tmp_path / "run") == CONFIG


def test_a_second_driver_is_refused_and_readers_are_not(tmp_path):
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        with pytest.raises(UserError, match=f"process {os.getpid()}"):
            RunStore.open(tmp_path / "run", CONFIG)
        run.put_fact("a", 1)
        with RunStore.read(tmp_path / "run") as reader:
            assert reader.fact("a") == 1
            run.put_fact("a", 2)
            assert reader.fact("a") == 2
            assert reader.state().driver == os.getpid()
            with pytest.raises(RuntimeError, match="for reading"):
                reader.put_fact("a", 3)
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        assert run.fact("a") == 2


def test_a_forked_child_does_not_keep_the_run(tmp_path):
    with RunStore.open(tmp_path / "run", CONFIG):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        RunStore.open(tmp_path / "run", CONFIG).close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_fork_does_not_let_go_of_the_run(tmp_path):
    with RunStore.open(tmp_path / "run", CONFIG):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(UserError, match="driven"):
            RunStore.open(tmp_path / "run", CONFIG)


def test_a_refused_configuration_leaves_the_run_free(tmp_path):
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        run.add_batch(0, 1, [])
    with pytest.raises(UserError):
        RunStore.open(tmp_path / "run", {})
    RunStore.open(tmp_path / "run", CONFIG).close()


def test_directories_that_are_no_run(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="holds no run"):
            RunStore.read(path)
        with pytest.raises(UserError, match="holds no run to resume"):
            RunStore.open(path, None)
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="other files"):
        RunStore.open(tmp_path, CONFIG)
    with pytest.raises(UserError, match="is a file"):
        RunStore.open(tmp_path / "photo.jpg", CONFIG)
    with pytest.raises(UserError, match="cannot hold a run"):
        RunStore.open(tmp_path / "photo.jpg" / "run", CONFIG)


def test_foreign_databases_are_refused(tmp_path):
    file = tmp_path / "run.db"
    file.write_bytes(b"something else that is long enough to be looked at" * 100)
    foreign = pytest.raises(UserError, match="cannot be used as the database of a run")
    with foreign:
        RunStore.read(tmp_path)
    with foreign:
        RunStore.open(tmp_path, CONFIG)
    file.unlink()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE theirs (a)")
    with foreign:
        RunStore.open(tmp_path, CONFIG)


def test_another_format_is_refused(tmp_path):
    RunStore.open(tmp_path / "run", CONFIG).close()
    with sqlite3.connect(tmp_path / "run" / "run.db") as database:
        database.execute("PRAGMA user_version = 99")
    for attempt in (lambda: RunStore.read(tmp_path / "run"), lambda: RunStore.open(tmp_path / "run", CONFIG)):
        with pytest.raises(UserError, match="format 99"):
            attempt()


def test_a_run_that_stopped_while_it_was_made(tmp_path):
    (tmp_path / "run.db").touch()
    with pytest.raises(UserError, match="start it again"):
        RunStore.read(tmp_path)
    assert RunStore.stored_config(tmp_path) is None
    with RunStore.open(tmp_path, CONFIG) as run:
        assert run.config == CONFIG


def test_state(tmp_path):
    before = time.time()
    run = RunStore.open(tmp_path / "run", CONFIG)
    empty = run.state()
    assert (empty.stage, empty.batches, empty.early_stop_epoch, empty.finals_expected) == (
        None,
        (),
        None,
        None,
    )
    members = [PickedCandidate(name, (1,), {}, {}) for name in "abc"]
    run.add_batch(0, 8, members[:2])
    run.add_batch(1, 3, members[2:])
    run.put_fact("stage", "optimize")
    run.put_fact("early_stop_epoch", 3)
    run.put_fact("finals_expected", 2)
    for name in "ab":
        run.started(name, "search", 8)
    run.add_trial(Trial("a", (1.0,), "diverged", 8, 2.0, "loss is not finite"), "search")
    run.add_trial(Trial("c", (1.0,), "ok", 8, 2.0), "final")
    run.add_result(Result("macs<=1M", "c", 1, 2, 3.0, 4.0, 5.0, "best/1"))
    state = run.state()
    assert state.stage == "optimize"
    assert state.batches == (BatchState(0, 8, 1, 2), BatchState(1, 3, 0, 1))
    assert state.early_stop_epoch == 3
    assert state.outcomes == {"diverged": 1}
    assert [replace(entry, since=0) for entry in state.in_flight] == [InFlight("b", "search", 8, 0)]
    assert (state.finals, state.finals_expected, state.results) == (1, 2, 1)
    assert before <= state.in_flight[0].since <= state.updated <= time.time()
    assert json.loads(json.dumps(state.to_dict()))["batches"][0]["done"] == 1
    run.close()
    with RunStore.read(tmp_path / "run") as reader:
        closed = reader.state()
    assert closed == replace(state, driver=None)
    with RunStore.open(tmp_path / "run", None) as run:
        assert run.state().in_flight == ()


def test_any_thread_may_write(tmp_path):
    with RunStore.open(tmp_path / "run", CONFIG) as run:

        def write(number):
            for step in range(5):
                run.put_fact(f"{number}/{step}", [number, step])

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(run.fact(f"{number}/{step}") == [number, step] for number in range(4) for step in range(5))


def test_copy(tmp_path):
    (tmp_path / "copy").mkdir()
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        run.put_fact("a", 1)
        run.copy_to(tmp_path / "copy" / "run.db")
        run.put_fact("a", 2)
        with pytest.raises(UserError, match="exists"):
            run.copy_to(tmp_path / "copy" / "run.db")
    assert [file.name for file in (tmp_path / "copy").iterdir()] == ["run.db"]
    with RunStore.read(tmp_path / "copy") as copy:
        assert copy.fact("a") == 1
        assert copy.state().driver is None
        copy.copy_to(tmp_path / "second.db")
    assert (tmp_path / "second.db").stat().st_size > 0


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_reading_from_a_read_only_directory(tmp_path):
    path = tmp_path / "run"
    RunStore.open(path, CONFIG).close()
    path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with RunStore.read(path) as run:
            assert run.config == CONFIG
    finally:
        path.chmod(stat.S_IRWXU)


def test_leftovers_of_interrupted_files_go_when_the_run_is_opened(tmp_path):
    RunStore.open(tmp_path / "run", CONFIG).close()
    (tmp_path / "run" / "best").mkdir()
    leftover, kept = tmp_path / "run" / "best" / ".partial-1234-a.onnx", tmp_path / "run" / "best" / "a.onnx"
    for file in (leftover, kept):
        file.touch()
    RunStore.open(tmp_path / "run", CONFIG).close()
    assert kept.exists()
    assert not leftover.exists()


DRIVER = """
import sys
from narsfast.runs import PickedCandidate, RunStore
from narsfast.common.trial import Trial

def tell(line):
    sys.stdout.write(line)
    sys.stdout.flush()

with RunStore.open(sys.argv[1], {"seed": 1}) as run:
    done = len(run.trials("search"))
    for number in range(done, 100_000):
        name = f"{number:06d}"
        run.started(name, "search", 3)
        tell(f"begin {name}\\n")
        run.add_trial(Trial(name, (number / 7, 2.0), "ok", 3, 0.5), "search")
        tell(f"done {name}\\n")
        run.add_batch(number, 3, [PickedCandidate(name, (number,), {"depth": number}, {})] * 50)
"""


def test_kill_loses_at_most_what_is_in_flight(tmp_path):
    """A driver killed while it writes, several times over: everything it was told is stored is there."""
    path = tmp_path / "run"
    pause = random.Random(0)
    for _ in range(4):
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(path)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": PATH},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert driver.stdout is not None
        first = driver.stdout.readline()
        with RunStore.read(path) as reader:  # a reader in the middle of the writes sees whole things only
            assert reader.state().driver == driver.pid
            assert all(len(batch.candidates) == 50 for batch in reader.batches())
            with pytest.raises(UserError, match=f"process {driver.pid}"):
                RunStore.open(path, {"seed": 1})
        time.sleep(pause.uniform(0.0, 0.2))
        driver.kill()
        lines = [first, *driver.stdout.readlines()]
        driver.wait()
        told = max(int(number) + (what == "done") for what, number in map(str.split, lines))
        with RunStore.read(path) as reader:
            state = reader.state()
            trials = reader.trials("search")
            batches = reader.batches()
        assert state.driver is None
        assert told <= len(trials) <= told + 1
        assert trials == [Trial(f"{n:06d}", (n / 7, 2.0), "ok", 3, 0.5) for n in range(len(trials))]
        assert all(len(batch.candidates) == 50 for batch in batches)
        assert len(state.in_flight) <= 1
    assert told > 1


def test_the_order_of_keys_is_kept(tmp_path):
    config = {"space": {"b": 1, "a": 2}}
    with RunStore.open(tmp_path / "run", config) as run:
        run.put_fact("fact", {"d": 1, "c": 2})
        assert list(run.config["space"]) == ["b", "a"]
        assert list(run.fact("fact")) == ["d", "c"]
    with RunStore.open(tmp_path / "run", {"space": {"a": 2, "b": 1}}) as run:
        assert list(run.config["space"]) == ["b", "a"]
