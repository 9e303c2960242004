// What happened to a store: as lanes to be drawn, and in words.

import { fromAbsolute } from '@internationalized/date';
import type { TimelineItem } from './backend/types';
import { duration } from './format/time';
import { number } from './format/number';
import { m } from './paraglide/messages';
import { causeShort, jobKind, jobState, syncErrorShort } from './words';

export type Span = 'day' | 'week' | 'month';
export const spanDays: Record<Span, number> = { day: 1, week: 7, month: 30 };
const DAY = 86_400_000;

export type Look = 'well' | 'bad' | 'off' | 'unknown' | 'plain';
export type LaneKind = 'link' | 'pos' | 'exchange' | 'version' | 'jobs';

/** Something with a length; places are shares of the period, 0 to 1. */
export interface Bar {
  start: number;
  end: number;
  look: Look;
  title: string;
}

/** Something without one. */
export interface Mark {
  at: number;
  look: Look;
  title: string;
}

export interface Lane {
  kind: LaneKind;
  bars: Bar[];
  marks: Mark[];
}

const ended = ['succeeded', 'failed', 'rejected', 'timed_out', 'expired', 'canceled'];

function lookOf({ kind, code }: TimelineItem): Look {
  switch (`${kind} ${code}`) {
    case 'link online':
    case 'pos running':
    case 'exchange succeeded':
      return 'well';
    case 'link offline':
      return 'off';
    case 'pos not_responding':
    case 'pos stopped':
    case 'exchange failed':
      return 'bad';
    case 'link unknown':
      return 'unknown';
    default:
      return 'plain';
  }
}

const jobLook = (state: string): Look =>
  state === 'succeeded' ? 'well' : state === 'canceled' || !ended.includes(state) ? 'plain' : 'bad';

/** An event as a sentence without its time. */
export function eventWords(item: TimelineItem): string {
  const param = (key: string) => item.params[key] ?? '?';
  switch (item.kind) {
    case 'link':
      if (item.code === 'online') return m.timeline_link_online();
      if (item.code === 'offline')
        return m.timeline_link_offline({ cause: causeShort(item.params['cause'] ?? null) });
      return m.timeline_link_unknown();
    case 'pos':
      if (item.code === 'running') return m.timeline_pos_running();
      return item.code === 'stopped' ? m.timeline_pos_stopped() : m.timeline_pos_not_responding();
    case 'exchange':
      return item.code === 'failed'
        ? m.timeline_exchange_failed({ error: syncErrorShort(param('error')) })
        : m.timeline_exchange_succeeded();
    case 'version': {
      const versions = { from: param('from'), to: param('to') };
      return item.code === 'pos_version'
        ? m.timeline_pos_version(versions)
        : m.timeline_connector_version(versions);
    }
    case 'database':
      return m.timeline_generation({ from: param('from'), to: param('to') });
    case 'identity':
      return item.code === 'revoked' ? m.timeline_revoked() : m.timeline_enrolled();
    case 'job': {
      const job = jobKind(param('job'));
      if (item.code === 'requested') return m.timeline_job_requested({ job });
      const state = jobState(item.code);
      const error = item.params['error'];
      return error
        ? m.timeline_job_error({ job, state, error: syncErrorShort(error) })
        : m.timeline_job_ended({ job, state });
    }
    case 'day': {
      const count = Number(item.params['outages'] ?? 0);
      const time = duration(Number(item.params['offline_seconds'] ?? 0) * 1000);
      return m.timeline_sums({ count, n: number(count), time });
    }
  }
}

/** How many earlier changes of that day are not listed, in words; nothing when all are. */
export function skippedWords(item: TimelineItem): string | null {
  const count = Number(item.params['skipped'] ?? 0);
  return count > 0 ? m.timeline_skipped({ count, n: number(count) }) : null;
}

