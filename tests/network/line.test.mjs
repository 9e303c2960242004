// What a line does to a store without a word: packets that vanish, dropped by rules of the kernel's filter, and a box in
// between that carries requests and no WebSockets.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { test } from 'node:test';
import { start } from '../../scripts/lib/run.mjs';
import { atEnd } from '../lib/at-end.mjs';
import { drop, linksOf } from '../lib/packets.mjs';
import { fleet, follow, program, scene, store } from '../lib/scene.mjs';

test('a line that goes dead without a word is found by both ends within 45 s', async (t) => {
  const count = process.env.TILLWATCH_SOAK === '1' ? 100 : 2;
  const cloud = await scene(
    t,
    Array.from({ length: count }, (_, number) => ({ outlet: `Outlet ${number}` })),
  );
  const { port } = new URL(cloud.url);
  const stores = await fleet(t, cloud, cloud.enrollments);
  const events = follow(t, cloud, 120_000);
  const every = (what, fits) =>
    Promise.all(cloud.stores.map(({ id, outlet }) => events.status(id, `${outlet} ${what}`, fits)));
  const online = ({ link }) => link.state === 'online';
  await every('is online', online);

  // As when a router forgets the connections: what belongs to them vanishes, new ones get through.
  const links = linksOf(stores.pid, port);
  assert.ok(links.length >= count, `${links.length} links`);
  const dead = Date.now();
  const since = () => (Date.now() - dead) / 1000;
  const ports = `{ ${links.join(', ')} }`;
  drop(t, `tcp sport ${ports}`, `tcp dport ${ports}`);
  // Where many are lost at once, the cloud says so.
  const causes = count > 2 ? ['connection_lost', 'outage_nearby'] : ['connection_lost'];
  const slowest = { known: 0, found: 0 };
  await Promise.all(
    cloud.stores.map(async ({ id, outlet }) => {
      const gone = await events.status(
        id,
        `the cloud knows of ${outlet}`,
        ({ link }) => link.state === 'offline',
      );
      slowest.known = Math.max(slowest.known, since());
      assert.ok(causes.includes(gone.link.cause), gone.link.cause);
      const back = await events.status(id, `${outlet} knows, and is back`, online);
      slowest.found = Math.max(slowest.found, since());
      assert.ok(back.link.since > gone.link.since);
    }),
  );
  const told = `known to the cloud after ${slowest.known.toFixed(1)} s at most, back after ${slowest.found.toFixed(1)} s`;
  assert.ok(slowest.known < 45, told);
  t.diagnostic(`counted: ${count} links half open, ${told}`);
});

test('IPv6 that leads nowhere delays a store little, and is named', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const { port } = new URL(cloud.url);
  drop(t, `ip6 daddr ::1 tcp dport ${port}`);
  const riga = store(t, cloud, 0);
  const enrolled = await riga.enroll(['--ca', cloud.ca], { url: `https://localhost:${port}` });
  assert.equal(enrolled.exitCode, 0, enrolled.output);
  await riga.run();
  const events = follow(t, cloud);
  await events.status(riga.id, 'the store is online', ({ link }) => link.state === 'online');

  const { child } = await start(program('tillwatch-connector'), ['diagnose', '--data-dir', riga.dataDir], {});
  await child.exited;
  assert.match(child.output(), /tcp.*IPv6 black hole: \[::1\]/);
});

test('a box in between that carries no WebSockets is told by the store and named', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const tls = path.join(cloud.dataDir, 'tls');
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => readFileSync(path.join(tls, name)));
  const box = https.createServer({ cert, key }, (asked, answer) => {
    const { method, url: path, headers } = asked;
    delete headers.upgrade;
    headers.connection = 'close';
    const { hostname, port } = new URL(cloud.url);
    const ahead = https.request({ hostname, port, method, path, headers, ca: cert }, (back) => {
      answer.writeHead(back.statusCode, back.headers);
      back.pipe(answer);
    });
    ahead.on('error', () => answer.destroy());
    asked.pipe(ahead);
  });
  // A server of Node treats what asks for an upgrade apart, unless nobody listens for it.
  await new Promise((resolve) => box.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => {
    box.closeAllConnections();
    box.close();
  });
  const riga = store(t, cloud, 0);
  const url = `https://127.0.0.1:${box.address().port}`;
  const enrolled = await riga.enroll(['--ca', cloud.ca], { url });
  assert.equal(enrolled.exitCode, 0, enrolled.output);
  await riga.run();
  const events = follow(t, cloud, 120_000);
  const offline = await events.status(riga.id, 'its heartbeat arrives', ({ link }) => link.cause !== null);
  assert.equal(offline.link.cause, 'websocket_blocked', JSON.stringify(offline.link));

  const { child } = await start(program('tillwatch-connector'), ['diagnose', '--data-dir', riga.dataDir], {});
  await child.exited;
  assert.match(child.output(), /link +FAILED.*carries no WebSockets/);
});
