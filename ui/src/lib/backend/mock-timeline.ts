// What happened to a sample store: follows from its row, so that it ends with what the row says.

import type { Job, Row, TimelineItem } from './types';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

type Code = [kind: TimelineItem['kind'], code: string, at: number, params?: Record<string, string>];

export function sampleTimeline(row: Row, jobs: Job[], from: string, to: string): TimelineItem[] {
  if (row.link_state === 'never_connected') return [];
  const [start, end] = [Date.parse(from), Date.parse(to)];
  const now = Date.now();
  const seed = Number.parseInt(row.id.slice(-4), 16);
  const codes: Code[] = [
    ['link', 'online', now - 33 * day],
    ['pos', 'running', now - 33 * day],
  ];
  // An outage every few days, longer or shorter, and now and then a POS server that hangs.
  for (let n = 31; n > 0; n -= 1) {
    if ((n * 7 + seed) % 5 === 0) {
      const at = now - n * day + ((n * 37 + seed * 11) % 20) * hour;
      const back = at + (4 + ((n * 13 + seed) % 90)) * minute;
      const cause = n % 2 ? 'connection_lost' : 'service_stopped';
      codes.push(['link', 'offline', at, { cause, confidence: 'likely' }], ['link', 'online', back]);
    }
    if ((n * 3 + seed) % 13 === 0) {
      const at = now - n * day + 3 * hour;
      codes.push(['pos', 'not_responding', at], ['pos', 'running', at + 25 * minute]);
      const failed = { error: 'cloud_unreachable', message: 'connect timed out after 10 s' };
      codes.push(
        ['exchange', 'failed', at + 2 * minute, failed],
        ['exchange', 'succeeded', at + 55 * minute],
      );
    }
  }
  if (row.version_updated_at && row.pos_version)
    codes.push([
      'version',
      'pos_version',
      Date.parse(row.version_updated_at),
      { from: '34.4.8', to: row.pos_version },
    ]);
  if (row.error)
    codes.push([
      'exchange',
      'failed',
      Date.parse(row.error.since),
      { error: row.error.code, message: row.error.message },
    ]);
  if (row.link_state === 'offline' && row.link_since)
    codes.push([
      'link',
      'offline',
      Date.parse(row.link_since),
      { cause: row.cause ?? 'unknown', confidence: row.confidence ?? 'possible' },
    ]);
  for (const job of jobs) {
    const params = { job: job.kind, job_id: job.id };
    codes.push(['job', 'requested', Date.parse(job.requested_at), params]);
    if (job.finished_at)
      codes.push([
        'job',
        job.state,
        Date.parse(job.finished_at),
        job.error ? { ...params, error: job.error.code } : params,
      ]);
  }
  codes.sort((a, b) => a[2] - b[2]);
  const items = codes.map(([kind, code, at, params = {}]): TimelineItem => ({
    at: new Date(at).toISOString(),
    until: null,
    kind,
    code,
    params,
    evidence:
      kind === 'link' && code === 'offline' && at === Date.parse(row.link_since ?? '') ? row.evidence : [],
  }));
  // A state ends when the next of its kind begins; what is known of the POS server ends with the link too.
  items.forEach((item, n) => {
    if (!['link', 'pos', 'exchange'].includes(item.kind)) return;
    const next = items
      .slice(n + 1)
      .find(
        (other) =>
          other.kind === item.kind ||
          (item.kind === 'pos' && other.kind === 'link' && other.code !== 'online'),
      );
    item.until = next?.at ?? null;
  });
  const lasts = ['link', 'pos', 'exchange'].flatMap(
    (kind) => items.findLast((item) => item.kind === kind && Date.parse(item.at) < start) ?? [],
  );
  const within = items.filter((item) => Date.parse(item.at) >= start && Date.parse(item.at) < end);
  return [...within.reverse(), ...lasts];
}
