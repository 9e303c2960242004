// The cloud beside nats-server, nginx and bare databases: links, handshakes, dispatch, reports and lists.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cloudCommand, importFleet, signIn, startCloud } from '../scripts/lib/cloud.mjs';
import { example, inFolder, interleaved, median, release, row, target } from '../scripts/lib/measure.mjs';
import { freePort } from '../scripts/lib/ports.mjs';
import { startPostgres } from '../scripts/lib/postgres.mjs';
import { root, start, stop } from '../scripts/lib/run.mjs';
import { cpuSeconds, resident, seconds, startPeer } from './lib/processes.mjs';

const MIB = 2 ** 20;
/** How long idle links are left alone before memory is read: over two minutes, when NATS has pinged each once. */
const SETTLED_SECONDS = 130;
const HANDSHAKES = 2000;
const RELAYS = 500;
/** The cloud lets a store be asked a hundred times a second. Both sides are asked as often. */
const RELAY_MILLIS = '12';
const CUT = 10_000;
const REPORTS = 10_000;
const EMAIL = 'bench@example.com';
const PASSWORD = 'a password for a bench';

/** The rows of this area; `links` is how many are held at a time, `stores` how many are listed. */
export async function measure({ links, stores }) {
  if (process.platform !== 'linux') throw new Error('The cloud is measured on Linux.');
  const programs = {
    cloud: release('tillwatch-cloud'),
    load: example('tillwatch-cloud', 'measure_cloud'),
  };
  const held = Math.min(links, openFiles() - 1000);
  if (held < links) process.stdout.write(`${held} links are held: a process may not open more files.\n`);
  return inFolder(2048 * MIB, async (folder) => {
    const written = await reports(programs, folder);
    return [
      ...written.rows,
      ...(await lists(programs, folder, stores)),
      ...(await withLinks(programs, folder, { links: held, commitSeconds: written.commitSeconds })),
    ];
  });
}

async function reports({ load }, folder) {
  const runs = await interleaved('Reports', {
    sqlite: async () => {
      const figures = await figuresOf(load, ['reports', newFolder(folder, 'reports'), String(REPORTS)]);
      return { ...figures, seconds: REPORTS / figures.ours_per_second };
    },
    postgres: async () => {
      // Beside ours: its owner is let into it, and into none of ours.
      const place = mkdtempSync(path.join(os.tmpdir(), 'tillwatch-bench-postgres-'));
      try {
        const { url, stop } = await startPostgres(place, clusterFile('postgresql.conf'));
        try {
          const args = ['reports-on-postgres', newFolder(folder, 'reports'), url, String(REPORTS)];
          const figures = await figuresOf(load, args);
          return { ...figures, seconds: REPORTS / figures.ours_per_second };
        } finally {
          await stop();
        }
      } finally {
        rmSync(place, { recursive: true });
      }
    },
  });
  const against = (peerName, side, figure, wanted) =>
    row({
      name: `reports into the store, beside ${peerName}`,
      unit: 'rows/s',
      ours: median(runs[side], 'ours_per_second'),
      peerName,
      peer: median(runs[side], figure),
      target: wanted,
    });
  const rows = [
    against('a commit a row', 'sqlite', 'alone_per_second', target.atLeastTimes(10)),
    against('a bare batched loop of rusqlite', 'sqlite', 'batched_per_second', target.atLeastPercent(50)),
    against('COPY into Postgres', 'postgres', 'copied_per_second', target.atLeastPercent(50)),
  ];
  return { rows, commitSeconds: 1 / median(runs.sqlite, 'alone_per_second') };
}

/** A file of those that operators start from. */
function clusterFile(name) {
  return readFileSync(path.join(root, 'deploy/cluster', name), 'utf8');
}

async function lists(programs, folder, stores) {
  const dataDir = newFolder(folder, 'lists');
  await newCloud(programs.cloud, dataDir, stores);
  await figuresOf(programs.load, ['age', database(dataDir)]);
  const cloud = await startCloud(programs.cloud, dataDir);
  try {
    const { token } = await signIn(cloud, EMAIL, PASSWORD);
    const args = ['lists', ...placeOf(cloud), '--access-token', token, '--rounds', '4'];
    const runs = await interleaved('Lists', {
      pages: async () => {
        const figures = await figuresOf(programs.load, args);
        return { ...figures, seconds: figures.p99_seconds };
      },
    });
    const name = `GET /pos-servers, ${stores.toLocaleString('en')} of them`;
    const p99 = (what, figure, seconds) =>
      row({
        name: `${name}, ${what}`,
        unit: 's',
        ours: median(runs.pages, figure),
        peerName: 'the limit',
        peer: seconds,
        target: target.atMostTimes(1),
      });
    return [
      p99('any page, any filter, p99', 'p99_seconds', 0.01),
      p99('with q, p99', 'q_p99_seconds', 0.03),
      row({
        name: `${name}, the deepest page`,
        unit: 's',
        ours: median(runs.pages, 'deepest_seconds'),
        peerName: 'the first page',
        peer: median(runs.pages, 'first_seconds'),
        target: target.atMostTimes(1.2),
      }),
    ];
  } finally {
    await stop(cloud.child);
  }
}

