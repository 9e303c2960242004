// What takes longer than a test should: stories of `npm test` with more of everything. `npm run soak -- logs` picks areas.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { keepRows, madeOn } from './lib/kept-table.mjs';
import { table } from './lib/measure.mjs';
import { output, root, run, step } from './lib/run.mjs';
import {
  buildPrograms,
  cargoTool,
  everything,
  linted,
  npmPackages,
  rustComponents,
  systemPackages,
  targetDir,
} from './lib/setup.mjs';

const HEADER = ['area', 'what ran', 'counted', 'took', 'end'];

/**
 * Each is a test that does more when TILLWATCH_SOAK is set: `suite` is the file in a crate's `tests/` and `test` what is
 * in it, or `file` is a story of the whole, or `fuzz` a target in tests/fuzz. What a test counts it prints behind
 * `counted: `.
 */
const stories = [
  {
    area: 'logs',
    what: 'a period in a log of 8 GiB',
    suite: 'logs',
    test: 'large::a_period_in_a_large_file_is_found_by_few_reads',
  },
  {
    area: 'logs',
    what: '5,000 folders of logs against a plain filter',
    suite: 'logs',
    test: 'any::the_archive_holds_the_newest_of_the_period',
  },
  {
    area: 'logs',
    what: 'uploading 1 GiB, 100 cuts, a piece in 100 damaged',
    suite: 'logs_upload',
    test: 'a_part_arrives_over_a_line_that_is_cut_and_damages_pieces',
  },
  {
    area: 'simulation',
    what: '10,000 worlds in which everything breaks that can',
    suite: 'seeds',
    test: 'no_job_is_lost_or_done_twice_whatever_breaks',
  },
  {
    area: 'rules',
    what: 'six rules broken on purpose, each found by some world',
    suite: 'broken',
    test: 'each_rule_that_is_broken_is_found',
  },
  {
    area: 'kills',
    what: 'kill -9 of connector and cloud at each step of each kind of job',
    file: 'tests/whole/kills.test.mjs',
  },
  {
    area: 'cluster',
    what: 'three nodes: one killed, Postgres restarted, NATS emptied, 20 times each, amid jobs',
    file: 'tests/whole/cluster.test.mjs',
  },
  {
    area: 'clocks',
    what: 'clocks of stores and of the cloud that are wrong, moved, or repeat an hour, amid jobs',
    file: 'tests/whole/clocks.test.mjs',
  },
  {
    area: 'disks',
    what: 'full disks of a store and of the cloud, from 0 to 1 MiB left, amid jobs',
    file: 'tests/whole/full-disks.test.mjs',
  },
  {
    area: 'network',
    what: '100 links that go dead without a word',
    file: 'tests/network/line.test.mjs',
  },
  {
    area: 'network',
    what: '50 jobs over a line that loses 30 % and takes 300 ms each way',
    file: 'tests/network/loss.test.mjs',
  },
  ...['frames', 'report', 'exchange', 'timestamps', 'import', 'viewer'].map((target) => ({
    area: 'fuzz',
    what: `${target}: bytes that nobody thought of, for a minute`,
    fuzz: target,
  })),
];

const areas = [...new Set(stories.map((story) => story.area))];
const picked = process.argv.slice(2);
const unknown = picked.filter((area) => !areas.includes(area));
if (unknown.length > 0) {
  process.stderr.write(
    `There is no area ${unknown.join(', ')}.\nUsage: npm run soak -- [${areas.join('] [')}]\n`,
  );
  process.exit(2);
}
const wanted = stories.filter((story) => picked.length === 0 || picked.includes(story.area));

try {
  await step('Setting up', () => {
    systemPackages('build', 'test');
    npmPackages();
    rustComponents();
  });
  const suites = [...new Set(wanted.flatMap(({ suite }) => suite ?? []))].flatMap((name) => ['--test', name]);
  if (suites.length > 0)
    await step('Building', () => run('cargo', ['test', ...everything, '--no-run', ...suites], linted));
  if (wanted.some(({ file }) => file)) await step('Building the programs', () => buildPrograms(linted));
  const rows = [];
  for (const story of wanted) {
    const { seconds, passed, counted } = await step(story.what, () => told(story));
    rows.push([
      story.area,
      story.what,
      counted.join('; ') || '–',
      `${seconds.toFixed(0)} s`,
      passed ? 'passed' : 'FAILED',
    ]);
    // After each: one that is broken off takes nothing with it.
    const made = [...rows.at(-1), madeOn(os.availableParallelism())];
    await keepRows('docs/reliability.md', [...HEADER, 'when, on what'], [made]);
  }
  process.stdout.write(`\n${table([HEADER, ...rows])}\n`);
  if (rows.some((row) => row.at(-1) !== 'passed')) process.exitCode = 1;
} catch (error) {
  process.stderr.write(`\n${error.message}\n`);
  process.exitCode = 1;
}

/** Runs a story and tells how long it took, whether it passed, and what it counted. */
async function told(story) {
  const { command, args, env } = story.fuzz ? ofFuzz(story) : story.file ? ofNode(story) : ofRust(story);
  const started = Date.now();
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env, TILLWATCH_SOAK: '1' },
    stdio: ['ignore', 'pipe', story.fuzz ? 'pipe' : 'inherit'],
  });
  const counted = [];
  // libFuzzer tells what it did as its errors.
  for await (const line of createInterface({ input: story.fuzz ? child.stderr : child.stdout })) {
    process.stdout.write(`${line}\n`);
    const count = /counted: (.*)$/.exec(line)?.[1] ?? /^Done (\d+ runs)/.exec(line)?.[1];
    if (count) counted.push(count);
  }
  const code = child.exitCode ?? child.signalCode ?? (await once(child, 'exit'))[0];
  return { seconds: (Date.now() - started) / 1000, passed: code === 0, counted };
}

function ofNode({ file }) {
  // Where packets are dropped, in a network of its own.
  const within = file.startsWith('tests/network/') ? ['tests/network/session.mjs'] : [];
  return { command: 'node', args: [...within, '--test', '--test-reporter=spec', file], env: linted.env };
}

/** A target with what it is fed with first; what it finds besides is left in a folder that is not kept. */
function ofFuzz({ fuzz }) {
  const found = path.join(targetDir(), 'fuzz-corpus', fuzz);
  mkdirSync(found, { recursive: true });
  const folder = path.join('tests', 'fuzz');
  const target = ['--fuzz-dir', folder, '--sanitizer', 'none', `fuzz-${fuzz}`];
  const limits = ['-max_total_time=60', '-rss_limit_mb=2048', '-timeout=10', '-max_len=65536'];
  // What links fast is enough: none of it is shipped.
  const env = { CARGO_PROFILE_RELEASE_LTO: 'off', CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16' };
  return {
    command: cargoTool('cargo-fuzz'),
    args: ['run', ...target, found, path.join(folder, 'corpus', fuzz), '--', ...limits],
    env,
  };
}

function ofRust({ suite, test }) {
  const args = ['test', ...everything, '--quiet', '--test', suite, '--', '--exact', test];
  // A name that no test has would pass without running anything.
  const env = { ...process.env, ...linted.env };
  if (!output('cargo', [...args, '--list'], { env })?.includes(`${test}: test`))
    throw new Error(`There is no test ${test} in ${suite}.`);
  return { command: 'cargo', args: [...args, '--nocapture'], env: linted.env };
}
