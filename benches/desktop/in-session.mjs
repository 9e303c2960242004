// Runs inside of a desktop session of its own (tests/window/session.mjs) and writes figures to a file:
// `in-session.mjs {"app","window","pages","figures","stores"}`. The app is the real one, in its own window.
/* Functions that are handed to `inPage` run in a page, where page.js and sides.js are. */
/* global bench, side */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { start, stop } from '../../scripts/lib/run.mjs';
import { openWindow, within } from '../../tests/lib/window.mjs';
import { startCloud } from './cloud.mjs';

/** The colour of a red row, and of the empty page. */
const ROW = 0xfde6e3;
/** How long one command of the driver may take, in ms; a measurement in a page is one. */
const PATIENCE = 300_000;
/** How long each stage may take, in minutes, with a hundred thousand rows on a slow machine. */
const MINUTES = {
  'signing in': 10,
  starts: 10,
  'opening the windows': 10,
  keystrokes: 10,
  sorts: 10,
  scrolling: 10,
  live: 10,
  memory: 15,
};
/** What is typed, a letter at a time. */
const TYPED = ['riga harbour 12', 'kometa 341', 'timed out', 'lisboa park'];

const asked = JSON.parse(process.argv[2]);
const here = path.dirname(fileURLToPath(import.meta.url));
const scripts = ['page.js', 'sides.js'].map((name) => readFileSync(path.join(here, name), 'utf8')).join('\n');
const ends = [];
/** What helpers for tests want of a test: to be told when it ends. */
const ending = { after: (work) => ends.unshift(work) };
const folder = mkdtempSync(path.join(os.tmpdir(), 'home-'));
const say = (words) => process.stdout.write(`${words}\n`);
/** What is done at the moment, for the words of a stage that does not end. */
let doing = '';

try {
  writeFileSync(asked.figures, JSON.stringify(await measured()));
} finally {
  for (const end of ends) await end();
}

async function measured() {
  const few = await startCloud(100);
  let cloud = await startCloud(asked.stores);
  writeFileSync(path.join(asked.pages, 'statuses.json'), JSON.stringify(cloud.statuses));
  const homes = { many: newHome('many'), few: newHome('few') };
  await stage('signing in', async () => {
    await signedIn(homes.few, few);
    await signedIn(homes.many, cloud);
  });

  await cloud.stop();
  const starts = await stage('starts', () => startTimes(homes.many));
  cloud = await startCloud(asked.stores, cloud.port);

  const { empty, peer, ours } = await stage('opening the windows', () => openAll(homes.many, cloud));
  const figures = { starts };
  for (const [name, work] of Object.entries({ keystrokes, sorts, scrolling }))
    figures[name] = await stage(name, () => work({ ours, peer, empty }, cloud.statuses));
  figures.live = await stage('live', async () => ({
    ours: await liveOurs(ours, cloud),
    peer: await livePeer(peer, cloud),
  }));
  figures.memory = await stage('memory', async () => {
    await use(ours, cloud);
    const other = await app(homes.few, few);
    await use(other, few);
    await pause(8000);
    return {
      many: memoryOf(ours),
      few: memoryOf(other),
      empty: memoryOf(empty),
      peer: memoryOf(peer),
    };
  });
  await cloud.stop();
  await few.stop();
  return figures;
}

/** Does the work of a stage; one that hangs is given up, with words that say where it was. */
async function stage(name, work) {
  const began = performance.now();
  doing = 'its beginning';
  try {
    const result = await within(MINUTES[name] * 60_000, 'it ends', work());
    say(`${name}: measured in ${((performance.now() - began) / 1000).toFixed(0)} s`);
    return result;
  } catch (error) {
    throw new Error(`the stage "${name}" failed at ${doing}: ${error.message}`, { cause: error });
  }
}

