import { describe, expect, test } from 'vitest';
import type {} from '../src/lib/backend/mock';
import { eventually, open, type App } from './browser';

const calls = (app: App, name: string) =>
  app.page.evaluate(
    (wanted) =>
      window.tillwatchMock?.calls.filter((call) => call.name === wanted).map((call) => call.args) ?? [],
    name,
  );
const fail = (app: App, call: string, code: string) =>
  app.page.evaluate(
    ([name, failure]) => window.tillwatchMock?.failNext(name ?? '', { code: failure ?? '' }),
    [call, code],
  );
const focused = (app: App) => app.page.evaluate(() => document.activeElement?.getAttribute('data-testid'));

describe('what happened to a store', () => {
  test('is drawn over a day, a week and a month, and told as a list', async () => {
    const app = await open('scenario=demo');
    await app.row(2).dblclick();
    await app.get('timeline-picture').waitFor();
    const lanes = app.page.locator('[data-lane]');
    expect(await lanes.evaluateAll((all) => all.map((lane) => lane.getAttribute('data-lane')))).toEqual([
      'link',
      'pos',
      'exchange',
      'version',
      'jobs',
    ]);
    const list = app.page.getByRole('list', { name: 'Events, newest first' });
    await list.getByText('Offline: connection lost').first().waitFor();
    await list.getByText('The connector fell silent').waitFor();
    // The picture is drawn for eyes; the list says the same to a screen reader.
    expect(await app.get('timeline-picture').getAttribute('aria-hidden')).toBe('true');

    await app.get('timeline-month').focus();
    await app.page.keyboard.press('Enter');
    expect(await focused(app)).toBe('timeline-month');
    await app.page.getByRole('button', { name: /^Show \d+ more events$/ }).click();
    await eventually(async () => expect(await list.getByRole('listitem').count()).toBeGreaterThan(6));
    const [, from, to] = (await calls(app, 'timeline')).at(-1) ?? [];
    expect(Date.parse(String(to)) - Date.parse(String(from))).toBe(30 * 86_400_000);
    expect(app.faults).toEqual([]);
  });

  test('comes while its store talks all the time, and is read again when something happened', async () => {
    const app = await open('scenario=demo&pace=10');
    await app.page.evaluate(() => {
      const mock = window.tillwatchMock;
      setInterval(() => {
        const row = mock?.rows.rows[5];
        if (!mock || !row) return;
        row.last_report_at = new Date().toISOString();
        row.revision += 1;
        mock.rows.changed();
        mock.emit({ type: 'grid', summary: mock.rows.summary(), changes: null, cursor: null });
      }, 20);
    });
    await app.row(5).dblclick();
    await app.get('timeline-picture').waitFor();
    await app.get('timeline-week').click();
    await app.get('timeline-picture').waitFor();
    await app.get('details').getByRole('button', { name: 'Diagnose' }).click();
    await app.get('timeline').getByText('Diagnosis: done').waitFor();
  });

  test('that can not be read says why and is tried again', async () => {
    const app = await open('scenario=demo');
    await app.row(5).click();
    await fail(app, 'timeline', 'unavailable');
    await app.row(5).dblclick();
    const timeline = app.get('timeline');
    await timeline.getByText('The cloud is not available now').waitFor();
    await timeline.getByRole('button', { name: 'Try again' }).click();
    await app.get('timeline-picture').waitFor();
  });

  test('is not promised without the cloud; what was read stays, with its age', async () => {
    const app = await open('scenario=offline');
    await app.row(5).dblclick();
    await app.get('timeline').getByText('which can’t be reached now').waitFor();
    expect(await calls(app, 'timeline')).toEqual([]);
    await app.page.evaluate(() =>
      window.tillwatchMock?.setConnection({ state: 'live', since: new Date().toISOString() }),
    );
    await app.get('timeline-picture').waitFor();
    await app.page.evaluate(() =>
      window.tillwatchMock?.setConnection({ state: 'no_network', since: new Date().toISOString() }),
    );
    await app.get('timeline').getByText('As it stood at').waitFor();
    await app.get('timeline-picture').waitFor();
  });

  test('of a store that was never connected is empty', async () => {
    const app = await open('scenario=demo');
    await app.row(11).dblclick();
    await app.get('timeline').getByText('Nothing changed in this period.').waitFor();
  });
});

