import { describe, expect, test } from 'vitest';
import { badImport } from '../src/lib/backend/mock-admin';
import type {} from '../src/lib/backend/mock';
import { eventually, open, type App } from './browser';

const calls = (app: App, name: string) =>
  app.page.evaluate(
    (wanted) =>
      window.tillwatchMock?.calls.filter((call) => call.name === wanted).map((call) => call.args) ?? [],
    name,
  );
const refuse = (app: App, call: string, error: { code: string; params?: Record<string, string> }) =>
  app.page.evaluate(([call, error]) => window.tillwatchMock?.failNext(call, error), [call, error] as const);
const focused = (app: App) => app.page.evaluate(() => document.activeElement?.getAttribute('data-testid'));

async function admin(tab = 'outlets', query = 'scenario=demo') {
  const app = await open(query);
  await app.get('admin-open').click();
  if (tab !== 'outlets') await app.get(`admin-tab-${tab}`).click();
  return app;
}

const outlet = (app: App, name: string) => app.get('outlets').getByRole('row').filter({ hasText: name });

async function choose(app: App, row: ReturnType<typeof outlet>, item: string) {
  await row.getByRole('button', { name: /^Actions/ }).click();
  await app.get(item).click();
}

describe('administration', () => {
  test('is there for whoever administers something, and for nobody else', async () => {
    const none = await open('scenario=demo&role=none');
    await none.row(0).waitFor();
    expect(await none.get('admin-open').count()).toBe(0);
    const chains = await admin('users', 'scenario=demo&role=chains');
    await chains.get('users').getByText('janis@pastanostra.example').waitFor();
    expect(await chains.get('users-add').count()).toBe(0);
  });

  test('opens and closes by keyboard, and gives the focus back', async () => {
    const app = await open('scenario=demo');
    await app.get('admin-open').focus();
    await app.page.keyboard.press('Enter');
    await eventually(async () => expect(await focused(app)).toBe('admin-back'));
    await app.page.keyboard.press('Tab');
    expect(await focused(app)).toBe('admin-tab-outlets');
    await app.page.keyboard.press('ArrowRight');
    await app.page.keyboard.press('ArrowRight');
    await app.get('users').waitFor();
    await app.page.keyboard.press('Control+f');
    expect(await focused(app)).toBe('users-search');
    await app.get('admin-back').press('Enter');
    await app.row(0).waitFor();
    expect(await focused(app)).toBe('admin-open');
    expect(app.faults).toEqual([]);
  });

  test('says what failed, keeps what was there, and tries again', async () => {
    const app = await open('scenario=demo');
    await refuse(app, 'adminOutlets', { code: 'cloud_unreachable' });
    await app.get('admin-open').click();
    await app.get('outlets').getByText('The cloud can’t be reached').waitFor();
    await app.get('outlets').getByRole('button', { name: 'Try again' }).click();
    await outlet(app, 'Riga Centrs').first().waitFor();
  });
});

