// The rows that are here, by their place in the order.

import type { GridWindow, Row } from '../backend/types';

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

/** Whether nothing on screen would differ. */
function same(a: Row, b: Row): boolean {
  if (a.id !== b.id || a.revision !== b.revision || a.selected !== b.selected) return false;
  return JSON.stringify(a) === JSON.stringify(b);
}