describe('going back to an earlier database', () => {
  async function dialog(query = 'scenario=demo&pace=10') {
    const app = await open(query);
    await app.row(5).dblclick();
    await app.get('details-restore').click();
    await app.get('restore-confirm-name').waitFor();
    return app;
  }

  test('starts on Cancel, wants the name to the letter, shows its steps and the end', async () => {
    const app = await dialog();
    await eventually(async () => expect(await focused(app)).toBe('restore-cancel'));
    await app.page.getByText('Kept: the present database as a backup').waitFor();
    expect(await app.get('restore-backup-0').isChecked()).toBe(true);
    await app.get('restore-backup-1').check();
    const submit = app.get('restore-confirm-submit');
    await app.get('restore-confirm-name').fill('vilnius centrs');
    expect(await submit.isDisabled()).toBe(true);
    await app.get('restore-confirm-name').fill('Vilnius Centrs');
    await submit.click();
    await app.get('restore-phases').getByText('putting the database back').waitFor();
    await app.page.getByText('The POS database of Vilnius Centrs was restored').waitFor();
    const [[, name, backup] = []] = await calls(app, 'restoreDatabase');
    expect([name, typeof backup]).toEqual(['Vilnius Centrs', 'string']);
    expect(app.faults).toEqual([]);
  });

  test('by a backup that went away meanwhile says so and shows those that are there', async () => {
    const app = await dialog();
    await fail(app, 'restoreDatabase', 'backup_not_found');
    await app.get('restore-confirm-name').fill('Vilnius Centrs');
    await app.page.keyboard.press('Enter');
    await app.page.getByText('Nothing was restored.').waitFor();
    expect((await calls(app, 'backups')).length).toBe(2);
    expect(await app.get('restore-confirm-name').inputValue()).toBe('Vilnius Centrs');
  });

  test('is not offered where no database is kept, and tells when the list can not be read', async () => {
    const app = await open('scenario=demo&pace=10');
    const never = await app.page.evaluate(() => {
      const rows = window.tillwatchMock?.rows.rows ?? [];
      return rows.findIndex((row) => row.generation === 1 && row.link_state === 'online');
    });
    await app.row(never).dblclick();
    await fail(app, 'backups', 'unavailable');
    await app.get('details-restore').click();
    await app.page.getByRole('button', { name: 'Try again' }).click();
    await app.get('restore-none').waitFor();
    expect(await app.get('restore-confirm-submit').count()).toBe(0);
  });

  test('is offered when a reset failed, in its dialog and with its job', async () => {
    const app = await open('scenario=demo&pace=10');
    await app.row(5).click();
    await app.page.evaluate(() => {
      const mock = window.tillwatchMock;
      if (mock) mock.jobs.failNextJob = { code: 'pos_not_started', message: 'the service did not start' };
    });
    await app.get('action-reset-database').click();
    await app.get('reset-confirm-name').fill('Vilnius Centrs');
    await app.get('reset-confirm-submit').click();
    await app.get('reset-restore').click();
    await app.get('restore-confirm-name').waitFor();
    await app.get('restore-cancel').click();
    await app.row(5).dblclick();
    await app.get('job-restore').click();
    await app.get('restore-confirm-name').waitFor();
  });

  test('is in the menu of a row, and off with a reason where it can not be', async () => {
    const app = await open('scenario=demo');
    await app.row(2).click({ button: 'right' });
    const item = app.page.getByRole('menuitem', { name: 'Restore the previous database…' });
    expect(await item.getAttribute('title')).toContain('offline');
    await app.page.keyboard.press('Escape');
    await app.row(5).click({ button: 'right' });
    await item.click();
    await app.get('restore-confirm-name').waitFor();
  });
});

