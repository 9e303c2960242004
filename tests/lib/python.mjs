// Python programs that tests bring with them.
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run } from '../../scripts/lib/run.mjs';
import { targetDir } from '../../scripts/lib/setup.mjs';

/** Makes a virtual environment with these packages, once; gives the folder of its programs. */
export function python(name, packages) {
  const folder = path.join(process.env.TILLWATCH_TARGET ?? targetDir(), 'python', name);
  const bin = path.join(folder, 'bin');
  const done = path.join(folder, `${packages.join(',')}.installed`);
  if (!existsSync(done)) {
    run('python3', ['-m', 'venv', '--clear', folder]);
    // What is used of them is compiled then: of the larger ones that is little.
    const quietly = ['--quiet', '--disable-pip-version-check', '--no-compile'];
    run(path.join(bin, 'pip'), ['install', ...quietly, ...packages]);
    writeFileSync(done, '');
  }
  return bin;
}
