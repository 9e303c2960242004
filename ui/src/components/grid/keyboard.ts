// Keys of the grid, by the grid pattern of the ARIA Authoring Practices. Row -1 is the header.

export type GridCommand =
  | { type: 'move'; row: number; column: number; extend: boolean }
  | { type: 'toggle' | 'select' | 'all' | 'open' | 'menu' | 'copy' }
  | { type: 'sort'; add: boolean }
  | { type: 'resize'; by: number }
  | { type: 'reorder'; by: 1 | -1 };

export interface GridShape {
  rows: number;
  columns: number;
  /** Rows of a page. */
  page: number;
}

type Keys = Pick<KeyboardEvent, 'key' | 'code' | 'shiftKey' | 'ctrlKey' | 'metaKey' | 'altKey'>;

const RESIZE_STEP = 16;

export function gridKey(
  event: Keys,
  active: { row: number; column: number },
  { rows, columns, page }: GridShape,
): GridCommand | null {
  const control = event.ctrlKey || event.metaKey;
  const inHeader = active.row === -1;
  const clampRow = (row: number) => Math.max(rows === 0 ? -1 : 0, Math.min(rows - 1, row));
  const to = (row: number, column: number): GridCommand => ({
    type: 'move',
    row,
    column: Math.max(0, Math.min(columns - 1, column)),
    extend: event.shiftKey && row >= 0 && row !== active.row,
  });
  if (event.altKey) {
    const by = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : null;
    if (!inHeader || by === null) return null;
    return event.shiftKey ? { type: 'reorder', by } : { type: 'resize', by: by * RESIZE_STEP };
  }
  switch (event.key) {
    case 'ArrowDown':
      return to(inHeader ? clampRow(0) : clampRow(active.row + 1), active.column);
    case 'ArrowUp':
      // The header is above the first row; a range ends at the first row.
      return to(event.shiftKey ? clampRow(active.row - 1) : Math.max(-1, active.row - 1), active.column);
    case 'ArrowLeft':
      return to(active.row, active.column - 1);
    case 'ArrowRight':
      return to(active.row, active.column + 1);
    case 'Home':
      return control ? to(clampRow(0), 0) : to(active.row, 0);
    case 'End':
      return control ? to(clampRow(rows - 1), columns - 1) : to(active.row, columns - 1);
    case 'PageDown':
      return to(clampRow(active.row + page), active.column);
    case 'PageUp':
      return to(clampRow(active.row - page), active.column);
    case ' ':
      if (inHeader) return { type: 'sort', add: event.shiftKey };
      return rows > 0 ? { type: event.shiftKey ? 'select' : 'toggle' } : null;
    case 'Enter':
      return inHeader ? { type: 'sort', add: event.shiftKey } : rows > 0 ? { type: 'open' } : null;
    case 'ContextMenu':
      return inHeader || rows > 0 ? { type: 'menu' } : null;
    case 'F10':
      return event.shiftKey && (inHeader || rows > 0) ? { type: 'menu' } : null;
  }
  // By the key's place, so that it works with Russian letters too.
  if (control && !event.shiftKey && event.code === 'KeyA') return { type: 'all' };
  if (control && !event.shiftKey && event.code === 'KeyC') return { type: 'copy' };
  return null;
}
