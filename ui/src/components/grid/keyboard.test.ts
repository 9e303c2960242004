import { expect, test } from 'vitest';
import { gridKey } from './keyboard';

const shape = { rows: 100, columns: 12, page: 20 };

function press(keys: string, active: { row: number; column: number }, of = shape) {
  const parts = keys.split('+');
  const key = parts.pop() ?? '';
  return gridKey(
    {
      key: key === 'Space' ? ' ' : key,
      code: /^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : key,
      shiftKey: parts.includes('Shift'),
      ctrlKey: parts.includes('Control'),
      metaKey: false,
      altKey: parts.includes('Alt'),
    },
    active,
    of,
  );
}

const move = (row: number, column: number, extend = false) => ({ type: 'move', row, column, extend });

test.each([
  ['ArrowDown', [0, 0], move(1, 0)],
  ['ArrowDown', [99, 0], move(99, 0)],
  ['ArrowDown', [-1, 3], move(0, 3)],
  ['ArrowUp', [0, 3], move(-1, 3)],
  ['ArrowUp', [-1, 3], move(-1, 3)],
  ['Shift+ArrowUp', [0, 0], move(0, 0)],
  ['Shift+ArrowDown', [4, 0], move(5, 0, true)],
  ['ArrowRight', [4, 11], move(4, 11)],
  ['ArrowLeft', [4, 0], move(4, 0)],
  ['Home', [4, 7], move(4, 0)],
  ['End', [4, 7], move(4, 11)],
  ['Control+Home', [50, 7], move(0, 0)],
  ['Control+End', [50, 7], move(99, 11)],
  ['PageDown', [50, 7], move(70, 7)],
  ['PageDown', [95, 7], move(99, 7)],
  ['PageUp', [5, 7], move(0, 7)],
  ['Shift+PageDown', [5, 7], move(25, 7, true)],
  ['Space', [5, 7], { type: 'toggle' }],
  ['Shift+Space', [5, 7], { type: 'select' }],
  ['Control+Shift+End', [50, 7], move(99, 11, true)],
  ['Control+Shift+Home', [50, 7], move(0, 0, true)],
  ['Shift+Home', [50, 7], move(50, 0)],
  ['Space', [-1, 7], { type: 'sort', add: false }],
  ['Shift+Enter', [-1, 7], { type: 'sort', add: true }],
  ['Enter', [5, 7], { type: 'open' }],
  ['Shift+F10', [5, 7], { type: 'menu' }],
  ['ContextMenu', [-1, 7], { type: 'menu' }],
  ['F10', [5, 7], null],
  ['Control+a', [5, 7], { type: 'all' }],
  ['Control+c', [5, 7], { type: 'copy' }],
  ['Alt+ArrowRight', [-1, 7], { type: 'resize', by: 16 }],
  ['Alt+Shift+ArrowLeft', [-1, 7], { type: 'reorder', by: -1 }],
  ['Alt+Shift+ArrowRight', [-1, 7], { type: 'reorder', by: 1 }],
  ['Alt+ArrowDown', [-1, 7], null],
  ['Alt+ArrowRight', [3, 7], null],
  ['x', [3, 7], null],
] as const)('%s at %j', (keys, [row, column], command) => {
  expect(press(keys, { row, column })).toEqual(command);
});

test('without rows only the header is there', () => {
  const none = { ...shape, rows: 0 };
  expect(press('ArrowDown', { row: -1, column: 0 }, none)).toEqual(move(-1, 0));
  expect(press('Enter', { row: 0, column: 0 }, none)).toBeNull();
});
