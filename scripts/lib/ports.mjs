// Ports for programs that cannot choose one themselves.
import { randomInt } from 'node:crypto';
import net from 'node:net';

// Below what any of the three systems hands out by itself (Linux from 32,768, Windows and macOS from 49,152): a port from
// there could become the near end of any connection between the look at it and its use.
const RANGE = [10_000, 32_768];

/** A port of loopback that nobody listens on now. */
export async function freePort() {
  for (;;) {
    const port = randomInt(...RANGE);
    if (await isFree(port)) return port;
  }
}

/** Several of them, all different. */
export async function freePorts(count) {
  const ports = new Set();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

function isFree(port) {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
