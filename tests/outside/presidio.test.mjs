// presidio, which finds personal data in texts, looks for card numbers in a log full of them, and in what of it a real
// connector lets out of the store. In the former it must see the cards, so that it is known to look; in the latter none.
//
// It takes more for cards than we do: any start with 1, 3, 4, 50 to 55 or 6 that passes Luhn, of 13 digits or more. Our
// rules go by the starts and lengths of the issuers they name, and leave other numbers, as masking them would hide receipts
// and orders from who reads the log; such numbers are sown too, and counted. It takes less for cards in other places: none
// with 2 in front, none longer than 17 digits, none with other separators than one space or dash. For those, and for how
// each line comes out, the test looks itself.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fetchArchive, readArchive } from '../lib/archives.mjs';
import { python } from '../lib/python.mjs';
import { follow, jobEnds, scene, store } from '../lib/scene.mjs';

const LINES = 20_000;

/** Issuers: how their numbers start, how many digits they have, and how these are grouped in print. */
const issuers = [
  { name: 'Visa', starts: ['4'], digits: 16 },
  { name: 'Visa, old', starts: ['4'], digits: 13, groups: [4, 3, 3, 3] },
  { name: 'Visa, long', starts: ['4'], digits: 19, groups: [4, 4, 4, 4, 3], unseen: true },
  { name: 'Mastercard', starts: ['51', '52', '53', '54', '55'], digits: 16 },
  { name: 'Mastercard, new', starts: ['2221', '2345', '2720'], digits: 16, unseen: true },
  { name: 'American Express', starts: ['34', '37'], digits: 15, groups: [4, 6, 5] },
  { name: 'Diners', starts: ['300', '305', '36', '38'], digits: 14, groups: [4, 6, 4] },
  { name: 'Discover', starts: ['6011', '644', '649', '65'], digits: 16 },
  { name: 'JCB', starts: ['3528', '3589'], digits: 16 },
  { name: 'UnionPay', starts: ['62'], digits: 16 },
  { name: 'UnionPay, long', starts: ['62'], digits: 19, groups: [6, 13], unseen: true },
  { name: 'Maestro', starts: ['5018', '5038', '6304', '6759', '6763'], digits: 16 },
  { name: 'Maestro, short', starts: ['5020', '6761'], digits: 13, groups: [4, 3, 3, 3] },
  { name: 'Mir', starts: ['2200', '2204'], digits: 16, unseen: true },
];
const separators = [
  { between: '' },
  { between: ' ' },
  { between: '-' },
  { between: '\u00a0', unseen: true },
  { between: '\u2011', unseen: true },
  { between: '  ', unseen: true },
];
/** Numbers that are no cards. `taken`: the judge takes them for some, as they pass Luhn. */
const others = [
  {
    name: 'a start of no issuer',
    starts: ['1', '31', '32', '33', '39', '61', '500'],
    digits: 16,
    taken: true,
  },
  { name: 'a length of no issuer', starts: ['4'], digits: 14, taken: true },
  { name: 'a length of no issuer', starts: ['37', '55'], digits: 13, taken: true },
  { name: 'a start that the judge does not know either', starts: ['7', '8', '9', '0'], digits: 16 },
  { name: 'a wrong check digit', starts: ['4', '51', '37', '62'], digits: 16, off: 1 },
  { name: 'a longer number', starts: ['4', '51'], digits: 20 },
];
const places = [
  (number) => `paid by card ${number}`,
  (number) => `{"pan":"${number}","sum":"12.30"}`,
  (number) => `PAN=${number};STAN=000123`,
  (number) => `order (${number}), 3 items`,
  (number) => `карта ${number}, чек 77`,
  (number) => number,
];

/** The same numbers every time: mulberry32. */
function dice(seed) {
  return (sides) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let n = Math.imul(seed ^ (seed >>> 15), seed | 1);
    n ^= n + Math.imul(n ^ (n >>> 7), n | 61);
    return ((n ^ (n >>> 14)) >>> 0) % sides;
  };
}

