// What takes longer than a test should: stories of `npm test` with more of everything. `npm run soak -- logs` picks areas.
import { table } from './lib/measure.mjs';
import { output, run, step } from './lib/run.mjs';
import { everything, linted, rustComponents, systemPackages } from './lib/setup.mjs';

/** Each is a test that does more when TILLWATCH_SOAK is set; `suite` is the file in a crate's `tests/` that it is in. */
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
    rustComponents();
  });
  const suites = [...new Set(wanted.map((story) => story.suite))].flatMap((name) => ['--test', name]);
  await step('Building', () => run('cargo', ['test', ...everything, '--no-run', ...suites], linted));
  const rows = [];
  for (const story of wanted) rows.push([story, await step(story.what, () => told(story))]);
  const cells = rows.map(([{ area, what }, { seconds, passed }]) => [
    area,
    what,
    `${seconds.toFixed(0)} s`,
    passed ? 'passed' : 'FAILED',
  ]);
  process.stdout.write(`\n${table([['area', 'what ran', 'took', 'end'], ...cells])}\n`);
  if (rows.some(([, { passed }]) => !passed)) process.exitCode = 1;
} catch (error) {
  process.stderr.write(`\n${error.message}\n`);
  process.exitCode = 1;
}

/** Runs a story and tells how long it took and whether it passed. */
function told({ suite, test }) {
  const args = ['test', ...everything, '--quiet', '--test', suite, '--', '--exact', test];
  // A name that no test has would pass without running anything.
  if (
    !output('cargo', [...args, '--list'], { env: { ...process.env, ...linted.env } })?.includes(
      `${test}: test`,
    )
  )
    throw new Error(`There is no test ${test} in ${suite}.`);
  const started = Date.now();
  let passed = true;
  try {
    run('cargo', [...args, '--nocapture'], { env: { ...linted.env, TILLWATCH_SOAK: '1' } });
  } catch {
    passed = false;
  }
  return { seconds: (Date.now() - started) / 1000, passed };
}
