import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// `vite` and `vite build --mode mock` hold the backend made of sample data; the app that ships does not.
export default defineConfig(({ command, mode }) => ({
  plugins: [svelte()],
  define: { __MOCK__: JSON.stringify(mode === 'mock' || (command === 'serve' && mode !== 'test')) },
  clearScreen: false,
  server: { port: 5173, strictPort: true },
  build: {
    target: ['safari16', 'chrome111'],
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 800,
  },
  resolve: process.env['VITEST'] ? { conditions: ['browser'] } : {},
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
}));
