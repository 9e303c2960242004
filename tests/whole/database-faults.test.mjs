// A reset and a restore with the real programs, killed before each of their steps on the disk, and with each step refused
// by the disk: the database is never lost, what was begun is finished once, and the store is well in the end.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { output, start, stop } from '../../scripts/lib/run.mjs';
import { atEnd } from '../lib/at-end.mjs';
import { fillLoyalty, follow, jobEnds, scene, store } from '../lib/scene.mjs';

const noTracer =
  process.platform !== 'linux'
    ? 'needs Linux'
    : process.getuid() !== 0
      ? 'needs root'
      : output('strace', ['-V']) === null
        ? 'needs strace'
        : undefined;

const KILL = 'signal=KILL';

/** What changes a folder or makes a change last. */
const STEPS = ['mkdir', 'rename', 'renameat,renameat2', 'fsync', 'fdatasync', 'unlink'];

/** Where the databases of a store lie, each with the time at which it was made, if it is whole. */
const LOOK = `
import json, os, shutil, sqlite3, sys, tempfile
data_dir = sys.argv[1]
def made_at(files):
    with tempfile.TemporaryDirectory() as folder:
        for original, kept in files.items():
            if os.path.exists(kept): shutil.copy(kept, os.path.join(folder, os.path.basename(original)))
        file = os.path.join(folder, 'pos.sqlite3')
        if not os.path.exists(file): return None
        database = sqlite3.connect(file)
        if database.execute('PRAGMA integrity_check').fetchone() != ('ok',): return None
        return database.execute("SELECT value FROM meta WHERE key = 'created_at'").fetchone()[0]
place = os.path.join(data_dir, 'pos', 'pos.sqlite3')
found = {'present': made_at({place + end: place + end for end in ('', '-wal')})}
backups = os.path.join(data_dir, 'backups')
for id in os.listdir(backups) if os.path.exists(backups) else []:
    folder = os.path.join(backups, id)
    manifest = os.path.join(folder, 'backup.json')
    if not os.path.exists(manifest): continue
    files = {}
    for file in json.load(open(manifest))['files']:
        kept = os.path.join(folder, file['name'])
        files[file['original']] = kept if os.path.exists(kept) else file['original']
    found[id] = made_at(files)
print(json.dumps(found))
`;

function databases({ dataDir }) {
  const looked = spawnSync('/usr/bin/python3', ['-c', LOOK, dataDir], { encoding: 'utf8' });
  assert.equal(looked.status, 0, looked.stderr);
  return JSON.parse(looked.stdout);
}

const settled = (status) =>
  status.link.state === 'online' && status.pos.state === 'running' && !status.exchange.error;

/** Has `fault` befall the connector at the `n`th of these steps that one of its threads takes from now on. */
async function trap(t, { connector, dataDir }, fault, step, n) {
  const log = path.join(dataDir, '..', `${path.basename(dataDir)}-${step}-${n}.strace`);
  const inject = `inject=${step}:${fault}:when=${n}`;
  // Its threads, and not what it starts.
  const whom = ['-f', '--detach-on=execve', '-p', String(connector.pid)];
  const what = ['-y', '-e', `trace=${step}`, '-e', inject, '-o', log];
  const { child } = await start('strace', [...whom, ...what], {});
  atEnd(t, () => stop(child));
  const tasks = `/proc/${connector.pid}/task`;
  const held = () =>
    readdirSync(tasks).every(
      (task) => !/^TracerPid:\t0$/m.test(readFileSync(`${tasks}/${task}/status`, 'utf8')),
    );
  for (const deadline = Date.now() + 20_000; !held();) {
    assert.ok(Date.now() < deadline && child.exitCode === null, child.output());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    /** At what it befell it; undefined when it did not. */
    async hit() {
      await stop(child);
      const line = readFileSync(log, 'utf8')
        .split('\n')
        .find((line) => /INJECTED|= \?$/.test(line));
      return line?.replace(/^\d+ +/, '').replaceAll(dataDir, '');
    },
  };
}

/**
 * Orders a job. A connector that has just come back may not have heard its POS server yet: then nobody knows how much is
 * unsent, and the cloud refuses to reset until it is known.
 */
