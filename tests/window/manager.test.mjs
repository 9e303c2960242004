// A manager's morning in the real window, over a real cloud and a fleet of stores.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { Key } from 'selenium-webdriver';
import { start, stop } from '../../scripts/lib/run.mjs';
import { demoStores } from '../../scripts/lib/demo-data.mjs';
import { sha256 } from '../lib/archives.mjs';
import { fillLoyalty, follow, program, scene } from '../lib/scene.mjs';
import { answerDialog, byTestId, eventually, openWindow, story } from '../lib/window.mjs';
import { atEnd } from '../lib/at-end.mjs';

test('the morning of a manager', async (t) => {
  const cloud = await scene(t, demoStores(12));
  await fillLoyalty(cloud);
  for (const chain of ['Bistro Amber', 'Pizza Lielupe'])
    cloud.cli('release', 'require', '--chain', chain, '--pos-version', '34.6.0');
  const events = follow(t, cloud);
  const { child: fleet } = await start(
    program('tillwatch-fleet'),
    ['run', '--cloud', cloud.url, '--enrollments', cloud.enrollments, '--ca', cloud.ca, '--troubles', 'demo'],
    { ready: (line) => (/^fleet of 12 stores is running$/.test(line) ? true : undefined) },
  );
  atEnd(t, () => stop(fleet));
  const rows = await settled(cloud, events);
  const red = rows.filter((row) => row.highlight === 'error');
  const yellow = rows.filter((row) => row.highlight === 'update_required');
  const offline = rows.filter((row) => row.link.state === 'offline');
  assert.deepEqual([red.length, yellow.length, offline.length], [2, 1, 1]);

  const home = path.join(cloud.folder, 'desktop');
  mkdirSync(home);
  let window = await openWindow(t, home);
  const step = story(t, () => window.picture('failed-manager'));
  const rowOf = (status) => window.find(`row-${status.id}`);

  await step('a wrong password is told in plain words', async () => {
    await window.type('signin-url', cloud.url);
    await window.type('signin-email', cloud.admin.email);
    await window.type('signin-password', 'wrong');
    await window.click('signin-submit');
    const trust = await window.find('trust-certificate');
    const page = await window.driver.findElement({ css: 'body' }).getText();
    const shown = page.replace(/[^0-9A-Fa-f]/g, '').toUpperCase();
    assert.ok(shown.includes(cloud.fingerprint.toUpperCase()), 'the fingerprint is on screen');
    window.picture('certificate');
    await trust.click();
    await window.until('the password is refused', async () =>
      /password/i.test(await window.driver.findElement({ css: '[role="alert"]' }).getText()),
    );
    window.picture('wrong-password');
  });

  await step('the right one shows the stores with their colours', async () => {
    await window.type('signin-password', cloud.admin.password);
    await window.click('signin-submit');
    await window.find('status-grid');
    await rowOf(rows[0]);
    for (const status of red)
      assert.equal(await (await rowOf(status)).getAttribute('data-highlight'), 'error');
    for (const status of yellow)
      assert.equal(await (await rowOf(status)).getAttribute('data-highlight'), 'update_required');
    for (const status of offline) {
      const row = await rowOf(status);
      assert.equal(await row.getAttribute('data-link'), 'offline');
      assert.match(await row.getText(), /offline/i);
    }
    const colour = async (status) => (await rowOf(status)).getCssValue('background-color');
    const well = rows.find((row) => row.highlight === 'none' && row.link.state === 'online');
    const colours = [await colour(red[0]), await colour(yellow[0]), await colour(well)];
    assert.equal(new Set(colours).size, 3, colours.join(' '));
    window.picture('stores');
  });

  await step('the checkbox leaves the troubled ones', async () => {
    const well = rows.find((row) => row.highlight === 'none' && row.link.state === 'online');
    await window.click('filter-problems-only');
    await window.click('filter-apply');
    await window.until('healthy rows are gone', async () => (await window.count(`row-${well.id}`)) === 0);
    for (const status of [...red, ...yellow, ...offline]) await rowOf(status);
    await window.click('filter-problems-only');
    await window.click('filter-apply');
    await rowOf(well);
  });

  await step('quick search finds by CRM id', async () => {
    await window.type('filter-search', rows[5].outlet.crm_id);
    await window.until('one row is left', async () => (await window.count(`row-${rows[4].id}`)) === 0);
    await rowOf(rows[5]);
    await (await window.find('filter-search')).sendKeys(Key.chord(Key.CONTROL, 'a'));
    await (await window.find('filter-search')).sendKeys(Key.DELETE);
    await rowOf(rows[4]);
  });

  const target = red.find((row) => row.exchange.error.code === 'database_inconsistent') ?? red[0];

  await step('the details say in words what is wrong and what to do', async () => {
    await (await rowOf(target)).click();
    await (await window.find('status-grid')).sendKeys(Key.RETURN);
    const details = await window.find('details');
    assert.match(await details.getText(), /no longer agrees with the cloud[^]*Reset/);
    window.picture('details');
    await (await window.find('status-grid')).sendKeys(Key.ESCAPE);
    await window.until('the details are gone', async () => (await window.count('details')) === 0);
  });

  await step('logs are retrieved and saved through the native dialog', async () => {
    await (await rowOf(target)).click();
    await window.click('action-retrieve-logs');
    await window.find('logs-from');
    window.picture('retrieve-logs');
    await window.click('logs-request');
    const link = await window.find('logs-archive-0', 60_000);
    window.picture('retrieve-logs-done');
    const file = path.join(cloud.folder, 'saved.zip');
    await link.click();
    await answerDialog('Save archive', file);
    await eventually('the archive is on disk', () => statSync(file, { throwIfNoEntry: false }));
    const { items } = await cloud.api('GET', `/jobs?pos_server_id=${target.id}`);
    const archive = items.find((job) => job.kind === 'retrieve_logs').result.archives[0];
    assert.equal(sha256(readFileSync(file)), archive.sha256);
    await window.click('logs-close');
  });

  await step('a wrong name does not reset, the right one does', async () => {
    await (await rowOf(target)).click();
    await window.click('action-reset-database');
    await window.type('reset-confirm-name', 'Something else');
    assert.equal(await (await window.find('reset-confirm-submit')).isEnabled(), false);
    window.picture('reset');
    await window.type('reset-confirm-name', target.outlet.name);
    await window.click('reset-confirm-submit');
    const before = target.database.generation;
    await events.status(
      target.id,
      'the database is new',
      (status) => status.database.generation === before + 1,
    );
    await events.status(target.id, 'the row is healed', (status) => status.highlight !== 'error');
    window.picture('reset-done');
    await window.driver.actions().sendKeys(Key.ESCAPE).perform();
    await window.until(
      'the row is no longer red',
      async () => (await (await rowOf(target)).getAttribute('data-highlight')) !== 'error',
    );
  });

  await step('Excel gets what is on screen', async () => {
    const file = path.join(cloud.folder, 'statuses.xlsx');
    await window.click('export-excel');
    await answerDialog('Export statuses', file);
    await eventually('the sheet is on disk', () => statSync(file, { throwIfNoEntry: false }));
    const sheet = readSheet(file);
    assert.equal(sheet.length, rows.length + 1);
    const flat = sheet.map((line) => line.join('|')).join('\n');
    for (const row of rows) {
      assert.ok(flat.includes(row.outlet.name), row.outlet.name);
      assert.ok(flat.includes(row.outlet.crm_id), row.outlet.crm_id);
    }
  });

  await step('the window speaks Russian, in the dark too', async () => {
    const choose = async (testId, value) => {
      await window.driver.executeScript(
        'arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event("change", { bubbles: true }))',
        await window.find(testId),
        value,
      );
    };
    const heading = () => window.driver.findElement({ css: '[role="columnheader"]' }).getText();
    const english = await heading();
    await window.driver.findElement({ css: 'button[aria-label="Settings"]' }).click();
    await choose('settings-theme', 'dark');
    await choose('settings-language', 'ru');
    await window.until('the settings are in Russian', async () =>
      /Тема/.test(await window.driver.findElement({ css: '[role="dialog"]' }).getText()),
    );
    window.picture('settings-russian-dark');
    await window.driver.actions().sendKeys(Key.ESCAPE).perform();
    assert.notEqual(await heading(), english);
    window.picture('stores-russian-dark');
    await window.driver.findElement({ css: 'button[aria-label="Настройки"]' }).click();
    await choose('settings-language', 'en');
    await choose('settings-theme', 'light');
    await window.driver.actions().sendKeys(Key.ESCAPE).perform();
  });

  await step('without the cloud the last known rows stay, with a banner, also after a restart', async () => {
    await stop(cloud.child);
    await window.find('offline-banner', 60_000);
    await rowOf(rows[0]);
    window.picture('offline');
    await window.close();
    window = await openWindow(t, home);
    await rowOf(rows[0]);
    await window.find('offline-banner', 60_000);
    assert.equal((await window.driver.findElements(byTestId('signin-submit'))).length, 0);
  });

  await step('it goes live again by itself', async () => {
    await cloud.startCloud(`127.0.0.1:${new URL(cloud.url).port}`);
    await window.until(
      'the banner is gone',
      async () => (await window.count('offline-banner')) === 0,
      90_000,
    );
  });
});

