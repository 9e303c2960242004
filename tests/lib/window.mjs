// The real window, driven through WebKit's own driver, and its native dialogs through X.
import { mkdirSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawn, spawnSync } from 'node:child_process';
import { Builder, By, Capabilities, Key, until } from 'selenium-webdriver';
import { freePort } from '../../scripts/lib/ports.mjs';
import { stop } from '../../scripts/lib/run.mjs';
import { program } from './scene.mjs';
import { atEnd } from './at-end.mjs';

const pictures = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'out');

/** How long one command of the driver, closing a window, one step of a story, may take, in ms: some never come back. */
const PATIENCE = { command: 60_000, quit: 15_000, step: 120_000 };

/** Opens the app with everything it keeps in `home`. Ends with the test. */
export async function openWindow(
  t,
  home,
  { args = [], binary = program('tillwatch'), env = {}, patience = PATIENCE.command } = {},
) {
  const port = await freePort();
  const service = spawn('WebKitWebDriver', [`--port=${port}`, '--host=127.0.0.1'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      TAURI_AUTOMATION: 'true',
      TAURI_WEBVIEW_AUTOMATION: 'true',
      TILLWATCH_HOME: home,
      ...env,
    },
  });
  service.exited = new Promise((resolve) => service.once('exit', resolve));
  atEnd(t, () => stop(service));
  await listening(port);
  const capabilities = new Capabilities();
  capabilities.set('browserName', 'wry');
  capabilities.set('webkitgtk:browserOptions', { binary, args });
  const building = new Builder()
    .withCapabilities(capabilities)
    .usingServer(`http://127.0.0.1:${port}`)
    .build();
  const driver = await within(PATIENCE.command, 'the window opens', building);
  const execute = driver.execute.bind(driver);
  driver.execute = (command) => within(patience, `the driver answers ${command.getName()}`, execute(command));
  let open = true;
  const close = async () => {
    if (!open) return;
    open = false;
    const apps = childrenOf(service.pid);
    await within(PATIENCE.quit, 'the window closes', driver.quit()).catch(() => undefined);
    await stop(service);
    // A quit that comes to nothing leaves the app behind: it would hold the output, and be taken for the next one.
    for (const pid of apps) end(pid);
  };
  atEnd(t, close);
  return new Window(driver, close, service.pid);
}

class Window {
  constructor(driver, close, servicePid) {
    this.driver = driver;
    this.close = close;
    /** The driver's own process, below which the app runs. */
    this.servicePid = servicePid;
  }

  /** The element with that test id, once it is on screen. */
  async find(testId, patience = 20_000) {
    const element = await this.driver.wait(until.elementLocated(byTestId(testId)), patience, `no ${testId}`);
    await this.driver.wait(until.elementIsVisible(element), patience, `${testId} is hidden`);
    return element;
  }

  async click(testId) {
    const element = await this.find(testId);
    await this.driver.wait(until.elementIsEnabled(element), 20_000, `${testId} is off`);
    await element.click();
  }

  /** Replaces what stands in a field, as a person would. */
  async type(testId, text) {
    const element = await this.find(testId);
    await element.sendKeys(Key.chord(Key.CONTROL, 'a'));
    await element.sendKeys(Key.DELETE);
    await element.sendKeys(text);
  }

  async text(testId) {
    return (await this.find(testId)).getText();
  }

  async count(testId) {
    return (await this.driver.findElements(byTestId(testId))).length;
  }

  /** Waits until `look` answers something true; stale elements are looked up again. */
  async until(what, look, patience = 30_000) {
    return this.driver.wait(
      async () => {
        try {
          return await look();
        } catch (error) {
          if (['StaleElementReferenceError', 'NoSuchElementError'].includes(error.name)) return false;
          throw error;
        }
      },
      patience,
      what,
    );
  }

  /** Keeps a picture of the window in tests/out: from the screen, as the driver's own screenshots never come back. */
  picture(name) {
    mkdirSync(pictures, { recursive: true });
    const windows = spawnSync('xdotool', ['search', '--onlyvisible', '--name', '^Tillwatch$'], {
      encoding: 'utf8',
    });
    const id = windows.stdout.trim().split('\n').pop();
    const ended = spawnSync('import', ['-window', id, path.join(pictures, `${name}.png`)], {
      encoding: 'utf8',
    });
    if (ended.status !== 0) throw new Error(`no picture of ${name}: ${ended.stderr}`);
  }
}

export const byTestId = (testId) => By.css(`[data-testid="${testId}"]`);

/** Answers a native save dialog: types the path and presses Return; with null it is dismissed. */
export async function answerDialog(title, file) {
  const find = () =>
    spawnSync('xdotool', ['search', '--onlyvisible', '--name', `^${title}$`], { encoding: 'utf8' });
  const id = await eventually(
    `the dialog ${title} opens`,
    () => find().stdout.trim().split('\n')[0] || undefined,
  );
  const xdotool = (...args) => {
    const ended = spawnSync('xdotool', args, { encoding: 'utf8' });
    if (ended.status !== 0) throw new Error(`xdotool ${args.join(' ')}: ${ended.stderr}`);
  };
  xdotool('windowactivate', '--sync', id);
  if (file === null) xdotool('key', '--window', id, 'Escape');
  else {
    xdotool('key', 'ctrl+a');
    xdotool('type', '--delay', '5', file);
    xdotool('key', 'Return');
  }
  await eventually(`the dialog ${title} closes`, () => (find().stdout.trim() === '' ? true : undefined));
}

/** What `work` gives, or an error that names it when it takes longer than `patience` ms. */
export async function within(patience, what, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: did not happen in ${patience / 1000} s`)), patience);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The processes that a process has started and that are there. */
function childrenOf(pid) {
  const listed = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  return listed.stdout.trim().split(/\s+/).filter(Boolean).map(Number);
}

/** Ends a process, if it has not ended by itself. */
function end(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** Tries `look` until it gives something, at most 20 s; native windows and files tell nobody when they change. */
export async function eventually(what, look, patience = 20_000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await look();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error(`${what}: did not happen in ${patience / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function listening(port) {
  return eventually(
    'WebKitWebDriver listens',
    () =>
      new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.once('connect', () => {
          socket.destroy();
          resolve(true);
        });
        socket.once('error', () => resolve(undefined));
      }),
  );
}

/** Steps of one story: each builds on the one before, so the first that fails ends it, with a picture of the window. */
export function story(t, picture) {
  return async (name, work) => {
    try {
      await within(PATIENCE.step, 'the step', work());
      t.diagnostic(name);
    } catch (error) {
      picture();
      error.message = `${name}: ${error.message}`;
      throw error;
    }
  };
}
