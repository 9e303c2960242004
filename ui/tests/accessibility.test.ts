import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { open, type App } from './browser';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface Violation {
  id: string;
  nodes: { html: string; failureSummary: string }[];
}

async function violations(app: App): Promise<string[]> {
  const found = await app.page.evaluate(async (source) => {
    if (!('axe' in globalThis)) (0, eval)(source);
    const { axe } = globalThis as unknown as {
      axe: { run(o: object): Promise<{ violations: Violation[] }> };
    };
    const { violations } = await axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    });
    return violations;
  }, axe);
  return found.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html.slice(0, 200)} | ${node.failureSummary.slice(0, 300)}`),
  );
}

const screens: [string, string, (app: App) => Promise<unknown>][] = [
  ['sign-in', 'scenario=signed-out', async ({ get }) => get('signin-submit').waitFor()],
  [
    'sign-in with a certificate',
    'scenario=signed-out',
    async ({ get }) => {
      await get('signin-url').fill('https://changed.example');
      await get('signin-email').fill('mara@example.com');
      await get('signin-password').fill('x');
      await get('signin-submit').click();
      await get('trust-certificate').waitFor();
    },
  ],
  ['the grid', 'scenario=demo', async ({ row }) => row(4).click()],
  [
    'details of an error',
    'scenario=demo',
    async ({ get, row }) => {
      await row(4).dblclick();
      await get('details').waitFor();
    },
  ],
  [
    'details of an offline venue',
    'scenario=demo',
    async ({ get, row }) => {
      await row(2).dblclick();
      await get('details').waitFor();
    },
  ],
  [
    'the organizations',
    'scenario=demo',
    async ({ get, page }) => {
      await get('filter-organization').click();
      await page.getByRole('listbox').waitFor();
    },
  ],
  [
    'filters that are on',
    'scenario=demo',
    async ({ get }) => {
      await get('filter-problems-only').check();
      await get('filter-period-value').fill('x');
      await get('filter-apply').click();
      await get('filter-period-value').fill('3');
      await get('filter-apply').click();
      await get('chip-period').waitFor();
    },
  ],
  ['no match', 'scenario=demo', async ({ get }) => get('filter-search').fill('zzz')],
  ['no stores', 'scenario=empty', async ({ page }) => page.waitForTimeout(100)],
  ['no cloud', 'scenario=offline', async ({ get }) => get('offline-banner').waitFor()],
  ['a session that ended', 'scenario=expired', async ({ get }) => get('signin-password').waitFor()],
  [
    'the menu of a row',
    'scenario=demo',
    async ({ row, page }) => {
      await row(4).click({ button: 'right' });
      await page.getByRole('menu').waitFor();
    },
  ],
  [
    'the menu of a column',
    'scenario=demo',
    async ({ page }) => {
      await page.locator('[data-column="chain"]').click();
      await page.locator('[data-column="crm_id"]').click({ modifiers: ['Shift'] });
      await page.locator('[data-column="crm_id"]').click({ button: 'right' });
      await page.getByRole('menu').waitFor();
    },
  ],
  [
    'saved views: a name, then the menu',
    'scenario=demo',
    async ({ get, page }) => {
      await get('views').click();
      await page.getByRole('menuitem').first().click();
      await get('view-submit').click();
      await get('view-name').fill('Riga');
      await get('view-submit').click();
      await get('filter-search').fill('riga');
      await get('views').click();
      await page.getByRole('menuitemradio').waitFor();
    },
  ],
  [
    'a view that is about to be deleted',
    'scenario=demo',
    async ({ get, page }) => {
      await get('views').click();
      await page.getByRole('menuitem').first().click();
      await get('view-name').fill('Riga');
      await get('view-submit').click();
      await get('views').click();
      await page.getByRole('menuitem').last().click();
      await page.getByRole('alertdialog').waitFor();
    },
  ],
  [
    'logs: what is asked',
    'scenario=demo',
    async ({ row, get }) => {
      await row(4).click();
      await get('action-retrieve-logs').click();
      await get('logs-max-size').fill('9999');
      await get('logs-request').click();
      await get('logs-size-problem').waitFor();
    },
  ],
  [
    'logs: progress',
    'scenario=demo&pace=600',
    async ({ row, get, page }) => {
      await row(2).click();
      await row(4).click({ modifiers: ['Shift'] });
      await get('action-retrieve-logs').click();
      await get('logs-request').click();
      await page.getByRole('progressbar').first().waitFor();
    },
  ],
  [
    'logs: archives, then Activity',
    'scenario=demo&pace=10',
    async ({ row, get }) => {
      await row(4).click();
      await get('action-retrieve-logs').click();
      await get('logs-request').click();
      await get('logs-archive-0').click();
      await get('logs-close').click();
      await get('activity').click();
    },
  ],
  [
    'reset: what is asked',
    'scenario=demo',
    async ({ row, get }) => {
      await get('tile-error').click();
      await row(1).click();
      await get('action-reset-database').click();
      await get('reset-discard').waitFor();
    },
  ],
  [
    'reset: its phases',
    'scenario=demo&pace=600',
    async ({ row, get }) => {
      await row(5).click();
      await get('action-reset-database').click();
      await get('reset-confirm-name').fill('Vilnius Centrs');
      await get('reset-confirm-submit').click();
      await get('reset-phases').waitFor();
    },
  ],
  [
    'what happened over a month',
    'scenario=demo',
    async ({ get, row }) => {
      await row(2).dblclick();
      await get('timeline-month').click();
      await get('timeline-picture').waitFor();
    },
  ],
  [
    'restore: what is asked',
    'scenario=demo&pace=10',
    async ({ get, row }) => {
      await row(5).dblclick();
      await get('details-restore').click();
      await get('restore-confirm-name').waitFor();
    },
  ],
  [
    'logs: looked into',
    'scenario=demo&pace=10',
    async ({ get, row }) => {
      await row(5).click();
      await get('action-retrieve-logs').click();
      await get('logs-request').click();
      await get('logs-view').click();
      await get('viewer-search').fill('timed out');
      await get('viewer-found').getByText('61').waitFor();
    },
  ],
  [
    'an error',
    'scenario=errors',
    async ({ get, page }) => {
      await get('export-excel').click();
      await page.getByRole('alert').waitFor();
    },
  ],
  [
    'sign-in in the browser',
    'scenario=signed-out&sso=1&profiles=2',
    async ({ get }) => {
      await get('signin-sso-work').click();
      await get('signin-sso-address').waitFor();
    },
  ],
  [
    'the profiles',
    'scenario=demo&profiles=3',
    async ({ get }) => {
      await get('account').click();
      await get('menu-profiles').click();
      await get('profile-p3').waitFor();
    },
  ],
  ...(['outlets', 'enrollment', 'users', 'version', 'audit'] as const).map(
    (tab): (typeof screens)[number] => [
      `administration: ${tab}`,
      'scenario=demo',
      async ({ get, page }) => {
        await get('admin-open').click();
        await get(`admin-tab-${tab}`).click();
        await page.getByRole('table').waitFor();
      },
    ],
  ),
  [
    'administration: an outlet with problems',
    'scenario=demo',
    async ({ get }) => {
      await get('admin-open').click();
      await get('outlets-add').click();
      await get('outlet-save').click();
      await get('outlet-name-problem').waitFor();
    },
  ],
  [
    'administration: a file to import',
    'scenario=demo',
    async ({ get }) => {
      await get('admin-open').click();
      await get('outlets-import').click();
      await get('import-choose').click();
      await get('import-table').waitFor();
    },
  ],
  [
    'administration: a user',
    'scenario=demo',
    async ({ get, page }) => {
      await get('admin-open').click();
      await get('admin-tab-users').click();
      await page.getByRole('row').nth(2).getByRole('button').click();
      await get('user-edit').click();
      await get('sessions').waitFor();
    },
  ],
  [
    'administration: a code',
    'scenario=demo',
    async ({ get, page }) => {
      await get('admin-open').click();
      await get('admin-tab-enrollment').click();
      await page.getByRole('row').nth(1).getByRole('button').first().click();
      await get('enroll-reissue-confirm').click();
      await get('enroll-line').waitFor();
    },
  ],
  [
    'settings',
    'scenario=demo',
    async ({ get, page }) => {
      await page.keyboard.press('Control+,');
      await get('settings-theme').waitFor();
    },
  ],
];

describe.each([
  ['light', 'en'],
  ['dark', 'en'],
  ['light', 'ru'],
] as const)('in %s, %s', (theme, language) => {
  test.each(screens)('%s', async (_, query, go) => {
    const app = await open(`${query}&language=${language}`, { colorScheme: theme });
    await go(app);
    expect(await violations(app)).toEqual([]);
    expect(app.faults).toEqual([]);
    await app.page.context().close();
  });
});

test('at 200 % in a small window nothing is cut off sideways, and everything is reached', async () => {
  const app = await open('scenario=demo', { viewport: { width: 640, height: 400 } });
  await app.row(0).waitFor();
  const overflow = await app.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(overflow).toBeLessThanOrEqual(0);
  await app.row(2).click();
  await app.get('action-retrieve-logs').click();
  await app.get('logs-request').scrollIntoViewIfNeeded();
  await app.get('logs-request').click();
});
