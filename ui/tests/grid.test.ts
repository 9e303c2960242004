import { describe, expect, test } from 'vitest';
import type {} from '../src/lib/backend/mock';
import { eventually, open, type App } from './browser';

const titles = (app: App) =>
  app.page
    .locator('[role="columnheader"] .words')
    .allTextContents()
    .then((texts) => texts.map((text) => text.trim()));
const header = (app: App, name: string) =>
  app.page.getByRole('columnheader', { name, exact: true }).or(app.page.locator(`[data-column="${name}"]`));
const said = (app: App, words: string | RegExp) =>
  eventually(async () => expect((await app.get('grid-said').textContent())?.trim()).toMatch(words));
const lastCall = (app: App, name: string) =>
  app.page.evaluate(
    (wanted) => window.tillwatchMock?.calls.filter((call) => call.name === wanted).at(-1)?.args[0],
    name,
  );
const order = async (app: App) =>
  ((await lastCall(app, 'setQuery')) as { sort: { column: string; descending: boolean }[] }).sort;
const width = async (app: App, key: string) =>
  (await app.page.locator(`[data-column="${key}"]`).boundingBox())?.width ?? 0;
const active = (app: App) =>
  app.page.evaluate(() => {
    const grid = document.activeElement;
    return document.getElementById(grid?.getAttribute('aria-activedescendant') ?? '')?.id;
  });
const activeStore = (app: App) =>
  app.page.evaluate(() => {
    const cell = document.activeElement?.getAttribute('aria-activedescendant') ?? '';
    return document.getElementById(cell)?.closest('[role="row"]')?.getAttribute('data-testid');
  });

async function inHeader(app: App, column: number) {
  await app.get('status-grid').focus();
  await app.page.keyboard.press('Control+Home');
  await app.page.keyboard.press('ArrowUp');
  for (let at = 0; at < column; at += 1) await app.page.keyboard.press('ArrowRight');
  expect(await active(app)).toBe(`cell--1-${column}`);
}

describe('columns by keyboard alone', () => {
  test('are put in another order, keep on screen or scroll, and it is said', async () => {
    const app = await open('scenario=demo');
    await inHeader(app, 3);
    await app.page.keyboard.press('Alt+Shift+ArrowLeft');
    await said(app, 'CRM ID: column 3 of 12');
    expect((await titles(app)).slice(0, 5)).toEqual([
      'Link',
      'Organization',
      'CRM ID',
      'Chain',
      'POS server',
    ]);
    expect(await active(app)).toBe('cell--1-2');
    // Over the border of those that stay on screen it stays on screen too, then it goes on.
    await app.page.keyboard.press('Alt+Shift+ArrowLeft');
    await app.page.keyboard.press('Alt+Shift+ArrowLeft');
    expect((await titles(app)).slice(0, 3)).toEqual(['Link', 'CRM ID', 'Organization']);
    expect(
      await app.page.locator('[data-column="crm_id"]').evaluate((e) => getComputedStyle(e).position),
    ).toBe('sticky');
    await eventually(async () => {
      const { columns } = (await lastCall(app, 'saveSettings')) as {
        columns: { key: string; pinned: boolean }[];
      };
      expect(columns.slice(0, 3).map(({ key, pinned }) => [key, pinned])).toEqual([
        ['link', true],
        ['crm_id', true],
        ['organization', true],
      ]);
    });
    expect(app.faults).toEqual([]);
  });

  test('are widened, fitted, hidden and sorted from their menu', async () => {
    const app = await open('scenario=demo');
    await inHeader(app, 2);
    await app.page.keyboard.press('Alt+ArrowRight');
    await said(app, 'Chain: width 140');
    await app.page.keyboard.press('Shift+F10');
    const menu = app.page.getByRole('menu', { name: 'Column Chain' });
    await menu.waitFor();
    await app.page.keyboard.press('Enter');
    await eventually(async () => expect(await order(app)).toEqual([{ column: 'chain', descending: false }]));
    await menu.waitFor({ state: 'detached' });
    expect(await active(app), 'the grid has the focus again').toBe('cell--1-2');
    await app.page.keyboard.press('ArrowRight');
    await app.page.keyboard.press('Shift+F10');
    await app.page.getByRole('menuitem', { name: 'Then by this, descending' }).waitFor();
    for (let step = 0; step < 3; step += 1) await app.page.keyboard.press('ArrowDown');
    await app.page.keyboard.press('Enter');
    await eventually(async () =>
      expect(await order(app)).toEqual([
        { column: 'chain', descending: false },
        { column: 'crm_id', descending: true },
      ]),
    );
    // One header at a time has aria-sort; of the other its name tells.
    const sorts = await app.page
      .locator('[role="columnheader"][aria-sort]')
      .evaluateAll((all) =>
        all.map((title) => title.getAttribute('aria-sort')).filter((sort) => sort !== 'none'),
      );
    expect(sorts).toEqual(['ascending']);
    await app.page.getByRole('columnheader', { name: 'CRM ID number 2 in the order, descending' }).waitFor();
    await app.page.keyboard.press('ContextMenu');
    await app.page.getByRole('menuitem', { name: 'Hide column' }).click();
    await said(app, 'CRM ID is hidden');
    expect(await titles(app)).not.toContain('CRM ID');
    expect(await active(app)).toBe('cell--1-3');
    await inHeader(app, 1);
    await app.page.keyboard.press('Shift+F10');
    await app.page.getByRole('menuitem', { name: 'Hide column' }).waitFor();
    expect(
      await app.page.getByRole('menuitem', { name: 'Hide column' }).getAttribute('data-disabled'),
    ).not.toBeNull();
    await app.page.getByRole('menuitem', { name: 'Fit width to contents' }).click();
    await said(app, /Organization: width \d+/);
    expect(await active(app)).toBe('cell--1-1');
  });
});

