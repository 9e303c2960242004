// Servers and agents under measurement: starting peers, waiting for them, and what they take of the machine.
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { stop } from '../../scripts/lib/run.mjs';

/** The memory of a process that is in RAM, in bytes; with `RssAnon`, of that what is its own and of no file. */
export function resident(pid, kind = 'VmRSS') {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${kind}:\\s+(\\d+) kB$`, 'm').exec(status)[1]) * 1024;
}

/**
 * The CPU time that a process has had, all threads together, those that have ended among them. `/proc` counts that in
 * hundredths of a second; the process's own clock, whose number Linux makes of the pid, in nanoseconds.
 */
export function cpuSeconds(pid) {
  const clock = 'import sys, time; print(time.clock_gettime_ns(~int(sys.argv[1]) << 3 | 2))';
  return Number(execFileSync('/usr/bin/python3', ['-c', clock, String(pid)], { encoding: 'utf8' })) / 1e9;
}

/** Starts a server that says nothing when it listens, and waits until it does. */
export async function startPeer(command, args, folder, port) {
  const log = openSync(path.join(folder, 'log'), 'w');
  const child = spawn(command, args, { stdio: ['ignore', log, log] });
  closeSync(log);
  let trouble;
  child.once('error', (error) => (trouble = error));
  child.exited = new Promise((resolve) => {
    child.once('exit', resolve);
    child.once('error', resolve);
  });
  for (let tries = 0; tries < 100; tries++) {
    if (await listens(port)) return child;
    if (trouble || child.exitCode !== null)
      throw new Error(
        `${command} did not start: ${trouble?.message ?? readFileSync(path.join(folder, 'log'), 'utf8')}`,
      );
    await seconds(0.1);
  }
  await stop(child);
  throw new Error(`${command} does not listen.`);
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
}

/** Asks again and again until the answer is true. */
export async function until(what, ask, patience = 60) {
  const deadline = Date.now() + patience * 1000;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`${what}: did not happen in ${patience} s`);
    await seconds(0.2);
  }
}

export function seconds(count) {
  return new Promise((resolve) => setTimeout(resolve, count * 1000));
}
