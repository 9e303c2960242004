// A Postgres server of our own in a folder, which only this machine's processes reach.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { start } from './run.mjs';

/**
 * Starts it with a configuration, and waits until it answers. Gives its address, `stop`, which ends it at once, and
 * `restart`, after which it has what it had committed. The folder must be one of ours, as its database's owner has to be
 * let in.
 */
export async function startPostgres(folder, configuration) {
  const versions = '/usr/lib/postgresql';
  const newest = readdirSync(versions).sort((a, b) => Number(b) - Number(a))[0];
  const bin = (name) => path.join(versions, newest, 'bin', name);
  // Postgres refuses to run as root.
  const isRoot = process.getuid() === 0;
  const as = isRoot ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups'] : ['env'];
  const data = path.join(folder, 'postgres');
  mkdirSync(data, { mode: 0o700 });
  if (isRoot) {
    chmodSync(folder, 0o755);
    const [uid, gid] = ['-u', '-g'].map((flag) => Number(spawnSync('id', [flag, 'postgres']).stdout));
    chownSync(data, uid, gid);
  }
  const made = spawnSync(as[0], [
    ...as.slice(1),
    bin('initdb'),
    `--pgdata=${data}`,
    '--username=tillwatch',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--no-sync',
  ]);
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
  const own = `\nlisten_addresses = ''\nunix_socket_directories = '${data}'\n`;
  writeFileSync(path.join(data, 'conf'), configuration + own, { mode: 0o644 });
  const answers = () => spawnSync(bin('pg_isready'), ['--quiet', `--host=${data}`]).status === 0;
  const begin = async () => {
    const command = [bin('postgres'), '-D', data, '-c', `config_file=${path.join(data, 'conf')}`];
    const { child } = await start(as[0], [...as.slice(1), ...command], { name: 'postgres' });
    for (const deadline = Date.now() + 30_000; !answers();) {
      if (Date.now() > deadline || child.exitCode !== null) {
        await end(child);
        throw new Error(`Postgres does not start: ${child.output()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return child;
  };
  const end = async (child) => {
    child.kill('SIGQUIT');
    await child.exited;
  };
  let child = await begin();
  const stop = () => end(child);
  const restart = async () => {
    await stop();
    child = await begin();
  };
  return { url: `postgres://tillwatch@localhost/postgres?host=${data}`, stop, restart };
}
