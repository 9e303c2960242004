// The steps of a program that last: what it has the disk keep. A program can be killed at any of them.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { spawn, spawnSync } from 'node:child_process';
import { atEnd } from './at-end.mjs';

/** Calls of the system after which something is on the disk, or has another name there. */
const KEPT = 'fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat';
/** How long a thread is held at a step, so that it is killed there and not on its way to the next. */
const HELD_MICROSECONDS = 30_000;

/** Why programs can't be watched here; null when they can. */
export const notWatched =
  spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0 ? null : 'strace may not watch programs here';

/**
 * Watches a program. `step(name, number)` is told of each of its steps, such as `rename journal.json`, from now on.
 * Gives what stops it.
 */
export async function watchSteps(t, pid, step) {
  const hold = `inject=${KEPT}:delay_exit=${HELD_MICROSECONDS}`;
  const child = spawn('strace', ['-fyq', '-e', `trace=${KEPT}`, '-e', hold, '-e', 'signal=none', '-p', pid], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = () => {
    // Asked to end while the program is being killed, strace may wait for ever; the kernel lets go of what it watched.
    child.kill('SIGKILL');
    return ended;
  };
  atEnd(t, stop);
  let [rest, number] = ['', 0];
  child.stderr.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const [, thread, call, args] = /^(?:\[pid +(\d+)\] )?(\w+)\((.*)\) += 0/.exec(line) ?? [];
      // Its child, the POS server, has steps of its own.
      if (call === undefined || (thread !== undefined && processOf(thread) !== pid)) continue;
      // The last name: what a file was renamed to.
      const name = [...args.matchAll(/"([^"]*)"|<([^>]*)>/g)].pop();
      step(`${call} ${named(name?.[1] ?? name?.[2] ?? '')}`, (number += 1));
    }
  });
  await watched(child, pid, ended);
  return stop;
}

/** Waits until the kernel says that the program is watched by this one. */
async function watched(child, pid, ended) {
  let gone = false;
  ended.then(() => (gone = true));
  while (!gone && !new RegExp(`^TracerPid:\\s+${child.pid}$`, 'm').test(status(pid)))
    await new Promise((resolve) => setImmediate(resolve));
  if (gone) throw new Error(`strace does not watch ${pid}`);
}

function processOf(thread) {
  return Number(/^Tgid:\s+(\d+)$/m.exec(status(thread))?.[1]);
}

function status(pid) {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}

/** A file's name without what differs from run to run. */
function named(file) {
  return path.basename(file).replace(/(?<=^.writing-).*|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9A-Za-z_-]{21}/g, '…');
}
