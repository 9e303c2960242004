// A small disk of a test's own, which can be filled up and cleared again.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, ftruncateSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import path from 'node:path';
import { atEnd } from './at-end.mjs';
import { temporaryFolder } from './scene.mjs';

/** Why there can be no such disk here; undefined when there can. */
export const noDisk =
  process.platform !== 'linux' ? 'needs Linux' : process.getuid() !== 0 ? 'needs root' : undefined;

const CHUNK = Buffer.alloc(1 << 20);

/**
 * Mounts an empty disk of so many MiB. `fill(left)` takes what is free but for `left` bytes, again if it is called again;
 * `clear()` gives it back; `free()` tells how many bytes are free.
 */
export function smallDisk(t, megabytes) {
  const place = temporaryFolder(t);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'none', place], {
    encoding: 'utf8',
  });
  assert.equal(mounted.status, 0, mounted.stderr);
  atEnd(t, () => void spawnSync('umount', ['--lazy', place]));
  const ballast = path.join(place, 'ballast');
  const free = () => {
    const { bavail, bsize } = statfsSync(place);
    return bavail * bsize;
  };
  const fill = (left = 0) => {
    const file = openSync(ballast, 'a');
    try {
      // To the very end first: what others write meanwhile is then none of what is left.
      for (let chunk = CHUNK; chunk.length > 0;) {
        try {
          writeSync(file, chunk);
        } catch (error) {
          assert.equal(error.code, 'ENOSPC');
          chunk = chunk.subarray(0, chunk.length >> 1);
        }
      }
      ftruncateSync(file, Math.max(0, fstatSync(file).size - left));
    } finally {
      closeSync(file);
    }
  };
  const clear = () => rmSync(ballast, { force: true });
  return { place, free, fill, clear };
}
