// What bad input gets: a clear message, a stable code, nothing lost and nothing half-written.
import assert from 'node:assert/strict';
import http from 'node:http';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { addUser, follow, importLine, program, scene, store } from '../lib/scene.mjs';
import { atEnd } from '../lib/at-end.mjs';

const csvHead = 'chain,outlet,crm_id,address,time_zone,pos_server';

test('a malformed import line is named by its number and nothing is imported', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const attempt = (name, lines) => {
    const file = path.join(cloud.folder, name);
    writeFileSync(file, lines.join('\n'));
    const ended = spawnSync(
      program('tillwatch-cloud'),
      ['fleet', 'import', file, '--data-dir', cloud.dataDir],
      { encoding: 'utf8' },
    );
    assert.notEqual(ended.status, 0, name);
    assert.equal(ended.stdout, '', name);
    return ended.stderr;
  };
  const good = 'Bistro Amber,Jelgava,1,,Europe/Riga,Main POS';
  for (const [name, lines, says] of [
    [
      'zone.csv',
      [csvHead, good, 'Bistro Amber,Tartu,2,,Europe/Atlantis,Main POS'],
      /3.*(time.?zone|Atlantis)/is,
    ],
    ['empty.csv', [csvHead, 'Bistro Amber,,2,,Europe/Riga,Main POS', good], /2.*outlet/is],
    ['ragged.csv', [csvHead, good, 'Bistro Amber,Tartu'], /3/],
    ['twice.csv', [csvHead, good, good], /3/],
    ['there.csv', [csvHead, good, 'Bistro Amber,Riga Centrs,1,,Europe/Riga,Main POS'], /3.*Riga Centrs/is],
    ['headless.csv', [good], /header|1/i],
  ])
    assert.match(attempt(name, lines), says, name);
  const { items } = await cloud.api('GET', '/pos-servers');
  assert.deepEqual(
    items.map((item) => item.outlet.name),
    ['Riga Centrs'],
  );
});

test('semicolons, a BOM and Cyrillic names are imported', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const file = path.join(cloud.folder, 'semicolons.csv');
  writeFileSync(
    file,
    `\uFEFF${csvHead.replaceAll(',', ';')}\r\nКафе Пушкин;Невский, 1;007;"ул. ""Садовая""";Europe/Moscow;Main\r\n`,
  );
  assert.match(
    cloud.cli('fleet', 'import', file),
    /^pos_server_id,outlet,enrollment_code\r?\n[0-9a-f-]{36},/,
  );
  const { items } = await cloud.api('GET', '/pos-servers?q=%D0%9F%D0%A3%D0%A8%D0%9A');
  assert.deepEqual(
    items.map((item) => [item.chain.name, item.outlet.name, item.outlet.crm_id, item.outlet.address]),
    [['Кафе Пушкин', 'Невский, 1', '007', 'ул. "Садовая"']],
  );
});

test('a user sees what was granted and nothing else exists for them', async (t) => {
  const cloud = await scene(t, [
    { chain: 'Bistro Amber', outlet: 'Riga Centrs' },
    { chain: 'Pizza Lielupe', outlet: 'Jelgava' },
  ]);
  const user = { email: 'Manager@tillwatch.example', password: 'a long enough password' };
  addUser(cloud.dataDir, user);

  const wrong = await cloud.request('POST', '/api/v1/sessions', {
    json: { email: user.email, password: 'wrong' },
  });
  assert.deepEqual([wrong.status, wrong.body.code], [401, 'invalid_credentials']);
  assert.match(wrong.headers['content-type'], /application\/problem\+json/);
  assert.ok(wrong.body.request_id);

  const call = await cloud.signIn('manager@TILLWATCH.example', user.password);
  assert.deepEqual((await call('GET', '/pos-servers')).items, []);
  assert.deepEqual((await call('GET', '/outlets')).items, []);

  cloud.cli(
    'user',
    'grant',
    '--email',
    user.email,
    '--chain',
    'Bistro Amber',
    '--permission',
    'outlet_setup',
  );
  const mine = (await call('GET', '/pos-servers')).items;
  assert.deepEqual(
    mine.map((item) => item.outlet.name),
    ['Riga Centrs'],
  );
  const foreign = (await cloud.api('GET', '/pos-servers')).items.find(
    (item) => item.outlet.name === 'Jelgava',
  );
  const ask = (method, target, json) =>
    cloud.request(method, `/api/v1${target}`, { token: call.token, json });
  for (const target of [
    `/pos-servers/${foreign.id}`,
    `/pos-servers?chain_id=${foreign.chain.id}`,
    `/pos-servers?outlet_id=${foreign.outlet.id}`,
  ]) {
    const answer = await ask('GET', target);
    assert.deepEqual([answer.status, answer.body.code], [404, 'not_found'], target);
  }
  const job = await ask('POST', `/pos-servers/${foreign.id}/jobs`, { kind: 'diagnose' });
  assert.deepEqual([job.status, job.body.code], [404, 'not_found']);
  const logs = await ask('POST', `/pos-servers/${mine[0].id}/jobs`, {
    kind: 'retrieve_logs',
    from: '2026-01-01T00:00:00Z',
    to: '2026-01-02T00:00:00Z',
    max_bytes: 1_000_000,
  });
  assert.deepEqual([logs.status, logs.body.code], [403, 'permission_denied']);
});

