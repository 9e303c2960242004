// What a manager does with one store all day, in the real window: over a real cloud, connector and POS server.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Key } from 'selenium-webdriver';
import { fillLoyalty, follow, scene, store } from '../lib/scene.mjs';
import { openWindow, story } from '../lib/window.mjs';

test('a store with a real POS server: its history, its logs, and going back after a reset', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  await fillLoyalty(cloud);
  const events = follow(t, cloud);
  const riga = store(t, cloud, 0);
  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  const first = await events.status(
    riga.id,
    'it exchanges',
    ({ exchange, database }) => exchange.last_success_at !== null && database.generation !== null,
  );

  const home = path.join(cloud.folder, 'desktop');
  mkdirSync(home);
  const window = await openWindow(t, home);
  const step = story(t, () => window.picture('failed-store'));
  const row = () => window.find(`row-${riga.id}`);

  await step('the details draw what happened and tell it', async () => {
    await window.type('signin-url', cloud.url);
    await window.type('signin-email', cloud.admin.email);
    await window.type('signin-password', cloud.admin.password);
    await window.click('signin-submit');
    await window.click('trust-certificate');
    await (await row()).click();
    await (await window.find('status-grid')).sendKeys(Key.RETURN);
    await window.find('timeline-picture');
    await window.until('it is told', async () => /Connected/.test(await window.text('timeline')));
    window.picture('timeline');
  });

  await step('logs are looked into, and nothing of them stays', async () => {
    await window.click('action-retrieve-logs');
    await window.click('logs-request');
    // The job of the details behind the dialog has the button as well.
    const view = { css: '[role="dialog"] [data-testid="logs-view"]' };
    await window.until('the logs are there', async () => {
      await window.driver.findElement(view).click();
      return true;
    });
    const lines = await window.find('viewer-lines', 60_000);
    assert.ok(Number(await lines.getAttribute('data-total')) > 0);
    await window.type('viewer-search', 'EXCHANGE');
    await window.until('it is found', async () => /^1 of \d/.test(await window.text('viewer-found')));
    assert.match(await window.text('viewer-entry'), /exchange/i);
    window.picture('viewer');
    const left = readdirSync(home, { recursive: true }).filter((name) => /viewing.+|\.zip/.test(name));
    assert.deepEqual(left, []);
    await window.click('viewer-close');
    await window.click('logs-close');
  });

  await step('after a reset the previous database is put back', async () => {
    await window.click('action-reset-database');
    await window.type('reset-confirm-name', 'Riga Centrs');
    await window.click('reset-confirm-submit');
    const after = first.database.generation + 1;
    await events.status(riga.id, 'the database is new', ({ database }) => database.generation === after);
    await window.until('the reset is told', async () =>
      /was reset/.test(await window.driver.findElement({ css: '[role="alertdialog"]' }).getText()),
    );
    await window.driver.actions().sendKeys(Key.ESCAPE).perform();
    await window.click('details-restore');
    await window.type('restore-confirm-name', 'Riga Centrs');
    window.picture('restore');
    await window.click('restore-confirm-submit');
    await events.status(riga.id, 'the old one is back', ({ database }) => database.generation === after + 1);
    await window.until('the restore is told', async () =>
      /was restored/.test(await window.driver.findElement({ css: '[role="alertdialog"]' }).getText()),
    );
    window.picture('restored');
    await window.driver.actions().sendKeys(Key.ESCAPE).perform();
    await window.until('the timeline tells of both', async () => {
      // A machine that is slow to start the POS server has more to tell than fits without being asked for.
      const more = { css: '[data-testid="timeline"] [aria-expanded="false"]' };
      for (const button of await window.driver.findElements(more)) await button.click();
      const text = await window.text('timeline');
      return /Restore POS database: done/.test(text) && /Reset POS database: done/.test(text);
    });
  });
});
