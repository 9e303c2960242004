// Signing in by a provider of identities: the real cloud, the real npm oidc-provider, a browser without a screen.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { request, startCloud } from '../../scripts/lib/cloud.mjs';
import { stop } from '../../scripts/lib/run.mjs';
import { atEnd } from '../lib/at-end.mjs';
import { browse, identityProvider, loopback } from '../lib/identity-provider.mjs';
import { addUser, cloudCli, program, temporaryFolder } from '../lib/scene.mjs';

const anna = 'anna@tillwatch.example';

const accounts = () => ({
  anna: { email: 'Anna@Tillwatch.example', email_verified: true },
  'anna-the-second': { email: anna, email_verified: true },
  unsure: { email: anna, email_verified: false },
  nobody: { email: 'nobody@tillwatch.example', email_verified: true },
  silent: {},
});

/**
 * A cloud with one user, `settings` in its file and these providers; `signIn` goes the whole way and gives the cloud's
 * last answer.
 */
async function setting(t, providers, settings = '') {
  const folder = temporaryFolder(t);
  const dataDir = path.join(folder, 'cloud');
  addUser(dataDir, { email: anna, password: 'a long enough password' });
  const config = path.join(folder, 'cloud.toml');
  const tables = Object.entries(providers).map(([id, { issuer, secret, domains = [] }]) => {
    const file = path.join(folder, `${id}.secret`);
    writeFileSync(file, `${secret}\n`);
    return `[[sso]]\nid = "${id}"\nname = "Sign in at ${id}"\nissuer = "${issuer}"\nclient_id = "tillwatch"\nclient_secret_file = '${file}'\ndomains = ${JSON.stringify(domains)}\n`;
  });
  writeFileSync(config, [settings, ...tables].join('\n'));
  const node = async () => {
    const cloud = await startCloud(program('tillwatch-cloud'), dataDir, { args: ['--config', config] });
    atEnd(t, () => stop(cloud.child));
    const post = (target, json) => request(cloud, 'POST', `/api/v1${target}`, { json });
    return { ...cloud, post };
  };
  const cloud = await node();
  const self = { ...cloud, node, cli: (...args) => cloudCli([...args, '--data-dir', dataDir]) };
  /** Up to what the browser brings back. */
  self.bring = async (id, person, host, again, change = (address) => address) => {
    const app = await loopback(t, host);
    const started = await cloud.post(`/sso/${id}/start`, { redirect_uri: app.uri, again });
    assert.equal(started.status, 200, JSON.stringify(started.body));
    await browse(change(started.body.authorization_url), person);
    const { state, code, error, iss } = await app.came();
    return { secret: started.body.secret, state, code, error, iss };
  };
  self.finish = (id, brought) => cloud.post(`/sso/${id}/finish`, brought);
  self.signIn = async (id, login) => self.finish(id, await self.bring(id, { login }));
  return self;
}

const problem = (answer) => [answer.status, answer.body.code];

/** Whose session an answer began. */
async function me(cloud, answer) {
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const { body } = await request(cloud, 'GET', '/api/v1/me', { token: answer.body.access_token });
  return body.user.email;
}

