import { describe, expect, test } from 'vitest';
import type {} from '../src/lib/backend/mock';
import { eventually, open, type App } from './browser';

const calls = (app: App, name: string) =>
  app.page.evaluate(
    (wanted) =>
      window.tillwatchMock?.calls.filter((call) => call.name === wanted).map((call) => call.args) ?? [],
    name,
  );

/** Fills a field in as a person does: by keys, over what is there. */
async function type(app: App, testid: string, value: string) {
  await app.get(testid).fill(value);
}

describe('retrieving logs', () => {
  async function dialog(query = 'scenario=demo&pace=10') {
    const app = await open(query);
    await app.row(5).click();
    await app.get('action-retrieve-logs').click();
    await app.get('logs-request').waitFor();
    return app;
  }

  test('is filled in validly, goes through its phases, and ends with links that save', async () => {
    const app = await dialog();
    expect(await app.get('logs-from').inputValue()).toMatch(/^\d\d\/\d\d\/\d{4} \d\d:\d\d$/);
    await app.get('logs-request').click();
    await app.get('logs-archive-0').click();
    await app.page.getByText('Saved').waitFor();
    const [ids, from, to, maxBytes, whenOffline] = (await calls(app, 'requestLogs'))[0] ?? [];
    expect(ids).toHaveLength(1);
    expect(Date.parse(String(to)) - Date.parse(String(from))).toBe(61 * 60_000);
    expect([maxBytes, whenOffline]).toEqual([50 * 1024 * 1024, 'fail']);
    expect((await calls(app, 'saveArchive'))[0]?.[1]).toBe('Save archive');
    await app.get('logs-close').click();
    await app.get('logs-request').waitFor({ state: 'detached' });
    expect(app.faults).toEqual([]);
  });

  test('says in words what is wrong with what was typed', async () => {
    const app = await dialog();
    await type(app, 'logs-from', '2 January');
    await app.get('logs-request').click();
    await app.page.getByText('Enter when the period starts.').waitFor();
    await type(app, 'logs-from', '2/1/2026 10:00');
    await type(app, 'logs-to', '2026-01-02T09:00');
    await type(app, 'logs-max-size', '4096');
    await app.get('logs-request').click();
    await app.page.getByText('The period ends before it starts.').waitFor();
    await app.page.getByText('Enter a size from').waitFor();
    expect(await calls(app, 'requestLogs')).toEqual([]);
    expect(await app.get('logs-from').inputValue()).toBe('02/01/2026 10:00');
    await type(app, 'logs-to', '2026-01-02T11:00');
    await type(app, 'logs-max-size', '1');
    await app.get('logs-request').click();
    await app.get('logs-archive-0').waitFor();
    const [, from, to, maxBytes] = (await calls(app, 'requestLogs'))[0] ?? [];
    expect([from, to, maxBytes]).toEqual([
      '2026-01-02T08:00:00.000Z',
      '2026-01-02T09:00:00.000Z',
      1024 * 1024,
    ]);
  });

  test('reads the times in the zone that is named', async () => {
    const app = await dialog();
    await app.get('logs-zone').selectOption('outlet');
    await type(app, 'logs-from', '2026-07-02T10:00');
    await type(app, 'logs-to', '2026-07-02T11:00');
    await app.get('logs-request').click();
    await app.get('logs-archive-0').waitFor();
    // Row 5 stands in Vilnius, which has Riga's time; so the moments are the same, in another zone.
    const [, from] = (await calls(app, 'requestLogs'))[0] ?? [];
    expect(from).toBe('2026-07-02T07:00:00.000Z');
  });

  test('of many stores asks each in its own zone and shows each on its own', async () => {
    const app = await open('scenario=demo&pace=10');
    await app.row(2).click();
    await app.row(10).click({ modifiers: ['Shift'] });
    await app.get('action-retrieve-logs').click();
    await app.page.getByText('1 of the selected stores is offline.').waitFor();
    await app.get('logs-zone').selectOption('outlet');
    await app.get('logs-when-offline').selectOption('skip');
    await app.get('logs-request').click();
    await app.page.getByText('Skipped: the store is offline.').waitFor();
    await app.get('logs-archive-7').waitFor();
    const asked = await calls(app, 'requestLogs');
    expect(asked.length).toBeGreaterThan(4);
    await app.get('logs-save-all').click();
    await eventually(async () => expect(await app.page.getByText('Saved').count()).toBe(8));
    expect((await calls(app, 'saveArchives'))[0]?.[1]).toBe('Save archives');
  });

  test('says that a store is offline, and waits for it when told to', async () => {
    const app = await open('scenario=demo&pace=10');
    await app.get('tile-offline').click();
    await app.row(0).click();
    await app.get('action-retrieve-logs').click();
    await app.get('logs-request').click();
    await app.page.getByText('The venue is offline').waitFor();
    await app.get('logs-again').click();
    await app.get('logs-when-offline').selectOption('queue');
    await app.get('logs-request').click();
    await app.page.getByText('waits for the store').waitFor();
    await app.get('logs-cancel').click();
    await app.page.getByText('canceled').waitFor();
  });

  test('goes on in Activity when the dialog is closed, and can be canceled there', async () => {
    const app = await dialog('scenario=demo&pace=400');
    await app.get('logs-request').click();
    await app.get('logs-progress').getByText('finding the entries').waitFor();
    await app.get('logs-close').click();
    const activity = app.get('activity');
    await activity.getByText('Retrieve logs: Vilnius Centrs').waitFor();
    await activity.getByRole('button', { name: 'Cancel Retrieve logs: Vilnius Centrs' }).click();
    await activity.getByText('canceled').waitFor();
  });

  test('that fails says that nothing was changed', async () => {
    const app = await dialog();
    await app.page.evaluate(() => {
      const mock = window.tillwatchMock;
      if (mock) mock.jobs.failNextJob = { code: 'disk_full', message: 'no room for the archive' };
    });
    await app.get('logs-request').click();
    await app.page.getByText('no room for the archive').waitFor();
    await app.page.getByText('Nothing was changed in the store').waitFor();
  });
});

