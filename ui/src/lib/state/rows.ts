// The rows that are here, by their place in the order.

import type { GridChanges, GridWindow, Row } from '../backend/types';

export type Rows = ReadonlyMap<number, Row>;

export const noRows: Rows = new Map();

/** Takes a window in; with `fresh` nothing else is kept. A row that did not change stays the same object. */
export function takeWindow(before: Rows, window: GridWindow, fresh: boolean): Rows {
  const rows = new Map(fresh ? [] : before);
  window.rows.forEach((row, i) => {
    const index = window.offset + i;
    const known = before.get(index);
    rows.set(index, known && same(known, row) ? known : row);
  });
  return rows;
}

/** Puts changes over the rows that they are about; of others nothing is known any more. */
export function takeChanges(before: Rows, changes: GridChanges, matching: number): Rows {
  const end = Math.min(changes.offset + changes.limit, matching);
  const rows = new Map<number, Row>();
  for (const [index, row] of before) if (index >= changes.offset && index < end) rows.set(index, row);
  for (const { index, row } of changes.rows) rows.set(index, row);
  return rows;
}

/** Whether nothing on screen would differ. */
function same(a: Row, b: Row): boolean {
  if (a.id !== b.id || a.revision !== b.revision || a.selected !== b.selected) return false;
  return JSON.stringify(a) === JSON.stringify(b);
}
