// Starting other programs, with their output where a person can see it.
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's root folder. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

const npmWord = process.platform === 'win32' ? 'npm.cmd' : 'npm';

/** Runs a command to its end, its output passed through. Throws with the command line when it fails. */
export function run(command, args, options = {}) {
  const line = [command, ...args].join(' ');
  const ended = spawnSync(command === 'npm' ? npmWord : command, args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32' && command === 'npm',
    ...options,
    env: { ...process.env, ...options.env },
  });
  if (ended.error) throw new Error(`${line}: ${ended.error.message}`);
  if (ended.status !== 0)
    throw new Error(`${line}: ${ended.signal ? `ended by ${ended.signal}` : `exit code ${ended.status}`}`);
}

/** Runs a command and gives what it printed, or null when it failed or is not there. */
export function output(command, args, options = {}) {
  const ended = spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });
  return ended.status === 0 ? ended.stdout : null;
}

/** Times a step and says how long it took. */
export async function step(title, work) {
  const started = Date.now();
  process.stdout.write(`\n── ${title}\n`);
  try {
    return await work();
  } finally {
    process.stdout.write(`── ${title}: ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
  }
}

/**
 * Starts a program that stays. `ready` takes each line of its standard output and answers something other than
 * undefined when the program is up; that is what the promise gives, as `value`, beside the process. Without `ready`
 * the program counts as up once it was spawned.
 */
export function start(command, args, { ready, name = path.basename(command), log, ...options }) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const tail = [];
  const keep = (chunk) => {
    tail.push(chunk);
    if (tail.length > 200) tail.shift();
    log?.(chunk);
  };
  child.stderr.setEncoding('utf8').on('data', keep);
  child.exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  child.output = () => tail.join('');
  return new Promise((resolve, reject) => {
    let rest = '';
    if (!ready) child.once('spawn', () => resolve({ child }));
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      keep(chunk);
      if (!ready) return;
      rest += chunk;
      const lines = rest.split('\n');
      rest = lines.pop();
      for (const line of lines) {
        const value = ready(line.trim());
        if (value !== undefined) resolve({ child, value });
      }
    });
    child.once('error', (error) => reject(new Error(`${name} did not start: ${error.message}`)));
    child.exited.then(({ code, signal }) =>
      reject(new Error(`${name} ended (${signal ?? code}) before it was ready:\n${tail.join('')}`)),
    );
  });
}

/** Asks a program to end and waits for it; ends it hard after `patience` ms. */
export async function stop(child, patience = 10_000) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const hard = setTimeout(() => child.kill('SIGKILL'), patience);
  await child.exited;
  clearTimeout(hard);
}
