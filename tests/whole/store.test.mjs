// The main job, end to end, with the real programs: enroll, online, retrieve logs, reset, offline.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { stop } from '../../scripts/lib/run.mjs';
import { fetchArchive, readArchive } from '../lib/archives.mjs';
import { fillLoyalty, follow, jobEnds, scene, store } from '../lib/scene.mjs';

const synced = (status) =>
  status.link.state === 'online' &&
  status.pos.state === 'running' &&
  status.exchange.last_success_at !== null;

test('a store enrolls, comes online, gives its logs, is reset and goes offline', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  await fillLoyalty(cloud);
  const events = follow(t, cloud);
  const riga = store(t, cloud, 0, {
    toml: '[pos]\nlogs = ["pos/logs/**/*.log*", "machine/**"]\n',
  });

  await t.test('before enrollment it was never connected', async () => {
    const status = await cloud.api('GET', `/pos-servers/${riga.id}`);
    assert.equal(status.link.state, 'never_connected');
    assert.equal(status.highlight, 'none');
  });

  await t.test('it enrolls once', async () => {
    const first = await riga.enroll();
    assert.equal(first.exitCode, 0, first.output);
    const again = await riga.enroll();
    assert.notEqual(again.exitCode, 0, 'the code works once');
  });

  await t.test('it comes online and its POS server syncs', async () => {
    await riga.run();
    const status = await events.status(riga.id, 'the store is online and synced', synced);
    assert.equal(status.database.generation, 1);
    assert.equal(status.exchange.behind.changes, 0);
    assert.equal(status.exchange.error, null);
  });

  await t.test("its logs arrive: the POS server's own and this machine's", async () => {
    cpSync('/var/log', path.join(riga.dataDir, 'machine'), {
      recursive: true,
      filter: (file) => !/btmp|lastlog/.test(file),
    });
    const job = await jobEnds(cloud, events, riga.id, {
      kind: 'retrieve_logs',
      from: new Date(Date.now() - 7 * 86_400_000).toISOString(),
      to: new Date(Date.now() + 60_000).toISOString(),
      max_bytes: 10 * 1024 * 1024,
    });
    assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
    assert.equal(job.result.archives.length, 1);
    const file = await fetchArchive(cloud, job.result.archives[0], cloud.folder);
    const entries = readArchive(file);
    assert.ok(entries['manifest.json'], Object.keys(entries).join());
    assert.match(entries['logs/pos/logs/pos.log'], /exchange/i);
    assert.ok(
      Object.keys(entries).some((name) => name.startsWith('logs/machine/')),
      Object.keys(entries).join(),
    );
  });

  await t.test('a damaged database is told, and a reset heals it', async () => {
    const damaged = spawnSync('/usr/bin/python3', [
      '-c',
      'import sqlite3, sys\n' +
        'db = sqlite3.connect(sys.argv[1], timeout=20)\n' +
        'assert db.execute("UPDATE programs SET name = name || \'?\'").rowcount > 0\n' +
        'db.commit()',
      path.join(riga.dataDir, 'pos', 'pos.sqlite3'),
    ]);
    assert.equal(damaged.status, 0, String(damaged.stderr));
    await jobEnds(cloud, events, riga.id, { kind: 'exchange_now' });
    const red = await events.status(riga.id, 'the row is red', (status) => status.highlight === 'error');
    assert.equal(red.exchange.error.code, 'database_inconsistent');

    const refused = await cloud.request('POST', `/api/v1/pos-servers/${riga.id}/jobs`, {
      token: cloud.api.token,
      json: { kind: 'reset_database', confirm: 'Riga', expected_generation: 1 },
    });
    assert.deepEqual([refused.status, refused.body.code], [422, 'confirmation_mismatch']);

    const reset = await jobEnds(cloud, events, riga.id, {
      kind: 'reset_database',
      confirm: 'Riga Centrs',
      expected_generation: 1,
    });
    assert.equal(reset.state, 'succeeded', JSON.stringify(reset.error));
    assert.deepEqual([reset.result.old_generation, reset.result.new_generation], [1, 2]);
    assert.equal(reset.result.archives.length, 1, 'the logs were collected first');
    const healed = await events.status(
      riga.id,
      'the row is well again',
      (status) => status.highlight === 'none' && synced(status) && status.database.generation === 2,
    );
    assert.equal(healed.exchange.error, null);
    assert.ok(existsSync(path.join(riga.dataDir, 'backups')), readdirSync(riga.dataDir).join());

    const stale = await cloud.request('POST', `/api/v1/pos-servers/${riga.id}/jobs`, {
      token: cloud.api.token,
      json: { kind: 'reset_database', confirm: 'Riga Centrs', expected_generation: 1 },
    });
    assert.deepEqual([stale.status, stale.body.code], [409, 'generation_changed']);
  });

  await t.test('what a reset moved away can be brought back, and is not lost by that', async () => {
    const listed = async (generations) => {
      const deadline = Date.now() + 60_000;
      for (;;) {
        const { items, as_of: asOf } = await cloud.api('GET', `/pos-servers/${riga.id}/backups`);
        if (String(items.map((item) => item.generation)) === String(generations)) {
          assert.ok(asOf);
          return items;
        }
        assert.ok(Date.now() < deadline, `the backups are ${JSON.stringify(items)}, not ${generations}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    const restore = async (backup, generation) => {
      const job = await jobEnds(cloud, events, riga.id, {
        kind: 'restore_database',
        confirm: 'Riga Centrs',
        backup_id: backup.id,
      });
      assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
      assert.equal(job.result.generation, generation);
      return job;
    };
    const [damaged] = await listed([1]);
    assert.ok(damaged.size_bytes > 0);
    const refused = await cloud.request('POST', `/api/v1/pos-servers/${riga.id}/jobs`, {
      token: cloud.api.token,
      json: { kind: 'restore_database', confirm: 'Riga Centrs', backup_id: riga.id },
    });
    assert.deepEqual([refused.status, refused.body.code], [409, 'backup_not_found']);

    const back = await restore(damaged, 3);
    const [healthy, kept] = await listed([2, 1]);
    assert.deepEqual([healthy.made_by, kept.id], [back.id, damaged.id]);
    await jobEnds(cloud, events, riga.id, { kind: 'exchange_now' });
    const red = await events.status(riga.id, 'the damage is back', (status) => status.highlight === 'error');
    assert.equal(red.exchange.error.code, 'database_inconsistent', 'the very bytes');
    await restore(healthy, 4);
    await jobEnds(cloud, events, riga.id, { kind: 'exchange_now' });
    await events.status(
      riga.id,
      'the row is well again',
      (status) => status.highlight === 'none' && synced(status) && status.database.generation === 4,
    );
    await listed([3, 2, 1]);

    const { items } = await cloud.api('GET', `/pos-servers/${riga.id}/timeline?limit=1000`);
    const lives = items.filter((item) => item.kind === 'database').reverse();
    assert.deepEqual(
      lives.map(({ params }) => [params.from, params.to]),
      [
        [1, 2],
        [2, 3],
        [3, 4],
      ],
    );
    const ends = items.filter((item) => item.kind === 'job' && item.code === 'succeeded');
    assert.equal(ends.filter((item) => item.params.job === 'restore_database').length, 2);
  });

  await t.test('it goes on after the cloud was away', async () => {
    const { port } = new URL(cloud.url);
    await stop(cloud.child);
    await cloud.startCloud(`127.0.0.1:${port}`);
    const again = follow(t, cloud);
    await again.status(riga.id, 'the store is back', (status) => status.link.state === 'online');
    const job = await jobEnds(cloud, again, riga.id, { kind: 'diagnose' });
    assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
    assert.deepEqual(
      job.result.checks.filter((check) => !check.ok),
      [],
    );

    await stop(riga.connector);
    const gone = await again.status(
      riga.id,
      'the store is offline',
      (status) => status.link.state === 'offline',
    );
    assert.deepEqual([gone.link.cause, gone.link.confidence], ['service_stopped', 'certain']);
    const refused = await cloud.request('POST', `/api/v1/pos-servers/${riga.id}/jobs`, {
      token: cloud.api.token,
      json: { kind: 'diagnose' },
    });
    assert.deepEqual([refused.status, refused.body.code], [409, 'venue_offline']);
    assert.equal(refused.body.link.cause, 'service_stopped');
  });
});

test('a connector that dies is told apart from one that was stopped', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Liepāja' }]);
  const events = follow(t, cloud);
  const liepaja = store(t, cloud, 0);
  assert.equal((await liepaja.enroll()).exitCode, 0);
  await liepaja.run();
  await events.status(liepaja.id, 'the store is online', (status) => status.link.state === 'online');
  liepaja.connector.kill('SIGKILL');
  const gone = await events.status(
    liepaja.id,
    'the store is offline',
    (status) => status.link.state === 'offline',
  );
  assert.equal(gone.link.cause, 'connection_lost');

  // The POS server outlived its connector; the next one takes its place rather than run beside it.
  const recorded = () => JSON.parse(readFileSync(path.join(liepaja.dataDir, 'pos-server.json'), 'utf8')).pid;
  const orphan = recorded();
  await liepaja.run();
  await events.status(
    liepaja.id,
    'the store is back',
    (status) => status.link.state === 'online' && synced(status),
  );
  assert.notEqual(recorded(), orphan);
  assert.equal(commandOf(orphan), '');
});

/** The command line of a process; empty when it has ended, also while nobody has collected its end yet. */
function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
