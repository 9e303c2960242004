// A sample archive to look into: two logs of a day, made line by line from its number.

import { pause, refusal } from './mock';
import type {
  AppEvent,
  Archive,
  Jump,
  Level,
  LogFilter,
  LogFound,
  LogLine,
  LogPlace,
  LogShown,
  LogSummary,
  LogWindow,
  Viewer,
} from './types';

const files = ['pos.log', 'plugins/loyalty.log'];
const start = Date.parse('2026-11-20T21:00:00Z');
const words = [
  'Exchange done: 12 changes taken, 3 transactions sent',
  'Guest account 4711: 240 points added',
  'Program “Happy hour” applied to order 88213',
  'Report written for the connector',
  'Guest card ************4417 read',
];

function line(n: number): LogLine {
  const at = new Date(start + n * 1440).toISOString();
  const entry = (level: Level, text: string): LogLine => ({
    at,
    level,
    file: n % 7 === 3 ? 1 : 0,
    starts: true,
    matches: false,
    text: `${at.replace('T', ' ').slice(0, 23)} ${level.toUpperCase()} ${text}`,
  });
  if (n % 997 === 41) return entry('error', 'Exchange failed: connect timed out after 10 s');
  if (n % 997 === 42 || n % 997 === 43) {
    const before = line(n - (n % 997) + 41);
    const text = n % 997 === 42 ? '    at exchange::send (exchange.rs:118)' : '    caused by: os error 110';
    return { ...before, starts: false, text };
  }
  if (n % 211 === 17) return entry('warn', 'The cloud answers slowly: 4.2 s');
  if (n % 13 === 5) return entry('debug', `cursor ${n * 31}, checksum ok`);
  return entry('info', words[n % words.length] ?? '');
}

export class MockViewer {
  private id = 0;
  private lines: LogLine[] = [];
  private shown: LogLine[] = [];
  private search = '';

  constructor(
    private readonly emit: (event: AppEvent) => void,
    private readonly pace: number,
    private readonly count: number,
    private readonly failing: string | null,
  ) {}

  open(archives: Archive[]): Viewer {
    this.id += 1;
    const { id } = this;
    const total = archives.reduce((sum, archive) => sum + archive.size_bytes, 0);
    const viewer: Viewer = { id, phase: 'fetching', done: 0, total, log: null, error: null };
    void this.play(viewer);
    return structuredClone(viewer);
  }

  private async play(viewer: Viewer): Promise<void> {
    for (const phase of ['fetching', 'reading'] as const) {
      for (let step = 0; step < 4; step += 1) {
        await pause(this.pace);
        if (viewer.id !== this.id) return;
        this.emit({ type: 'viewer', viewer: { ...viewer, phase, done: (viewer.total * step) / 4 } });
      }
    }
    if (this.failing) {
      const error = refusal(this.failing, { name: 'riga-logs.zip' });
      this.emit({ type: 'viewer', viewer: { ...viewer, phase: 'failed', error } });
      return;
    }
    this.lines = Array.from({ length: this.count }, (_, n) => line(n));
    this.shown = this.lines;
    this.search = '';
    this.emit({ type: 'viewer', viewer: { ...viewer, phase: 'ready', log: this.summary() } });
  }

  private summary(): LogSummary {
    const levels = { error: 0, warn: 0, info: 0, debug: 0, trace: 0, none: 0 };
    for (const { level, starts } of this.lines) if (starts) levels[level] += 1;
    return {
      outlet: 'Vilnius Centrs',
      time_zone: 'Europe/Vilnius',
      lines: this.lines.length,
      entries: this.lines.filter(({ starts }) => starts).length,
      levels,
      files: files.map((name, n) => ({
        name,
        lines: this.lines.filter(({ file }) => file === n).length,
      })),
      from: this.lines[0]?.at ?? null,
      to: this.lines.at(-1)?.at ?? null,
      truncated: false,
    };
  }

  window(id: number, offset: number, limit: number): LogWindow {
    this.check(id);
    const lines = this.shown.slice(offset, offset + limit);
    return {
      offset,
      total: this.shown.length,
      lines: lines.map((entry) => ({ ...entry, matches: this.hits(entry) })),
    };
  }

  filter(id: number, filter: LogFilter, near: number): LogShown {
    this.check(id);
    const at = this.shown[near]?.at ?? '';
    this.shown = this.lines.filter(
      ({ level, file }) => filter.levels.includes(level) && (filter.file === null || filter.file === file),
    );
    const place = this.shown.findIndex((other) => (other.at ?? '') >= at);
    return {
      total: this.shown.length,
      place: place < 0 ? Math.max(0, this.shown.length - 1) : place,
      matches: this.matches().length,
    };
  }

  find(id: number, text: string, near: number): LogFound {
    this.check(id);
    this.search = text.toLowerCase();
    const matches = this.matches();
    const number = Math.max(
      0,
      matches.findIndex((place) => place >= near),
    );
    const place = matches[number];
    return { count: matches.length, first: place === undefined ? null : { place, number: number + 1 } };
  }

  jump(id: number, from: number, to: Jump): LogPlace | null {
    this.check(id);
    const errors = to === 'next_error' || to === 'previous_error';
    const places = errors
      ? this.shown.flatMap(({ level, starts }, n) => (level === 'error' && starts ? [n] : []))
      : this.matches();
    const next = to === 'next_error' || to === 'next_match';
    const found = next
      ? (places.find((place) => place > from) ?? places[0])
      : (places.findLast((place) => place < from) ?? places.at(-1));
    if (found === undefined) return null;
    return { place: found, number: errors ? 0 : places.indexOf(found) + 1 };
  }

  entry(id: number, place: number) {
    this.check(id);
    const chosen = this.shown[place];
    if (!chosen) return null;
    let first = this.lines.indexOf(chosen);
    while (first > 0 && !this.lines[first]?.starts) first -= 1;
    let end = first + 1;
    while (end < this.lines.length && !this.lines[end]?.starts) end += 1;
    const text = this.lines.slice(first, end).map((other) => other.text);
    return { text: text.join('\n'), truncated: false };
  }

  close(id: number): void {
    if (id === this.id) this.id += 1;
  }

  private check(id: number): void {
    if (id !== this.id) throw refusal('not_found');
  }

  private hits(entry: LogLine): boolean {
    return this.search !== '' && entry.text.toLowerCase().includes(this.search);
  }

  private matches(): number[] {
    return this.shown.flatMap((entry, n) => (this.hits(entry) ? [n] : []));
  }
}
