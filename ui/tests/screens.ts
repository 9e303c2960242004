// Every state that a manager can see, each with the way to it. A story of it is elsewhere; here it is looked at.

import { badImport } from '../src/lib/backend/mock-admin';
import type {} from '../src/lib/backend/mock';
import type { JobProgress } from '../src/lib/bindings';
import type { App } from './browser';

export interface Screen {
  /** Also the name of its picture. */
  name: string;
  /** What the sample backend plays; without it, a fleet that stands still. */
  query?: string;
  /** What is looked at, where the rest is what other pictures show; without it, the window. */
  part?: string;
  go: (app: App) => Promise<unknown>;
}

const dialog = '.dialog';
const side = 'aside';
const menu = '[role="menu"]';
const viewer = '.log-viewer';
const notice = '.notice';

const refuse = ({ page }: App, call: string, code: string, params: Record<string, string> = {}) =>
  page.evaluate(([call, code, params]) => window.tillwatchMock?.failNext(call, { code, params }), [
    call,
    code,
    params,
  ] as const);

/** The newest job is there now; the sample backend's own does not move with such a pace. */
const STILL = 'scenario=still&pace=100000000';
const reaches = ({ page }: App, progress: Partial<JobProgress>) =>
  page.evaluate((progress) => {
    const mock = window.tillwatchMock;
    const job = mock?.jobs.all()[0];
    const started_at = new Date().toISOString();
    const now = { phase: '', done: 0, total: null, unit: 'steps', ...progress };
    if (job) mock.emit({ type: 'job', job: { ...job, state: 'in_progress', started_at, progress: now } });
  }, progress);
const nextJobFails = ({ page }: App, code: string, message: string) =>
  page.evaluate(
    ([code, message]) => {
      if (window.tillwatchMock) window.tillwatchMock.jobs.failNextJob = { code, message };
    },
    [code, message] as const,
  );

async function details({ row, get }: App, index: number) {
  await row(index).dblclick();
  await get('details').waitFor();
  if (index !== 11) await get('timeline-picture').waitFor();
}

async function askForLogs({ row, get }: App, index = 5) {
  await row(index).click();
  await get('action-retrieve-logs').click();
  await get('logs-request').waitFor();
}

async function getLogs(app: App) {
  await askForLogs(app);
  await app.get('logs-request').click();
  await app.get('logs-archive-0').waitFor();
}

async function askForReset({ row, get }: App, index = 5) {
  await row(index).click();
  await get('action-reset-database').click();
  await get('reset-confirm-name').waitFor();
}

async function reset(app: App) {
  await askForReset(app);
  await app.get('reset-confirm-name').fill('Vilnius Centrs');
  await app.get('reset-confirm-submit').click();
  await app.get('reset-phases').waitFor();
}

async function askForRestore(app: App) {
  await details(app, 5);
  await app.get('details-restore').click();
  await app.get('restore-confirm-name').waitFor();
}

async function restore(app: App) {
  await askForRestore(app);
  await app.get('restore-confirm-name').fill('Vilnius Centrs');
  await app.get('restore-confirm-submit').click();
  await app.get('restore-phases').waitFor();
}

async function lookInto(app: App) {
  await getLogs(app);
  await app.get('logs-view').click();
}

async function saveView({ get, page }: App, name: string) {
  await get('views').click();
  await page.getByRole('menuitem').first().click();
  await get('view-name').fill(name);
  await get('view-submit').click();
  await get('view-name').waitFor({ state: 'detached' });
}

async function admin({ get, page }: App, tab = 'outlets') {
  await get('admin-open').click();
  await get(`admin-tab-${tab}`).click();
  await page.getByRole('table').waitFor();
}

/** An item of the menu of a row of a table. */
async function choose({ get, page }: App, row: number, item: string) {
  await page.getByRole('row').nth(row).locator('[data-testid*="-actions-"]').click();
  await get(item).click();
  await page.locator(dialog).waitFor();
}

async function signIn({ get }: App, host: string, password = 'x') {
  await get('signin-url').fill(`https://${host}.example`);
  await get('signin-email').fill('mara@example.com');
  await get('signin-password').fill(password);
  await get('signin-submit').click();
}