async function order(cloud, shop, json) {
  for (const deadline = Date.now() + 60_000; ;) {
    const path = `/api/v1/pos-servers/${shop.id}/jobs`;
    const { status, body } = await cloud.request('POST', path, { token: cloud.api.token, json });
    if (status < 300) return body;
    const unknown = body.code === 'unsent_transactions' && body.unsent_transactions === null;
    assert.ok(unknown && Date.now() < deadline, JSON.stringify(body));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Orders what `job` says until no step is left that `fault` did not befall once. */
async function atEachStep(t, { cloud, events, shop, fault, job, check }) {
  const hits = [];
  let status = await events.status(shop.id, 'the store is well', settled);
  for (const step of STEPS)
    for (let n = 1, hit = true; hit; n += 1) {
      const { generation } = status.database;
      const before = databases(shop);
      const json = await job(generation);
      const trapped = await trap(t, shop, fault, step, n);
      const ordered = await order(cloud, shop, json);
      const ends = events.job(ordered.id, `${json.kind} ends`, (seen) => seen.finished_at !== null);
      await Promise.race([shop.connector.exited, ends]);
      hit = await trapped.hit();
      // It may also come after the job's end, while that is written down.
      const killed = fault === KILL && hit !== undefined;
      if (killed) await shop.connector.exited;
      const where = `${fault} at ${hit ?? 'no step'}`;
      if (hit) hits.push(hit);
      const lying = Object.values(databases(shop));
      assert.ok(lying.includes(before.present), `${where}: ${JSON.stringify(lying)}`);
      if (killed) await shop.run();
      const ended = await ends;
      if (ended.state === 'succeeded') {
        check(where, json, before, databases(shop), ended.result);
      } else {
        const told = JSON.stringify(ended.error);
        assert.ok(hit && !killed && ended.error.message.length > 20, `${where}: ${told}`);
        assert.ok(Object.values(databases(shop)).includes(before.present), `${where}: ${told}`);
        await works(cloud, events, shop, `${where}: ${told}`);
      }
      const next = generation + (ended.state === 'succeeded' ? 1 : 0);
      const well = (seen) => settled(seen) && seen.database.generation >= next;
      status = await events.status(shop.id, `${where}: the store is well`, well);
      if (ended.state === 'succeeded') assert.equal(status.database.generation, next, `${where}: done once`);
    }
  t.diagnostic(`${hits.length} times: ${hits.join(' · ')}`);
  assert.ok(hits.some((hit) => hit.includes('/journal/')) && hits.some((hit) => hit.includes('/backups/')));
}

for (const [fault, name] of [
  [KILL, 'a kill at any step of a reset or restore loses nothing'],
  ['error=ENOSPC', 'a disk that refuses any step of a reset or restore loses nothing'],
])
  test(name, { skip: noTracer, concurrency: true, timeout: 280_000 }, async (t) => {
    const cloud = await scene(t, [{ outlet: 'Riga Centrs' }, { outlet: 'Jelgava', crm_id: '010440' }]);
    await fillLoyalty(cloud, 3);
    const events = follow(t, cloud, 120_000);
    const toml = '[limits]\nresets_per_hour = 1000\n';
    const shops = [store(t, cloud, 0, { toml }), store(t, cloud, 1, { toml })];
    for (const shop of shops) {
      assert.equal((await shop.enroll()).exitCode, 0);
      await shop.run();
    }
    const reset = (shop) => (generation) => ({
      kind: 'reset_database',
      confirm: shop.outlet,
      expected_generation: generation,
      collect_logs: false,
    });
    const resets = t.test('a reset', (t) =>
      atEachStep(t, {
        ...{ cloud, events, fault, shop: shops[0], job: reset(shops[0]) },
        check(where, _, before, after, result) {
          assert.equal(after[result.backup_id], before.present, where);
          assert.notEqual(after.present, before.present, where);
        },
      }),
    );
    const restores = t.test('a restore', async (t) => {
      const [, shop] = shops;
      await events.status(shop.id, 'the store is well', settled);
      const first = await jobEnds(cloud, events, shop.id, reset(shop)(1));
      assert.equal(first.state, 'succeeded', JSON.stringify(first.error));
      await events.status(shop.id, 'the database is new', ({ database }) => database.generation === 2);
      await atEachStep(t, {
        ...{ cloud, events, fault, shop },
        job: async () => ({
          kind: 'restore_database',
          confirm: shop.outlet,
          backup_id: await newest(cloud, shop),
        }),
        check(where, { backup_id: id }, before, after) {
          assert.equal(after.present, before[id], where);
          assert.ok(Object.values(after).includes(before.present), where);
        },
      });
    });
    await Promise.all([resets, restores]);
  });

/** Waits until the store does what it is asked, and what it reports is of after that. */
async function works(cloud, events, shop, where) {
  for (const deadline = Date.now() + 60_000; ;) {
    const json = { kind: 'exchange_now' };
    const path = `/api/v1/pos-servers/${shop.id}/jobs`;
    const { status, body } = await cloud.request('POST', path, { token: cloud.api.token, json });
    if (status < 300) {
      const ended = await events.job(body.id, 'the exchange ends', (seen) => seen.finished_at !== null);
      return assert.equal(ended.state, 'succeeded', `${where}, then ${JSON.stringify(ended.error)}`);
    }
    // The POS server was just started again.
    assert.ok(
      body.code === 'venue_timeout' && Date.now() < deadline,
      `${where}, then ${JSON.stringify(body)}`,
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The newest backup that the cloud knows of and the store has; the cloud hears of it a moment after a job's end. */
async function newest(cloud, shop) {
  for (const deadline = Date.now() + 60_000; ;) {
    const { items } = await cloud.api('GET', `/pos-servers/${shop.id}/backups`);
    const there = databases(shop);
    if (items.length > 0 && Object.keys(there).length === items.length + 1 && there[items[0].id])
      return items[0].id;
    assert.ok(
      Date.now() < deadline,
      `the cloud knows of ${JSON.stringify(items)}, there is ${JSON.stringify(there)}`,
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
