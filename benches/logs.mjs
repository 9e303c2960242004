// Finding a period in a large log, compressing one, and uploading it, by the connector's own code.
import { execFileSync } from 'node:child_process';
import { rmSync, statSync } from 'node:fs';
import path from 'node:path';
import {
  dropCaches,
  example,
  inFolder,
  interleaved,
  median,
  neverCold,
  row,
  target,
  timed,
} from '../scripts/lib/measure.mjs';
import { uploads } from './logs/upload.mjs';

const MIB = 2 ** 20;
/**
 * A month of a till's log, and a minute of it: short, as ripgrep does not compress what it finds. The pattern is
 * what one would look for it with.
 */
const month = ['2026-10-01T00:00:00Z', '2026-10-31T00:00:00Z'];
const period = ['2026-10-19T12:00:00Z', '2026-10-19T12:01:00Z'];
const pattern = '^2026-10-19 12:00:';
/** How much is compressed in one run. */
const compressed = 256 * MIB;

/** The rows of this area; `gib` is the size of the log to find a period in. */
export async function measure({ gib }) {
  if (process.platform !== 'linux') throw new Error('Logs are measured on Linux.');
  const program = example('tillwatch-connector', 'measure_logs');
  const bytes = Math.round(gib * 2 ** 30);
  return inFolder(bytes + 1024 * MIB, async (folder) => {
    const write = (name, size) => {
      const file = path.join(folder, name);
      const written = execFileSync(program, ['write', file, String(size), ...month], { encoding: 'utf8' });
      return { file, ...JSON.parse(written) };
    };
    const collect = (file, from, to) => {
      const { printed, cpuSeconds } = timed(program, 'collect', file, folder, from, to);
      return { ...JSON.parse(printed), cpuSeconds };
    };
    const finding = await findPeriod(write('till.log', bytes).file, gib, collect);
    rmSync(path.join(folder, 'till.log'));
    const packing = await compress(write('day.log', compressed), collect);
    return [...finding, ...packing, ...(await uploads(folder))];
  });
}

async function findPeriod(file, gib, collect) {
  const name = `finding a period in a ${gib} GiB log, in process`;
  const ours = () => collect(file, ...period);
  const peer = () => {
    const { printed, ...times } = timed('rg', '--no-config', '--count', pattern, file);
    return { ...times, entries: Number(printed) };
  };
  const race = (title, prepare) =>
    interleaved(title, {
      ours: () => (prepare(), ours()),
      ripgrep: () => (prepare(), peer()),
    });

  // The first reading fills the cache, and shows that both find the same.
  const [found, counted] = [ours().entries, peer().entries];
  if (found !== counted) throw new Error(`We found ${found} entries of the period, ripgrep ${counted}.`);
  const warm = await race('Warm', () => {});
  const trouble = neverCold(path.dirname(file));
  if (trouble) process.stdout.write(`Not measured cold: ${trouble}\n`);
  const cold = trouble ? null : await race('Cold', dropCaches);

  const raced = (how, results) =>
    row({
      name: `${name}, ${how}`,
      unit: 's',
      ours: results && median(results.ours, 'seconds'),
      peerName: 'ripgrep',
      peer: results && median(results.ripgrep, 'seconds'),
      target: target.atMostPart(100),
    });
  return [
    raced('cold', cold),
    raced('warm', warm),
    row({
      name: `${name}, bytes read`,
      unit: 'bytes',
      ours: median(warm.ours, 'read_bytes'),
      peerName: 'the period',
      peer: median(warm.ours, 'period_bytes'),
      target: target.atMostMore(MIB),
    }),
  ];
}

async function compress({ file, bytes, cards }, collect) {
  const name = 'compressing logs, card scan included';
  const { ours, gzip } = await interleaved('Compressing', {
    ours: () => collect(file, ...month),
    gzip: () => {
      const times = timed('gzip', '-6', '--keep', '--force', file);
      return { ...times, bytes: statSync(`${file}.gz`).size };
    },
  });
  if (median(ours, 'period_bytes') !== bytes) throw new Error('Not all of the log was compressed.');
  const masked = median(ours, 'masked');
  // A number that only looks like a card's is masked as well.
  if (masked < cards) throw new Error(`${cards} card numbers were written, ${masked} masked.`);
  return [
    row({
      name,
      unit: 's',
      ours: median(ours, 'cpuSeconds'),
      peerName: 'gzip -6',
      peer: median(gzip, 'cpuSeconds'),
      target: target.atLeastTimes(3),
      inverse: true,
    }),
    row({
      name: `${name}, size`,
      unit: 'bytes',
      ours: median(ours, 'archive_bytes'),
      peerName: 'gzip -6',
      peer: median(gzip, 'bytes'),
      target: target.atMostPercent(98),
    }),
    row({
      name: `${name}, memory`,
      unit: 'bytes',
      ours: median(ours, 'peak_bytes'),
      peerName: 'before it',
      peer: median(ours, 'idle_bytes'),
      target: target.atMostMore(8 * MIB),
    }),
  ];
}
