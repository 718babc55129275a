"""``alert``: what the NAS complains about, made from the state of things."""

from __future__ import annotations

from typing import Any

from lab.nas.server import ejson
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.registry import method
from lab.nas.server.schema import Model

Entry = dict[str, Any]


def _alert(kind: str, level: str, key: str, text: str) -> Entry:
    now = ejson.now()
    return {"uuid": f"{kind}-{key}", "source": "", "klass": kind, "args": {}, "node": "Controller A", "key": key, "datetime": now, "last_occurrence": now,
            "dismissed": False, "mail": None, "text": text, "id": f"{kind}-{key}", "level": level, "formatted": text, "one_shot": False}


def alerts(mw: Middleware) -> list[Entry]:
    """Return the alerts: failed replications (ERROR and enabled only), revoked keys, sick or lost pools."""
    found = []
    for task in mw.store.table("replication"):
        state = task.get("state") or {}
        if task["enabled"] and state.get("state") == "ERROR":
            found.append(_alert("ReplicationFailed", "CRITICAL", str(task["id"]), f"Replication \"{task['name']}\" failed: {state.get('error')}"))
    for task in mw.store.table("snapshottask"):
        state = task.get("state") or {}
        if task["enabled"] and state.get("state") == "ERROR":
            found.append(_alert("SnapshotFailed", "CRITICAL", str(task["id"]), f"Snapshot Task For Dataset \"{task['dataset']}\" failed: {state['error']}"))
    for key in mw.store.table("api_key"):
        if key["revoked"]:
            found.append(_alert("ApiKeyRevoked", "WARNING", str(key["id"]), f"{key['name']}: API key has been revoked: {key['revoked_reason']}"))
    health = mw.zfs.pools()
    for pool in mw.store.table("pool"):
        status = health.get(pool["name"], "OFFLINE")
        if status != "ONLINE":
            found.append(_alert("VolumeStatus", "CRITICAL", pool["name"], f"Pool {pool['name']} state is {status}"))
    dismissed = set(mw.store.value("dismissed_alerts", []))
    return [{**one, "dismissed": one["uuid"] in dismissed} for one in found]


@method("alert.list")
def list_(call: Call) -> Any:
    """All alerts."""
    return alerts(call.mw)


class UuidArgs(Model):
    """Arguments of dismiss and restore."""

    uuid: str


@method("alert.dismiss", UuidArgs)
def dismiss(call: Call, uuid: str) -> Any:
    """Mark an alert as seen."""
    call.mw.store.set_value("dismissed_alerts", sorted({*call.mw.store.value("dismissed_alerts", []), uuid}))


@method("alert.restore", UuidArgs)
def restore(call: Call, uuid: str) -> Any:
    """Mark an alert as not seen."""
    call.mw.store.set_value("dismissed_alerts", [one for one in call.mw.store.value("dismissed_alerts", []) if one != uuid])
