import { describe, expect, test } from 'vitest';
import type { Backend, GridQuery, GridSummary, GridWindow, Row, SelectOp } from '../backend/types';
import { clampWidth, columnMoved, columnStepped, defaultColumns, mergeColumns } from '../columns';
import { compareVersions } from '../format/version';
import { toAppError } from './errors';
import { Filters, noFilter } from './filters.svelte';
import { Grid } from './grid.svelte';

const summary = (version: number, matching: number): GridSummary => ({
  version,
  total: 1000,
  matching,
  selected: 0,
  errors: 0,
  update_required: 0,
  offline: 0,
  unknown: 0,
  as_of: null,
  loaded: true,
});

const settled = () => new Promise((resolve) => setTimeout(resolve));

/** A core that answers when it is told to. */
function slowCore() {
  const queries: { query: GridQuery; answer: (summary: GridSummary) => void }[] = [];
  const windows: { offset: number; limit: number; answer: (version: number) => void }[] = [];
  const selections: SelectOp[] = [];
  const cursors: (string | null)[] = [];
  const backend = {
    setQuery: (query: GridQuery) =>
      new Promise<GridSummary>((answer) => {
        queries.push({ query, answer });
      }),
    gridWindow: (offset: number, limit: number) =>
      new Promise<GridWindow>((resolve) => {
        const rows = Array.from(
          { length: limit },
          (_, i) => ({ id: `row ${offset + i}`, revision: 1 }) as Row,
        );
        windows.push({ offset, limit, answer: (version) => resolve({ version, offset, rows }) });
      }),
    setCursor: async (id: string | null) => {
      cursors.push(id);
    },
    select: async (op: SelectOp) => {
      selections.push(op);
      return summary(1, 1000);
    },
  } as unknown as Backend;
  return { backend, queries, windows, selections, cursors };
}

describe('filters', () => {
  function typed() {
    const core = slowCore();
    const filters = new Filters(
      core.backend,
      () => undefined,
      (thrown) => {
        throw thrown;
      },
    );
    return { ...core, filters };
  }

  test('wait for Search, except for the quick search', async () => {
    const { filters, queries } = typed();
    filters.value = '24';
    filters.problems = true;
    expect(filters.dirty).toBe(true);
    expect(queries).toHaveLength(0);
    void filters.apply();
    expect(queries[0]?.query).toMatchObject({ within: 'PT24H', problems_only: true });
    expect(filters.dirty).toBe(false);
    expect(filters.chips).toEqual(['period', 'problems']);
  });

  test('send one query at a time, and of those typed meanwhile only the last', async () => {
    const { filters, queries } = typed();
    for (const text of ['r', 'ri', 'rig', 'riga']) filters.typeSearch(text);
    expect(queries.map(({ query }) => query.search)).toEqual(['r']);
    queries[0]?.answer(summary(1, 10));
    await settled();
    expect(queries.map(({ query }) => query.search)).toEqual(['r', 'riga']);
  });

  test('are cleared by one button, the order stays', async () => {
    const { filters, queries } = typed();
    const sort = [{ column: 'chain', descending: true }];
    void filters.restore({ ...noFilter, within: 'P2D', search: 'riga', only: 'error', sort });
    expect([filters.value, filters.unit]).toEqual(['2', 'days']);
    void filters.clear();
    expect([filters.value, filters.search, filters.chips]).toEqual(['', '', []]);
    queries[0]?.answer(summary(1, 10));
    await settled();
    expect(queries[1]?.query).toEqual({ ...noFilter, sort });
  });

  test('do not take a number that is none', () => {
    const { filters } = typed();
    filters.value = 'soon';
    expect(filters.invalid).toBe(true);
    expect(filters.draft().within).toBeNull();
  });
});