/** The three windows: an empty page, AG Grid with its rows, the app. */
async function openAll(home, cloud) {
  doing = 'the empty page';
  const empty = await page('empty.html');
  doing = 'AG Grid';
  const peer = await page('ag-grid.html');
  await peer.until(
    'AG Grid shows its rows',
    () => peer.driver.executeScript('return window.ready === true'),
    120_000,
  );
  await prepare(peer, 'peer');
  doing = 'the app';
  return { empty, peer, ours: await app(home, cloud) };
}

function newHome(name) {
  const home = path.join(folder, name);
  mkdirSync(home);
  const settings = { language: 'en', theme: 'light', density: 'compact' };
  writeFileSync(path.join(home, 'settings.json'), JSON.stringify({ schema: 3, settings }));
  return home;
}

/** Signs in once, as a person would; afterwards the home has a cache, and the keychain a token. */
async function signedIn(home, cloud) {
  const window = await openWindow(ending, home, { binary: asked.app, patience: PATIENCE });
  await window.type('signin-url', cloud.url);
  await window.type('signin-email', 'bench@example.com');
  await window.type('signin-password', 'bench');
  await window.click('signin-submit');
  await window.until('the cloud is followed', () => cloud.isFollowed(), 300_000);
  const count = String(cloud.statuses.length + 1);
  await window.until(
    'all stores are there',
    async () => (await (await window.find('status-grid')).getAttribute('aria-rowcount')) === count,
    60_000,
  );
  // Written half a second after the rows came; its size stands still once all are there.
  let before = -1;
  await window.until(
    'the cache is written',
    async () => {
      await pause(1000);
      // The user's own cache, and what is yet to be put into it.
      const files = readdirSync(home, { recursive: true }).filter((name) => /cache.*\.sqlite3/.test(name));
      const size = files.reduce((sum, name) => sum + sizeOf(path.join(home, name)), 0);
      const is = size === before && size > cloud.statuses.length * 100;
      before = size;
      return is;
    },
    120_000,
  );
  await window.close();
}

/** The app, live, with the scripts of the bench in its page. */
async function app(home, cloud) {
  const window = await openWindow(ending, home, { binary: asked.app, patience: PATIENCE });
  await window.until('the cloud is followed', () => cloud.isFollowed(), 300_000);
  await window.until(
    'rows are on screen',
    () =>
      window.driver.executeScript('return document.querySelectorAll("[role=row][data-index]").length > 10'),
    60_000,
  );
  await prepare(window, 'ours');
  return window;
}

async function page(name) {
  const window = await openWindow(ending, folder, {
    binary: asked.window,
    args: [asked.pages, name],
    patience: PATIENCE,
  });
  await prepare(window);
  return window;
}

async function prepare(window, side) {
  await window.driver.manage().setTimeouts({ script: PATIENCE });
  await window.driver.executeScript(scripts);
  if (side) await window.driver.executeScript('window.side = window.sides[arguments[0]]();', side);
}

/** Runs an async function in the page. */
async function inPage(window, work, ...args) {
  const answer = await window.driver.executeAsyncScript(
    `const done = arguments[arguments.length - 1]; (${work}).apply(null, [...arguments].slice(0, -1)).then((value) => done({ value }), (error) => done({ error: String(error) }));`,
    ...args,
  );
  if (answer.error) throw new Error(answer.error);
  return answer.value;
}

/** Seconds from the start of the process to rows, or an empty page, on the screen. */
async function startTimes(home) {
  const sides = {
    ours: { command: asked.app, args: [], env: { TILLWATCH_HOME: home } },
    empty: { command: asked.window, args: [asked.pages, 'empty.html'], env: {} },
  };
  const places = {};
  const times = { ours: [], empty: [] };
  for (let round = 0; round <= asked.starts; round += 1) {
    for (const [name, side] of Object.entries(sides)) {
      doing = `start ${round}, ${name}`;
      await until('the screen is empty', () => pixelOf(ROW) === null);
      const began = performance.now();
      const { child } = await start(side.command, side.args, { env: { ...process.env, ...side.env } });
      // Where the colour comes up is found out at first; then one pixel is watched.
      if (round === 0) places[name] = await until(`${name} is on screen`, () => pixelOf(ROW), 60_000, 20);
      else {
        await until(`${name} is on screen`, () => isPixel(places[name], ROW) || null, 60_000, 1);
        times[name].push((performance.now() - began) / 1000);
      }
      await stop(child);
    }
    if (round > 0)
      say(`Start ${round}: ours ${times.ours.at(-1).toFixed(3)} s, empty ${times.empty.at(-1).toFixed(3)} s`);
  }
  return times;
}

