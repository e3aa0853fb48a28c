"""The SQLite file of a run: its tables, opening it for writing or reading, JSON in its columns."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from narsfast.common.machine import machine_error
from narsfast.errors import UserError

from ._legible import damaged

DATABASE_FILE = "run.db"
VERSION = 3
_UPGRADES = {2: ("ALTER TABLE trials ADD COLUMN metrics TEXT",)}
"""What makes a database of one format one of the next. Format 2 is that of versions 0.1 and 0.2."""
_APPLICATION = 0x6E617273  # "nars", in the header of the file
_TIMEOUT = 30.0  # seconds to wait for a lock of SQLite's own

_TABLES = (
    "CREATE TABLE config (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE batches (number INTEGER PRIMARY KEY, epochs INTEGER NOT NULL)",
    """CREATE TABLE members (
        batch INTEGER NOT NULL REFERENCES batches, position INTEGER NOT NULL, candidate TEXT NOT NULL,
        genes TEXT NOT NULL, architecture TEXT NOT NULL, recipe TEXT NOT NULL, score REAL,
        PRIMARY KEY (batch, position)) WITHOUT ROWID""",
    """CREATE TABLE trials (
        purpose TEXT NOT NULL CHECK (purpose IN ('search', 'final', 'baseline')), candidate TEXT NOT NULL,
        epochs INTEGER NOT NULL, curve TEXT NOT NULL, outcome TEXT NOT NULL, seconds REAL NOT NULL,
        message TEXT NOT NULL, metrics TEXT, PRIMARY KEY (purpose, candidate)) WITHOUT ROWID""",
    """CREATE TABLE in_flight (
        purpose TEXT NOT NULL CHECK (purpose IN ('search', 'final', 'baseline')), candidate TEXT NOT NULL,
        epochs INTEGER NOT NULL, since REAL NOT NULL, PRIMARY KEY (purpose, candidate)) WITHOUT ROWID""",
    """CREATE TABLE results (
        position INTEGER PRIMARY KEY, budget TEXT NOT NULL UNIQUE, candidate TEXT NOT NULL, macs INTEGER NOT
        NULL, params INTEGER NOT NULL,
        predicted REAL NOT NULL, validation REAL NOT NULL, test REAL NOT NULL, directory TEXT NOT NULL)""",
    "CREATE TABLE updated (only INTEGER PRIMARY KEY CHECK (only = 0), time REAL NOT NULL)",
)


def connect_for_writing(file: Path, locks: bool = True) -> sqlite3.Connection:
    """Open or create `file`: write-ahead log, every commit on the disk before it returns.

    Args:
        file: The database.
        locks: Whether its disk has locks. Where not, the database has a journal in the place of the log, and readers
            make copies.

    Raises:
        MachineError: The disk is full, or out of reach.
        UserError: The file is no SQLite database.
    """
    try:
        if locks:
            return _configured(_connect(file, "rwc"), "PRAGMA journal_mode = WAL")
        alone = _connect(file, "rwc&vfs=unix-none")
        return _configured(alone, "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        raise (machine_error(error, file.parent) or _not_a_run(file, error)) from error


def _configured(connection: sqlite3.Connection, *pragmas: str) -> sqlite3.Connection:
    """Set what holds for one connection; close it where that fails."""
    try:
        for pragma in (*pragmas, "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON"):
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def connect_for_reading(file: Path, locks: bool = True) -> sqlite3.Connection:
    """Open `file` read only, while a driver writes, after it was killed, and from a read-only directory.

    Args:
        file: The database.
        locks: Whether its disk has locks.

    Raises:
        MachineError: It cannot be reached.
        UserError: The file is no SQLite database.
    """
    try:
        if not locks:
            return _read_into_memory(file)
        connection = _connect(file, "ro")
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError:
            # A directory that cannot be written to has no place for the shared index of a write-ahead log.
            connection.close()
            connection = _read_into_memory(file)
    except sqlite3.DatabaseError as error:
        raise (machine_error(error, file.parent) or _not_a_run(file, error)) from error
    return connection


def _read_into_memory(file: Path) -> sqlite3.Connection:
    """Copy a database with its log or journal to where both can be used, and read it from there into memory."""
    with tempfile.TemporaryDirectory(prefix="narsfast-") as folder:
        for name in (file.name, f"{file.name}-wal", f"{file.name}-journal"):
            if file.with_name(name).exists():
                shutil.copyfile(file.with_name(name), Path(folder, name))
        with closing(_connect(Path(folder, file.name), "rw&vfs=unix-none")) as copy:
            copy.execute("PRAGMA locking_mode = EXCLUSIVE")  # without locks, a log is read in no other mode
            memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            copy.backup(memory)
    return memory


def initialize(connection: sqlite3.Connection, config: Mapping[str, Any]) -> None:
    """Make the tables and store the configuration, in one transaction."""
    with writing(connection):
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        _store_config(connection, config)


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring a database of an earlier format to the present one, in one transaction."""
    version = _version(connection)
    if version == VERSION:
        return
    with writing(connection):
        for step in range(version, VERSION):
            for statement in _UPGRADES[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    """Tell whether a table has a column, which one of an earlier format that is only read may lack."""
    return any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})"))


def restart(connection: sqlite3.Connection, config: Mapping[str, Any]) -> None:
    """Store another configuration and forget all facts, in one transaction."""
    with writing(connection):
        connection.execute("DELETE FROM config")
        connection.execute("DELETE FROM facts")
        _store_config(connection, config)


def change_config(connection: sqlite3.Connection, config: Mapping[str, Any]) -> None:
    """Store another configuration of the same run, in one transaction."""
    with writing(connection):
        connection.execute("DELETE FROM config")
        _store_config(connection, config)


def _store_config(connection: sqlite3.Connection, config: Mapping[str, Any]) -> None:
    connection.executemany("INSERT INTO config VALUES (?, ?)", [(key, dump(config[key])) for key in config])


def is_initialized(connection: sqlite3.Connection, file: Path) -> bool:
    """Tell whether `initialize` was done, in a format that this version of the store reads.

    Raises:
        UserError: The tables are another program's or another version's.
    """
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        version = _version(connection)
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise (machine_error(error, file.parent) or damaged(file, error)) from error
    if (application, version, tables) == (0, 0, 0):
        return False
    if application != _APPLICATION:
        raise _not_a_run(file, "another program's database")
    if version not in (*_UPGRADES, VERSION):
        raise UserError(
            f"{file} has format {version} and this narsfast reads formats {min(_UPGRADES)} to {VERSION}: "
            "use the narsfast that made the run"
        )
    return True


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """Run one transaction that writes, and note the time."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("INSERT OR REPLACE INTO updated VALUES (0, ?)", (time.time(),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has already rolled back when, for one, the disk is full
            connection.execute("ROLLBACK")
        raise


@contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """Run several queries on one state of the database."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def dump(value: Any) -> str:
    """Write JSON text in the order of the keys, which may mean something; numpy scalars and arrays become plain."""
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"cannot be stored as JSON: {value!r}")


def _connect(file: Path, mode: str) -> sqlite3.Connection:
    # The store guards its connection with a lock of its own, so that any thread may use it.
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )


def _not_a_run(file: Path, reason: object) -> UserError:
    return UserError(
        f"{file} cannot be used as the database of a run ({reason}): name the directory of a run"
    )