describe('the grid', () => {
  function shown(still = true) {
    const core = slowCore();
    const grid: Grid = new Grid(
      core.backend,
      (now) => grid.update(now),
      (thrown) => {
        throw thrown;
      },
      () => still,
    );
    return { ...core, grid };
  }

  test('reads around the window that is on screen last, and keeps what it read', async () => {
    const { grid, windows } = shown();
    grid.update(summary(1, 1000));
    grid.show(0, 10);
    grid.show(500, 10);
    windows[0]?.answer(1);
    await settled();
    expect(windows.map(({ offset }) => offset)).toEqual([0, 500 - 64]);
    windows[1]?.answer(1);
    await settled();
    expect(grid.rowAt(505)?.id).toBe('row 505');
    const read = windows.length;
    grid.show(501, 5);
    expect(windows).toHaveLength(read);
  });

  test('asks once for what came with what was asked before', async () => {
    const { grid, windows } = shown();
    grid.update(summary(1, 1000));
    grid.show(0, 10);
    windows[0]?.answer(1);
    await grid.settled;
    expect(windows).toHaveLength(1);
    expect([grid.has(0, 10), grid.has(900, 10)]).toEqual([true, false]);
  });

  test('reads the further ahead the faster it is scrolled, and nowhere in particular after a jump', async () => {
    const { grid, windows } = shown();
    grid.update(summary(1, 100_000));
    windows[0]?.answer(1);
    await settled();
    const read = async (offset: number) => {
      const before = windows.length;
      grid.show(offset, 40);
      windows.at(-1)?.answer(1);
      await settled();
      const last = windows.at(-1);
      if (!last || windows.length === before) return null;
      return [offset - last.offset, last.offset + last.limit - offset - 40];
    };
    expect(await read(5000)).toEqual([64, 64]);
    expect(await read(5020), 'what is near would be passed while it is read').toEqual([64, 64 + 16 * 20]);
    expect(await read(5040), 'it was read').toBe(null);
    expect(await read(5010)).toEqual([64 + 400, 64]);
    expect(await read(80_000)).toEqual([64, 64]);
  });

  test('reads again when the core says that the rows are others', async () => {
    const { grid, windows } = shown();
    grid.update(summary(1, 1000));
    windows[0]?.answer(1);
    await settled();
    grid.update(summary(2, 1000));
    expect(windows).toHaveLength(2);
    grid.update(summary(1, 3));
    expect(grid.summary.version).toBe(2);
  });

  test('keeps the active row inside when fewer match', () => {
    const { grid } = shown();
    grid.update(summary(1, 1000));
    grid.active = { row: 900, column: 3 };
    grid.update(summary(2, 10));
    expect(grid.active).toEqual({ row: 9, column: 3 });
  });

  const changes = (since: number, rows: { index: number; row: Row }[]) => ({
    since,
    offset: 0,
    limit: 100,
    rows,
  });
  const row = (index: number, revision = 2) => ({
    index,
    row: { id: `row ${index}`, revision } as Row,
  });

  test('takes changes over the rows that they are about, without asking', async () => {
    const { grid, windows } = shown();
    grid.update(summary(1, 1000));
    windows[0]?.answer(1);
    await settled();
    grid.update(summary(2, 1000), changes(1, [row(7)]));
    expect(windows).toHaveLength(1);
    expect([grid.rowAt(7)?.revision, grid.rowAt(8)?.revision]).toEqual([2, 1]);
    expect(grid.rowAt(110), 'of rows that nobody watches nothing is known').toBeUndefined();
    grid.update(summary(3, 5), changes(2, []));
    expect([grid.rowAt(4)?.id, grid.rowAt(5)]).toEqual(['row 4', undefined]);
  });

  test('asks again when changes are about other rows', async () => {
    const { grid, windows } = shown();
    grid.update(summary(1, 1000));
    windows[0]?.answer(1);
    await settled();
    grid.update(summary(3, 1000), changes(2, [row(7)]));
    expect(windows).toHaveLength(2);
    expect(grid.rowAt(7)?.revision).toBe(1);
    // The answer was made before the changes that came first, so it is not the last word.
    windows[1]?.answer(2);
    await settled();
    expect(windows).toHaveLength(3);
    windows[2]?.answer(3);
    await settled();
    expect(windows).toHaveLength(3);
  });

  test('does not go back to an answer that changes have overtaken', async () => {
    const { grid, windows } = shown();
    grid.update(summary(1, 1000));
    windows[0]?.answer(1);
    await settled();
    grid.show(300, 10);
    grid.update(summary(2, 1000), changes(1, [row(7)]));
    windows[1]?.answer(1);
    await settled();
    expect(grid.rowAt(7)?.revision).toBe(2);
    expect(windows).toHaveLength(3);
  });

  test('keeps the keyboard at its store when rows move', async () => {
    const { grid, windows, cursors } = shown();
    grid.update(summary(1, 1000));
    windows[0]?.answer(1);
    await settled();
    grid.activate(5, 2);
    expect(cursors.at(-1)).toBe('row 5');
    grid.update(summary(2, 1000), changes(1, []), { id: 'row 5', index: 6 });
    expect(grid.active).toEqual({ row: 6, column: 2 });
    // What was said before the keyboard went on is about another store.
    grid.activate(9, 2);
    grid.update(summary(3, 1000), changes(2, []), { id: 'row 5', index: 7 });
    expect(grid.active).toEqual({ row: 9, column: 2 });
    // One that is gone leaves the keyboard where it was.
    grid.update(summary(4, 1000), changes(3, []), { id: 'row 9', index: null });
    expect(grid.active).toEqual({ row: 9, column: 2 });
    grid.activate(-1, 0);
    expect(cursors.at(-1)).toBeNull();
  });

  test('marks rows that changed by themselves for a moment, unless nothing should flash', async () => {
    for (const still of [false, true]) {
      const { grid, windows } = shown(still);
      grid.update(summary(1, 1000));
      windows[0]?.answer(1);
      await settled();
      const before = grid.rowAt(7);
      // One that moved is looked for by its name, one that is new or only selected is no news.
      const moved = { index: 8, row: { ...row(7).row } };
      const selected = { index: 9, row: { ...row(9, 1).row, selected: true } };
      grid.update(summary(2, 1000), changes(1, [moved, selected, row(500)]));
      expect([...grid.marks]).toEqual(still ? [] : [['row 7', before]]);
    }
  });
});

