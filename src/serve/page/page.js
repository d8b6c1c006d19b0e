// Keeps the page up to date with the stream of changes. What it writes it writes as text, into places that the page came
// with and copies of its templates; the page says the same without it.
'use strict';

const OUTCOMES = ['direct', 'http-fallback', 'direct-failed', 'other'];
const HOSTINGS = ['cloud', 'self_hosted', 'local', 'unknown'];
const VERDICTS = ['investigate', 'degraded', 'unrecognised', 'expected', 'healthy'];
const AT_ONCE = 50;
const ALERTS = 50;
const HOUR = 3600000;
// A message comes with every minute at least.
const SILENCE = 90000;

const byId = (id) => document.getElementById(id);

// How values are written (words.rs).

const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/g;
const SHORT = { '\t': '\\t', '\n': '\\n', '\r': '\\r' };
const LONGEST = 400;

function safe(text) {
  // Half of a character is none.
  const characters = text.length > LONGEST ? [...text] : [];
  const shown = characters.length > LONGEST ? `${characters.slice(0, LONGEST).join('')}…` : text;
  return shown.replace(UNSAFE, (c) => SHORT[c] ?? `\\u{${c.charCodeAt(0).toString(16)}}`);
}

const grouped = (count) => count.toLocaleString('en-US');
const several = (count, one, more) => `${grouped(count)} ${count === 1 ? one : more}`;

function size(count) {
  if (count < 1024) return `${count} bytes`;
  const units = ['KiB', 'MiB', 'GiB'];
  let unit = 0;
  let left = count / 1024;
  while (left >= 1024 && unit < 2) {
    left /= 1024;
    unit += 1;
  }
  return `${left.toFixed(1)} ${units[unit]}`;
}

// What the server's clock is ahead of this one.
let ahead = 0;
const now = () => Date.now() + ahead;

