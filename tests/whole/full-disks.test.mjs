// Full disks, of a store and of the cloud: what can't be done is refused in words, what can is done, nothing is lost or done
// twice, and all is well once there is room again, with every program left running. `TILLWATCH_SOAK=1` takes every kind of
// job with every amount of room left, `npm test` a few.
import assert from 'node:assert/strict';
import { readFileSync, watch, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fetchArchive } from '../lib/archives.mjs';
import { until } from '../lib/cluster.mjs';
import { noDisk, smallDisk } from '../lib/disk.mjs';
import { jobRequests } from '../lib/jobs.mjs';
import { fillLoyalty, scene, store } from '../lib/scene.mjs';

const everything = process.env.TILLWATCH_SOAK === '1';
const KIB = 1 << 10;
const MIB = 1 << 20;
/** How many bytes are left free. */
const AMOUNTS = everything ? [0, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB] : [0, 4 * KIB];
/** After how many changes of the connector's journal a disk becomes full within a job. */
const MOMENTS = everything ? [2, 8, 16] : [4];
/** A reset wants 32 MiB besides the database and 50 for the logs. */
const STORE_MIB = 128;
const CLOUD_MIB = 48;
/** Room for a job that collects no logs, and no more, so that filling up the rest takes no time. */
const ROOM_FOR_ONE = 40 * MIB;

const KINDS = Object.keys(jobRequests);

/** When each database of a store was made, `present` and by the id of its backup; null where one does not open. */
const LOOK = `
import json, os, shutil, sqlite3, sys, tempfile
data_dir = sys.argv[1]
def made_at(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, file in files.items():
            if os.path.exists(file): shutil.copy(file, os.path.join(folder, name))
        file = os.path.join(folder, 'pos.sqlite3')
        if not os.path.exists(file): return None
        database = sqlite3.connect(file)
        if database.execute('PRAGMA integrity_check').fetchone() != ('ok',): return None
        made = database.execute("SELECT value FROM meta WHERE key = 'created_at'").fetchone()
        return made and made[0]
pos = os.path.join(data_dir, 'pos')
found = {'present': made_at({name: os.path.join(pos, name) for name in os.listdir(pos) if name.startswith('pos.sqlite3')})}
backups = os.path.join(data_dir, 'backups')
for id in os.listdir(backups) if os.path.exists(backups) else []:
    folder = os.path.join(backups, id)
    manifest = os.path.join(folder, 'backup.json')
    if not os.path.exists(manifest): continue
    files = json.load(open(manifest))['files']
    found[id] = made_at({os.path.basename(file['original']): os.path.join(folder, file['name']) for file in files})
print(json.dumps(found))
`;

function databases({ dataDir }) {
  const looked = spawnSync('/usr/bin/python3', ['-c', LOOK, dataDir], { encoding: 'utf8' });
  assert.equal(looked.status, 0, looked.stderr);
  return JSON.parse(looked.stdout);
}

