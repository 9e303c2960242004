// The files of deploy/cluster, each read by the program that it is for, as they are but for where things lie on this
// machine.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startCloud } from '../../scripts/lib/cloud.mjs';
import { root, start, stop } from '../../scripts/lib/run.mjs';
import { atEnd } from '../lib/at-end.mjs';
import { certificates, rendered, tls } from '../lib/cluster.mjs';
import { program, temporaryFolder } from '../lib/scene.mjs';

const PATH = `${process.env.PATH}:/usr/sbin`;
const original = (name) => path.join(root, 'deploy/cluster', name);

/** What a program says, and whether it was content. Null when it is not installed. */
function ask(command, args, env = {}) {
  const { error, status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, PATH, ...env },
  });
  if (error?.code === 'ENOENT') return null;
  if (error) throw error;
  return { status, stdout, said: stdout + stderr };
}

/** Skips a test whose program is not there, so that it is seen. */
function need(t, command, answer) {
  if (answer === null) t.skip(`SKIPPED: ${command} is not installed`);
  return answer !== null;
}

/** The settings of a file of `NAME=value` lines. */
const variables = (name) =>
  Object.fromEntries(
    readFileSync(original(name), 'utf8')
      .split('\n')
      .filter((line) => line && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

test('HAProxy takes its file', async (t) => {
  const folder = temporaryFolder(t);
  const made = await startCloud(program('tillwatch-cloud'), path.join(folder, 'cloud'));
  await stop(made.child);
  const pem = path.join(folder, 'tillwatch.pem');
  const key = readFileSync(path.join(path.dirname(made.ca), 'key.pem'), 'utf8');
  writeFileSync(pem, readFileSync(made.ca, 'utf8') + key, { mode: 0o600 });
  const file = path.join(folder, 'haproxy.cfg');
  const here = [
    ['/etc/haproxy/tillwatch.pem', pem],
    ['/etc/haproxy/tillwatch-cluster.pem', path.join(certificates(folder), 'ca.pem')],
  ];
  writeFileSync(file, rendered('haproxy.cfg', here));
  const answer = ask('haproxy', ['-c', '-f', file]);
  if (!need(t, 'haproxy', answer)) return;
  assert.equal(answer.status, 0, answer.said);
  assert.doesNotMatch(answer.said, /\[(ALERT|WARNING)\]/);

  writeFileSync(file, rendered('haproxy.cfg', [...here, ['balance leastconn', 'balance leastcon']]));
  assert.notEqual(ask('haproxy', ['-c', '-f', file]).status, 0, 'it looks at what it is given');
});

test('NATS takes its file, with the password of its own', (t) => {
  const folder = temporaryFolder(t);
  const { certificate, key } = tls(certificates(folder), 'nats');
  const file = path.join(folder, 'nats.conf');
  const here = [
    ['/etc/tillwatch/nats.pem', certificate],
    ['/etc/tillwatch/nats-key.pem', key],
  ];
  writeFileSync(file, rendered('nats.conf', here));
  const answer = ask('nats-server', ['-t', '-c', file], variables('nats.env'));
  if (!need(t, 'nats-server', answer)) return;
  assert.equal(answer.status, 0, answer.said);
  const without = ask('nats-server', ['-t', '-c', file]);
  assert.match(without.said, /NATS_PASSWORD/, 'it looks at what it is given');
});

test('Postgres takes its file', (t) => {
  const folder = temporaryFolder(t);
  const versions = '/usr/lib/postgresql';
  const newest = existsSync(versions) && readdirSync(versions).sort((a, b) => Number(b) - Number(a))[0];
  const postgres = path.join(versions, newest || '', 'bin', 'postgres');
  const of = (file, setting) => ask(postgres, ['-C', setting, '-D', folder, '-c', `config_file=${file}`]);
  const answer = of(original('postgresql.conf'), 'max_connections');
  if (!need(t, 'postgresql', answer)) return;
  assert.deepEqual([answer.status, answer.stdout.trim()], [0, '120'], answer.said);
  const file = path.join(folder, 'postgresql.conf');
  writeFileSync(file, rendered('postgresql.conf', [['wal_compression', 'wall_compression']]));
  assert.notEqual(of(file, 'max_connections').status, 0, 'it looks at what it is given');
});

test('systemd takes the units', (t) => {
  const folder = temporaryFolder(t);
  const cloud = ['/usr/bin/tillwatch-cloud serve', `${program('tillwatch-cloud')} serve`];
  const units = (text) => {
    writeFileSync(path.join(folder, 'tillwatch-cloud.service'), text);
    // Whose drop-in the other file is comes with the package of NATS.
    writeFileSync(path.join(folder, 'nats-server.service'), '[Service]\nExecStart=/bin/true\n');
    mkdirSync(path.join(folder, 'nats-server.service.d'), { recursive: true });
    copyFileSync(
      original('nats-password.conf'),
      path.join(folder, 'nats-server.service.d', 'tillwatch.conf'),
    );
    const names = ['tillwatch-cloud.service', 'nats-server.service'].map((name) => path.join(folder, name));
    return ask('systemd-analyze', ['verify', '--man=no', ...names], { SYSTEMD_UNIT_PATH: `${folder}:` });
  };
  const answer = units(rendered('tillwatch-cloud.service', [cloud]));
  if (!need(t, 'systemd', answer)) return;
  assert.equal(answer.status, 0, answer.said);
  const about = (said) => said.split('\n').filter((line) => /tillwatch|nats-server/.test(line));
  assert.deepEqual(about(answer.said), []);
  const wrong = units(
    rendered('tillwatch-cloud.service', [cloud, ['NoNewPrivileges=yes', 'NoNewPrivilege=yes']]),
  );
  assert.notDeepEqual(about(wrong.said), [], 'it looks at what it is given');
});

test('each node takes its file, and they differ in name and addresses alone', async (t) => {
  const folder = temporaryFolder(t);
  const inside = certificates(folder);
  const settings = new Set();
  for (const [name, address] of [
    ['a', '10.0.0.11'],
    ['b', '10.0.0.12'],
    ['c', '10.0.0.13'],
  ]) {
    const file = original(`node-${name}.toml`);
    const plain = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line && !line.startsWith('#'));
    assert.ok(plain.includes(`node_name = "${name}"`));
    settings.add(
      plain.map((line) => line.replace(`"${name}"`, 'NAME').replace(address, 'ADDRESS')).join('\n'),
    );

    // What a test's machine has not got is said beside the file, and wins.
    const dataDir = path.join(folder, name);
    const flags = ['--listen', '127.0.0.1:0', '--metrics-listen', '127.0.0.1:0', '--data-dir', dataDir];
    const { certificate, key } = tls(inside, `node-${name}`);
    flags.push('--tls-cert', certificate, '--tls-key', key);
    const args = ['serve', '--config', file, ...flags, '--archives-url', `file://${dataDir}/archives`];
    const ready = (line) => (line.startsWith('listening on ') ? line : undefined);
    const { child, value } = await start(program('tillwatch-cloud'), args, { ready });
    atEnd(t, () => stop(child));
    assert.match(value, /^listening on https:/);
    // With no store to send elsewhere it does not take its drain.
    child.kill('SIGTERM');
    assert.equal((await child.exited).code, 0, child.output());
  }
  assert.equal(settings.size, 1, [...settings].join('\n\n'));
});

test('the balancer, the nodes and what they stand on know each other by the same addresses and secrets', () => {
  const text = (name) => readFileSync(original(name), 'utf8');
  const cloud = variables('cloud.env');
  const database = new URL(cloud.TILLWATCH_CLOUD_DATABASE_URL);
  const broker = new URL(cloud.TILLWATCH_CLOUD_NATS_URL);
  assert.ok(text('nats.conf').includes(`listen: ${broker.host}`));
  assert.equal(broker.protocol, 'tls:');
  assert.equal(database.searchParams.get('sslmode'), 'verify-full');
  for (const [name, { hostname }] of Object.entries({ postgres: database, nats: broker }))
    assert.ok(text('certificates.sh').includes(`\nhost ${name} ${hostname}\n`));
  assert.ok(text('nats.conf').includes(`user: ${broker.username}\n`));
  assert.equal(variables('nats.env').NATS_PASSWORD, broker.password);
  assert.ok(text('postgresql.conf').includes(`listen_addresses = 'localhost,${database.hostname}'`));
  for (const name of ['a', 'b', 'c']) {
    const [, address] = text(`node-${name}.toml`).match(/^listen = "(.*)"$/m);
    assert.match(
      text('haproxy.cfg'),
      new RegExp(`^ +server ${name} ${address} verifyhost node-${name}$`, 'm'),
    );
    const [host] = address.split(':');
    assert.ok(text('certificates.sh').includes(`\nhost node-${name} ${host}\n`));
    const admitted = `hostssl ${database.pathname.slice(1)} ${database.username} ${host}/32 scram-sha-256`;
    assert.ok(text('pg_hba.conf').includes(`\n${admitted}\n`), admitted);
  }
});
