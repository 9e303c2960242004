// Runs `node ARGS…` in a desktop session of its own: screen, window manager, message bus, keychain, home.
// Without it a test would meet the developer's own screen and secrets, or none at all on a server.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { stop } from '../../scripts/lib/run.mjs';

const home = mkdtempSync(path.join(os.tmpdir(), 'tillwatch-session-'));
const runtime = path.join(home, 'run');
mkdirSync(runtime, { mode: 0o700 });

// Xvfb picks a free display and writes its number into the pipe.
const screen = spawn(
  'Xvfb',
  ['-displayfd', '3', '-screen', '0', '1600x1000x24', '-nolisten', 'tcp', '-noreset', '-fbdir', home],
  {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  },
);
screen.exited = new Promise((resolve) => screen.once('exit', resolve));
const display = await new Promise((resolve, reject) => {
  screen.stdio[3].setEncoding('utf8').once('data', (text) => resolve(`:${text.trim()}`));
  screen.once('error', reject);
  screen.exited.then(() => reject(new Error('Xvfb ended before it was ready')));
});

const keychain = 'printf test | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1';
const session = spawn(
  'dbus-run-session',
  [
    '--',
    'bash',
    '-c',
    `${keychain}; openbox >/dev/null 2>&1 & manager=$!; "$@"; code=$?; kill $manager; exit $code`,
    'bash',
    process.execPath,
    ...process.argv.slice(2),
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      DISPLAY: display,
      // The screen as a file, for those who want to know when something is on it.
      TILLWATCH_SCREEN: path.join(home, 'Xvfb_screen0'),
      HOME: home,
      // Cargo and rustup stay where they are although HOME moves.
      CARGO_HOME: process.env.CARGO_HOME ?? path.join(os.homedir(), '.cargo'),
      RUSTUP_HOME: process.env.RUSTUP_HOME ?? path.join(os.homedir(), '.rustup'),
      XDG_RUNTIME_DIR: runtime,
      XDG_CONFIG_HOME: path.join(home, 'config'),
      XDG_DATA_HOME: path.join(home, 'data'),
      XDG_CACHE_HOME: path.join(home, 'cache'),
      WAYLAND_DISPLAY: '',
      LANG: 'C.UTF-8',
      NO_AT_BRIDGE: '1',
      WEBKIT_DISABLE_DMABUF_RENDERER: '1',
    },
  },
);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => session.kill(signal));
const code = await new Promise((resolve) =>
  session.once('exit', (code, signal) => resolve(signal ? 1 : code)),
);
await stop(screen);
rmSync(home, { recursive: true, force: true, maxRetries: 5 });
process.exitCode = code;
