// Every test there is. `npm test -- rust ui whole window lint` picks parts.
import { step, run } from './lib/run.mjs';
import { npmPackages, rustComponents, systemPackages, targetDir, webUi } from './lib/setup.mjs';
import path from 'node:path';
import { readdirSync } from 'node:fs';
import { root } from './lib/run.mjs';

const picked = process.argv.slice(2);
const wants = (part) => picked.length === 0 || picked.includes(part);

// Clippy compiles the workspace's own crates, so that they are linted and built in one go and dependencies are
// compiled once for everything: tests, programs and the window.
const cargo = {
  env: {
    RUSTC_WORKSPACE_WRAPPER: 'clippy-driver',
    CLIPPY_ARGS: '-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__',
  },
};
const features = ['--workspace', '--locked', '--features', 'tillwatch/custom-protocol'];

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
      run('npm', ['run', '--silent', 'lint']);
      run('npm', ['run', '--silent', 'check', '--workspace', 'ui']);
    });
  }
  if (wants('rust') || wants('whole') || wants('window')) {
    await step('Building the programs', () => run('cargo', ['build', ...features, '--bins'], cargo));
  }
  if (wants('rust')) {
    await step('Building the Rust tests', () =>
      run('cargo', ['test', ...features, '--no-run', '--quiet'], cargo),
    );
    await step('Rust tests', () => run('cargo', ['test', ...features, '--quiet'], cargo));
  }
  if (wants('ui')) {
    await step('UI tests', () => run('npm', ['run', '--silent', 'test', '--workspace', 'ui']));
    await step('UI tests in a browser', () =>
      run('npm', ['run', '--silent', 'test:browser', '--workspace', 'ui']),
    );
  }
  const env = { TILLWATCH_TARGET: targetDir() };
  const stories = (folder) =>
    readdirSync(path.join(root, 'tests', folder))
      .filter((name) => name.endsWith('.test.mjs'))
      .map((name) => path.join('tests', folder, name));
  if (wants('whole')) {
    await step('Tests of the whole', () =>
      run('node', ['--test', '--test-timeout=300000', ...stories('whole')], { env }),
    );
  }
  if (wants('window')) {
    await step('Tests of the window', () =>
      run('node', ['tests/window/session.mjs', '--test', '--test-timeout=300000', ...stories('window')], {
        env,
      }),
    );
  }
  process.stdout.write('\nEverything passed.\n');
} catch (error) {
  process.stderr.write(`\n${error.message}\n`);
  process.exitCode = 1;
}