/** The header of the dump that Xvfb keeps of its screen, and where pixels begin in it. */
function screen() {
  const file = openSync(process.env.TILLWATCH_SCREEN, 'r');
  const header = Buffer.alloc(100);
  readSync(file, header, 0, 100, 0);
  const [size, , , , width, height, , , , , , , bytesPerLine, , , , , , , colours] = Array.from(
    { length: 25 },
    (_, n) => header.readUInt32BE(n * 4),
  );
  return { file, width, height, bytesPerLine, pixels: size + colours * 12 };
}

function pixelOf(colour) {
  const { file, width, height, bytesPerLine, pixels } = screen();
  const all = Buffer.alloc(fstatSync(file).size - pixels);
  readSync(file, all, 0, all.length, pixels);
  closeSync(file);
  for (let y = 0; y < height; y += 5)
    for (let x = 0; x < width; x += 5)
      if ((all.readUInt32LE(y * bytesPerLine + x * 4) & 0xffffff) === colour)
        return pixels + y * bytesPerLine + x * 4;
  return null;
}

function isPixel(place, colour) {
  const file = openSync(process.env.TILLWATCH_SCREEN, 'r');
  const pixel = Buffer.alloc(4);
  readSync(file, pixel, 0, 4, place);
  closeSync(file);
  return (pixel.readUInt32LE(0) & 0xffffff) === colour;
}

/** Tries `look` until it gives something other than null and false. */
async function until(what, look, patience = 20_000, every = 20) {
  const end = Date.now() + patience;
  for (;;) {
    const seen = look();
    if (seen !== null && seen !== false) return seen;
    if (Date.now() > end) throw new Error(`${what}: did not happen in ${patience / 1000} s`);
    await pause(every);
  }
}

/** All texts of a store that the quick search looks in. */
function folded(status) {
  const { outlet, chain, name, exchange, pos } = status;
  const error = [exchange.error?.message, exchange.error?.code];
  return [
    outlet.name,
    chain.name,
    outlet.crm_id,
    outlet.address,
    name,
    pos.version,
    pos.required_version,
    '0.1.0',
  ]
    .concat(error.map((text) => text ?? ''))
    .join('\n')
    .toLowerCase();
}

/** What each text leaves, and which comes first. */
function expected(statuses, texts) {
  const lines = statuses.map(folded);
  return texts.map((text) => {
    const words = text.split(' ').filter(Boolean);
    const found = statuses.filter((_, n) => words.every((word) => lines[n].includes(word)));
    return { text, count: found.length, first: found[0]?.id };
  });
}

async function keystrokes({ ours, peer }, statuses) {
  const texts = TYPED.flatMap((text) =>
    [...text].map((_, n) => text.slice(0, n + 1).trimEnd()).filter((text, n, all) => text !== all[n - 1]),
  );
  const steps = [...expected(statuses, texts), ...expected(statuses, [''])];
  const type = async (steps) => {
    const times = [];
    for (const step of steps)
      times.push(
        await bench.painted(
          () => side.type(step.text),
          () => side.isShown(step),
          JSON.stringify(step),
          JSON.stringify(step),
        ),
      );
    return times;
  };
  return interleaved({ ours, peer }, (window) => inPage(window, type, steps));
}

