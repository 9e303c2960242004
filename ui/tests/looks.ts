// Visits each screen once a language: axe, nothing cut off, and its pictures, light and dark, as they were kept.

import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import pixelmatch from 'pixelmatch';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { load, newWindow, type App } from './browser';
import { cutOff } from './cut-off';
import { screens } from './screens';

const kept = path.join(import.meta.dirname, 'pictures');
/** What differs, for eyes; not kept. */
const out = path.join(import.meta.dirname, 'out');
const update = process.env['UPDATE_PICTURES'] === '1';

/** How much a pixel may differ to be the same: another machine smooths letters a little differently. */
const PIXEL = 0.04;
/** How many pixels may differ: the edge of a letter or two, but nothing that moved. */
const PIXELS = 40;

interface Violation {
  id: string;
  nodes: { html: string; failureSummary: string }[];
}

async function violations({ page }: App, part: string, rules: string[] | null): Promise<string[]> {
  const found = await page.evaluate(
    async ([part, rules]) => {
      const { axe } = globalThis as unknown as {
        axe: { run(context: unknown, options: object): Promise<{ violations: Violation[] }> };
      };
      const standards = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
      const { violations } = await axe.run(part === 'body' ? document : { include: [part] }, {
        runOnly: rules ?? standards,
        resultTypes: ['violations'],
      });
      return violations;
    },
    [part, rules] as const,
  );
  return found.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html.slice(0, 200)} | ${node.failureSummary.slice(0, 300)}`),
  );
}

export async function take({ page }: App, part: string): Promise<Buffer> {
  const how = { animations: 'disabled', caret: 'hide' } as const;
  if (part === 'body') return page.screenshot(how);
  return page.locator(part).last().screenshot(how);
}

const pixels = (png: Buffer) => sharp(png).ensureAlpha().raw().toBuffer({ resolveWithObject: true });

/** How many pixels differ; null when even the size does. Where they do is drawn into `picture`. */
async function difference(before: Buffer, after: Buffer, picture?: Buffer): Promise<number | null> {
  const [expected, actual] = await Promise.all([pixels(before), pixels(after)]);
  const { width, height } = expected.info;
  if (actual.info.width !== width || actual.info.height !== height) return null;
  return pixelmatch(expected.data, actual.data, picture, width, height, { threshold: PIXEL });
}

/** A picture of where they differ, of the same size. */
async function drawn(before: Buffer, after: Buffer): Promise<Buffer> {
  const { width = 0, height = 0 } = await sharp(before).metadata();
  const picture = Buffer.alloc(width * height * 4);
  await difference(before, after, picture);
  return sharp(picture, { raw: { width, height, channels: 4 } })
    .png()
    .toBuffer();
}

export async function isSame(expected: Buffer, actual: Buffer): Promise<boolean> {
  const count = await difference(expected, actual);
  return count !== null && count <= PIXELS;
}

/** What is wrong with the picture, if anything is. */
async function compare(app: App, part: string, variant: string, name: string): Promise<string[]> {
  const file = path.join(kept, variant, `${name}.png`);
  let actual = await take(app, part);
  if (update) {
    // What still moves is waited for.
    for (let tries = 0; tries < 10; tries += 1) {
      const again = await take(app, part);
      if (again.equals(actual)) break;
      actual = again;
    }
    const before = await readFile(file).catch(() => null);
    if (before && (await isSame(before, actual))) return [];
    await mkdir(path.dirname(file), { recursive: true });
    // Few colours, and no dithering: a third of the size, and the same to the eye.
    await sharp(actual).png({ palette: true, dither: 0, effort: 10, compressionLevel: 9 }).toFile(file);
    return [];
  }
  const expected = await readFile(file).catch(() => null);
  if (!expected) return [`there is no picture ${variant}/${name}.png; UPDATE_PICTURES=1 makes it`];
  for (let tries = 0; tries < 5; tries += 1) {
    if (await isSame(expected, actual)) return [];
    actual = await take(app, part);
  }
  await mkdir(path.join(out, variant), { recursive: true });
  const at = path.join(out, variant, name);
  await writeFile(`${at}.png`, actual);
  const count = await difference(expected, actual);
  if (count === null) return [`${variant}/${name}.png has another size now: ${at}.png`];
  await writeFile(`${at}-difference.png`, await drawn(expected, actual));
  return [`${count} pixels of ${variant}/${name}.png differ: ${at}.png, ${at}-difference.png`];
}

/** English in the dark too; what a theme changes is the same in each language. */
const themes = { en: ['light', 'dark'], ru: ['light'] } as const;

export function look(language: 'en' | 'ru'): void {
  describe(`in ${language}`, () => {
    let app: App;
    beforeAll(async () => {
      app = await newWindow({ colorScheme: 'light', deviceScaleFactor: 1 });
      const context = app.page.context();
      await context.addInitScript({ path: createRequire(import.meta.url).resolve('axe-core/axe.min.js') });
      await context.addInitScript(() => {
        // Ids are the same each time.
        let counter = 0;
        crypto.randomUUID = () => `01930000-0000-7000-8000-${String((counter += 1)).padStart(12, '0')}`;
      });
      await app.page.clock.setFixedTime('2026-11-24T09:30:00Z');
    });
    afterAll(() => app.page.context().close());

    test.each(screens)('$name', async ({ name, query, part = 'body', go }) => {
      const { page } = app;
      app.faults.length = 0;
      await page.emulateMedia({ colorScheme: 'light' });
      await load(app, `${query ?? 'scenario=still'}&language=${language}`);
      await go(app);
      // Nothing is hovered.
      await page.mouse.move(0, 0);
      await page.evaluate(() => document.fonts.ready.then(() => undefined));
      await page.locator(part).last().waitFor();
      const wrong: string[] = [];
      for (const theme of themes[language]) {
        if (theme === 'dark') await page.emulateMedia({ colorScheme: 'dark' });
        wrong.push(...(await compare(app, part, `${theme}-${language}`, name)));
        if (theme === 'light') {
          wrong.push(...(await violations(app, part, null)));
          wrong.push(...(await page.evaluate(cutOff, part)));
        } else wrong.push(...(await violations(app, part, ['color-contrast'])));
      }
      expect(wrong).toEqual([]);
      expect(app.faults).toEqual([]);
    });

    test('each picture is of a screen', async () => {
      const names = new Set(screens.map(({ name }) => `${name}.png`));
      for (const theme of themes[language]) {
        const folder = path.join(kept, `${theme}-${language}`);
        const left = (await readdir(folder)).filter((file) => !names.has(file));
        if (update) for (const file of left) await rm(path.join(folder, file));
        else expect(left).toEqual([]);
      }
    });
  });
}