describe('resetting a database', () => {
  async function dialog(tile: string, index: number, query = 'scenario=demo&pace=10') {
    const app = await open(query);
    if (tile) await app.get(tile).click();
    await app.row(index).click();
    await app.get('action-reset-database').click();
    await app.get('reset-confirm-name').waitFor();
    return app;
  }

  test('starts on Cancel, wants the name to the letter, shows its phases and the end', async () => {
    const app = await dialog('', 5);
    await eventually(async () =>
      expect(await app.get('reset-cancel').evaluate((button) => button === document.activeElement)).toBe(
        true,
      ),
    );
    await app.page.getByText('Nothing is lost: all transactions were sent.').waitFor();
    const submit = app.get('reset-confirm-submit');
    expect(await submit.isDisabled()).toBe(true);
    await type(app, 'reset-confirm-name', 'vilnius centrs');
    expect(await submit.isDisabled()).toBe(true);
    await type(app, 'reset-confirm-name', 'Vilnius Centrs');
    await submit.click();
    await app.page.getByText('The POS database of Vilnius Centrs was reset').waitFor();
    const [[, confirm, generation, collectLogs, discard] = []] = await calls(app, 'resetDatabase');
    expect([confirm, typeof generation, collectLogs, discard]).toEqual([
      'Vilnius Centrs',
      'number',
      true,
      false,
    ]);
    expect(app.faults).toEqual([]);
  });

  test('tells how many transactions are lost and wants that confirmed', async () => {
    const app = await dialog('tile-error', 1);
    await app.page.getByText('Lost: 17 transactions').waitFor();
    const name = (await app.page.getByRole('alertdialog').getByRole('heading').textContent()) ?? '';
    await type(app, 'reset-confirm-name', name.replace('Reset the POS database of ', '').replace('?', ''));
    expect(await app.get('reset-confirm-submit').isDisabled()).toBe(true);
    await app.get('reset-discard').check();
    expect(await app.get('reset-confirm-submit').isEnabled()).toBe(true);
  });

  test('that is refused keeps what was typed and says that nothing was reset', async () => {
    const app = await dialog('', 5);
    await app.page.evaluate(() =>
      window.tillwatchMock?.failNext('resetDatabase', { code: 'generation_changed' }),
    );
    await type(app, 'reset-confirm-name', 'Vilnius Centrs');
    await app.page.keyboard.press('Enter');
    await app.page.getByText('Nothing was reset.').waitFor();
    expect(await app.get('reset-confirm-name').inputValue()).toBe('Vilnius Centrs');
  });

  test('that breaks off says where, and that the database is not lost', async () => {
    const app = await dialog('', 5);
    await app.page.evaluate(() => {
      const mock = window.tillwatchMock;
      if (mock) mock.jobs.failNextJob = { code: 'pos_silent', message: 'the service did not start' };
    });
    await type(app, 'reset-confirm-name', 'Vilnius Centrs');
    await app.get('reset-confirm-submit').click();
    await app.page.getByText('The reset of Vilnius Centrs did not go through').waitFor();
    await app.page.getByText('The database was not lost').waitFor();
  });

  test('is for one store at a time', async () => {
    const app = await open('scenario=demo');
    await app.row(5).click();
    await app.row(7).click({ modifiers: ['Shift'] });
    await eventually(async () =>
      expect(await app.get('action-reset-database').getAttribute('title')).toContain('one store at a time'),
    );
    expect(await app.get('action-reset-database').isDisabled()).toBe(true);
  });
});