describe('looking into logs', () => {
  async function viewer(query = 'scenario=demo&pace=10') {
    const app = await open(query);
    await app.row(5).click();
    await app.get('action-retrieve-logs').click();
    await app.get('logs-request').click();
    await app.get('logs-view').click();
    return app;
  }
  const top = async (app: App) => Number(await app.get('viewer-lines').getAttribute('data-top'));
  const active = (app: App) => app.page.locator('[aria-selected="true"][data-place]');

  test('shows lines by time and level, searches, and jumps to errors', async () => {
    const app = await viewer();
    await app.page.getByRole('heading', { name: 'Logs of Vilnius Centrs' }).waitFor();
    await app.get('viewer-search').fill('TIMED OUT');
    await app.get('viewer-found').getByText('1 of 61').waitFor();
    await app.page.keyboard.press('F3');
    await app.get('viewer-found').getByText('2 of 61').waitFor();
    await app.page.keyboard.press('Shift+F3');
    await app.page.keyboard.press('Shift+F3');
    await app.get('viewer-found').getByText('61 of 61').waitFor();
    await eventually(async () => expect(await active(app).textContent()).toContain('timed out'));
    await app.get('viewer-entry').getByText('caused by: os error 110').waitFor();
    await app.page.keyboard.press('F8');
    await eventually(async () => expect(await active(app).getAttribute('data-place')).toBe('41'));

    // Only errors, with the lines that follow them.
    for (const level of ['warn', 'info', 'debug']) await app.get(`viewer-level-${level}`).click();
    await eventually(async () =>
      expect(await app.get('viewer-lines').getAttribute('data-total')).toBe('183'),
    );
    await app.get('viewer-level-error').click();
    await app.page.getByText('No entry has these levels in this file.').waitFor();
    await app.page.getByRole('button', { name: 'Show all entries' }).click();
    await app.get('viewer-file').selectOption('1');
    await eventually(async () =>
      expect(Number(await app.get('viewer-lines').getAttribute('data-total'))).toBeLessThan(9000),
    );
    expect(app.faults).toEqual([]);
  });

  test('holds a window of lines however many there are, and scrolls through all of them', async () => {
    const app = await viewer('scenario=demo&pace=10&lines=450000');
    const lines = app.get('viewer-lines');
    await lines.waitFor({ timeout: 40_000 });
    await lines.focus();
    await app.page.keyboard.press('End');
    await eventually(async () => expect(await active(app).getAttribute('data-place')).toBe('449999'));
    await eventually(async () => expect(await active(app).textContent()).toMatch(/INFO|DEBUG|WARN|ERROR/));
    expect(await app.page.locator('[data-place]').count()).toBeLessThan(60);
    // The scrollbar reaches the middle, the wheel goes line by line.
    await lines.evaluate((element) => (element.scrollTop = element.scrollHeight / 2));
    await eventually(async () => expect(Math.abs((await top(app)) - 225_000)).toBeLessThan(2_000));
    const before = await top(app);
    await lines.hover();
    await app.page.mouse.wheel(0, 63);
    await eventually(async () => expect(await top(app)).toBe(before + 3));
    const shown = app.page.locator(`[data-place="${before + 5}"]`);
    await eventually(async () => expect(await shown.textContent()).toMatch(/INFO|DEBUG|WARN|ERROR/));
    await app.page.keyboard.press('Home');
    await eventually(async () => expect(await top(app)).toBe(0));
  });

  test('tells how far it is, can be canceled, and goes back to where it was opened', async () => {
    const app = await viewer('scenario=demo&pace=300');
    await app.get('viewer-progress').getByText('Fetching and checking').waitFor();
    await app.get('viewer-progress').getByRole('progressbar').waitFor();
    await app.get('viewer-cancel').click();
    await app.get('viewer-progress').waitFor({ state: 'detached' });
    await app.get('logs-progress').waitFor();
    expect((await calls(app, 'closeViewer')).length).toBe(1);
    await eventually(async () => expect(await focused(app)).toBe('logs-view'));
  });

  test.each([
    ['archive_unreadable', 'The archive can’t be read'],
    ['archive_encrypted', 'The archive needs a password'],
    ['archive_too_large', 'too large to be looked at here'],
    ['archive_expired', 'The archive was deleted after its time'],
  ])('that fails with %s says so', async (code, words) => {
    const app = await viewer(`scenario=demo&pace=10&archive=${code}`);
    await app.get('log-viewer').getByText(words).first().waitFor();
    await app.get('viewer-retry').waitFor();
    await app.page.keyboard.press('Escape');
    await app.get('log-viewer').waitFor({ state: 'detached' });
    await app.get('logs-progress').waitFor();
  });
});

test('a request for logs waits for offline stores until the moment that was chosen', async () => {
  const app = await open('scenario=demo&pace=10');
  await app.get('tile-offline').click();
  await app.row(0).click();
  await app.get('action-retrieve-logs').click();
  await app.get('logs-when-offline').selectOption('queue');
  await app.get('logs-wait-until').fill('2020-01-01T10:00');
  await app.get('logs-request').click();
  await app.get('logs-wait-problem').waitFor();
  expect(await focused(app)).toBe('logs-wait-until');
  const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
  await app.get('logs-wait-until').fill(`${tomorrow}T10:00`);
  await app.get('logs-request').click();
  await app.page.getByText('waits for the store').waitFor();
  const asked = (await calls(app, 'requestLogs'))[0] ?? [];
  // Riga is two hours ahead in winter, three in summer.
  expect(String(asked[5])).toMatch(new RegExp(`^${tomorrow}T0[78]:00:00`));
});

test('a saved archive that was moved since says so when it is to be shown', async () => {
  const app = await open('scenario=demo&pace=10');
  await app.row(5).click();
  await app.get('action-retrieve-logs').click();
  await app.get('logs-request').click();
  await app.get('logs-archive-0').click();
  await fail(app, 'showInFolder', 'file_gone');
  await app.page.getByRole('button', { name: 'Show in folder' }).first().click();
  await app.page.getByText('The file is no longer there').waitFor();
});
