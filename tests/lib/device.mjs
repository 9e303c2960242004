// A store's identity in a test's own hands, for what talks to the cloud in the place of a connector.
import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';

/** Enrolls a store of the scene. `token()` signs a token, which is good for one request. */
export async function enrollDevice(cloud, { code }) {
  const key = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const enrolled = await cloud.request('POST', '/api/v1/enroll', { json: { code, public_key: key.x } });
  assert.equal(enrolled.status, 200, JSON.stringify(enrolled.body));
  const { device_id: id, cloud_id: cloudId } = enrolled.body;
  return { id, cloudId, seed: key.d, token: () => deviceToken(key, id, cloudId) };
}

function deviceToken(key, id, cloudId) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { sub: id, aud: cloudId, exp: Math.floor(Date.now() / 1000) + 45, jti: randomUUID() };
  const signed = `${part({ alg: 'EdDSA', typ: 'JWT' })}.${part(claims)}`;
  const signature = sign(null, Buffer.from(signed), createPrivateKey({ key, format: 'jwk' }));
  return `${signed}.${signature.toString('base64url')}`;
}
