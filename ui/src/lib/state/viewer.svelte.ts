// An archive that is looked into: only a window of its lines is here; the rest is the core's.

import type { AppError, Backend, Jump, Level, LogEntry, LogLine, LogPlace, Viewer } from '../backend/types';
import { toAppError } from './errors';

/** Lines read before and after those on screen. */
const AHEAD = 100;
const MOST = 500;
export const levels: Level[] = ['error', 'warn', 'info', 'debug', 'trace', 'none'];

export class LogView {
  /** How many lines pass the filter. */
  total = $state(0);
  /** The first line on screen. */
  top = $state(0);
  /** How many lines fit. */
  fits = $state(20);
  /** The line that the keyboard is on. */
  active = $state(0);
  chosen = $state.raw<Level[]>(levels);
  file = $state<number | null>(null);
  /** What is searched for, and what came of it. */
  text = $state('');
  matches = $state<number | null>(null);
  /** Which of the matches was jumped to last, from 1 on. */
  match = $state(0);
  searching = $state(false);
  entry = $state.raw<LogEntry | null>(null);
  error = $state.raw<AppError | null>(null);

  private window = $state.raw<{ offset: number; lines: LogLine[] }>({ offset: 0, lines: [] });
  private wanted: number | null = null;
  private reading = false;
  private entryTurn = 0;
  private findTurn = 0;

  constructor(
    private readonly backend: Backend,
    readonly viewer: Viewer,
  ) {
    this.total = viewer.log?.lines ?? 0;
    void this.readEntry();
  }

  line(place: number): LogLine | undefined {
    return this.window.lines[place - this.window.offset];
  }

  scroll(top: number): void {
    this.top = Math.max(0, Math.min(Math.round(top), this.total - this.fits));
    this.show();
  }

  /** Puts the keyboard on a line and brings it on screen: with the least scrolling, or to the middle. */
  go(place: number, middle = false): void {
    const line = Math.max(0, Math.min(place, this.total - 1));
    if (line !== this.active) {
      this.active = line;
      void this.readEntry();
    }
    if (line >= this.top && line < this.top + this.fits) return;
    if (middle) this.scroll(line - Math.floor(this.fits / 2));
    else this.scroll(line < this.top ? line : line - this.fits + 1);
  }

  /** Makes sure that the lines on screen are here, soon. */
  show(): void {
    const end = Math.min(this.top + this.fits + 1, this.total);
    for (let place = this.top; place < end; place += 1) {
      if (this.line(place)) continue;
      this.wanted = this.top;
      if (!this.reading) void this.read();
      return;
    }
  }

  async filter(chosen: Level[], file: number | null): Promise<void> {
    this.chosen = chosen;
    this.file = file;
    await this.ask(async () => {
      const near = this.active;
      const shown = await this.backend.viewerFilter(this.viewer.id, { levels: chosen, file }, near);
      this.total = shown.total;
      if (this.matches !== null) this.matches = shown.matches;
      this.match = 0;
      this.forget();
      this.active = shown.place;
      this.scroll(shown.place - Math.floor(this.fits / 2));
      await this.readEntry();
    });
  }

  async find(text: string): Promise<void> {
    this.text = text;
    const turn = (this.findTurn += 1);
    this.searching = text !== '';
    await this.ask(async () => {
      const found = await this.backend.viewerFind(this.viewer.id, text, this.active);
      if (!found || turn !== this.findTurn) return;
      this.matches = text === '' ? null : found.count;
      this.forget();
      this.show();
      this.take(found.first);
    });
    if (turn === this.findTurn) this.searching = false;
  }

  async jump(to: Jump): Promise<void> {
    await this.ask(async () => this.take(await this.backend.viewerJump(this.viewer.id, this.active, to)));
  }

  private take(found: LogPlace | null): void {
    if (!found) return;
    if (found.number > 0) this.match = found.number;
    this.go(found.place, true);
  }

  private forget(): void {
    this.window = { offset: 0, lines: [] };
    this.show();
  }

  private async read(): Promise<void> {
    this.reading = true;
    await this.ask(async () => {
      while (this.wanted !== null) {
        const { window: before } = this;
        const offset = Math.max(0, this.wanted - AHEAD);
        this.wanted = null;
        const limit = Math.min(MOST, this.fits + 2 * AHEAD);
        const window = await this.backend.viewerWindow(this.viewer.id, offset, limit);
        // Another filter or search came meanwhile: what was read is of the one before.
        if (before === this.window && window.total === this.total) this.window = window;
        else this.wanted ??= this.top;
      }
    });
    this.reading = false;
  }

  private async readEntry(): Promise<void> {
    const turn = (this.entryTurn += 1);
    await this.ask(async () => {
      const entry = this.total === 0 ? null : await this.backend.viewerEntry(this.viewer.id, this.active);
      if (turn === this.entryTurn) this.entry = entry;
    });
  }

  private async ask(question: () => Promise<void>): Promise<void> {
    try {
      await question();
    } catch (thrown) {
      this.error = toAppError(thrown);
    }
  }
}

/** A text cut at what is searched for: every other piece matches. */
export function pieces(text: string, search: string): string[] {
  if (search === '') return [text];
  const found: string[] = [];
  const [low, wanted] = [text.toLowerCase(), search.toLowerCase()];
  // Letters whose small form is longer would shift the places.
  if (low.length !== text.length) return [text];
  let at = 0;
  for (let next = low.indexOf(wanted); next >= 0; next = low.indexOf(wanted, at)) {
    found.push(text.slice(at, next), text.slice(next, next + wanted.length));
    at = next + wanted.length;
  }
  return [...found, text.slice(at)];
}