describe('outlets', () => {
  test('are searched as one types', async () => {
    const app = await admin();
    await app.get('outlets-shown').getByText('200 of 214 shown').waitFor();
    await app.page.getByRole('button', { name: 'Show more' }).click();
    await app.get('outlets-shown').getByText('214 of 214 shown').waitFor();
    await app.get('outlets-search').fill('jelgava park');
    await eventually(async () => expect(await app.get('outlets').getByRole('row').count()).toBeLessThan(5));
    await app.get('outlets-search').fill('no such outlet');
    await app.get('outlets').getByText('Nothing matches.').waitFor();
    await app.page.getByRole('button', { name: 'Clear the search' }).click();
    await app.get('outlets-shown').waitFor();
  });

  test('are added with their POS server; what is wrong stands at its field', async () => {
    const app = await admin();
    await app.get('outlets-add').click();
    await app.get('outlet-time-zone').fill('Mars/Base');
    await app.get('outlet-save').click();
    await app.get('outlet-chain-problem').getByText('Choose a chain.').waitFor();
    await app.get('outlet-name-problem').getByText('Enter a name.').waitFor();
    await app.get('outlet-time_zone-problem').getByText('no known time zone').waitFor();
    expect(await focused(app)).toBe('outlet-chain');
    expect(await calls(app, 'addOutlet')).toEqual([]);
    await app.get('outlet-chain').selectOption({ label: 'Kafe Kometa' });
    await app.get('outlet-name').fill('  Sigulda ');
    await app.get('outlet-time-zone').fill('Europe/Riga');
    await refuse(app, 'addOutlet', { code: 'already_exists' });
    await app.page.keyboard.press('Enter');
    await app.get('outlet-name-problem').getByText('This chain has an outlet of that name').waitFor();
    expect(await focused(app)).toBe('outlet-name');
    await app.get('outlet-save').click();
    await app.page.getByText('Sigulda is added.').waitFor();
    const [, texts] = (await calls(app, 'addOutlet')).at(-1) ?? [];
    expect(texts).toEqual({ name: 'Sigulda', crm_id: '', address: '', time_zone: 'Europe/Riga' });
    expect((await calls(app, 'addPosServer'))[0]?.[1]).toBe('Main POS');
    await app.get('outlets-search').fill('sigulda');
    await outlet(app, 'Sigulda').waitFor();
  });

  test('whose POS server could not be added say so', async () => {
    const app = await admin();
    await app.get('outlets-add').click();
    await app.get('outlet-chain').selectOption({ label: 'Kafe Kometa' });
    await app.get('outlet-name').fill('Sigulda');
    await refuse(app, 'addPosServer', { code: 'unavailable' });
    await app.get('outlet-save').click();
    await app.page.getByText('The outlet Sigulda was added, its POS server was not.').first().waitFor();
  });

  test('are changed, and keep what the cloud says of a field it refuses', async () => {
    const app = await admin();
    await choose(app, outlet(app, 'Riga Centrs').first(), 'outlet-edit');
    await app.get('outlet-address').fill('Elizabetes iela 1');
    await refuse(app, 'editOutlet', {
      code: 'invalid_request',
      params: { errors: '[{"field":"address","message":"has a control character in it"}]' },
    });
    await app.get('outlet-save').click();
    await app.get('outlet-address-problem').getByText('control character').waitFor();
    await app.get('outlet-save').click();
    await app.page.getByText('Riga Centrs is saved.').waitFor();
  });

  test('are deleted once nothing is in them; the question names them and starts on Cancel', async () => {
    const app = await admin();
    await choose(app, outlet(app, 'Riga Centrs').first(), 'outlet-delete');
    const question = app.page.getByRole('alertdialog');
    await question.getByText('Delete the outlet Riga Centrs?').waitFor();
    await app.get('outlet-delete-confirm').click();
    await question.getByText('Riga Centrs still has 1 POS server.').waitFor();
    await question.getByRole('button', { name: 'Cancel' }).click();

    await app.get('admin-tab-enrollment').click();
    await app.get('enroll-search').fill('riga centrs');
    await choose(
      app,
      app.get('enrollment').getByRole('row').filter({ hasText: 'Riga Centrs' }).first(),
      'server-remove',
    );
    await app.get('server-remove-confirm').click();
    await app.get('admin-tab-outlets').click();
    await choose(app, outlet(app, 'Riga Centrs').first(), 'outlet-delete');
    await app.get('outlet-delete-confirm').click();
    await app.page.getByText('Riga Centrs is removed.', { exact: true }).waitFor();
  });

  test('of a file are looked at and imported', async () => {
    const app = await admin();
    await app.get('outlets-import').click();
    expect(await app.get('import-submit').isDisabled()).toBe(true);
    await app.get('import-choose').click();
    await app.get('import-counts').getByText('POS servers 3, outlets 2, chains 1').waitFor();
    await app.get('import-submit').click();
    await app.page.getByText('3 POS servers were imported').waitFor();
    expect((await calls(app, 'readImport'))[0]).toEqual(['Import outlets']);
  });

  test('of a file with mistakes are told line by line, and nothing is sent', async () => {
    const app = await admin();
    await app.page.evaluate((preview) => {
      if (window.tillwatchMock) window.tillwatchMock.admin.preview = preview;
    }, badImport());
    await app.get('outlets-import').click();
    await app.get('import-choose').click();
    const table = app.get('import-table');
    await table.getByText('“Mars/Base” is no known time zone').waitFor();
    await table.getByText('outlet is empty.').waitFor();
    await table.getByText('a reason of a newer cloud').waitFor();
    expect(await app.get('import-submit').isDisabled()).toBe(true);
    await refuse(app, 'readImport', { code: 'file_unreadable' });
    await app.get('import-choose').click();
    await app.page.getByText('The file could not be read').waitFor();
  });

  test('belong to chains, which an admin adds, renames and deletes', async () => {
    const app = await admin();
    await app.get('chains-add').click();
    await app.get('name-save').click();
    await app.page.getByText('Enter a name.').waitFor();
    await app.get('name').fill('Kafe Kometa');
    await app.page.keyboard.press('Enter');
    await app.page.getByText('There is a chain of that name already.').waitFor();
    await app.get('name').fill('Soup & Co');
    await app.get('name-save').click();
    await app.page.getByText('Soup & Co is added.').waitFor();
    await app.get('outlets-chain').selectOption({ label: 'Soup & Co' });
    await app.get('chain-actions').click();
    await app.get('chain-rename').click();
    await app.get('name').fill('Soup and Co');
    await app.get('name-save').click();
    await app.page.getByText('Soup and Co is saved.').waitFor();
    await app.get('chain-actions').click();
    await app.get('chain-delete').click();
    await app.page.getByText('Delete the chain Soup and Co?').waitFor();
    await app.get('chain-delete-confirm').click();
    await app.page.getByText('Soup and Co is removed.').waitFor();
  });
});