/** A store's life as these stories follow it. */
function follow(cloud, shop) {
  const place = `/pos-servers/${shop.id}`;
  const self = {
    status: () => cloud.api('GET', place),
    job: (id) => cloud.api('GET', `/jobs/${id}`),
    backups: async () => (await cloud.api('GET', `${place}/backups`)).items,
    well: async (fits = () => true) => {
      let seen;
      const look = async () => {
        seen = await self.status();
        const { link, pos, exchange } = seen;
        const good = link.state === 'online' && pos.state === 'running';
        return good && exchange.last_success_at && !exchange.error && fits(seen) && seen;
      };
      return until('the store is well', look, 120_000).catch((error) => {
        throw new Error(`${error.message}: ${JSON.stringify(seen)}`);
      });
    },
    request: async (kind) => ({ kind, ...jobRequests[kind](await self.status(), await self.backups()) }),
    post: (json) => cloud.request('POST', `/api/v1${place}/jobs`, { token: cloud.api.token, json }),
    /** Orders a job; a POS server that was just started may not be known to answer. */
    order: (json) =>
      until(`${json.kind} is taken`, async () => {
        const { status, body } = await self.post(json);
        if (status === 202) return body;
        const passes = body.code === 'venue_timeout' || body.code === 'unsent_transactions';
        assert.ok(passes, JSON.stringify(body));
        return undefined;
      }),
    end: (id, patience = 120_000) =>
      until(
        'the job ends',
        async () => {
          const job = await self.job(id);
          return job.finished_at && job;
        },
        patience,
      ),
    /** It ended once, and what it did it did once. `before` is of before it. */
    doneOnce: async (job, before, lying) => {
      const { items } = await cloud.api('GET', `${place}/timeline?limit=200`);
      const told = items.filter(({ kind, params }) => kind === 'job' && params.job_id === job.id);
      const ends = told.map(({ code }) => code).filter((code) => code !== 'requested');
      assert.deepEqual(ends, [job.state], `it ended once: ${JSON.stringify(job)}`);
      const replaces = job.kind === 'reset_database' || job.kind === 'restore_database';
      const lives = replaces && job.state === 'succeeded' ? 1 : 0;
      // What the store counts; the cloud hears of it. A restore that was undone has used a number up.
      const { generation } = JSON.parse(readFileSync(path.join(shop.dataDir, 'generation.json'), 'utf8'));
      const counted = generation - before.database.generation;
      const undone = job.kind === 'restore_database' && lives === 0;
      assert.ok(counted === lives || (undone && counted === 1), `${counted} more: ${JSON.stringify(job)}`);
      await self.well(({ database }) => database.generation === generation);
      const made = (await self.backups()).filter((backup) => backup.made_by === job.id);
      assert.equal(made.length, lives, `a database that was replaced is kept, once: ${JSON.stringify(job)}`);
      const now = databases(shop);
      const where = `${JSON.stringify(job)}: ${JSON.stringify(now)}, before ${JSON.stringify(lying)}`;
      assert.ok(now.present && Object.values(now).includes(lying.present), where);
      if (lives === 0) assert.equal(now.present, lying.present, where);
      for (const archive of job.result?.archives ?? []) await fetchArchive(cloud, archive, cloud.folder);
    },
    /** Each kind of job succeeds. */
    allGo: async () => {
      for (const kind of KINDS) {
        const [before, lying] = [await self.well(), databases(shop)];
        const job = await self.end((await self.order(await self.request(kind))).id);
        assert.equal(job.state, 'succeeded', `${kind}, with room: ${JSON.stringify(job)}`);
        await self.doneOnce(job, before, lying);
      }
    },
  };
  return self;
}

/** How jobs ended, in words. */
function counting() {
  const ends = new Map();
  return {
    add: (end) => ends.set(end, (ends.get(end) ?? 0) + 1),
    total: () => [...ends.values()].reduce((sum, count) => sum + count, 0),
    toString: () => [...ends].map(([end, count]) => `${count} ${end}`).join(', '),
  };
}

/** A store's job ended well, or for want of room, and says so. */
function endedForRoom(job) {
  if (job.state === 'succeeded') return 'succeeded';
  const told = JSON.stringify(job);
  assert.match(job.state, /^(failed|rejected)$/, told);
  assert.equal(job.error.code, 'disk_full', told);
  assert.match(job.error.message, /disk is full|No space left|MiB are free/, told);
  return 'disk_full';
}

/** What the POS server itself takes, as a till would ask for it. */
async function till(shop, target, json) {
  const { address } = JSON.parse(readFileSync(path.join(shop.dataDir, 'pos-server.json'), 'utf8'));
  const options = json && {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(json),
  };
  const answer = await fetch(new URL(target, address), options);
  return { status: answer.status, body: await answer.json() };
}

const cents = (amount) => Math.round(Number(amount) * 100);

/** A store on a disk of its own, well, with a backup to go back to. */
async function openStore(t, cloud, index, place) {
  const shop = store(t, cloud, index, { place });
  writeFileSync(path.join(shop.dataDir, 'connector.toml'), '[limits]\nresets_per_hour = 10000\n');
  assert.equal((await shop.enroll()).exitCode, 0);
  await shop.run();
  const life = follow(cloud, shop);
  await life.well();
  return { shop, life };
}

test('disks become full and are cleared again', { skip: noDisk, concurrency: true }, (t) =>
  Promise.all([t.test("a store's", ofStore), t.test("the cloud's", ofCloud)]),
);