async function sorts({ ours, peer }, statuses) {
  const keys = {
    organization: (status) => status.outlet.name.toLowerCase(),
    last_success_at: (status) => status.exchange.last_success_at,
    pos_version: (status) =>
      status.pos.version
        .split('.')
        .map((part) => part.padStart(4, '0'))
        .join('.'),
  };
  const steps = Object.entries(keys).flatMap(([column, key]) =>
    [1, -1].map((way) => {
      const first = statuses.reduce((best, status) =>
        (key(status) > key(best) ? 1 : key(status) < key(best) ? -1 : 0) * way < 0 ? status : best,
      );
      return { column, count: statuses.length, first: first.id };
    }),
  );
  const sort = async (steps) => {
    const times = [];
    for (const step of steps)
      times.push(
        await bench.painted(
          () => side.sort(step.column),
          () => side.isShown(step),
          JSON.stringify(step),
          JSON.stringify(step),
        ),
      );
    return times;
  };
  return interleaved({ ours, peer }, (window) => inPage(window, sort, steps));
}

async function scrolling({ ours, empty }) {
  const steady = async (count) => {
    const striped = () => {
      const scroller = document.createElement('div');
      scroller.style.cssText = 'position: fixed; inset: 0; overflow: auto';
      const stripes = 'repeating-linear-gradient(#fff 0 29px, #ccc 29px 30px)';
      scroller.innerHTML = `<div style="height: 3000000px; background: ${stripes}"></div>`;
      document.body.append(scroller);
      return { scroller, rowHeight: 30, isFilled: () => true, end: () => scroller.remove() };
    };
    const { scroller, rowHeight, isFilled, end } = window.side ?? striped();
    scroller.scrollTop = 0;
    // From one row a frame to twenty and back again.
    const by = (n) => 1 + Math.round(9.5 * (1 - Math.cos(n / 40)));
    const { lengths, found } = await bench.frames(
      count,
      (n) => {
        scroller.scrollTop += by(n) * rowHeight;
      },
      () => (isFilled() ? undefined : 1),
    );
    end?.();
    return { lengths, blank: found.length };
  };
  const jumps = async () => {
    const { scroller } = side;
    const room = scroller.scrollHeight - scroller.clientHeight;
    const times = [];
    for (let n = 0; n < 20; n += 1) {
      const to = Math.floor((room * ((n * 7919) % 997)) / 997);
      times.push(
        await bench.painted(
          () => {
            scroller.scrollTop = to;
          },
          () => Math.abs(scroller.scrollTop - to) < 2 && side.isFilled(),
        ),
      );
    }
    return times;
  };
  const sides = {
    ours: () => inPage(ours, steady, 400),
    empty: () => inPage(empty, async (count) => bench.frames(count), 400),
    striped: () => inPage(empty, steady, 400),
  };
  const frames = await interleaved(sides, (measure) => measure());
  doing = 'jumps';
  return { frames, jumps: await inPage(ours, jumps) };
}

/** A thousand stores a second change, some of them on screen; each carries when. */
async function liveOurs(window, cloud) {
  await inPage(window, async () => {
    side.scroller.scrollTop = 0;
    await bench.frame();
  });
  const onScreen = (await inPage(window, async () => side.idsOnScreen())).map(numberOf);
  const watching = inPage(
    window,
    async (count) => {
      const late = [];
      const seen = new Set();
      const look = () => {
        const now = Date.now();
        for (const cell of document.querySelectorAll('.col-name')) {
          const text = cell.textContent.trim();
          if (!/^T\d+$/.test(text)) continue;
          const key = `${cell.parentElement.dataset.testid} ${text}`;
          if (!seen.has(key)) late.push(now - Number(text.slice(1)));
          seen.add(key);
        }
      };
      const { lengths } = await bench.frames(count, () => undefined, look);
      return { lengths, late };
    },
    900,
  );
  let turn = 0;
  const changing = setInterval(() => {
    const some = Array.from({ length: 50 }, (_, n) => (turn * 977 + n * 7919) % cloud.statuses.length);
    some[0] = onScreen[turn % onScreen.length];
    turn += 1;
    cloud.tell([...new Set(some)], (status) => ({ ...status, name: `T${Date.now()}` }));
  }, 50);
  const { lengths, late } = await watching.finally(() => clearInterval(changing));
  await pause(1000);
  const wrong = [];
  for (let n = 0; n < 40; n += 1) {
    const shown = await inPage(
      window,
      async (part) => {
        const { scroller } = side;
        const to = Math.floor((scroller.scrollHeight - scroller.clientHeight) * part);
        await bench.painted(
          () => {
            scroller.scrollTop = to;
          },
          () => Math.abs(scroller.scrollTop - to) < 2 && side.isFilled(),
        );
        return side.idsOnScreen().map((id) => [id, side.name(id)]);
      },
      n / 40,
    );
    for (const [id, name] of shown) if (cloud.statuses[numberOf(id)]?.name !== name) wrong.push(id);
  }
  return { lengths, late, wrong: wrong.length, changes: turn * 50 };
}