describe('enrollment', () => {
  const server = (app: App, text: string | RegExp) =>
    app.get('enrollment').getByRole('row').filter({ hasText: text }).first();

  test('gives the one line for each system, to copy', async () => {
    const app = await admin('enrollment');
    await server(app, 'Not enrolled').or(server(app, 'A code waits')).waitFor();
    await server(app, 'A code waits')
      .getByRole('button', { name: /^Issue a code/ })
      .click();
    await app.page.getByText('The code that waits to be used is no longer good then.').waitFor();
    await app.get('enroll-reissue-confirm').click();
    const line = app.get('enroll-line');
    await line.waitFor();
    expect(await line.inputValue()).toBe(
      'cd /d "C:\\Program Files\\Tillwatch" && tillwatch-connector.exe enroll --cloud https://cloud.tillwatch.example --code K7QXD-M2N9R-4TBWH-PY6JC && tillwatch-connector.exe service install && tillwatch-connector.exe service start',
    );
    await app.get('enroll-linux').check();
    expect(await line.inputValue()).toBe(
      'sudo /opt/tillwatch/tillwatch-connector enroll --cloud https://cloud.tillwatch.example --code K7QXD-M2N9R-4TBWH-PY6JC && sudo /opt/tillwatch/tillwatch-connector service install && sudo /opt/tillwatch/tillwatch-connector service start',
    );
    await app.page.getByRole('button', { name: 'Copy the line' }).click();
    expect(await app.page.evaluate(() => navigator.clipboard.readText())).toBe(await line.inputValue());
    await app.get('enroll-done').click();
    await line.waitFor({ state: 'detached' });
  });

  test('takes a waiting code back', async () => {
    const app = await admin('enrollment');
    const row = server(app, 'A code waits');
    const id = await row.getAttribute('data-testid');
    await choose(app, row, 'server-revoke-code');
    await app.page.getByText('is no longer good.').waitFor();
    await app.get(String(id)).getByText('Not enrolled').waitFor();
  });

  test('revokes a connector after a question, and shows those of before', async () => {
    const app = await admin('enrollment');
    await choose(app, server(app, 'Riga Centrs'), 'server-connectors');
    await app.page.getByRole('dialog').getByText(', revoked').waitFor();
    await app.get('device-revoke').click();
    await app.page.getByText('Revoke the connector of Riga Centrs?').waitFor();
    await app.get('device-revoke-confirm').click();
    await app.page.getByRole('dialog').waitFor();
    await app.get('device-revoke').waitFor({ state: 'detached' });
    await app.page.keyboard.press('Escape');
    await server(app, /Riga Centrs.*Not enrolled/s).waitFor();
  });
});

