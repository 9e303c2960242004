// Every test there is. `npm test -- rust ui whole network outside window windows lint` picks parts.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { root, run, step } from './lib/run.mjs';
import {
  buildPrograms,
  cargoTool,
  everything,
  linted as cargo,
  npmPackages,
  rustComponents,
  systemPackages,
  targetDir,
  webUi,
  windowsToolchain,
} from './lib/setup.mjs';
import { python } from '../tests/lib/python.mjs';

const picked = process.argv.slice(2);
const wants = (part) => picked.length === 0 || picked.includes(part);
const stories = (folder) =>
  readdirSync(path.join(root, 'tests', folder))
    .filter((name) => name.endsWith('.test.mjs'))
    .map((name) => path.join('tests', folder, name));

try {
  await step('Setting up', () => {
    systemPackages('build', 'test');
    rustComponents();
    npmPackages();
  });
  await step('Building the UI', webUi);
  if (wants('lint')) {
    await step('Formatting and lints', () => {
      run('cargo', ['fmt', '--all', '--check']);
      run(cargoTool('cargo-deny'), ['--locked', 'check', 'bans', 'licenses', 'sources']);
      run('npm', ['run', '--silent', 'lint']);
      run('npm', ['run', '--silent', 'check', '--workspace', 'ui']);
      run('node', ['--test', ...stories('documents')]);
    });
  }
  if (['rust', 'whole', 'network', 'outside', 'window', 'windows'].some(wants)) {
    // With the tests in one go: what only they need of a library would otherwise have it compiled twice.
    await step('Building the programs', () =>
      buildPrograms(cargo, ['rust', 'outside', 'whole'].some(wants) ? '--all-targets' : '--bins'),
    );
  }
  if (wants('rust')) {
    await step('Rust tests', () => run('cargo', ['test', ...everything, '--quiet'], cargo));
    await step('Rust tests over Postgres, NATS and S3', () => {
      if (!existsSync('/usr/lib/postgresql')) {
        process.stdout.write('SKIPPED: this needs a Debian-like system with the package postgresql.\n');
        return;
      }
      const suites = ['rest', 'stores'].flatMap((name) => ['--test', name]);
      const env = { ...cargo.env, TILLWATCH_TEST_BACKENDS: 'cluster' };
      run('cargo', ['test', ...everything, '--quiet', ...suites], { env });
    });
  }
  if (wants('ui')) {
    await step('UI tests', () => run('npm', ['run', '--silent', 'test', '--workspace', 'ui']));
    await step('UI tests in a browser', () =>
      run('npm', ['run', '--silent', 'test:browser', '--workspace', 'ui']),
    );
  }
  const env = { ...cargo.env, TILLWATCH_TARGET: targetDir() };
  if (wants('whole')) {
    await step('Tests of the whole', () =>
      // Two at a time: they wait more than they work.
      run('node', ['--test', '--test-concurrency=2', '--test-timeout=300000', ...stories('whole')], { env }),
    );
  }
  if (wants('network')) {
    await step('Tests on lines that fail', () => {
      if (process.platform !== 'linux' || process.getuid() !== 0) {
        process.stdout.write('SKIPPED: only root on Linux can make a network of its own.\n');
        return;
      }
      const tests = ['--test', '--test-timeout=300000', ...stories('network')];
      run('node', ['tests/network/session.mjs', ...tests], { env });
    });
  }
  if (wants('outside')) {
    await step('Judges from outside', () =>
      run('node', ['--test', '--test-timeout=600000', ...stories('outside')], { env }),
    );
  }
  if (wants('windows')) {
    const programs = ['connector', 'log-times', 'pos-server', 'service', 'trust'].flatMap((name) => [
      '-p',
      `tillwatch-${name}`,
    ]);
    await step("The store's programs on Windows", () => {
      const toolchain = windowsToolchain();
      if (toolchain === null) return;
      const tests = ['--lib', '--bins', '--tests', '--quiet'];
      run(path.join(toolchain, 'cargo'), ['test', '--locked', ...programs, ...tests]);
      run('node', ['--test', '--test-timeout=300000', ...stories('windows')], { env });
    });
    await step("The types of the store's programs on macOS", () => {
      if (!existsSync('/usr/bin/rustc')) {
        process.stdout.write('SKIPPED: this needs the compiler that the step before installs.\n');
        return;
      }
      const bin = python('zigbuild', ['ziglang', 'cargo-zigbuild']);
      const check = ['check', '--quiet', '--locked', '--target', 'aarch64-apple-darwin'];
      run(path.join(bin, 'cargo-zigbuild'), [...check, '-Zbuild-std=std,panic_abort', ...programs], {
        env: {
          PATH: `${bin}${path.delimiter}${process.env.PATH}`,
          CARGO: '/usr/bin/cargo',
          RUSTC: '/usr/bin/rustc',
          RUSTC_BOOTSTRAP: '1',
          CARGO_TARGET_DIR: path.join(targetDir(), 'macos'),
        },
      });
    });
  }
  if (wants('window')) {
    await step('Tests of the window', () =>
      // One after the other: they share a screen, and a dialog needs the focus.
      run(
        'node',
        [
          'tests/window/session.mjs',
          '--test',
          '--test-concurrency=1',
          '--test-timeout=300000',
          ...stories('window'),
        ],
        { env },
      ),
    );
  }
  process.stdout.write('\nEverything passed.\n');
} catch (error) {
  process.stderr.write(`\n${error.message}\n`);
  process.exitCode = 1;
}
