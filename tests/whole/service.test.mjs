// A store's programs as services, on a machine with a real systemd and a real polkit.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { freePort } from '../../scripts/lib/ports.mjs';
import { fillLoyalty, follow, jobEnds, program, scene } from '../lib/scene.mjs';
import { machine, noMachine } from '../lib/machine.mjs';

const connector = '/opt/tillwatch/tillwatch-connector';
const posServer = '/opt/tillwatch/tillwatch-pos-server';
const online = (status) => status.link.state === 'online' && status.pos.state === 'running';

if (noMachine) process.stdout.write(`SKIPPED: services are not tried under systemd: this ${noMachine}\n`);

test('a store lives as a service', { skip: noMachine }, async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  await fillLoyalty(cloud);
  const events = follow(t, cloud);
  const { id, code } = cloud.stores[0];
  const box = await machine(t, [program('tillwatch-connector'), program('tillwatch-pos-server')]);
  const dataDir = '/var/lib/shop 5%';
  const service = (...words) =>
    box.run(connector, 'service', ...words, '--name', 'shop-5', '--data-dir', dataDir);
  const mainPid = () => box.ok('systemctl', 'show', '--property=MainPID', '--value', 'shop-5');

  await t.test('it is installed once, by root, and told apart from others by its name', () => {
    assert.deepEqual(service('status'), { code: 4, said: 'not installed' });
    const nobody = box.run(
      'setpriv',
      '--reuid=65534',
      '--clear-groups',
      connector,
      'service',
      'install',
      '--data-dir',
      '/tmp/x',
    );
    assert.equal(nobody.code, 1);
    assert.match(nobody.said, /rights of an administrator: use sudo/);
    assert.equal(service('start').code, 1);
    assert.match(service('start').said, /there is no service shop-5/);

    assert.equal(service('install').code, 0);
    const again = service('install');
    assert.equal(again.code, 1);
    assert.match(again.said, /there is a service shop-5 already/);
    assert.deepEqual(service('status'), { code: 3, said: 'stopped' });
    assert.equal(box.ok('systemctl', 'is-enabled', 'shop-5'), 'enabled');
    assert.match(
      box.run(connector, 'service', 'install', '--name', 'dbus').said,
      /there is a service dbus already/,
    );
    const theirs = box.run(connector, 'service', 'uninstall', '--name', 'dbus');
    assert.match(theirs.said, /none that `service install` has made/);
    const foreign = box.run(connector, 'service', 'install', '--name', 'x', '--data-dir', '/etc');
    assert.match(foreign.said, /not the data dir of a store/);
  });

  await t.test('enrolled by root it comes online as somebody without rights', async () => {
    const ca = '/opt/tillwatch/ca.pem';
    writeFileSync(path.join(box.root, ca), readFileSync(cloud.ca));
    box.ok(connector, 'enroll', '--cloud', cloud.url, '--code', code, '--ca', ca, '--data-dir', dataDir);
    assert.equal(service('start').code, 0, box.run('journalctl', '--no-pager', '--unit=shop-5').said);
    assert.equal(service('start').code, 0, 'it may run already');
    assert.deepEqual(service('status'), { code: 0, said: 'running' });
    await events.status(id, 'the store is online', online);

    const of = Object.fromEntries(
      box
        .ok('cat', `/proc/${mainPid()}/status`)
        .split('\n')
        .map((line) => line.split(':\t')),
    );
    const tillwatch = box.ok('id', '--user', 'tillwatch');
    assert.deepEqual(of.Uid.split('\t'), Array(4).fill(tillwatch));
    assert.deepEqual([of.CapEff, of.CapBnd, of.NoNewPrivs], ['0'.repeat(16), '0'.repeat(16), '1']);
    assert.equal(of.Seccomp, '2', 'system calls are filtered');
    const sees = (words) =>
      box.run(
        'nsenter',
        '--target',
        mainPid(),
        '--mount',
        '--',
        'setpriv',
        '--reuid',
        tillwatch,
        'sh',
        '-c',
        words,
      );
    assert.equal(sees(`touch '${dataDir}/pos/probe'`).code, 0);
    assert.match(sees('touch /var/tmp/../lib/probe').said, /Read-only file system|Permission denied/);
    assert.equal(box.run('stat', '--format=%a', `${dataDir}/identity`).said, '700');
  });

  await t.test('it does what a store does', async () => {
    const logs = await jobEnds(cloud, events, id, {
      kind: 'retrieve_logs',
      from: new Date(Date.now() - 3_600_000).toISOString(),
      to: new Date(Date.now() + 60_000).toISOString(),
      max_bytes: 1024 * 1024,
    });
    assert.equal(logs.state, 'succeeded', JSON.stringify(logs.error));
    const reset = await jobEnds(cloud, events, id, {
      kind: 'reset_database',
      confirm: 'Riga Centrs',
      expected_generation: 1,
    });
    assert.equal(reset.state, 'succeeded', JSON.stringify(reset.error));
    const checks = await jobEnds(cloud, events, id, { kind: 'diagnose' });
    assert.deepEqual(
      checks.result.checks.filter((check) => !check.ok),
      [],
    );
  });

  await t.test('killed or hanging it is started again', async () => {
    const killed = mainPid();
    box.ok('kill', '-KILL', killed);
    const next = () => /^[1-9]/.test(mainPid()) && service('status').code === 0 && mainPid();
    const second = await box.eventually('another process', () => next() !== killed && next());
    await events.status(id, 'the store is back', online);

    // The unit as installed waits a minute and a half; a test does not.
    box.ok('mkdir', '/run/systemd/system/shop-5.service.d');
    box.ok(
      'sh',
      '-c',
      'printf "[Service]\\nWatchdogSec=3\\n" > /run/systemd/system/shop-5.service.d/fast.conf',
    );
    box.ok('systemctl', 'daemon-reload');
    box.ok('systemctl', 'restart', 'shop-5');
    const third = await box.eventually('another process', () => next() !== second && next());
    box.ok('kill', '-STOP', third);
    await box.eventually('a process that does not hang', () => next() !== third && next());
    assert.match(box.ok('journalctl', '--no-pager', '--unit=shop-5'), /Watchdog timeout/);
    await events.status(id, 'the store is back', online);
  });

  await t.test('it may stop and start the one POS server that its settings name', async () => {
    assert.equal(service('uninstall').code, 0);
    const port = await freePort();
    const pos = (...words) =>
      box.run(posServer, 'service', ...words, '--name', 'shop-5-pos', '--data-dir', dataDir);
    assert.equal(pos('install', '--report', `127.0.0.1:${port}`).code, 0);
    assert.deepEqual(pos('status'), { code: 3, said: 'stopped' });
    assert.equal(pos('start').code, 0, box.run('journalctl', '--no-pager', '--unit=shop-5-pos').said);
    writeFileSync(
      path.join(box.root, dataDir, 'connector.toml'),
      `[pos]\nservice = "shop-5-pos"\nreport = "http://127.0.0.1:${port}"\n`,
    );
    assert.equal(service('install').code, 0);
    assert.equal(service('start').code, 0);
    await events.status(id, 'the store is online', online);
    const before = box.ok('systemctl', 'show', '--property=MainPID', '--value', 'shop-5-pos');
    const job = await jobEnds(cloud, events, id, { kind: 'restart_pos' });
    assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
    assert.notEqual(box.ok('systemctl', 'show', '--property=MainPID', '--value', 'shop-5-pos'), before);

    const asStore = [
      'setpriv',
      `--reuid=${box.ok('id', '-u', 'tillwatch')}`,
      '--clear-groups',
      'systemctl',
      '--no-ask-password',
    ];
    for (const words of [
      ['stop', 'dbus.service'],
      ['disable', 'shop-5-pos.service'],
      ['stop', 'shop-5.service'],
    ])
      assert.notEqual(box.run(...asStore, ...words).code, 0, words.join(' '));

    assert.equal(pos('stop').code, 0);
    await events.status(id, 'its POS server is stopped', (status) => status.pos.state === 'stopped');
    assert.match(pos('uninstall').said, /is uninstalled; its data dir is left as it is/);
    assert.deepEqual(pos('status'), { code: 4, said: 'not installed' });
  });

  await t.test('uninstalled it says goodbye and leaves its data', async () => {
    assert.match(service('uninstall').said, /is uninstalled; its data dir is left as it is/);
    const gone = await events.status(id, 'the store is offline', (status) => status.link.state === 'offline');
    assert.deepEqual([gone.link.cause, gone.link.confidence], ['service_stopped', 'certain']);
    assert.deepEqual(service('status'), { code: 4, said: 'not installed' });
    assert.deepEqual(service('uninstall'), { code: 0, said: 'shop-5 is not installed' });
    assert.ok(existsSync(path.join(box.root, dataDir, 'identity')));
    assert.equal(box.run('sh', '-c', 'ls /etc/systemd/system /etc/polkit-1/rules.d | grep shop-5').said, '');
  });
});
