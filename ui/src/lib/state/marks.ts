// Which rows have just changed by themselves, and what they were before: a cell that reads otherwise is marked.

import type { GridChanges, Row } from '../backend/types';
import type { Rows } from './rows';

/** How long a changed cell is marked. */
export const MARKED_MILLISECONDS = 1200;

/** Rows as they were before, by id. */
export type Marks = ReadonlyMap<string, Row>;

export const noMarks: Marks = new Map();

export class Marker {
  private readonly marked = new Map<string, { before: Row; until: number }>();

  /** Takes in what changes about the rows. One that only moved or was selected is no news. */
  add(rows: Rows, changes: GridChanges, now: number): void {
    const known = new Map([...rows.values()].map((row) => [row.id, row]));
    for (const { row } of changes.rows) {
      const before = known.get(row.id);
      if (!before || before.revision === row.revision) continue;
      const earlier = this.marked.get(row.id)?.before;
      this.marked.set(row.id, { before: earlier ?? before, until: now + MARKED_MILLISECONDS });
    }
  }

  /** What is marked now. */
  current(now: number): Marks {
    for (const [id, { until }] of this.marked) if (until <= now) this.marked.delete(id);
    if (this.marked.size === 0) return noMarks;
    return new Map([...this.marked].map(([id, { before }]) => [id, before]));
  }
}
