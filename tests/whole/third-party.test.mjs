// A program of a third party, written in Python, asks a real store through a real cloud.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { stop } from '../../scripts/lib/run.mjs';
import { until } from '../lib/cluster.mjs';
import { fillLoyalty, follow, jobEnds, scene, store } from '../lib/scene.mjs';

const script = fileURLToPath(new URL('third_party.py', import.meta.url));
const run = promisify(execFile);

/** Asks as the third party with this token: `{http, answer, seconds}`. */
function thirdParty(cloud, token, posServer) {
  return async (...words) => {
    const { stdout } = await run(
      '/usr/bin/python3',
      [script, cloud.url, cloud.ca, posServer, ...words.map((word) => String(word))],
      { env: { PATH: process.env.PATH, TOKEN: token } },
    );
    return JSON.parse(stdout);
  };
}

const code = ({ http, answer }) => [http, answer.code];

test('a third party learns a balance from the store itself, and why when it does not', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }, { outlet: 'Jelgava' }]);
  const data = await fillLoyalty(cloud);
  const events = follow(t, cloud);
  const riga = store(t, cloud, 0, {
    toml: '[relay]\nallow = ["GET /guest-accounts/*", "GET /guests"]\n',
  });
  const token = cloud
    .cli('token', 'add', '--name', 'Delivery', '--pos-server', riga.id, '--permission', 'relay')
    .trim();
  assert.match(token, /^tws_[\w-]{43}$/);
  const ask = thirdParty(cloud, token, riga.id);
  const account = data['guest-accounts'][7];
  const balance = account.balance.toFixed(2);

  await t.test('a store that never came is offline', async () => {
    const refused = await ask('balance', account.id);
    assert.deepEqual(code(refused), [409, 'venue_offline']);
    assert.equal(refused.answer.link.state, 'never_connected');
    assert.equal(refused.answer.sent, false);
  });

  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  const online = (status) => status.link.state === 'online' && status.exchange.last_success_at !== null;
  await events.status(riga.id, 'the store is online and synced', online);

  await t.test('it gets the balance of a guest account', async () => {
    const { http, answer } = await ask('balance', account.id);
    assert.equal(http, 200, JSON.stringify(answer));
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.body, {
      id: account.id,
      guest_id: account.guest_id,
      program_id: account.program_id,
      balance,
      unsent: '0.00',
    });
  });

  await t.test('it finds a guest by card and by phone, with accounts', async () => {
    const guest = data.guests.find(({ card }) => card !== null);
    for (const words of [
      ['card', guest.card],
      ['phone', guest.phone],
    ]) {
      const { answer } = await ask('guest', ...words);
      assert.equal(answer.status, 200, JSON.stringify(answer));
      assert.equal(answer.body.name, guest.name);
      assert.deepEqual(
        answer.body.accounts.map(({ id }) => id),
        data['guest-accounts'].filter(({ guest_id }) => guest_id === guest.id).map(({ id }) => id),
      );
    }
    const missing = await ask('guest', 'card', '0000');
    assert.equal(missing.http, 200, 'the relay did its part');
    assert.deepEqual([missing.answer.status, missing.answer.body.code], [404, 'not_found']);
  });

  await t.test('what a till has just done counts, and what the cloud changed', async () => {
    const { address } = JSON.parse(readFileSync(path.join(riga.dataDir, 'pos-server.json'), 'utf8'));
    const spent = await fetch(new URL('/transactions', address), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ guest_account_id: account.id, amount: '10.00', reason: 'Lunch' }),
    });
    assert.equal(spent.status, 201, await spent.text());
    const after = await ask('balance', account.id);
    assert.equal(after.answer.body.balance, (account.balance + 10).toFixed(2));

    const chain = (await cloud.api('GET', `/pos-servers/${riga.id}`)).chain.id;
    await jobEnds(cloud, events, riga.id, { kind: 'exchange_now' });
    const items = [{ ...account, balance: '777.70' }];
    await cloud.api('PATCH', `/chains/${chain}/guest-accounts`, { json: { items } });
    await jobEnds(cloud, events, riga.id, { kind: 'exchange_now' });
    assert.equal((await ask('balance', account.id)).answer.body.balance, '777.70');
  });

  await t.test('what the store does not list is refused', async () => {
    for (const request of [
      { method: 'GET', path: '/report' },
      { method: 'POST', path: '/exchange' },
      { method: 'POST', path: '/transactions', body: { guest_account_id: account.id, amount: '5' } },
      { method: 'DELETE', path: `/guest-accounts/${account.id}` },
      { method: 'GET', path: '/guests/all' },
    ])
      assert.deepEqual(code(await ask('raw', JSON.stringify(request))), [403, 'relay_refused'], request.path);
    for (const way of ['/guest-accounts/../report', '/guest-accounts/%2e%2e%2Freport', '//report', 'report'])
      assert.deepEqual(code(await ask('raw', JSON.stringify({ method: 'GET', path: way }))), [
        422,
        'invalid_request',
      ]);
  });

  await t.test('its token is good for this store and this call', async () => {
    const jelgava = thirdParty(cloud, token, cloud.stores[1].id);
    assert.deepEqual(code(await jelgava('balance', account.id)), [404, 'not_found']);
    for (const target of ['/api/v1/me', '/api/v1/pos-servers', `/api/v1/pos-servers/${riga.id}`]) {
      const refused = await cloud.request('GET', target, { token });
      assert.deepEqual([refused.status, refused.body.code], [401, 'unauthorized'], target);
    }
  });

  await t.test('a store that hangs times out, and comes back', async () => {
    const silent = { method: 'GET', path: `/guest-accounts/${account.id}`, timeout_ms: 700 };
    const { pid } = JSON.parse(readFileSync(path.join(riga.dataDir, 'pos-server.json'), 'utf8'));
    for (const stopped of [riga.connector.pid, pid]) {
      process.kill(stopped, 'SIGSTOP');
      try {
        const refused = await ask('raw', JSON.stringify(silent));
        assert.deepEqual(code(refused), [409, 'venue_timeout']);
        assert.ok(refused.seconds >= 0.7 && refused.seconds < 10, `${refused.seconds} s`);
      } finally {
        process.kill(stopped, 'SIGCONT');
      }
      const again = await ask('raw', JSON.stringify({ ...silent, timeout_ms: 20_000 }));
      assert.equal(again.answer.body?.balance, '777.70', JSON.stringify(again));
    }
  });

  await t.test('a store that ends is offline at once', async () => {
    await stop(riga.connector);
    await events.status(riga.id, 'the store is offline', (status) => status.link.state === 'offline');
    const refused = await ask(
      'raw',
      JSON.stringify({ method: 'GET', path: '/guests?card=1', timeout_ms: 30_000 }),
    );
    assert.deepEqual(code(refused), [409, 'venue_offline']);
    assert.equal(refused.answer.link.cause, 'service_stopped');
    assert.ok(refused.seconds < 10, `${refused.seconds} s`);
  });

  await t.test('a revoked token is refused', async () => {
    cloud.cli('token', 'revoke', '--name', 'Delivery');
    // By another process: for a second it may still be good here.
    const isRefused = async () => (await ask('balance', account.id)).http === 401;
    await until('the token is refused', isRefused, 5000);
    assert.deepEqual(code(await ask('balance', account.id)), [401, 'unauthorized']);
  });
});
