import { describe, expect, test } from 'vitest';
import type {} from '../src/lib/backend/mock';
import type { MenuAction } from '../src/lib/backend/types';
import { eventually, open, type App } from './browser';

const text = async (app: App, testid: string) => (await app.get(testid).textContent()) ?? '';
const matching = (app: App, n: number) =>
  eventually(async () =>
    expect(await app.get('status-grid').getAttribute('aria-rowcount')).toBe(String(n + 1)),
  );
const selected = (app: App, n: number) =>
  eventually(async () => expect(await app.page.locator('footer').textContent()).toContain(`${n} selected`));
const calls = (app: App, name: string) =>
  app.page.evaluate(
    (wanted) =>
      window.tillwatchMock?.calls.filter((call) => call.name === wanted).map((call) => call.args) ?? [],
    name,
  );
const activeCell = (app: App) =>
  app.page.evaluate(() => {
    const grid = document.activeElement;
    const cell = document.getElementById(grid?.getAttribute('aria-activedescendant') ?? '');
    return { testid: grid?.getAttribute('data-testid'), cell: cell?.id, text: cell?.textContent?.trim() };
  });

describe('signing in', () => {
  test('says what is missing, then what was wrong, and goes on to the grid', async () => {
    const app = await open('scenario=signed-out');
    await app.get('signin-submit').click();
    await app.page.getByText('Enter the address of your cloud.').waitFor();
    await app.get('signin-url').fill('https://cloud.example');
    await app.get('signin-email').fill('mara@example.com');
    await app.get('signin-password').fill('wrong');
    await app.get('signin-submit').click();
    await app.page.getByText('The e-mail or the password is wrong').waitFor();
    expect(await app.get('signin-password').inputValue()).toBe('');
    await app.get('signin-password').fill('right');
    await app.page.keyboard.press('Enter');
    await app.row(0).waitFor();
    expect(app.faults).toEqual([]);
  });

  test('shows a certificate that is not known, and trusts exactly that', async () => {
    const app = await open('scenario=signed-out');
    await app.get('signin-url').fill('https://untrusted.example');
    await app.get('signin-email').fill('mara@example.com');
    await app.get('signin-password').fill('right');
    await app.get('signin-submit').click();
    await app.page.getByText('untrusted.example', { exact: true }).waitFor();
    await app.page.getByText('A1 B2 C3 D4 E5 F6 07 18').waitFor();
    await app.get('trust-certificate').click();
    await app.row(0).waitFor();
    expect(await calls(app, 'trustCertificate')).toEqual([
      ['https://untrusted.example', 'a1b2c3d4e5f60718293a4b5c6d7e8f90112233445566778899aabbccddeeff00'],
    ]);
  });

  test('warns of a certificate that changed and offers nothing at once', async () => {
    const app = await open('scenario=signed-out');
    await app.get('signin-url').fill('https://changed.example');
    await app.get('signin-email').fill('mara@example.com');
    await app.get('signin-password').fill('right');
    await app.page.keyboard.press('Enter');
    await app.page.getByText('The certificate of changed.example has changed').waitFor();
    expect(await app.get('trust-certificate').isDisabled()).toBe(true);
  });

  test('is asked for again when the session ends, and one goes on where one was', async () => {
    const app = await open('scenario=demo');
    await app.get('filter-search').fill('airport');
    await app.page.evaluate(() => window.tillwatchMock?.endSession());
    await app.page.getByText('Your session has ended').waitFor();
    await app.get('signin-password').fill('right');
    await app.page.keyboard.press('Enter');
    await app.page.getByText('Your session has ended').waitFor({ state: 'detached' });
    expect(await app.get('filter-search').inputValue()).toBe('airport');
  });
});