describe('columns by mouse', () => {
  async function drag(app: App, key: string, to: { x: number; y: number }, drop = true) {
    const from = await app.page.locator(`[data-column="${key}"] .words`).boundingBox();
    if (!from) throw new Error(`${key} is not on screen`);
    await app.page.mouse.move(from.x + 5, from.y + 5);
    await app.page.mouse.down();
    await app.page.mouse.move(from.x + 30, from.y + 5);
    await app.page.mouse.move(to.x, to.y, { steps: 4 });
    if (!drop) await app.page.keyboard.press('Escape');
    await app.page.mouse.up();
  }

  test('are dragged to another place, unless Escape is pressed, and a drag does not sort', async () => {
    const app = await open('scenario=demo');
    const chain = await app.page.locator('[data-column="chain"]').boundingBox();
    if (!chain) throw new Error('Chain is on screen');
    await drag(app, 'name', { x: chain.x + 4, y: chain.y + 4 }, false);
    expect((await titles(app)).indexOf('POS server')).toBe(4);
    await drag(app, 'name', { x: chain.x + 4, y: chain.y + 4 });
    await eventually(async () => expect((await titles(app)).indexOf('POS server')).toBe(2));
    expect(await order(app)).toEqual([]);
    await header(app, 'Chain').first().click();
    await eventually(async () => expect(await order(app)).toEqual([{ column: 'chain', descending: false }]));
  });

  test('are as wide as the edge is dragged, and fit at a double click', async () => {
    const app = await open('scenario=demo');
    const handle = app.page.locator('[data-column="organization"] .handle');
    const at = await handle.boundingBox();
    if (!at) throw new Error('there is an edge');
    await app.page.mouse.move(at.x + 4, at.y + 10);
    await app.page.mouse.down();
    await app.page.mouse.move(at.x - 140, at.y + 10, { steps: 3 });
    await app.page.mouse.up();
    expect(await width(app, 'organization')).toBeLessThan(90);
    await handle.dblclick();
    const cut = () =>
      app.page
        .locator('.col-organization .text')
        .evaluateAll((all) => all.filter((text) => text.scrollWidth > text.clientWidth + 1).length);
    await eventually(async () => expect(await cut()).toBe(0));
    expect(await width(app, 'organization')).toBeLessThan(320);
    expect(await order(app)).toEqual([]);
  });

  test('have the menu of the keyboard at the right button', async () => {
    const app = await open('scenario=demo');
    await app.page.locator('[data-column="name"]').click({ button: 'right' });
    await app.page.getByRole('menuitem', { name: 'Keep on screen when scrolling' }).click();
    await eventually(async () => expect((await titles(app)).indexOf('POS server')).toBe(2));
    await app.page.locator('[data-column="name"]').click({ button: 'right' });
    await app.page.getByRole('menuitem', { name: 'Let it scroll with the others' }).click();
    await said(app, 'POS server scrolls with the others');
  });
});

