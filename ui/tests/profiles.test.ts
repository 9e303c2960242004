import { describe, expect, test } from 'vitest';
import type {} from '../src/lib/backend/mock';
import { eventually, open, type App } from './browser';

const calls = (app: App, name: string) =>
  app.page.evaluate(
    (wanted) =>
      window.tillwatchMock?.calls.filter((call) => call.name === wanted).map((call) => call.args) ?? [],
    name,
  );
const focused = (app: App) =>
  app.page.evaluate(
    () => document.activeElement?.getAttribute('data-testid') ?? document.activeElement?.tagName,
  );

describe('signing in with the organisation’s account', () => {
  /** The form, with the cloud's address in it. */
  async function form(query = 'scenario=signed-out&sso=1') {
    const app = await open(query);
    await app.get('signin-url').fill('https://cloud.example');
    await app.get('signin-email').focus();
    return app;
  }

  test('goes to the browser and comes back to the grid', async () => {
    const app = await form();
    await app.get('signin-sso-work').click();
    await app.page.getByText('Sign in with Pasta Nostra in the browser window').waitFor();
    await eventually(async () => expect(await focused(app)).toBe('signin-sso-cancel'));
    await app.page.evaluate(() => window.tillwatchMock?.sso.come());
    await app.row(0).waitFor();
    const [words] = (await calls(app, 'finishSso'))[0] ?? [];
    expect(words).toMatchObject({ language: 'en', done: expect.stringContaining('You may close this page') });
    expect(app.faults).toEqual([]);
  });

  test('shows the address when the browser did not open, and can be given up', async () => {
    const app = await form();
    await app.page.evaluate(() => {
      if (window.tillwatchMock) window.tillwatchMock.sso.opens = false;
    });
    await app.get('signin-sso-work').click();
    await app.page.getByText('Your browser did not open.').waitFor();
    expect(await app.get('signin-sso-address').inputValue()).toContain('https://id.pastanostra.example/auth');
    await app.page.getByRole('button', { name: 'Copy', exact: true }).click();
    expect(await app.page.evaluate(() => navigator.clipboard.readText())).toContain('https://id.pastanostra');
    await app.get('signin-sso-cancel').click();
    await app.get('signin-password').waitFor();
    expect(await app.page.getByRole('alert').count()).toBe(0);
    expect(await app.get('signin-url').inputValue()).toBe('https://cloud.example');
  });

  test.each([
    ['sso_user_unknown', 'No user here has your e-mail'],
    ['sso_email_unverified', 'has not verified your e-mail'],
    ['sso_expired', 'took too long'],
    ['sso_unavailable', 'does not answer'],
  ])('says in plain words that it did not work: %s', async (code, words) => {
    const app = await form();
    await app.get('signin-sso-work').click();
    await app.get('signin-sso-waiting').waitFor();
    await app.page.evaluate((code) => window.tillwatchMock?.sso.come({ code }), code);
    await app.page.getByRole('alert').getByText(words).waitFor();
    await app.get('signin-password').waitFor();
  });

  test('is not offered by a cloud that has none, and asks about a certificate first', async () => {
    const app = await form('scenario=signed-out');
    await eventually(async () => expect(await calls(app, 'ssoProviders')).toHaveLength(1));
    expect(await app.page.locator('[data-testid^="signin-sso"]').count()).toBe(0);
    await app.page.evaluate(() => {
      window.tillwatchMock?.sso.providers.push({ id: 'work', name: 'Pasta Nostra' });
    });
    await app.get('signin-url').fill('https://untrusted.example');
    await app.get('signin-email').focus();
    await app.get('signin-show-certificate').click();
    await app.get('trust-certificate').click();
    await app.get('signin-sso-work').waitFor();
    expect(await calls(app, 'signIn')).toEqual([]);
  });
});

