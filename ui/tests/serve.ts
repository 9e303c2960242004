// Builds the window with its sample backend and serves it as the app would: under the same security policy.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
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

const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

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

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await buildMock();
  const { url, server } = await serve(folder);
  project.provide('url', url);
  return async () => {
    server.close();
    await rm(folder, { recursive: true });
  };
}