async function ofStore(t) {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const { guests, 'guest-accounts': accounts } = await fillLoyalty(cloud);
  const disk = smallDisk(t, STORE_MIB);
  const { shop, life } = await openStore(t, cloud, 0, disk.place);
  await makeBackup(life);

  await t.test('each kind of job ends, and says that the disk is full', async (t) => {
    const ends = counting();
    for (const left of AMOUNTS) {
      for (const kind of KINDS) {
        const [before, lying, json] = [await life.well(), databases(shop), await life.request(kind)];
        disk.fill(left);
        const job = await life.end((await life.order(json)).id);
        const end = endedForRoom(job);
        ends.add(end);
        if (kind === 'diagnose') {
          assert.equal(end, 'succeeded', JSON.stringify(job));
          const check = job.result.checks.find(({ name }) => name === 'disk');
          assert.deepEqual([check.ok, /\d+ MiB are free/.test(check.detail)], [false, true], check.detail);
        }
        await life.doneOnce(job, before, lying);
        const { link } = await life.status();
        assert.deepEqual([link.state, link.since], ['online', before.link.since], 'the link stayed up');
        disk.clear();
      }
      if (everything) await life.allGo();
    }
    await life.allGo();
    t.diagnostic(
      `counted: store's disk full ${ends.total()} times in ${KINDS.length} kinds of job: ${ends}; all well after`,
    );
  });

  await t.test('an exchange that finds no room is told, and heals', async (t) => {
    const chain = (await life.status()).chain.id;
    let times = 0;
    for (const left of everything ? AMOUNTS.slice(0, 3) : [0]) {
      const account = accounts[times % accounts.length].id;
      const balance = async () => cents((await till(shop, `/guest-accounts/${account}`)).body.balance);
      const [before, lying, had] = [await life.well(), databases(shop), await balance()];
      disk.fill(left);
      // What does not fit.
      const note = `${left} `.repeat(20);
      const items = Array.from({ length: 20 }, () => guests).flat();
      const more = items.map((guest, index) => ({
        ...guest,
        id: `00000000-0000-7000-8000-${String(times * items.length + index).padStart(12, '0')}`,
        name: `${note}${index}`,
      }));
      await cloud.api('PATCH', `/chains/${chain}/guests`, { json: { items: more } });
      // A sale is kept, or the till is told that it is not.
      const sale = { guest_account_id: account, amount: '-0.01', reason: note.slice(0, 200).trim() };
      const sold = await till(shop, '/transactions', sale);
      if (sold.status !== 201) assert.deepEqual([sold.status, sold.body.code], [503, 'unavailable']);
      const job = await life.end((await life.order({ kind: 'exchange_now' })).id);
      assert.equal(job.state, 'succeeded', JSON.stringify(job));
      const red = await until('the error is told', async () => {
        const status = await life.status();
        return status.exchange.error && status;
      });
      assert.equal(red.exchange.error.code, 'disk_full', JSON.stringify(red));
      assert.deepEqual([red.highlight, red.link.state], ['error', 'online']);
      disk.clear();
      const again = await life.end((await life.order({ kind: 'exchange_now' })).id);
      assert.equal(again.state, 'succeeded', JSON.stringify(again));
      const healed = await life.well(({ database }) => database.unsent_transactions === 0);
      assert.equal(healed.exchange.behind.changes, 0);
      assert.equal(healed.database.generation, before.database.generation);
      const paid = sold.status === 201 ? 1 : 0;
      await until('the sale counts', async () => {
        await till(shop, '/exchange', {});
        return (await balance()) === had - paid;
      });
      assert.equal(databases(shop).present, lying.present);
      times += 1;
    }
    t.diagnostic(`counted: store's exchange without room ${times} times: all told, all healed`);
  });

  await t.test('the disk becomes full in the middle of a job', async (t) => {
    const ends = counting();
    // The others are over at once.
    const kinds = KINDS.slice(everything ? 2 : 3);
    for (const left of everything ? AMOUNTS : [0])
      for (const kind of kinds)
        for (const moment of MOMENTS) {
          const [before, lying] = [await life.well(), databases(shop)];
          const json = await life.request(kind);
          if (kind === 'reset_database') json.collect_logs = false;
          disk.fill(ROOM_FOR_ONE);
          let changes = 0;
          // What the connector writes down tells how far the job is.
          const journal = watch(path.join(shop.dataDir, 'journal'), () => {
            changes += 1;
            if (changes === moment) disk.fill(left);
          });
          const { id } = await life.order(json);
          // A new database waits for its first good exchange, and hopes for room.
          await until('the job ends or waits for room', async () => {
            const [job, { exchange }] = [await life.job(id), await life.status()];
            const waits = job.progress?.phase === 'first_exchange' && exchange.error?.code === 'disk_full';
            return job.finished_at || waits;
          });
          journal.close();
          disk.clear();
          const job = await life.end(id);
          const end = endedForRoom(job);
          if (changes >= moment) ends.add(end);
          else assert.equal(end, 'succeeded', JSON.stringify(job));
          await life.doneOnce(job, before, lying);
        }
    if (everything) await life.allGo();
    t.diagnostic(
      `counted: store's disk became full ${ends.total()} times within ${kinds.length} kinds of job: ${ends}; all well after`,
    );
  });
  assert.equal(shop.connector.exitCode, null, 'nothing was started again');
}

/** The first reset, which makes the backup that a restore goes back to. */
async function makeBackup(life) {
  const first = await life.end((await life.order(await life.request('reset_database'))).id);
  assert.equal(first.state, 'succeeded', JSON.stringify(first));
  await life.well(({ database }) => database.generation === 2);
  await until('the backup is known', async () => (await life.backups()).length > 0);
}