describe('filters', () => {
  test('at the first start none is on', async () => {
    const app = await open('scenario=demo');
    await matching(app, 214);
    expect(await app.get('filter-period-value').inputValue()).toBe('');
    expect(await app.get('filter-problems-only').isChecked()).toBe(false);
    expect(await app.page.locator('[data-testid^="chip-"]').count()).toBe(0);
  });

  test('narrow the rows, show as chips, and go by one Clear', async () => {
    const app = await open('scenario=demo');
    await matching(app, 214);
    await app.get('filter-problems-only').check();
    await app.get('filter-period-value').fill('2');
    await app.get('filter-period-unit').selectOption('days');
    expect(await app.get('status-grid').getAttribute('aria-rowcount')).toBe('215');
    await app.get('filter-apply').click();
    await app.get('chip-problems').waitFor();
    expect(await text(app, 'chip-period')).toContain('2 days');
    const [query] = (await calls(app, 'setQuery')).at(-1) ?? [];
    expect(query).toMatchObject({ within: 'P2D', problems_only: true });
    await app.get('filter-clear').click();
    await matching(app, 214);
    expect(await app.get('filter-period-value').inputValue()).toBe('');
  });

  test('refuse a period that is no number', async () => {
    const app = await open('scenario=demo');
    await app.get('filter-period-value').fill('soon');
    await app.get('filter-apply').click();
    await app.page.getByText('Enter a whole number from 1 to 9,999.').waitFor();
  });

  test('by organization: typed, chosen with Enter, a chain or an outlet', async () => {
    const app = await open('scenario=demo');
    await app.get('filter-organization').click();
    await app.page.keyboard.type('riga harbour');
    await app.page.getByRole('option', { name: 'Riga Harbour 2' }).waitFor();
    await app.page.keyboard.press('Enter');
    expect(await app.get('filter-organization').inputValue()).toBe('Riga Harbour');
    await app.get('filter-apply').click();
    await matching(app, 1);
    expect(await app.row(0).textContent()).toContain('Riga Harbour');
    await app.get('filter-organization').click();
    await app.get('filter-organization').fill('Kafe Kometa');
    await app.page.keyboard.press('Enter');
    await app.get('filter-apply').click();
    await matching(app, 42);
    await app.get('chip-organization').click();
    await matching(app, 214);
    expect(await app.get('filter-organization').inputValue()).toBe('');
  });

  test('by quick search act as one types; Escape clears it', async () => {
    const app = await open('scenario=demo');
    await app.page.keyboard.press('Control+f');
    await app.page.keyboard.type('lisboa airport');
    await matching(app, 2);
    await app.page.keyboard.press('Escape');
    await matching(app, 214);
  });

  test('by tile: a click shows those, another click all', async () => {
    const app = await open('scenario=demo');
    await app.get('tile-offline').click();
    await eventually(async () => expect(await app.row(0).getAttribute('data-link')).toBe('offline'));
    expect(await app.row(0).textContent()).toContain('offline');
    await app.get('tile-offline').click();
    await matching(app, 214);
  });

  test('that match nothing say so and offer to clear', async () => {
    const app = await open('scenario=demo');
    await app.get('filter-search').fill('no such store');
    await app.page.getByText('No store matches the filters').waitFor();
    await app.page.getByRole('button', { name: 'Clear filters' }).click();
    await matching(app, 214);
  });
});

