"""The storage of a run: fast commits that a killed process does not lose."""

from pathlib import Path

from sqlalchemy import text

from search.runs.study import open_storage


def test_every_connection_to_sqlite_writes_ahead(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    with storage.engine.connect() as first, storage.engine.connect() as second:
        for connection in (first, second):
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 1