describe('columns', () => {
  const keys = (columns: readonly { key: string }[]) => columns.map(({ key }) => key);
  const column = (key: string, pinned = false, visible = true) => ({ key, width: 100, visible, pinned });
  const some = [column('a', true), column('b', true), column('c'), column('x', false, false), column('d')];

  test('of an older version keep their order and get the new ones', () => {
    const saved = [
      { key: 'organization', width: 300, visible: true, pinned: true },
      { key: 'gone', width: 100, visible: true, pinned: false },
      { key: 'link', width: 90, visible: false, pinned: false },
    ];
    const merged = mergeColumns(saved);
    expect(keys(merged).sort()).toEqual(keys(defaultColumns).sort());
    expect(merged[0]).toEqual({ key: 'organization', width: 300, visible: true, pinned: true });
    expect(merged.find(({ key }) => key === 'link')).toMatchObject({ width: 90, visible: true });
  });

  test.each([
    ['c', null, ['a', 'b', 'x', 'd', 'c'], false],
    ['d', 'c', ['a', 'b', 'd', 'c', 'x'], false],
    ['c', 'a', ['c', 'a', 'b', 'x', 'd'], true],
    ['a', null, ['b', 'c', 'x', 'd', 'a'], false],
    ['b', 'b', ['a', 'b', 'c', 'x', 'd'], true],
    ['gone', 'a', ['a', 'b', 'c', 'x', 'd'], undefined],
  ] as const)('%s dropped before %s', (key, before, order, pinned) => {
    const moved = columnMoved(some, key, before);
    expect(keys(moved)).toEqual(order);
    expect(moved.find((column) => column.key === key)?.pinned).toBe(pinned);
  });

  test.each([
    ['d', -1, ['a', 'b', 'd', 'c', 'x'], false],
    ['c', 1, ['a', 'b', 'x', 'd', 'c'], false],
    ['a', 1, ['b', 'a', 'c', 'x', 'd'], true],
    ['c', -1, ['a', 'b', 'c', 'x', 'd'], true],
    ['b', 1, ['a', 'b', 'c', 'x', 'd'], false],
    ['a', -1, ['a', 'b', 'c', 'x', 'd'], true],
    ['d', 1, ['a', 'b', 'c', 'x', 'd'], false],
  ] as const)('%s stepped by %i', (key, by, order, pinned) => {
    const moved = columnStepped(some, key, by);
    expect(keys(moved)).toEqual(order);
    expect(moved.find((column) => column.key === key)?.pinned).toBe(pinned);
  });

  test('have widths within reason', () => {
    expect([clampWidth(3), clampWidth(99.6), clampWidth(9000), clampWidth(Number.NaN)]).toEqual([
      56, 100, 800, 56,
    ]);
  });
});

test('versions are ordered as numbers', () => {
  expect(['34.10.0', '34.9.1', '34.9', '35'].sort(compareVersions)).toEqual([
    '34.9',
    '34.9.1',
    '34.10.0',
    '35',
  ]);
});

test('whatever is thrown becomes an error with a code', () => {
  expect(toAppError({ code: 'venue_offline' })).toMatchObject({ code: 'venue_offline', params: {} });
  expect(toAppError(new Error('bug'))).toMatchObject({ code: 'other', detail: 'Error: bug' });
});
