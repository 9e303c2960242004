// Runs `node ARGS…` in a network of its own, which has nothing but a loopback: a test may drop packets there. `localhost` is
// both of its addresses, whatever this machine calls so.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';

const folder = mkdtempSync(path.join(os.tmpdir(), 'tillwatch-network-'));
try {
  const hosts = path.join(folder, 'hosts');
  writeFileSync(hosts, '::1 localhost\n127.0.0.1 localhost\n');
  const within = 'mount --bind "$1" /etc/hosts && ip link set lo up && shift && exec "$@"';
  const node = [process.execPath, ...process.argv.slice(2)];
  const ended = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', within, 'sh', hosts, ...node], {
    stdio: 'inherit',
  });
  process.exitCode = ended.status ?? 1;
} finally {
  rmSync(folder, { recursive: true });
}
