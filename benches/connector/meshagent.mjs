// MeshAgent, connected to a MeshCentral of its own: both come in one npm package.
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { request } from '../../scripts/lib/cloud.mjs';
import { freePort } from '../../scripts/lib/ports.mjs';
import { output, run, start } from '../../scripts/lib/run.mjs';
import { targetDir } from '../../scripts/lib/setup.mjs';

const VERSION = '1.1.55';
const USER = 'bench';

/** Starts a MeshCentral that keeps everything in the folder and listens on loopback. */
export async function newMeshServer(folder) {
  const program = installed();
  const [dataDir, files] = ['mesh-data', 'mesh-files'].map((name) => path.join(folder, name));
  for (const dir of [dataDir, files]) mkdirSync(dir);
  const port = await freePort();
  const settings = {
    cert: '127.0.0.1',
    port,
    portBind: '127.0.0.1',
    exactPorts: true,
    // Neither the listeners that agents don't use, nor anything that looks outside.
    redirPort: 0,
    mpsPort: 0,
    WANonly: true,
    agentTimeStampServer: false,
    selfUpdate: false,
    autoBackup: false,
  };
  writeFileSync(path.join(dataDir, 'config.json'), JSON.stringify({ settings }));
  const password = randomBytes(12).toString('hex');
  const server = (...args) => [
    path.join(program, 'meshcentral.js'),
    ...['--datapath', dataDir, '--filespath', files],
    ...args,
  ];
  const account = server('--createaccount', USER, '--pass', password, '--email', 'bench@example.com');
  if (output(process.execPath, account, { cwd: folder }) === null)
    throw new Error('MeshCentral made no account.');
  // `--launch` has it serve in this process, which ends when its input does, rather than in a child.
  const { child } = await start(process.execPath, server('--launch', String(process.pid)), {
    name: 'MeshCentral',
    cwd: folder,
    ready: (line) => /^MeshCentral HTTPS server running on /.test(line) || undefined,
  });
  const url = `127.0.0.1:${port}`;
  const login = ['--url', `wss://${url}`, '--loginuser', USER, '--loginpass', password];
  return {
    child,
    program,
    url: `https://${url}`,
    ca: path.join(dataDir, 'root-cert-public.crt'),
    control: (...args) => output(process.execPath, [path.join(program, 'meshctrl.js'), ...args, ...login]),
  };
}

/** An agent that belongs to a group of the server, with the settings that the server hands out for it. */
export async function newMeshAgent(server, folder) {
  const home = path.join(folder, 'meshagent');
  mkdirSync(home);
  const program = path.join(home, 'meshagent');
  copyFileSync(path.join(server.program, 'agents', 'meshagent_x86-64'), program);
  chmodSync(program, 0o755);
  const group = /^ok mesh\/\/(\S+)/.exec(server.control('adddevicegroup', '--name', 'bench'))?.[1];
  if (!group) throw new Error('MeshCentral made no group of devices.');
  const settings = await request(server, 'GET', `/meshsettings?id=${encodeURIComponent(group)}`);
  writeFileSync(`${program}.msh`, settings.bytes);
  return {
    name: 'MeshAgent',
    program,
    start: async () => (await start(program, ['connect'], { cwd: home })).child,
    link: async () => {
      const [device] = JSON.parse(server.control('listdevices', '--json') ?? '[]');
      return device?.conn === 1 ? device.agct : undefined;
    },
  };
}

/** The folder of the package, which is installed once, apart from the project's own. */
function installed() {
  const folder = path.join(targetDir(), 'bench', `meshcentral-${VERSION}`);
  const program = path.join(folder, 'node_modules', 'meshcentral');
  if (!existsSync(path.join(program, 'meshcentral.js'))) {
    mkdirSync(folder, { recursive: true });
    const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
    const apart = ['--prefix', folder, '--no-save', '--ignore-scripts'];
    run('npm', ['install', ...apart, ...quiet, `meshcentral@${VERSION}`]);
  }
  return program;
}
