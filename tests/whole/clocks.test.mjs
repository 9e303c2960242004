// Clocks that are wrong, or are moved while programs run, with the real programs under libfaketime: stores come online and
// exchange, nothing expires early or stays for ever, and periods of logs are right, also in the night in which clocks
// are put back. `npm run soak -- clocks` has more clocks and more jumps.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { stop } from '../../scripts/lib/run.mjs';
import { fetchArchive, readArchive } from '../lib/archives.mjs';
import { clock, noFakeTime } from '../lib/clock.mjs';
import { until } from '../lib/cluster.mjs';
import { fillLoyalty, follow, program, scene, store, temporaryFolder } from '../lib/scene.mjs';

const soak = process.env.TILLWATCH_SOAK === '1';
const skip = noFakeTime ?? false;
const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000];
const YEAR = 365 * DAY;
const PATIENCE = 90_000;
/** For what passes between a look at one clock and a look at the other. */
const SLACK = 30 * SECOND;

/** Clocks of a store: how far they are off, and where to they are moved while it runs. */
const storeClocks = [
  { name: '10 min behind', off: -10 * MINUTE },
  { name: '10 min ahead', off: 10 * MINUTE },
  { name: 'a year ahead', off: YEAR },
  { name: 'set back by an hour while it runs', off: 0, moved: -HOUR },
  { name: 'set ahead by an hour while it runs', off: 0, moved: HOUR },
  ...(soak
    ? [
        { name: 'an hour behind', off: -HOUR },
        { name: 'an hour ahead', off: HOUR },
        { name: 'a day behind', off: -DAY },
        { name: 'a day ahead', off: DAY },
        { name: 'set back by a year while it runs', off: YEAR, moved: 0 },
        { name: 'set ahead by a year while it runs', off: 0, moved: YEAR },
        { name: 'from 10 min behind to 10 min ahead while it runs', off: -10 * MINUTE, moved: 10 * MINUTE },
      ]
    : []),
];

const synced = ({ link, pos, exchange }) =>
  link.state === 'online' && pos.state === 'running' && exchange.last_success_at && !exchange.error;

/** What a test does with one store. Counts its jobs. */
function shop(cloud, of, counts) {
  const { id } = of;
  const status = () => cloud.api('GET', `/pos-servers/${id}`);
  const self = {
    status,
    is: (what, fits) =>
      until(
        `${of.outlet}: ${what}`,
        async () => {
          const seen = await status();
          return fits(seen) && seen;
        },
        PATIENCE,
      ),
    async order(json) {
      counts.jobs += 1;
      return cloud.api('POST', `/pos-servers/${id}/jobs`, { json });
    },
    ends: (job) =>
      until(
        `${of.outlet}: ${job.kind} ends`,
        async () => {
          const seen = await cloud.api('GET', `/jobs/${job.id}`);
          return seen.finished_at && seen;
        },
        PATIENCE,
      ),
    async expires(job, after) {
      const ended = await self.ends(job);
      assert.equal(ended.state, 'expired');
      const waited = Date.parse(ended.finished_at) - Date.parse(ended.requested_at);
      assert.ok(waited >= after && waited < after + SLACK, `it waited for ${waited} ms`);
    },
    async succeeds(json) {
      const job = await self.ends(await self.order(json));
      assert.equal(job.state, 'succeeded', `${of.outlet}: ${json.kind}: ${JSON.stringify(job.error)}`);
      return job;
    },
    /** Exchanges, and waits for the line that tells of it: it is written a little after the report has changed. */
    async exchanges() {
      const told = () => self.written().filter((line) => line.includes('Exchange done')).length;
      const before = told();
      await self.succeeds({ kind: 'exchange_now' });
      await until('the exchange is logged', () => told() > before);
    },
    /** The lines of the POS log that a job for a period brings; `more` gives another file's. */
    async logs(from, to, ...more) {
      const period = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
      const job = await self.succeeds({ kind: 'retrieve_logs', ...period, max_bytes: 1 << 20 });
      const lines = await self.archived(job);
      return more.length > 0 ? more.map(lines) : lines('pos.log');
    },
    /** What a job's archive holds of a log. */
    async archived(job) {
      const [{ id: archive }] = job.result.archives;
      const { bytes } = await cloud.request('GET', `/api/v1/archives/${archive}/content`, {
        token: cloud.api.token,
      });
      const file = path.join(cloud.folder, archive);
      writeFileSync(file, bytes);
      const entries = readArchive(file);
      return (name) => linesOf(entries[`logs/pos/logs/${name}`] ?? '');
    },
    /** The POS log as it is. */
    written: () => linesOf(readFileSync(path.join(of.dataDir, 'pos', 'logs', 'pos.log'), 'utf8')),
    /** By how much the connector finds its clock off. */
    async found() {
      const { result } = await self.succeeds({ kind: 'diagnose' });
      const { ok, detail } = result.checks.find((check) => check.name === 'clock');
      const [, seconds, where] = /(\d+) s (ahead|behind)/.exec(detail) ?? [detail, 0, 'ahead'];
      return { ok, off: Number(seconds) * SECOND * (where === 'ahead' ? 1 : -1) };
    },
    async reset(generation) {
      // A connector that has just come back may not have heard its POS server: what is unsent is not known then.
      await self.is('a reset is possible', (seen) => synced(seen) && seen.database.unsent_transactions === 0);
      const job = await self.succeeds({
        kind: 'reset_database',
        confirm: of.outlet,
        expected_generation: generation,
      });
      assert.equal(job.result.new_generation, generation + 1);
      await self.is(
        'it is well after a reset',
        (seen) => synced(seen) && seen.database.generation > generation,
      );
      return job;
    },
  };
  return self;
}

