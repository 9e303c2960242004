// sslyze asks a live cloud for everything that TLS ever had, and judges it by Mozilla's intermediate profile: versions,
// cipher suites, curves, compression, renegotiation, downgrades, Heartbleed and its like, and the certificate.
//
// It judges a cloud with an operator's certificate, of either kind of key, which must be without a fault. The certificate
// that a cloud makes itself has two that its purpose asks for, named below. A server that does fall short sits beside
// them: of it the judge must say so.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { run, start, stop } from '../../scripts/lib/run.mjs';
import { atEnd } from '../lib/at-end.mjs';
import { python } from '../lib/python.mjs';
import { program, temporaryFolder } from '../lib/scene.mjs';

/** What the profile says of the certificate that a cloud makes itself, and why it is so. */
const ownCertificate = {
  // Stores are given it as their CA at enrollment: who would renew it would have to go to each of them.
  maximum_certificate_lifespan: /^Certificate life span is 3651 days, should be less than 366\.$/,
  // It is nobody's but its own, and sslyze takes a root only for a signer of others.
  certificate_path_validation: /^Certificate path validation failed for CN=Tillwatch cloud\.$/,
};

test("a live cloud keeps to Mozilla's intermediate profile", async (t) => {
  const bin = python('sslyze', ['sslyze==6.3.1']);
  const folder = temporaryFolder(t);
  const ca = authority(folder);
  const clouds = {
    ecdsa: await cloud(t, folder, 'ecdsa', issue(ca, 'ecdsa', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'])),
    rsa: await cloud(t, folder, 'rsa', issue(ca, 'rsa', ['rsa:2048'])),
    own: await cloud(t, folder, 'own'),
    weak: await weakServer(t, issue(ca, 'weak', ['rsa:2048'])),
  };
  const report = path.join(folder, 'report.json');
  const scan = ['--mozilla_config=intermediate', `--certinfo_ca_file=${ca.cert}`, `--json_out=${report}`];
  // A server that falls short is told by the exit code; so it is not looked at.
  const { stdout } = await promisify(execFile)(
    path.join(bin, 'sslyze'),
    [...scan, ...Object.values(clouds)],
    {
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    },
  ).catch((error) => error);
  const found = (name) => issues(stdout, clouds[name]);

  assert.deepEqual(found('ecdsa'), {});
  assert.deepEqual(found('rsa'), {});
  assert.deepEqual(Object.keys(found('own')).sort(), Object.keys(ownCertificate).sort());
  for (const [issue, text] of Object.entries(found('own'))) assert.match(text, ownCertificate[issue]);
  const seen = Object.keys(found('weak'));
  for (const issue of ['ciphers', 'tls_versions', 'tls_curves'])
    assert.ok(seen.includes(issue), `the judge misses ${issue} in ${seen}`);

  const tried = asked(report, clouds);
  assert.ok(tried > 3 * 400, `${tried} tries are next to none`);
  t.diagnostic(
    `${tried} suites and curves offered to 3 clouds; ${seen.length} faults found in the weak server`,
  );
});

/** A CA of the test's own. */
function authority(folder) {
  const ca = { folder, cert: path.join(folder, 'ca.pem'), key: path.join(folder, 'ca.key') };
  openssl(['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], ca, 'Test CA', [], {
    basicConstraints: 'critical,CA:true',
    keyUsage: 'critical,keyCertSign',
  });
  return ca;
}

/** A certificate as an operator gets it: of a CA, for 90 days. */
function issue(ca, name, key) {
  const files = { cert: path.join(ca.folder, `${name}.pem`), key: path.join(ca.folder, `${name}.key`) };
  openssl(key, files, 'cloud.example', ['-CA', ca.cert, '-CAkey', ca.key], {
    basicConstraints: 'critical,CA:false',
    keyUsage: 'critical,digitalSignature,keyEncipherment',
    extendedKeyUsage: 'serverAuth',
    subjectAltName: 'IP:127.0.0.1',
  });
  return files;
}

function openssl(newKey, { cert, key }, name, signer, extensions) {
  const added = Object.entries(extensions).flatMap(([name, value]) => ['-addext', `${name}=${value}`]);
  const files = ['-keyout', key, '-out', cert];
  const subject = ['-subj', `/CN=${name}`, '-days', '90', '-sha256', '-nodes'];
  run('openssl', ['req', '-x509', '-newkey', ...newKey, ...files, ...subject, ...signer, ...added], {
    stdio: 'ignore',
  });
}

/** Starts a cloud, with the certificate if there is one; gives its address. */
async function cloud(t, folder, name, certificate) {
  const { child, value } = await start(
    program('tillwatch-cloud'),
    [
      'serve',
      ...['--listen', '127.0.0.1:0', '--data-dir', path.join(folder, `cloud-${name}`), '--drain', 'PT1S'],
      ...(certificate ? ['--tls-cert', certificate.cert, '--tls-key', certificate.key] : []),
    ],
    { ready: (line) => /^listening on https:\/\/(\S+)$/.exec(line)?.[1] },
  );
  atEnd(t, () => stop(child));
  return value;
}

/** A server that takes whatever its OpenSSL still knows. */
async function weakServer(t, { cert, key }) {
  const server = tls.createServer({
    cert: readFileSync(cert),
    key: readFileSync(key),
    minVersion: 'TLSv1',
    ciphers: 'ALL@SECLEVEL=0',
  });
  server.on('tlsClientError', () => undefined);
  server.on('secureConnection', (socket) => socket.on('error', () => undefined).resume());
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => new Promise((resolve) => server.close(resolve)));
  return `127.0.0.1:${server.address().port}`;
}

/** What the judge has to say against a server, by name. */
function issues(stdout, address) {
  const verdict = new RegExp(`^ +${address}: (OK|FAILED) - (.*)\\n((?: +\\* .*\\n)*)`, 'm').exec(stdout);
  assert.ok(verdict, `no verdict on ${address}:\n${stdout}`);
  const said = [...verdict[3].matchAll(/^ +\* (\w+): (.*)$/gm)].map(([, name, text]) => [name, text]);
  assert.equal(verdict[1] === 'OK', said.length === 0, verdict[0]);
  assert.match(verdict[2], /compliant/i, verdict[0]);
  return Object.fromEntries(said);
}

/** How many suites and curves the clouds were offered. */
function asked(report, { weak, ...clouds }) {
  const scans = JSON.parse(readFileSync(report, 'utf8')).server_scan_results;
  assert.equal(scans.length, Object.keys(clouds).length + 1);
  let tried = 0;
  for (const { server_location: server, scan_result: scan } of scans) {
    if (`${server.hostname}:${server.port}` === weak) continue;
    for (const [name, { status, result }] of Object.entries(scan)) {
      if (name.endsWith('_cipher_suites'))
        tried += result.accepted_cipher_suites.length + result.rejected_cipher_suites.length;
      if (name === 'elliptic_curves') tried += result.supported_curves.length + result.rejected_curves.length;
      assert.notEqual(status, 'ERROR', `${name} of ${server.port}`);
    }
  }
  return tried;
}