async function ofCloud(t) {
  const disk = smallDisk(t, CLOUD_MIB);
  const outlets = [{ outlet: 'Riga Centrs' }, { outlet: 'Jelgava', crm_id: '010440' }];
  const cloud = await scene(t, outlets, { place: disk.place });
  const data = await fillLoyalty(cloud);
  const [{ shop, life }, { shop: other, life: idle }] = [
    await openStore(t, cloud, 0),
    await openStore(t, cloud, 1),
  ];
  await makeBackup(life);
  const read = (target) => cloud.request('GET', `/api/v1${target}`, { token: cloud.api.token });
  /** That a refusal says what is wrong, and when to come again. */
  const refused = ({ status, headers, body }) => {
    assert.deepEqual([status, body.code], [503, 'unavailable'], JSON.stringify(body));
    assert.match(body.detail, /disk of the database is full/);
    assert.ok(Number(headers['retry-after']) > 0);
  };
  const account = data['guest-accounts'][0].id;
  const balance = async () => cents((await till(other, `/guest-accounts/${account}`)).body.balance);

  await t.test('what writes is refused in words, what reads is answered', async (t) => {
    const ends = counting();
    for (const left of AMOUNTS) {
      const [up, had] = [await idle.well(), await balance()];
      for (const kind of KINDS) {
        const [before, lying, json] = [await life.well(), databases(shop), await life.request(kind)];
        disk.fill(left);
        const answer = await life.post(json);
        if (answer.status !== 202) refused(answer);
        for (const target of ['', '/timeline', '/backups'])
          assert.equal((await read(`/pos-servers/${shop.id}${target}`)).status, 200);
        for (const target of ['/pos-servers', '/outlets', '/jobs', '/me'])
          assert.equal((await read(target)).status, 200);
        disk.clear();
        if (answer.status === 202) {
          const job = await life.end(answer.body.id);
          assert.equal(job.state, 'succeeded', JSON.stringify(job));
          await life.doneOnce(job, before, lying);
        }
        ends.add(answer.status === 202 ? 'taken and done' : 'refused');
      }
      // A till goes on; what it sold reaches the cloud once there is room, and counts once.
      disk.fill(left);
      const sale = { guest_account_id: account, amount: '-0.01', reason: 'sold meanwhile' };
      assert.equal((await till(other, '/transactions', sale)).status, 201);
      await till(other, '/exchange', {});
      assert.equal((await idle.status()).link.state, 'online');
      disk.clear();
      const clearedAt = new Date().toISOString();
      await till(other, '/exchange', {});
      const current = await idle.well(
        ({ database, exchange }) =>
          database.unsent_transactions === 0 && exchange.last_success_at > clearedAt,
      );
      assert.equal(current.link.since, up.link.since, 'a link that had nothing to say stayed up');
      await until('the sale counts', async () => {
        await till(other, '/exchange', {});
        return (await balance()) === had - 1;
      });
    }
    if (everything) await life.allGo();
    t.diagnostic(
      `counted: cloud's disk full ${ends.total()} times before ${KINDS.length} kinds of job: ${ends}; all well after`,
    );
  });

  await t.test('the disk becomes full in the middle of a job', async (t) => {
    const ends = counting();
    const kinds = everything ? KINDS : ['retrieve_logs', 'reset_database'];
    let complaints = 0;
    for (const stream of [cloud.child.stdout, cloud.child.stderr])
      stream.on('data', (text) => (complaints += /disk is full|No space left/.test(text) ? 1 : 0));
    for (const left of everything ? AMOUNTS : [0])
      for (const kind of kinds) {
        const [before, lying] = [await life.well(), databases(shop)];
        const { id } = await life.order(await life.request(kind));
        disk.fill(left);
        const felt = complaints;
        await until(
          'the cloud lacks room, or the job has ended',
          async () => {
            const job = await life.job(id);
            return job.finished_at || complaints > felt;
          },
          120_000,
        );
        disk.clear();
        const job = await life.end(id);
        assert.equal(job.state, 'succeeded', JSON.stringify(job));
        ends.add(job.state);
        await life.doneOnce(job, before, lying);
        assert.equal((await life.status()).link.since, before.link.since, 'the link stayed up');
      }
    await life.allGo();
    t.diagnostic(
      `counted: cloud's disk became full ${ends.total()} times within ${kinds.length} kinds of job: ${ends}; all well after`,
    );
  });
  const audit = cloud.cli('audit', 'verify');
  t.diagnostic(audit.trim());
  for (const child of [cloud.child, shop.connector, other.connector])
    assert.equal(child.exitCode, null, 'nothing was started again');
}
