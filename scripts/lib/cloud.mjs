// A cloud of one's own: started on a free port, with a first admin, stores and loyalty data.
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { start } from './run.mjs';

/** Runs `tillwatch-cloud` with arguments and gives its output; throws with what it said when it fails. */
export function cloudCommand(program, args, input) {
  const options = { encoding: 'utf8', input: input ?? '', maxBuffer: 1 << 28 };
  const ended = spawnSync(program, args, options);
  if (ended.status !== 0)
    throw new Error(`tillwatch-cloud ${args.join(' ')}: ${ended.stderr || ended.error}`);
  return ended.stdout;
}

/** Starts a cloud that keeps everything in `dataDir`. */
export async function startCloud(program, dataDir, { listen = '127.0.0.1:0', args = [], log, env } = {}) {
  const { child, value: url } = await start(
    program,
    // Its stores need not go elsewhere in peace.
    ['serve', '--listen', listen, '--data-dir', dataDir, '--drain', 'PT1S', ...args],
    { name: 'tillwatch-cloud', log, env, ready: (line) => /^listening on (https?:\/\/\S+)$/.exec(line)?.[1] },
  );
  const ca = path.join(dataDir, 'tls', 'cert.pem');
  return {
    child,
    url,
    ca,
    fingerprint: new X509Certificate(readFileSync(ca)).fingerprint256.replaceAll(':', ''),
  };
}

/** One HTTPS request with the cloud's own certificate trusted: `{status, headers, body, bytes}`. */
export function request(cloud, method, target, { token, json, body, headers = {} } = {}) {
  const payload = json === undefined ? body : JSON.stringify(json);
  return new Promise((resolve, reject) => {
    const sent = https.request(
      new URL(target, cloud.url),
      {
        method,
        ca: readFileSync(cloud.ca),
        agent: false,
        headers: {
          ...(token && { authorization: `Bearer ${token}` }),
          ...(json !== undefined && { 'content-type': 'application/json' }),
          ...(payload !== undefined && { 'content-length': Buffer.byteLength(payload) }),
          ...headers,
        },
      },
      (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const isJson = /json/.test(answer.headers['content-type'] ?? '');
          resolve({
            status: answer.statusCode,
            headers: answer.headers,
            bytes,
            body: isJson && bytes.length > 0 ? JSON.parse(bytes) : bytes.toString(),
          });
        });
      },
    );
    sent.on('error', reject);
    sent.end(payload);
  });
}

/** Signs in and gives a function `(method, path, options)` that throws on anything but success. */
export async function signIn(cloud, email, password) {
  const answer = await request(cloud, 'POST', '/api/v1/sessions', { json: { email, password } });
  if (answer.status >= 300) throw new Error(`sign-in: ${answer.status} ${answer.body.code}`);
  const token = answer.body.access_token;
  const call = async (method, target, options = {}) => {
    const result = await request(cloud, method, `/api/v1${target}`, { token, ...options });
    if (result.status >= 300)
      throw new Error(`${method} ${target}: ${result.status} ${JSON.stringify(result.body)}`);
    return result.body;
  };
  call.token = token;
  call.user = answer.body.user;
  return call;
}

/** Writes a CSV, imports it, and gives what was printed: `{file, stores: [{id, outlet, code}]}`. */
export function importFleet(program, dataDir, lines) {
  const source = path.join(dataDir, 'import.csv');
  const quote = (text) => (/[",;\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const columns = ['chain', 'outlet', 'crm_id', 'address', 'time_zone', 'pos_server'];
  writeFileSync(
    source,
    [columns.join(','), ...lines.map((line) => columns.map((name) => quote(line[name])).join(','))].join(
      '\n',
    ),
  );
  const printed = cloudCommand(program, ['fleet', 'import', source, '--data-dir', dataDir]);
  const file = path.join(dataDir, 'enrollments.csv');
  writeFileSync(file, printed, { mode: 0o600 });
  const stores = printed
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => {
      const fields = /^([^,]+),(.*),([^,]+)$/.exec(line.trim());
      return {
        id: fields[1],
        outlet: fields[2].replace(/^"|"$/g, '').replaceAll('""', '"'),
        code: fields[3],
      };
    });
  return { file, stores };
}