const linesOf = (text) => text.split('\n').filter(Boolean);

/** When a line of a POS log in Tokyo was written, by the store's clock. There the clocks are never changed. */
const written = (line) => Date.parse(`${line.slice(0, 10)}T${line.slice(11, 23).replace(',', '.')}+09:00`);

const linesWithin = (lines, from, to) => lines.filter((line) => written(line) >= from && written(line) < to);

function isNear(found, expected, what) {
  assert.ok(Math.abs(found - expected) < SLACK, `${what}: ${found / SECOND} s, not ${expected / SECOND} s`);
}

/** Both programs of a store see its clock. */
async function hasThisClock(it, time) {
  await it.exchanges();
  isNear(written(it.written().at(-1)), time.now(), 'the POS server writes');
  const { ok, off } = await it.found();
  isNear(off, time.offset, 'the connector is ahead by');
  assert.equal(ok, time.offset === 0);
  assert.equal((await it.is('it exchanges', synced)).exchange.error, null);
}

test('stores whose clocks are wrong', { skip, concurrency: true }, async (t) => {
  const counts = { clocks: 0, jobs: 0 };
  const cloud = await scene(
    t,
    storeClocks.map(({ name }) => ({ outlet: name, time_zone: 'Asia/Tokyo' })),
  );
  await fillLoyalty(cloud);

  await Promise.all(
    storeClocks.map(({ name, off, moved }, index) =>
      t.test(name, async (t) => {
        const time = clock(cloud.folder, `store-${index}`, off);
        // One reset an hour is the default, which a wrong clock must not make less.
        const toml = moved === undefined ? undefined : '[limits]\nresets_per_hour = 10\n';
        const riga = store(t, cloud, index, { env: time.env, toml });
        const it = shop(cloud, riga, counts);
        const enrolled = await riga.enroll();
        assert.equal(enrolled.exitCode, 0, enrolled.output);
        await riga.run();
        await it.is('it is online and exchanges', synced);
        await hasThisClock(it, time);
        let generation = 1;
        if (moved !== undefined) await it.reset(generation++);
        if (moved !== undefined) {
          time.set(moved);
          await hasThisClock(it, time);
        }

        // A period means the times that stand in the logs, whatever the cloud's clock shows.
        await it.exchanges();
        const all = it.written();
        const isRecent = (line) => Math.abs(written(line) - time.now()) < 5 * MINUTE;
        const recent = all.filter(isRecent);
        const [start, end] = [written(recent.at(-2)), written(recent.at(-1))];
        const within = linesWithin(all, start, end);
        assert.ok(within.length > 0 && within.length < recent.length, recent.join('\n'));
        assert.deepEqual(await it.logs(start, end), within);
        const [from, to] = [Date.now() - 5 * MINUTE, time.offset === 0 ? end : Date.now() + 5 * MINUTE];
        const ofNow = linesWithin(all, from, to);
        assert.equal(ofNow.length > 0, off === 0 || moved === 0, all.join('\n'));
        assert.deepEqual(await it.logs(from, to), ofNow);

        // The cloud's clock alone says how long a job waits.
        await stop(riga.connector);
        await it.is('it is offline', (seen) => seen.link.state === 'offline');
        const waits = await it.order({ kind: 'diagnose', when_offline: 'queue', queue_for: 'PT1H' });
        const gives = await it.order({ kind: 'exchange_now', when_offline: 'queue', queue_for: 'PT1S' });
        await it.expires(gives, SECOND);
        assert.equal((await cloud.api('GET', `/jobs/${waits.id}`)).state, 'queued');
        await riga.run();
        const done = await it.ends(waits);
        assert.equal(done.state, 'succeeded', JSON.stringify(done.error));

        // The logs that a reset takes along are those up to now, by the clock that they are written by.
        await it.is('it is back', synced);
        const last = it.written();
        const reset = await it.reset(generation++);
        const kept = (await it.archived(reset))('pos.log');
        for (const line of last.filter(isRecent))
          assert.ok(kept.includes(line), `${line}\nof:\n${kept.join('\n')}`);

        // It is put right while it runs, as NTP does, and nothing is left of it.
        time.set(0);
        await hasThisClock(it, time);
        if (Math.abs(off) > HOUR || moved !== undefined) await it.reset(generation++);
        const { items } = await cloud.api('GET', `/pos-servers/${riga.id}/backups`);
        const newest = Array.from({ length: generation - 1 }, (_, back) => generation - 1 - back).slice(0, 3);
        assert.deepEqual(
          items.map((backup) => backup.generation),
          newest,
          'the newest are kept, and come first',
        );
        counts.clocks += 1;
      }),
    ),
  );
  t.diagnostic(`counted: ${counts.clocks} clocks of stores, ${counts.jobs} jobs, none expired early`);
});

