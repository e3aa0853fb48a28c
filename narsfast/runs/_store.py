"""The run directory: everything one search did, in SQLite, resumable at any moment.

One driver writes, each fact in a transaction of its own that is on the disk before the call returns; a second
driver is refused. Readers may look at any time, also while the driver runs and after it was killed. The
database is the only truth for resuming: whatever is not in it did not happen.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, get_args

from narsfast.common.differences import differences
from narsfast.common.files import expanded, remove_partial, replacing
from narsfast.common.machine import machine_errors, persistently
from narsfast.common.renamed import upgrade_stored
from narsfast.common.trial import Trial
from narsfast.errors import UserError

from . import _database as database
from ._directory import check_directory
from ._facts import Facts
from ._legible import checked, damaged, legible
from ._lock import DriverLock, disk_has_locks
from ._records import Batch, PickedCandidate, Purpose, Result, RunState
from ._state import read_state
from ._trial_rows import continued_row, curve_text, read_trials, trial_row

_P = ParamSpec("_P")
_CHANGED = "the machine, the versions or the data changed since the run was started: start another run"
_RESULT = ", ".join(field.name for field in fields(Result))


def _persistent(
    write: Callable[Concatenate[RunStore, _P], None],
) -> Callable[Concatenate[RunStore, _P], None]:
    """Make a write be tried again where the disk does not take it just now."""

    @wraps(write)
    def written(store: RunStore, /, *args: _P.args, **options: _P.kwargs) -> None:
        persistently(lambda: write(store, *args, **options), f"writing to {store.path}")

    return written


def _goes_on(trial: Trial, epochs: int, curve: str, outcome: str) -> bool:
    """Return whether a trial is a stored one that was trained on; one that failed then has no curve."""
    held = json.loads(curve)
    return outcome == "ok" and epochs < trial.epochs and list(trial.curve[: len(held)]) in ([], held)


class RunConflict(UserError):  # noqa: N818
    """What is to be stored contradicts what is: resuming gave another batch, trial or result than before.

    So the machine, the versions or the data are not those that the run was started with.
    """


class RunStore:
    """A run directory, opened by `RunStore.open` (to drive it) or `RunStore.read`.

    A context manager that closes it; any thread may use it.

    Attributes:
        facts: What the run knows beside trials, typed.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: DriverLock | None) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._mutex = threading.RLock()
        self.facts = Facts(self)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        config: Mapping[str, Any] | None,
        growing: Collection[str] = (),
    ) -> RunStore:
        """Create a run in `path`, or resume the one that is there, as its only driver.

        A run that has picked no batch yet has nothing to lose: it starts over with another configuration.

        Args:
            path: Directory of the run; made when it is not there.
            config: Configuration in JSON types; None resumes with whatever is stored.
            growing: Keys of the configuration of which a resumed run may have other values.

        Raises:
            UserError: The run has another driver, another configuration (every difference is named) or
                another format; the directory holds other things; or there is no run and `config` is None.
        """
        path = expanded(path)
        given = None if config is None else json.loads(database.dump(dict(config)))
        try:
            check_directory(path, create=given is not None)
            path.mkdir(parents=True, exist_ok=True)
            lock = DriverLock(path)
        except OSError as error:
            raise UserError(f"{path} cannot hold a run ({error}): name a directory to write to") from error
        try:
            connection = database.connect_for_writing(path / database.DATABASE_FILE, lock.locks)
            try:
                run = cls(path, connection, lock)
                with run._legible():
                    run._begin(given, growing)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.release()
            raise
        return run

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RunStore:
        """Open the run in `path` for reading.

        Raises:
            UserError: There is no run, or one of another format.
        """
        path = expanded(path)
        file = path / database.DATABASE_FILE
        if not file.is_file():
            raise UserError(f"{path} holds no run: name a directory that `narsfast run` made")
        connection = database.connect_for_reading(file, disk_has_locks(path))
        try:
            if not database.is_initialized(connection, file):
                raise UserError(f"{path} holds a run that stopped before it was stored: start it again")
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, None)

    @classmethod
    def stored_config(cls, path: str | os.PathLike[str]) -> dict[str, Any] | None:
        """Return the configuration of the run in `path`, None when there is no run.

        Raises:
            UserError: It is one of another format.
        """
        path = expanded(path)
        file = path / database.DATABASE_FILE
        if not file.is_file():
            return None
        with closing(database.connect_for_reading(file, disk_has_locks(path))) as connection:
            if not database.is_initialized(connection, file):
                return None
            return cls(path, connection, None).config

    def _begin(self, given: Mapping[str, Any] | None, growing: Collection[str]) -> None:
        if not database.is_initialized(self._connection, self._path / database.DATABASE_FILE):
            if given is None:
                raise UserError(f"{self._path} holds no run to resume: start one with a configuration")
            database.initialize(self._connection, given)
        elif given is not None and differences(self.config, given):
            fixed = [{key: held[key] for key in held if key not in growing} for held in (self.config, given)]
            if self.batches() and (different := differences(*fixed)):
                raise UserError(
                    f"{self._path} holds a run of another configuration: {'; '.join(different)}; "
                    "give the stored values or name another directory"
                )
            if self.batches():
                database.change_config(self._connection, given)
            else:
                database.restart(self._connection, given)
        database.upgrade(self._connection)
        with database.writing(self._connection):
            self._connection.execute("DELETE FROM in_flight")
        remove_partial(self._path)

    def close(self) -> None:
        """Close the database and let go of the run; a second call does nothing."""
        with self._mutex:
            self._connection.close()
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self._path

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, as JSON types and in the present names of its fields."""
        with self._legible():
            stored = {key: json.loads(value) for key, value in self._rows("SELECT key, value FROM config")}
            return upgrade_stored(stored)

    def change_option(self, key: str, value: Any) -> None:
        """Store another value of one option, in JSON types."""
        with self._writing() as execute:
            execute("UPDATE config SET value = ? WHERE key = ?", (database.dump(value), key))

    def fact(self, key: str) -> Any:
        """Return the fact stored under `key`, as JSON types; None when there is none."""
        with self._legible(f", fact {key}"):
            rows = self._rows("SELECT value FROM facts WHERE key = ?", key)
            return json.loads(rows[0][0]) if rows else None

    @_persistent
    def put_fact(self, key: str, value: Any) -> None:
        """Store a fact in JSON types (numpy numbers and arrays are converted); the last value holds."""
        with self._writing() as execute:
            execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, database.dump(value)))

    @_persistent
    def add_batch(self, index: int, epochs: int, candidates: Sequence[PickedCandidate]) -> None:
        """Store a batch; do nothing when the same is stored already.

        Raises:
            RunConflict: The batch is stored with other content.
        """
        rows = [
            (
                index,
                position,
                picked.candidate,
                database.dump([int(gene) for gene in picked.genes]),
                database.dump(dict(picked.architecture)),
                database.dump(dict(picked.recipe)),
                None if picked.score is None else float(picked.score),
            )
            for position, picked in enumerate(candidates)
        ]
        with self._writing() as execute:
            known = execute("SELECT epochs FROM batches WHERE number = ?", (index,)).fetchone()
            if known is None:
                execute("INSERT INTO batches VALUES (?, ?)", (index, epochs))
                for row in rows:
                    execute("INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                    execute(  # left by a batch that was forgotten
                        "DELETE FROM trials WHERE purpose = 'search' AND candidate = ? AND epochs != ?",
                        (row[2], epochs),
                    )
                return
            stored = execute("SELECT * FROM members WHERE batch = ? ORDER BY position", (index,)).fetchall()
            if known[0] != epochs or stored != rows:
                raise RunConflict(f"batch {index} of {self._path} is stored with other content; {_CHANGED}")

    def batches(self) -> list[Batch]:
        """Return the batches in order."""
        with self._mutex, self._legible(), database.reading(self._connection):
            batches = self._rows("SELECT number, epochs FROM batches ORDER BY number")
            candidates: dict[int, list[PickedCandidate]] = {number: [] for number, _ in batches}
            for batch, candidate, genes, architecture, recipe, score in self._rows(
                "SELECT batch, candidate, genes, architecture, recipe, score FROM members"
                " ORDER BY batch, position"
            ):
                picked = {
                    "candidate": candidate,
                    "genes": json.loads(genes),
                    "architecture": json.loads(architecture),
                    "recipe": json.loads(recipe),
                    "score": score,
                }
                candidates[batch].append(checked(PickedCandidate, picked))
            return [
                checked(Batch, {"index": number, "epochs": epochs, "candidates": tuple(candidates[number])})
                for number, epochs in batches
            ]

    @_persistent
    def started(self, candidate: str, purpose: Purpose, epochs: int) -> None:
        """Note that a training is under way, for `state`, until it ends or the run is opened again."""
        with self._writing() as execute:
            execute(
                "INSERT OR REPLACE INTO in_flight VALUES (?, ?, ?, ?)",
                (purpose, candidate, epochs, time.time()),
            )

    @_persistent
    def add_trial(self, trial: Trial, purpose: Purpose) -> None:
        """Store a training that has ended; do nothing when it is stored with the same curve and outcome.

        One that ended well and goes on takes the place of its beginning, whose epochs stay known where it ends badly.

        Raises:
            RunConflict: The candidate is stored for this purpose with another curve, outcome or number of
                epochs.
        """
        curve = curve_text(trial)
        with self._writing() as execute:
            execute("DELETE FROM in_flight WHERE purpose = ? AND candidate = ?", (purpose, trial.candidate))
            stored = execute(
                "SELECT epochs, curve, outcome, seconds, metrics FROM trials WHERE purpose = ? AND candidate = ?",
                (purpose, trial.candidate),
            ).fetchone()
            begun = stored is not None and _goes_on(trial, *stored[:3])
            if stored is None or begun:
                row = (
                    continued_row(trial, purpose, stored[1], *stored[3:])
                    if begun
                    else trial_row(trial, purpose)
                )
                execute("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            elif stored[:3] != (trial.epochs, curve, trial.outcome):
                raise RunConflict(
                    f"the {purpose} trial of candidate {trial.candidate} in {self._path} "
                    f"is stored with other content; {_CHANGED}"
                )

    def trials(self, purpose: Purpose) -> list[Trial]:
        """Return the trials for one purpose, sorted by candidate id (so that the order of ending does not show)."""
        if purpose not in get_args(Purpose):
            raise ValueError(f"purpose is one of {get_args(Purpose)}, got {purpose!r}")
        with self._legible(), self._mutex:
            return read_trials(self._connection, purpose)

    @_persistent
    def add_result(self, result: Result) -> None:
        """Store a line of the final table; do nothing when the same is stored.

        Raises:
            RunConflict: The budget has another result.
        """
        row = (
            result.budget,
            result.candidate,
            int(result.macs),
            int(result.params),
            float(result.predicted),
            float(result.validation),
            float(result.test),
            result.directory,
        )
        with self._writing() as execute:
            stored = execute(f"SELECT {_RESULT} FROM results WHERE budget = ?", (result.budget,)).fetchone()
            if stored is None:
                execute(f"INSERT INTO results ({_RESULT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            elif stored != row:
                raise RunConflict(
                    f"the result of budget {result.budget} in {self._path} is stored with other content"
                )

    def results(self) -> list[Result]:
        """Return the final table, in the order added."""
        with self._legible():
            rows = self._rows(f"SELECT {_RESULT} FROM results ORDER BY position")
            return [checked(Result, dict(zip(_RESULT.split(", "), row, strict=True))) for row in rows]

    def state(self) -> RunState:
        """Return where the run stands."""
        with self._mutex, self._legible(), database.reading(self._connection):
            return read_state(self._rows, self.facts, self.path)

    def copy_to(self, file: str | os.PathLike[str]) -> None:
        """Write a copy of the database to `file`, one consistent state even while the driver writes.

        Raises:
            UserError: `file` exists.
        """
        file = Path(file)
        if file.exists():
            raise UserError(f"{file} exists: name a file that does not")
        with replacing(file) as temporary, closing(sqlite3.connect(temporary)) as copy:
            with self._mutex:
                self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # a single file, readable from a read-only directory

    def _legible(self, part: str = "") -> AbstractContextManager[None]:
        return legible(f"{self._path / database.DATABASE_FILE}{part}", self._path)

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._mutex:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        if self._lock is None:
            raise RuntimeError(f"{self._path} was opened for reading")
        try:
            with machine_errors(self._path), self._mutex, database.writing(self._connection):
                yield self._connection.execute
        except sqlite3.DatabaseError as error:
            if type(error) not in (sqlite3.DatabaseError, sqlite3.OperationalError):
                raise  # what was to be stored is wrong, not where
            raise damaged(self._path / database.DATABASE_FILE, error) from error
