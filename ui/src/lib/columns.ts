// The columns of the grid: their order, widths, and what is shown at first.

import type { ColumnSetting } from './backend/types';

export const MIN_WIDTH = 56;
export const MAX_WIDTH = 800;

export const defaultColumns: readonly ColumnSetting[] = [
  { key: 'link', width: 150, visible: true, pinned: true },
  { key: 'organization', width: 220, visible: true, pinned: true },
  { key: 'chain', width: 124, visible: true, pinned: false },
  { key: 'crm_id', width: 82, visible: true, pinned: false },
  { key: 'address', width: 200, visible: false, pinned: false },
  { key: 'name', width: 104, visible: true, pinned: false },
  { key: 'pos_version', width: 118, visible: true, pinned: false },
  { key: 'required_version', width: 124, visible: false, pinned: false },
  { key: 'connector_version', width: 132, visible: false, pinned: false },
  { key: 'version_updated_at', width: 118, visible: true, pinned: false },
  { key: 'last_report_at', width: 116, visible: false, pinned: false },
  { key: 'last_success_at', width: 148, visible: true, pinned: false },
  { key: 'error', width: 236, visible: true, pinned: false },
  { key: 'behind', width: 150, visible: true, pinned: false },
  { key: 'offline', width: 216, visible: true, pinned: false },
  { key: 'database', width: 220, visible: false, pinned: false },
  { key: 'unsent_transactions', width: 142, visible: false, pinned: false },
  { key: 'active_job', width: 150, visible: true, pinned: false },
];

/** Columns that say which store it is and how it stands with it: they can't be hidden. */
export const essential = ['link', 'organization'];

/**
 * Settings of an older or newer version: unknown columns go, missing ones come in at their place, and those that stay
 * on screen come first.
 */
export function mergeColumns(saved: readonly ColumnSetting[]): ColumnSetting[] {
  const known = new Map(defaultColumns.map((column) => [column.key, column]));
  const merged: ColumnSetting[] = [];
  for (const { key, width, visible, pinned } of saved) {
    if (!known.delete(key)) continue;
    merged.push({ key, width: clampWidth(width), visible: visible || essential.includes(key), pinned });
  }
  for (const column of known.values()) {
    const at = defaultColumns.findIndex(({ key }) => key === column.key);
    merged.splice(Math.min(at, merged.length), 0, { ...column });
  }
  return pinnedFirst(merged);
}

export function clampWidth(width: number): number {
  return Math.round(Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, Number.isFinite(width) ? width : MIN_WIDTH)));
}

/** Left edges of the leading columns that stay on screen while the others scroll, by key. */
export function pinnedEdges(columns: readonly ColumnSetting[]): ReadonlyMap<string, number> {
  const edges = new Map<string, number>();
  let left = 0;
  for (const { key, width, pinned } of columns) {
    if (!pinned) break;
    edges.set(key, left);
    left += width;
  }
  return edges;
}

/** One column with something else about it. */
export function withColumn(
  columns: readonly ColumnSetting[],
  key: string,
  change: Partial<Omit<ColumnSetting, 'key'>>,
): ColumnSetting[] {
  return pinnedFirst(columns.map((column) => (column.key === key ? { ...column, ...change } : column)));
}

/**
 * The columns with one of them before another, or last where that is null. One that is put among those that stay on
 * screen stays there as well, and one that is taken from among them does not.
 */
export function columnMoved(
  columns: readonly ColumnSetting[],
  key: string,
  before: string | null,
): ColumnSetting[] {
  const moved = columns.find((column) => column.key === key);
  if (!moved || key === before) return [...columns];
  const others = columns.filter((column) => column !== moved);
  const at = before === null ? others.length : others.findIndex((column) => column.key === before);
  const shown = (list: ColumnSetting[]) => list.filter(({ visible }) => visible);
  const left = shown(others.slice(0, at)).at(-1);
  const right = shown(others.slice(at))[0];
  // Between the two groups it stays what it was.
  const pinned = right?.pinned ? true : left && !left.pinned ? false : moved.pinned;
  return pinnedFirst([...others.slice(0, at), { ...moved, pinned }, ...others.slice(at)]);
}

/** The columns with one of them a place further to the right or, where `by` is negative, to the left. */
export function columnStepped(columns: readonly ColumnSetting[], key: string, by: 1 | -1): ColumnSetting[] {
  const shown = columns.filter(({ visible }) => visible);
  const at = shown.findIndex((column) => column.key === key);
  const to = at + by;
  if (at < 0 || to < 0 || to >= shown.length) return [...columns];
  // Across the border of those that stay on screen, the border moves rather than the column.
  const [column, other] = [shown[at], shown[to]];
  if (column && other && column.pinned !== other.pinned)
    return withColumn(columns, key, { pinned: other.pinned });
  return columnMoved(columns, key, (by < 0 ? shown[to] : shown[to + 1])?.key ?? null);
}

function pinnedFirst(columns: ColumnSetting[]): ColumnSetting[] {
  return [...columns.filter(({ pinned }) => pinned), ...columns.filter(({ pinned }) => !pinned)];
}
