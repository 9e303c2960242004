// kosoku, a runner of the Autobahn cases for WebSockets, judges the link: framing, pings, reserved bits, opcodes, fragments,
// UTF-8, closing.
//
// The cases expect a server that sends back what it is sent. The link is none: it takes JSON, answers few frames, has no
// binary ones and none over 64 KiB. So each text is dressed (kosoku_cases.py): it goes as the note of a frame that tells of
// the end of a job, which the cloud must acknowledge by the id it came with, whatever it makes of the job; the
// acknowledgement is handed to the case as the echo. Fragments, chops and lengths on the wire stay as the case has them,
// lengths as far as a frame is not longer than the case's text; a NUL is written as JSON escapes it. What a case then
// expects, in which order, who closes and with which code is judged by kosoku, unchanged but for how long it waits. An
// echo so shows that the text arrived as JSON that the cloud understood, not that it kept each letter.
//
// Cases that this can't be done with are named below, each with what becomes of it instead.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { atEnd } from '../lib/at-end.mjs';
import { enrollDevice } from '../lib/device.mjs';
import { python } from '../lib/python.mjs';
import { scene } from '../lib/scene.mjs';

/** How many cases run at a time, each over the link of a store of its own. */
const AT_A_TIME = 8;

/** Every case belongs to the first group that takes it. `judge` looks at kosoku's verdicts; without it they are not run. */
const groups = [
  {
    name: 'binary, which the link refuses with 1003 as RFC 6455 allows',
    cases: /^(1\.2\.|9\.2\.1$)/,
    count: 9,
    judge: (told) => assert.deepEqual([...new Set(told.map(({ close_code }) => close_code))], [1003]),
  },
  {
    name: 'compression, which the cloud does not agree to as RFC 7692 allows',
    cases: /^1[23]\./,
    count: 216,
    judge: (told) => assert.deepEqual([...new Set(told.map(({ behavior }) => behavior))], ['UNIMPLEMENTED']),
  },
  {
    name: 'over 64 KiB, the limit of the link',
    count: 41,
    cases: /^(7\.1\.6$|9\.1\.[2-6]$|9\.2\.[2-6]$|9\.[3-6]\.)/,
  },
  {
    name: 'a measure of speed, in which each echo here is a way through the database',
    count: 12,
    cases: /^9\.[78]\./,
  },
  {
    name: 'passed',
    cases: /^/,
    count: 239,
    judge: (told) =>
      assert.deepEqual(
        told.filter(({ passed }) => !passed),
        [],
      ),
  },
];

test('the link keeps to RFC 6455', async (t) => {
  const kosoku = path.join(python('kosoku', ['kosoku==0.1.0']), 'python');
  const script = path.join(import.meta.dirname, 'kosoku_cases.py');
  const run = async (...args) =>
    JSON.parse((await promisify(execFile)(kosoku, [script, ...args], { maxBuffer: 1 << 28 })).stdout);

  const lines = Array.from({ length: 3 * AT_A_TIME }, (_, n) => ({ outlet: `Store ${n}` }));
  const cloud = await scene(t, lines);
  const devices = await Promise.all(cloud.stores.map((store) => enrollDevice(cloud, store)));
  const url = await door(t, cloud, devices);

  const all = await run();
  for (const group of groups) {
    const cases = all.filter((id) => group === groups.find(({ cases }) => cases.test(id)));
    assert.equal(cases.length, group.count, group.name);
    if (group.judge) {
      const told = await run(url, String(AT_A_TIME), ...cases);
      group.judge(told);
      assert.equal(told.length, cases.length);
      for (const behavior of ['NON-STRICT', 'INFORMATIONAL']) {
        const ids = told.filter((one) => one.behavior === behavior).map(({ case: id }) => id);
        if (ids.length > 0) t.diagnostic(`${behavior}: ${ids.join(', ')}`);
      }
    }
    t.diagnostic(`${cases.length} cases: ${group.name}${group.judge ? '' : '; not run'}`);
  }
});

/**
 * Where kosoku comes in, who knows neither TLS nor tokens: it opens a link in the place of one of the stores, says hello,
 * and from the welcome on carries bytes to and fro as they are.
 */
async function door(t, cloud, devices) {
  const { hostname, port } = new URL(cloud.url);
  const [ca, free] = [readFileSync(cloud.ca), [...devices]];
  const server = net.createServer((judge) => {
    const device = free.shift();
    const link = tls.connect({ host: hostname, port, ca });
    judge.on('error', () => link.destroy());
    link.on('error', () => judge.destroy()).on('close', () => free.push(device));
    open(judge, link, device).catch((error) => judge.destroy(error));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => server.close());
  return `ws://127.0.0.1:${server.address().port}/`;
}

async function open(judge, link, device) {
  const [, ...lines] = String(await take(judge, headLength))
    .trim()
    .split('\r\n');
  const named = ['Sec-WebSocket-Protocol: tillwatch.link.v1', `Authorization: Bearer ${device.token()}`];
  link.write(['GET /api/v1/link HTTP/1.1', ...lines, ...named, '', ''].join('\r\n'));
  link.write(
    frame({ type: 'hello', connector_version: '0.1.0', boot_id: randomUUID(), started_at: new Date() }),
  );
  const answer = String(await take(link, headLength));
  const welcome = await take(link, frameLength);
  assert.match(`${answer}${welcome}`, /^HTTP\/1\.1 101 [^]*"type":"welcome"/);
  // It asked for no protocol of its own.
  judge.write(answer.replace(/^sec-websocket-protocol:.*\r\n/im, ''));
  judge.pipe(link).pipe(judge);
}

/** A text frame, masked with zeros. */
function frame(value) {
  const text = Buffer.from(JSON.stringify(value));
  return Buffer.concat([Buffer.from([0x81, 0xfe, text.length >> 8, text.length & 0xff, 0, 0, 0, 0]), text]);
}

/** How long what begins here is; more than there is when that can't be told yet. */
const headLength = (read) => {
  const end = read.indexOf('\r\n\r\n');
  return end < 0 ? Infinity : end + 4;
};
const frameLength = (read) => {
  if (read.length < 4) return Infinity;
  return read[1] < 126 ? 2 + read[1] : 4 + read.readUInt16BE(2);
};

/** Reads a part; what is behind it stays where it is. */
async function take(socket, length) {
  let read = Buffer.alloc(0);
  while (length(read) > read.length) {
    const chunk = socket.read();
    if (chunk) read = Buffer.concat([read, chunk]);
    else if (socket.destroyed || socket.readableEnded) throw new Error(`the line ended after: ${read}`);
    else await Promise.race(['readable', 'close'].map((event) => once(socket, event)));
  }
  const part = read.subarray(0, length(read));
  if (read.length > part.length) socket.unshift(read.subarray(part.length));
  return part;
}
