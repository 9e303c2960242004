// The grid in the real window: what crosses into the core and to the system.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Key } from 'selenium-webdriver';
import { scene } from '../lib/scene.mjs';
import { openWindow, story } from '../lib/window.mjs';

const chord = Key.chord;

test('rows that move, everything copied, a view after a restart', async (t) => {
  const names = Array.from({ length: 30 }, (_, n) => `Store ${String(n + 1).padStart(2, '0')}`);
  const cloud = await scene(
    t,
    names.map((outlet, n) => ({ outlet, crm_id: n === 3 ? '=1+1' : `0${10_000 + n}` })),
  );
  const home = path.join(cloud.folder, 'desktop');
  mkdirSync(home);
  let window = await openWindow(t, home);
  const step = story(t, () => window.picture('failed-grid'));
  const grid = () => window.find('status-grid');
  const press = async (...keys) => (await grid()).sendKeys(...keys);
  const rowOf = (n) => window.find(`row-${cloud.stores[n].id}`);
  const settings = () => JSON.parse(readFileSync(path.join(home, 'settings.json'), 'utf8'));
  const until = (what, look) => window.until(what, look);

  await step('all stores are there', async () => {
    await window.type('signin-url', cloud.url);
    await window.type('signin-email', cloud.admin.email);
    await window.type('signin-password', cloud.admin.password);
    await window.click('signin-submit');
    await window.click('trust-certificate');
    await rowOf(0);
  });

  await step('the keyboard and the selection stay at their store when another comes in above', async () => {
    await (await window.driver.findElement({ css: '[data-column="organization"]' })).click();
    await (await rowOf(5)).click();
    const place = async () => Number(await (await rowOf(5)).getAttribute('data-index'));
    const before = await place();
    const { items } = await cloud.api('GET', '/admin/outlets?limit=1000');
    const last = items.find(({ name }) => name === 'Store 30');
    await cloud.api('PATCH', `/admin/outlets/${last.id}`, { json: { name: 'A store' } });
    await until('the row moves down', async () => (await place()) === before + 1);
    const active = await (await grid()).getAttribute('aria-activedescendant');
    assert.match(active, new RegExp(`^cell-${before + 1}-`));
    await press(chord(Key.SHIFT, Key.ARROW_DOWN));
    await until('the range begins at the store', async () =>
      /2 selected/.test(await window.driver.findElement({ css: 'footer' }).getText()),
    );
    assert.equal(await (await rowOf(5)).getAttribute('aria-selected'), 'true');
  });

  await step('everything that is selected is on the clipboard, and none of it is a formula', async () => {
    await press(chord(Key.CONTROL, 'a'));
    await press(chord(Key.CONTROL, 'c'));
    await until('the window says so', async () =>
      /30 rows copied/.test(await window.driver.findElement({ css: 'body' }).getText()),
    );
    // The field takes one line, so that lines come one behind the other.
    const field = await window.find('filter-search');
    await field.sendKeys(chord(Key.CONTROL, 'v'));
    const pasted = await until('it is pasted', async () => (await field.getAttribute('value')) || false);
    for (const name of [...names.slice(0, 29), 'A store']) assert.ok(pasted.includes(name), name);
    assert.match(pasted, /\t'=1\+1\t/);
    await field.sendKeys(Key.ESCAPE);
    await rowOf(0);
  });

  await step('a view is kept under a name', async () => {
    await window.type('filter-search', 'store 17');
    await until('the others are gone', async () => (await window.count(`row-${cloud.stores[25].id}`)) === 0);
    await window.click('views');
    await window.driver.findElement({ css: '[role="menuitem"]' }).sendKeys(Key.RETURN);
    await window.type('view-name', 'Seventeen');
    await window.click('view-submit');
    await until('it is on disk', async () => settings().settings.view === 'Seventeen');
    assert.equal(settings().settings.views[0].query.search, 'store 17');
    window.picture('view');
  });

  await step('columns are put in another order by keyboard', async () => {
    await (await grid()).click();
    await press(
      chord(Key.CONTROL, Key.HOME),
      Key.ARROW_UP,
      Key.ARROW_RIGHT,
      Key.ARROW_RIGHT,
      Key.ARROW_RIGHT,
    );
    await press(chord(Key.ALT, Key.SHIFT, Key.ARROW_LEFT));
    await until('CRM ID is before Chain', async () => {
      const keys = settings().settings.columns.map(({ key }) => key);
      return keys.length > 0 && keys.indexOf('crm_id') < keys.indexOf('chain');
    });
  });

  await step('after a restart all of it is there', async () => {
    await window.close();
    window = await openWindow(t, home);
    await rowOf(16);
    assert.equal(await (await window.find('filter-search')).getAttribute('value'), 'store 17');
    assert.match(await window.text('views'), /Seventeen/);
    const titles = await window.driver.findElements({ css: '[role="columnheader"] .words' });
    const texts = await Promise.all(titles.map((title) => title.getText()));
    assert.ok(texts.indexOf('CRM ID') < texts.indexOf('Chain'), texts.join());
  });
});
