# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The page that ``render_html`` fills: one file, no network, no script; light, dark, narrow and printed."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --bg: #f6f7f9; --card: #fff; --text: #1a1f27; --dim: #5b6573; --line: #dfe3e9;
  --good: #12734a; --good-bg: #e3f4eb; --bad: #b3261e; --bad-bg: #fce8e6; --unsure: #8a5300; --unsure-bg: #fdf0da; --bar: #3b6fb6; }
@media (prefers-color-scheme: dark) { :root { --bg: #12161c; --card: #1a2029; --text: #e6eaf0; --dim: #9aa5b4; --line: #2d3643;
  --good: #6fd3a2; --good-bg: #12382a; --bad: #ff9b93; --bad-bg: #45191a; --unsure: #f4bf6b; --unsure-bg: #3f2d10; --bar: #6ea3ea; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 60px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 10px; }
p { margin: 0 0 8px; }
section, .banner { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; margin: 14px 0; }
.dim { color: var(--dim); }
.banner { border-left: 8px solid; }
.banner strong { font-size: 1.35rem; display: block; }
.verified { border-left-color: var(--good); background: var(--good-bg); } .verified strong { color: var(--good); }
.failed { border-left-color: var(--bad); background: var(--bad-bg); } .failed strong { color: var(--bad); }
.could_not_verify { border-left-color: var(--unsure); background: var(--unsure-bg); } .could_not_verify strong { color: var(--unsure); }
.banner ul { margin: 8px 0 0; padding-left: 20px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 14px 0; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.figure b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: 7px 10px 7px 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 600; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
td.num { font-variant-numeric: tabular-nums; white-space: nowrap; }
code, pre { font: .86em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
table + p, .axis + p { margin-top: 10px; }
pre { white-space: pre-wrap; background: var(--bg); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; margin: 8px 0; }
.tag { display: inline-block; border-radius: 999px; padding: 0 9px; font-size: .85rem; font-weight: 600; white-space: nowrap; }
.tag.good { color: var(--good); background: var(--good-bg); } .tag.bad { color: var(--bad); background: var(--bad-bg); }
.tag.unsure { color: var(--unsure); background: var(--unsure-bg); } .tag.none { color: var(--dim); border: 1px solid var(--line); }
.phase { display: grid; grid-template-columns: minmax(90px, 190px) 1fr 78px; gap: 10px; align-items: center; padding: 3px 0; }
.phase svg { width: 100%; height: 18px; display: block; background: var(--bg); border-radius: 4px; }
.phase rect { fill: var(--bar); } .phase .failed-bar { fill: var(--bad); } .phase .unfinished-bar { fill: var(--unsure); }
.phase .time { text-align: right; font-variant-numeric: tabular-nums; }
.axis { color: var(--dim); font-size: .82rem; } .axis span + span { float: right; }
details summary { cursor: pointer; color: var(--dim); }
@media (max-width: 680px) {
  main { padding: 12px 10px 40px; } section, .banner { padding: 13px 13px; }
  thead { position: absolute; left: -9999px; }
  table, tbody, tr, td { display: block; width: 100%; }
  tr { border-bottom: 1px solid var(--line); padding: 7px 0; } tbody tr:last-child { border-bottom: 0; }
  td, td.num { border: 0; padding: 1px 0 1px 116px; position: relative; min-height: 1.6em; white-space: normal; }
  td::before { content: attr(data-label); color: var(--dim); position: absolute; left: 0; width: 110px; }
  .phase { grid-template-columns: 92px 1fr 62px; gap: 7px; font-size: .88rem; }
}
@media print {
  :root { --bg: #fff; --card: #fff; --text: #000; --dim: #444; --line: #bbb; --good-bg: #fff; --bad-bg: #fff; --unsure-bg: #fff; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  section, .banner, .figure { break-inside: avoid-page; border-radius: 0; } section.long { break-inside: auto; } tr { break-inside: avoid; }
  .phase rect, .phase svg, .tag, .banner { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  details:not([open]) > *:not(summary) { display: block; }
}
"""

TEMPLATE = """\
{% macro tag(outcome) -%}
  {%- set look = {"passed": ("good", "✓"), "verified": ("good", "✓"), "met": ("good", "✓"), "failed": ("bad", "✗"), "missed": ("bad", "✗"),
    "skipped": ("unsure", "–"), "could_not_verify": ("unsure", "?"),
    "not_measured": ("unsure", "?"), "unfinished": ("unsure", "?")}.get(outcome, ("none", "")) -%}
  <span class="tag {{ look[0] }}">{{ look[1] }} {{ outcome | words }}</span>
{%- endmacro -%}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ r.run.operation | title }} of {{ r.run.environment }}: {{ r.verdict | words }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<header>
<h1>{{ r.run.operation | title }} of {{ r.run.environment }}</h1>
<p class="dim">Run <code>{{ r.run.id }}</code> · {{ r.run.started_at | moment }} to {{ r.run.ended_at | moment }}
{%- if r.run.resumed %} · resumed {{ r.run.resumed }} {{ "time" if r.run.resumed == 1 else "times" }}{% endif %}
{%- if not r.run.finished %} · <strong>not finished</strong>{% endif %}</p>
</header>

<div class="banner {{ r.verdict }}">
<strong>{{ {"verified": "✓ Verified", "failed": "✗ Failed", "could_not_verify": "? Could not verify"}[r.verdict] }}</strong>
{% if r.verdict == "verified" %}<span>Every required check passed, data was checked, and every objective was met.</span>{% endif %}
{% if r.reasons %}<ul>{% for reason in r.reasons %}<li>{{ reason }}</li>{% endfor %}</ul>{% endif %}
</div>

<div class="figures">
{% if r.disaster %}
<div class="figure"><span class="dim">Recovery time (RTO)</span><b>{{ r.rto_seconds | span }}</b>
  <span class="dim">{% if platform.rto_target_seconds is not none %}target {{ platform.rto_target_seconds | span }},
  {% endif %}{{ r.clock }}{{ " clock" if r.clock == "monotonic" else "" }}</span></div>
<div class="figure"><span class="dim">Data loss (RPO)</span><b>{{ r.rpo_seconds | span }}</b>
  <span class="dim">{% if platform.rpo_target_seconds is not none %}target {{ platform.rpo_target_seconds | span }},
  {% endif %}from recovered data</span></div>
{% endif %}
<div class="figure"><span class="dim">Checks passed</span><b>{{ count.passed }} of {{ r.checks | length }}</b>
  <span class="dim">{{ count.failed }} failed, {{ count.skipped }} skipped</span></div>
<div class="figure"><span class="dim">Recovery points</span><b>{{ r.recovery_points | length }}</b>
  <span class="dim">{{ copies }} {{ "copy" if copies == 1 else "copies" }} read back</span></div>
</div>

{% if r.assets %}
<section><h2>Objectives</h2>
<table><thead><tr><th scope="col">Asset</th><th scope="col">RTO</th><th scope="col">RTO target</th><th scope="col"></th><th scope="col">RPO</th>
  <th scope="col">RPO target</th><th scope="col"></th><th scope="col">Lost records</th></tr></thead>
<tbody>{% for row in r.assets %}
<tr><td data-label="Asset"><strong>{{ row.asset }}</strong></td>
<td class="num" data-label="RTO">{{ row.rto_seconds | span }}</td><td class="num" data-label="RTO target">{{ row.rto_target_seconds | span }}</td>
  <td data-label="RTO is">{{ tag(row.rto_result) }}</td>
<td class="num" data-label="RPO">{{ row.rpo_seconds | span }}</td><td class="num" data-label="RPO target">{{ row.rpo_target_seconds | span }}</td>
  <td data-label="RPO is">{{ tag(row.rpo_result) }}</td>
<td class="num" data-label="Lost records">{{ row.lost | dash }}</td></tr>{% endfor %}
</tbody></table>
{% if r.disaster %}<p class="dim">Disaster declared at {{ r.disaster.declared_at | moment }}.
  RTO ends with the last required check that became green{% if r.clock != "monotonic" %};
 it was measured by the wall clock, because the controller was restarted or changed meanwhile{% endif %}.</p>{% endif %}
</section>
{% endif %}

{% if timeline %}
<section><h2>Timeline{% if r.disaster %} since the disaster{% endif %}</h2>
{% for row in timeline %}<div class="phase"><span>{{ row.step | words }}{% if row.attempts > 1 %}
  <span class="dim">×{{ row.attempts }}</span>{% endif %}</span>
<svg viewBox="0 0 1000 18" preserveAspectRatio="none" role="img" aria-label="{{ row.step }}: {{ row.seconds | span }}">
  <rect x="{{ row.x }}" y="3" width="{{ row.width }}" height="12" rx="2" class="{{ row.outcome }}-bar"/></svg>
<span class="time">{{ row.seconds | span }}</span></div>
{% endfor %}<div class="phase axis"><span></span><div><span>0 s</span><span>{{ timeline_end | span }}</span></div><span></span></div>
{% if before %}<details><summary>Before the disaster: {{ before | length }} {{ "step" if before | length == 1 else "steps" }}</summary>
<table><thead><tr><th scope="col">Step</th><th scope="col">Began</th><th scope="col">Took</th><th scope="col"></th></tr></thead>
  <tbody>{% for row in before %}
<tr><td data-label="Step">{{ row.step | words }}</td><td class="num" data-label="Began">{{ row.started_at | moment }}</td>
  <td class="num" data-label="Took">{{ row.seconds | span }}</td><td data-label="Outcome">{{ tag(row.outcome) }}</td></tr>{% endfor %}
</tbody></table></details>{% endif %}
</section>
{% endif %}

<section class="long"><h2>Recovery points</h2>
{% if r.recovery_points %}
<table><thead><tr><th scope="col">Asset</th><th scope="col">Recovery point</th><th scope="col">Age{% if r.disaster %} at the disaster{% endif %}</th>
  <th scope="col">Size</th><th scope="col">SHA-256</th><th scope="col">Copies, read back</th></tr></thead>
<tbody>{% for p in r.recovery_points %}
<tr><td data-label="Asset"><strong>{{ p.asset }}</strong><br><span class="dim">{{ p.kind | words }}</span></td>
  <td data-label="Id"><code>{{ p.id }}</code></td>
<td class="num" data-label="Age">{{ p.age_seconds | span }}</td><td class="num" data-label="Size">{{ p.get("size_bytes") | bytes }}</td>
<td data-label="SHA-256">{% if p.get("sha256") %}<code title="{{ p.sha256 }}">{{ p.sha256[:16] }}…</code>{% else %}
  <span class="dim">by guid</span>{% endif %}</td>
<td data-label="Copies">{% for c in p.get("copies") or [] %}
  <div>{{ c.destination }} {% if p.get("sha256") and c.get("read_back_sha256") == p.sha256 %}<span class="tag good">✓ equal</span>{% else %}
  <span class="tag none">not compared</span>{% endif %}</div>{% else %}<span class="dim">none</span>{% endfor %}</td></tr>{% endfor %}
</tbody></table>
{% else %}<p class="dim">No recovery point is part of this run.</p>{% endif %}
</section>

{% if r.canaries %}
<section><h2>Canaries: what came back</h2>
<table><thead><tr><th scope="col">Store</th><th scope="col">Acknowledged</th><th scope="col">Recovered</th><th scope="col">Lost</th>
  <th scope="col">Phantom</th><th scope="col">Newest recovered</th><th scope="col">RPO</th><th scope="col"></th></tr></thead>
<tbody>{% for c in r.canaries %}
<tr><td data-label="Store"><strong>{{ c.store }}</strong></td><td class="num" data-label="Acknowledged">{{ c.acknowledged | dash }}</td>
  <td class="num" data-label="Recovered">{{ c.recovered | dash }}</td>
<td class="num" data-label="Lost">{{ c.lost | dash }}</td><td class="num" data-label="Phantom">{{ c.phantom | dash }}</td>
<td class="num" data-label="Newest">{% if c.newest_recovered_at %}no. {{ c.newest_recovered | dash }},
  {{ c.newest_recovered_at | moment }}{% else %}–{% endif %}</td>
<td class="num" data-label="RPO">{{ c.rpo_seconds | span }}</td><td data-label="Verdict">{{ tag(c.verdict) }}{% if c.reason %}
  <br>{{ c.reason }}{% endif %}</td></tr>{% endfor %}
</tbody></table>
<p class="dim">Numbered, timed and authenticated records, written until the disaster; their acknowledgements lie outside the stores.
  What is recovered must be a prefix of what was acknowledged.
{%- if r.canary_skew_seconds is not none %} The newest records of the stores lie {{ r.canary_skew_seconds | span }} apart.{% endif %}</p>
</section>
{% endif %}

<section class="long"><h2>Checks</h2>
{% if r.checks %}
<table><thead><tr><th scope="col">Step</th><th scope="col">Check</th><th scope="col">Outcome</th><th scope="col">Expected</th>
  <th scope="col">Actual</th><th scope="col">Took</th></tr></thead>
<tbody>{% for c in r.checks %}
<tr><td data-label="Step">{{ c.step | words }}</td><td data-label="Check">{{ c.check | words }}{% if c.asset %}
  <span class="dim">of {{ c.asset }}</span>{% endif %}{% if not c.required %} <span class="dim">(not required)</span>{% endif %}</td>
<td data-label="Outcome">{{ tag(c.outcome) }}</td><td data-label="Expected">{{ c.expected | text }}</td>
  <td data-label="Actual">{{ c.actual | text }}</td><td class="num" data-label="Took">{{ c.duration_seconds | span }}</td></tr>{% endfor %}
</tbody></table>
{% else %}<p class="dim">No check was made.</p>{% endif %}
{% if r.earlier_failures %}<p><strong>Failed first, then repeated:</strong></p><ul>{% for c in r.earlier_failures %}
<li>{{ c.time | moment }} {{ c.step }}: {{ c.check }}{% if c.asset %} of {{ c.asset }}{% endif %}:
  {{ c.actual | text }}</li>{% endfor %}</ul>{% endif %}
</section>

{% if hardening %}
<section><h2>Hardening index</h2>
<table><thead><tr><th scope="col">Host</th><th scope="col">Before</th><th scope="col">After</th></tr></thead><tbody>{% for row in hardening %}
<tr><td data-label="Host"><strong>{{ row.host }}</strong></td><td class="num" data-label="Before">{{ row.before | dash }}</td>
  <td class="num" data-label="After">{{ row.after | dash }}</td></tr>{% endfor %}
</tbody></table>
<p class="dim">Measured by an independent auditor (lynis), 0 to 100.</p></section>
{% endif %}

<section class="long"><h2>Not tested</h2>
{% if r.skipped or r.not_applicable or r.not_tested %}
{% if r.not_tested %}<ul>{% for item in r.not_tested %}<li>{{ item | text }}</li>{% endfor %}</ul>{% endif %}
{% if r.skipped or r.not_applicable %}
<table><thead><tr><th scope="col">Where</th><th scope="col">What</th><th scope="col">Why</th></tr></thead><tbody>
{% for c in r.skipped %}<tr><td data-label="Where">{{ c.asset or c.step }}</td><td data-label="What">{{ c.check | words }}</td>
  <td data-label="Why">{{ c.actual | text }}</td></tr>{% endfor %}
{% for n in r.not_applicable %}<tr><td data-label="Where">{{ n.host }}</td><td data-label="What">{{ n.control }}</td>
  <td data-label="Why">{{ n.reason }}</td></tr>{% endfor %}
</tbody></table>{% endif %}
{% else %}<p class="dim">Nothing was skipped or called not applicable. What no check names was not tested.</p>{% endif %}
</section>

{% if r.history %}
<section><h2>Earlier runs</h2>
<table><thead><tr><th scope="col">Ended</th><th scope="col">Verdict</th><th scope="col">RTO</th><th scope="col">RPO</th></tr></thead>
  <tbody>{% for h in r.history | reverse %}
<tr><td class="num" data-label="Ended">{{ h.ended_at | moment }}</td><td data-label="Verdict">{{ tag(h.verdict) }}</td>
  <td class="num" data-label="RTO">{{ h.rto_seconds | span }}</td><td class="num" data-label="RPO">{{ h.rpo_seconds | span }}</td></tr>{% endfor %}
</tbody></table></section>
{% endif %}

<section><h2>Evidence</h2>
<p>This page was made from {{ r.evidence.records }} records in <code>{{ r.evidence.file }}</code>, each chained to the one before, SHA-256</p>
<pre>{{ r.evidence.sha256 }}</pre>
<p>Verify it with the public half of the signing key, by the collection's verifier or by any tool that knows DSSE:</p>
<pre>python3 plugins/module_utils/_evidence/verify.py {{ r.run.id }} --public-key signing.pub.pem</pre>
<pre>cosign verify-blob-attestation --insecure-ignore-tlog --key signing.pub.pem \\
  --type https://in-toto.io/attestation/test-result/v0.1 --signature evidence.dsse.json evidence.jsonl</pre>
{% if r.run.controller %}<p class="dim">Controller:
  {% for name, value in r.run.controller | dictsort if value %}{{ name | words }} {{ value }}{{ ", " if not loop.last }}{% endfor %}.</p>{% endif %}
{% if r.run.previous %}<p class="dim">Follows the run <code>{{ r.run.previous.id }}</code>
  (log SHA-256 <code>{{ r.run.previous.log_sha256 }}</code>).</p>{% endif %}
</section>
</main>
</body>
</html>
"""
