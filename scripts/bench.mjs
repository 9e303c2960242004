// Side-by-side measurements against peers. `npm run bench -- logs` picks areas, `--json FILE` writes the figures as well.
import { readdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { keepRows, madeOn } from './lib/kept-table.mjs';
import { shown, table } from './lib/measure.mjs';
import { root, step } from './lib/run.mjs';
import { npmPackages, rustComponents, systemPackages } from './lib/setup.mjs';

const folder = path.join(root, 'benches');
const areas = readdirSync(folder)
  .filter((name) => name.endsWith('.mjs'))
  .map((name) => path.basename(name, '.mjs'));

const HEADER = ['what', 'beside', 'ours', 'theirs', 'ratio', 'target', 'met'];

/** Sizes that targets are meant for. What is measured with others is shown, and not kept. */
const USUAL = { gib: '4', links: '18000', stores: '100000' };

const { picked, options } = asked();

try {
  await step('Setting up', () => {
    systemPackages('build', 'bench', ...(picked.includes('desktop') ? ['test'] : []));
    npmPackages();
    rustComponents();
  });
  const rows = [];
  for (const area of picked) {
    const { measure } = await import(path.join(folder, `${area}.mjs`));
    const measured = await step(`Measuring ${area}`, () => measure(options));
    rows.push(...measured.map((row) => ({ area, ...row })));
    // After each area: a later one that fails takes no figures with it.
    if (options.isWhole) await keep(area, measured);
    if (options.json) {
      const figures = rows.map((row) => ({ ...row, target: row.target.text }));
      writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
    }
  }
  process.stdout.write(`\n${table([HEADER, ...rows.map(cells)])}\n`);
} catch (error) {
  process.stderr.write(`\n${error.message}\n`);
  process.exitCode = 1;
}

function cells({ name, unit, ours, peer_name, peer, ratio, target, met }) {
  return [
    name,
    peer_name,
    shown.figure(ours, unit),
    shown.figure(peer, unit),
    shown.ratio(ratio, target),
    target.text,
    met === null ? 'not measured' : met ? 'yes' : 'NO',
  ];
}

/** Puts what was measured where people read it. */
async function keep(area, rows) {
  const made = madeOn(os.availableParallelism());
  const measured = rows.filter(({ met }) => met !== null).map((row) => [area, ...cells(row), made]);
  // One thing may be measured beside several peers.
  await keepRows('docs/performance.md', ['area', ...HEADER, 'when, on what'], measured, 3);
}

/** What the command line asks for. Ends the program if that can't be had. */
function asked() {
  const refuse = (why) => {
    process.stderr.write(
      `${why}\nUsage: npm run bench -- [areas] [--json FILE] [--gib N] [--links N] [--stores N]\nAreas: ${areas.join(', ')}\n`,
    );
    process.exit(2);
  };
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'string' },
        gib: { type: 'string', default: USUAL.gib },
        links: { type: 'string', default: USUAL.links },
        stores: { type: 'string', default: USUAL.stores },
      },
    });
    const unknown = positionals.filter((area) => !areas.includes(area));
    if (unknown.length > 0) refuse(`There is no area ${unknown.join(', ')}.`);
    const gib = Number(values.gib);
    if (!(gib >= 0.1 && gib <= 64)) refuse('--gib takes a number from 0.1 to 64.');
    const [links, stores] = ['links', 'stores'].map((name) => {
      const count = Number(values[name]);
      if (!(Number.isInteger(count) && count >= 1000 && count <= 1_000_000))
        refuse(`--${name} takes a number from 1000 to a million.`);
      return count;
    });
    const isWhole = Object.entries(USUAL).every(([name, usual]) => values[name] === usual);
    return {
      picked: positionals.length > 0 ? [...new Set(positionals)] : areas,
      options: { json: values.json && path.resolve(values.json), gib, links, stores, isWhole },
    };
  } catch (error) {
    return refuse(error.message);
  }
}
