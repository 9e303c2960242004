import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, type AST } from 'svelte/compiler';

const root = path.resolve(import.meta.dirname, '../..');
type Messages = Record<string, string | [{ match: Record<string, string> }]>;
const read = (locale: string): Messages =>
  JSON.parse(readFileSync(path.join(root, `messages/${locale}.json`), 'utf8'));
const [en, ru] = [read('en'), read('ru')];

const texts = (message: Messages[string] | undefined): string[] =>
  typeof message === 'string' ? [message] : Object.values(message?.[0].match ?? {});
const params = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();

describe('the words', () => {
  test('are there in both languages', () => {
    expect(Object.keys(ru).sort()).toEqual(Object.keys(en).sort());
  });

  test('use the same parameters in both', () => {
    for (const key of Object.keys(en)) {
      const used = (message: Messages[string] | undefined) =>
        [...new Set(texts(message).flatMap(params))].sort();
      expect([key, used(ru[key])]).toEqual([key, used(en[key])]);
    }
  });

  test('have the plural forms that Russian needs', () => {
    for (const [key, message] of Object.entries(ru)) {
      if (typeof message === 'string') continue;
      expect([key, Object.keys(message[0].match)]).toEqual([
        key,
        ['form=one', 'form=few', 'form=many', 'form=*'],
      ]);
    }
  });
});

const files = (folder: string, ending: string): string[] =>
  readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(root, folder, name));

/** Texts and speaking attributes that stand in a template as they are. */
function literals(source: string): string[] {
  const found: string[] = [];
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (typeof node !== 'object' || node === null) return;
    const part = node as AST.SvelteNode & Record<string, unknown>;
    if (part.type === 'Text' && /\p{L}{2,}/u.test(part.data)) found.push(part.data.trim());
    if (part.type === 'Attribute') {
      if (!['title', 'aria-label', 'placeholder', 'alt'].includes(part.name))
        return visitExpressions(part.value);
    }
    for (const [key, value] of Object.entries(part)) if (key !== 'type') visit(value);
  };
  const visitExpressions = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach((part) => part?.type !== 'Text' && visit(part));
    else visit(value);
  };
  visit(parse(source, { modern: true }).fragment);
  return found;
}

describe('components', () => {
  test('hold no words of their own', () => {
    const spoken = files('src', '.svelte').flatMap((file) =>
      literals(readFileSync(file, 'utf8')).map((text) => `${path.relative(root, file)}: ${text}`),
    );
    expect(spoken).toEqual([]);
  });

  test('hold no colours of their own', () => {
    const coloured = files('src', '.svelte').filter((file) => {
      const style = /<style>([^]*)<\/style>/.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
      return /#[0-9a-f]{3,8}\b|rgba?\(/i.test(style);
    });
    expect(coloured).toEqual([]);
  });
});

test('every word is used', () => {
  const source = [...files('src', '.svelte'), ...files('src', '.ts')]
    .filter((file) => !file.includes('paraglide') && !file.endsWith('.test.ts'))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  // Looked up by code in words.ts.
  const byCode =
    /^(err|link|pos|cause|cause_short|job|level|state|phase|check|sync|sync_short|fail|col|act|perm|fault|detail|detailis)_/;
  const idle = Object.keys(en).filter(
    (key) => key !== '$schema' && !byCode.test(key) && !new RegExp(`m\\.${key}\\b`).test(source),
  );
  expect(idle).toEqual([]);
});
