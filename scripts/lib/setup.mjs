// Brings a fresh machine to where the project builds: system packages, npm packages, the web UI.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { output, root, run } from './run.mjs';

/** Debian packages by what they are needed for. */
const packages = {
  build: ['build-essential', 'pkg-config', 'libwebkit2gtk-4.1-dev'],
  test: [
    // The real window, without a screen.
    'xvfb',
    'webkit2gtk-driver',
    'openbox',
    'xdotool',
    'dbus-x11',
    'gnome-keyring',
    'imagemagick',
    // The web UI in a browser.
    'chromium',
    'fonts-noto-core',
    // Other people's readers for what we write.
    'unzip',
    'p7zip-full',
    'python3',
    'python3-openpyxl',
    'libreoffice-calc',
    // Certificates of an operator's kind.
    'openssl',
    // What a cloud of several nodes stands on.
    'postgresql',
    'nats-server',
    'haproxy',
    // A machine with a systemd of its own, for services.
    'systemd-container',
    'polkitd',
    // Kills a program before a step of its choice.
    'strace',
    // Clocks that are wrong.
    'faketime',
    // Networks that lose packets.
    'iproute2',
    'nftables',
  ],
  // A compiler for which scripts/windows-toolchain.sh can make a standard library, and what runs the outcome.
  windows: [
    'rustc-web',
    'cargo-web',
    'rust-web-src',
    'gcc-mingw-w64-x86-64',
    'g++-mingw-w64-x86-64',
    'wine',
    'wine64',
  ],
  // Peers to measure against.
  bench: [
    'ripgrep',
    'nginx-light',
    'libnginx-mod-nchan',
    'nats-server',
    'postgresql',
    'zabbix-agent2',
    'python3',
    'libxlsxwriter-dev',
    'python3-openpyxl',
  ],
};

/** Installs what is missing of the system packages, or says which commands would. */
export function systemPackages(...purposes) {
  const wanted = purposes.flatMap((purpose) => packages[purpose]);
  if (process.platform !== 'linux') {
    const hint =
      process.platform === 'darwin'
        ? 'xcode-select --install'
        : 'winget install Microsoft.VisualStudio.2022.BuildTools (with the C++ workload)';
    process.stdout.write(`Needed besides Rust and Node on this system: ${hint}\n`);
    return;
  }
  if (output('dpkg-query', ['--version']) === null) {
    process.stdout.write(
      `This system has no apt. Install its packages for: ${wanted.join(' ')}\n` +
        '  Fedora: sudo dnf install gcc gcc-c++ make pkgconf-pkg-config webkit2gtk4.1-devel\n' +
        '  Arch:   sudo pacman -S --needed base-devel webkit2gtk-4.1\n',
    );
    return;
  }
  const installed = new Set(
    (output('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n']) ?? '')
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  const missing = wanted.filter((name) => !installed.has(name));
  if (missing.length === 0) return;
  const apt = process.getuid() === 0 ? ['apt-get'] : ['sudo', '-n', 'apt-get'];
  const line = [
    ...apt,
    '-o',
    'DPkg::Lock::Timeout=500',
    'install',
    '-y',
    '--no-install-recommends',
    ...missing,
  ];
  process.stdout.write(`Installing ${missing.join(' ')}\n`);
  try {
    const quiet = { env: { DEBIAN_FRONTEND: 'noninteractive' }, stdio: ['ignore', 'ignore', 'inherit'] };
    run(apt[0], [...apt.slice(1), 'update'], quiet);
    run(line[0], line.slice(1), quiet);
  } catch (error) {
    throw new Error(
      `${error.message}\nInstall the packages yourself:\n  sudo ${line.slice(apt.length - 1).join(' ')}`,
      {
        cause: error,
      },
    );
  }
}

/**
 * The folder in which `cargo` builds for Windows and runs the outcome; null, and a line that says so, where what that
 * takes can't be had.
 */