async function livePeer(window, cloud) {
  const { lengths } = await inPage(
    window,
    async (ids, count) => {
      let turn = 0;
      const changing = setInterval(() => {
        const rows = Array.from({ length: 50 }, (_, n) => ({
          id: ids[(turn * 977 + n * 7919) % ids.length],
          name: `T${Date.now()}`,
        }));
        turn += 1;
        side.change(rows);
      }, 50);
      try {
        return await bench.frames(count);
      } finally {
        clearInterval(changing);
      }
    },
    cloud.statuses.map(({ id }) => id),
    900,
  );
  return { lengths };
}

/** An hour of use in a minute: typing, sorting, scrolling, changes. */
async function use(window, cloud) {
  let turn = 0;
  const changing = setInterval(() => {
    turn += 1;
    const some = Array.from({ length: 50 }, (_, n) => (turn * 977 + n * 7919) % cloud.statuses.length);
    cloud.tell([...new Set(some)], (status) => ({ ...status, name: `POS ${turn}` }));
  }, 50);
  try {
    await inPage(
      window,
      async (texts) => {
        const settle = async () => {
          for (let n = 0; n < 4; n += 1) await bench.frame();
        };
        for (let round = 0; round < 12; round += 1) {
          for (const text of texts)
            for (let n = 1; n <= text.length; n += 1) {
              side.type(text.slice(0, n));
              await settle();
            }
          side.type('');
          await settle();
          for (const column of ['organization', 'chain', 'pos_version', 'last_success_at']) {
            side.sort(column);
            await settle();
          }
          for (let n = 0; n < 100; n += 1) {
            side.scroller.scrollTop += 300;
            await bench.frame();
          }
          side.scroller.scrollTop = 0;
        }
      },
      TYPED,
    );
  } finally {
    clearInterval(changing);
  }
}

/** Bytes that the window's web process holds by itself, with its part of what it shares. */
function memoryOf(window) {
  const parents = new Map(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        try {
          const [, name, parent] = /^\d+ \((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'));
          return [[Number(pid), { name, parent: Number(parent) }]];
        } catch {
          return [];
        }
      }),
  );
  const isBelow = (pid) => {
    for (let at = pid; at > 1; at = parents.get(at)?.parent ?? 0) if (at === window.servicePid) return true;
    return false;
  };
  const web = [...parents].filter(([pid, { name }]) => name.startsWith('WebKitWebProc') && isBelow(pid));
  if (web.length === 0) throw new Error('the web process was not found');
  return web.reduce(
    (sum, [pid]) =>
      sum + Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) * 1024,
    0,
  );
}

/** Five times each, in turn. */
async function interleaved(windows, work) {
  const results = Object.fromEntries(Object.keys(windows).map((name) => [name, []]));
  for (let round = 1; round <= 5; round += 1)
    for (const [name, window] of Object.entries(windows)) {
      doing = `round ${round}, ${name}`;
      results[name].push(await work(window));
    }
  return results;
}

function numberOf(id) {
  return Number.parseInt(id.slice(-12), 16);
}

function sizeOf(file) {
  try {
    const open = openSync(file, 'r');
    const { size } = fstatSync(open);
    closeSync(open);
    return size;
  } catch {
    return 0;
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
