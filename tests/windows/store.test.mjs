// A store on Windows, with the programs as Windows runs them, and a cloud on this machine.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fetchArchive, readArchive } from '../lib/archives.mjs';
import { atEnd } from '../lib/at-end.mjs';
import { fillLoyalty, follow, jobEnds, scene } from '../lib/scene.mjs';
import { fromHere, machine } from '../lib/windows.mjs';

test('a service is installed, enrolls, comes online, gives logs, is reset, stops and is removed', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  await fillLoyalty(cloud);
  const events = follow(t, cloud);
  const [{ id, code }] = cloud.stores;
  const { name, folder, there, run } = machine(t, ['tillwatch-connector', 'tillwatch-pos-server']);
  const connector = (...args) => run('tillwatch-connector', ...args);
  const service = (action, ...more) => connector('service', action, '--name', name, ...more);
  const dataDir = ['--data-dir', `${there}\\data`];
  const well = (what, more = () => true) =>
    events.status(
      id,
      what,
      (status) =>
        status.link.state === 'online' &&
        status.pos.state === 'running' &&
        status.exchange.last_success_at !== null &&
        more(status),
    );

  mkdirSync(path.join(folder, 'data'));
  mkdirSync(path.join(folder, 'POS logs'));
  writeFileSync(
    path.join(folder, 'data', 'connector.toml'),
    `[pos]\nlogs = ['pos\\logs\\**\\*.log*', '${there}\\POS logs\\*.log']\n`,
  );

  await t.test('it enrolls, and is installed as a service', () => {
    const enrolled = connector(
      'enroll',
      '--cloud',
      cloud.url,
      '--code',
      code,
      '--ca',
      fromHere(cloud.ca),
      ...dataDir,
    );
    assert.equal(enrolled.code, 0, enrolled.output);
    assert.equal(service('status').code, 4);
    const installed = service('install', ...dataDir);
    assert.equal(installed.code, 0, installed.output);
    atEnd(t, () => service('uninstall'));
    assert.equal(service('status').code, 3);
  });

  await t.test('it comes online, and its POS server exchanges', async () => {
    const started = service('start');
    assert.equal(started.code, 0, started.output);
    const status = await well('it is online and synced');
    assert.deepEqual([status.database.generation, status.exchange.error], [1, null]);
    assert.equal(service('status').code, 0);
    const diagnosed = connector('diagnose', ...dataDir);
    assert.equal(diagnosed.code, 0, diagnosed.output);
  });

  await t.test('its logs come from C:, in the encoding of its country', async () => {
    const line = `${new Date().toISOString()} `;
    // "Касса открыта" in CP1251.
    const opened = Buffer.from('caeaf1f1e020eef2eaf0fbf2e0', 'hex');
    const log = Buffer.concat([Buffer.from(line), opened, Buffer.from('\r\n')]);
    writeFileSync(path.join(folder, 'POS logs', 'till 1.log'), log);
    const job = await jobEnds(cloud, events, id, {
      kind: 'retrieve_logs',
      from: new Date(Date.now() - 86_400_000).toISOString(),
      to: new Date(Date.now() + 60_000).toISOString(),
      max_bytes: 10 * 1024 * 1024,
    });
    assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
    const entries = readArchive(await fetchArchive(cloud, job.result.archives[0], cloud.folder));
    const names = Object.keys(entries);
    const till = names.find((entry) => entry.endsWith('till 1.log'));
    assert.ok(till && !till.includes('\\') && !till.includes(':'), names.join());
    assert.match(entries['logs/pos/logs/pos.log'] ?? '', /exchange/i, names.join());
  });

  await t.test('its POS server is restarted and its database reset', async () => {
    const restarted = await jobEnds(cloud, events, id, { kind: 'restart_pos' });
    assert.equal(restarted.state, 'succeeded', JSON.stringify(restarted.error));
    const reset = await jobEnds(cloud, events, id, {
      kind: 'reset_database',
      confirm: 'Riga Centrs',
      expected_generation: 1,
    });
    assert.equal(reset.state, 'succeeded', JSON.stringify(reset.error));
    await well('it is well again', (status) => status.database.generation === 2);
  });

  await t.test('it stops with a word, and is removed', async () => {
    assert.equal(service('stop').code, 0);
    const status = await events.status(id, 'it is offline', ({ link }) => link.state === 'offline');
    assert.equal(status.link.cause, 'service_stopped');
    assert.equal(service('uninstall').code, 0);
    assert.equal(service('status').code, 4);
  });
});
