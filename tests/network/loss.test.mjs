// A line that loses 30 % of its packets and takes 300 ms each way: jobs end, once, and what they bring is whole.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { fetchArchive, readArchive } from '../lib/archives.mjs';
import { atEnd } from '../lib/at-end.mjs';
import { drop } from '../lib/packets.mjs';
import { follow, jobEnds, scene, store } from '../lib/scene.mjs';

const LOST_PERCENT = 30;
const DELAY = 300;
const rounds = process.env.TILLWATCH_SOAK === '1' ? 25 : 1;

test('a line that loses 30 % and takes 300 ms carries jobs all the same', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const riga = store(t, cloud, 0, { toml: '[pos]\nlogs = ["logs/*.log"]\n' });
  const port = await slowWay(t, new URL(cloud.url));
  const enrolled = await riga.enroll(['--ca', cloud.ca], { url: `https://127.0.0.1:${port}` });
  assert.equal(enrolled.exitCode, 0, enrolled.output);
  const lines = Array.from({ length: 4000 }, (_, number) => {
    const at = new Date(Date.now() - (4000 - number) * 1000).toISOString();
    // Noise, which takes its room on the line.
    return `${at} INFO sale ${number} ${randomBytes(60).toString('base64url')}`;
  });
  mkdirSync(path.join(riga.dataDir, 'logs'));
  writeFileSync(path.join(riga.dataDir, 'logs', 'till.log'), `${lines.join('\n')}\n`);
  const lost = `numgen random mod 100 < ${LOST_PERCENT}`;
  drop(t, `tcp sport ${port} ${lost}`, `tcp dport ${port} ${lost}`);
  await riga.run();

  const events = follow(t, cloud, 240_000);
  await events.status(riga.id, 'the store is online', ({ link }) => link.state === 'online');
  let ended = 0;
  for (let round = 1; round <= rounds; round++) {
    const queued = { when_offline: 'queue' };
    const now = Date.now();
    const [diagnosis, logs] = await Promise.all([
      jobEnds(cloud, events, riga.id, { kind: 'diagnose', ...queued }),
      jobEnds(cloud, events, riga.id, {
        kind: 'retrieve_logs',
        from: new Date(now - 86_400_000).toISOString(),
        to: new Date(now + 60_000).toISOString(),
        max_bytes: 10 << 20,
        ...queued,
      }),
    ]);
    for (const job of [diagnosis, logs]) assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
    assert.equal(logs.result.archives.length, 1);
    const entries = readArchive(await fetchArchive(cloud, logs.result.archives[0], cloud.folder));
    assert.equal(entries['logs/logs/till.log'], `${lines.join('\n')}\n`, 'every line arrived as it was');
    ended += 2;
  }
  t.diagnostic(
    `counted: ${ended} jobs over a line that loses ${LOST_PERCENT} % and takes ${DELAY} ms each way`,
  );
});

/** A way to the cloud that holds back what it carries. Gives its port. */
async function slowWay(t, { hostname, port }) {
  const sockets = new Set();
  const way = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect({ host: hostname, port, allowHalfOpen: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(from);
      from.on('data', (bytes) => setTimeout(() => to.write(bytes), DELAY));
      from.on('end', () => setTimeout(() => to.end(), DELAY));
      from.on('error', () => to.destroy());
      from.on('close', () => sockets.delete(from));
    }
  });
  await new Promise((resolve) => way.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
    way.close();
  });
  return way.address().port;
}
