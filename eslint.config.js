import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';

export default ts.config(
  {
    ignores: [
      '**/target/',
      '**/dist/',
      'tests/out/',
      'src-tauri/gen/',
      'ui/src/lib/paraglide/',
      'ui/src/lib/bindings.ts',
    ],
  },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  prettier,
  ...svelte.configs.prettier,
  { files: ['ui/src/**'], languageOptions: { globals: globals.browser } },
  {
    files: ['scripts/**', 'benches/**', 'tests/**', 'ui/tests/**', '*.js', 'ui/*.{js,ts}', 'ui/scripts/**'],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser } },
  },
  {
    // Only the backend knows Tauri, so that everything else runs in a browser and in tests.
    files: ['ui/src/**'],
    ignores: ['ui/src/lib/backend/tauri.ts', 'ui/src/lib/bindings.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: ['@tauri-apps/*'] }],
    },
  },
);
