// zabbix-agent2 that waits for a server to ask it.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePort } from '../../scripts/lib/ports.mjs';
import { startPeer } from '../lib/processes.mjs';

const PROGRAM = '/usr/sbin/zabbix_agent2';

/** An agent on loopback that nobody asks. It has no link. */
export async function newZabbixAgent(folder) {
  const home = path.join(folder, 'zabbix');
  mkdirSync(home);
  const port = await freePort();
  const config = path.join(home, 'agent.conf');
  writeFileSync(
    config,
    `LogType=console
Hostname=bench
Server=127.0.0.1
ListenIP=127.0.0.1
ListenPort=${port}
PidFile=${home}/pid
ControlSocket=${home}/control
PluginSocket=${home}/plugins
`,
  );
  return {
    name: 'zabbix-agent2',
    program: PROGRAM,
    start: () => startPeer(PROGRAM, ['-f', '-c', config], home, port),
  };
}