describe('the grid', () => {
  test('tells rows apart by colour, icon and word', async () => {
    const app = await open('scenario=demo');
    await app.get('tile-error').click();
    await eventually(async () => expect(await app.row(0).getAttribute('data-highlight')).toBe('error'));
    const colour = (index: number) => app.row(index).evaluate((row) => getComputedStyle(row).backgroundColor);
    expect(await colour(0)).toBe('rgb(253, 230, 227)');
    expect(await app.row(0).textContent()).toContain('error');
    await app.get('tile-update_required').click();
    await eventually(async () => expect(await colour(0)).toBe('rgb(253, 242, 200)'));
    expect(await app.row(0).textContent()).toContain('update');
  });

  test('is used by keyboard alone', async () => {
    const app = await open('scenario=demo');
    await app.get('status-grid').focus();
    await app.page.keyboard.press('ArrowDown');
    await app.page.keyboard.press('ArrowRight');
    expect(await activeCell(app)).toEqual({
      testid: 'status-grid',
      cell: 'cell-1-1',
      text: 'Jelgava Centrs',
    });
    await app.page.keyboard.press('Control+End');
    await eventually(async () => expect((await activeCell(app)).cell).toBe('cell-213-12'));
    await app.page.keyboard.press('Control+Home');
    await app.page.keyboard.press('Space');
    await selected(app, 1);
    await app.page.keyboard.press('Shift+ArrowDown');
    await app.page.keyboard.press('Shift+ArrowDown');
    await selected(app, 3);
    await app.page.keyboard.press('Control+a');
    await selected(app, 214);
    await app.page.keyboard.press('Enter');
    await app.get('details').waitFor();
    await selected(app, 1);
    await app.page.keyboard.press('Escape');
    await app.get('details').waitFor({ state: 'detached' });
    expect((await activeCell(app)).testid).toBe('status-grid');
    await app.page.keyboard.press('Shift+F10');
    await app.page.getByRole('menuitem', { name: 'Retrieve logs' }).waitFor();
    await app.page.keyboard.press('Escape');
    await eventually(async () => expect((await activeCell(app)).testid).toBe('status-grid'));
    expect(app.faults).toEqual([]);
  });

  test('sorts by its headers, with Shift by several, by keyboard too', async () => {
    const app = await open('scenario=demo');
    const header = (name: string) => app.page.getByRole('columnheader', { name, exact: true });
    await header('Chain').click();
    await eventually(async () => expect(await header('Chain').getAttribute('aria-sort')).toBe('ascending'));
    await header('Organization').click({ modifiers: ['Shift'] });
    await app.page.keyboard.press('Enter');
    await eventually(async () => {
      const [query] = (await calls(app, 'setQuery')).at(-1) ?? [];
      expect(query).toMatchObject({ sort: [{ column: 'organization', descending: true }] });
    });
  });

  test('selects with the mouse as other tables do', async () => {
    const app = await open('scenario=demo');
    await app.row(1).click();
    await app.row(4).click({ modifiers: ['Shift'] });
    await selected(app, 4);
    await app.row(2).click({ modifiers: ['Control'] });
    await selected(app, 3);
    expect(await app.row(2).getAttribute('aria-selected')).toBe('false');
    await app.row(7).click();
    await selected(app, 1);
  });

  test('holds 100,000 rows and few elements', async () => {
    const app = await open('scenario=many');
    await matching(app, 100_000);
    await app.get('status-grid').evaluate((grid) => (grid.scrollTop = 50_000 * 30));
    await eventually(async () => expect(await app.row(50_010).textContent()).toContain('online'));
    expect(await app.page.locator('[role="row"]').count()).toBeLessThan(70);
    await app.get('status-grid').focus();
    await app.page.keyboard.press('Control+End');
    await eventually(async () => expect((await activeCell(app)).cell).toBe('cell-99999-12'));
  });

  test('remembers widths and columns', async () => {
    const app = await open('scenario=demo');
    await app.page.getByRole('button', { name: 'Columns' }).click();
    await app.page.getByRole('menuitemcheckbox', { name: 'Address' }).click();
    await app.page.keyboard.press('Escape');
    await app.page.getByRole('columnheader', { name: 'Address' }).waitFor();
    await app.get('status-grid').focus();
    await app.page.keyboard.press('ArrowUp');
    await app.page.keyboard.press('Alt+ArrowRight');
    await eventually(async () => {
      const [settings] = (await calls(app, 'saveSettings')).at(-1) ?? [];
      expect(settings).toMatchObject({
        columns: expect.arrayContaining([
          { key: 'link', width: 166, visible: true, pinned: true },
          { key: 'address', width: 200, visible: true, pinned: false },
        ]),
      });
    });
  });

  test('copies the selection as text with tabs', async () => {
    const app = await open('scenario=demo');
    await app.row(0).click();
    await app.get('status-grid').focus();
    await app.page.keyboard.press('Control+c');
    await app.page.getByText('1 row copied.').waitFor();
    const copied = await app.page.evaluate(() => navigator.clipboard.readText());
    expect(copied.split('\n')[1]).toContain('online\tRiga Centrs\tPasta Nostra\t010400');
  });

  test('tells empty, loading and failed apart', async () => {
    const empty = await open('scenario=empty');
    await empty.page.getByText('No stores yet').waitFor();
    const loading = await open('scenario=loading');
    await loading.page.getByText('Loading the stores…').waitFor();
    await loading.page.evaluate(() =>
      window.tillwatchMock?.setConnection({ state: 'no_network', since: new Date().toISOString() }),
    );
    await loading.page.getByText('Nothing has been read yet').waitFor();
  });
});

describe('without the cloud', () => {
  test('the rows stay, a banner says since when, and what needs the cloud is off', async () => {
    const app = await open('scenario=offline');
    await app.get('offline-banner').waitFor();
    await app.row(3).click();
    expect(await app.get('action-retrieve-logs').isDisabled()).toBe(true);
    expect(await app.get('action-retrieve-logs').getAttribute('title')).toContain('cloud');
    expect(await app.get('export-excel').isEnabled()).toBe(true);
    await app.page.evaluate(() =>
      window.tillwatchMock?.setConnection({ state: 'live', since: new Date().toISOString() }),
    );
    await app.get('offline-banner').waitFor({ state: 'detached' });
    await eventually(async () => expect(await app.get('action-retrieve-logs').isEnabled()).toBe(true));
  });
});

