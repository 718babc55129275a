"""The NAS's configuration database: tables of plain entries in one JSON file, written whole or not at all."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from lab.state import write_private

Entry = dict[str, Any]


class Store:
    """Tables by name. Whoever changes entries holds ``lock`` and calls ``save``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        try:
            self._data: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            self._data = {"tables": {}, "ids": {}, "values": {}}

    def table(self, name: str) -> list[Entry]:
        """Return a table's list itself: changes to it are kept by the next ``save``."""
        found: list[Entry] = self._data["tables"].setdefault(name, [])
        return found

    def value(self, name: str, default: Any = None) -> Any:
        """Return a single stored value."""
        return self._data["values"].get(name, default)

    def set_value(self, name: str, value: Any) -> None:
        """Store a single value."""
        with self.lock:
            self._data["values"][name] = value
            self.save()

    def next_id(self, name: str) -> int:
        """Return a number that this table has never used."""
        with self.lock:
            self._data["ids"][name] = int(self._data["ids"].get(name, 0)) + 1
            return int(self._data["ids"][name])

    def find(self, name: str, key: int) -> Entry | None:
        """Return the entry with this id, or None."""
        return next((entry for entry in self.table(name) if entry["id"] == key), None)

    def insert(self, name: str, entry: Entry) -> Entry:
        """Give the entry an id, add it and save."""
        with self.lock:
            stored = {"id": self.next_id(name), **entry}
            self.table(name).append(stored)
            self.save()
            return stored

    def update(self, name: str, key: int, values: Entry) -> Entry:
        """Change an entry and save. KeyError if it is gone."""
        with self.lock:
            entry = self.find(name, key)
            if entry is None:
                raise KeyError(f"{name} {key}")
            entry.update(values)
            self.save()
            return entry

    def delete(self, name: str, key: int) -> None:
        """Remove an entry, if it is there, and save."""
        with self.lock:
            table = self.table(name)
            table[:] = [entry for entry in table if entry["id"] != key]
            self.save()

    def save(self) -> None:
        """Write the file: a reader and a restarted server see the old state or the new one."""
        with self.lock:
            write_private(self.path, json.dumps(self._data, indent=1, sort_keys=True) + "\n")