describe('profiles', () => {
  test('are switched in the menu, and each shows its own', async () => {
    const app = await open('scenario=demo&profiles=3');
    await app.get('filter-organization').click();
    await app.page.keyboard.type('kafe');
    await app.page.getByRole('listbox').getByRole('option').first().waitFor();
    await app.page.keyboard.press('Enter');
    await app.get('filter-apply').click();
    await app.get('chip-organization').waitFor();
    await app.get('account').click();
    await app.get('switch-p2').click();
    // Another cloud has other chains.
    await app.get('chip-organization').waitFor({ state: 'detached' });
    await app.get('account').click();
    await app.page.getByRole('menu').getByText('mara@kafekometa.example').first().waitFor();
    await app.get('switch-p1').click();
    // Each finds its own filters again.
    await app.get('chip-organization').waitFor();
    expect(await calls(app, 'switchProfile')).toEqual([['p2'], ['p1']]);
  });

  test('are added while one stays signed in', async () => {
    const app = await open('scenario=demo');
    await app.get('account').click();
    await app.get('menu-profile-add').click();
    const dialog = app.page.getByRole('dialog');
    await dialog.getByText('You stay signed in here').waitFor();
    await eventually(async () => expect(await focused(app)).toBe('signin-url'));
    expect(await app.get('signin-email').inputValue()).toBe('');
    await app.get('signin-url').fill('https://new.example');
    await app.get('signin-email').fill('mara@new.example');
    await app.get('signin-password').fill('right');
    await app.page.keyboard.press('Enter');
    await dialog.waitFor({ state: 'detached' });
    await app.get('account').click();
    await app.page.getByRole('menu').getByText('mara@new.example').waitFor();
    await app.get('switch-p1').waitFor();
  });

  test('are removed after a question that names them', async () => {
    const app = await open('scenario=demo&profiles=3');
    await app.get('account').click();
    await app.get('menu-profiles').click();
    await app.get('profile-remove-p2').click();
    const question = app.page.getByRole('alertdialog');
    await question.getByText('mara@kafekometa.example is signed out of https://other.example').waitFor();
    await eventually(async () =>
      expect(await question.getByText('Cancel').evaluate((button) => button === document.activeElement)).toBe(
        true,
      ),
    );
    await app.page.keyboard.press('Escape');
    await app.get('profile-p2').waitFor();
    await app.get('profile-remove-p2').click();
    await app.get('profile-remove-confirm').click();
    await app.get('profile-p2').waitFor({ state: 'detached' });
    expect(await calls(app, 'removeProfile')).toEqual([['p2']]);
    // The one that is shown: then nobody is signed in.
    await app.get('profile-remove-p1').click();
    await app.get('profile-remove-confirm').click();
    await app.get('signin-submit').waitFor();
    await app.get('signin-profile-p3').click();
    await app.row(0).waitFor();
  });
});

describe('one’s password', () => {
  test('is changed by whoever knows it, with the keyboard alone', async () => {
    const app = await open('scenario=demo');
    const { keyboard } = app.page;
    await app.get('account').focus();
    await keyboard.press('Enter');
    await app.get('menu-password').waitFor();
    // The item above the last.
    await keyboard.press('End');
    await keyboard.press('ArrowUp');
    await keyboard.press('Enter');
    await app.page.locator('#password-current_password:focus').waitFor();

    // Everything that can be told here is told at once, and nothing is asked.
    await keyboard.press('Tab');
    await keyboard.type('short');
    await keyboard.press('Enter');
    await app.page.getByText('Enter the password you have now.').waitFor();
    await app.page.getByText('Too short: take at least 8 characters.').waitFor();
    await app.page.getByText('The two are not the same.').waitFor();
    expect(await calls(app, 'changePassword')).toEqual([]);

    for (const [current, password, told] of [
      ['wrong', 'three quiet herons', 'This is not your password.'],
      ['right', 'password123', 'This password is easy to guess.'],
    ] as const) {
      await app.get('password-current_password').fill(current);
      await app.get('password-password').fill(password);
      await app.get('password-again').fill(password);
      await keyboard.press('Enter');
      await app.page.getByText(told).waitFor();
    }
    await app.page.locator('#password-password:focus').waitFor();
    await keyboard.press('Control+A');
    await keyboard.type('three quiet herons');
    await keyboard.press('Tab');
    await keyboard.press('Control+A');
    await keyboard.type('three quiet herons');
    await keyboard.press('Enter');
    await app.page.getByText('Your password is changed.').waitFor();
    expect(await app.get('password-save').count()).toBe(0);
    expect((await calls(app, 'changePassword')).at(-1)).toEqual(['right', 'three quiet herons']);
  });

  test('that was made up is asked for another one at once, and until there is one', async () => {
    const app = await open('scenario=signed-out&password=made-up');
    await app.get('signin-url').fill('cloud.tillwatch.example');
    await app.get('signin-email').fill('mara@pastanostra.example');
    await app.get('signin-password').fill('made up');
    await app.get('signin-submit').click();
    await app.get('password-current_password').waitFor();
    await app.page.getByRole('dialog').getByText('was made up for you').waitFor();
    // Not now, then.
    await app.page.keyboard.press('Escape');
    await app.get('password-banner-change').click();
    await app.get('password-current_password').fill('made up');
    await app.get('password-password').fill('three quiet herons');
    await app.get('password-again').fill('three quiet herons');
    await app.get('password-save').click();
    await app.get('password-banner').waitFor({ state: 'detached' });
  });

  test('is not asked for twice when the cloud is away', async () => {
    const app = await open('scenario=demo');
    await app.get('account').click();
    await app.get('menu-password').click();
    await app.get('password-current_password').fill('right');
    await app.get('password-password').fill('three quiet herons');
    await app.get('password-again').fill('three quiet herons');
    await app.page.evaluate(() =>
      window.tillwatchMock?.failNext('changePassword', { code: 'cloud_unreachable' }),
    );
    await app.get('password-save').click();
    await app.page.getByRole('dialog').getByText('The cloud can’t be reached').waitFor();
    await app.get('password-save').click();
    await app.page.getByText('Your password is changed.').waitFor();
  });
});

