// Uploading a part to a real cloud, beside curl to nginx, over loopback and over a line of 1 Gbit/s.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { cloudCommand, importFleet } from '../../scripts/lib/cloud.mjs';
import { example, interleaved, median, release, row, target } from '../../scripts/lib/measure.mjs';
import { output, start, stop } from '../../scripts/lib/run.mjs';

const MIB = 2 ** 20;
/** All runs together stay below the 2 GiB that the archives of a job may have. */
const PART = 96 * MIB;
/** What a cut connection may cost. */
const CHUNK = 4 * MIB;
const EMAIL = 'bench@example.com';
const PASSWORD = 'a password for a bench';

/**
 * The rows of uploads. Everything runs in a network namespace of its own, so that its loopback can be made as slow
 * as a line; that takes root.
 */
export async function uploads(folder) {
  const namespace = `tillwatch-bench-${process.pid}`;
  const trouble = unable(namespace);
  if (trouble) process.stdout.write(`Uploads are not measured: ${trouble}\n`);
  const results = trouble ? null : await measured(namespace, folder);
  const speed = (line, wanted) =>
    row({
      name: `upload, hashed on both sides, ${line.name}`,
      unit: 's',
      ours: results && median(results[line.key].ours, 'seconds'),
      peerName: 'curl -T',
      peer: results && median(results[line.key].curl, 'seconds'),
      target: wanted,
      inverse: true,
    });
  return [
    speed({ key: 'shaped', name: 'a line of 1 Gbit/s' }, target.atLeastPercent(97)),
    speed({ key: 'bare', name: 'bare loopback' }, target.atLeastPercent(35)),
    row({
      name: 'upload killed midway, bytes sent again',
      unit: 'bytes',
      ours: results && results.sentAgain,
      peerName: 'a chunk',
      peer: CHUNK,
      target: target.atMostTimes(1),
    }),
  ];
}

/** Makes the namespace. Gives why there can't be one, or null. */
function unable(namespace) {
  if (process.getuid() !== 0) return 'only root can make a network namespace';
  if (output('ip', ['netns', 'add', namespace]) === null) return '`ip netns add` failed';
  return null;
}

async function measured(namespace, folder) {
  const within = (program, ...args) => ['ip', ['netns', 'exec', namespace, program, ...args]];
  const told = (program, ...args) =>
    execFileSync(...within(program, ...args), {
      encoding: 'utf8',
      env: { ...process.env, TILLWATCH_BENCH_PASSWORD: PASSWORD },
    });
  const store = example('tillwatch-connector', 'measure_upload');
  const running = [];
  try {
    told('ip', 'link', 'set', 'lo', 'up');
    const cloud = await startedCloud(within, folder);
    running.push(cloud.child);
    const nginx = await startedNginx(within, path.join(folder, 'nginx'), cloud);
    running.push(nginx.child);

    const dataDir = path.join(folder, 'store');
    const who = ['--ca', cloud.ca, '--code', cloud.code, '--email', EMAIL];
    const { job_id: job } = JSON.parse(told(store, 'prepare', '--cloud', cloud.url, ...who, dataDir));
    const part = path.join(folder, 'part.zip');
    told(store, 'write', part, String(PART));
    const send = (...more) =>
      JSON.parse(told(store, 'send', '--ca', cloud.ca, '--data-dir', dataDir, '--job', job, part, ...more));
    const curl = () => {
      const to = ['-T', part, `${nginx.url}/part.zip`, '-o', path.join(folder, 'answer')];
      return {
        seconds: Number(told('curl', '-sS', '--fail', '--cacert', cloud.ca, ...to, '-w', '%{time_total}')),
      };
    };
    const race = (title) => interleaved(title, { ours: () => send(), curl });

    const bare = await race('Uploading over bare loopback');
    // Segments as on Ethernet, so that the line is shared out in small steps.
    told('ip', 'link', 'set', 'lo', 'mtu', '1500');
    told(...'tc qdisc add dev lo root tbf rate 1gbit burst 256kb latency 50ms'.split(' '));
    const shaped = await race('Uploading over 1 Gbit/s');
    const whole = median(shaped.ours, 'sent_bytes');
    const sentAgain = Math.max(0, send('--killed').sent_bytes - whole);
    return { bare, shaped, sentAgain };
  } finally {
    for (const child of running.reverse()) await stop(child);
    output('ip', ['netns', 'delete', namespace]);
  }
}

async function startedCloud(within, folder) {
  const program = release('tillwatch-cloud');
  const dataDir = path.join(folder, 'cloud');
  mkdirSync(dataDir);
  const add = ['user', 'add', '--email', EMAIL, '--name', 'Bench', '--admin', '--password-stdin'];
  cloudCommand(program, [...add, '--data-dir', dataDir], PASSWORD);
  const line = {
    chain: 'Chain',
    outlet: 'Outlet',
    crm_id: '1',
    address: 'Street 1',
    time_zone: 'Europe/Riga',
    pos_server: 'Main',
  };
  const { stores } = importFleet(program, dataDir, [line]);
  const { child, value: url } = await start(
    ...within(program, 'serve', '--listen', '127.0.0.1:0', '--data-dir', dataDir, '--drain', 'PT1S'),
    { name: 'tillwatch-cloud', ready: (said) => /^listening on (https:\S+)$/.exec(said)?.[1] },
  );
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => path.join(dataDir, 'tls', name));
  return { child, url, ca: cert, key, code: stores[0].code };
}

async function startedNginx(within, folder, { ca, key }) {
  // The namespace is new: nobody has this port.
  const port = 8443;
  mkdirSync(path.join(folder, 'kept'), { recursive: true });
  const config = path.join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off;
master_process off;
user root;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${ca};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.3;
    root ${folder}/kept;
    client_max_body_size 0;
    location / { dav_methods PUT; }
  }
}
`,
  );
  const { child } = await start(...within('nginx', '-c', config), { name: 'nginx' });
  await listening(within, port);
  return { child, url: `https://127.0.0.1:${port}` };
}

/** Waits until something listens on a port of the namespace. */
async function listening(within, port) {
  for (let tries = 0; tries < 200; tries++) {
    if (output(...within('ss', '-Hltn', `sport = :${port}`))?.trim()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Nothing listens on port ${port}.`);
}