test(
  'a store a year behind takes no certificate, says why, and comes back by itself',
  { skip },
  async (t) => {
    const counts = { jobs: 0 };
    const cloud = await scene(t, [{ outlet: 'Riga Centrs', time_zone: 'Asia/Tokyo' }]);
    const time = clock(cloud.folder, 'store', -YEAR);
    const riga = store(t, cloud, 0, { env: time.env });
    const it = shop(cloud, riga, counts);
    const refused = await riga.enroll();
    assert.notEqual(refused.exitCode, 0);

    time.set(0);
    const enrolled = await riga.enroll();
    assert.equal(enrolled.exitCode, 0, `the code was not used up: ${enrolled.output}`);
    time.set(-YEAR);
    await riga.run();
    await until('there is no link', () => /no link/.test(riga.connector.output()));
    const asked = spawnSync(
      program('tillwatch-connector'),
      ['diagnose', '--json', '--data-dir', riga.dataDir],
      { env: time.env, encoding: 'utf8' },
    );
    assert.equal(asked.status, 1, asked.stderr);
    const checks = Object.fromEntries(JSON.parse(asked.stdout).checks.map((check) => [check.name, check]));
    for (const name of ['tls', 'clock']) {
      assert.equal(checks[name].ok, false);
      assert.match(checks[name].detail, /^wrong clock/);
    }

    time.set(0);
    await it.is('it is online and exchanges', synced);
    await hasThisClock(it, time);
  },
);

