// `npm run demo`: a cloud, a fleet of stores and the desktop app, signed in. All of it ends with Ctrl-C or the window.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { cloudCommand, importFleet, signIn, startCloud } from './lib/cloud.mjs';
import { demoLoyalty, demoStores } from './lib/demo-data.mjs';
import { start, step, stop } from './lib/run.mjs';
import {
  buildPrograms,
  npmPackages,
  program,
  rustComponents,
  systemPackages,
  targetDir,
  webUi,
} from './lib/setup.mjs';

const { values: options } = parseArgs({
  options: { headless: { type: 'boolean', default: false }, stores: { type: 'string', default: '12' } },
});
const storeCount = Number(options.stores);
if (!Number.isInteger(storeCount) || storeCount < 1 || storeCount > 20_000) {
  process.stderr.write('--stores takes a whole number from 1 to 20000\n');
  process.exit(2);
}

const children = [];
const home = mkdtempSync(path.join(os.tmpdir(), 'tillwatch-demo-'));
let ending;
const end = () => (ending ??= endAll());
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void end());

async function endAll() {
  for (const child of children.reverse()) await stop(child);
  rmSync(home, { recursive: true, force: true });
}

try {
  await main();
} catch (error) {
  if (!ending) {
    process.stderr.write(`\n${error.message}\n`);
    process.exitCode = 1;
  }
} finally {
  await end();
}

async function main() {
  await step('Setting up', () => {
    systemPackages('build');
    rustComponents();
    npmPackages();
  });
  await step('Building the UI', webUi);
  // The tests have built the programs together with themselves; by themselves they would be built anew.
  const built = process.env.TILLWATCH_TARGET;
  if (!built) await step('Building the programs', () => buildPrograms());
  const target = built ?? targetDir();

  const cloudProgram = program('tillwatch-cloud', target);
  const dataDir = path.join(home, 'cloud');
  const email = 'manager@tillwatch.example';
  const password = randomBytes(9).toString('base64url');
  cloudCommand(
    cloudProgram,
    [
      'user',
      'add',
      '--email',
      email,
      '--name',
      'Demo Manager',
      '--admin',
      '--password-stdin',
      '--data-dir',
      dataDir,
    ],
    `${password}\n`,
  );
  const { file } = importFleet(cloudProgram, dataDir, demoStores(storeCount));
  for (const chain of new Set(demoStores(storeCount).map((store) => store.chain)))
    cloudCommand(cloudProgram, [
      'release',
      'require',
      '--chain',
      chain,
      '--pos-version',
      '34.6.0',
      '--data-dir',
      dataDir,
    ]);

  const cloud = await startCloud(cloudProgram, dataDir);
  children.push(cloud.child);
  const call = await signIn(cloud, email, password);
  const { items } = await call('GET', '/outlets?limit=1000');
  for (const chain of new Set(items.map((outlet) => outlet.chain.id)))
    for (const [table, rows] of Object.entries(demoLoyalty()))
      await call('PUT', `/chains/${chain}/${table}`, { json: { items: rows } });

  const { child: fleet } = await start(
    program('tillwatch-fleet', target),
    ['run', '--cloud', cloud.url, '--enrollments', file, '--ca', cloud.ca, '--troubles', 'demo'],
    {
      name: 'tillwatch-fleet',
      ready: (line) => (/^fleet of \d+ stores is running$/.test(line) ? line : undefined),
    },
  );
  children.push(fleet);
  process.stdout.write(
    `\nThe cloud listens on ${cloud.url} with ${storeCount} stores.\n` +
      `  e-mail       ${email}\n  password     ${password}\n  certificate  ${cloud.ca}\n  SHA-256      ${cloud.fingerprint}\n\n`,
  );

  const ends = [cloud.child, fleet].map((child) =>
    child.exited.then(() => {
      if (!ending) throw new Error(`a program ended by itself:\n${child.output()}`);
    }),
  );
  if (options.headless) {
    process.stdout.write('Ctrl-C ends all of it.\n');
  } else {
    const { child: app } = await start(program('tillwatch', target), ['--sign-in-from-stdin'], {
      env: { ...process.env, TILLWATCH_HOME: path.join(home, 'desktop') },
    });
    children.push(app);
    app.stdin.end(
      `${JSON.stringify({ url: cloud.url, email, password, trust_sha256: cloud.fingerprint })}\n`,
    );
    ends.push(app.exited);
  }
  await Promise.race(ends);
}
