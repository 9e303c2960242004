// The grid's rows: only a window of them is here; order, filter and selection live in the core.

import type { Backend, GridSummary, Row, SelectOp } from '../backend/types';
import { noRows, takeWindow, type Rows } from './rows';

const KEPT_ROWS = 600;
/** Rows read beyond what is on screen, and how near to their end more are read. */
const AHEAD = 64;
const NEAR = 24;

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
  /** The rows could not be read. */
  failure = $state.raw<unknown>(null);
  /** Resolves when the core knows of every choice made so far. */
  chosen: Promise<void> = Promise.resolve();
  /** Where a range starts. */
  private anchor = 0;
  private rows = $state.raw<Rows>(noRows);
  private version = -1;
  private wanted: { offset: number; limit: number } | null = null;
  private last = { offset: 0, limit: 60 };
  private running = false;

  constructor(
    private readonly backend: Backend,
    private readonly onSummary: (summary: GridSummary) => void,
    private readonly onError: (thrown: unknown) => void,
  ) {}

  rowAt(index: number): Row | undefined {
    return this.rows.get(index);
  }

  /** Takes what the core told, and reads the window again when the rows are others. */
  update(summary: GridSummary): void {
    // Answers may overtake each other.
    if (summary.version < this.summary.version) return;
    this.summary = summary;
    const lastRow = Math.max(0, summary.matching - 1);
    if (this.active.row > lastRow) this.active = { ...this.active, row: lastRow };
    this.anchor = Math.min(this.anchor, lastRow);
    if (summary.version !== this.version) this.want(this.last.offset, this.last.limit);
  }

  /** Makes sure that these rows are here, soon. */
  show(offset: number, limit: number): void {
    this.last = { offset, limit };
    if (this.version === this.summary.version) {
      let missing = false;
      const end = Math.min(offset + limit + NEAR, this.summary.matching);
      for (let index = Math.max(0, offset - NEAR); index < end && !missing; index += 1) {
        missing = !this.rows.has(index);
      }
      if (!missing) return;
    }
    const start = Math.max(0, offset - AHEAD);
    this.want(start, offset + limit + AHEAD - start);
  }

  /** Choices take effect in the order in which they were made. */
  select(op: SelectOp): Promise<void> {
    if (op.op === 'only' || op.op === 'toggle') this.anchor = op.index;
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

  /** From where the last single choice was made to here. */
  extendTo(index: number): Promise<void> {
    return this.select({ op: 'range', from: this.anchor, to: index });
  }

  private want(offset: number, limit: number): void {
    this.wanted = { offset, limit };
    if (!this.running) void this.run();
  }

  private async run(): Promise<void> {
    this.running = true;
    while (this.wanted !== null) {
      const { offset, limit } = this.wanted;
      this.wanted = null;
      try {
        const window = await this.backend.gridWindow(offset, limit);
        const fresh = window.version !== this.version || this.rows.size > KEPT_ROWS;
        this.version = window.version;
        this.rows = takeWindow(this.rows, window, fresh);
        this.failure = null;
      } catch (thrown) {
        this.failure = thrown;
        this.onError(thrown);
      }
    }
    this.running = false;
  }
}
