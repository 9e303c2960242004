import { expect, test } from 'vitest';
import type { ColumnSetting, GridQuery, Settings } from '../backend/types';
import { defaultColumns, withColumn } from '../columns';
import { noFilter, type Filters } from './filters.svelte';
import { Views } from './views.svelte';

/** A window of which only what views are about is there. */
class Window {
  settings = { views: [], view: null } as unknown as Settings;
  columns = [...defaultColumns];
  private readonly shown = {
    query: noFilter,
    async restore(query: GridQuery) {
      this.query = query;
    },
  };
  filters = this.shown as unknown as Filters;

  setColumns(columns: ColumnSetting[]) {
    this.columns = columns;
  }

  saveSettings(change: Partial<Settings>) {
    this.settings = { ...this.settings, ...change };
  }
}

function app() {
  const window = new Window();
  return { app: window, views: new Views(window) };
}

test('a view brings back filters, order and columns', async () => {
  const { app: window, views } = app();
  window.filters.query = { ...noFilter, search: 'riga', sort: [{ column: 'chain', descending: true }] };
  window.columns = withColumn(window.columns, 'chain', { visible: false });
  views.save(' Riga ');
  expect([views.current?.name, views.changed]).toEqual(['Riga', false]);

  window.filters.query = noFilter;
  expect(views.changed).toBe(true);
  window.columns = [...defaultColumns];
  views.save('All');
  expect(views.list.map(({ name }) => name)).toEqual(['All', 'Riga']);

  const [, riga] = views.list;
  if (riga) await views.apply(riga);
  expect(window.filters.query.search).toBe('riga');
  expect(window.columns.find(({ key }) => key === 'chain')?.visible).toBe(false);
  expect([views.current?.name, views.changed]).toEqual(['Riga', false]);
});

test('views are updated, renamed and deleted, and the grid stays as it is', () => {
  const { app: window, views } = app();
  views.save('Riga');
  window.filters.query = { ...noFilter, problems_only: true };
  views.update();
  expect([views.changed, views.current?.query.problems_only]).toEqual([false, true]);
  if (views.current) views.rename(views.current, 'Riga and around');
  expect(views.current?.name).toBe('Riga and around');
  if (views.current) views.remove(views.current);
  expect([views.list, views.current, window.filters.query.problems_only]).toEqual([[], null, true]);
});

test('two views do not have the same name', () => {
  const { views } = app();
  views.save('Riga');
  expect([views.problem(' riga'), views.problem('  '), views.problem('Riga 2')]).toEqual([
    'taken',
    'empty',
    null,
  ]);
  expect(views.problem('RIGA', 'Riga')).toBeNull();
});