test('a user signs in at either provider, on any node, and what went wrong has a code', async (t) => {
  const work = await identityProvider(t, accounts(), { secret: 'a secret with + / % and spaces' });
  const other = await identityProvider(t, accounts(), { secret: 'other', alg: 'ES256', claimsInToken: true });
  const cloud = await setting(t, { work, other });

  const list = await request(cloud, 'GET', '/api/v1/sso');
  assert.deepEqual(list.body.items, [
    { id: 'work', name: 'Sign in at work' },
    { id: 'other', name: 'Sign in at other' },
  ]);

  // Both providers, both kinds of loopback, the tokens those of any other sign-in.
  assert.equal(await me(cloud, await cloud.signIn('work', 'anna')), anna);
  assert.equal(
    await me(cloud, await cloud.finish('other', await cloud.bring('other', { login: 'anna' }, '::1'))),
    anna,
  );
  const signedIn = await cloud.signIn('work', 'anna');
  const renewed = await cloud.post('/sessions/refresh', { refresh_token: signedIn.body.refresh_token });
  assert.equal(await me(cloud, renewed), anna);

  // What one node began, another finishes.
  const second = await cloud.node();
  const begun = await cloud.bring('work', { login: 'anna' });
  assert.equal(await me(second, await second.post('/sso/work/finish', begun)), anna);

  // A try is good once: also when both come at the same time.
  const brought = await cloud.bring('work', { login: 'anna' });
  const before = work.seen.tokenRequests;
  const twice = await Promise.all([cloud.finish('work', brought), second.post('/sso/work/finish', brought)]);
  assert.deepEqual(twice.map((answer) => answer.status).sort(), [200, 410]);
  assert.deepEqual(problem(await cloud.finish('work', brought)), [410, 'sso_expired']);
  assert.equal(work.seen.tokenRequests, before + 1, 'the code went to the provider once');

  // A stolen redirect is of no use without the app's secret, and the app can still finish.
  const stolen = await cloud.bring('work', { login: 'anna' });
  for (const wrong of [{ secret: 'x' }, { state: 'x' }, { secret: stolen.state }])
    assert.deepEqual(problem(await cloud.finish('work', { ...stolen, ...wrong })), [410, 'sso_expired']);
  assert.equal((await cloud.finish('work', stolen)).status, 200);

  // Nor is one good at another provider, or one that names another.
  assert.deepEqual(problem(await cloud.finish('other', await cloud.bring('work', { login: 'anna' }))), [
    410,
    'sso_expired',
  ]);
  const mixedUp = { ...(await cloud.bring('work', { login: 'anna' })), iss: other.issuer };
  assert.deepEqual(problem(await cloud.finish('work', mixedUp)), [403, 'sso_refused']);

  // A code that the provider does not know; one of another try, which PKCE binds to its own.
  const guessed = { ...(await cloud.bring('work', { login: 'anna' })), code: 'guessed' };
  assert.deepEqual(problem(await cloud.finish('work', guessed)), [403, 'sso_refused']);
  const [mine, injected] = [
    await cloud.bring('work', { login: 'anna' }),
    await cloud.bring('work', { login: 'anna' }),
  ];
  assert.deepEqual(problem(await cloud.finish('work', { ...mine, code: injected.code })), [
    403,
    'sso_refused',
  ]);

  // Who gives up at the provider.
  const refused = await cloud.bring('work', { cancel: true });
  assert.equal(refused.error, 'access_denied');
  assert.deepEqual(problem(await cloud.finish('work', refused)), [403, 'sso_refused']);

  // Who is not let in.
  assert.deepEqual(problem(await cloud.signIn('work', 'nobody')), [403, 'sso_user_unknown']);
  assert.deepEqual(problem(await cloud.signIn('work', 'unsure')), [403, 'sso_email_unverified']);
  assert.deepEqual(problem(await cloud.signIn('other', 'unsure')), [403, 'sso_email_unverified']);
  assert.deepEqual(problem(await cloud.signIn('work', 'silent')), [403, 'sso_email_unverified']);

  // Somebody who got the e-mail after its first owner, until an administrator says that it is the same person.
  assert.deepEqual(problem(await cloud.signIn('work', 'anna-the-second')), [403, 'sso_account_changed']);
  assert.match(cloud.cli('user', 'forget-sso', '--email', anna), /^2 forgotten/);
  assert.equal(await me(cloud, await cloud.signIn('work', 'anna-the-second')), anna);
  assert.deepEqual(problem(await cloud.signIn('work', 'anna')), [403, 'sso_account_changed']);

  assert.match(cloud.cli('audit', 'verify'), /the chain is whole/);
  const log = cloud.child.output();
  for (const secret of ['a secret with', stolen.secret, stolen.code, anna])
    assert.ok(!log.includes(secret), `the log names ${secret}`);
});

test('a provider like Microsoft Entra, which has another word for a verified e-mail', async (t) => {
  const people = {
    owner: { email: anna, xms_edov: true },
    stranger: { email: anna, xms_edov: false },
    unsaid: { email: anna },
    denied: { email: anna, email_verified: false, xms_edov: true },
  };
  const entra = await identityProvider(t, people, { secret: 's', claimsInToken: true });
  const cloud = await setting(t, { entra });
  for (const person of ['stranger', 'unsaid', 'denied'])
    assert.deepEqual(problem(await cloud.signIn('entra', person)), [403, 'sso_email_unverified'], person);
  assert.equal(await me(cloud, await cloud.signIn('entra', 'owner')), anna);
});

test('a provider is believed of its own domains, and a password may let nobody in', async (t) => {
  const work = await identityProvider(t, accounts(), { secret: 's' });
  const other = await identityProvider(t, accounts(), { secret: 'other' });
  const providers = {
    work: { ...work, domains: ['chain.example', 'Tillwatch.example'] },
    other: { ...other, domains: ['other.example'] },
  };
  const cloud = await setting(t, providers, 'passwords = false\n');

  // The provider of another company says that somebody there has the e-mail of a manager here.
  assert.deepEqual(problem(await cloud.signIn('other', 'anna')), [403, 'sso_email_unverified']);
  const signedIn = await cloud.signIn('work', 'anna');
  assert.equal(await me(cloud, signedIn), anna);

  const password = 'a long enough password';
  assert.deepEqual(problem(await cloud.post('/sessions', { email: anna, password })), [403, 'passwords_off']);
  const change = await request(cloud, 'PUT', '/api/v1/me/password', {
    token: signedIn.body.access_token,
    json: { current_password: password, password: 'three quiet herons at the quay' },
  });
  assert.deepEqual(problem(change), [403, 'passwords_off']);
});