/** The five lanes between two moments. `when` writes a moment of the store. */
export function lanes(items: TimelineItem[], from: number, to: number, when: (at: number) => string): Lane[] {
  const share = (at: number) => (Math.min(Math.max(at, from), to) - from) / (to - from);
  const bar = (start: number, end: number, look: Look, words: string): Bar | null =>
    end <= from || start >= to
      ? null
      : { start: share(start), end: share(end), look, title: `${words}\n${when(start)} – ${when(end)}` };
  const states = (kind: 'link' | 'pos' | 'exchange'): Bar[] =>
    items.flatMap((item) => {
      if (item.kind !== kind) return [];
      const end = item.until === null ? to : Date.parse(item.until);
      return bar(Date.parse(item.at), end, lookOf(item), eventWords(item)) ?? [];
    });
  const marks = (kinds: string[]): Mark[] =>
    items.flatMap((item) => {
      const at = Date.parse(item.at);
      if (!kinds.includes(item.kind) || at < from || at > to) return [];
      return [{ at: share(at), look: lookOf(item), title: `${eventWords(item)}\n${when(at)}` }];
    });
  return [
    { kind: 'link', bars: states('link'), marks: [] },
    { kind: 'pos', bars: states('pos'), marks: [] },
    { kind: 'exchange', bars: states('exchange'), marks: [] },
    { kind: 'version', bars: [], marks: marks(['version', 'database', 'identity']) },
    { kind: 'jobs', ...jobs(items, from, to, bar, share, when) },
  ];
}

/** Jobs from their request to their end; those whose request lies before the period are marks. */
function jobs(
  items: TimelineItem[],
  from: number,
  to: number,
  bar: (start: number, end: number, look: Look, words: string) => Bar | null,
  share: (at: number) => number,
  when: (at: number) => string,
): { bars: Bar[]; marks: Mark[] } {
  const bars: Bar[] = [];
  const marks: Mark[] = [];
  const ends = new Map<string, TimelineItem>();
  // Newest first, so that an end comes before its request.
  for (const item of items) {
    if (item.kind !== 'job') continue;
    const id = item.params['job_id'] ?? '';
    if (item.code !== 'requested') {
      ends.set(id, item);
      continue;
    }
    const end = ends.get(id);
    ends.delete(id);
    const last = end ?? item;
    const start = Date.parse(item.at);
    const drawn = bar(start, end ? Date.parse(end.at) : to, jobLook(last.code), eventWords(last));
    if (drawn) bars.push(drawn);
  }
  for (const item of ends.values()) {
    const at = Date.parse(item.at);
    if (at < from || at > to) continue;
    marks.push({ at: share(at), look: jobLook(item.code), title: `${eventWords(item)}\n${when(at)}` });
  }
  return { bars, marks };
}

/** Round moments of the zone within the period, for the axis. */
export function ticks(from: number, to: number, span: Span, zone: string): number[] {
  const step = span === 'day' ? { hours: 4 } : { days: span === 'week' ? 1 : 5 };
  const found: number[] = [];
  let time = fromAbsolute(from, zone).set({ hour: 0, minute: 0, second: 0, millisecond: 0 });
  for (; time.toDate().getTime() < to; time = time.add(step)) {
    if (time.toDate().getTime() > from) found.push(time.toDate().getTime());
  }
  return found;
}

/** What the period comes to, in a line. */
export function summary(items: TimelineItem[], from: number, to: number): string {
  const lengths = (kind: string, codes: string[]) => {
    const hit = items.filter((item) => item.kind === kind && codes.includes(item.code));
    const times = hit.map((item) => {
      const end = item.until === null ? to : Math.min(Date.parse(item.until), to);
      return Math.max(0, end - Math.max(Date.parse(item.at), from));
    });
    const real = times.filter((time) => time > 0);
    return { count: real.length, time: real.reduce((sum, time) => sum + time, 0) };
  };
  const parts: string[] = [];
  const offline = lengths('link', ['offline']);
  if (offline.count > 0) {
    const { count, time } = offline;
    parts.push(m.timeline_sum_offline({ count, n: number(count), time: duration(time) }));
  }
  const failing = lengths('exchange', ['failed']);
  if (failing.count > 0) parts.push(m.timeline_sum_exchange({ time: duration(failing.time) }));
  const silent = lengths('pos', ['not_responding', 'stopped']);
  if (silent.count > 0) parts.push(m.timeline_sum_pos({ time: duration(silent.time) }));
  if (parts.length === 0 && lengths('link', ['online']).time >= (to - from) * 0.999)
    return m.timeline_steady();
  return parts.join(' · ');
}

/** The period that ends now. */
export const period = (span: Span, now: number) => ({ from: now - spanDays[span] * DAY, to: now });
