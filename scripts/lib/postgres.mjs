// A Postgres server of our own in a folder, which only this machine's processes reach.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { start } from './run.mjs';

/**
 * Starts it with a configuration, and waits until it answers. Gives its address, which is a socket in the folder, `stop`,
 * which ends it at once, and `restart`, after which it has what it had committed. The folder must be one of ours, as its
 * database's owner has to be let in. With `tls`, the files of a certificate and its key, it also listens on a port of the
 * loopback, for whom the lines of `admitted` let in.
 */
export async function startPostgres(folder, configuration, { port, tls, admitted } = {}) {
  const versions = '/usr/lib/postgresql';
  const newest = readdirSync(versions).sort((a, b) => Number(b) - Number(a))[0];
  const bin = (name) => path.join(versions, newest, 'bin', name);
  // Postgres refuses to run as root.
  const isRoot = process.getuid() === 0;
  const as = isRoot ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups'] : ['env'];
  const data = path.join(folder, 'postgres');
  mkdirSync(data, { mode: 0o700 });
  const [uid, gid] = isRoot
    ? ['-u', '-g'].map((flag) => Number(spawnSync('id', [flag, 'postgres']).stdout))
    : [];
  if (isRoot) {
    chmodSync(folder, 0o755);
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
  const place = (name) => path.join(data, name);
  let own = `\nunix_socket_directories = '${data}'\n`;
  if (tls) {
    copyFileSync(tls.certificate, place('tls.pem'));
    copyFileSync(tls.key, place('tls-key.pem'));
    if (isRoot) for (const name of ['tls.pem', 'tls-key.pem']) chownSync(place(name), uid, gid);
    own += `listen_addresses = '127.0.0.1'\nport = ${port}\n`;
    own += `ssl_cert_file = '${place('tls.pem')}'\nssl_key_file = '${place('tls-key.pem')}'\n`;
    writeFileSync(place('pg_hba.conf'), `local all all trust\n${admitted}`);
  } else own += `listen_addresses = ''\nssl = off\n`;
  writeFileSync(place('conf'), configuration + own, { mode: 0o644 });
  const url = `postgres://tillwatch@localhost:${port ?? 5432}/postgres?host=${data}`;
  const answers = () => spawnSync(bin('pg_isready'), ['--quiet', `--dbname=${url}`]).status === 0;
  const begin = async () => {
    const command = [bin('postgres'), '-D', data, '-c', `config_file=${place('conf')}`];
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
  return { url, stop, restart };
}
