// tus-js-client, a client of the people who made tus, uploads archives to a live cloud in the place of a connector: whole,
// after it gave up in the middle, with a piece that arrives damaged, and through a cloud that is killed meanwhile. What the
// cloud then gives to people is byte for byte what was sent.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { test } from 'node:test';
import { DefaultHttpStack, FileUrlStorage, Upload } from 'tus-js-client';
import { sha256 } from '../lib/archives.mjs';
import { enrollDevice } from '../lib/device.mjs';
import { scene } from '../lib/scene.mjs';

const MiB = 1 << 20;
/** As many bytes, the first those of a zip and the others nobody's. */
const archive = (size) => Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), randomBytes(size - 4)]);
const period = { from: '2026-11-20T05:00:00Z', to: '2026-11-20T06:00:00Z' };

test('a tus client of other people uploads archives', async (t) => {
  const cloud = await scene(t, [{ outlet: 'Riga Centrs' }]);
  const [store] = cloud.stores;
  const device = await enrollDevice(cloud, store);
  const job = await cloud.api('POST', `/pos-servers/${store.id}/jobs`, {
    json: { kind: 'retrieve_logs', ...period, max_bytes: 1 << 30, when_offline: 'queue' },
  });
  const urlStorage = new FileUrlStorage(path.join(cloud.folder, 'uploads.json'));
  let [archives, uploaded] = [0, 0];

  /** An upload by the client's own means; what is ours is who asks, and the checksum of each piece. */
  const client = (content, { damage = () => false, ...options }) => {
    const requests = [];
    let settle;
    const ended = new Promise((resolve) => (settle = resolve));
    const upload = new Upload(content, {
      endpoint: `${cloud.url}/api/v1/uploads`,
      httpStack: new DefaultHttpStack({ agent: new https.Agent({ ca: readFileSync(cloud.ca) }) }),
      metadata: { job_id: job.id, sha256: sha256(content), ...period, part: '1', parts: '1' },
      urlStorage,
      retryDelays: [0, 50, 100, 200, 400, 800, 1600, 3200, 6400],
      onBeforeRequest: (request) => {
        request.setHeader('Authorization', `Bearer ${device.token()}`);
        if (request.getMethod() !== 'PATCH') return;
        const from = Number(request.getHeader('Upload-Offset'));
        const piece = content.subarray(from, from + upload.options.chunkSize);
        const digest = createHash('sha256').update(piece);
        if (damage(from)) digest.update('one more byte');
        request.setHeader('Upload-Checksum', `sha256 ${digest.digest('base64')}`);
      },
      onAfterResponse: (request, response) => {
        requests.push(`${request.getMethod()} ${response.getStatus()}`);
      },
      onSuccess: () => settle(null),
      onError: (error) => settle(error),
      ...options,
    });
    return { upload, requests, ended };
  };

  /** What the cloud has of it is what was sent. */
  const arrived = async (content, url) => {
    const id = url.split('/').pop();
    const answer = await cloud.request('GET', `/api/v1/archives/${id}/content`, { token: cloud.api.token });
    assert.equal(answer.status, 200);
    assert.equal(answer.bytes.length, content.length);
    assert.equal(sha256(answer.bytes), sha256(content));
    archives++;
    uploaded += content.length;
  };

  await t.test('whole, in pieces of all sizes', async () => {
    for (const [size, chunkSize] of [
      [4, 8 * MiB],
      [8 * MiB, 8 * MiB],
      [12 * MiB + 7, 8 * MiB],
      [100_003, 997],
    ]) {
      const content = archive(size);
      const { upload, requests, ended } = client(content, { chunkSize });
      upload.start();
      assert.equal(await ended, null);
      const pieces = Array(Math.ceil(size / chunkSize)).fill('PATCH 204');
      assert.deepEqual(requests, ['POST 201', ...pieces]);
      await arrived(content, upload.url);
    }
  });

  await t.test('given up in the middle, and taken up again by who comes later', async () => {
    const content = archive(5 * MiB + 3);
    let left;
    const gone = new Promise((resolve) => (left = resolve));
    const first = client(content, {
      chunkSize: MiB,
      onProgress: (sent) => {
        if (sent > 2 * MiB) left(first.upload.abort());
      },
    });
    first.upload.start();
    await gone;

    const later = client(content, { chunkSize: MiB });
    const known = await later.upload.findPreviousUploads();
    assert.deepEqual(
      known.map(({ uploadUrl }) => uploadUrl),
      [first.upload.url],
    );
    later.upload.resumeFromPreviousUpload(known[0]);
    later.upload.start();
    assert.equal(await later.ended, null);
    assert.equal(later.requests[0], 'HEAD 200');
    // The piece that was on its way may have arrived whole.
    const [before, after] = [first, later].map(({ requests }) => count(requests, 'PATCH 204'));
    assert.equal(before, 2);
    assert.ok(after === 3 || after === 4, `${first.requests}, ${later.requests}`);
    await arrived(content, later.upload.url);
  });

  await t.test('a piece that arrives damaged is refused, and sent again', async () => {
    const content = archive(3 * MiB);
    let damaged = 0;
    const { upload, requests, ended } = client(content, {
      chunkSize: MiB,
      damage: (from) => from === MiB && damaged++ < 2,
      onShouldRetry: (error) => error.originalResponse.getStatus() === 460,
    });
    upload.start();
    assert.equal(await ended, null);
    const again = ['PATCH 460', 'HEAD 200'];
    assert.deepEqual(requests, ['POST 201', 'PATCH 204', ...again, ...again, 'PATCH 204', 'PATCH 204']);
    await arrived(content, upload.url);
  });

  await t.test('a cloud that is killed and comes back', async () => {
    const content = archive(4 * MiB);
    let back;
    const { upload, requests, ended } = client(content, {
      chunkSize: MiB,
      onChunkComplete: (_, sent) => {
        if (sent !== 2 * MiB) return;
        cloud.child.kill('SIGKILL');
        back = cloud.child.exited.then(() => cloud.startCloud(new URL(cloud.url).host));
      },
    });
    upload.start();
    assert.equal(await ended, null);
    await back;
    assert.ok(requests.includes('HEAD 200'), requests.join());
    await arrived(content, upload.url);
  });

  assert.ok(uploaded > 30 * MiB);
  t.diagnostic(`${archives} archives, ${(uploaded / MiB).toFixed(1)} MiB`);
});

const count = (list, what) => list.filter((one) => one === what).length;
