// A machine of its own with a real systemd: this one's files in a container, whose changes go with it.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { output } from '../../scripts/lib/run.mjs';
import { atEnd } from './at-end.mjs';
import { temporaryFolder } from './scene.mjs';

/** Why there can be no such machine here; undefined when there can. */
export const noMachine =
  process.platform !== 'linux'
    ? 'needs Linux'
    : process.getuid() !== 0
      ? 'needs root'
      : output('systemd-nspawn', ['--version']) === null
        ? 'needs systemd-nspawn (Debian: systemd-container)'
        : undefined;

/**
 * Boots a machine. `programs` lie in its `/opt/tillwatch`; it shares the network. `run(...words)` runs a command in it and
 * gives `{code, said}`, `ok(...words)` also checks that it succeeded, `eventually(what, test)` waits.
 */
export async function machine(t, programs) {
  const folder = temporaryFolder(t);
  const mount = (...words) => assert.equal(spawnSync('mount', words).status, 0, `mount ${words.join(' ')}`);
  mount('-t', 'tmpfs', 'none', folder);
  atEnd(t, () => void spawnSync('umount', ['--lazy', folder]));
  const [root, upper, work] = ['root', 'upper', 'work'].map((name) => path.join(folder, name));
  for (const dir of [root, upper, work]) mkdirSync(dir);
  mount('-t', 'overlay', 'overlay', '-o', `lowerdir=/,upperdir=${upper},workdir=${work}`, root);
  atEnd(t, () => void spawnSync('umount', ['--lazy', root]));
  mkdirSync(path.join(root, 'opt/tillwatch'), { recursive: true });
  for (const file of programs) copyFileSync(file, path.join(root, 'opt/tillwatch', path.basename(file)));
  writeFileSync(path.join(root, 'etc/machine-id'), '');

  const words = ['--directory', root, '--machine', path.basename(folder), '--register=no', '--quiet'];
  // Without a systemd here nobody could make a unit for the container.
  if (!existsSync('/run/systemd/system')) words.push('--keep-unit');
  // Nothing of this machine's own services: the basics, and what the test installs.
  const container = spawn('systemd-nspawn', [...words, '--boot', '--', '--unit=basic.target'], {
    stdio: 'pipe',
  });
  const ended = new Promise((resolve) => container.once('exit', resolve));
  let console_ = '';
  for (const stream of [container.stdout, container.stderr])
    stream.setEncoding('utf8').on('data', (text) => (console_ += text));
  atEnd(t, async () => {
    container.kill('SIGKILL');
    await ended;
  });

  const self = { root };
  const eventually = async (what, test, patience = 60_000) => {
    const deadline = Date.now() + patience;
    for (;;) {
      const value = test();
      if (value) return value;
      assert.ok(container.exitCode === null, `the machine has stopped:\n${console_}`);
      assert.ok(Date.now() < deadline, `${what}: did not happen in ${patience / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const leader = await eventually('the machine starts', () => firstChild(container.pid));
  self.run = (...command) => {
    const inside = spawnSync('nsenter', ['--target', leader, '--all', '--', ...command], {
      encoding: 'utf8',
    });
    return { code: inside.status, said: `${inside.stdout}${inside.stderr}`.trim() };
  };
  self.ok = (...command) => {
    const { code, said } = self.run(...command);
    assert.equal(code, 0, `${command.join(' ')}: ${said}`);
    return said;
  };
  self.eventually = eventually;
  await eventually('the machine is up', () =>
    /^(running|degraded)$/.test(self.run('systemctl', 'is-system-running').said),
  );
  return self;
}

function firstChild(pid) {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0] || undefined;
  } catch {
    return undefined;
  }
}