describe('users', () => {
  const user = (app: App, name: string) => app.get('users').getByRole('row').filter({ hasText: name });

  test('are added, and their password is told once', async () => {
    const app = await admin('users');
    await app.get('users-add').click();
    await app.get('user-name').fill('Anna');
    await app.get('user-email').fill('not an e-mail');
    await app.page.keyboard.press('Enter');
    await app.get('user-email-problem').getByText('of the form name@host').waitFor();
    await app.get('user-email').fill('janis@pastanostra.example');
    await app.get('user-save').click();
    await app.get('user-email-problem').getByText('There is a user with this e-mail').waitFor();
    await app.get('user-email').fill('anna@pastanostra.example');
    await app.get('user-save').click();
    await app.get('user-password-told').waitFor();
    expect(await app.get('user-password-told').inputValue()).toBe('vk3t-9qmz-27dw-hx8p');
    await app.get('user-password-done').click();
    await user(app, 'anna@pastanostra.example').waitFor();
  });

  test('get permissions everywhere, in a chain, in an outlet, and lose them', async () => {
    const app = await admin('users');
    await choose(app, user(app, 'Jānis'), 'user-edit');
    await app.get('grants').getByText('Pasta Nostra').first().waitFor();
    await app.get('grant-permission').selectOption('retrieve_logs');
    await app.get('grant-add').click();
    await app.get('grants').getByText('Everywhere').waitFor();
    await app.get('grant-chain').selectOption({ label: 'Kafe Kometa' });
    await app.get('grant-add').click();
    await app.get('grants').getByText('All of Kafe Kometa').waitFor();
    await app.get('grant-outlet').selectOption({ index: 1 });
    await app.get('grant-add').click();
    await eventually(async () => expect(await app.get('grants').locator('li').count()).toBe(4));
    await app.page.getByRole('button', { name: 'Take away Retrieve logs: Everywhere' }).click();
    await app.get('grants').getByText('Everywhere').waitFor({ state: 'detached' });
    await refuse(app, 'addGrant', { code: 'permission_denied' });
    await app.get('grant-add').click();
    await app.page.getByRole('dialog').getByText('You have no permission for this').waitFor();
    expect((await calls(app, 'addGrant')).map(([, permission]) => permission)).toContain('retrieve_logs');
  });

  test('are signed out, given a new password, unlocked, disabled and enabled', async () => {
    const app = await admin('users');
    await choose(app, user(app, 'Jānis'), 'user-edit');
    await app.get('user-sessions-end').click();
    await app.page.getByRole('dialog').getByText('Not signed in anywhere.').waitFor();
    await app.page.keyboard.press('Escape');
    await choose(app, user(app, 'Vera'), 'user-unlock');
    await user(app, 'Vera').getByText('Active').waitFor();
    await choose(app, user(app, 'Vera'), 'user-password');
    await app.get('user-password-confirm').click();
    await app.get('user-password-told').waitFor();
    await app.get('user-password-done').click();
    await refuse(app, 'resetPassword', { code: 'reauthentication_required' });
    await choose(app, user(app, 'Vera'), 'user-password');
    await app.get('user-password-confirm').click();
    await app.get('signin-password').fill('right');
    await app.get('signin-password').press('Enter');
    await app.get('user-password-told').waitFor();
    await app.get('user-password-done').click();
    await choose(app, user(app, 'Vera'), 'user-disable');
    await app.get('user-disable-confirm').click();
    await user(app, 'Vera').getByText('Disabled').waitFor();
    await choose(app, user(app, 'Vera'), 'user-enable');
    await user(app, 'Vera').getByText('Active').waitFor();
  });

  test('keep one who may do everything', async () => {
    const app = await admin('users');
    await choose(app, user(app, 'Mara'), 'user-edit');
    await app.get('user-admin').uncheck();
    await app.get('user-save').click();
    await app.page.getByText('This is the last administrator').waitFor();
    await app.page.keyboard.press('Escape');
    await choose(app, user(app, 'Old Account'), 'user-delete');
    await app.page.getByText('Delete Old Account?').waitFor();
    await app.get('user-delete-confirm').click();
    await user(app, 'Old Account').waitFor({ state: 'detached' });
  });
});