/** All statuses, once the fleet shows its troubles. */
async function settled(cloud, events) {
  const { items } = await cloud.api('GET', '/pos-servers?limit=1000');
  const troubled = (status) =>
    status.link.state === 'offline' ||
    (status.link.state === 'online' &&
      (status.exchange.error !== null || status.exchange.last_success_at !== null));
  await Promise.all(items.map((item) => events.status(item.id, `${item.outlet.name} settles`, troubled)));
  return eventually(
    'the troubles show',
    async () => {
      const { items } = await cloud.api('GET', '/pos-servers?limit=1000');
      const has = (test) => items.filter(test).length;
      const all =
        has((row) => row.highlight === 'error') === 2 &&
        has((row) => row.highlight === 'update_required') === 1 &&
        has((row) => row.link.state === 'offline') === 1;
      return all ? items : undefined;
    },
    60_000,
  );
}

/** The first sheet as openpyxl reads it: rows of texts. */
function readSheet(file) {
  const script =
    'import json, sys, openpyxl\n' +
    'book = openpyxl.load_workbook(sys.argv[1])\n' +
    'print(json.dumps([["" if c is None else str(c) for c in row] for row in book.worksheets[0].iter_rows(values_only=True)]))';
  const ended = spawnSync('/usr/bin/python3', ['-c', script, file], { encoding: 'utf8' });
  assert.equal(ended.status, 0, ended.stderr);
  return JSON.parse(ended.stdout);
}