test('a clock of a store that jumps while jobs run', { skip }, async (t) => {
  const counts = { jobs: 0 };
  const cloud = await scene(t, [{ outlet: 'Riga Centrs', time_zone: 'Asia/Tokyo' }]);
  await fillLoyalty(cloud);
  const time = clock(cloud.folder, 'store');
  const riga = store(t, cloud, 0, { env: time.env });
  const it = shop(cloud, riga, counts);
  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  await it.is('it is online and exchanges', synced);
  const jumps = [HOUR, -HOUR, 10 * MINUTE, 0, DAY, -10 * MINUTE, YEAR, 0].slice(0, soak ? undefined : 3);
  let jumped = 0;
  do
    for (const jump of jumps) {
      const jobs = [
        await it.order({ kind: 'diagnose' }),
        await it.order({ kind: 'retrieve_logs', ...ever, max_bytes: 1 << 20 }),
      ];
      time.set(jump);
      jumped += 1;
      jobs.push(await it.order({ kind: 'exchange_now' }));
      for (const job of jobs) {
        const ended = await it.ends(job);
        assert.equal(ended.state, 'succeeded', `${ended.kind} at ${jump}: ${JSON.stringify(ended.error)}`);
      }
      await hasThisClock(it, time);
    }
  while (soak && jumped < 20);
  t.diagnostic(`counted: ${jumped} jumps of a store's clock, ${counts.jobs} jobs, none expired early`);
});

/** A period that all lines are in. */
const ever = { from: '2000-01-01T00:00:00Z', to: '2099-01-01T00:00:00Z' };

test("the cloud's clock is moved while it runs", { skip }, async (t) => {
  const counts = { jobs: 0, moved: 0 };
  const time = clock(temporaryFolder(t), 'cloud');
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }, { outlet: 'Liepāja' }, { outlet: 'Cēsis' }], {
    env: time.env,
  });
  await fillLoyalty(cloud);
  const [riga, liepaja, cesis] = [0, 1, 2].map((index) => store(t, cloud, index));
  const [here, away] = [riga, liepaja].map((of) => shop(cloud, of, counts));
  for (const of of [riga, liepaja]) {
    assert.equal((await of.enroll()).exitCode, 0);
    await of.run();
  }
  const { since } = (await here.is('it is online and exchanges', synced)).link;
  await away.is('it is online and exchanges', synced);
  await stop(liepaja.connector);
  await away.is('it is offline', (seen) => seen.link.state === 'offline');

  const { email, password } = cloud.admin;
  const session = (await cloud.request('POST', '/api/v1/sessions', { json: { email, password } })).body;
  const events = follow(t, cloud);
  const waits = await away.order({ kind: 'diagnose', when_offline: 'queue', queue_for: 'PT1H' });
  const { archives } = (await here.succeeds({ kind: 'retrieve_logs', ...ever, max_bytes: 1 << 20 })).result;
  const rounds = soak ? 5 : 1;
  for (let round = 0; round < rounds; round += 1)
    for (const off of [10 * MINUTE, 0, -10 * MINUTE, 0]) {
      time.set(off);
      counts.moved += 1;
      const gives = await away.order({ kind: 'exchange_now', when_offline: 'queue', queue_for: 'PT1S' });
      // A job of ten minutes, and one of an hour.
      for (const json of [{ kind: 'exchange_now' }, { kind: 'retrieve_logs', ...ever, max_bytes: 1 << 20 }]) {
        const job = await here.order(json);
        isNear(Date.parse(job.requested_at), time.now(), 'the cloud writes');
        const ended = await events.job(job.id, `${json.kind} ends`, (seen) => seen.finished_at);
        assert.equal(ended.state, 'succeeded', JSON.stringify(ended.error));
      }
      const { link } = await here.is('it is online and exchanges', synced);
      assert.equal(link.since, since, 'it is the link of before');
      assert.equal((await cloud.api('GET', `/jobs/${waits.id}`)).state, 'queued');
      await away.expires(gives, SECOND);
    }

  time.set(10 * MINUTE);
  await fetchArchive(cloud, archives[0], cloud.folder);
  const { refresh_token: token } = session;
  const refreshed = await cloud.request('POST', '/api/v1/sessions/refresh', {
    json: { refresh_token: token },
  });
  assert.equal(refreshed.status, 200, JSON.stringify(refreshed.body));
  assert.equal((await cesis.enroll()).exitCode, 0, 'a code from before is good');
  await liepaja.run();
  const done = await away.ends(waits);
  assert.equal(done.state, 'succeeded', JSON.stringify(done.error));
  t.diagnostic(
    `counted: the cloud's clock moved ${counts.moved} times by 10 min, ${counts.jobs} jobs, none expired early`,
  );
});

