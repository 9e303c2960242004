// Three nodes behind HAProxy, over Postgres, NATS and S3, configured by the files of deploy/cluster: in the middle of jobs a
// node is killed, Postgres goes down, NATS loses everything; then a node is told to stop while requests go on.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { cloudCommand, importFleet, request, signIn, startCloud } from '../../scripts/lib/cloud.mjs';
import { freePorts } from '../../scripts/lib/ports.mjs';
import { start, stop } from '../../scripts/lib/run.mjs';
import { atEnd } from '../lib/at-end.mjs';
import {
  certificates,
  haproxy,
  nats,
  nodeConfig,
  nodeEnvironment,
  postgres,
  s3,
  until,
} from '../lib/cluster.mjs';
import { fleet, importLine, program, temporaryFolder } from '../lib/scene.mjs';

const STORES = 9;
/** How often each of the faults happens. */
const TIMES = process.env.TILLWATCH_SOAK === '1' ? 20 : 1;
const servers = ['/usr/lib/postgresql', '/usr/sbin/nats-server', '/usr/sbin/haproxy'];
const missing = servers.filter((server) => !existsSync(server));
const skip = missing.length > 0 && `not installed: ${missing.join(', ')}`;

test('a cloud of three nodes loses one and stops another', { skip }, async (t) => {
  const folder = temporaryFolder(t);
  const dataDir = path.join(folder, 'cloud');
  mkdirSync(dataDir);
  const cloudProgram = program('tillwatch-cloud');
  const [postgresPort, natsPort, publicPort, ...nodePorts] = await freePorts(6);

  // A certificate as good as any: the one that a cloud makes for itself.
  const first = await startCloud(cloudProgram, path.join(folder, 'alone'));
  await stop(first.child);
  const pem = path.join(folder, 'public.pem');
  const key = readFileSync(path.join(path.dirname(first.ca), 'key.pem'), 'utf8');
  writeFileSync(pem, readFileSync(first.ca, 'utf8') + key, { mode: 0o600 });

  const inside = certificates(folder);
  const database = await postgres(t, folder, postgresPort, inside);
  const broker = await nats(t, folder, natsPort, inside);
  const archives = await s3(t, folder);
  const own = nodeEnvironment({ postgresPort, natsPort, archives, certificates: inside });
  const env = { ...process.env, ...own };
  const serve = async (name, port) => {
    const args = ['serve', '--config', nodeConfig(folder, name, port, inside)];
    const ready = (line) => (line.startsWith('listening on ') ? line : undefined);
    const { child } = await start(cloudProgram, args, { env, ready, name });
    atEnd(t, () => stop(child, 2000));
    return child;
  };
  const nodes = await Promise.all(['a', 'b', 'c'].map((name, index) => serve(name, nodePorts[index])));
  const proxy = await haproxy(t, folder, publicPort, nodePorts, pem, inside);
  const cloud = { url: proxy.url, ca: first.ca };

  // Commands find the cluster by the same environment as the nodes.
  Object.assign(process.env, own);
  const [email, password] = ['admin@tillwatch.example', randomBytes(12).toString('base64url')];
  const user = ['user', 'add', '--email', email, '--name', 'Test', '--admin', '--password-stdin'];
  cloudCommand(cloudProgram, [...user, '--data-dir', dataDir], `${password}\n`);
  const lines = Array.from({ length: STORES }, (_, index) => importLine({ outlet: `Outlet ${index}` }));
  const { file, stores } = importFleet(cloudProgram, dataDir, lines);
  await until('HAProxy finds a node', async () => (await request(cloud, 'GET', '/readyz')).status === 204);
  const api = await signIn(cloud, email, password);

  await fleet(t, cloud, file);
  const links = async () => (await api('GET', '/pos-servers')).items.map((status) => status.link.state);
  const allOnline = async () => (await links()).every((state) => state === 'online');
  await until('every store is online', allOnline);

  const faults = {
    'a node killed': async () => {
      nodes[0].kill('SIGKILL');
      await nodes[0].exited;
      nodes[0] = await serve('a', nodePorts[0]);
    },
    'Postgres restarted': database.restart,
    'NATS emptied': broker.restart,
  };
  const known = new Set();
  let latest;
  for (const [fault, befalls] of Object.entries(faults))
    await t.test(`${fault} in the middle of jobs takes none with it`, async (t) => {
      let slowest = 0;
      for (let time = 0; time < TIMES; time += 1) {
        latest = await jobsDuring(befalls);
        const begun = Date.now();
        await until('every store is back', allOnline);
        slowest = Math.max(slowest, Date.now() - begun);
        for (const { id } of latest) known.add(id);
      }
      const links = slowest < 1000 ? 'within a second' : `within ${Math.ceil(slowest / 1000)} s`;
      t.diagnostic(
        `counted: ${fault} ${TIMES} times, ${TIMES * STORES * 2} jobs succeeded, each link back ${links} of their end`,
      );
    });

  /** Asks each store for two jobs while `befalls` goes on, and waits until they have succeeded; gives them. */
  async function jobsDuring(befalls) {
    const from = new Date(Date.now() - 86_400_000).toISOString();
    const to = new Date(Date.now() + 60_000).toISOString();
    const logs = { kind: 'retrieve_logs', from, to, max_bytes: 10 * 1024 * 1024, when_offline: 'queue' };
    // As the desktop does: whoever got no answer asks again with the same key, and gets the same job.
    const post = async (id, json) => {
      const headers = { 'idempotency-key': randomUUID() };
      const target = `/api/v1/pos-servers/${id}/jobs`;
      let answer;
      await until(`a job is taken`, async () => {
        answer = await request(cloud, 'POST', target, { token: api.token, json, headers });
        return answer.status < 500;
      });
      assert.equal(answer.status, 202, JSON.stringify(answer.body));
      return answer.body.id;
    };
    const some = stores.map(({ id }) => post(id, logs));
    const jobs = await Promise.all(some.slice(0, 3));
    const over = befalls();
    jobs.push(...(await Promise.all(some.slice(3))));
    const now = { kind: 'exchange_now', when_offline: 'queue' };
    jobs.push(...(await Promise.all(stores.map(({ id }) => post(id, now)))));
    await over;
    const page = () => api('GET', `/jobs?limit=${jobs.length + 1}`);
    const ended = async () => (await page()).items.every((job) => job.finished_at !== null);
    // What NATS lost is found in the database, ten seconds later.
    await until('every job has ended', ended, 60_000);
    const items = (await page()).items.filter(({ id }) => !known.has(id));
    assert.deepEqual(items.map((job) => job.id).sort(), jobs.sort());
    assert.deepEqual(
      items.filter((job) => job.state !== 'succeeded'),
      [],
    );
    return items;
  }

  await t.test('a database that somebody else vouches for is not spoken to', () => {
    const url = own.TILLWATCH_CLOUD_DATABASE_URL.replace(path.join(inside, 'ca.pem'), first.ca);
    const args = ['audit', 'verify', '--data-dir', dataDir];
    const asked = (url) =>
      spawnSync(cloudProgram, args, { env: { ...env, TILLWATCH_CLOUD_DATABASE_URL: url }, encoding: 'utf8' });
    assert.equal(asked(own.TILLWATCH_CLOUD_DATABASE_URL).status, 0);
    const { status, stderr } = asked(url);
    assert.notEqual(status, 0);
    assert.match(stderr, /certificate/);
  });

  await t.test('each node gives out each archive, and none keeps it', async () => {
    // Whichever node took an archive in, whichever gives it out: its bytes are in the bucket, and on no node's disk.
    const archived = latest.flatMap((job) => job.result.archives ?? []);
    assert.ok(archived.length >= STORES);
    for (const { id, sha256 } of archived) {
      const zip = await request(cloud, 'GET', `/api/v1/archives/${id}/content`, { token: api.token });
      assert.equal(zip.status, 200);
      assert.equal(createHash('sha256').update(zip.bytes).digest('hex'), sha256);
      assert.notEqual(readdirSync(path.join(archives.bucket, 'uploads', id)).length, 0);
    }
    for (const name of ['a', 'b', 'c']) assert.ok(!existsSync(path.join(folder, `node-${name}`, 'archives')));
  });

  await t.test('a node that is told to stop cuts no request', async () => {
    let asking = true;
    const answers = [];
    const ask = async () => {
      while (asking) {
        const answer = await request(cloud, 'GET', '/api/v1/pos-servers', { token: api.token });
        answers.push(answer.status);
      }
    };
    const asked = Promise.all([ask(), ask(), ask()]);
    const begun = Date.now();
    nodes[1].kill('SIGTERM');
    const { code } = await nodes[1].exited;
    assert.equal(code, 0, nodes[1].output());
    assert.ok(Date.now() - begun < 10_000);
    await until('every store is on the others', allOnline);
    await until('it was asked often', () => answers.length > 100);
    asking = false;
    await asked;
    assert.deepEqual(
      answers.filter((status) => status !== 200),
      [],
    );
  });

  await t.test('a node comes back and takes its part', async () => {
    const again = await serve('b', nodePorts[1]);
    for (const node of [nodes[0], nodes[2]]) {
      node.kill('SIGTERM');
      assert.equal((await node.exited).code, 0, node.output());
    }
    await until('every store is on the node that came back', allOnline);
    assert.equal(again.exitCode, null);
  });
});
