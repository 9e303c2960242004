// schemathesis asks a live cloud whether it keeps to its OpenAPI document: every call with data that the document allows
// and data that it forbids, with tokens and without, and calls that follow from one another's answers.
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { addUser, fillLoyalty, program, scene } from '../lib/scene.mjs';
import { cloudCommand } from '../../scripts/lib/cloud.mjs';
import { start } from '../../scripts/lib/run.mjs';
import { sha256 } from '../lib/archives.mjs';
import { enrollDevice } from '../lib/device.mjs';
import { python } from '../lib/python.mjs';

test('the cloud keeps to its OpenAPI document', async (t) => {
  const bin = python('schemathesis', ['schemathesis==4.32.5', 'cryptography==50.0.2']);
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }, { outlet: 'Tartu', chain: 'Pizza Lielupe' }]);
  const ids = await fill(cloud);

  const described = path.join(cloud.folder, 'openapi.json');
  writeFileSync(described, cloudCommand(program('tillwatch-cloud'), ['openapi']));
  copyFileSync(
    path.join(import.meta.dirname, 'schemathesis_hooks.py'),
    path.join(cloud.folder, 'schemathesis_hooks.py'),
  );
  writeFileSync(path.join(cloud.folder, 'schemathesis.toml'), configuration(cloud, ids));
  // Not while this waits for it: the cloud tells of each refusal, and somebody has to read that.
  const { child: judge } = await start(path.join(bin, 'schemathesis'), ['run', described], {
    cwd: cloud.folder,
    env: { ...process.env, TILLWATCH_SCENE: JSON.stringify(ids.scene), NO_COLOR: '1' },
  });
  const ended = { stdout: '' };
  judge.stdout.on('data', (text) => (ended.stdout += text));
  ended.status = (await judge.exited).code;
  ended.stderr = judge.output();
  // What went wrong comes first: the rest is long, and may be cut out of the middle.
  const wrong =
    /^=+ (?:ERRORS|FAILURES) =+$[^]*?(?==+ (?:WARNINGS|SUMMARY) =+$)/m.exec(ended.stdout)?.[0] ?? '';
  assert.equal(ended.status, 0, wrong + ended.stdout + ended.stderr);
  const count = (pattern) => Number(pattern.exec(ended.stdout)?.[1] ?? 0);
  const [operations, cases] = [count(/Tested: (\d+)/), count(/(\d+) generated/)];
  // A run that asked next to nothing would pass as well.
  assert.ok(operations >= 30 && cases > 20 * operations, ended.stdout);
  t.diagnostic(`${operations} operations, ${cases} cases`);
});

/** Something of each kind, so that calls have what to work on. */
async function fill(cloud) {
  await fillLoyalty(cloud, 10);
  const leaver = { email: 'leaver@tillwatch.example', password: cloud.admin.password };
  addUser(cloud.dataDir, leaver);
  const [store] = cloud.stores;
  const device = await enrollDevice(cloud, store);
  const job = await cloud.api('POST', `/pos-servers/${store.id}/jobs`, {
    json: {
      kind: 'retrieve_logs',
      from: '2026-11-20T05:00:00Z',
      to: '2026-11-20T06:00:00Z',
      max_bytes: 1 << 20,
      when_offline: 'queue',
    },
  });
  const upload = async (content) => {
    const metadata = {
      job_id: job.id,
      sha256: sha256(content),
      from: '2026-11-20T05:00:00Z',
      to: '2026-11-20T06:00:00Z',
      part: '1',
      parts: '1',
    };
    const base64 = (text) => Buffer.from(text).toString('base64');
    const created = await cloud.request('POST', '/api/v1/uploads', {
      token: device.token(),
      headers: {
        'tus-resumable': '1.0.0',
        'upload-length': String(content.length),
        'upload-metadata': Object.entries(metadata)
          .map(([name, value]) => `${name} ${base64(value)}`)
          .join(','),
      },
    });
    assert.equal(created.status, 201, JSON.stringify(created.body));
    return created.headers.location.split('/').pop();
  };
  const content = 'PK\x05\x06, and no more of an archive';
  const archive = await upload(content);
  const taken = await cloud.request('PATCH', `/api/v1/uploads/${archive}`, {
    token: device.token(),
    headers: {
      'tus-resumable': '1.0.0',
      'upload-offset': '0',
      'content-type': 'application/offset+octet-stream',
    },
    body: content,
  });
  assert.equal(taken.status, 204, JSON.stringify(taken.body));
  const status = await cloud.api('GET', `/pos-servers/${store.id}`);
  return {
    dictionaries: {
      chains: [status.chain.id],
      'pos-servers': cloud.stores.map(({ id }) => id),
      jobs: [job.id],
      archives: [archive],
      uploads: [await upload('x')],
    },
    scene: {
      url: cloud.url,
      ca: cloud.ca,
      token: cloud.api.token,
      leaver,
      needed: [
        cloud.api.user.id,
        (await cloud.signIn(leaver.email, leaver.password)).user.id,
        status.chain.id,
        status.outlet.id,
        ...cloud.stores.map(({ id }) => id),
        device.id,
      ],
      device: { seed: device.seed, id: device.id, cloud: device.cloudId },
    },
  };
}

/** What the run is made of, and each exception with its reason. */
function configuration(cloud, { dictionaries }) {
  const json = JSON.stringify;
  const known = Object.entries(dictionaries).map(
    ([part, values]) => `
[dictionaries.${part}]
values = ${json(values)}

[[operations]]
include-path-regex = ${json(`^/api/v1/${part}/`)}
parameters = { "path.id" = { dictionary = ${json(part)}, probability = 0.7 } }
`,
  );
  return `
base-url = ${json(cloud.url)}
tls-verify = ${json(cloud.ca)}
hooks = "schemathesis_hooks.py"
# One after the other: two at a time answer in another order each time.
workers = 1
continue-on-failure = true
request-timeout = 10
# The stream of events goes on for ever.
max-stream-events = 1

[generation]
max-examples = 10
# The same data each time: a failure is one of the change that it came with.
deterministic = true

# 422: the check refused_for_a_reason looks closer.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 410, 422, "5xx"]

# After ten passwords that are wrong one waits.
[[operations]]
include-operation-id = "change_password"
checks.positive_data_acceptance.expected-statuses = [422, 429]
checks.negative_data_rejection.expected-statuses = [400, 401, 405, 413, 415, 422, 429, "5xx"]

[[operations]]
include-operation-id = ["create_upload", "get_upload_offset", "append_to_upload"]
# tus has statuses of its own: 412 for a version it does not speak, 413 beyond the announced, 460 for a checksum.
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 404, 409, 413, 422, 460, "5xx"]
checks.negative_data_rejection.expected-statuses = [400, 401, 404, 405, 409, 412, 413, 415, 422, 460, "5xx"]
checks.missing_required_header.expected-statuses = [401, 412, 422]

[[operations]]
include-operation-id = "download_archive"
# A range is good or not depending on how long the archive is.
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 410, 416, "5xx"]

# A WebSocket can't be asked like the rest: tests/stores/links.rs does.
[[operations]]
include-operation-id = "open_link"
enabled = false
${known.join('')}`;
}
