// A cloud with one store, and the connector of that store with the POS server that it supervises unless told otherwise.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { cloudCommand, importFleet, signIn, startCloud } from '../../scripts/lib/cloud.mjs';
import { start } from '../../scripts/lib/run.mjs';

const EMAIL = 'bench@example.com';
const PASSWORD = 'a password for a bench';

/** Starts a cloud that knows one store. */
export async function newCloud(program, folder) {
  const dataDir = path.join(folder, 'cloud');
  mkdirSync(dataDir);
  const add = ['user', 'add', '--email', EMAIL, '--name', 'Bench', '--admin', '--password-stdin'];
  cloudCommand(program, [...add, '--data-dir', dataDir], PASSWORD);
  const { stores } = importFleet(program, dataDir, [
    {
      chain: 'Chain',
      outlet: 'Outlet',
      crm_id: '1',
      address: 'Street 1',
      time_zone: 'Europe/Riga',
      pos_server: 'Main',
    },
  ]);
  return { ...(await startCloud(program, dataDir)), store: stores[0] };
}

/** The connector of the cloud's store, enrolled. */
export async function newStore(program, cloud, folder) {
  const dataDir = path.join(folder, 'store');
  const who = ['--cloud', cloud.url, '--ca', cloud.ca, '--code', cloud.store.code];
  execFileSync(program, ['enroll', ...who, '--data-dir', dataDir], { stdio: ['ignore', 'ignore', 'pipe'] });
  const api = await signIn(cloud, EMAIL, PASSWORD);
  return {
    name: 'the connector',
    program,
    start: async () => (await start(program, ['run', '--data-dir', dataDir], {})).child,
    link: async () => {
      const { link, pos } = await api('GET', `/pos-servers/${cloud.store.id}`);
      return link.state === 'online' && pos.state === 'running' ? link.since : undefined;
    },
  };
}
