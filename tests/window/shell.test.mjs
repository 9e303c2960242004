// The app as a part of the desktop: tray, notifications, closing to the tray, a second start, the window's place.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { spawn, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { start, stop } from '../../scripts/lib/run.mjs';
import { atEnd } from '../lib/at-end.mjs';
import { python } from '../lib/python.mjs';
import { program, scene, store } from '../lib/scene.mjs';
import { eventually, openWindow, story } from '../lib/window.mjs';

/** A desktop with a tray and notifications; `saw(what, test)` waits for one that fits. */
async function desktop(t) {
  const bin = python('desktop', ['dbus-fast==5.2.0']);
  const seen = [];
  const { child } = await start(
    path.join(bin, 'python'),
    [path.join(import.meta.dirname, '..', 'lib', 'desktop_bus.py')],
    {
      ready: (line) => {
        const event = JSON.parse(line);
        seen.push(event);
        return event.ready || undefined;
      },
    },
  );
  atEnd(t, () => stop(child));
  return {
    seen,
    order: (line) => child.stdin.write(`${line}\n`),
    saw: (what, test, patience = 90_000) =>
      eventually(what, () => seen.find(test), patience).catch((error) => {
        error.message += `: ${JSON.stringify(seen)}`;
        throw error;
      }),
  };
}

/** What X says of the app's window: its place and size while it is on screen, else undefined. */
function onScreen() {
  const xdotool = (...args) => spawnSync('xdotool', args, { encoding: 'utf8' }).stdout.trim();
  const [id] = xdotool('search', '--onlyvisible', '--name', '^Tillwatch$').split('\n');
  if (!id) return undefined;
  const figures = Object.fromEntries(
    xdotool('getwindowgeometry', '--shell', id)
      .split('\n')
      .map((line) => line.split('=')),
  );
  return { id, width: Number(figures.WIDTH), height: Number(figures.HEIGHT) };
}

const shown = (what) => eventually(`the window is there ${what}`, onScreen);
const hidden = (what) => eventually(`the window is gone ${what}`, () => (onScreen() ? undefined : true));
/** As the button in the corner does it. */
const askToClose = () => {
  // The window manager hears keys only as the keyboard's own.
  spawnSync('xdotool', ['windowactivate', '--sync', onScreen().id]);
  spawnSync('xdotool', ['key', 'alt+F4']);
};

test('the app at home on the desktop', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga <b>Centrs</b> & Co' }]);
  const bus = await desktop(t);
  const riga = store(t, cloud, 0);
  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  const home = path.join(cloud.folder, 'desktop');
  mkdirSync(home);
  let window = await openWindow(t, home);
  const step = story(t, () => window.picture('failed-shell'));
  const says = (text) => bus.saw(`the tray says ${text}`, (event) => event.tray?.includes(text));
  const notified = (title) =>
    bus.saw(`a notification says ${title}`, (event) => event.notification?.title === title);

  await step('the tray follows the stores', async () => {
    await says('Not signed in');
    await window.type('signin-url', cloud.url);
    await window.type('signin-email', cloud.admin.email);
    await window.type('signin-password', cloud.admin.password);
    await window.click('signin-submit');
    await (await window.find('trust-certificate')).click();
    await window.find('status-grid');
    await says('All stores are well');
  });

  await step('a store that goes offline is told, its name as text', async () => {
    await stop(riga.connector);
    await says('1 store is offline');
    const { notification } = await notified('1 store is offline');
    assert.equal(notification.body, 'Riga &lt;b&gt;Centrs&lt;/b&gt; &amp; Co');
    await riga.run();
    await says('All stores are well');
    await notified('1 store is well again');
  });

  await step('closed to the tray it comes back by the tray, or by a second start', async () => {
    await window.driver.findElement({ css: 'button[aria-label="Settings"]' }).click();
    await window.click('settings-close-to-tray');
    window.picture('settings-shell');
    // Settings are written a moment after the last change.
    await eventually('the choice is kept', async () => {
      const kept = await window.driver.executeAsyncScript(
        'const done = arguments[0]; window.__TAURI_INTERNALS__.invoke("settings").then(done)',
      );
      return kept.close_to_tray || undefined;
    });
    askToClose();
    await hidden('after closing it');
    bus.order('activate');
    await shown('after a click on the tray');
    askToClose();
    await hidden('after closing it again');
    const second = spawn(program('tillwatch'), [], {
      env: { ...process.env, TILLWATCH_HOME: home },
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => second.once('exit', resolve));
    await shown('after a second start');
    assert.equal(await ended, 0);
    askToClose();
    await hidden('after closing it once more');
    bus.order('menu Open Tillwatch');
    await shown("after a choice of the tray's menu");
  });

  await step('the window keeps its size, until its layout is reset', async () => {
    const { id } = onScreen();
    spawnSync('xdotool', ['windowsize', '--sync', id, '1010', '700']);
    await eventually('it is small', () => (onScreen()?.width === 1010 ? true : undefined));
    // The driver would end the app without letting it say goodbye.
    bus.order('menu Quit');
    await hidden('after quitting');
    await window.close();
    window = await openWindow(t, home);
    await window.find('status-grid');
    assert.deepEqual((({ width, height }) => [width, height])(await shown('again')), [1010, 700]);
    await window.driver.findElement({ css: 'button[aria-label="Settings"]' }).click();
    await window.click('settings-reset-layout');
    await eventually('it is as at first', () => (onScreen()?.width === 1280 ? true : undefined));
  });

  await step('the page can neither run what was not packaged nor reach the network', async () => {
    const tried = await window.driver.executeAsyncScript(`
      const done = arguments[0];
      const script = document.createElement('script');
      script.textContent = 'window.wasRun = true';
      document.head.append(script);
      const outcome = (promise) => promise.then(() => 'done', () => 'refused');
      Promise.all([
        outcome(fetch('${cloud.url}/api/v1/me', { mode: 'no-cors' })),
        outcome(window.__TAURI_INTERNALS__.invoke('plugin:opener|open_path', { path: '/etc/passwd' })),
        outcome(window.__TAURI_INTERNALS__.invoke('plugin:window|set_title', { label: 'main', value: 'x' })),
        outcome(window.__TAURI_INTERNALS__.invoke('plugin:store|load', { path: 'settings.json' })),
        outcome(window.__TAURI_INTERNALS__.invoke('plugin:notification|notify', { options: { title: 'x' } })),
      ]).then((outcomes) => done([window.wasRun === undefined ? 'refused' : 'done', ...outcomes]));
    `);
    assert.deepEqual([...new Set(tried)], ['refused'], JSON.stringify(tried));
  });
});