/** A number with its check digit, or `off` by so much. */
function number(roll, { starts, digits, off = 0 }) {
  let text = starts[roll(starts.length)];
  while (text.length < digits - 1) text += roll(10);
  const sum = [...text].reverse().reduce((sum, digit, place) => {
    const doubled = place % 2 === 0 ? 2 * digit : Number(digit);
    return sum + (doubled > 9 ? doubled - 9 : doubled);
  }, 0);
  return text + ((10 - (sum % 10) + off) % 10);
}

/** What was sown: line by line what is written, what must come out, and what was in it. */
function sow() {
  const roll = dice(20261120);
  const pick = (list) => list[roll(list.length)];
  const begin = Date.parse('2026-11-20T05:00:00Z');
  return Array.from({ length: LINES }, (_, n) => {
    const card = n % 3 > 0;
    const kind = pick(card ? issuers : others);
    const separator = card ? pick(separators) : separators[0];
    let at = 0;
    const printed = number(roll, kind);
    const written = (kind.groups ?? [4, 4, 4, kind.digits - 12])
      .map((length) => printed.slice(at, (at += length)))
      .join(separator.between);
    let left = kind.digits - 4;
    const masked = card ? written.replace(/\d/g, (digit) => (left-- > 0 ? '*' : digit)) : written;
    const place = pick(places);
    const line = (number) => `${new Date(begin + 100 * n).toISOString()} ${place(number)}`;
    return {
      card,
      name: kind.name,
      written,
      line: line(written),
      out: line(masked),
      seen: card ? !kind.unseen && !separator.unseen : Boolean(kind.taken),
    };
  });
}

test('presidio finds no card in what leaves the store', async (t) => {
  const bin = python('presidio', ['presidio-analyzer==2.2.366']);
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  // The connector collects logs when nothing else wants the processor.
  const events = follow(t, cloud, 300_000);
  const riga = store(t, cloud, 0, { toml: '[pos]\nstatus_file = "status.json"\nlogs = ["logs/**"]\n' });
  const sown = sow();
  const [before, after] = ['before', 'after'].map((name) => path.join(cloud.folder, `${name}.log`));
  const log = sown.map(({ line }) => `${line}\n`).join('');
  mkdirSync(path.join(riga.dataDir, 'logs'));
  writeFileSync(path.join(riga.dataDir, 'logs', 'pos.log'), log);
  writeFileSync(before, log);
  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  await events.status(riga.id, 'the store is online', (status) => status.link.state === 'online');
  const job = await jobEnds(cloud, events, riga.id, {
    kind: 'retrieve_logs',
    from: '2026-11-20T04:00:00Z',
    to: '2026-11-20T08:00:00Z',
    max_bytes: 10 << 20,
  });
  assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
  const entries = readArchive(await fetchArchive(cloud, job.result.archives[0], cloud.folder));
  const text = entries['logs/logs/pos.log'];
  writeFileSync(after, text);
  const lines = text.split('\n');
  for (const [n, { out }] of sown.entries()) assert.equal(lines[n], out);

  const script = path.join(import.meta.dirname, 'presidio_cards.py');
  const ended = spawnSync(path.join(bin, 'python'), [script, before, after], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  assert.equal(ended.status, 0, ended.stderr);
  const [found, left] = ended.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

  // It sees each card that it can know, whole.
  const hits = new Map(found);
  for (const [n, { card, seen, written, name }] of sown.entries())
    if (card && seen) assert.equal(hits.get(n), written, `${name} in line ${n}`);
  const cards = sown.filter(({ card }) => card);
  const visible = cards.filter(({ seen }) => seen);
  assert.ok(visible.length > LINES / 5, `${visible.length} cards are next to none`);

  // What it sees at the end are the numbers of no issuer, which are there as they were sown.
  for (const [n, text] of left)
    assert.deepEqual([text, sown[n].card, sown[n].seen], [sown[n].written, false, true], `line ${n}`);
  const kept = sown.filter(({ card, seen }) => !card && seen);
  assert.equal(left.length, kept.length);
  t.diagnostic(
    `${cards.length} cards in ${LINES} lines, of which it sees ${visible.length} before and 0 after; ` +
      `${LINES - cards.length} other numbers, of which it takes ${kept.length} for cards, though of no issuer`,
  );
});
