// A laptop that was closed for the night: what it comes back to, in the real window and over a real cloud.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { atEnd } from '../lib/at-end.mjs';
import { scene } from '../lib/scene.mjs';
import { openWindow, story } from '../lib/window.mjs';

/** What stands between the app and the cloud. `forget()` lets nothing more through on the connections there are, and tells nobody. */
async function router(t, port) {
  const open = new Set();
  const forgotten = new Set();
  const server = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    open.add([near, far]);
    near.pipe(far);
    far.pipe(near);
    for (const socket of [near, far])
      socket.on('error', () => undefined).on('close', () => (near.destroy(), far.destroy()));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => {
    for (const socket of [...open, ...forgotten].flat()) socket.destroy();
    server.close();
  });
  return {
    url: `https://127.0.0.1:${server.address().port}`,
    forget() {
      for (const [near, far] of open) {
        for (const socket of [near, far]) socket.unpipe().removeAllListeners('close').pause();
        forgotten.add([near, far]);
      }
      open.clear();
    },
  };
}

/** The app's processes, the page's among them, stand still for so long. */
async function sleep(window, milliseconds) {
  const processes = below(window.servicePid);
  for (const pid of processes) process.kill(pid, 'SIGSTOP');
  try {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  } finally {
    for (const pid of processes) process.kill(pid, 'SIGCONT');
  }
}

function below(pid) {
  const listed = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  const children = listed.stdout.trim().split(/\s+/).filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...below(child)]);
}

test('a laptop that slept, and a session that was ended meanwhile', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }, { outlet: 'Jelgava' }]);
  const { url, forget } = await router(t, Number(new URL(cloud.url).port));
  const home = path.join(cloud.folder, 'desktop');
  mkdirSync(home);
  const window = await openWindow(t, home);
  const step = story(t, () => window.picture('failed-away'));
  const row = () => window.text(`row-${cloud.stores[0].id}`);
  const { items } = await cloud.api('GET', '/admin/outlets');
  const riga = items.find(({ name }) => name === 'Riga Centrs');
  const rename = (name) => cloud.api('PATCH', `/admin/outlets/${riga.id}`, { json: { name } });
  const password = async () => {
    await window.type('signin-password', cloud.admin.password);
    await window.click('signin-submit');
  };

  await step('the list is live', async () => {
    await window.type('signin-url', url);
    await window.type('signin-email', cloud.admin.email);
    await password();
    await window.click('trust-certificate');
    await window.until('the row is there', async () => /Riga Centrs/.test(await row()));
    await rename('Riga Akropole');
    await window.until('it changes by itself', async () => /Riga Akropole/.test(await row()));
  });

  await step('after sleep it is live at once, though nobody said that its connections are dead', async () => {
    forget();
    // Longer than a busy machine keeps a process waiting: that is what the app takes for sleep.
    const asleep = sleep(window, 12_000);
    await rename('Riga Alfa');
    await asleep;
    // A stream may be silent for longer than this before it is given up.
    await window.until('what happened meanwhile is shown', async () => /Riga Alfa/.test(await row()), 20_000);
    await rename('Riga Spice');
    await window.until('it changes by itself', async () => /Riga Spice/.test(await row()));
    assert.equal(await window.count('offline-banner'), 0);
  });

  await step(
    'a session that was ended elsewhere asks for the password and goes on where it was',
    async () => {
      const elsewhere = await cloud.signIn(cloud.admin.email, cloud.admin.password);
      const sessions = await elsewhere('GET', '/sessions');
      for (const { id, current } of sessions.items)
        if (!current) await elsewhere('DELETE', `/sessions/${id}`);
      await window.find('signin-password');
      assert.match(await row(), /Riga Spice/, 'the rows stay');
      await password();
      await window.until('it is asked no more', async () => (await window.count('signin-password')) === 0);
      await elsewhere('PATCH', `/admin/outlets/${riga.id}`, { json: { name: 'Riga Centrs' } });
      await window.until('it changes by itself', async () => /Riga Centrs/.test(await row()));
    },
  );
});