/** What needs stores with identities, and the peers that links are compared with. */
async function withLinks(programs, folder, { links, commitSeconds }) {
  const dataDir = newFolder(folder, 'links');
  await newCloud(programs.cloud, dataDir, links);
  const identities = path.join(folder, 'identities.json');
  await figuresOf(programs.load, ['identities', database(dataDir), String(links), identities]);
  const store = JSON.parse(readFileSync(identities, 'utf8'))[0].pos_server_id;
  const serviceToken = newServiceToken(programs.cloud, dataDir, store);

  const running = [];
  const started = async (server) => (running.push((await server).child), server);
  try {
    const cloud = await started(startCloud(programs.cloud, dataDir));
    const tls = { cert: cloud.ca, key: path.join(dataDir, 'tls', 'key.pem') };
    const nats = await started(startNats(newFolder(folder, 'nats'), tls));
    const nginx = await started(startNginx(newFolder(folder, 'nginx'), tls));
    const ours = { child: cloud.child, place: [...placeOf(cloud), '--identities', identities] };
    const context = { load: programs.load, cloud, ours, nats, nginx, links, serviceToken, commitSeconds };
    // The first memory that is read is that of servers which have served nobody yet.
    return [
      ...(await memory(context)),
      ...(await handshakes(context)),
      ...(await dispatch(context)),
      ...(await cutLinks(context)),
    ];
  } finally {
    for (const child of running.reverse()) await stop(child);
  }
}

async function memory({ load, ours, nats, links }) {
  const before = [ours, nats].map(({ child }) => resident(child.pid));
  const sides = [
    ['hold', ...ours.place, String(links)],
    ['hold', ...nats.place, String(links), '--nats'],
  ];
  const holding = [];
  try {
    for (const args of sides) {
      const up = (line) => (line === 'links are up' ? true : undefined);
      holding.push((await start(load, args, { name: 'measure_cloud', ready: up })).child);
    }
    await seconds(links < 10_000 ? 10 : SETTLED_SECONDS);
    const lost = () => holding.some((child) => child.exitCode !== null);
    if (lost()) throw new Error('Links were lost while they were held.');
    const [own, theirs] = [ours, nats].map(({ child }, side) => (resident(child.pid) - before[side]) / links);
    const name = `gateway memory a link, ${links.toLocaleString('en')} idle WSS links`;
    const beside = (peerName, peer, wanted) =>
      row({ name: `${name}, beside ${peerName}`, unit: 'bytes', ours: own, peerName, peer, target: wanted });
    return [
      beside('the limit', 14 * 1024, target.atMostTimes(1)),
      beside('nats-server with TLS WebSocket', theirs, target.atMostPart(4)),
    ];
  } finally {
    for (const child of holding) {
      child.stdin.end();
      await child.exited;
    }
  }
}

async function handshakes({ load, ours, nginx, links }) {
  // Each by a store of its own.
  const count = Math.min(HANDSHAKES, links);
  const side = (server) => async () => {
    const before = cpuSeconds(server.child.pid);
    const figures = await figuresOf(load, ['handshakes', ...server.place, String(count)]);
    // The last ones end on the server's side a moment later.
    await seconds(0.5);
    const spent = cpuSeconds(server.child.pid) - before;
    return { seconds: figures.seconds, perCpuSecond: count / spent };
  };
  const runs = await interleaved('Handshakes', { ours: side(ours), nchan: side(nginx) });
  return [
    row({
      name: 'handshakes (TLS 1.3, upgrade, token) a second of server CPU',
      unit: '/s',
      ours: median(runs.ours, 'perCpuSecond'),
      peerName: 'nginx with nchan',
      peer: median(runs.nchan, 'perCpuSecond'),
      target: target.atLeastTimes(1.5),
    }),
  ];
}

async function dispatch({ load, cloud, ours, nats, serviceToken, commitSeconds }) {
  const relay = ['relay', ...ours.place, '--service-token', serviceToken, String(RELAYS)];
  const asked = (args) => async () => {
    const figures = await figuresOf(load, args);
    return { ...figures, seconds: figures.p50_seconds };
  };
  const runs =
    serviceToken &&
    (await interleaved('Dispatch', {
      ours: asked([...relay, '--every-millis', RELAY_MILLIS]),
      nats: asked(['nats', nats.url, String(RELAYS), '--every-millis', RELAY_MILLIS]),
    }));
  const { token } = await signIn(cloud, EMAIL, PASSWORD);
  const jobs = await figuresOf(load, ['jobs', ...ours.place, '--access-token', token, '200']);
  const toAndBack = [
    ['p50', 'p50_seconds', 1.5],
    ['p99', 'p99_seconds', 2],
  ].map(([percentile, figure, times]) =>
    row({
      name: `dispatch to a store and back, ${percentile}`,
      unit: 's',
      ours: runs && median(runs.ours, figure),
      peerName: 'NATS request-reply',
      peer: runs && median(runs.nats, figure),
      target: target.atMostTimes(times),
    }),
  );
  return [
    ...toAndBack,
    row({
      name: 'POST jobs, p50',
      unit: 's',
      ours: jobs.p50_seconds,
      peerName: 'dispatch and a durable commit',
      peer: runs && median(runs.ours, 'p50_seconds') + commitSeconds,
      target: target.atMostTimes(1.5),
    }),
  ];
}