test('the menu of a row is the same by its button, by the right button and by the keyboard', async () => {
  const app = await open('scenario=demo');
  const items = async () => {
    await app.page.getByRole('menu').waitFor();
    const texts = await app.page.getByRole('menuitem').allTextContents();
    await app.page.keyboard.press('Escape');
    await app.page.getByRole('menu').waitFor({ state: 'detached' });
    return texts.map((text) => text.trim());
  };
  await app.row(3).locator('[data-menu]').click();
  const byButton = await items();
  expect(byButton.length).toBeGreaterThan(5);
  await app.row(3).click({ button: 'right' });
  expect(await items()).toEqual(byButton);
  await app.page.keyboard.press('Shift+F10');
  expect(await items()).toEqual(byButton);
  await app.page.keyboard.press('End');
  await app.page.keyboard.press('Enter');
  expect(await items()).toEqual(byButton);
});

test('Shift and a click select a range, Ctrl besides one more', async () => {
  const app = await open('scenario=demo');
  const selected = () =>
    app.page
      .locator('[role=row][aria-selected=true]')
      .evaluateAll((rows) =>
        rows.map((row) => Number((row as HTMLElement).dataset['index'])).sort((a, b) => a - b),
      );
  await app.row(1).click();
  await app.row(2).click({ modifiers: ['Shift'] });
  await app.row(5).click({ modifiers: ['Control'] });
  await app.row(7).click({ modifiers: ['Control', 'Shift'] });
  await eventually(async () => expect(await selected()).toEqual([1, 2, 5, 6, 7]));
  await app.row(6).click({ modifiers: ['Shift'] });
  await eventually(async () => expect(await selected()).toEqual([5, 6]));
});

test('Shift and Space select the row, Shift and Ctrl with End all to the last', async () => {
  const app = await open('scenario=demo');
  const selected = (n: number) =>
    eventually(async () => expect(await app.page.locator('footer').textContent()).toContain(`${n} selected`));
  await app.get('status-grid').focus();
  await app.page.keyboard.press('Space');
  await app.page.keyboard.press('ArrowDown');
  await app.page.keyboard.press('Space');
  await selected(2);
  await app.page.keyboard.press('ArrowDown');
  await app.page.keyboard.press('Shift+Space');
  await selected(1);
  await app.page.keyboard.press('Control+Shift+End');
  await selected(212);
  await app.page.keyboard.press('Control+c');
  await app.page.getByText('212 rows copied.').waitFor();
  const copied = await app.page.evaluate(() => navigator.clipboard.readText());
  expect(copied.split('\n')).toHaveLength(213);
});

describe('while rows change by themselves', () => {
  /** Has stores change, as the core tells it. */
  const change = (app: App, what: 'first fails' | 'first renamed' | 'last to the top') =>
    app.page.evaluate((wanted) => {
      const mock = window.tillwatchMock;
      if (!mock) return;
      const { rows } = mock;
      const row = wanted === 'last to the top' ? rows.matching.at(-1) : rows.matching[0];
      if (!row) return;
      row.revision += 10_000;
      if (wanted === 'first fails') {
        row.highlight = 'error';
        const since = new Date().toISOString();
        row.error = { code: 'disk_full', message: 'no room', since, consecutive_failures: 1 };
      } else row.organization = wanted === 'first renamed' ? 'Riga Renamed' : 'AAA';
      rows.changed();
      mock.emit(rows.event());
    }, what);
  const byName = async (app: App) => {
    await app.page.locator('[data-column="organization"]').click();
    await eventually(async () => expect(await order(app)).toHaveLength(1));
    await eventually(async () => expect(await app.row(0).textContent()).toContain('Almaty'));
  };

  test('what is on screen changes without being asked for, and is marked for a moment', async () => {
    const app = await open('scenario=demo', { reducedMotion: 'no-preference' });
    await app.row(0).waitFor();
    const asked = () =>
      app.page.evaluate(() => window.tillwatchMock?.calls.filter(({ name }) => name === 'gridWindow').length);
    const before = await asked();
    await change(app, 'first fails');
    await app.row(0).locator('.changed.col-error').waitFor();
    expect(await app.row(0).locator('.changed.col-chain').count()).toBe(0);
    expect(await asked()).toBe(before);
    await app.row(0).locator('.changed').first().waitFor({ state: 'detached' });
    expect(await app.row(0).getAttribute('data-highlight')).toBe('error');
  });

  test('nothing is marked where motion is reduced', async () => {
    const app = await open('scenario=demo');
    await app.row(0).waitFor();
    await change(app, 'first renamed');
    await eventually(async () => expect(await app.row(0).textContent()).toContain('Riga Renamed'));
    expect(await app.page.locator('.changed').count()).toBe(0);
  });

  test('keyboard, selection and scroll position stay where they were', async () => {
    const app = await open('scenario=demo');
    await app.row(0).waitFor();
    await byName(app);
    await app.row(4).click();
    const store = await app.row(4).getAttribute('data-testid');
    await app.get('status-grid').evaluate((grid) => (grid.scrollTop = 60));
    await change(app, 'last to the top');
    await eventually(async () => expect(await app.row(0).textContent()).toContain('AAA'));
    expect(await activeStore(app)).toBe(store);
    expect(await active(app)).toMatch(/^cell-5-/);
    expect(await app.row(5).getAttribute('aria-selected')).toBe('true');
    expect(await app.get('status-grid').evaluate((grid) => grid.scrollTop)).toBe(60);
    await app.page.keyboard.press('Shift+ArrowDown');
    await eventually(async () =>
      expect(
        await app.page.locator('[aria-selected="true"]').count(),
        'from the store, not from its old place',
      ).toBe(2),
    );
    expect(await app.row(4).getAttribute('aria-selected')).toBe('false');
  });
});

