// What a cloud of several nodes stands on, from the files of deploy/cluster: only ports and paths are a test's own.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { startPostgres } from '../../scripts/lib/postgres.mjs';
import { root, start, stop } from '../../scripts/lib/run.mjs';
import { atEnd } from './at-end.mjs';
import { program } from './scene.mjs';

/** The bucket that the files of deploy/cluster name. */
export const BUCKET = 'tillwatch-archives';

/** A file of deploy/cluster with some of its texts replaced, each of which must be there. */
export function rendered(name, replacements) {
  let text = readFileSync(path.join(root, 'deploy/cluster', name), 'utf8');
  for (const [from, to] of replacements) {
    if (!text.includes(from)) throw new Error(`${name} does not say: ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** Asks every 50 ms until the answer is something, and gives it. */
export async function until(what, ask, patience = 30_000) {
  const deadline = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: did not happen in ${patience / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const listens = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

/** Postgres in a folder of the test; gives its address and `restart`. */
export async function postgres(t, folder) {
  const configuration = rendered('postgresql.conf', [["'1GB'", "'32MB'"]]);
  const { url, stop, restart } = await startPostgres(folder, configuration);
  atEnd(t, stop);
  return { url, restart };
}

/** A NATS server; gives its address and `restart`, which kills it: what it held is gone. */
export async function nats(t, folder, port) {
  const file = path.join(folder, 'nats.conf');
  writeFileSync(file, rendered('nats.conf', [['10.0.0.22:4222', `127.0.0.1:${port}`]]));
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin`, NATS_PASSWORD: 'of-this-test' };
  const begin = async () => {
    const { child } = await start('nats-server', ['-c', file], { env });
    await until(`NATS starts: ${child.output()}`, () => listens(port));
    return child;
  };
  let child = await begin();
  atEnd(t, () => stop(child));
  const restart = async () => {
    child.kill('SIGKILL');
    await child.exited;
    child = await begin();
  };
  return { url: `nats://tillwatch:of-this-test@127.0.0.1:${port}`, restart };
}

/** A server that speaks S3, over a folder; gives the variables by which nodes find it, and where its bucket is. */
export async function s3(t, folder) {
  const directory = path.join(folder, 's3');
  const bucket = path.join(directory, BUCKET);
  mkdirSync(bucket, { recursive: true });
  const keys = {
    AWS_ACCESS_KEY_ID: 'key-of-this-test',
    AWS_SECRET_ACCESS_KEY: randomBytes(20).toString('hex'),
  };
  const { child, value } = await start(program(path.join('examples', 'serve_s3')), [directory], {
    env: { ...process.env, ...keys },
    ready: (line) => line.match(/^listening on (.*)$/)?.[1],
  });
  atEnd(t, () => stop(child));
  return { bucket, env: { ...keys, AWS_REGION: 'eu-north-1', AWS_ENDPOINT_URL: value } };
}

/** HAProxy before nodes on these ports, with a certificate and its key; gives the public address. */
export async function haproxy(t, folder, port, nodes, pem) {
  const file = path.join(folder, 'haproxy.cfg');
  const [a, b, c] = nodes;
  const config = rendered('haproxy.cfg', [
    ['    user haproxy\n    group haproxy\n', ''],
    ['log /dev/log local0', 'log stderr format raw local0'],
    ['maxconn 60000', 'maxconn 1000'],
    ['bind :443 ssl crt /etc/haproxy/tillwatch.pem', `bind 127.0.0.1:${port} ssl crt ${pem}`],
    ['10.0.0.11:8443', `127.0.0.1:${a}`],
    ['10.0.0.12:8443', `127.0.0.1:${b}`],
    ['10.0.0.13:8443', `127.0.0.1:${c}`],
  ]);
  writeFileSync(file, config);
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const { child } = await start('haproxy', ['-f', file], { env });
  atEnd(t, async () => {
    child.kill('SIGKILL');
    await child.exited;
  });
  await until(`HAProxy starts: ${child.output()}`, () => listens(port));
  return { url: `https://127.0.0.1:${port}`, child };
}

/** The configuration file of a node. */
export function nodeConfig(folder, name, port) {
  const file = path.join(folder, `${name}.toml`);
  const address = { a: '10.0.0.11', b: '10.0.0.12', c: '10.0.0.13' }[name];
  const config = rendered(`node-${name}.toml`, [
    [`\nlisten = "${address}:8443"`, `\nlisten = "127.0.0.1:${port}"`],
    ['"/var/lib/tillwatch-cloud"', JSON.stringify(path.join(folder, `node-${name}`))],
    [`metrics_listen = "${address}:9464"`, 'metrics_listen = "127.0.0.1:0"'],
    ['drain = "PT30S"', 'drain = "PT4S"'],
  ]);
  writeFileSync(file, config);
  return file;
}