async function cutLinks({ load, cloud, ours, links }) {
  const count = Math.min(CUT, links);
  const { token } = await signIn(cloud, EMAIL, PASSWORD);
  const cut = await figuresOf(load, ['cut', ...ours.place, '--access-token', token, String(count)]);
  process.stdout.write(
    `Cut: all back after ${cut.seconds.toFixed(1)} s, ${cut.turned_away} times told to come back later; ` +
      `the API's p99 was ${(cut.quiet_p99_seconds * 1000).toFixed(1)} ms before\n`,
  );
  const name = `${count.toLocaleString('en')} links cut at once`;
  const within = (what, figure, limit) =>
    row({
      name: `${name}, ${what}`,
      unit: 's',
      ours: cut[figure],
      peerName: 'the limit',
      peer: limit,
      target: target.atMostTimes(1),
    });
  return [
    within('all back', 'seconds', 60),
    row({
      name: `${name}, refused for good`,
      unit: 'links',
      ours: cut.never_back,
      peerName: 'the limit',
      peer: 0,
      target: target.none,
    }),
    within('API p99 meanwhile', 'api_p99_seconds', 0.1),
  ];
}

/** Makes the data of a cloud that is not running: an admin and stores, a hundred chains of them. */
async function newCloud(program, dataDir, stores) {
  const add = ['user', 'add', '--email', EMAIL, '--name', 'Bench', '--admin', '--password-stdin'];
  cloudCommand(program, [...add, '--data-dir', dataDir], PASSWORD);
  const lines = Array.from({ length: stores }, (_, number) => ({
    chain: `Chain ${number % 100}`,
    outlet: `Outlet ${(number * 7919) % stores}`,
    crm_id: String(10_000 + number),
    address: `Street ${(number * 104_729) % 1000}, ${number}`,
    time_zone: ['Europe/Riga', 'Europe/Vilnius', 'Asia/Tbilisi'][number % 3],
    pos_server: 'Main',
  }));
  importFleet(program, dataDir, lines);
  // Who the cloud is, it decides at its first start.
  const { child } = await startCloud(program, dataDir);
  await stop(child);
}

/** A token by which a store may be asked, or null where the cloud relays nothing. */
function newServiceToken(program, dataDir, store) {
  const add = ['token', 'add', '--name', 'bench', '--pos-server', store, '--permission', 'relay'];
  try {
    return cloudCommand(program, [...add, '--data-dir', dataDir]).trim();
  } catch (error) {
    process.stdout.write(`Dispatch is not measured: ${error.message}\n`);
    return null;
  }
}

async function startNats(folder, { cert, key }) {
  const [port, webSocketPort] = [await freePort(), await freePort()];
  const config = path.join(folder, 'nats.conf');
  writeFileSync(
    config,
    `listen: "127.0.0.1:${port}"
websocket {
  listen: "127.0.0.1:${webSocketPort}"
  tls { cert_file: "${cert}", key_file: "${key}" }
}
`,
  );
  const child = await startPeer('nats-server', ['--config', config], folder, webSocketPort);
  const place = ['--server', `127.0.0.1:${webSocketPort}`, '--ca', cert, '--path', '/'];
  return { child, url: `nats://127.0.0.1:${port}`, place };
}

async function startNginx(folder, { cert, key }) {
  const port = await freePort();
  const config = path.join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
master_process off;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 19000; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${cert};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.3;
    ssl_session_tickets off;
    location /links { nchan_subscriber websocket; nchan_channel_id stores; }
  }
}
`,
  );
  const child = await startPeer('nginx', ['-c', config, '-p', folder], folder, port);
  return { child, place: ['--server', `127.0.0.1:${port}`, '--ca', cert, '--path', '/links'] };
}

/** Runs a measurement to its end and gives the JSON that it printed last. */
async function figuresOf(program, args) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [printed, complaints] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (printed += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (complaints += text));
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ?? code));
  });
  if (code !== 0) throw new Error(`measure_cloud ${args[0]}: ${code}\n${complaints}`);
  return JSON.parse(printed.trim().split('\n').pop());
}

function placeOf(cloud) {
  return ['--server', new URL(cloud.url).host, '--ca', cloud.ca];
}

function database(dataDir) {
  return path.join(dataDir, 'tillwatch.sqlite3');
}

function newFolder(folder, name) {
  const known = readdirSync(folder).length;
  const made = path.join(folder, `${name}-${known}`);
  mkdirSync(made);
  return made;
}

/** How many files a process of ours may open. */
function openFiles() {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)[1];
  return hard === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(hard);
}
