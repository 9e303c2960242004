// One browser for a file of stories; each story has a page of its own.

import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';
import { afterAll, beforeAll, inject } from 'vitest';

let browser: Browser;

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
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

/** Opens the window with a scenario of the sample backend. */
export async function open(query: string, options: BrowserContextOptions = {}): Promise<App> {
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
  await page.goto(`${inject('url')}?${query}`);
  await page
    .locator('[data-testid="status-grid"], [data-testid="signin-submit"]')
    .first()
    .waitFor({ timeout: 40_000 });
  return {
    page,
    faults,
    get: (testid) => page.locator(`[data-testid="${testid}"]`),
    row: (index) => page.locator(`[role="row"][data-index="${index}"]`),
  };
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
