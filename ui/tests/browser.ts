// One browser for a file of stories; each story has a page of its own.

import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';
import { afterAll, beforeAll, inject } from 'vitest';

let browser: Browser;

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    // The last two: letters look the same on every machine.
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-lcd-text',
      '--font-render-hinting=none',
    ],
  });
});

afterAll(() => browser.close());

export interface App {
  page: Page;
  get(testid: string): Locator;
  row(index: number): Locator;
  /** Errors of scripts and refusals of the security policy. */
  faults: string[];
}

/** A window of its own, not yet with anything in it. */
export async function newWindow(options: BrowserContextOptions = {}): Promise<App> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: 'en-GB',
    timezoneId: 'Europe/Riga',
    permissions: ['clipboard-read', 'clipboard-write'],
    reducedMotion: 'reduce',
    ...options,
  });
  // As the app does.
  await context.addInitScript(() => Object.freeze(Object.prototype));
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    if (/Content.Security.Policy|Refused to/i.test(message.text())) faults.push(message.text());
  });
  return {
    page,
    faults,
    get: (testid) => page.locator(`[data-testid="${testid}"]`),
    row: (index) => page.locator(`[role="row"][data-index="${index}"]`),
  };
}

/** Loads it with a scenario of the sample backend. */
export async function load({ page }: App, query: string): Promise<void> {
  await page.goto(`${inject('url')}?${query}`);
  await page
    .locator('[data-testid="status-grid"], [data-testid="signin-submit"]')
    .first()
    .waitFor({ timeout: 40_000 });
}

/** Opens a window with a scenario of the sample backend. */
export async function open(query: string, options: BrowserContextOptions = {}): Promise<App> {
  const app = await newWindow(options);
  await load(app, query);
  return app;
}

/** Waits until it holds; the last failure is what is told. */
export async function eventually(check: () => Promise<void>, milliseconds = 10_000): Promise<void> {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    try {
      return await check();
    } catch (failure) {
      if (Date.now() > deadline) throw failure;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }
}