function ago(time) {
  const seconds = Math.floor((now() - time) / 1000);
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

const at = (time) => `${time.slice(0, 19).replace('T', ' ')} UTC`;

// Writing into places.

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const place = (within, field) => within.querySelector(`[data-field="${field}"]`);

function fill(row, texts) {
  for (const [field, text] of Object.entries(texts)) write(place(row, field), text);
}

function fillSmall(row, texts) {
  fill(row, texts);
  for (const [field, text] of Object.entries(texts)) place(row, field).hidden = text === '';
}

function fillBadge(row, field, is) {
  const badge = place(row, field);
  write(badge, is);
  badge.dataset.is = is;
}

function fillTime(row, field, time) {
  const element = place(row, field);
  if (time) element.setAttribute('datetime', time);
  else element.removeAttribute('datetime');
  write(element.querySelector('.ago'), time ? ago(Date.parse(time)) : 'never');
  write(element.querySelector('.at'), time ? at(time) : '');
}

const copy = (template) => byId(template).content.firstElementChild.cloneNode(true);

function show(id, is) {
  byId(id).hidden = !is;
}

// Makes a parent hold these children in this order, and touches nothing where it does.
function arrange(parent, children) {
  const is = parent.children;
  if (is.length !== children.length || children.some((child, index) => child !== is[index])) {
    parent.replaceChildren(...children);
  }
}

// Charts (chart.rs).

const LINE = 30;
const UP = 26;
const DOWN = 10;
const LEAST = 4;

function drawChart(row, hour) {
  const chart = place(row, 'chart');
  const minutes = Array.from({ length: 60 }, (_, minute) => OUTCOMES.map((outcome) => hour[outcome]?.[minute] ?? 0));
  const peak = Math.max(1, ...minutes.map(([direct, fallback, failed, other]) => Math.max(direct + fallback, failed + other)));
  const paths = ['', '', '', ''];
  const height = (count, room) => Math.max(LEAST, Math.ceil((count * room) / peak));
  minutes.forEach((minute, index) => {
    let y = LINE;
    for (const outcome of [0, 1]) {
      if (minute[outcome] === 0) continue;
      const bar = height(minute[outcome], UP);
      paths[outcome] += `M${index * 4} ${y}h3v-${bar}h-3z`;
      y = Math.max(0, y - bar);
    }
    y = LINE;
    for (const outcome of [2, 3]) {
      if (minute[outcome] === 0) continue;
      const bar = height(minute[outcome], DOWN);
      paths[outcome] += `M${index * 4} ${y}h3v${bar}h-3z`;
      y += bar;
    }
  });
  OUTCOMES.forEach((outcome, index) => {
    const path = chart.querySelector(`path.${outcome}`);
    if (path.getAttribute('d') !== paths[index]) path.setAttribute('d', paths[index]);
  });
  const sums = OUTCOMES.filter((outcome) => hour[outcome]).map((outcome) => {
    return `${grouped(hour[outcome].reduce((sum, count) => sum + count, 0))} ${outcome}`;
  });
  const most = Math.max(...minutes.map((minute) => minute.reduce((sum, count) => sum + count, 0)));
  const label = `Within the last hour: ${sums.join(', ')}; at most ${grouped(most)} in a minute`;
  chart.setAttribute('aria-label', sums.length > 0 ? label : 'No accesses within the last hour');
}

// The parts of the page.

const state = { alerts: [], deployments: new Map(), sources: new Map() };

function fillDeployment(row, is) {
  const notes = [];
  if (is.overflows > 0) notes.push(several(is.overflows, 'log overflow', 'log overflows'));
  if (is.truncated > 0) notes.push(`${grouped(is.truncated)} truncated`);
  const causes = Object.entries(is.causes).map(([cause, count]) => `${cause} ${grouped(count)}`);
  fill(row, { deployment: safe(is.deployment), hosting: is.hosting });
  fillSmall(row, {
    about: [is.project, is.deployment_type].filter((text) => text !== null).map(safe).join(', '),
    notes: notes.join(', '),
    evidence: is.evidence ?? '',
    causes: causes.join(', '),
  });
  fillBadge(row, 'verdict', is.verdict);
  for (const outcome of OUTCOMES) write(place(row, outcome), grouped(is.outcomes[outcome]));
  place(row, 'direct-failed').classList.toggle('some', is.outcomes['direct-failed'] > 0);
  const last = Object.values(is.last).filter((time) => time !== null);
  fillTime(row, 'last', last.length > 0 ? last.reduce((one, other) => (one > other ? one : other)) : null);
  drawChart(row, is.last_hour);
}

function fillSource(row, is) {
  const skipped = Object.entries(is.skipped).filter(([, count]) => count > 0);
  const words = skipped.map(([reason, count]) => `${reason} ${grouped(count)}`);
  if (is.lost_bytes > 0) words.push(`lost ${size(is.lost_bytes)}`);
  if (is.possible_losses > 0) words.push(several(is.possible_losses, 'possible loss', 'possible losses'));
  fill(row, {
    source: safe(is.source),
    lag_bytes: size(is.lag_bytes),
    lines: grouped(is.lines),
    records: grouped(is.records),
    bytes: size(is.bytes),
    skipped: words.length > 0 ? words.join(', ') : 'nothing',
  });
  fillBadge(row, 'up', is.up ? 'up' : 'down');
  fillSmall(row, { trouble: is.trouble === null ? '' : safe(is.trouble) });
  fillTime(row, 'last_read', is.last_read);
}

function fillProbe(row, is) {
  fill(row, { deployment: safe(is.deployment), source: safe(is.source) });
  fillSmall(row, { hosting: is.hosting });
  fillBadge(row, 'verdict', is.verdict);
  fillTime(row, 'time', is.time);
  for (const [path, { success, duration_seconds: seconds, cause, error }] of Object.entries(is.paths)) {
    fillBadge(row, path, success ? 'works' : 'fails');
    fillSmall(row, {
      [`${path}-took`]: seconds === null ? '' : `in ${grouped(Math.floor(seconds * 1000 + 1e-6))} ms`,
      [`${path}-cause`]: cause ?? '',
      [`${path}-error`]: safe(error ?? ''),
    });
  }
}

function fillFailure(row, is) {
  const text = (value) => (value === null ? '' : safe(value));
  fill(row, {
    deployment: text(is.deployment),
    outcome: text(is.outcome),
    function: text(is.function),
    storage_id: text(is.storage_id),
    request_id: text(is.request_id),
    what: text(is.error) || text(is.reason),
  });
  fillSmall(row, { hosting: text(is.hosting), cause: text(is.cause) });
  fillTime(row, 'time', is.time);
}

function fillAlert(card, is) {
  const text = (name) => safe(is.annotations[name] ?? '');
  card.dataset.severity = is.severity;
  fill(card, { name: is.name, summary: text('summary'), description: text('description'), advice: text('advice') });
  place(card, 'name').setAttribute('href', `runbook/${encodeURIComponent(is.name)}`);
  fillBadge(card, 'severity', is.severity);
  fillTime(card, 'since', is.since);
  fillTime(card, 'last', is.last);
}

const keyOf = (...parts) => JSON.stringify(parts);
const keyOfAlert = (is) => keyOf(is.name, is.deployment, is.hosting, is.severity, is.source, is.since);

function showAlerts(alerts, isFirst) {
  const before = new Map(state.alerts.map((alert) => [keyOfAlert(alert), alert]));
  const after = new Map(alerts.map((alert) => [keyOfAlert(alert), alert]));
  state.alerts = alerts;
  const cards = new Map([...byId('firing').children].map((card) => [card.dataset.key, card]));
  const shown = alerts.slice(0, ALERTS).map((alert) => {
    const card = cards.get(keyOfAlert(alert)) ?? copy('alert-card');
    card.dataset.key = keyOfAlert(alert);
    fillAlert(card, alert);
    return card;
  });
  arrange(byId('firing'), shown);
  show('firing', alerts.length > 0);
  show('quiet', alerts.length === 0);
  show('more-alerts', alerts.length > ALERTS);
  write(byId('more-alerts'), `And ${alerts.length - ALERTS} more; the status as JSON has all.`);
  const headline = alerts.length === 1 ? '1 alert fires.' : `${alerts.length} alerts fire.`;
  write(byId('headline'), alerts.length === 0 ? 'No alert fires.' : headline);
  byId('headline').classList.toggle('grave', alerts.length > 0);
  document.title = alerts.length === 0 ? 'storagewatch' : `(${alerts.length}) storagewatch`;
  if (isFirst) return;
  const news = [...after].filter(([key]) => !before.has(key)).map(([, alert]) => `${alert.severity} alert: ${safe(alert.annotations.summary)}.`);
  const ended = [...before].filter(([key]) => !after.has(key)).map(([, alert]) => `Resolved: ${safe(alert.annotations.summary)}.`);
  const words = [...news, ...ended];
  if (words.length > 3) words.splice(3, words.length, `And ${words.length - 3} more changes.`);
  if (words.length > 0) byId('news').textContent = words.join(' ');
}

function arrangeDeployments() {
  const firing = new Set(state.alerts.map((alert) => keyOf(alert.deployment, alert.hosting)));
  const rank = ({ key, is }) => (firing.has(key) ? 0 : VERDICTS.length) + VERDICTS.indexOf(is.verdict);
  const ranked = [...state.deployments.values()].map((entry) => ({ entry, rank: rank(entry) }));
  const text = (one, other) => (one < other ? -1 : Number(one > other));
  ranked.sort((one, other) => {
    return one.rank - other.rank || text(one.entry.is.deployment, other.entry.is.deployment)
      || HOSTINGS.indexOf(one.entry.is.hosting) - HOSTINGS.indexOf(other.entry.is.hosting);
  });
  const rows = ranked.map(({ entry }) => entry.row);
  arrange(byId('deployments').tBodies[0], rows.slice(0, AT_ONCE));
  arrange(byId('more').tBodies[0], rows.slice(AT_ONCE));
  show('none', rows.length === 0);
  show('some', rows.length > 0);
  show('rest', rows.length > AT_ONCE);
  write(byId('rest').querySelector('summary'), several(Math.max(0, rows.length - AT_ONCE), 'more deployment', 'more deployments'));
}

function matches(entry, wanted) {
  const { deployment, hosting, verdict, project, deployment_type: type } = entry.is;
  return [deployment, hosting, verdict, project, type].some((text) => text?.toLowerCase().includes(wanted));
}

function filter() {
  const wanted = byId('wanted').value.trim().toLowerCase();
  let found = 0;
  for (const entry of state.deployments.values()) {
    const is = matches(entry, wanted);
    entry.row.hidden = !is;
    found += Number(is);
  }
  // A table without rows is none.
  for (const id of ['deployments', 'more']) {
    byId(id).hidden = [...byId(id).tBodies[0].rows].every((row) => row.hidden);
  }
  return wanted === '' ? '' : `${grouped(found)} found`;
}

function showRows(entries, parts, keys, template, fillRow, isWhole) {
  const seen = new Set();
  for (const is of parts) {
    const key = keyOf(...keys.map((name) => is[name]));
    seen.add(key);
    const entry = entries.get(key) ?? { key, row: copy(template) };
    entry.is = is;
    entries.set(key, entry);
    fillRow(entry.row, is);
  }
  if (isWhole) for (const key of entries.keys()) if (!seen.has(key)) entries.delete(key);
}

function showList(id, rows) {
  arrange(byId(id).tBodies[0], rows);
  byId(id).parentElement.hidden = rows.length === 0;
  byId(id).parentElement.nextElementSibling.hidden = rows.length > 0;
}

let started = null;
let isFirst = true;

function take(parts, isWhole) {
  if (parts.now) ahead = Date.parse(parts.now) - Date.now();
  if ('started' in parts) {
    started = Date.parse(parts.started);
    write(byId('started'), at(parts.started));
  }
  if ('trouble' in parts) {
    show('trouble', parts.trouble !== null);
    write(byId('trouble').querySelector('span'), safe(parts.trouble ?? ''));
  }
  if ('config_ok' in parts) show('config', !parts.config_ok);
  if ('caught_up' in parts) show('catching-up', !parts.caught_up);
  if ('deployments_folded' in parts) {
    show('folded', parts.deployments_folded > 0);
    write(byId('folded').querySelector('span'), several(parts.deployments_folded, 'deployment is', 'deployments are'));
  }
  if ('alerts' in parts) showAlerts(parts.alerts, isFirst);
  if ('deployments' in parts) {
    showRows(state.deployments, parts.deployments, ['deployment', 'hosting'], 'deployment-row', fillDeployment, isWhole);
  }
  if ('deployments' in parts || 'alerts' in parts) {
    arrangeDeployments();
    filter();
  }
  if ('sources' in parts) {
    showRows(state.sources, parts.sources, ['source'], 'source-row', fillSource, isWhole);
    const sources = [...state.sources.values()].sort((one, other) => (one.is.source < other.is.source ? -1 : 1));
    showList('sources', sources.map((entry) => entry.row));
  }
  if ('probes' in parts) {
    show('probed', parts.probes.length > 0);
    arrange(byId('probes').tBodies[0], parts.probes.map((is) => {
      const row = copy('probe-row');
      fillProbe(row, is);
      return row;
    }));
  }
  if ('failures' in parts) {
    showList('failures', parts.failures.map((is) => {
      const row = copy('failure-row');
      fillFailure(row, is);
      return row;
    }));
  }
  isFirst = false;
  tick();
}

function tick() {
  for (const element of document.querySelectorAll('time[datetime]')) {
    write(element.querySelector('.ago'), ago(Date.parse(element.getAttribute('datetime'))));
  }
  if (started !== null) show('fresh', now() - started < HOUR);
}

// The stream. It is let go while nobody sees the page: browsers grant few connections to one server.

let source = null;
let retry = null;
let heard = 0;
let asked = 0;

function live(text, isGrave) {
  stale(isGrave);
  write(byId('live'), text);
  byId('live').classList.toggle('grave', isGrave);
}

function receive(event) {
  heard = Date.now();
  take(JSON.parse(event.data), event.type === 'status');
  live('Live.', false);
}

// What is shown is not what is so now.
function stale(is) {
  document.querySelector('header').classList.toggle('stale', is);
}

function lost() {
  live(heard === 0 ? 'Not connected; trying again.' : `Not connected since ${at(new Date(heard + ahead).toISOString())}; trying again.`, true);
}

function connect() {
  disconnect();
  if (document.hidden) return;
  asked = Date.now();
  source = new EventSource('api/v1/events');
  source.addEventListener('status', receive);
  source.addEventListener('change', receive);
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) {
      // Where there is no place to listen, asking does.
      disconnect();
      ask();
      retry = setTimeout(connect, 10000);
    } else {
      lost();
    }
  });
}

function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

async function ask() {
  try {
    const answer = await fetch('api/v1/status');
    if (!answer.ok) throw new Error(answer.statusText);
    take(await answer.json(), true);
    heard = Date.now();
    live('Updated every 10 seconds.', false);
  } catch {
    lost();
  }
}

document.addEventListener('visibilitychange', connect);
byId('wanted').addEventListener('input', () => {
  const found = filter();
  if (found !== '') byId('rest').open = true;
  write(byId('found'), found);
});
show('filter', true);
setInterval(() => {
  tick();
  if (source !== null && Date.now() - Math.max(heard, asked) > SILENCE) {
    lost();
    connect();
  }
}, 5000);
connect();