test('where the clock of this computer is wrong, times go by the cloud’s', async () => {
  const app = await open('scenario=still');
  const synced = () => app.row(1).locator('.col-last_success_at').textContent();
  expect(await synced()).toMatch(/just now|min ago/);
  await app.page.evaluate(() => window.tillwatchMock?.emit({ type: 'clock', ahead_seconds: 2 * 86_400 }));
  await eventually(async () => expect(await synced()).toContain('2 days ago'));
  await app.row(1).click();
  await app.get('action-retrieve-logs').click();
  const [day, month, year, time] = (await app.get('logs-to').inputValue()).split(/[/ ]/);
  const until = Date.parse(`${year}-${month}-${day}T${time}Z`);
  expect(Math.round((until - Date.now()) / 86_400_000)).toBe(2);
});

describe('details', () => {
  test('say what is wrong and what helps, and help', async () => {
    const app = await open('scenario=demo&pace=10');
    await app.get('tile-error').click();
    await app.row(0).dblclick();
    const details = app.get('details');
    await details.getByText('Exchanges with the cloud have failed since').waitFor();
    await details.getByRole('button', { name: 'Diagnose' }).click();
    await details.getByText('Exchange: not well').waitFor();
    await details.getByRole('button', { name: 'Reset POS database' }).click();
    await app.page.getByRole('alertdialog').waitFor();
  });

  test('of a venue offline give the likelier cause and the two checks of a person there', async () => {
    const app = await open('scenario=demo');
    await app.get('tile-offline').click();
    await app.row(0).dblclick();
    const details = app.get('details');
    await details.getByText('Most likely cause').waitFor();
    await details.getByText('services.msc').waitFor();
    await details.getByRole('checkbox').first().check();
  });
});

test('a refusal says what happened and can be copied with its request', async () => {
  const app = await open('scenario=errors&pace=10');
  await app.get('export-excel').click();
  await app.page.getByText('Excel: The file could not be written').waitFor();
  await app.page.getByRole('button', { name: 'Copy details' }).first().click();
  const copied = await app.page.evaluate(() => navigator.clipboard.readText());
  expect(copied).toMatch(/code: file_unwritable\nrequest id: /);
});

test('Excel gets the visible columns, titled', async () => {
  const app = await open('scenario=demo');
  await app.page.keyboard.press('Control+e');
  await app.page.getByText('214 rows written').waitFor();
  const [request] = (await calls(app, 'exportExcel'))[0] ?? [];
  expect(request).toMatchObject({
    dialog_title: 'Export statuses',
    locale: 'en',
    time_zone: 'Europe/Riga',
    words: { 'link.offline': 'offline' },
  });
});

test('the native menu does what the buttons do', async () => {
  const app = await open('scenario=demo');
  const choose = (action: MenuAction) =>
    app.page.evaluate((chosen) => window.tillwatchMock?.emit({ type: 'menu', action: chosen }), action);
  await choose('find');
  expect(await app.page.evaluate(() => document.activeElement?.id)).toBe('quick-search');
  await choose('export_excel');
  await app.page.getByText('214 rows written').waitFor();
  await app.row(5).click();
  await choose('retrieve_logs');
  await app.get('logs-close').click();
  await choose('restore_database');
  await app.get('restore-cancel').click();
  await choose('administration');
  await app.page.getByRole('tab', { name: 'Enrollment' }).waitFor();
  await choose('administration');
  await app.row(5).waitFor();
  await choose('settings');
  await app.get('settings-language').waitFor();
});

test('a core that signs in by itself is followed', async () => {
  const app = await open('scenario=signed-out');
  await app.page.evaluate(() => window.tillwatchMock?.signInByItself());
  await app.row(0).waitFor();
});

test('settings take effect at once', async () => {
  const app = await open('scenario=demo');
  await app.page.getByRole('button', { name: 'Settings' }).click();
  await app.get('settings-language').selectOption('ru');
  await app.page.getByText('Настройки').first().waitFor();
  await app.get('settings-theme').selectOption('dark');
  await app.get('settings-density').selectOption('comfortable');
  await app.page.keyboard.press('Escape');
  const looks = await app.page.evaluate(() => ({ ...document.documentElement.dataset }));
  expect(looks).toMatchObject({ theme: 'dark', density: 'comfortable' });
  await app.page.getByText('Не показывать успешно синхронизированные').waitFor();
});
