import { describe, expect, test } from 'vitest';
import type { Backend, GridQuery, GridSummary, GridWindow, Row, SelectOp } from '../backend/types';
import { clampWidth, defaultColumns, mergeColumns } from '../columns';
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
    select: async (op: SelectOp) => {
      selections.push(op);
      return summary(1, 1000);
    },
  } as unknown as Backend;
  return { backend, queries, windows, selections };
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
  function shown() {
    const core = slowCore();
    const grid: Grid = new Grid(
      core.backend,
      (now) => grid.update(now),
      (thrown) => {
        throw thrown;
      },
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

  test('extends a range from where the last single choice was made', async () => {
    const { grid, selections } = shown();
    grid.update(summary(1, 1000));
    await grid.select({ op: 'only', index: 5 });
    await grid.extendTo(8);
    await grid.extendTo(3);
    expect(selections.slice(1)).toEqual([
      { op: 'range', from: 5, to: 8 },
      { op: 'range', from: 5, to: 3 },
    ]);
  });
});

describe('columns', () => {
  test('of an older version keep their order and get the new ones', () => {
    const saved = [
      { key: 'organization', width: 300, visible: true },
      { key: 'gone', width: 100, visible: true },
      { key: 'link', width: 90, visible: false },
    ];
    const merged = mergeColumns(saved);
    expect(merged.map(({ key }) => key).sort()).toEqual(defaultColumns.map(({ key }) => key).sort());
    expect(merged[0]).toEqual({ key: 'organization', width: 300, visible: true });
    expect(merged.find(({ key }) => key === 'link')).toEqual({ key: 'link', width: 90, visible: true });
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
