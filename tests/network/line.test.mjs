// What a line does to a store without a word: packets that vanish, dropped by rules of the kernel's filter, and a box in
// between that carries requests and no WebSockets.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { test } from 'node:test';
import { start } from '../../scripts/lib/run.mjs';
import { atEnd } from '../lib/at-end.mjs';
import { follow, program, scene, store } from '../lib/scene.mjs';

let tables = 0;

/** Drops, until the test ends, the packets that fit a rule in the language of nft. Gives what stops it earlier. */
function drop(t, ...rules) {
  const table = `tillwatch_${process.pid}_${(tables += 1)}`;
  const nft = (...words) => execFileSync('nft', words.join(' ').split(' '));
  nft('add table inet', table);
  nft('add chain inet', table, 'input { type filter hook input priority 0 ; }');
  for (const rule of rules) nft('add rule inet', table, 'input', rule, 'drop');
  let there = true;
  const stop = () => {
    if (there) nft('delete table inet', table);
    there = false;
  };
  atEnd(t, stop);
  return stop;
}

test('a line that goes dead without a word is found by both ends within 45 s', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const { port } = new URL(cloud.url);
  const riga = store(t, cloud, 0);
  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  const events = follow(t, cloud);
  const online = ({ link }) => link.state === 'online';
  await events.status(riga.id, 'the store is online', online);

  // As when a router forgets the connection: what belongs to it vanishes, a new one gets through.
  const link = linksOf(riga.connector.pid, port);
  assert.ok(link.length > 0);
  const dead = Date.now();
  drop(t, ...link.flatMap((local) => [`tcp sport ${local}`, `tcp dport ${local}`]));
  const gone = await events.status(riga.id, 'the cloud knows', ({ link }) => link.state === 'offline');
  const known = (Date.now() - dead) / 1000;
  assert.ok(known < 45, `${known} s`);
  assert.equal(gone.link.cause, 'connection_lost');
  const back = await events.status(riga.id, 'the store knows, and is back', online);
  const found = (Date.now() - dead) / 1000;
  assert.ok(back.link.since > gone.link.since);
  t.diagnostic(`known to the cloud after ${known.toFixed(1)} s, back after ${found.toFixed(1)} s`);
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

/** The local ports of a process's connections to a port. */
function linksOf(pid, port) {
  const shown = execFileSync('ss', ['-Htnp', 'state', 'established', `( dport = :${port} )`], {
    encoding: 'utf8',
  });
  return shown
    .split('\n')
    .filter((line) => line.includes(`pid=${pid},`))
    .map((line) => Number(/:(\d+)\s/.exec(line)[1]));
}
