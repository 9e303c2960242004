// What a manager meets when something is not as it should be, in the real window.
import assert from 'node:assert/strict';
import http from 'node:http';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { stop } from '../../scripts/lib/run.mjs';
import { addUser, scene } from '../lib/scene.mjs';
import { eventually, openWindow, story } from '../lib/window.mjs';
import { atEnd } from '../lib/at-end.mjs';

const alert = (window) => window.driver.findElement({ css: '[role="alert"]' }).getText();

async function signIn(window, url, { email, password }) {
  await window.type('signin-url', url);
  await window.type('signin-email', email);
  await window.type('signin-password', password);
  await window.click('signin-submit');
}

/** How many rows a cache holds. */
function rowsIn(file) {
  const count =
    'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM statuses").fetchone()[0])';
  const ended = spawnSync('/usr/bin/python3', ['-c', count, file], { encoding: 'utf8' });
  return ended.status === 0 ? Number(ended.stdout) : 0;
}

test('addresses that are no cloud, a user without grants, a damaged cache', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }, { outlet: 'Jelgava' }]);
  const nobody = { email: 'nobody@tillwatch.example', password: 'a long enough password' };
  addUser(cloud.dataDir, nobody);
  const home = path.join(cloud.folder, 'desktop');
  mkdirSync(home);
  let window = await openWindow(t, home);
  const step = story(t, () => window.picture('failed-refusals'));

  await step('an address that answers something else is told from one that does not answer', async () => {
    const server = http.createServer((_, answer) => answer.end('<h1>Router login</h1>'));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    atEnd(t, () => server.close());
    const told = [];
    for (const url of [
      `http://127.0.0.1:${server.address().port}`,
      'https://127.0.0.1:1',
      'no address at all',
    ]) {
      await signIn(window, url, nobody);
      told.push(
        await window.until(`${url} is refused`, async () => {
          const text = await alert(window);
          return !told.includes(text) && text;
        }),
      );
    }
    assert.equal(new Set(told).size, 3, told.join('\n'));
    window.picture('no-cloud');
  });

  await step('a user without grants sees why there is nothing to see', async () => {
    await signIn(window, cloud.url, nobody);
    await window.click('trust-certificate');
    await window.find('status-grid');
    await window.until('the page says so', async () =>
      /“See stores”/.test(await window.driver.findElement({ css: 'main' }).getText()),
    );
    window.picture('no-grants');
  });

  await step('a grant shows its stores without a new sign-in', async () => {
    cloud.cli('user', 'grant', '--email', nobody.email, '--all', '--permission', 'outlet_setup');
    await window.find(`row-${cloud.stores[0].id}`);
  });

  await step('a cache full of noise is put aside and filled again', async () => {
    await window.close();
    const cache = readdirSync(home, { recursive: true }).find((name) => /cache.*\.sqlite3$/.test(name));
    assert.ok(cache, readdirSync(home, { recursive: true }).join());
    writeFileSync(path.join(home, cache), 'noise '.repeat(10_000));
    window = await openWindow(t, home);
    await window.find(`row-${cloud.stores[0].id}`);
    // The driver ends the app without asking: what was gathered for the next write would be lost.
    await eventually('the rows are written', () => (rowsIn(path.join(home, cache)) === 2 ? true : undefined));
    await window.close();
    await stop(cloud.child);
    window = await openWindow(t, home);
    await window.find(`row-${cloud.stores[0].id}`);
    await window.find('offline-banner');
  });
});