/** When clocks were put back last in Riga: the last Sunday of October, at one o'clock in the morning. */
function lastTurn() {
  const year = new Date().getUTCFullYear();
  const turn = (year) => {
    const end = new Date(Date.UTC(year, 9, 31, 1));
    return end - end.getUTCDay() * DAY;
  };
  return turn(year) < Date.now() - DAY ? turn(year) : turn(year - 1);
}

test('the night in which clocks are put back', { skip }, async (t) => {
  const counts = { jobs: 0 };
  const turn = lastTurn();
  const time = clock(temporaryFolder(t), 'all');
  const at = (minutes) => turn + minutes * MINUTE;
  const isNow = (minutes) => time.set(at(minutes) + 5 * SECOND - Date.now());
  isNow(-55);
  const cloud = await scene(t, [{ outlet: 'Riga Centrs', time_zone: 'Europe/Riga' }], { env: time.env });
  const riga = store(t, cloud, 0, { env: time.env });
  const it = shop(cloud, riga, counts);
  // Nothing in it goes back, so that nobody knows which half past three it means.
  const day = new Date(turn).toISOString().slice(0, 10);
  const [before, open, after] = ['02:50', '03:30', '04:30'].map((hour) => `${day} ${hour}:00,000 INFO till`);
  mkdirSync(path.join(riga.dataDir, 'pos', 'logs'), { recursive: true });
  writeFileSync(path.join(riga.dataDir, 'pos', 'logs', 'till.log'), `${before}\n${open}\n${after}\n`);
  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  await it.is('it is online and exchanges', synced);

  // Three o'clock comes twice: up to the turn in summer time, from then on in winter time.
  const parts = new Map();
  let seen = 0;
  const part = (minutes) => {
    const lines = it.written();
    parts.set(minutes, lines.slice(seen));
    seen = lines.length;
  };
  await it.exchanges();
  part(-55);
  for (const minutes of [-20, 5, 40, 70]) {
    isNow(minutes);
    // Tokens of people live for a quarter of an hour.
    cloud.api = await cloud.signIn(cloud.admin.email, cloud.admin.password);
    await it.exchanges();
    part(minutes);
  }
  const hours = [...parts.values()].map((lines) => lines.map((line) => line.slice(11, 15)));
  assert.deepEqual(
    hours.map((lines) => [...new Set(lines)].join()),
    ['03:0', '03:4', '03:0', '03:4', '04:1'],
  );
  const of = (...which) => which.flatMap((minutes) => parts.get(minutes));
  const till = (from, to) => it.logs(at(from), at(to), 'pos.log', 'till.log');
  assert.deepEqual(await till(-60, 0), [of(-55, -20), [open]], 'the first hour');
  assert.deepEqual(await till(0, 60), [of(5, 40), [open]], 'the second');
  assert.deepEqual(await till(-25, 15), [of(-20, 5), []], 'a part of both');
  assert.deepEqual(await till(-60, 60), [of(-55, -20, 5, 40), [open]], 'both');
  assert.deepEqual(await till(-120, 180), [of(-55, -20, 5, 40, 70), [before, open, after]], 'the night');
  t.diagnostic(
    `counted: two hours of one name, ${counts.jobs} jobs, each line in the hour that it was written in`,
  );
});
