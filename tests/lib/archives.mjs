// Archives as other people's programs read them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Downloads an archive, checks its size and SHA-256, and lets unzip, 7z and Python test it. Gives the file's path. */
export async function fetchArchive(scene, archive, folder) {
  const answer = await scene.request('GET', `/api/v1/archives/${archive.id}/content`, {
    token: scene.api.token,
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.bytes.length, archive.size_bytes);
  assert.equal(sha256(answer.bytes), archive.sha256);
  assert.equal(answer.headers.etag, `"${archive.sha256}"`);
  const file = path.join(folder, archive.file_name);
  writeFileSync(file, answer.bytes);
  for (const [judge, args] of [
    ['unzip', ['-tq', file]],
    ['7z', ['t', file]],
    [
      'python3',
      ['-c', 'import sys, zipfile; sys.exit(zipfile.ZipFile(sys.argv[1]).testzip() is not None)', file],
    ],
  ]) {
    const ended = spawnSync(judge, args, { encoding: 'utf8' });
    assert.equal(ended.status, 0, `${judge}: ${ended.stdout}${ended.stderr}${ended.error ?? ''}`);
  }
  return file;
}

/** The text of every file in an archive, by name. */
export function readArchive(file) {
  const script =
    'import json, sys, zipfile\n' +
    'z = zipfile.ZipFile(sys.argv[1])\n' +
    'print(json.dumps({n: z.read(n).decode("utf-8", "replace") for n in z.namelist()}))';
  const ended = spawnSync('/usr/bin/python3', ['-c', script, file], { encoding: 'utf8', maxBuffer: 1 << 29 });
  assert.equal(ended.status, 0, ended.stderr);
  return JSON.parse(ended.stdout);
}
