// An administrator in the real window: signing in at a provider in the browser, a second profile, a new outlet.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { By, Key } from 'selenium-webdriver';
import { browse, identityProvider } from '../lib/identity-provider.mjs';
import { addUser, scene } from '../lib/scene.mjs';
import { eventually, openWindow, story } from '../lib/window.mjs';

/** What the system opens addresses with: writes them down for the test, which plays the browser. */
function browser(folder) {
  const bin = path.join(folder, 'bin');
  const opened = path.join(folder, 'opened');
  mkdirSync(bin);
  writeFileSync(
    path.join(bin, 'xdg-open'),
    `#!/bin/sh\nprintf '%s' "$1" > '${opened}.part' && mv '${opened}.part' '${opened}'\n`,
  );
  chmodSync(path.join(bin, 'xdg-open'), 0o755);
  const address = () => {
    try {
      return readFileSync(opened, 'utf8');
    } catch {
      return undefined;
    }
  };
  return {
    env: { PATH: `${bin}:${process.env.PATH}` },
    opened: async () => {
      const found = await eventually('the browser is opened', address);
      rmSync(opened);
      return found;
    },
  };
}

test('the day of an administrator', async (t) => {
  const work = await identityProvider(
    t,
    { admin: { email: 'admin@tillwatch.example', email_verified: true } },
    { secret: 'a secret' },
  );
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }], {
    config: (folder) => {
      const file = path.join(folder, 'cloud.toml');
      writeFileSync(
        file,
        `[[sso]]\nid = "work"\nname = "Work account"\nissuer = "${work.issuer}"\nclient_id = "tillwatch"\nclient_secret = "a secret"\n`,
      );
      return file;
    },
  });
  const manager = { email: 'manager@tillwatch.example', password: 'a long enough password', name: 'Marta' };
  addUser(cloud.dataDir, manager);
  cloud.cli('user', 'grant', '--email', manager.email, '--all', '--permission', 'outlet_setup');
  const home = path.join(cloud.folder, 'desktop');
  mkdirSync(home);
  const { env, opened } = browser(cloud.folder);
  const window = await openWindow(t, home, { env });
  const step = story(t, () => window.picture('failed-administrator'));
  // The page's own text: reading it element by element, the driver stumbles over those that go meanwhile.
  const says = (text) =>
    window.until(`the window says ${text}`, async () =>
      (await window.driver.executeScript('return document.body.innerText')).includes(text),
    );

  await step('one signs in at the provider, in the system’s browser', async () => {
    await window.type('signin-url', cloud.url);
    await (await window.find('signin-url')).sendKeys(Key.TAB);
    await window.click('signin-show-certificate');
    await window.click('trust-certificate');
    await window.click('signin-sso-work');
    await window.find('signin-sso-waiting');
    window.picture('sso-waiting');
    const address = await opened();
    assert.equal(new URL(address).origin, work.issuer);
    const page = await browse(address, { login: 'admin' });
    assert.match(page, /You are signed in/);
    await window.find(`row-${cloud.stores[0].id}`);
  });

  await step('another profile is added, and the first one gone back to', async () => {
    assert.equal(await window.count('admin-open'), 1);
    await window.click('account');
    await window.click('menu-profile-add');
    await window.type('signin-email', manager.email);
    await window.type('signin-password', manager.password);
    await window.click('signin-submit');
    await window.until('a manager administers nothing', async () => (await window.count('admin-open')) === 0);
    await window.find(`row-${cloud.stores[0].id}`);
    await window.click('account');
    const [other] = await window.driver.findElements(By.css('[data-testid^="switch-"]'));
    assert.match(await other.getText(), /admin@tillwatch\.example/);
    await other.click();
    await window.find('admin-open');
    await window.find(`row-${cloud.stores[0].id}`);
  });

  await step('an outlet is added with its POS server', async () => {
    await window.click('admin-open');
    await window.click('outlets-add');
    await window.type('outlet-name', 'Sigulda');
    await window.type('outlet-time-zone', 'Europe/Riga');
    await window.click('outlet-save');
    await says('Sigulda is added.');
    const { items } = await cloud.api('GET', '/admin/outlets');
    assert.deepEqual(items.map(({ name }) => name).sort(), ['Riga Centrs', 'Sigulda']);
    window.picture('outlets');
  });

  await step('a user gets another password, when the provider has asked again who one is', async () => {
    const { items } = await cloud.api('GET', '/admin/users');
    const { id } = items.find(({ email }) => email === manager.email);
    await window.click('admin-tab-users');
    await window.click(`user-actions-${id}`);
    await window.click('user-password');
    await window.click('user-password-confirm');
    await window.find('signin-password');
    window.picture('prove');
    await window.click('signin-sso-work');
    await window.find('signin-sso-waiting');
    const address = await opened();
    assert.equal(new URL(address).searchParams.get('prompt'), 'login');
    assert.match(await browse(address, { login: 'admin' }), /You are signed in/);
    const told = await window.find('user-password-told');
    const password = await told.getAttribute('value');
    const entered = await cloud.request('POST', '/api/v1/sessions', {
      json: { email: manager.email, password },
    });
    assert.equal(entered.status, 200, JSON.stringify(entered.body));
    window.picture('user-password');
    await window.click('user-password-done');
  });
});
