// The columns of the grid: their order, widths, and what is shown at first.

import type { ColumnSetting } from './backend/types';

export const MIN_WIDTH = 56;
export const MAX_WIDTH = 800;

export const defaultColumns: readonly ColumnSetting[] = [
  { key: 'link', width: 150, visible: true },
  { key: 'organization', width: 220, visible: true },
  { key: 'chain', width: 124, visible: true },
  { key: 'crm_id', width: 82, visible: true },
  { key: 'address', width: 200, visible: false },
  { key: 'name', width: 104, visible: true },
  { key: 'pos_version', width: 118, visible: true },
  { key: 'required_version', width: 124, visible: false },
  { key: 'connector_version', width: 132, visible: false },
  { key: 'version_updated_at', width: 118, visible: true },
  { key: 'last_report_at', width: 116, visible: false },
  { key: 'last_success_at', width: 148, visible: true },
  { key: 'error', width: 236, visible: true },
  { key: 'behind', width: 150, visible: true },
  { key: 'offline', width: 216, visible: true },
  { key: 'database', width: 220, visible: false },
  { key: 'unsent_transactions', width: 142, visible: false },
  { key: 'active_job', width: 150, visible: true },
];

/** Columns that name the store: always on screen, and first. */
export const pinned = ['link', 'organization'];

/** Settings of an older or newer version: unknown columns go, missing ones come in at their place. */
export function mergeColumns(saved: readonly ColumnSetting[]): ColumnSetting[] {
  const known = new Map(defaultColumns.map((column) => [column.key, column]));
  const merged: ColumnSetting[] = [];
  for (const { key, width, visible } of saved) {
    if (!known.delete(key)) continue;
    merged.push({ key, width: clampWidth(width), visible: visible || pinned.includes(key) });
  }
  for (const column of known.values()) {
    const at = defaultColumns.findIndex(({ key }) => key === column.key);
    merged.splice(Math.min(at, merged.length), 0, { ...column });
  }
  return merged;
}

export function clampWidth(width: number): number {
  return Math.round(Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, Number.isFinite(width) ? width : MIN_WIDTH)));
}

/** Left edges of the leading columns that stay on screen while the others scroll, by key. */
export function pinnedEdges(columns: readonly ColumnSetting[]): ReadonlyMap<string, number> {
  const edges = new Map<string, number>();
  let left = 0;
  for (const { key, width } of columns) {
    if (!pinned.includes(key)) break;
    edges.set(key, left);
    left += width;
  }
  return edges;
}
