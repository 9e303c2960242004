// A real provider of identities on a free port, and a browser without a screen that signs in there.
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import Provider from 'oidc-provider';
import { atEnd } from './at-end.mjs';

const listen = (server, host = '127.0.0.1') =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, () => resolve(server.address().port));
  });

/**
 * A private key as the provider signs with it. By way of its text: Node 20 was seen to wait for itself for ever between
 * making a pair and the first word of a provider.
 */
function signingKey(alg, kid) {
  const privateKeyEncoding = { type: 'pkcs8', format: 'pem' };
  const { privateKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256', privateKeyEncoding })
      : generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding });
  return { ...createPrivateKey(privateKey).export({ format: 'jwk' }), alg, use: 'sig', kid };
}

/**
 * A provider whose accounts are `{login: {sub?, email, email_verified, xms_edov}}`; any password does. `renewKeys()` makes
 * it sign with another key, `stop()` takes it off the net.
 */
export async function identityProvider(t, accounts, { alg = 'RS256', claimsInToken = false, secret }) {
  let handler = (_, answer) => answer.writeHead(503).end();
  const seen = { tokenRequests: 0 };
  const server = http.createServer((request, answer) => {
    if (request.url === '/token') seen.tokenRequests += 1;
    handler(request, answer);
  });
  const port = await listen(server);
  const issuer = `http://127.0.0.1:${port}`;
  const stop = () =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    });
  atEnd(t, stop);
  let keys = 0;
  const renewKeys = () => {
    keys += 1;
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: 'tillwatch',
          client_secret: secret,
          application_type: 'native',
          redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback'],
          grant_types: ['authorization_code'],
          response_types: ['code'],
          id_token_signed_response_alg: alg,
        },
      ],
      jwks: { keys: [signingKey(alg, `key-${keys}`)] },
      cookies: { keys: ['a key for cookies of this test'] },
      claims: { email: ['email', 'email_verified', 'xms_edov'], profile: ['name'] },
      conformIdTokenClaims: !claimsInToken,
      pkce: { required: () => true },
      ttl: {
        AuthorizationCode: 7200,
        IdToken: 600,
        Interaction: 7200,
        Session: 7200,
        Grant: 7200,
        AccessToken: 7200,
      },
      findAccount: (_, login) => {
        const account = accounts[login];
        return account && { accountId: login, claims: () => ({ sub: login, ...account }) };
      },
    });
    // It tells of itself on the console; what matters comes back to the client.
    provider.on('server_error', (_, error) => process.stderr.write(`the provider failed: ${error.stack}\n`));
    handler = provider.callback();
  };
  renewKeys();
  return { issuer, secret, seen, renewKeys, stop };
}

/** What an app listens with while its user signs in: `uri`, and `came()` for what the browser brought. */
export async function loopback(t, host = '127.0.0.1') {
  let bring;
  const brought = new Promise((resolve) => (bring = resolve));
  const server = http.createServer((request, answer) => {
    const url = new URL(request.url, 'http://loopback');
    answer.end('You can close this window.');
    if (url.pathname === '/callback') bring(Object.fromEntries(url.searchParams));
  });
  const port = await listen(server, host);
  atEnd(t, () => server.close());
  return { uri: `http://${host.includes(':') ? `[${host}]` : host}:${port}/callback`, came: () => brought };
}

/**
 * Goes through the provider's pages as a person would, to where they lead, and gives the page there; `cancel` gives
 * up at the form. Who brings a `jar` keeps their cookies in it, and counts in `asked` how often the provider wanted to
 * know who they are.
 */
export async function browse(address, person) {
  const { login, cancel = false, jar = new Map() } = person;
  let url = new URL(address);
  let form;
  for (let step = 0; step < 20; step += 1) {
    const cookies = [...(jar.get(url.host) ?? new Map())].map(([name, value]) => `${name}=${value}`);
    const answer = await fetch(url, {
      method: form ? 'POST' : 'GET',
      redirect: 'manual',
      headers: { cookie: cookies.join('; ') },
      body: form,
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      const own = jar.get(url.host) ?? new Map();
      jar.set(url.host, own);
      if (value === '') own.delete(name);
      else own.set(name, value);
    }
    const location = answer.headers.get('location');
    const page = await answer.text();
    form = undefined;
    if (location) {
      url = new URL(location, url);
      continue;
    }
    // What the app shows, or the listener of a test.
    if (url.pathname === '/callback') return page;
    if (answer.status !== 200) throw new Error(`${url}: ${answer.status} ${page.slice(0, 2000)}`);
    if (cancel) {
      url = new URL(/href="([^"]*\/abort)"/.exec(page)[1], url);
      continue;
    }
    const asksWho = page.includes('name="login"');
    if (asksWho) person.asked = (person.asked ?? 0) + 1;
    url = new URL(/<form[^>]*action="([^"]+)"/.exec(page)[1], url);
    form = new URLSearchParams(asksWho ? { prompt: 'login', login, password: 'any' } : { prompt: 'consent' });
  }
  throw new Error(`the provider leads nowhere: ${url}`);
}