describe('the required version', () => {
  test('is set for one chain or all of them after a question', async () => {
    const app = await admin('version');
    await app.get('versions').getByRole('row').filter({ hasText: 'Kafe Kometa' }).waitFor();
    await app.get('version').fill('soon');
    await app.get('version-set').click();
    await app.page.getByText('Enter a version such as 34.6.0.').waitFor();
    await app.get('version').fill('35.0.1');
    await app.page.keyboard.press('Enter');
    await app.page.getByText('Choose at least one chain.').waitFor();
    await app.get('version-all').check();
    await app.get('version-set').click();
    await app.page.getByText('Require 35.0.1 in 5 chains?').waitFor();
    await app.get('version-confirm').click();
    await app.page.getByText('The required version of 5 chains is set.').waitFor();
    await eventually(async () => expect(await app.get('versions').getByText('35.0.1').count()).toBe(5));
    await app.get('versions').getByRole('checkbox', { name: 'Choose Kafe Kometa' }).check();
    await app.get('version-clear').click();
    await app.get('version-confirm').click();
    await app.get('versions').getByText('None').waitFor();
    expect((await calls(app, 'requireVersion')).at(-1)?.[1]).toBe(null);
  });
});

describe('the audit trail', () => {
  test('is paged and filtered by who, what and when', async () => {
    const app = await admin('audit');
    const rows = app.get('audit').getByRole('row');
    await eventually(async () => expect(await rows.count()).toBe(101));
    await app.get('audit-more').click();
    await eventually(async () => expect(await rows.count()).toBe(201));
    await app.get('audit-action').selectOption('session.refused');
    await app.get('audit-apply').click();
    await eventually(async () => expect(await rows.count()).toBe(47));
    await rows.nth(1).getByText('Sign-in refused').waitFor();
    await app.get('audit-actor').selectOption({ label: 'Command line' });
    await app.get('audit-apply').click();
    await app.get('audit').getByText('No entry matches.').waitFor();
    await app.get('audit-clear').click();
    await app.get('audit-from').fill('2026-01-02T10:00');
    await app.get('audit-to').fill('2026-01-02T09:00');
    await app.get('audit-apply').click();
    await app.page.getByText('It must start before it ends.').waitFor();
    await app.get('audit-to').fill('2026-01-03T09:00');
    await app.get('audit-apply').click();
    const [query] = (await calls(app, 'audit')).at(-1) ?? [];
    expect(query).toMatchObject({
      from: '2026-01-02T08:00:00.000Z',
      to: '2026-01-03T07:00:00.000Z',
      actor: null,
    });
  });
});

test('at 200 % in a small window every tab is reached and used', async () => {
  const app = await open('scenario=demo', { viewport: { width: 640, height: 400 } });
  await app.get('admin-open').click();
  for (const tab of ['outlets', 'enrollment', 'users', 'version', 'audit']) {
    await app.get(`admin-tab-${tab}`).click();
    const overflow = await app.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect([tab, Math.max(0, overflow)]).toEqual([tab, 0]);
  }
  await app.get('admin-tab-outlets').click();
  await app.get('outlets-add').click();
  await app.get('outlet-save').scrollIntoViewIfNeeded();
  await app.get('outlet-save').click();
  await app.get('outlet-name-problem').waitFor();
});
