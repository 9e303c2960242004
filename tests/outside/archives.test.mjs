// unzip, 7z and Python's zipfile take apart archives that a real connector made of logs with names and encodings of every
// kind. Each must find them sound and come to the same files, and these must hold the lines of the period as they were
// written, all of them and no others.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { fetchArchive } from '../lib/archives.mjs';
import { follow, jobEnds, scene, store } from '../lib/scene.mjs';

const period = { from: '2026-11-20T05:00:00Z', to: '2026-11-20T06:30:00Z' };
const unpackers = {
  unzip: (file, folder) => ['unzip', '-q', file, '-d', folder],
  '7z': (file, folder) => ['7z', 'x', '-y', '-bd', `-o${folder}`, file],
  python: (file, folder) => ['python3', '-m', 'zipfile', '-e', file, folder],
};

/** How lines tell their time; the outlet is in Riga, two hours ahead. */
const clocks = {
  utc: (at) => at.toISOString(),
  local: (at) => new Date(+at + 7_200_000).toISOString().replace('T', ' ').replace('Z', '').replace('.', ','),
  offset: (at) => new Date(+at + 7_200_000).toISOString().replace('Z', '+02:00'),
};

/** How files are written, and how what is written comes out. */
const writings = {
  plain: { write: (text) => Buffer.from(text) },
  packed: { write: (text) => gzipSync(text), suffix: '.gz' },
  wide: { write: (text) => Buffer.from(`\ufeff${text}`, 'utf16le') },
  windows: { write: (text) => Buffer.from(text), end: '\r\n' },
};

/** Names that are good in a store and would do harm elsewhere, or are hard to write down. */
const names = [
  'pos.log',
  'POS.log',
  'журнал кассы.log',
  '日誌.log',
  '🍕.log',
  'e\u0301.log',
  '\u00e9.log',
  '..\\..\\evil.log',
  'C:\\Windows\\evil.log',
  'con.log',
  'LPT1.log',
  '-rf.log',
  '~.log',
  ' edges .log',
  'two\nlines.log',
  '\u001b[31mred.log',
  'right to \u202egol.log',
  'a?b*c"d<e>f|g.log',
  '%2e%2e%2fevil.log',
  "it's.log",
  `${'long '.repeat(40)}.log`,
  'deep/er/still/pos.log',
  '.hidden/.log',
  '...log',
];

/** The entries of a log, one in ten seconds from four to eight o'clock; some go on over more lines. */
function entries(seed, clock) {
  const start = Date.parse('2026-11-20T04:00:00Z');
  return Array.from({ length: 1440 }, (_, n) => {
    const at = new Date(start + 10_000 * n);
    const more = n % 17 === 0 ? `\n  at Ž.${seed}(line ${n})\n\tcaused by: ошибка ${n}` : '';
    return { at, text: `${clock(at)} INFO [${seed}] receipt ${n} für Jānis, € ${n}.50${more}` };
  });
}

/** Writes the logs; gives what must come out of each, by its path. */
function writeLogs(folder) {
  const expected = new Map();
  for (const [n, name] of names.entries()) {
    const pick = (choices) => Object.values(choices)[n % Object.keys(choices).length];
    const { write, suffix = '', end = '\n' } = pick(writings);
    const file = path.join(folder, `${name}${suffix}`);
    mkdirSync(path.dirname(file), { recursive: true });
    const all = entries(n, pick(clocks));
    const text = (entries) => entries.map(({ text }) => `${text}\n`.replaceAll('\n', end)).join('');
    writeFileSync(file, write(text(all)));
    const wanted = all.filter(({ at }) => at >= new Date(period.from) && at < new Date(period.to));
    expected.set(path.relative(folder, file), text(wanted));
  }
  return expected;
}

/** What an unpacker makes of an archive: the text of each file by name. */
function unpacked(unpacker, file, folder) {
  const [command, ...args] = unpackers[unpacker](file, folder);
  mkdirSync(folder);
  const ended = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } });
  assert.equal(ended.status, 0, `${unpacker}: ${ended.stdout}${ended.stderr}${ended.error ?? ''}`);
  const files = readdirSync(folder, { withFileTypes: true, recursive: true }).filter(
    (one) => !one.isDirectory(),
  );
  return Object.fromEntries(
    files
      .map((one) => path.join(one.parentPath, one.name))
      .sort()
      .map((one) => [path.relative(folder, one), readFileSync(one, 'utf8')]),
  );
}

/** Names that any system can have, and of which none looks like another. */
function assertSafe(names) {
  for (const name of names) {
    assert.ok(!path.isAbsolute(name) && Buffer.byteLength(name) < 4096, name);
    for (const part of name.split('/')) {
      assert.doesNotMatch(
        part,
        /^\.{0,2}$|[. ]$|[\\:*?"<>|\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u,
        name,
      );
      assert.doesNotMatch(part, /^(con|prn|aux|nul|(com|lpt).)\s*(\.|$)/i, name);
      assert.ok(Buffer.byteLength(part) <= 255, name);
    }
  }
  assert.equal(new Set(names.map((name) => name.toLowerCase())).size, names.length);
}

test('archives of logs are what unzip, 7z and Python take them for', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  // The connector collects logs when nothing else wants the processor.
  const events = follow(t, cloud, 300_000);
  const riga = store(t, cloud, 0, {
    toml: '[pos]\nstatus_file = "status.json"\nlogs = ["logs/**"]\n',
  });
  const expected = writeLogs(path.join(riga.dataDir, 'logs'));
  assert.equal((await riga.enroll()).exitCode, 0);
  await riga.run();
  await events.status(riga.id, 'the store is online', (status) => status.link.state === 'online');

  const fetched = async (max_bytes) => {
    const asked = { kind: 'retrieve_logs', ...period, max_bytes };
    const job = await jobEnds(cloud, events, riga.id, asked);
    assert.equal(job.state, 'succeeded', JSON.stringify(job.error));
    assert.equal(job.result.archives.length, 1);
    const file = await fetchArchive(cloud, job.result.archives[0], cloud.folder);
    const [first, ...others] = Object.keys(unpackers).map((unpacker) =>
      unpacked(unpacker, file, path.join(cloud.folder, `${unpacker}-${max_bytes}`)),
    );
    for (const other of others) assert.deepEqual(other, first);
    assertSafe(Object.keys(first));
    const manifest = JSON.parse(first['manifest.json']);
    assert.deepEqual(
      manifest.files.map((file) => file.path).sort(),
      Object.keys(first)
        .filter((name) => name !== 'manifest.json')
        .sort(),
    );
    return manifest.files.map(({ path: name, source }) => ({
      text: first[name],
      expected: expected.get(path.relative(path.join(riga.dataDir, 'logs'), source)),
    }));
  };

  await t.test('whole', async () => {
    const files = await fetched(10 << 20);
    assert.equal(files.length, expected.size);
    for (const { text, expected } of files) assert.equal(text, expected);
    t.diagnostic(`${files.length} files, ${lines(files)} lines`);
  });

  await t.test('the newest that fits', async () => {
    const files = await fetched(64 << 10);
    for (const { text, expected } of files) assert.ok(expected.endsWith(text));
    const left = [...expected.values()].map((expected) => ({ text: expected }));
    assert.ok(lines(files) > 1000 && lines(files) < lines(left), `${lines(files)} of ${lines(left)} lines`);
    t.diagnostic(`${files.length} files, ${lines(files)} lines of ${lines(left)}`);
  });
});

const lines = (files) => files.reduce((sum, { text }) => sum + text.split('\n').length - 1, 0);