export function windowsToolchain() {
  const folder = path.join(targetDir(), 'windows');
  try {
    if (output('dpkg-query', ['--version']) === null) throw new Error('this needs a Debian-like system.');
    systemPackages('windows');
    run(path.join(root, 'scripts', 'windows-toolchain.sh'), [folder]);
    return folder;
  } catch (error) {
    process.stdout.write(`SKIPPED: nothing was built for Windows: ${error.message}\n`);
    return null;
  }
}

/** The parts of the Rust toolchain that the checks use. */
export function rustComponents() {
  if (output('cargo', ['--version']) === null)
    throw new Error('Rust is missing. Install it with rustup, then run this again.');
  for (const [component, probe] of [
    ['rustfmt', 'rustfmt'],
    ['clippy', 'clippy-driver'],
  ])
    if (output(probe, ['--version']) === null) run('rustup', ['component', 'add', component]);
}

/** A command of cargo's such as `cargo-deny`, built once into the target folder. Gives the path of the program. */
export function cargoTool(name) {
  const folder = path.join(targetDir(), 'tools');
  const tool = path.join(folder, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
  if (!existsSync(tool)) run('cargo', ['install', '--quiet', '--locked', '--root', folder, name]);
  return tool;
}

/** Installs the npm packages that package-lock.json names, unless they are there. */
export function npmPackages() {
  const lock = path.join(root, 'package-lock.json');
  remember('npm', hash([lock]), [path.join(root, 'node_modules')], () =>
    run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']),
  );
}

/** Builds the web UI into ui/dist, unless nothing has changed since the last time. */
export function webUi() {
  const ui = path.join(root, 'ui');
  const sources = [
    ...files(path.join(ui, 'src')).filter((file) => !file.includes(`${path.sep}paraglide${path.sep}`)),
    ...files(path.join(ui, 'messages')),
    ...readdirSync(ui)
      .map((name) => path.join(ui, name))
      .filter((file) => statSync(file).isFile()),
    path.join(root, 'package-lock.json'),
  ];
  remember('ui', hash(sources), [path.join(ui, 'dist', 'index.html')], () =>
    run('npm', ['run', '--silent', 'build', '--workspace', 'ui']),
  );
}

/** What every build of ours selects: the same each time, so that no dependency is compiled twice. */
export const everything = ['--workspace', '--locked', '--features', 'tillwatch/custom-protocol'];

/**
 * Has clippy compile the workspace's own crates, so that they are linted and built in one go and dependencies are
 * compiled once for everything: tests, programs and the window.
 */
export const linted = {
  env: {
    RUSTC_WORKSPACE_WRAPPER: 'clippy-driver',
    CLIPPY_ARGS: '-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__',
  },
};

/** Builds the programs, the desktop app among them with the UI packaged in; with `--all-targets` their tests as well. */
export function buildPrograms(options, targets = '--bins') {
  run('cargo', ['build', ...everything, targets], options);
}

/** Where cargo puts what it builds. */
export function targetDir() {
  const metadata = output('cargo', ['metadata', '--format-version=1', '--no-deps'], { maxBuffer: 1 << 28 });
  if (metadata === null) throw new Error('cargo metadata failed; is Cargo.toml intact?');
  return JSON.parse(metadata).target_directory;
}

/** The path of one of our programs, as cargo built it. */
export function program(name, target = targetDir()) {
  return path.join(target, 'debug', process.platform === 'win32' ? `${name}.exe` : name);
}

/** Does `work` unless it was done for the same `key` and what it made is still there. */
function remember(name, key, made, work) {
  const marks = path.join(root, 'node_modules', '.tillwatch');
  const mark = path.join(marks, name);
  if (made.every((file) => existsSync(file)) && existsSync(mark) && readFileSync(mark, 'utf8') === key)
    return;
  work();
  mkdirSync(marks, { recursive: true });
  writeFileSync(mark, key);
}

function files(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

function hash(list) {
  const sum = createHash('sha256');
  for (const file of list)
    sum.update(path.relative(root, file)).update('\0').update(readFileSync(file)).update('\0');
  return sum.digest('hex');
}