describe('one’s sign-ins', () => {
  const mustProve = (app: App, call: string) =>
    app.page.evaluate(
      (call) => window.tillwatchMock?.failNext(call, { code: 'reauthentication_required' }),
      call,
    );

  test('are ended by who proves again who they are, by keyboard alone', async () => {
    const app = await open('scenario=demo');
    await app.page.keyboard.press('Control+,');
    await app.get('session-end-s2').waitFor();
    await mustProve(app, 'endSession');
    await app.get('session-end-s2').press('Enter');
    await eventually(async () => expect(await focused(app)).toBe('signin-password'));
    // Whoever found the window open does not get further, and the settings lie where they lay.
    await app.page.keyboard.press('Escape');
    await app.page.getByRole('alert').getByText('Nothing was changed.').waitFor();
    await app.get('session-end-s2').waitFor();
    expect(await calls(app, 'signIn')).toEqual([]);

    await mustProve(app, 'endSession');
    await app.get('session-end-s2').press('Enter');
    await eventually(async () => expect(await focused(app)).toBe('signin-password'));
    await app.page.keyboard.type('wrong');
    await app.page.keyboard.press('Enter');
    await app.page.getByText('The e-mail or the password is wrong').waitFor();
    await eventually(async () => expect(await focused(app)).toBe('signin-password'));
    await app.page.keyboard.type('right');
    await app.page.keyboard.press('Enter');
    await app.get('session-end-s2').waitFor({ state: 'detached' });
    await app.get('signin-password').waitFor({ state: 'detached' });
    expect(await calls(app, 'endSession')).toEqual([['s2'], ['s2'], ['s2']]);
    expect(app.faults).toEqual([]);
  });

  test('are not ended for somebody else who comes back from the browser', async () => {
    const app = await open('scenario=demo&sso=1');
    await app.page.keyboard.press('Control+,');
    await app.get('session-end-s2').waitFor();
    await mustProve(app, 'endSession');
    await app.get('session-end-s2').click();
    await app.get('signin-sso-work').click();
    await app.get('signin-sso-waiting').waitFor();
    expect((await calls(app, 'startSso')).map((args) => args.at(-1))).toEqual([true]);
    await app.page.evaluate(() => window.tillwatchMock?.sso.come(undefined, 'janis@pastanostra.example'));
    await app.get('signin-sso-waiting').waitFor({ state: 'detached' });
    await eventually(async () => expect(await calls(app, 'profiles')).toHaveLength(2));
    expect(await calls(app, 'endSession')).toEqual([['s2']]);
  });

  test('are listed in the settings and ended, but for this one', async () => {
    const app = await open('scenario=demo');
    await app.page.keyboard.press('Control+,');
    await app.get('sessions').getByText('This computer').waitFor();
    expect(await app.get('session-end-s1').count()).toBe(0);
    await app.get('session-end-s2').click();
    await app.get('session-end-s2').waitFor({ state: 'detached' });
    expect(await calls(app, 'endSession')).toEqual([['s2']]);
    await app.page.evaluate(() => window.tillwatchMock?.failNext('sessions', { code: 'cloud_unreachable' }));
    await app.page.keyboard.press('Escape');
    await app.page.keyboard.press('Control+,');
    await app.page.getByRole('dialog').getByText('The cloud can’t be reached').waitFor();
  });
});