test('who is signed in at the provider proves nothing by that', async (t) => {
  const work = await identityProvider(t, accounts(), { secret: 's' });
  const cloud = await setting(t, { work });
  const person = { login: 'anna', jar: new Map() };
  const enter = async (again, change) => {
    const answer = await cloud.finish('work', await cloud.bring('work', person, undefined, again, change));
    assert.equal(await me(cloud, answer), anna);
    return answer.body.access_token;
  };
  const endAnother = async (token) => {
    const { items } = (await request(cloud, 'GET', '/api/v1/sessions', { token })).body;
    const { id } = items.find(({ current }) => !current);
    return request(cloud, 'DELETE', `/api/v1/sessions/${id}`, { token });
  };

  for (let i = 0; i < 2; i += 1) await enter();
  assert.equal(person.asked, 1, 'the provider knows the browser');
  assert.deepEqual(problem(await endAnother(await enter())), [403, 'reauthentication_required']);
  assert.equal(person.asked, 1);
  assert.equal((await endAnother(await enter(true))).status, 204);
  assert.equal(person.asked, 2, 'asked anew');

  // Whoever found the desktop open may have found the browser open as well.
  const unasked = (address) => {
    const url = new URL(address);
    for (const name of ['prompt', 'max_age']) url.searchParams.delete(name);
    return url.href;
  };
  assert.deepEqual(problem(await endAnother(await enter(true, unasked))), [403, 'reauthentication_required']);
  assert.equal(person.asked, 2);
});

test('requests that make no sense are refused', async (t) => {
  const work = await identityProvider(t, accounts(), { secret: 's' });
  const cloud = await setting(t, { work });
  const start = (redirect_uri) => cloud.post('/sso/work/start', { redirect_uri });
  for (const uri of [
    'https://evil.example/',
    'http://localhost:5000/callback',
    'http://127.0.0.1/callback',
    'nonsense',
  ])
    assert.deepEqual(problem(await start(uri)), [422, 'invalid_request'], uri);
  assert.deepEqual(
    problem(await cloud.post('/sso/nonsense/start', { redirect_uri: 'http://127.0.0.1:5000/callback' })),
    [404, 'not_found'],
  );
  assert.deepEqual(
    problem(await cloud.post('/sso/nonsense/finish', { secret: 's', state: 's', code: 'c' })),
    [404, 'not_found'],
  );
  assert.deepEqual(problem(await cloud.post('/sso/work/finish', { secret: 's', state: 's', code: 'c' })), [
    410,
    'sso_expired',
  ]);
  // One address can't try without end.
  const answers = [];
  for (let i = 0; i < 120; i += 1)
    answers.push(await cloud.post('/sso/work/finish', { secret: 's', state: 's', code: 'c' }));
  const limited = answers.find((answer) => answer.status === 429);
  assert.equal(limited.body.code, 'rate_limited');
  assert.ok(Number(limited.headers['retry-after']) >= 1);
});

test('keys that the provider changes, clocks that differ, and a provider that is away', async (t) => {
  const work = await identityProvider(t, accounts(), { secret: 's' });
  const cloud = await setting(t, { work });
  assert.equal((await cloud.signIn('work', 'anna')).status, 200);
  work.renewKeys();
  assert.equal((await cloud.signIn('work', 'anna')).status, 200, 'after new keys');

  const now = Date.now;
  const finishAt = async (minutes) => {
    const brought = await cloud.bring('work', { login: 'anna' });
    Date.now = () => now() + minutes * 60_000;
    try {
      return await cloud.finish('work', brought);
    } finally {
      Date.now = now;
    }
  };
  assert.equal((await finishAt(1.5)).status, 200, 'the provider is a little ahead');
  assert.equal((await finishAt(-1.5)).status, 200, 'the provider is a little behind');
  for (const minutes of [20, -30]) {
    assert.deepEqual(problem(await finishAt(minutes)), [503, 'sso_unavailable'], `${minutes} minutes`);
    // A token that can't be trusted takes the keys for old; that must not keep the next one out.
    assert.equal((await cloud.signIn('work', 'anna')).status, 200);
  }
  assert.match(cloud.child.output(), /clocks of provider and cloud differ|[Ee]xpired/);

  const brought = await cloud.bring('work', { login: 'anna' });
  await work.stop();
  assert.deepEqual(problem(await cloud.finish('work', brought)), [503, 'sso_unavailable']);
  const second = await cloud.node();
  const away = await second.post('/sso/work/start', { redirect_uri: 'http://127.0.0.1:5000/callback' });
  assert.deepEqual(problem(away), [503, 'sso_unavailable']);
  // Passwords go on working.
  const byPassword = await second.post('/sessions', { email: anna, password: 'a long enough password' });
  assert.equal(byPassword.status, 200);
});
