// The connector in a store's machine, connected and idle, beside MeshAgent and zabbix-agent2: memory, size, CPU.
import { statSync } from 'node:fs';
import { release, inFolder, median, row, runs, shown, target } from '../scripts/lib/measure.mjs';
import { stop } from '../scripts/lib/run.mjs';
import { newCloud, newStore } from './connector/store.mjs';
import { newMeshServer, newMeshAgent } from './connector/meshagent.mjs';
import { newZabbixAgent } from './connector/zabbix.mjs';
import { cpuSeconds, resident, seconds, until } from './lib/processes.mjs';

const MIB = 2 ** 20;
/** How long an agent is left alone after it has connected: what it does once is no idling. */
const SETTLED_SECONDS = 20;
/** How long it then idles under our eyes. */
const IDLE_SECONDS = 40;
/** How long the cloud is away, and when of that the connector has tried often enough to be measured first. */
const AWAY_SECONDS = 240;
const FIRST_LOOK_SECONDS = 60;

/** The rows of this area. */
export async function measure() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error('The connector is measured on Linux on x86-64.');
  const programs = {
    cloud: release('tillwatch-cloud'),
    connector: release('tillwatch-connector'),
  };
  // The connector starts it: it is looked for beside its own program.
  release('tillwatch-pos-server');
  return inFolder(512 * MIB, async (folder) => {
    const servers = [];
    const started = async (server) => (servers.push((await server).child), server);
    try {
      const cloud = await started(newCloud(programs.cloud, folder));
      const mesh = await started(newMeshServer(folder));
      const agents = [
        await newStore(programs.connector, cloud, folder),
        await newMeshAgent(mesh, folder),
        await newZabbixAgent(folder),
      ];
      return [...(await idle(agents)), ...(await withoutCloud(agents[0], cloud))];
    } finally {
      for (const child of servers.reverse()) await stop(child);
    }
  });
}

async function idle(agents) {
  const results = agents.map(() => []);
  for (let round = 1; round <= runs; round++) {
    const figures = await together(agents);
    const told = figures.map(({ rss, own, cpuPercent }, agent) => {
      results[agent].push(figures[agent]);
      const memory = `${shown.figure(rss, 'bytes')}, ${shown.figure(own, 'bytes')} of it its own`;
      return `${agents[agent].name} ${memory}, ${cpuPercent.toFixed(4)} % CPU`;
    });
    process.stdout.write(`Idle, run ${round}: ${told.join('; ')}\n`);
  }
  const [ours, ...peers] = agents.map(({ name, program }, agent) => ({
    name,
    size: statSync(program).size,
    rss: median(results[agent], 'rss'),
    cpuPercent: median(results[agent], 'cpuPercent'),
  }));
  const beside = (name, unit, figure, peer) =>
    row({
      name: `connector, ${name}`,
      unit,
      ours: ours[figure],
      peerName: peer.name,
      peer: peer[figure],
      target: target.atMostTimes(1),
    });
  const limit = { name: 'the limit', rss: 8e6, cpuPercent: 0.02 };
  return [
    ...[limit, ...peers].map((peer) => beside('connected and idle, RSS', 'bytes', 'rss', peer)),
    ...peers.map((peer) => beside('its program', 'bytes', 'size', peer)),
    ...[limit, ...peers].map((peer) => beside('connected and idle, CPU', '%', 'cpuPercent', peer)),
  ];
}

/** What the agents take, started anew and idling at the same time. */
async function together(agents) {
  const running = [];
  try {
    for (const agent of agents) running.push({ ...agent, ...(await connected(agent)) });
    await seconds(SETTLED_SECONDS);
    const before = running.map(({ child }) => cpuSeconds(child.pid));
    await seconds(IDLE_SECONDS);
    const figures = running.map(({ child }, agent) => ({
      cpuPercent: ((cpuSeconds(child.pid) - before[agent]) / IDLE_SECONDS) * 100,
      rss: resident(child.pid),
      own: resident(child.pid, 'RssAnon'),
    }));
    for (const { name, since, link } of running)
      if ((await link?.()) !== since) throw new Error(`${name} lost its link while it was measured.`);
    return figures;
  } finally {
    for (const { child } of running.reverse()) await stop(child);
  }
}

/** Starts an agent and waits for its link, if it is to have one: `since` tells this link from an earlier one. */
async function connected({ name, start, link }) {
  const earlier = await link?.();
  const child = await start();
  if (!link) return { child };
  try {
    let since;
    await until(`${name} connects`, async () => {
      since = await link();
      return since !== undefined && since !== earlier;
    });
    return { child, since };
  } catch (error) {
    await stop(child);
    throw error;
  }
}

async function withoutCloud(store, cloud) {
  const { child } = await connected(store);
  try {
    await seconds(SETTLED_SECONDS);
    const linked = resident(child.pid);
    cloud.child.kill('SIGKILL');
    await seconds(FIRST_LOOK_SECONDS);
    const first = resident(child.pid);
    await seconds(AWAY_SECONDS - FIRST_LOOK_SECONDS);
    const last = resident(child.pid);
    process.stdout.write(`Without the cloud: ${shown.figure(linked, 'bytes')} with its link before\n`);
    return [
      row({
        name: `connector, ${AWAY_SECONDS} s without its cloud, RSS`,
        unit: 'bytes',
        ours: last,
        peerName: `itself after ${FIRST_LOOK_SECONDS} s`,
        peer: first,
        target: target.atMostTimes(1),
      }),
    ];
  } finally {
    await stop(child);
  }
}
