"""The rules and the dashboard that are shipped: promtool on every rule, a real Prometheus on a real cluster for every query."""

from __future__ import annotations

import json
import pathlib
import re
import socket
import subprocess
import time
import typing as t

import pytest
import yaml
from ansible_collections.resilient.platform.plugins.module_utils._evidence.render_metrics import render
from openbao import Kms, Process, free_port, session, wait_for
from openbao_runner import Fleet
from prometheus import tool

pytestmark = pytest.mark.server
SHIPPED = pathlib.Path(__file__).resolve().parents[3] / "docs/monitoring"
RULES = yaml.safe_load((SHIPPED / "vault.rules.yml").read_text(encoding="utf-8"))
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
DASHBOARD = json.loads((SHIPPED / "vault.dashboard.json").read_text(encoding="utf-8"))
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
PLATFORM = 'environment="lab", operation='
# What a healthy cluster tells: names and labels as real servers have them. Its new leader has the stale series of facts/vault.md.
HEALTHY = {
    'up{job="vault", instance="a"}': "1x9000",
    'up{job="vault", instance="b"}': "1x9000",
    'up{job="vault", instance="c"}': "1x9000",
    'vault_core_unsealed{job="vault", instance="a", cluster=""}': "0x9000",
    'vault_core_unsealed{job="vault", instance="a", cluster="vault"}': "1x9000",
    'vault_core_unsealed{job="vault", instance="b", cluster="vault"}': "1x9000",
    'vault_core_unsealed{job="vault", instance="c", cluster="vault"}': "1x9000",
    'vault_core_active{job="vault", instance="a", cluster=""}': "0x9000",
    'vault_core_active{job="vault", instance="a", cluster="vault"}': "1x9000",
    'vault_core_active{job="vault", instance="b", cluster="vault"}': "0x9000",
    'vault_core_active{job="vault", instance="c", cluster="vault"}': "0x9000",
    'vault_autopilot_failure_tolerance{job="vault", instance="a"}': "1x9000",
    'vault_autopilot_healthy{job="vault", instance="a"}': "1x9000",
    'vault_autopilot_node_healthy{job="vault", instance="a", node_id="n2"}': "1x9000",
    # A sawtooth is what a healthy follower under load looks like.
    'vault_raft_storage_follower_applied_index_delta{job="vault", instance="a", peer_id="n2"}': "3 7 2 0 " * 40,
    'vault_raft_storage_follower_last_heartbeat_ms{job="vault", instance="a", peer_id="n2"}': "500x9000",
    'vault_raft_state_candidate{job="vault", instance="a"}': "2x9000",
    'vault_raft_leader_lastContact{job="vault", instance="a", quantile="0.99"}': "68x9000",
    'vault_raft_commitTime{job="vault", instance="a", quantile="0.99"}': "NaN 9 NaN 12 " * 40,
    'vault_audit_log_request_failure{job="vault", instance="a"}': "0x9000",
    'vault_audit_log_response_failure{job="vault", instance="a"}': "0x9000",
    'vault_expire_num_irrevocable_leases{job="vault", instance="a"}': "0x9000",
    'vault_expire_num_leases{job="vault", instance="a"}': "20x9000",
    'vault_token_count_by_ttl{job="vault", instance="a", cluster="vault", creation_ttl="1h"}': "5x9000",
    'vault_raft_storage_bolt_freelist_free_pages{job="vault", instance="a", database="fsm"}': "3x9000",
    f'resilient_platform_recovery_point_taken_timestamp_seconds{{{PLATFORM}"backup", asset="vault", id="p"}}': "0x9000",
    f'resilient_platform_run_verified{{{PLATFORM}"backup"}}': "1x9000",
    f'resilient_platform_run_verified{{{PLATFORM}"vault_drill"}}': "1x9000",
    f'resilient_platform_run_verified_timestamp_seconds{{{PLATFORM}"vault_drill"}}': "0x9000",
    f'resilient_platform_rto_seconds{{{PLATFORM}"vault_drill", asset="vault"}}': "60x9000",
    f'resilient_platform_rto_target_seconds{{{PLATFORM}"vault_drill", asset="vault"}}': "600x9000",
}
# What is different when something is wrong, by the alert that has to tell of it; None: the series is gone.
FAULTS: dict[str, dict[str, str | None]] = {
    "VaultSealed": {'vault_core_unsealed{job="vault", instance="b", cluster="vault"}': "0x9000"},
    "VaultNodeDown": {'up{job="vault", instance="c"}': "0x9000"},
    "VaultNoLeader": {'vault_core_active{job="vault", instance="a", cluster="vault"}': "0x9000"},
    "VaultTwoLeaders": {'vault_core_active{job="vault", instance="b", cluster="vault"}': "1x9000"},
    "VaultNoFailureTolerance": {'vault_autopilot_failure_tolerance{job="vault", instance="a"}': "0x9000"},
    "VaultAutopilotSilent": {'vault_autopilot_healthy{job="vault", instance="a"}': None},
    "VaultNodeUnhealthy": {'vault_autopilot_node_healthy{job="vault", instance="a", node_id="n2"}': "0x9000"},
    "VaultFollowerLags": {'vault_raft_storage_follower_applied_index_delta{job="vault", instance="a", peer_id="n2"}': "5+1x9000"},
    "VaultFollowerSilent": {'vault_raft_storage_follower_last_heartbeat_ms{job="vault", instance="a", peer_id="n2"}': "20000x9000"},
    "VaultLeaderFlaps": {'vault_raft_state_candidate{job="vault", instance="a"}': "1+1x9000"},
    "VaultLeaderContactSlow": {'vault_raft_leader_lastContact{job="vault", instance="a", quantile="0.99"}': "900x9000"},
    "VaultCommitSlow": {'vault_raft_commitTime{job="vault", instance="a", quantile="0.99"}': "400x9000"},
    "VaultAuditFails": {'vault_audit_log_request_failure{job="vault", instance="a"}': "0+1x9000"},
    "VaultSealUnreachable": {'vault_seal_unreachable_time{job="vault", instance="a"}': "60+60x9000"},
    "VaultIrrevocableLeases": {'vault_expire_num_irrevocable_leases{job="vault", instance="a"}': "2x9000"},
    "VaultLeasesGrow": {'vault_expire_num_leases{job="vault", instance="a"}': "20+50x9000"},
    "VaultImmortalTokens": {'vault_token_count_by_ttl{job="vault", instance="a", cluster="vault", creation_ttl="+Inf"}': "1x9000"},
    "VaultDatabaseBloat": {'vault_raft_storage_bolt_freelist_free_pages{job="vault", instance="a", database="fsm"}': "400000x9000"},
    "VaultBackupTooOld": {},
    "VaultBackupNotTold": {f'resilient_platform_recovery_point_taken_timestamp_seconds{{{PLATFORM}"backup", asset="vault", id="p"}}': None},
    "VaultBackupFailed": {f'resilient_platform_run_verified{{{PLATFORM}"backup"}}': "0x9000"},
    "VaultRestoreUnproved": {f'resilient_platform_run_verified_timestamp_seconds{{{PLATFORM}"vault_drill"}}': "-3100000x9000"},
    "VaultDrillFailed": {f'resilient_platform_run_verified{{{PLATFORM}"vault_drill"}}': "0x9000"},
    "VaultRecoveryTooSlow": {f'resilient_platform_rto_seconds{{{PLATFORM}"vault_drill", asset="vault"}}': "900x9000"},
}
LATE = {"VaultBackupTooOld": "27h", "VaultLeasesGrow": "26h"}


