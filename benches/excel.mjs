// Writing 100,000 statuses to a spreadsheet, by the function that the app calls, beside the libraries that people know.
import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { example, inFolder, interleaved, median, row, target } from '../scripts/lib/measure.mjs';
import { run } from '../scripts/lib/run.mjs';
import { webUi } from '../scripts/lib/setup.mjs';
import { python } from '../tests/lib/python.mjs';

const MIB = 2 ** 20;
const rows = 100_000;
/** So many show whether all sides write the same: openpyxl takes its time. */
const compared = 3000;
const here = path.join(import.meta.dirname, 'excel');

/** The rows of this area. */
export async function measure() {
  if (process.platform !== 'linux') throw new Error('Excel is measured on Linux.');
  // As the app is built for its own area: the crate is compiled once for both.
  webUi();
  const program = example('tillwatch', 'measure_excel', ['--features', 'custom-protocol']);
  const bin = python('xlsxwriter', ['XlsxWriter==3.2.9']);
  return inFolder(1024 * MIB, async (folder) => {
    const library = path.join(folder, 'with_libxlsxwriter');
    const source = path.join(here, 'with_libxlsxwriter.c');
    run('cc', ['-O2', '-o', library, source, '-lxlsxwriter']);
    const script = (name, ...files) =>
      execFileSync('/usr/bin/python3', [path.join(here, name), ...files], { encoding: 'utf8' });

    const prepare = (count) => {
      const within = path.join(folder, String(count));
      mkdirSync(within);
      const [ours, xlsxwriter, libxlsxwriter, cells] = ['ours', 'xlsxwriter', 'libxlsxwriter', 'cells'].map(
        (name) => path.join(within, `${name}.xlsx`),
      );
      const write = () =>
        JSON.parse(execFileSync(program, ['generated', String(count), ours], { encoding: 'utf8' }));
      write();
      script('cells.py', ours, cells);
      const peer = (command, args, file) => {
        const seconds = Number(execFileSync(command, args, { encoding: 'utf8', input: widths }));
        return { seconds, file_bytes: statSync(file).size };
      };
      return {
        files: [ours, xlsxwriter, libxlsxwriter],
        sides: {
          ours: write,
          XlsxWriter: () =>
            peer(
              path.join(bin, 'python'),
              [path.join(here, 'with_xlsxwriter.py'), cells, xlsxwriter],
              xlsxwriter,
            ),
          libxlsxwriter: () => peer(library, [cells, libxlsxwriter, within], libxlsxwriter),
        },
      };
    };
    let widths = '';
    const small = prepare(compared);
    widths = script('same.py', small.files[0]);
    for (const side of Object.values(small.sides)) side();
    script('same.py', ...small.files);

    const results = await interleaved(`${rows.toLocaleString('en')} rows`, prepare(rows).sides);
    const name = `Excel, ${rows.toLocaleString('en')} rows × 17 columns with colours`;
    const sizes = Object.entries(results).map(
      ([side, of]) => `${side} ${(median(of, 'file_bytes') / MIB).toFixed(1)} MiB`,
    );
    process.stdout.write(`The files: ${sizes.join(', ')}\n`);
    const faster = (peerName, times) =>
      row({
        name,
        unit: 's',
        ours: median(results.ours, 'seconds'),
        peerName,
        peer: median(results[peerName], 'seconds'),
        target: target.atLeastTimes(times),
        inverse: true,
      });
    return [
      faster('XlsxWriter', 7),
      faster('libxlsxwriter', 1.4),
      row({
        name: `${name}, memory`,
        unit: 'bytes',
        ours: median(results.ours, 'peak_bytes'),
        peerName: 'the rows',
        peer: median(results.ours, 'before_bytes'),
        target: target.atMostMore(10 * MIB),
      }),
    ];
  });
}
