// Chooses the backend once, at the start.

import { tauri } from './tauri';
import type { Backend } from './types';

export type * from './types';

/** The Rust core; outside of the app, in builds that hold it, sample data. */
export async function chooseBackend(): Promise<Backend> {
  if (__MOCK__ && !('__TAURI_INTERNALS__' in window)) {
    const { mock } = await import('./mock');
    return mock(new URLSearchParams(window.location.search));
  }
  return tauri;
}