def scenario(name: str, changes: t.Mapping[str, str | None], at: str, firing: t.Sequence[str]) -> dict[str, t.Any]:
    series = {key: value for key, value in {**HEALTHY, **changes}.items() if value is not None}
    return {
        "name": name,
        "interval": "1m",
        "input_series": [
            {"series": key, "values": value if at.startswith("2") and "m" not in at else value.replace("x9000", "x160")} for key, value in series.items()
        ],
        "promql_expr_test": [{
            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": at,
            "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in firing],
        }],
    }


def promtool(directory: pathlib.Path, *tests: dict[str, t.Any]) -> subprocess.CompletedProcess[str]:
    (directory / "test.yml").write_text(yaml.safe_dump({"rule_files": [str(SHIPPED / "vault.rules.yml")], "evaluation_interval": "1m", "tests": list(tests)}))
    return subprocess.run([tool("promtool"), "test", "rules", str(directory / "test.yml")], capture_output=True, text=True, check=False, timeout=120)


def test_every_rule_has_its_fault() -> None:
    assert set(FAULTS) == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning") and set(rule["annotations"]) == {"summary", "action"}, name


def test_a_healthy_cluster_fires_nothing_though_its_leader_tells_a_stale_series(tmp_path: pathlib.Path) -> None:
    quiet = [scenario(f"healthy at {at}", {}, at, []) for at in ("3m", "30m", "2h30m")]
    copied = scenario("the copied rule", {}, "30m", [])
    copied["promql_expr_test"] = [{"expr": "count(vault_core_unsealed == 0)", "eval_time": "30m", "exp_samples": [{"labels": "{}", "value": 1}]}]
    done = promtool(tmp_path, *quiet, copied)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_fault_fires_its_rule_and_no_other(tmp_path: pathlib.Path) -> None:
    done = promtool(tmp_path, *(scenario(name, changes, "2h30m", [name]) for name, changes in FAULTS.items() if name not in LATE))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_takes_a_day_fires_after_it(tmp_path: pathlib.Path) -> None:
    wanted = [scenario(name, FAULTS[name], at, []) for name, at in LATE.items()]
    for test in wanted:
        query = f'count(ALERTS{{alertstate="firing", alertname="{test["name"]}"}})'
        test["promql_expr_test"][0] |= {"expr": query, "exp_samples": [{"labels": "{}", "value": 1}]}
    done = promtool(tmp_path, *wanted)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_test_that_expects_the_wrong_thing_is_red(tmp_path: pathlib.Path) -> None:
    assert promtool(tmp_path, scenario("wrong", FAULTS["VaultSealed"], "30m", ["VaultNodeDown"])).returncode != 0