describe('saved views', () => {
  const menu = async (app: App) => {
    await app.get('views').focus();
    await app.page.keyboard.press('Enter');
    await app.page.getByRole('menu').waitFor();
  };
  const choose = async (app: App, name: string | RegExp) => {
    await menu(app);
    await app.page.getByRole('menuitem', { name }).press('Enter');
  };

  test('keep filters, order and columns under a name, by keyboard alone', async () => {
    const app = await open('scenario=demo');
    await app.get('filter-search').fill('riga');
    await app.page.locator('[data-column="chain"]').click();
    await choose(app, 'Save as a new view…');
    await app.get('view-name').waitFor();
    await eventually(async () =>
      expect(await app.page.evaluate(() => document.activeElement?.id)).toBe('view-name'),
    );
    await app.page.keyboard.press('Enter');
    await app.page.getByText('Enter a name.').waitFor();
    await app.page.keyboard.type('Riga');
    await app.page.keyboard.press('Enter');
    await app.get('view-name').waitFor({ state: 'detached' });
    expect(await app.get('views').textContent()).toContain('Riga');
    await eventually(async () => {
      const saved = (await lastCall(app, 'saveSettings')) as { view: string; views: { query: object }[] };
      expect(saved.view).toBe('Riga');
      expect(saved.views[0]?.query).toMatchObject({
        search: 'riga',
        sort: [{ column: 'chain', descending: false }],
      });
    });
    expect(await app.page.evaluate(() => document.activeElement?.getAttribute('data-testid'))).toBe('views');

    await app.get('filter-clear').click();
    await app.page.getByText('changed').waitFor();
    await menu(app);
    await app.page.getByRole('menuitemradio', { name: /Riga/ }).press('Enter');
    await eventually(async () => expect(await app.get('filter-search').inputValue()).toBe('riga'));
    await app.page.getByText('changed').waitFor({ state: 'detached' });

    await app.get('filter-search').fill('riga harbour');
    await choose(app, 'Update “Riga”');
    await app.page.getByText('The view “Riga” was updated.').waitFor();
    await choose(app, 'Rename “Riga”…');
    await app.get('view-name').fill('Harbour');
    await app.page.keyboard.press('Enter');
    await eventually(async () => expect(await app.get('views').textContent()).toContain('Harbour'));
    await choose(app, 'Delete “Harbour”…');
    await app.page.getByRole('alertdialog').waitFor();
    await eventually(async () =>
      expect(await app.page.evaluate(() => document.activeElement?.textContent?.trim())).toBe('Cancel'),
    );
    await app.get('view-delete').click();
    await eventually(async () => expect(await app.get('views').textContent()).toContain('Views'));
    expect(await app.get('filter-search').inputValue(), 'the grid stays as it is').toBe('riga harbour');
    expect(app.faults).toEqual([]);
  });

  test('of the same name are refused', async () => {
    const app = await open('scenario=demo');
    await choose(app, 'Save as a new view…');
    await app.get('view-name').fill('Mine');
    await app.get('view-submit').click();
    await choose(app, 'Save as a new view…');
    await app.get('view-name').fill(' mine ');
    await app.get('view-submit').click();
    await app.page.getByText('Another view has this name.').waitFor();
  });
});
