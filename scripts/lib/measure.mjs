// What the areas of benches/ have in common: running two sides in turn, medians, targets, and a table of it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { run } from './run.mjs';
import { targetDir } from './setup.mjs';

/** Medians are of this many runs. */
export const runs = 5;

/** Ways of stating a target: its words, whether figures meet it, and how a ratio is shown beside it. */
export const target = {
  atMostPart: (whole) => ({
    text: `≤ 1/${whole}`,
    isMet: (ratio) => ratio <= 1 / whole,
    show: (ratio) =>
      ratio > 0.1 ? `1/${(1 / ratio).toFixed(1)}` : `1/${Math.round(1 / ratio).toLocaleString('en')}`,
  }),
  atMostTimes: (times) => ({
    text: times === 1 ? '≤ it' : `≤ ${times}×`,
    isMet: (ratio) => ratio <= times,
    show: (ratio) => `${ratio.toFixed(2)}×`,
  }),
  atLeastPercent: (percent) => ({
    text: `≥ ${percent} %`,
    isMet: (ratio) => ratio >= percent / 100,
    show: asPercent,
  }),
  atMostPercent: (percent) => ({
    text: `≤ ${percent} %`,
    isMet: (ratio) => ratio <= percent / 100,
    show: asPercent,
  }),
  atLeastTimes: (times) => ({
    text: `≥ ${times}×`,
    isMet: (ratio) => ratio >= times,
    show: (ratio) => `${ratio.toFixed(2)}×`,
  }),
  atMostMore: (bytes) => ({
    text: `≤ that + ${bytes / 2 ** 20} MiB`,
    isMet: (_, ours, peer) => ours <= peer + bytes,
    show: asPercent,
  }),
  atMostLonger: (seconds) => ({
    text: `≤ that + ${seconds * 1000} ms`,
    isMet: (_, ours, peer) => ours <= peer + seconds,
    show: asPercent,
  }),
  /** Whatever the peer's: it only informs. */
  atMostSeconds: (seconds) => ({
    text: `≤ ${seconds * 1000} ms`,
    isMet: (_, ours) => ours <= seconds,
    show: asPercent,
  }),
  none: { text: 'none', isMet: (_, ours) => ours === 0, show: () => '–' },
};

/** A row of the table. `ratio` is ours by the peer's, or the other way round for speeds. Nulls were not measured. */
export function row({ name, unit, ours, peerName, peer, target, inverse = false }) {
  const measured = ours !== null && peer !== null;
  const ratio = measured ? (inverse ? peer / ours : ours / peer) : null;
  const met = measured ? target.isMet(ratio, ours, peer) : null;
  return { name, unit, ours, peer_name: peerName, peer, ratio, target, met };
}

/** Runs the sides in turn, each as often as medians need, and gives what each returned. */
export async function interleaved(title, sides) {
  const results = Object.fromEntries(Object.keys(sides).map((side) => [side, []]));
  for (let round = 1; round <= runs; round++) {
    const told = [];
    for (const [side, measure] of Object.entries(sides)) {
      const result = await measure();
      results[side].push(result);
      told.push(`${side} ${shown.figure(result.seconds, 's')}`);
    }
    process.stdout.write(`${title}, run ${round}: ${told.join(', ')}\n`);
  }
  return results;
}

/** The median of one figure of several results. */
export function median(results, figure) {
  const sorted = results.map((result) => result[figure]).sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Runs a program and gives what it printed, its time by the clock and its CPU time, in seconds. */
export function timed(command, ...args) {
  const ended = spawnSync('bash', ['-c', 'TIMEFORMAT="%R %U %S"; time "$0" "$@"', command, ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (ended.error) throw new Error(`${command}: ${ended.error.message}`);
  if (ended.status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${ended.signal ?? ended.status}\n${ended.stderr}`);
  const [seconds, user, system] = ended.stderr.trim().split('\n').pop().split(' ').map(Number);
  return { printed: ended.stdout, seconds, cpuSeconds: user + system };
}

/** Builds an example of a crate as it would be shipped, and gives its path. */
export function example(crate, name, more = []) {
  return path.join(built(crate, ['--example', name, ...more]), 'examples', name);
}

/** Builds a program of ours as it would be shipped, and gives its path. */
export function release(name, more = []) {
  return path.join(built(name, ['--bin', name, ...more]), name);
}

/** What runs in stores has a profile of its own. */
function built(crate, what) {
  const profile = ['tillwatch-connector', 'tillwatch-pos-server'].includes(crate) ? 'store' : 'release';
  run('cargo', ['build', '--quiet', '--locked', '--profile', profile, '--package', crate, ...what]);
  return path.join(targetDir(), profile);
}

/** Does `work` with a folder that is removed afterwards, also when it is broken off, on a disk with room for it. */
export async function inFolder(bytes, work) {
  const { bavail, bsize } = statfsSync(os.tmpdir());
  if (bavail * bsize < bytes)
    throw new Error(
      `${os.tmpdir()} has ${inGib(bavail * bsize)} GiB free, this takes ${inGib(bytes)}. TMPDIR names another folder.`,
    );
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tillwatch-bench-'));
  // What runs at the moment gets the signal too, and its failure ends the work.
  const wait = () => {};
  for (const signal of signals) process.on(signal, wait);
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    for (const signal of signals) process.off(signal, wait);
  }
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Why files in a folder can't be read cold here, or null if they can. */
export function neverCold(folder) {
  const tmpfs = 0x01021994;
  if (statfsSync(folder).type === tmpfs) return `${folder} is kept in memory; TMPDIR names another folder`;
  try {
    dropCaches();
    return null;
  } catch (error) {
    return `the file cache can't be emptied: ${error.message}`;
  }
}

/** Makes the kernel forget what it has read of files. Takes root. */
export function dropCaches() {
  run('sync', []);
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}

/** How figures are written for people. */
export const shown = {
  figure: (value, unit) => {
    if (value === null) return '–';
    if (unit === 's')
      return value < 0.1 ? `${(value * 1000).toPrecision(3)} ms` : `${value.toPrecision(3)} s`;
    if (unit === 'bytes')
      return value < 2 ** 20 ? `${(value / 2 ** 10).toFixed(0)} KiB` : `${(value / 2 ** 20).toFixed(2)} MiB`;
    return `${Number.isInteger(value) ? value : value.toPrecision(3)} ${unit}`;
  },
  ratio: (ratio, target) => (ratio === null ? '–' : target.show(ratio)),
};

/** Rows of words, the first one as a heading, in columns. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '));
  return lines.join('\n');
}

function asPercent(ratio) {
  return `${(ratio * 100).toFixed(1)} %`;
}

function inGib(bytes) {
  return (bytes / 2 ** 30).toFixed(1);
}
