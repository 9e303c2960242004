// Programs for Windows, run by wine in the home that scripts/windows-toolchain.sh made.
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { spawn, spawnSync } from 'node:child_process';
import { targetDir } from '../../scripts/lib/setup.mjs';
import { atEnd } from './at-end.mjs';

const toolchain = path.join(process.env.TILLWATCH_TARGET ?? targetDir(), 'windows');
const prefix = path.join(toolchain, 'wine');
const built = path.join(toolchain, 'target', 'x86_64-pc-windows-gnu', 'debug');
const env = {
  ...process.env,
  WINEARCH: 'win64',
  WINEDEBUG: '-all',
  WINEDLLOVERRIDES: 'mscoree,mshtml=',
  WINEPREFIX: prefix,
};

/** A path of this system as programs under wine know it. */
export const fromHere = (file) => `Z:${file.replaceAll('/', '\\')}`;

/**
 * A folder on the disk `C:` with these programs in it; `folder` as this system and `there` as Windows calls it. `run` runs one of
 * them to its end. Both go with the test.
 */
export function machine(t, programs) {
  const name = `tillwatch-${randomBytes(4).toString('hex')}`;
  const folder = path.join(prefix, 'drive_c', name);
  mkdirSync(folder);
  atEnd(t, () => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 }));
  for (const program of programs)
    copyFileSync(path.join(built, `${program}.exe`), path.join(folder, `${program}.exe`));
  // Services end with the last ordinary process: this one waits for a command that never comes.
  const holding = spawn('wine', ['cmd'], { env, stdio: ['pipe', 'ignore', 'ignore'] });
  const held = new Promise((resolve) => holding.once('exit', resolve));
  atEnd(t, async () => {
    holding.stdin.end();
    await held;
  });
  // What starts Windows' own services hands them its output for good: nobody waits for this one's.
  spawnSync('wine', ['cmd', '/c', 'exit'], { env, stdio: 'ignore' });
  const run = (program, ...args) => {
    const ended = spawnSync('wine', [path.join(folder, `${program}.exe`), ...args], {
      env,
      encoding: 'utf8',
      timeout: 120_000,
    });
    if (ended.error) throw ended.error;
    return { code: ended.status, output: `${ended.stdout}${ended.stderr}` };
  };
  return { name, folder, there: `C:\\${name}`, run };
}
