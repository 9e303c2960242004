import { defineConfig } from 'vitest/config';

// Stories in a real browser: the mock build, served with the content security policy that the app has.
export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    environment: 'node',
    globalSetup: ['tests/serve.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
