// What takes longer than a test should: stories of `npm test` with more of everything. `npm run soak -- logs` picks areas.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import os from 'node:os';
import { createInterface } from 'node:readline';
import { keepRows, madeOn } from './lib/kept-table.mjs';
import { table } from './lib/measure.mjs';
import { output, root, run, step } from './lib/run.mjs';
import {
  buildPrograms,
  everything,
  linted,
  npmPackages,
  rustComponents,
  systemPackages,
} from './lib/setup.mjs';

const HEADER = ['area', 'what ran', 'counted', 'took', 'end'];

/**
 * Each is a test that does more when TILLWATCH_SOAK is set: `suite` is the file in a crate's `tests/` and `test` what is
 * in it, or `file` is a story of the whole. What a test counts it prints behind `counted: `.
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
    area: 'simulation',
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
    area: 'network',
    what: '100 links that go dead without a word',
    file: 'tests/network/line.test.mjs',
  },
  {
    area: 'network',
    what: '50 jobs over a line that loses 30 % and takes 300 ms each way',
    file: 'tests/network/loss.test.mjs',
  },
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
  const [command, args] = story.file ? ofNode(story.file) : ofRust(story);
  const env = { ...process.env, ...linted.env, TILLWATCH_SOAK: '1' };
  const started = Date.now();
  const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const counted = [];
  for await (const line of createInterface({ input: child.stdout })) {
    process.stdout.write(`${line}\n`);
    const count = /counted: (.*)$/.exec(line)?.[1];
    if (count) counted.push(count);
  }
  const code = child.exitCode ?? child.signalCode ?? (await once(child, 'exit'))[0];
  return { seconds: (Date.now() - started) / 1000, passed: code === 0, counted };
}

function ofNode(file) {
  // Where packets are dropped, in a network of its own.
  const within = file.startsWith('tests/network/') ? ['tests/network/session.mjs'] : [];
  return ['node', [...within, '--test', '--test-reporter=spec', file]];
}

function ofRust({ suite, test }) {
  const args = ['test', ...everything, '--quiet', '--test', suite, '--', '--exact', test];
  // A name that no test has would pass without running anything.
  const env = { ...process.env, ...linted.env };
  if (!output('cargo', [...args, '--list'], { env })?.includes(`${test}: test`))
    throw new Error(`There is no test ${test} in ${suite}.`);
  return ['cargo', [...args, '--nocapture']];
}
