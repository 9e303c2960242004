// A scene: a real cloud with stores in a folder of its own, gone when the test ends.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { readFileSync } from 'node:fs';
import { cloudCommand, importFleet, request, signIn, startCloud } from '../../scripts/lib/cloud.mjs';
import { demoLoyalty } from '../../scripts/lib/demo-data.mjs';
import { freePort } from '../../scripts/lib/ports.mjs';
import { start, stop } from '../../scripts/lib/run.mjs';
import { program as builtProgram, targetDir } from '../../scripts/lib/setup.mjs';
import { atEnd } from './at-end.mjs';

const target = process.env.TILLWATCH_TARGET ?? targetDir();

/** The path of one of our programs. */
export const program = (name) => builtProgram(name, target);

/** A folder that is removed when the test ends. */
export function temporaryFolder(t) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tillwatch-test-'));
  atEnd(t, () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** A line of a fleet import, with something sensible for what the test does not care about. */
export function importLine(line) {
  return {
    chain: 'Bistro Amber',
    crm_id: '010432',
    address: 'Brīvības iela 12, Rīga',
    time_zone: 'Europe/Riga',
    pos_server: 'Main POS',
    ...line,
  };
}

/**
 * A running cloud with an admin and the given stores, signed in. `config(folder)` writes its settings and gives the file;
 * `env` is its environment, and `place` is where its data lies, if not in the scene's folder.
 */
export async function scene(t, lines, { config, env, place } = {}) {
  const folder = temporaryFolder(t);
  const dataDir = place ?? path.join(folder, 'cloud');
  const admin = { email: 'admin@tillwatch.example', password: randomBytes(12).toString('base64url') };
  const cli = (...args) => cloudCommand(program('tillwatch-cloud'), [...args, '--data-dir', dataDir]);
  addUser(dataDir, admin, '--admin');
  const { file, stores } = importFleet(program('tillwatch-cloud'), dataDir, lines.map(importLine));

  const self = { folder, dataDir, admin, enrollments: file, stores, cli };
  self.startCloud = async (listen) => {
    const started = await startCloud(program('tillwatch-cloud'), dataDir, {
      listen,
      env,
      args: config ? ['--config', config(folder)] : [],
    });
    atEnd(t, () => stop(started.child));
    Object.assign(self, started);
    return self;
  };
  // Some stories start it again at the same place, which must not have been taken meanwhile.
  await self.startCloud(`127.0.0.1:${await freePort()}`);
  self.request = (...args) => request(self, ...args);
  self.signIn = (email, password) => signIn(self, email, password);
  self.api = await self.signIn(admin.email, admin.password);
  return self;
}

/** Runs `tillwatch-cloud` with these arguments and gives what it printed. */
export const cloudCli = (args) => cloudCommand(program('tillwatch-cloud'), args);

/** Adds a user with a password of the test's own. */
export function addUser(dataDir, { email, password, name = 'Test' }, ...more) {
  cloudCommand(
    program('tillwatch-cloud'),
    ['user', 'add', '--email', email, '--name', name, '--password-stdin', '--data-dir', dataDir, ...more],
    `${password}\n`,
  );
}

/** Gives every chain of the scene programs, guests and accounts. */
export async function fillLoyalty(scene, guests = 20) {
  const data = demoLoyalty(guests);
  const { items } = await scene.api('GET', '/outlets');
  for (const chain of new Set(items.map((outlet) => outlet.chain.id)))
    for (const [table, rows] of Object.entries(data))
      await scene.api('PUT', `/chains/${chain}/${table}`, { json: { items: rows } });
  return data;
}

/** A real store: its folder, enrolled; `run()` starts the connector, which starts the POS server, both with `env`. */
export function store(t, scene, index, { toml, env, place } = {}) {
  const { id, outlet, code } = scene.stores[index];
  const dataDir = place ?? path.join(scene.folder, `store-${index}`);
  mkdirSync(dataDir, { recursive: true });
  if (toml) writeFileSync(path.join(dataDir, 'connector.toml'), toml);
  const self = { id, outlet, code, dataDir };
  self.enroll = async (more = ['--ca', scene.ca], typed = {}) => {
    const { child } = await start(
      program('tillwatch-connector'),
      [
        'enroll',
        '--cloud',
        typed.url ?? scene.url,
        '--code',
        typed.code ?? code,
        '--data-dir',
        dataDir,
        ...more,
      ],
      { env },
    );
    const { code: exitCode } = await child.exited;
    return { exitCode, output: child.output() };
  };
  self.run = async () => {
    const { child } = await start(program('tillwatch-connector'), ['run', '--data-dir', dataDir], { env });
    atEnd(t, () => stop(child));
    self.connector = child;
    return self;
  };
  return self;
}

/** Simulated stores without troubles, one for each enrollment in a file. Gives the process. */
export async function fleet(t, cloud, enrollments) {
  const place = ['--cloud', cloud.url, '--enrollments', enrollments, '--ca', cloud.ca];
  const quiet = ['--troubles', 'none', '--log-days', '0'];
  const { child } = await start(program('tillwatch-fleet'), ['run', ...place, ...quiet], {});
  atEnd(t, () => stop(child));
  return child;
}

/** Follows the cloud's events; `status(id, what, test)` and `job(id, what, test)` wait for one that fits. */
export function follow(t, scene, patience = 60_000) {
  const latest = new Map();
  const waiting = new Set();
  const see = (kind, value) => {
    latest.set(`${kind} ${value.id}`, value);
    for (const look of waiting) look();
  };
  const events = https.request(
    new URL('/api/v1/events', scene.url),
    { ca: readFileSync(scene.ca), agent: false, headers: { authorization: `Bearer ${scene.api.token}` } },
    (answer) => {
      assert.equal(answer.statusCode, 200);
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
        const blocks = text.split('\n\n');
        text = blocks.pop();
        for (const block of blocks) {
          const field = (name) =>
            block
              .split('\n')
              .find((line) => line.startsWith(`${name}:`))
              ?.slice(name.length + 1)
              .trim();
          const kind = field('event');
          if (kind === 'status' || kind === 'job') see(kind, JSON.parse(field('data')));
        }
      });
      answer.on('error', () => undefined);
    },
  );
  events.on('error', () => undefined);
  events.end();
  atEnd(t, () => events.destroy());

  const wait = (kind, id, fetch) => (what, test) =>
    new Promise((resolve, reject) => {
      const key = `${kind} ${id}`;
      const look = () => {
        const value = latest.get(key);
        if (!value || !test(value)) return;
        waiting.delete(look);
        clearTimeout(limit);
        resolve(value);
      };
      const limit = setTimeout(() => {
        waiting.delete(look);
        const last = JSON.stringify(latest.get(key), null, 1);
        reject(new Error(`${what}: did not happen in ${patience / 1000} s. Last seen: ${last}`));
      }, patience);
      waiting.add(look);
      // What was true before the stream began comes from a plain request.
      fetch(id).then(
        (value) => (latest.get(key)?.revision ?? 0) <= (value.revision ?? 0) && see(kind, value),
        () => undefined,
      );
    });
  return {
    status: (id, what, test) =>
      wait('status', id, (id) => scene.api('GET', `/pos-servers/${id}`))(what, test),
    job: (id, what, test) => wait('job', id, (id) => scene.api('GET', `/jobs/${id}`))(what, test),
  };
}

/** Starts a job and waits for its end. */
export async function jobEnds(scene, events, posServerId, json) {
  const job = await scene.api('POST', `/pos-servers/${posServerId}/jobs`, { json });
  return events.job(job.id, `${json.kind} ends`, (job) => job.finished_at !== null);
}
