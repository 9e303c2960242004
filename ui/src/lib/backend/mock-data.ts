// Sample stores for the mock backend: the same each time, and as many as wanted.

import type { Evidence, Row } from './types';

const towns = [
  ['Riga', 'Europe/Riga'],
  ['Jelgava', 'Europe/Riga'],
  ['Liepāja', 'Europe/Riga'],
  ['Daugavpils', 'Europe/Riga'],
  ['Tallinn', 'Europe/Tallinn'],
  ['Vilnius', 'Europe/Vilnius'],
  ['Kraków', 'Europe/Warsaw'],
  ['Lisboa', 'Europe/Lisbon'],
  ['München', 'Europe/Berlin'],
  ['Almaty', 'Asia/Almaty'],
  ['New York', 'America/New_York'],
  ['Tbilisi', 'Asia/Tbilisi'],
] as const;
const places = [
  'Centrs',
  'Old Town',
  'Station',
  'Harbour',
  'Airport',
  'Park',
  'Market',
  'Mall',
  'University',
];
const streets = [
  'Brīvības iela',
  'Main Street',
  'Rua Augusta',
  'Pikk',
  'Gedimino pr.',
  'Abay Ave',
  'Floriańska',
];
const chains = ['Pasta Nostra', 'Kafe Kometa', 'Burger Bērzs', 'Sushi Sēta', 'Bakery & Sons'];

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

/** A small generator of numbers that is the same on every run (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function id(kind: number, n: number): string {
  return `01930000-000${kind}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

const syncErrors = [
  ['database_inconsistent', 'checksum mismatch after applying change 41877'],
  ['cloud_unreachable', 'connect timed out after 10 s'],
  ['disk_full', 'SQLITE_FULL: database or disk is full'],
  ['clock_skewed', 'signed 00:07:12 ahead of the cloud'],
  ['server_error', '502 Bad Gateway'],
] as const;

export function sampleRow(n: number, now: number): Row {
  const rand = random(n + 1);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(rand() * items.length)] as T;
  const at = (ago: number) => new Date(now - ago).toISOString();
  const [town, zone] = towns[n % towns.length] ?? towns[0];
  const chain = Math.floor(n / 7) % chains.length;
  const round = Math.floor(n / (towns.length * places.length));
  const name = `${town} ${places[Math.floor(n / towns.length) % places.length]}${round ? ` ${round + 1}` : ''}`;
  const row: Row = {
    id: id(1, n),
    name: 'Main POS',
    revision: n + 1,
    chain_id: id(2, chain),
    chain: chains[chain] ?? '',
    outlet_id: id(3, n),
    organization: name,
    crm_id: String(10400 + n).padStart(6, '0'),
    address: `${pick(streets)} ${1 + Math.floor(rand() * 180)}, ${town}`,
    time_zone: zone,
    link_state: 'online',
    link_since: at(rand() * 9 * day),
    last_seen_at: at(rand() * 15_000),
    connector_version: '0.1.0',
    cause: null,
    confidence: null,
    evidence: [],
    pos_state: 'running',
    pos_version: rand() < 0.8 ? '34.6.0' : '34.6.2',
    version_updated_at: at(2 * day + rand() * 40 * day),
    required_version: '34.6.0',
    update_required: false,
    last_success_at: at(rand() * 4 * minute),
    last_attempt_at: at(rand() * minute),
    error: null,
    behind_changes: 0,
    behind_oldest_at: null,
    generation: 1 + Math.floor(rand() * 4),
    db_created_at: at(20 * day + rand() * 300 * day),
    db_size_bytes: Math.floor((4 + rand() * 90) * 1024 * 1024),
    unsent_transactions: 0,
    last_report_at: at(rand() * minute),
    highlight: 'none',
    active_jobs: [],
    selected: false,
    may_retrieve_logs: true,
    may_reset_database: true,
  };
  return row;
}

/** The sync fails. */
export function breakExchange(row: Row, now: number, kind: number, hours: number): void {
  const [code, message] = syncErrors[kind % syncErrors.length] ?? syncErrors[0];
  row.error = {
    code,
    message,
    since: new Date(now - hours * hour).toISOString(),
    consecutive_failures: Math.round(hours * 60),
  };
  row.last_success_at = new Date(now - hours * hour - 30_000).toISOString();
  row.behind_changes = 12 + kind * 7;
  row.behind_oldest_at = new Date(now - hours * hour + 10 * minute).toISOString();
  row.unsent_transactions = code === 'cloud_unreachable' ? 17 : 0;
  row.highlight = 'error';
}

/** The link is down. */
export function cutLink(row: Row, now: number, cause: NonNullable<Row['cause']>, minutes: number): void {
  const since = new Date(now - minutes * minute).toISOString();
  const evidence: Record<string, Evidence[]> = {
    service_stopped: [{ code: 'said_goodbye', at: since, params: { reason: 'stopping' } }],
    connection_lost: [{ code: 'fell_silent', at: since, params: {} }],
    websocket_blocked: [
      { code: 'fell_silent', at: since, params: {} },
      { code: 'https_heartbeat', at: new Date(now - 20_000).toISOString(), params: {} },
    ],
    outage_nearby: [{ code: 'fell_silent', at: since, params: { silent_seconds: '40' } }],
  };
  row.link_state = 'offline';
  row.link_since = since;
  row.last_seen_at = since;
  row.cause = cause;
  row.confidence = cause === 'service_stopped' ? 'certain' : 'likely';
  row.evidence = evidence[cause] ?? [];
  row.pos_state = 'unknown';
  row.last_report_at = since;
  row.last_success_at = since;
  row.unsent_transactions = null;
}

/** The POS version is below what the chain requires. */
export function outdate(row: Row): void {
  row.pos_version = '34.5.2';
  row.update_required = true;
  if (row.highlight === 'none') row.highlight = 'update_required';
}

/** A fleet with some trouble in it. */
export function sampleFleet(count: number, now: number): Row[] {
  return Array.from({ length: count }, (_, n) => {
    const row = sampleRow(n, now);
    if (n % 61 === 4) breakExchange(row, now, Math.floor(n / 61), 1.5 + (n % 7));
    if (n % 24 === 9) outdate(row);
    if (n % 53 === 2) {
      const causes = ['connection_lost', 'service_stopped', 'websocket_blocked', 'outage_nearby'] as const;
      cutLink(row, now, causes[Math.floor(n / 53) % causes.length] ?? 'unknown', 3 + (n % 200));
    }
    if (n % 97 === 6) row.pos_state = 'not_responding';
    if (n % 149 === 11) {
      row.link_state = 'never_connected';
      row.link_since = null;
      row.last_seen_at = null;
      row.last_report_at = null;
      row.last_success_at = null;
      row.last_attempt_at = null;
      row.pos_state = 'unknown';
      row.pos_version = null;
      row.version_updated_at = null;
      row.connector_version = null;
      row.generation = null;
      row.db_created_at = null;
      row.db_size_bytes = null;
      row.unsent_transactions = null;
      row.update_required = false;
      row.highlight = 'none';
    }
    return row;
  });
}
