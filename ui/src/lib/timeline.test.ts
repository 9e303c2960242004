import { describe, expect, test } from 'vitest';
import type { TimelineItem } from './backend/types';
import { overwriteGetLocale } from './paraglide/runtime';
import { pieces } from './state/viewer.svelte';
import { eventWords, lanes, period, skippedWords, summary, ticks } from './timeline';

const from = Date.parse('2026-11-21T00:00:00Z');
const to = Date.parse('2026-11-22T00:00:00Z');
const at = (hour: number) => new Date(from + hour * 3_600_000).toISOString();

function item(
  kind: TimelineItem['kind'],
  code: string,
  hour: number,
  until: number | null = null,
  params: Record<string, string> = {},
): TimelineItem {
  return { at: at(hour), until: until === null ? null : at(until), kind, code, params, evidence: [] };
}

/** Newest first, as the cloud has it; the first state began before the period. */
const events = [
  item('job', 'requested', 20, null, { job: 'diagnose', job_id: 'b' }),
  item('link', 'online', 12),
  item('job', 'failed', 8, null, { job: 'reset_database', job_id: 'a', error: 'disk_full' }),
  item('job', 'requested', 7, null, { job: 'reset_database', job_id: 'a' }),
  item('link', 'offline', 6, 12, { cause: 'connection_lost' }),
  item('version', 'pos_version', 3, null, { from: '34.5.2', to: '34.6.0' }),
  item('exchange', 'failed', -3, 6, { error: 'disk_full' }),
  item('link', 'online', -48, 6),
];

describe('the lanes', () => {
  const drawn = Object.fromEntries(
    lanes(events, from, to, (moment) => new Date(moment).toISOString().slice(11, 16)).map((lane) => [
      lane.kind,
      lane,
    ]),
  );

  test('hold states from where they began to where they ended, within the period', () => {
    const link = drawn['link']?.bars.map(({ start, end, look }) => [start, end, look]);
    expect(link).toEqual([
      [0.5, 1, 'well'],
      [0.25, 0.5, 'off'],
      [0, 0.25, 'well'],
    ]);
    expect(drawn['exchange']?.bars.map(({ start, end, look }) => [start, end, look])).toEqual([
      [0, 0.25, 'bad'],
    ]);
  });

  test('join a job’s request and its end', () => {
    const jobs = drawn['jobs']?.bars.map(({ start, end, look }) => [start * 24, Math.round(end * 24), look]);
    expect(jobs).toEqual([
      [20, 24, 'plain'],
      [7, 8, 'bad'],
    ]);
    expect(drawn['jobs']?.bars[1]?.title).toBe('Reset POS database: failed (Disk is full)\n07:00 – 08:00');
  });

  test('mark what has no length, and leave out what lies outside', () => {
    expect(drawn['version']?.marks.map(({ at }) => at)).toEqual([0.125]);
    const later = lanes(events, to, to + 86_400_000, String).find(({ kind }) => kind === 'version');
    expect(later?.marks).toEqual([]);
  });
});

test('a period is summed up in a line', () => {
  expect(summary(events, from, to)).toBe('1 outage, 6 hr in all · exchange failing 6 hr in all');
  expect(summary([item('link', 'online', -1)], from, to)).toBe('Always online, no failed exchange.');
  expect(summary([], from, to)).toBe('');
});

test('each event has words, in Russian too', () => {
  expect(events.map(eventWords)).toEqual([
    'Diagnosis: requested',
    'Connected',
    'Reset POS database: failed (Disk is full)',
    'Reset POS database: requested',
    'Offline: connection lost',
    'POS version 34.5.2 → 34.6.0',
    'Exchange fails: Disk is full',
    'Connected',
  ]);
  const flapping = item('link', 'online', 1, null, { skipped: '22' });
  expect(skippedWords(flapping)).toBe('and 22 earlier changes that day');
  expect(skippedWords(events[0] as TimelineItem)).toBe(null);
  overwriteGetLocale(() => 'ru');
  expect(skippedWords(flapping)).toBe('и ещё 22 изменения раньше в тот день');
  expect(eventWords(events[4] as TimelineItem)).toBe('Не в сети: связь потеряна');
  expect(eventWords(item('day', 'sums', 0, 24, { outages: '5', offline_seconds: '7200' }))).toBe(
    '5 обрывов за день, не в сети 2 ч',
  );
  overwriteGetLocale(() => 'en');
});

test('the axis has round moments of the zone, across the change of clocks too', () => {
  const { from: start, to: end } = period('week', Date.parse('2026-10-28T10:00:00Z'));
  const midnights = ticks(start, end, 'week', 'Europe/Riga').map((tick) => new Date(tick).toISOString());
  // Riga puts its clocks back on 25 October.
  expect(midnights[0]).toBe('2026-10-21T21:00:00.000Z');
  expect(midnights.at(-1)).toBe('2026-10-27T22:00:00.000Z');
  expect(midnights).toHaveLength(7);
});

test('what is searched for is cut out of a line in whatever case', () => {
  expect(pieces('Error: no error', 'ERROR')).toEqual(['', 'Error', ': no ', 'error', '']);
  expect(pieces('ошибка', 'ОШИБКА')).toEqual(['', 'ошибка', '']);
  expect(pieces('plain', '')).toEqual(['plain']);
  // A letter whose small form is longer would shift the places: rather no mark than a wrong one.
  expect(pieces('İstanbul error', 'error')).toEqual(['İstanbul error']);
});
