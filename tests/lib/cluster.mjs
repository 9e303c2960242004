// What a cloud of several nodes stands on, from the files of deploy/cluster: only ports and paths are a test's own.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { startPostgres } from '../../scripts/lib/postgres.mjs';
import { root, start, stop } from '../../scripts/lib/run.mjs';
import { atEnd } from './at-end.mjs';
import { program } from './scene.mjs';

/** The bucket that the files of deploy/cluster name. */
export const BUCKET = 'tillwatch-archives';
/** What stands for each CHANGE-ME. */
const SECRET = 'of-this-test';

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

/** The files of a certificate of the cluster's. */
export const tls = (certificates, name) => ({
  certificate: path.join(certificates, `${name}.pem`),
  key: path.join(certificates, `${name}-key.pem`),
});

/** Certificates of the cluster's own for 127.0.0.1; gives their folder. */
export function certificates(folder) {
  const made = path.join(folder, 'certificates');
  mkdirSync(made);
  const here = [11, 12, 13, 21, 22].map((host) => [` 10.0.0.${host}\n`, ' 127.0.0.1\n']);
  const answer = spawnSync('sh', ['-c', rendered('certificates.sh', here), 'sh', made], { encoding: 'utf8' });
  if (answer.status !== 0) throw new Error(`certificates.sh: ${answer.stderr}`);
  return made;
}

/** Postgres, with its user and database; gives `restart`. */
export async function postgres(t, folder, port, certificates) {
  const configuration = rendered('postgresql.conf', [["'1GB'", "'32MB'"]]);
  const nodes = ['10.0.0.11/32', '10.0.0.12/32', '10.0.0.13/32'];
  const admitted = rendered(
    'pg_hba.conf',
    nodes.map((node) => [node, '127.0.0.1/32']),
  );
  const network = { port, admitted, tls: tls(certificates, 'postgres') };
  const { url, stop, restart } = await startPostgres(folder, configuration, network);
  atEnd(t, stop);
  const sql = [`ALTER ROLE tillwatch PASSWORD '${SECRET}'`, 'CREATE DATABASE tillwatch'];
  const made = spawnSync('psql', ['--quiet', url, ...sql.flatMap((statement) => ['-c', statement])]);
  if (made.status !== 0) throw new Error(`psql: ${made.stderr}`);
  return { restart };
}

/** A NATS server; gives `restart`, which kills it: what it held is gone. */
export async function nats(t, folder, port, certificates) {
  const file = path.join(folder, 'nats.conf');
  const { certificate, key } = tls(certificates, 'nats');
  const here = [
    ['10.0.0.22:4222', `127.0.0.1:${port}`],
    ['/etc/tillwatch/nats.pem', certificate],
    ['/etc/tillwatch/nats-key.pem', key],
  ];
  writeFileSync(file, rendered('nats.conf', here));
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin`, NATS_PASSWORD: SECRET };
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
  return { restart };
}

/** A server that speaks S3, over a folder; gives its address, and where its bucket is. */
export async function s3(t, folder) {
  const directory = path.join(folder, 's3');
  const bucket = path.join(directory, BUCKET);
  mkdirSync(bucket, { recursive: true });
  const { child, value } = await start(program(path.join('examples', 'serve_s3')), [directory], {
    env: { ...process.env, AWS_ACCESS_KEY_ID: SECRET, AWS_SECRET_ACCESS_KEY: SECRET },
    ready: (line) => line.match(/^listening on (.*)$/)?.[1],
  });
  atEnd(t, () => stop(child));
  return { bucket, url: value };
}

/** What cloud.env says, with these ports; and whom nodes trust, which a machine of their own would say. */
export function nodeEnvironment({ postgresPort, natsPort, archives, certificates }) {
  const authority = path.join(certificates, 'ca.pem');
  const text = rendered('cloud.env', [
    ['CHANGE-ME', SECRET],
    ['@10.0.0.21/', `@127.0.0.1:${postgresPort}/`],
    ['@10.0.0.22:4222', `@127.0.0.1:${natsPort}`],
    ['/usr/local/share/ca-certificates/tillwatch-cluster.crt', authority],
    ['https://s3.internal.example', archives.url],
  ]);
  const lines = text.split('\n').filter((line) => line && !line.startsWith('#'));
  const variables = lines.map((line) => [
    line.slice(0, line.indexOf('=')),
    line.slice(line.indexOf('=') + 1),
  ]);
  return { ...Object.fromEntries(variables), SSL_CERT_FILE: authority };
}

/** HAProxy before nodes on these ports, with a certificate and its key; gives the public address. */
export async function haproxy(t, folder, port, nodes, pem, certificates) {
  const file = path.join(folder, 'haproxy.cfg');
  const [a, b, c] = nodes;
  const config = rendered('haproxy.cfg', [
    ['    user haproxy\n    group haproxy\n', ''],
    ['log /dev/log local0', 'log stderr format raw local0'],
    ['maxconn 60000', 'maxconn 1000'],
    ['bind :443 ssl crt /etc/haproxy/tillwatch.pem', `bind 127.0.0.1:${port} ssl crt ${pem}`],
    ['/etc/haproxy/tillwatch-cluster.pem', path.join(certificates, 'ca.pem')],
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
export function nodeConfig(folder, name, port, certificates) {
  const file = path.join(folder, `${name}.toml`);
  const address = { a: '10.0.0.11', b: '10.0.0.12', c: '10.0.0.13' }[name];
  const { certificate, key } = tls(certificates, `node-${name}`);
  const config = rendered(`node-${name}.toml`, [
    ['"/etc/tillwatch/tls.pem"', JSON.stringify(certificate)],
    ['"/etc/tillwatch/tls-key.pem"', JSON.stringify(key)],
    [`\nlisten = "${address}:8443"`, `\nlisten = "127.0.0.1:${port}"`],
    ['"/var/lib/tillwatch-cloud"', JSON.stringify(path.join(folder, `node-${name}`))],
    [`metrics_listen = "${address}:9464"`, 'metrics_listen = "127.0.0.1:0"'],
    ['drain = "PT30S"', 'drain = "PT4S"'],
  ]);
  writeFileSync(file, config);
  return file;
}