@pytest.fixture(scope="module")
def asked(shared_fleet: Fleet, kms: Kms, module_dir: pathlib.Path) -> t.Iterator[t.Callable[[str], list[t.Any]]]:
    """Ask a Prometheus that has scraped a cluster of three."""
    nodes = shared_fleet.make(kms=kms, size=3, prefix="watched", start=False)
    for node in nodes:
        node.telemetry = True
        node.audit = module_dir / f"{node.name}.audit"
    nodes[0].start()
    vault = shared_fleet.vault(nodes[0]).initialise("watched.json")
    for node in nodes[1:]:
        node.start()
    for node in nodes:
        vault.run("vault_unseal", at=node, wait_timeout=60)
    vault.enable_kv()
    for ttl in ("1h", "24h"):  # without a token that has a lease nothing is counted
        assert nodes[0].call("POST", "auth/token/create", {"ttl": ttl}, token=vault.token).status_code == 200
    # What a run of the collection writes, as the node exporter would tell it.
    row = {"asset": "vault", "rto_seconds": 60.0, "rto_target_seconds": 600, "rpo_seconds": 5.0, "rpo_target_seconds": 900}
    text = b""
    for operation in ("backup", "vault_drill"):
        text += render({"run": {"environment": "lab", "operation": operation, "id": "r", "ended_at": "2026-11-21T10:00:00.000000Z"}, "verdict": "verified",
                        "assets": [row], "canaries": [{"store": "vault", "recovered": 5, "lost": 0, "phantom": 0}], "checks": [], "phases": [],
                        "recovery_points": [{"asset": "vault", "id": "p", "size_bytes": 1, "taken_at": "2026-11-21T09:59:00.000000Z"}]})
    lines = list(dict.fromkeys(text.decode().splitlines()))
    web = module_dir / "web"
    web.mkdir()
    (web / "metrics").write_text("\n".join(lines) + "\n")
    port, exporter = free_port(), free_port()
    textfile = Process(["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(web), str(exporter)], module_dir / "web.log")
    textfile.start()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(SHIPPED / "vault.rules.yml")],
        "scrape_configs": [
            {"job_name": "vault", "metrics_path": "/v1/sys/metrics", "params": {"format": ["prometheus"]},
             "static_configs": [{"targets": [f"127.0.0.1:{node.port}" for node in nodes]}]},
            {"job_name": "textfile", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]},
        ],
    }
    (module_dir / "prometheus.yml").write_text(yaml.safe_dump(config))
    server = Process([str(tool("prometheus")), f"--config.file={module_dir / 'prometheus.yml'}", f"--storage.tsdb.path={module_dir / 'tsdb'}",
                      f"--web.listen-address=127.0.0.1:{port}"], module_dir / "prometheus.log")
    server.start()

    def ask(query: str) -> list[t.Any]:
        answer = session().get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, timeout=10)
        assert answer.status_code == 200, f"{query}: {answer.text}"
        return list(answer.json()["data"]["result"])

    try:
        wait_for(lambda: reachable(port) and session().get(f"http://127.0.0.1:{port}/-/ready", timeout=5).status_code == 200, "Prometheus")
        end = time.monotonic() + 60
        number = 0
        # Tokens are counted every ten seconds here; summaries want something to measure.
        wanted = {"vault_token_count_by_ttl", "vault_autopilot_failure_tolerance == 1", "vault_raft_commitTime > 0"}
        while lacking := [query for query in wanted if not ask(query)]:
            assert time.monotonic() < end, f"the cluster does not tell {lacking}"
            vault.put(f"write-{number}", "x")
            number += 1
            time.sleep(0.2)
        yield ask
    finally:
        server.stop(kill=True)
        textfile.stop(kill=True)


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_every_query_of_the_dashboard_has_an_answer_on_a_real_cluster(asked: t.Callable[[str], list[t.Any]]) -> None:
    assert len(QUERIES) >= 15
    chosen = {"$job": "vault", "$environment": "lab", "$__rate_interval": "10s"}
    empty = []
    for title, query in QUERIES:
        for variable, value in chosen.items():
            query = query.replace(variable, value)
        if not asked(query):
            empty.append(f"{title}: {query}")
    assert empty == []


def test_every_metric_of_rules_and_dashboard_is_told_by_a_real_cluster(asked: t.Callable[[str], list[t.Any]]) -> None:
    used = {name for query in [*(rule["expr"] for rule in ALERTS.values()), *(query for _title, query in QUERIES)]
            for name in re.findall(r"\b(?:vault|resilient_platform)_[A-Za-z0-9_]+", query) if "drill" not in name}
    told = {row["metric"]["__name__"] for row in asked('{__name__=~"vault_.*|resilient_platform_.*"}')}
    # Only told once it has happened (facts/vault.md section 4 saw them when the key service was taken away).
    assert sorted(used - told) == ["vault_seal_encrypt_error", "vault_seal_unreachable_time"]


def test_the_rules_are_quiet_on_a_real_cluster(asked: t.Callable[[str], list[t.Any]]) -> None:
    quiet = {"VaultImmortalTokens", "VaultBackupTooOld", "VaultRestoreUnproved"}  # a root token, and the made-up times of this test
    fired = {row["metric"]["alertname"] for row in asked('ALERTS{alertstate="firing"}')}
    assert fired <= quiet, fired