test('a job that cannot be is refused with its reason', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const [{ id }] = cloud.stores;
  const post = (json) =>
    cloud.request('POST', `/api/v1/pos-servers/${id}/jobs`, { token: cloud.api.token, json });
  const logs = (more) => ({
    kind: 'retrieve_logs',
    from: '2026-11-20T00:00:00Z',
    to: '2026-11-21T00:00:00Z',
    max_bytes: 1_000_000,
    ...more,
  });
  for (const [json, status, code] of [
    [logs({ to: '2026-11-19T00:00:00Z' }), 422, 'period_invalid'],
    [logs({ to: '2026-11-20T00:00:00Z' }), 422, 'period_invalid'],
    [logs({ max_bytes: 65_535 }), 422, 'size_out_of_range'],
    [logs({ max_bytes: 2 ** 31 + 1 }), 422, 'size_out_of_range'],
    [logs({ from: 'yesterday' }), 422, 'invalid_request'],
    [logs({ shell: 'rm -rf /' }), 422, 'invalid_request'],
    [{ kind: 'run_shell' }, 422, 'invalid_request'],
    [{ kind: 'reset_database', confirm: 'Wrong', expected_generation: 1 }, 422, 'confirmation_mismatch'],
    [logs(), 409, 'venue_offline'],
  ]) {
    const answer = await post(json);
    assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(json));
    assert.ok(answer.body.detail.length > 0);
  }
  const offline = await post(logs());
  assert.equal(offline.body.link.state, 'never_connected');
  assert.deepEqual((await cloud.api('GET', `/jobs?pos_server_id=${id}`)).items, []);

  const queued = await post(logs({ when_offline: 'queue', queue_for: 'PT1H' }));
  assert.deepEqual([queued.status, queued.body.state], [202, 'queued']);
  const canceled = await cloud.api('POST', `/jobs/${queued.body.id}/cancel`);
  assert.equal(canceled.state, 'canceled');
});

test('enrolling at an address that is no cloud says so and leaves nothing behind', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const server = http.createServer((_, answer) => answer.end('<h1>Router login</h1>'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => server.close());
  const riga = store(t, cloud, 0);
  for (const url of [`http://127.0.0.1:${server.address().port}`, 'not an address', 'https://127.0.0.1:1']) {
    const { exitCode, output } = await riga.enroll(['--ca', cloud.ca], { url });
    assert.ok(exitCode > 0, `${url}: ${output}`);
    assert.ok(output.trim().length > 10, url);
    assert.doesNotMatch(output, /panicked/);
  }
  assert.deepEqual(filesBelow(riga.dataDir), []);
  const wrong = await riga.enroll(['--ca', cloud.ca], { code: 'NOT-A-CODE' });
  assert.ok(wrong.exitCode > 0);
  assert.match(wrong.output, /code/i);
  assert.deepEqual(filesBelow(riga.dataDir), []);
  assert.equal((await riga.enroll()).exitCode, 0, 'the good code still works');
});

test('a POS server older than 34 is refused and its row says so', async (t) => {
  const cloud = await scene(t, [importLine({ outlet: 'Riga Centrs' })]);
  const events = follow(t, cloud);
  const riga = store(t, cloud, 0, {
    toml: `[pos]\ncommand = [${JSON.stringify(program('tillwatch-pos-server'))}, "run", "--pos-version", "33.9.1"]\n`,
  });
  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  const status = await events.status(
    riga.id,
    'the store is refused',
    (status) => status.link.state === 'offline' && status.link.cause === 'version_unsupported',
  );
  assert.equal(status.link.confidence, 'certain');
});

const filesBelow = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
