// kill -9 at each step of each kind of job, of the store's connector and of the cloud: the job ends once, what it does is
// done once at most, and the database opens. `npm run soak -- kills` takes every step, `npm test` a few.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fetchArchive } from '../lib/archives.mjs';
import { until } from '../lib/cluster.mjs';
import { jobRequests } from '../lib/jobs.mjs';
import { fillLoyalty, scene, store } from '../lib/scene.mjs';
import { notWatched, watchSteps } from '../lib/steps.mjs';

const everything = process.env.TILLWATCH_SOAK === '1';
/** More than any job has. */
const MOST_STEPS = 200;

const synced = ({ link, pos, exchange }) =>
  link.state === 'online' && pos.state === 'running' && exchange.last_success_at && !exchange.error;

for (const victim of ['connector', 'cloud'])
  test(
    `the ${victim} is killed at each step of each kind of job`,
    { skip: notWatched ?? false },
    async (t) => {
      const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
      await fillLoyalty(cloud);
      const riga = store(t, cloud, 0, { toml: '[limits]\nresets_per_hour = 10000\n' });
      assert.equal((await riga.enroll()).exitCode, 0);
      await riga.run();
      const world = { t, cloud, riga, victim };
      // A backup to restore is made by the first reset.
      const kinds = everything ? ['reset_database', ...Object.keys(jobRequests)] : ['reset_database'];
      for (const kind of new Set(kinds)) {
        cloud.api = await cloud.signIn(cloud.admin.email, cloud.admin.password);
        const counts = { killed: 0, succeeded: 0, failed: new Map() };
        const steps = new Set();
        const stride = everything ? 1 : victim === 'cloud' ? 6 : 8;
        for (let at = 1; at <= MOST_STEPS; at += stride) {
          const { step, job } = await killedAt(world, kind, at);
          if (job.state === 'succeeded') counts.succeeded += 1;
          else counts.failed.set(job.error.code, (counts.failed.get(job.error.code) ?? 0) + 1);
          if (step === null) break;
          counts.killed += 1;
          steps.add(step);
        }
        assert.ok(counts.killed > 0, 'nothing was killed');
        const failed = [...counts.failed].map(([code, count]) => `, ${count} ${code}`).join('');
        t.diagnostic(
          `counted: ${victim} killed at ${counts.killed} steps of ${kind}: ${counts.succeeded} succeeded${failed}`,
        );
        t.diagnostic([...steps].join(', '));
      }
    },
  );

/** A job during which the victim is killed at a step; `step` is null when the job had fewer. */
async function killedAt({ t, cloud, riga, victim }, kind, at) {
  const { id } = riga;
  const status = () => cloud.api('GET', `/pos-servers/${id}`);
  const before = await when('the store is well', status, synced);
  before.posServer = posServer(riga);
  const backups = (await cloud.api('GET', `/pos-servers/${id}/backups`)).items;
  const child = victim === 'cloud' ? cloud.child : riga.connector;
  let killed = null;
  const stopWatching = await watchSteps(t, child.pid, (step, number) => {
    if (number < at || killed) return;
    killed = step;
    child.kill('SIGKILL');
  });

  const request = {
    token: cloud.api.token,
    headers: { 'idempotency-key': randomUUID() },
    json: { kind, ...jobRequests[kind](before, backups) },
  };
  const post = () => cloud.request('POST', `/api/v1/pos-servers/${id}/jobs`, request);
  // The cloud may be killed before it answers: the same key gives the same job, or the first that there is.
  const posted = await post().catch(() => null);
  const end = (id) =>
    when(
      'the job ends',
      () => cloud.api('GET', `/jobs/${id}`),
      (job) => job.finished_at,
    );
  if (posted) await Promise.race([end(posted.body.id), once(child, 'exit')]);
  await stopWatching();
  if (killed) {
    await child.exited;
    if (victim === 'cloud') await cloud.startCloud(new URL(cloud.url).host);
    else await riga.run();
  }
  const again = await post();
  assert.equal(again.status, 202, JSON.stringify(again.body));
  if (posted) assert.equal(again.body.id, posted.body.id, 'the same key gives the same job');
  const job = await end(again.body.id);
  assert.match(job.state, /^(succeeded|failed)$/, JSON.stringify(job));

  const after = await when('the store is well again', status, synced);
  const { items } = await cloud.api('GET', `/pos-servers/${id}/timeline?limit=200`);
  const ends = items.filter(
    ({ kind, params, code }) => kind === 'job' && params.job_id === job.id && code !== 'requested',
  );
  assert.deepEqual(
    ends.map(({ code }) => code),
    [job.state],
    'it ended once',
  );
  await isDoneOnce({ cloud, riga, kind, job, before, after });
  return { step: killed, job };
}

/** What a job did, it did once; what failed left what was there, or says what it left. */
async function isDoneOnce({ cloud, riga, kind, job, before, after }) {
  const succeeded = job.state === 'succeeded';
  const lives = after.database.generation - before.database.generation;
  const replaces = kind === 'reset_database' || kind === 'restore_database';
  assert.ok(lives === 0 || (replaces && lives === 1), `${lives} lives more: ${JSON.stringify(job)}`);
  if (replaces && succeeded) assert.equal(lives, 1);
  const made = (await cloud.api('GET', `/pos-servers/${riga.id}/backups`)).items.filter(
    (backup) => backup.made_by === job.id,
  );
  assert.equal(made.length, lives, `a database that was replaced is kept, once: ${JSON.stringify(job)}`);
  if (kind === 'restart_pos' && succeeded) assert.notEqual(posServer(riga), before.posServer);
  for (const archive of job.result?.archives ?? []) await fetchArchive(cloud, archive, cloud.folder);
  if (kind === 'retrieve_logs' && succeeded) assert.equal(job.result.archives.length, 1);

  const file = path.join(riga.dataDir, 'pos', 'pos.sqlite3');
  const sound = spawnSync(
    '/usr/bin/python3',
    [
      '-c',
      'import sqlite3, sys; print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("PRAGMA integrity_check").fetchone()[0])',
      file,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(sound.stdout.trim(), 'ok', sound.stderr);
}

/** The process of the POS server. */
function posServer(riga) {
  return JSON.parse(readFileSync(path.join(riga.dataDir, 'pos-server.json'), 'utf8')).pid;
}

/** What `ask` gives once it fits; it may fail meanwhile. */
function when(what, ask, fits) {
  const look = (seen) => fits(seen) && seen;
  return until(what, () => ask().then(look, () => null), 120_000);
}