export const screens: Screen[] = [
  // Signing in.
  { name: 'sign-in', query: 'scenario=signed-out', go: ({ get }) => get('signin-submit').waitFor() },
  {
    name: 'sign-in-nothing-entered',
    query: 'scenario=signed-out',
    part: '.card',
    go: async ({ get, page }) => {
      await get('signin-submit').click();
      await page.getByRole('alert').waitFor();
    },
  },
  {
    name: 'sign-in-refused',
    query: 'scenario=signed-out',
    part: '.card',
    go: async (app) => {
      await signIn(app, 'cloud', 'wrong');
      await app.page.getByRole('alert').waitFor();
    },
  },
  {
    name: 'sign-in-certificate-unknown',
    query: 'scenario=signed-out',
    part: '.card',
    go: async (app) => {
      await signIn(app, 'untrusted');
      await app.get('trust-certificate').waitFor();
    },
  },
  {
    name: 'sign-in-certificate-by-date',
    query: 'scenario=signed-out',
    part: '.card',
    go: async (app) => {
      await signIn(app, 'expired');
      await app.get('trust-certificate').waitFor();
    },
  },
  {
    name: 'sign-in-certificate-changed',
    query: 'scenario=signed-out',
    part: '.card',
    go: async (app) => {
      await signIn(app, 'changed');
      await app.get('trust-certificate').waitFor();
    },
  },
  {
    name: 'sign-in-certificate-hides-sso',
    query: 'scenario=signed-out',
    part: '.card',
    go: async ({ get }) => {
      await get('signin-url').fill('https://untrusted.example');
      await get('signin-email').focus();
      await get('signin-show-certificate').waitFor();
    },
  },
  {
    name: 'sign-in-sso',
    query: 'scenario=signed-out&sso=1&profiles=2',
    go: ({ get }) => get('signin-sso-work').waitFor(),
  },
  {
    name: 'sign-in-sso-waiting',
    query: 'scenario=signed-out&sso=1&profiles=1',
    part: '.card',
    go: async ({ get }) => {
      await get('signin-sso-work').click();
      await get('signin-sso-address').waitFor();
    },
  },
  {
    name: 'sign-in-sso-no-browser',
    query: 'scenario=signed-out&sso=1&profiles=1',
    part: '.card',
    go: async ({ get, page }) => {
      await page.evaluate(() => {
        if (window.tillwatchMock) window.tillwatchMock.sso.opens = false;
      });
      await get('signin-sso-work').click();
      await get('signin-sso-address').waitFor();
    },
  },
  {
    name: 'sign-in-sso-failed',
    query: 'scenario=signed-out&sso=1&profiles=1',
    part: '.card',
    go: async ({ get, page }) => {
      await get('signin-sso-work').click();
      await get('signin-sso-waiting').waitFor();
      await page.evaluate(() => window.tillwatchMock?.sso.come({ code: 'sso_user_unknown' }));
      await page.getByRole('alert').waitFor();
    },
  },
  {
    name: 'session-prove',
    part: dialog,
    go: async (app) => {
      await app.page.keyboard.press('Control+,');
      await refuse(app, 'endSession', 'reauthentication_required');
      await app.get('session-end-s2').click();
      await app.get('signin-password').waitFor();
    },
  },
  { name: 'session-ended', query: 'scenario=expired', go: ({ get }) => get('signin-password').waitFor() },

  // Profiles.
  {
    name: 'account-menu',
    query: 'scenario=still&profiles=3',
    part: menu,
    go: ({ get }) => get('account').click(),
  },
  {
    name: 'profiles',
    query: 'scenario=still&profiles=3',
    part: dialog,
    go: async ({ get }) => {
      await get('account').click();
      await get('menu-profiles').click();
      await get('profile-p3').waitFor();
    },
  },
  {
    name: 'profile-added',
    query: 'scenario=still',
    part: dialog,
    go: async ({ get }) => {
      await get('account').click();
      await get('menu-profile-add').click();
      await get('signin-url').waitFor();
    },
  },
  {
    name: 'profile-removed',
    query: 'scenario=still&profiles=3',
    part: dialog,
    go: async ({ get }) => {
      await get('account').click();
      await get('menu-profiles').click();
      await get('profile-remove-p2').click();
      await get('profile-remove-confirm').waitFor();
    },
  },

  // The stores.
  { name: 'grid', go: ({ row }) => row(4).click() },
  { name: 'grid-comfortable', query: 'scenario=still&density=comfortable', go: ({ row }) => row(9).click() },
  {
    name: 'grid-several-selected',
    go: async ({ row }) => {
      await row(3).click();
      await row(6).click({ modifiers: ['Shift'] });
    },
  },
  { name: 'grid-loading', query: 'scenario=loading', go: ({ page }) => page.locator('.message').waitFor() },
  { name: 'grid-empty', query: 'scenario=empty', go: ({ page }) => page.locator('.message').waitFor() },
  {
    name: 'grid-no-match',
    go: async ({ get, page }) => {
      await get('filter-search').fill('zzz');
      await page.locator('.message').waitFor();
    },
  },
  { name: 'cloud-unreachable', query: 'scenario=offline', go: ({ get }) => get('offline-banner').waitFor() },
  {
    name: 'cloud-unreachable-nothing-read',
    query: 'scenario=offline&stores=0',
    go: ({ page }) => page.locator('.message').waitFor(),
  },
  {
    name: 'no-network-nothing-loaded',
    query: 'scenario=loading',
    go: async ({ page, get }) => {
      await page.evaluate(() =>
        window.tillwatchMock?.setConnection({ state: 'no_network', since: new Date().toISOString() }),
      );
      await get('offline-banner').waitFor();
    },
  },
  {
    name: 'connecting',
    part: 'header',
    go: ({ page }) =>
      page.evaluate(() => window.tillwatchMock?.setConnection({ state: 'connecting', since: null })),
  },
  {
    name: 'filters-on',
    go: async ({ get }) => {
      await get('filter-problems-only').check();
      await get('filter-search').fill('r');
      await get('filter-period-value').fill('3');
      await get('filter-apply').click();
      await get('chip-period').waitFor();
    },
  },
  {
    name: 'filter-period-wrong',
    part: 'main',
    go: async ({ get, page }) => {
      await get('filter-period-value').fill('x');
      await get('filter-apply').click();
      await page.locator('main [aria-invalid="true"]').waitFor();
    },
  },
  {
    name: 'filter-organizations',
    part: '[role="listbox"]',
    go: async ({ get, page }) => {
      await get('filter-organization').click();
      await page.getByRole('listbox').getByRole('option').nth(1).waitFor();
    },
  },
  {
    name: 'filter-organization-unknown',
    part: '[role="listbox"]',
    go: async ({ get, page }) => {
      await get('filter-organization').click();
      await page.keyboard.type('zzz');
      await page.locator('[role="option"][data-disabled]').waitFor();
    },
  },
  {
    name: 'tile-offline',
    go: async ({ get }) => {
      await get('tile-offline').click();
      await get('chip-only').waitFor();
    },
  },
  {
    name: 'row-menu',
    part: menu,
    go: ({ row }) => row(4).click({ button: 'right' }),
  },
  {
    name: 'row-menu-offline',
    part: menu,
    go: ({ row }) => row(2).click({ button: 'right' }),
  },
  {
    name: 'column-menu',
    go: async ({ page }) => {
      await page.locator('[data-column="chain"]').click();
      await page.locator('[data-column="crm_id"]').click({ modifiers: ['Shift'] });
      await page.locator('[data-column="crm_id"]').click({ button: 'right' });
      await page.getByRole('menu').waitFor();
    },
  },
  {
    name: 'columns-menu',
    part: menu,
    go: async ({ page }) => {
      await page.locator('[data-column="crm_id"]').click({ button: 'right' });
      await page.getByRole('menu').waitFor();
      await page.getByRole('menuitem').last().click();
      await page.getByRole('menuitemcheckbox').first().waitFor();
    },
  },
  {
    name: 'views-menu',
    part: menu,
    go: async (app) => {
      await saveView(app, 'Riga');
      await app.get('filter-search').fill('riga');
      await app.get('views').click();
      await app.page.getByRole('menuitemradio').waitFor();
    },
  },
  {
    name: 'view-saved',
    part: dialog,
    go: async ({ get, page }) => {
      await get('views').click();
      await page.getByRole('menuitem').first().click();
      await get('view-name').waitFor();
    },
  },
  {
    name: 'view-name-missing',
    part: dialog,
    go: async ({ get, page }) => {
      await get('views').click();
      await page.getByRole('menuitem').first().click();
      await get('view-submit').click();
      await page.getByRole('alert').waitFor();
    },
  },
  {
    name: 'view-renamed',
    part: dialog,
    go: async (app) => {
      await saveView(app, 'Riga');
      await app.get('views').click();
      await app.page.getByRole('menuitem').nth(-2).click();
      await app.get('view-name').waitFor();
    },
  },
  {
    name: 'view-deleted',
    part: dialog,
    go: async (app) => {
      await saveView(app, 'Riga');
      await app.get('views').click();
      await app.page.getByRole('menuitem').last().click();
      await app.page.getByRole('alertdialog').waitFor();
    },
  },

  // Details.
  { name: 'details', go: (app) => details(app, 4) },
  { name: 'details-well', part: side, go: (app) => details(app, 5) },
  { name: 'details-offline', part: side, go: (app) => details(app, 2) },
  { name: 'details-outdated', part: side, go: (app) => details(app, 9) },
  { name: 'details-pos-silent', part: side, go: (app) => details(app, 6) },
  { name: 'details-never-connected', part: side, go: (app) => details(app, 11) },
  {
    name: 'details-unknown',
    part: side,
    go: async (app) => {
      await app.page.evaluate(() => {
        const mock = window.tillwatchMock;
        const row = mock?.rows.rows[5];
        if (!mock || !row) return;
        Object.assign(row, { link_state: 'unknown', pos_state: 'unknown' });
        mock.rows.changed();
        mock.emit(mock.rows.event());
      });
      await details(app, 5);
    },
  },
  {
    name: 'details-facts',
    part: side,
    go: async (app) => {
      await details(app, 5);
      await app.page.locator('aside dl').last().scrollIntoViewIfNeeded();
      await app.page.locator('aside .content').evaluate((box) => box.scrollTo(0, box.scrollHeight));
    },
  },
  {
    name: 'details-several',
    part: side,
    go: async (app) => {
      await details(app, 4);
      await app.row(5).click({ modifiers: ['Shift'] });
      await app.get('timeline-picture').waitFor({ state: 'detached' });
    },
  },
  {
    name: 'details-none',
    part: side,
    go: async (app) => {
      await details(app, 4);
      await app.row(4).click({ modifiers: ['Control'] });
      await app.get('timeline-picture').waitFor({ state: 'detached' });
    },
  },
  {
    name: 'details-checked',
    part: side,
    query: 'scenario=still&pace=1',
    go: async (app) => {
      await details(app, 4);
      await app.page.evaluate(() => {
        const mock = window.tillwatchMock;
        const row = mock?.rows.rows[4];
        if (row) mock.jobs.run(row.id, 'diagnose');
      });
      await app.page.locator('aside .checks').scrollIntoViewIfNeeded();
      await app.page.locator('aside .checks').evaluate((list) => list.scrollIntoView());
    },
  },
  {
    name: 'timeline-month',
    part: '[data-testid="timeline"]',
    go: async (app) => {
      await details(app, 2);
      await app.get('timeline-month').click();
      await app.page.locator('[data-testid="timeline-month"][aria-pressed="true"]').waitFor();
      await app.page.waitForFunction(
        () => window.tillwatchMock?.calls.filter(({ name }) => name === 'timeline').length === 2,
      );
      await app.get('timeline-summary').waitFor();
    },
  },
  {
    name: 'timeline-failed',
    part: '[data-testid="timeline"]',
    go: async (app) => {
      await refuse(app, 'timeline', 'cloud_unreachable');
      await app.row(5).dblclick();
      await app.get('timeline').getByRole('alert').waitFor();
    },
  },

  // Logs.
  { name: 'logs-asked', go: (app) => askForLogs(app) },
  {
    name: 'logs-asked-many',
    part: dialog,
    go: async (app) => {
      await app.row(2).click();
      await app.row(8).click({ modifiers: ['Shift'] });
      await app.get('action-retrieve-logs').click();
      await app.get('logs-when-offline').selectOption('queue');
    },
  },
  {
    name: 'logs-asked-wrongly',
    part: dialog,
    go: async (app) => {
      await askForLogs(app, 2);
      await app.get('logs-from').fill('2026-11-24T12:00');
      await app.get('logs-to').fill('2026-11-24T10:00');
      await app.get('logs-max-size').fill('9999');
      await app.get('logs-when-offline').selectOption('queue');
      await app.get('logs-wait-until').fill('2026-11-24T10:00');
      await app.get('logs-request').click();
      await app.get('logs-size-problem').waitFor();
    },
  },
  {
    name: 'logs-refused',
    part: dialog,
    go: async (app) => {
      await refuse(app, 'requestLogs', 'permission_denied');
      await askForLogs(app);
      await app.get('logs-request').click();
      await app.page.getByRole('alert').waitFor();
    },
  },
  {
    name: 'logs-progress',
    query: STILL,
    part: dialog,
    go: async (app) => {
      await app.row(2).click();
      await app.row(4).click({ modifiers: ['Shift'] });
      await app.get('action-retrieve-logs').click();
      await app.get('logs-request').click();
      await app.get('logs-progress').waitFor();
      await reaches(app, { phase: 'compressing', done: 31 * 2 ** 20, total: 62 * 2 ** 20, unit: 'bytes' });
      await app.page.getByRole('progressbar').first().waitFor();
    },
  },
  { name: 'logs-ready', query: 'scenario=still&pace=1', part: dialog, go: getLogs },
  {
    name: 'logs-ready-many',
    query: 'scenario=still&pace=1',
    part: dialog,
    go: async (app) => {
      await app.row(2).click();
      await app.row(4).click({ modifiers: ['Shift'] });
      await app.get('action-retrieve-logs').click();
      await app.get('logs-when-offline').selectOption('skip');
      await app.get('logs-request').click();
      await app.get('logs-archive-1').waitFor();
      await app.get('logs-save-all').click();
      await app.page.locator('[data-download="done"]').nth(1).waitFor();
    },
  },
  {
    name: 'logs-failed',
    query: 'scenario=still&pace=1',
    part: dialog,
    go: async (app) => {
      await nextJobFails(app, 'disk_full', 'no room for the archive');
      await askForLogs(app);
      await app.get('logs-request').click();
      await app.page.locator('[data-state="failed"]').waitFor();
    },
  },
  {
    name: 'download-failed',
    query: 'scenario=errors&pace=1',
    part: dialog,
    go: async (app) => {
      await getLogs(app);
      // The first is refused before it begins.
      await app.get('logs-archive-0').click();
      await app.page.locator(notice).waitFor();
      await app.get('logs-archive-0').click();
      await app.page.locator('[data-download="failed"]').waitFor();
    },
  },

  // Looking into them.
  {
    name: 'viewer',
    query: 'scenario=still&pace=1',
    part: viewer,
    go: async (app) => {
      await lookInto(app);
      await app.get('viewer-search').fill('timed out');
      await app.get('viewer-found').getByText('61').waitFor();
    },
  },
  {
    name: 'viewer-entry',
    query: 'scenario=still&pace=1',
    part: viewer,
    go: async (app) => {
      await lookInto(app);
      await app.get('viewer-next-error').click();
      await app.get('viewer-entry').waitFor();
    },
  },
  {
    name: 'viewer-nothing-shown',
    query: 'scenario=still&pace=1',
    part: viewer,
    go: async (app) => {
      await lookInto(app);
      await app.get('viewer-lines').waitFor();
      for (const level of ['error', 'warn', 'info', 'debug', 'trace', 'none']) {
        const button = app.get(`viewer-level-${level}`);
        if ((await button.count()) > 0) await button.click();
      }
    },
  },
  {
    name: 'viewer-empty',
    query: 'scenario=still&pace=1&lines=0',
    part: viewer,
    go: async (app) => {
      await lookInto(app);
      await app.page.locator(`${viewer} .middle > p:only-child`).waitFor();
    },
  },
  {
    name: 'viewer-progress',
    query: STILL,
    part: viewer,
    go: async (app) => {
      await askForLogs(app);
      await app.get('logs-request').click();
      await app.get('logs-progress').waitFor();
      await app.page.evaluate(() => {
        const mock = window.tillwatchMock;
        const job = mock?.jobs.all()[0];
        const at = new Date().toISOString();
        const of = { id: 'a', file_name: 'Vilnius-Centrs-logs.zip', size_bytes: 9437184, sha256: '' };
        const archives = [{ ...of, from: at, to: at, expires_at: at }];
        if (job) mock.emit({ type: 'job', job: { ...job, state: 'succeeded', finished_at: at, archives } });
      });
      await app.get('logs-view').click();
      await app.get('viewer-progress').waitFor();
    },
  },
  {
    name: 'viewer-failed',
    query: 'scenario=still&pace=1&archive=archive_unreadable',
    part: viewer,
    go: async (app) => {
      await lookInto(app);
      await app.get('viewer-retry').waitFor();
    },
  },

  // A reset, and going back.
  { name: 'reset-asked', go: (app) => askForReset(app) },
  {
    name: 'reset-asked-losing',
    part: dialog,
    go: async (app) => {
      await app.get('tile-error').click();
      await app.get('chip-only').waitFor();
      await askForReset(app, 1);
      await app.get('reset-discard').check();
    },
  },
  {
    name: 'reset-refused',
    part: dialog,
    go: async (app) => {
      await refuse(app, 'resetDatabase', 'generation_changed');
      await askForReset(app);
      await app.get('reset-confirm-name').fill('Vilnius Centrs');
      await app.get('reset-confirm-submit').click();
      await app.page.getByRole('alert').waitFor();
    },
  },
  {
    name: 'reset-phases',
    query: STILL,
    part: dialog,
    go: async (app) => {
      await reset(app);
      await reaches(app, { phase: 'starting', done: 4, total: 5 });
      await app.page.locator('[data-testid="reset-phases"] .done').nth(2).waitFor();
    },
  },
  {
    name: 'reset-done',
    query: 'scenario=still&pace=1',
    part: dialog,
    go: async (app) => {
      await reset(app);
      await app.page.locator(`${dialog} .result`).waitFor();
    },
  },
  {
    name: 'reset-failed',
    query: 'scenario=still&pace=1',
    part: dialog,
    go: async (app) => {
      await nextJobFails(app, 'pos_not_started', 'the service did not start');
      await reset(app);
      await app.page.locator(`${dialog} .result.bad`).waitFor();
    },
  },
  { name: 'restore-asked', part: dialog, go: askForRestore },
  {
    name: 'restore-none-kept',
    part: dialog,
    go: async (app) => {
      await app.page.evaluate(() => {
        const row = window.tillwatchMock?.rows.rows[5];
        if (row) row.generation = 1;
      });
      await details(app, 5);
      await app.get('details-restore').click();
      await app.get('restore-none').waitFor();
    },
  },
  {
    name: 'restore-unread',
    part: dialog,
    go: async (app) => {
      await details(app, 5);
      await refuse(app, 'backups', 'cloud_unreachable');
      await app.get('details-restore').click();
      await app.page.locator(dialog).getByRole('alert').waitFor();
    },
  },
  {
    name: 'restore-phases',
    query: STILL,
    part: dialog,
    go: async (app) => {
      await restore(app);
      await reaches(app, { phase: 'putting_back', done: 3, total: 5 });
      await app.page.locator('[data-testid="restore-phases"] .done').nth(1).waitFor();
    },
  },
  {
    name: 'restore-done',
    query: 'scenario=still&pace=1',
    part: dialog,
    go: async (app) => {
      await restore(app);
      await app.page.locator(`${dialog} .result[role="status"]`).waitFor();
    },
  },
  {
    name: 'restore-failed',
    query: 'scenario=still&pace=1',
    part: dialog,
    go: async (app) => {
      await nextJobFails(app, 'pos_not_started', 'the service did not start');
      await restore(app);
      await app.page.locator(`${dialog} .result.bad`).waitFor();
    },
  },

  // What goes on, and what is told.
  { name: 'activity-empty', part: side, go: ({ get }) => get('activity').click() },
  {
    name: 'activity',
    query: 'scenario=still&pace=1',
    part: side,
    go: async (app) => {
      await nextJobFails(app, 'pos_not_started', 'the service did not start');
      await reset(app);
      await app.page.locator(`${dialog} .result.bad`).waitFor();
      await app.get('reset-cancel').click();
      await askForLogs(app, 3);
      await app.get('logs-request').click();
      await app.get('logs-archive-0').click();
      await app.page.locator('[data-download="done"]').waitFor();
      await app.get('logs-close').click();
      await app.get('activity').click();
      await app.page.locator(side).waitFor();
    },
  },
  {
    name: 'activity-running',
    query: STILL,
    go: async (app) => {
      await askForLogs(app);
      await app.get('logs-request').click();
      await app.get('logs-progress').waitFor();
      await reaches(app, { phase: 'uploading', done: 3 * 2 ** 20, total: 9 * 2 ** 20, unit: 'bytes' });
      await app.get('logs-close').click();
      await app.page.locator(side).getByRole('progressbar').waitFor();
    },
  },
  {
    name: 'activity-canceled',
    query: STILL,
    part: side,
    go: async (app) => {
      await askForLogs(app, 2);
      await app.get('logs-when-offline').selectOption('queue');
      await app.get('logs-request').click();
      await app.get('logs-cancel').click();
      await app.get('logs-again').waitFor();
      await app.get('logs-close').click();
      await app.get('activity').click();
      await app.page.locator(side).waitFor();
    },
  },
  {
    name: 'told-failure',
    query: 'scenario=errors',
    part: notice,
    go: async ({ get, page }) => {
      await get('export-excel').click();
      await page.locator(notice).waitFor();
    },
  },
  {
    name: 'told-exported',
    part: notice,
    go: async ({ get, page }) => {
      await get('export-excel').click();
      await page.locator(notice).waitFor();
    },
  },

  // Settings.
  {
    name: 'settings',
    part: dialog,
    go: async ({ get, page }) => {
      await page.keyboard.press('Control+,');
      await get('sessions').waitFor();
    },
  },
  {
    name: 'settings-no-tray',
    query: 'scenario=still&tray=none',
    part: dialog,
    go: async (app) => {
      await refuse(app, 'sessions', 'cloud_unreachable');
      await app.page.keyboard.press('Control+,');
      await app.page.locator(dialog).getByRole('alert').waitFor();
    },
  },

  // One's own password.
  {
    name: 'password',
    part: dialog,
    go: async ({ get }) => {
      await get('account').click();
      await get('menu-password').click();
      await get('password-current_password').waitFor();
    },
  },
  {
    name: 'password-made-up',
    query: 'scenario=still&password=made-up',
    go: async ({ get }) => {
      await get('password-banner').waitFor();
    },
  },
  {
    name: 'password-refused',
    part: dialog,
    go: async ({ get }) => {
      await get('account').click();
      await get('menu-password').click();
      await get('password-current_password').fill('wrong');
      await get('password-password').fill('a long enough one');
      await get('password-again').fill('a long enough one');
      await get('password-save').click();
      await get('password-current_password-problem').waitFor();
    },
  },

  // Administration.
  ...(['outlets', 'enrollment', 'users', 'version', 'audit'] as const).map((tab): Screen => ({
    name: `admin-${tab}`,
    go: (app) => admin(app, tab),
  })),
  {
    name: 'admin-outlets-none',
    query: 'scenario=empty',
    part: 'main',
    go: async ({ get }) => {
      await get('admin-open').click();
      await get('outlets-add').waitFor();
    },
  },
  {
    name: 'admin-outlets-unread',
    part: 'main',
    go: async (app) => {
      await refuse(app, 'adminOutlets', 'cloud_unreachable');
      await app.get('admin-open').click();
      await app.get('outlets').getByRole('alert').waitFor();
    },
  },
  {
    name: 'admin-without-the-cloud',
    go: async (app) => {
      await admin(app);
      await app.page.evaluate(() =>
        window.tillwatchMock?.setConnection({ state: 'cloud_unreachable', since: new Date().toISOString() }),
      );
      await app.page.locator('[data-testid="outlets-add"]:disabled').waitFor();
    },
  },
  {
    name: 'admin-of-chains',
    query: 'scenario=still&role=chains',
    part: 'main',
    go: (app) => admin(app, 'users'),
  },
  {
    name: 'admin-chain-menu',
    part: menu,
    go: async (app) => {
      await admin(app);
      await app.get('outlets-chain').selectOption({ label: 'Kafe Kometa' });
      await app.get('chain-actions').click();
    },
  },
  {
    name: 'admin-outlets-no-match',
    part: 'main',
    go: async (app) => {
      await admin(app);
      await app.get('outlets-search').fill('zzz');
      await app.page.getByRole('row').nth(2).waitFor({ state: 'detached' });
    },
  },
  {
    name: 'admin-outlet-menu',
    part: menu,
    go: async (app) => {
      await admin(app);
      await app.page.getByRole('row').nth(1).locator('[data-testid*="-actions-"]').click();
    },
  },
  {
    name: 'admin-outlet-wrong',
    part: dialog,
    go: async (app) => {
      await admin(app);
      await app.get('outlets-add').click();
      await app.get('outlet-time-zone').fill('Mars/Base');
      await app.get('outlet-save').click();
      await app.get('outlet-name-problem').waitFor();
    },
  },
  {
    name: 'admin-outlet-changed',
    part: dialog,
    go: async (app) => {
      await admin(app);
      await choose(app, 1, 'outlet-edit');
    },
  },
  {
    name: 'admin-outlet-not-empty',
    part: dialog,
    go: async (app) => {
      await admin(app);
      await choose(app, 1, 'outlet-delete');
      await app.get('outlet-delete-confirm').click();
      await app.page.getByRole('alert').waitFor();
    },
  },
  {
    name: 'admin-pos-server-added',
    part: dialog,
    go: async (app) => {
      await admin(app);
      await choose(app, 1, 'outlet-add-pos');
      await app.get('name-save').click();
      await app.page
        .getByRole('alert')
        .or(app.page.locator(`${dialog} .invalid`))
        .first()
        .waitFor();
    },
  },
  {
    name: 'admin-chain-added',
    part: dialog,
    go: async (app) => {
      await admin(app);
      await app.get('chains-add').click();
      await app.get('name').waitFor();
    },
  },
  {
    name: 'admin-import',
    part: dialog,
    go: async (app) => {
      await admin(app);
      await app.get('outlets-import').click();
      await app.get('import-choose').waitFor();
    },
  },
  {
    name: 'admin-import-good',
    part: dialog,
    go: async (app) => {
      await admin(app);
      await app.get('outlets-import').click();
      await app.get('import-choose').click();
      await app.get('import-table').waitFor();
    },
  },
  {
    name: 'admin-import-bad',
    part: dialog,
    go: async (app) => {
      await admin(app);
      await app.page.evaluate((preview) => {
        if (window.tillwatchMock) window.tillwatchMock.admin.preview = preview;
      }, badImport());
      await app.get('outlets-import').click();
      await app.get('import-choose').click();
      await app.get('import-table').waitFor();
    },
  },
  {
    name: 'admin-import-unread',
    part: dialog,
    go: async (app) => {
      await refuse(app, 'readImport', 'file_unreadable');
      await admin(app);
      await app.get('outlets-import').click();
      await app.get('import-choose').click();
      await app.page.locator(dialog).getByRole('alert').waitFor();
    },
  },
  {
    name: 'admin-code-again',
    part: dialog,
    go: async (app) => {
      await admin(app, 'enrollment');
      await app.page.getByRole('row').nth(1).getByRole('button').first().click();
      await app.get('enroll-reissue-confirm').waitFor();
    },
  },
  {
    name: 'admin-code',
    part: dialog,
    go: async (app) => {
      await admin(app, 'enrollment');
      await app.page.getByRole('row').nth(1).getByRole('button').first().click();
      await app.get('enroll-reissue-confirm').click();
      await app.get('enroll-line').waitFor();
    },
  },
  {
    name: 'admin-connectors',
    part: dialog,
    go: async (app) => {
      await admin(app, 'enrollment');
      await choose(app, 3, 'server-connectors');
      await app.get('device-revoke').waitFor();
    },
  },
  {
    name: 'admin-connector-revoked',
    part: dialog,
    go: async (app) => {
      await admin(app, 'enrollment');
      await choose(app, 3, 'server-connectors');
      await app.get('device-revoke').click();
      await app.get('device-revoke-confirm').waitFor();
    },
  },
  {
    name: 'admin-pos-server-removed',
    part: dialog,
    go: async (app) => {
      await admin(app, 'enrollment');
      await choose(app, 3, 'server-remove');
    },
  },
  {
    name: 'admin-user-added',
    part: dialog,
    go: async (app) => {
      await admin(app, 'users');
      await app.get('users-add').click();
      await app.get('user-name').fill('Anna');
      await app.get('user-email').fill('not an e-mail');
      await app.page.keyboard.press('Enter');
      await app.get('user-email-problem').waitFor();
    },
  },
  {
    name: 'admin-password-told',
    part: dialog,
    go: async (app) => {
      await admin(app, 'users');
      await app.get('users-add').click();
      await app.get('user-name').fill('Anna');
      await app.get('user-email').fill('anna@pastanostra.example');
      await app.get('user-save').click();
      await app.get('user-password-told').waitFor();
    },
  },
  {
    name: 'admin-user',
    part: dialog,
    go: async (app) => {
      await admin(app, 'users');
      await choose(app, 2, 'user-edit');
      await app.get('sessions').waitFor();
      await app.get('grants').locator('li').first().waitFor();
    },
  },
  {
    name: 'admin-last-admin',
    part: dialog,
    go: async (app) => {
      await admin(app, 'users');
      await choose(app, 1, 'user-edit');
      await app.get('sessions').waitFor();
      await app.get('user-admin').uncheck();
      await app.get('user-save').click();
      await app.page.locator(dialog).getByRole('alert').waitFor();
    },
  },
  ...(['password', 'disable', 'delete'] as const).map((what): Screen => ({
    name: `admin-user-${what}`,
    part: dialog,
    go: async (app) => {
      await admin(app, 'users');
      await choose(app, 2, `user-${what}`);
    },
  })),
  {
    name: 'admin-version-nothing-chosen',
    part: 'main',
    go: async (app) => {
      await admin(app, 'version');
      await app.get('version').fill('34.7.0');
      await app.get('version-set').click();
      await app.page.getByRole('alert').waitFor();
    },
  },
  {
    name: 'admin-version-asked',
    part: dialog,
    go: async (app) => {
      await admin(app, 'version');
      await app.get('version').fill('34.7.0');
      await app.get('version-all').check();
      await app.get('version-set').click();
      await app.get('version-confirm').waitFor();
    },
  },
  {
    name: 'admin-audit-none',
    part: 'main',
    go: async (app) => {
      await admin(app, 'audit');
      await app.get('audit-from').fill('2030-01-01T00:00');
      await app.get('audit-apply').click();
      await app.get('audit').getByRole('row').nth(1).waitFor({ state: 'detached' });
    },
  },
];
