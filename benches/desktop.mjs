// The desktop in its real window, beside an empty window of the same build and AG Grid Community holding the rows itself.
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { example, inFolder, release, row, target } from '../scripts/lib/measure.mjs';
import { root, run } from '../scripts/lib/run.mjs';
import { npmPackages, targetDir, webUi } from '../scripts/lib/setup.mjs';

const MIB = 2 ** 20;
const AG_GRID = '36.2.0';
/** Lower quartiles are taken of so many starts. */
const STARTS = 15;

/** The rows of this area; `stores` is how many are in the grid. */
export async function measure({ stores }) {
  if (process.platform !== 'linux') throw new Error('The desktop is measured on Linux, under Xvfb.');
  npmPackages();
  webUi();
  const app = release('tillwatch', ['--features', 'custom-protocol']);
  const window = example('tillwatch', 'measure_desktop', ['--features', 'custom-protocol']);
  return inFolder(1024 * MIB, (folder) => {
    const figures = path.join(folder, 'figures.json');
    const asked = { app, window, pages: pages(folder), figures, stores, starts: STARTS };
    const session = path.join('tests', 'window', 'session.mjs');
    const inSession = path.join('benches', 'desktop', 'in-session.mjs');
    run('node', [session, inSession, JSON.stringify(asked)], { env: { TMPDIR: folder } });
    return rows(JSON.parse(readFileSync(figures, 'utf8')), stores);
  });
}

/** A folder with the pages that are measured beside the app. */
function pages(folder) {
  const installed = path.join(targetDir(), 'bench', `ag-grid-${AG_GRID}`);
  const script = path.join(
    installed,
    'node_modules',
    'ag-grid-community',
    'dist',
    'ag-grid-community.min.js',
  );
  if (!existsSync(script)) {
    mkdirSync(installed, { recursive: true });
    const quiet = ['--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
    run('npm', ['install', ...quiet, '--prefix', installed, `ag-grid-community@${AG_GRID}`]);
  }
  const served = path.join(folder, 'pages');
  mkdirSync(served);
  copyFileSync(script, path.join(served, path.basename(script)));
  for (const name of ['ag-grid.html', 'ag-grid.js', 'empty.html'])
    copyFileSync(path.join(root, 'benches', 'desktop', name), path.join(served, name));
  return served;
}

function rows({ starts, keystrokes, sorts, scrolling, live, memory }, stores) {
  const name = (what) => `${stores.toLocaleString('en')} rows, ${what}`;
  const seconds = (lists) => lists.flat().map((millis) => millis / 1000);
  const lengths = (runs) => seconds(runs.map((run) => run.lengths));
  const limit = 'the limit';
  const agGrid = 'AG Grid Community';
  const typed = { ours: seconds(keystrokes.ours), peer: seconds(keystrokes.peer) };
  const sorted = { ours: seconds(sorts.ours), peer: seconds(sorts.peer) };
  const { frames, jumps } = scrolling;
  const late = seconds(live.ours.late);
  const scrolled = (peerName, peer) =>
    row({
      name: name('scroll, up to 20 rows a frame, p99 frame'),
      unit: 's',
      ours: quantile(lengths(frames.ours), 0.99),
      peerName,
      peer: quantile(lengths(peer), 0.99),
      target: target.atMostLonger(0.002),
    });
  return [
    row({
      name: name('start to cached grid painted, lower quartile'),
      unit: 's',
      ours: quantile(starts.ours, 0.25),
      peerName: 'an empty window',
      peer: quantile(starts.empty, 0.25),
      target: target.atMostTimes(1.2),
    }),
    row({
      name: name('keystroke in search to painted'),
      unit: 's',
      ours: quantile(typed.ours, 0.5),
      peerName: agGrid,
      peer: quantile(typed.peer, 0.5),
      target: target.atMostPart(3),
    }),
    row({
      name: name('keystroke in search to painted, p95'),
      unit: 's',
      ours: quantile(typed.ours, 0.95),
      peerName: limit,
      peer: 0.05,
      target: target.atMostTimes(1),
    }),
    row({
      name: name('sort to painted'),
      unit: 's',
      ours: quantile(sorted.ours, 0.5),
      peerName: agGrid,
      peer: quantile(sorted.peer, 0.5),
      target: target.atMostPart(10),
    }),
    scrolled('an empty page', frames.empty),
    scrolled('a page of stripes, scrolled', frames.striped),
    row({
      name: name('scroll, frames with blank rows'),
      unit: 'frames',
      ours: frames.ours.reduce((sum, { blank }) => sum + blank, 0),
      peerName: limit,
      peer: 0,
      target: target.none,
    }),
    row({
      name: name('filled after any jump'),
      unit: 's',
      ours: Math.max(...seconds(jumps)),
      peerName: limit,
      peer: 0.1,
      target: target.atMostTimes(1),
    }),
    row({
      name: name('1,000 live changes a second, longest frame'),
      unit: 's',
      ours: Math.max(...seconds(live.ours.lengths)),
      peerName: agGrid,
      peer: Math.max(...seconds(live.peer.lengths)),
      target: target.atMostSeconds(0.05),
    }),
    row({
      name: name('1,000 live changes a second, a change on screen, p99'),
      unit: 's',
      ours: late.length > 0 ? quantile(late, 0.99) : null,
      peerName: limit,
      peer: 0.1,
      target: target.atMostTimes(1),
    }),
    row({
      name: name('1,000 live changes a second, rows wrong at the end'),
      unit: 'rows',
      ours: live.ours.wrong,
      peerName: limit,
      peer: 0,
      target: target.none,
    }),
    row({
      name: name('memory of the webview after use'),
      unit: 'bytes',
      ours: memory.many,
      peerName: '100 rows',
      peer: memory.few,
      target: target.atMostMore(20 * MIB),
    }),
    row({
      name: name('memory of the webview after use'),
      unit: 'bytes',
      ours: memory.many,
      peerName: 'an empty page',
      peer: memory.empty,
      target: target.atMostMore(75 * MIB),
    }),
    row({
      name: name('memory of the webview'),
      unit: 'bytes',
      ours: memory.many,
      peerName: agGrid,
      peer: memory.peer,
      target: target.atMostTimes(1),
    }),
  ];
}

/** The value that so great a part of the values is not above. */
function quantile(values, part) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}
