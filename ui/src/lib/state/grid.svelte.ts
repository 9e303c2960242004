// The grid's rows: only a window of them is here; order, filter and selection live in the core.

import type { Backend, Cursor, GridChanges, GridSummary, Row, SelectOp } from '../backend/types';
import { MARKED_MILLISECONDS, Marker, noMarks, type Marks } from './marks';
import { noRows, takeChanges, takeWindow, type Rows } from './rows';

const KEPT_ROWS = 800;
/** Rows read beyond what is on screen, and how near to their end more are read. */
const AHEAD = 64;
const NEAR = 24;
/** The same in steps of scrolling at the present pace: what comes on screen while more is read. */
const STEPS_AHEAD = 16;
const STEPS_NEAR = 8;
/** How many rows they are at most: the core gives a thousand at a time, and what is on screen has to be among them. */
const MOST_AHEAD = 400;

/** Where the keyboard is: row -1 is the header. */
export interface Active {
  row: number;
  column: number;
}

export class Grid {
  summary = $state.raw<GridSummary>({
    version: 0,
    total: 0,
    matching: 0,
    selected: 0,
    errors: 0,
    update_required: 0,
    offline: 0,
    unknown: 0,
    as_of: null,
    loaded: false,
  });
  active = $state.raw<Active>({ row: 0, column: 0 });
  /** What was just done to the grid, for those who do not see it. */
  said = $state('');
  /** Rows that have just changed by themselves, as they were before, by id. */
  marks = $state.raw<Marks>(noMarks);
  /** The rows could not be read. */
  failure = $state.raw<unknown>(null);
  /** Resolves when the core knows of every choice made so far. */
  chosen: Promise<void> = Promise.resolve();
  /** Resolves when the rows that were last asked for are here, or could not be read. */
  settled: Promise<void> = Promise.resolve();
  /** The store that the core knows the keyboard to be at. */
  private cursor: string | null = null;
  private rows = $state.raw<Rows>(noRows);
  private version = -1;
  private wanted: { offset: number; limit: number } | null = null;
  private last = { offset: 0, limit: 60 };
  /** How many rows the last step of scrolling went, down or, below 0, up. */
  private pace = 0;
  private running = false;
  private readonly marker = new Marker();
  private unmarking: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly backend: Backend,
    private readonly onSummary: (summary: GridSummary) => void,
    private readonly onError: (thrown: unknown) => void,
    /** Whether nothing should move or flash. */
    private readonly still: () => boolean = () => true,
  ) {}

  rowAt(index: number): Row | undefined {
    return this.rows.get(index);
  }

  /**
   * Takes what the core told. The rows are put right by the changes that came along, if these are about the rows that
   * are here, and are read again otherwise.
   */
  update(summary: GridSummary, changes: GridChanges | null = null, cursor: Cursor | null = null): void {
    // Answers may overtake each other.
    if (summary.version < this.summary.version) return;
    this.summary = summary;
    if (changes?.since === this.version && summary.version > this.version) {
      this.mark(changes);
      this.rows = takeChanges(this.rows, changes, summary.matching);
      this.version = summary.version;
    }
    const lastRow = Math.max(0, summary.matching - 1);
    // The keyboard stays at its store when rows move.
    if (cursor && cursor.index !== null && cursor.id === this.cursor && this.active.row >= 0) {
      if (cursor.index !== this.active.row) this.active = { ...this.active, row: cursor.index };
    } else if (this.active.row > lastRow) this.active = { ...this.active, row: lastRow };
    if (summary.version !== this.version) this.wantAround();
    else this.tellCursor();
  }

  /** Puts the keyboard to a cell. */
  activate(row: number, column: number): void {
    this.active = { row, column };
    this.tellCursor();
  }

  /** Says what was done; the same twice is said twice. */
  say(words: string): void {
    this.said = this.said === words ? `${words}\u00a0` : words;
  }

  /** Makes sure that these rows are here, soon. */
  show(offset: number, limit: number): void {
    if (offset !== this.last.offset) {
      const step = offset - this.last.offset;
      // Who jumps goes nowhere in particular.
      this.pace = Math.abs(step) > limit ? 0 : step;
    }
    this.last = { offset, limit };
    if (!this.hasLast()) this.wantAround();
  }

  /** Whether these rows, as far as there are so many, are here as the core last told of them. */
  has(offset: number, limit: number): boolean {
    if (this.version !== this.summary.version) return false;
    const end = Math.min(offset + limit, this.summary.matching);
    for (let index = offset; index < end; index += 1) if (!this.rows.has(index)) return false;
    return true;
  }

  private hasLast(): boolean {
    const { offset, limit } = this.reach(NEAR, STEPS_NEAR);
    return this.has(offset, limit);
  }

  /** Choices take effect in the order in which they were made. */
  select(op: SelectOp): Promise<void> {
    // What works on the selection is on before the core has answered.
    if (op.op === 'only') this.summary = { ...this.summary, selected: 1 };
    this.chosen = this.chosen.then(() => this.send(op));
    return this.chosen;
  }

  private async send(op: SelectOp): Promise<void> {
    try {
      this.onSummary(await this.backend.select(op));
    } catch (thrown) {
      this.onError(thrown);
    }
  }

  /** Lets the core know which store the keyboard is at, once that is known here. */
  private tellCursor(): void {
    const id = this.rows.get(this.active.row)?.id ?? null;
    // A row that is still on its way says who it is when it is here.
    if (id === this.cursor || (id === null && this.active.row >= 0)) return;
    this.cursor = id;
    this.backend.setCursor(id).catch(this.onError);
  }

  private mark(changes: GridChanges): void {
    if (this.still()) return;
    this.marker.add(this.rows, changes, Date.now());
    this.showMarks();
  }

  private showMarks(): void {
    this.marks = this.marker.current(Date.now());
    clearTimeout(this.unmarking);
    if (this.marks !== noMarks) this.unmarking = setTimeout(() => this.showMarks(), MARKED_MILLISECONDS / 4);
  }

  private wantAround(): void {
    this.wanted = this.reach(AHEAD, STEPS_AHEAD);
    if (!this.running) this.settled = this.run();
  }

  /** What is on screen, so many rows on either side, and what so many steps of scrolling bring. */
  private reach(rows: number, steps: number): { offset: number; limit: number } {
    const { offset, limit } = this.last;
    const way = Math.max(-MOST_AHEAD, Math.min(this.pace * steps, MOST_AHEAD));
    const start = Math.max(0, offset - rows + Math.min(0, way));
    return { offset: start, limit: offset + limit + rows + Math.max(0, way) - start };
  }

  private async run(): Promise<void> {
    this.running = true;
    while (this.wanted !== null) {
      const { offset, limit } = this.wanted;
      this.wanted = null;
      try {
        const window = await this.backend.gridWindow(offset, limit);
        if (window.version < this.version) {
          // Changes overtook it, which it does not hold.
          this.wanted ??= this.reach(AHEAD, STEPS_AHEAD);
          continue;
        }
        const fresh = window.version !== this.version || this.rows.size > KEPT_ROWS;
        this.version = window.version;
        this.rows = takeWindow(this.rows, window, fresh);
        this.failure = null;
        // Rows that changed meanwhile came before this did.
        if (this.version < this.summary.version) this.wanted ??= this.reach(AHEAD, STEPS_AHEAD);
        // What was wanted while they were on their way may have come with them.
        else if (this.hasLast()) this.wanted = null;
        this.tellCursor();
      } catch (thrown) {
        this.failure = thrown;
        this.onError(thrown);
      }
    }
    this.running = false;
  }
}
