// A POS that is not ours, by the example of docs/pos-integration.md: seen, restarted, read, reset and restored.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/lib/run.mjs';
import { fetchArchive, readArchive } from '../lib/archives.mjs';
import { until } from '../lib/cluster.mjs';
import { follow, jobEnds, scene, store } from '../lib/scene.mjs';

const guide = readFileSync(path.join(root, 'docs', 'pos-integration.md'), 'utf8');

/** The settings that the guide gives for the example, for where the example is here. */
function settings() {
  const [, , python] = guide.split('```toml\n');
  const toml = python.slice(0, python.indexOf('```'));
  assert.match(toml, /python3/);
  const example = path.join(root, 'docs', 'examples', 'pos.py');
  return toml.replace('/opt/pos/pos.py', example.replaceAll('\\', '/'));
}

test("somebody else's POS is all that a connector needs", async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const events = follow(t, cloud);
  const riga = store(t, cloud, 0, { toml: settings() });
  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  const seen = (what, test) =>
    events.status(riga.id, what, (status) => status.pos.state === 'running' && test(status));
  const database = () => readFileSync(path.join(riga.dataDir, 'python-pos', 'pos.db'));

  const first = await seen('it is seen', ({ database }) => database.generation === 1);
  assert.deepEqual([first.pos.version, first.exchange.last_success_at], ['34.5.2', null]);

  await t.test('it exchanges when asked', async () => {
    const job = await jobEnds(cloud, events, riga.id, { kind: 'exchange_now' });
    assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
    await seen('the exchange shows', ({ exchange }) => exchange.last_success_at !== null);
  });

  await t.test('it is restarted', async () => {
    const job = await jobEnds(cloud, events, riga.id, { kind: 'restart_pos' });
    assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
  });

  await t.test('its logs are fetched, with the times of Python', async () => {
    const job = await jobEnds(cloud, events, riga.id, {
      kind: 'retrieve_logs',
      from: new Date(Date.now() - 86_400_000).toISOString(),
      to: new Date(Date.now() + 86_400_000).toISOString(),
      max_bytes: 1024 * 1024,
    });
    assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
    const entries = readArchive(await fetchArchive(cloud, job.result.archives[0], cloud.folder));
    assert.match(entries['logs/python-pos/pos.log'], /INFO exchange with the head office succeeded/);
  });

  await t.test('its database is reset, and restored to the byte', async () => {
    const before = database();
    const reset = await jobEnds(cloud, events, riga.id, {
      kind: 'reset_database',
      confirm: 'Riga Centrs',
      expected_generation: 1,
    });
    assert.equal(reset.state, 'succeeded', JSON.stringify(reset.error));
    await seen('it has a new database', ({ database }) => database.generation === 2);
    assert.notDeepEqual(database(), before);

    await until('the cloud knows of the backup', async () => {
      const { items } = await cloud.api('GET', `/pos-servers/${riga.id}/backups`);
      return items.some(({ id }) => id === reset.result.backup_id);
    });
    const restored = await jobEnds(cloud, events, riga.id, {
      kind: 'restore_database',
      confirm: 'Riga Centrs',
      backup_id: reset.result.backup_id,
    });
    assert.equal(restored.state, 'succeeded', JSON.stringify(restored.error));
    assert.deepEqual(database(), before);
    assert.equal(readdirSync(path.join(riga.dataDir, 'backups')).length, 2, 'the one in between is kept');
  });
});

test("the guide's settings for Windows are settings", async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const [, windows] = guide.split('```toml\n');
  const riga = store(t, cloud, 0, { toml: windows.slice(0, windows.indexOf('```')) });
  const { exitCode, output } = await riga.enroll();
  assert.equal(exitCode, 0, output);
});
