// Builds the window with its sample backend and serves it as the app would: under the same security policy.

import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'vite';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    url: string;
  }
}

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.woff2': 'font/woff2',
};

// What tauri.conf.json says, without the parts that only exist there.
const policy =
  "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'";

/** Serves a folder on a port of its own. */
export async function serve(folder: string): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const file = path.join(folder, path.normalize(pathname === '/' ? '/index.html' : pathname));
    readFile(file).then(
      (content) => {
        response.setHeader('Content-Type', types[path.extname(file)] ?? 'application/octet-stream');
        response.setHeader('Content-Security-Policy', policy);
        response.end(content);
      },
      () => {
        response.statusCode = 404;
        response.end();
      },
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server };
}

export async function buildMock(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tillwatch-ui-'));
  const root = path.resolve(import.meta.dirname, '..');
  await build({
    root,
    configFile: path.join(root, 'vite.config.ts'),
    mode: 'mock',
    logLevel: 'error',
    build: { outDir: folder, emptyOutDir: true },
  });
  return folder;
}

const scripts = {
  latin:
    'U+0000-00FF, U+0131, U+0152-0153, U+02BB-02BC, U+02C6, U+02DA, U+02DC, U+2000-206F, U+20AC, U+2122, U+2190-2193, U+2212, U+2215',
  'latin-ext': 'U+0100-0130, U+0132-0151, U+0154-02BA, U+1E00-1E9F, U+1EF2-1EFF',
  cyrillic: 'U+0301, U+0400-045F, U+0490-0491, U+04B0-04B1, U+2116',
};

/** The app takes the system's font; the tests bring one, so that pictures and widths are the same everywhere. */
async function bringFonts(folder: string): Promise<void> {
  const assets = path.join(folder, 'assets');
  let css = '';
  for (const [font, family] of [
    ['inter', 'Words of the tests'],
    ['jetbrains-mono', 'Code of the tests'],
  ]) {
    for (const [script, range] of Object.entries(scripts)) {
      const file = `${font}-${script}-wght-normal.woff2`;
      const from = createRequire(import.meta.url).resolve(`@fontsource-variable/${font}/files/${file}`);
      await copyFile(from, path.join(assets, file));
      css += `@font-face { font-family: '${family}'; font-weight: 100 900; font-display: block; src: url('${file}'); unicode-range: ${range}; }\n`;
    }
  }
  css +=
    ":root { --font: 'Words of the tests', sans-serif; --font-fixed: 'Code of the tests', monospace; }\n";
  await writeFile(path.join(assets, 'fonts-of-the-tests.css'), css);
  // After the sheets of the build, which say otherwise.
  const page = path.join(folder, 'index.html');
  const link = '<link rel="stylesheet" href="/assets/fonts-of-the-tests.css" />';
  await writeFile(page, (await readFile(page, 'utf8')).replace('</head>', `${link}</head>`));
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await buildMock();
  await bringFonts(folder);
  const { url, server } = await serve(folder);
  project.provide('url', url);
  return async () => {
    server.close();
    await rm(folder, { recursive: true });
  };
}
