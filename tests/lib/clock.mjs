// Programs with a clock that is wrong, or is moved while they run.
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Where Debian's `faketime` puts the library; MT is the one for programs with threads. */
const library =
  process.platform === 'linux'
    ? readdirSync('/usr/lib')
        .map((folder) => path.join('/usr/lib', folder, 'faketime', 'libfaketimeMT.so.1'))
        .find(existsSync)
    : undefined;

/** Why clocks can't be made wrong here; null when they can. */
export const noFakeTime = library ? null : 'not installed: faketime';

/**
 * A clock that is `offset` ms off. Programs that are started with its `env`, and those that they start, have it;
 * `set` moves it while they run, as a person or NTP would: what they measure by the monotonic clock goes on.
 */
export function clock(folder, name, offset = 0) {
  const file = path.join(folder, `${name}.clock`);
  const self = {
    offset: 0,
    /** What the clock shows, in ms. */
    now: () => Date.now() + self.offset,
    /** Is `milliseconds` off from now on. */
    set(milliseconds) {
      const seconds = Math.round(milliseconds / 1000);
      self.offset = seconds * 1000;
      // The file is read at every look at the clock, and must be whole each time.
      writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
      renameSync(`${file}.new`, file);
    },
    env: {
      ...process.env,
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  };
  self.set(offset);
  return self;
}
