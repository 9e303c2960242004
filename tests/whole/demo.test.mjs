// `npm run demo -- --headless`, as a newcomer types it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { root, start, stop } from '../../scripts/lib/run.mjs';
import { signIn } from '../../scripts/lib/cloud.mjs';
import { eventually } from '../lib/window.mjs';
import { atEnd } from '../lib/at-end.mjs';

test('the demo shows twelve stores with their troubles, and ends when asked', async (t) => {
  const seen = {};
  const { child } = await start(process.execPath, ['scripts/demo.mjs', '--headless'], {
    cwd: root,
    name: 'the demo',
    ready: (line) => {
      const [, url] = /listens on (https:\S+) with 12 stores/.exec(line) ?? [];
      if (url) seen.url = url;
      const [, name, value] = /^(e-mail|password|certificate|SHA-256)\s+(\S+)$/.exec(line) ?? [];
      if (name) seen[name] = value;
      return line.startsWith('Ctrl-C') ? seen : undefined;
    },
  });
  atEnd(t, () => stop(child, 30_000));
  const cloud = { url: seen.url, ca: seen.certificate };
  const call = await signIn(cloud, seen['e-mail'], seen.password);
  await eventually(
    'two in trouble, one offline, one in need of an update',
    async () => {
      const { items } = await call('GET', '/pos-servers');
      assert.equal(items.length, 12);
      const count = (test) => items.filter(test).length;
      const shown = [
        count((row) => row.highlight === 'error'),
        count((row) => row.link.state === 'offline'),
        count((row) => row.highlight === 'update_required'),
      ];
      return shown.join() === '2,1,1' ? shown : undefined;
    },
    60_000,
  );
  child.kill('SIGINT');
  const { code } = await child.exited;
  assert.equal(code, 0);
  assert.throws(() => readFileSync(seen.certificate), /ENOENT/, 'its folder is gone');
});
