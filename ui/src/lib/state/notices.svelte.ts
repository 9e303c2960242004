// Notices: errors stay until they are read, good news goes by itself.

import type { AppError } from '../backend/types';
import { errorHelp, errorTitle } from '../words';
import { errorDetails, toAppError } from './errors';

export interface Notice {
  id: number;
  kind: 'error' | 'info';
  title: string;
  body: string | null;
  /** For the clipboard; null when there is nothing to copy. */
  details: string | null;
  error: AppError | null;
  /** A file that can be shown in its folder. */
  path: string | null;
}

const INFO_MILLISECONDS = 8000;

export class Notices {
  list = $state<Notice[]>([]);
  private next = 1;

  info(title: string, more: { body?: string; path?: string } = {}): void {
    const id = this.push({
      kind: 'info',
      title,
      body: more.body ?? null,
      details: null,
      error: null,
      path: more.path ?? null,
    });
    setTimeout(() => this.dismiss(id), INFO_MILLISECONDS);
  }

  /** `doing` is what was tried, such as "Retrieve logs". */
  error(thrown: unknown, doing: string): void {
    const error = toAppError(thrown);
    // The sign-in dialog tells it already.
    if (error.code === 'session_ended') return;
    this.push({
      kind: 'error',
      title: `${doing}: ${errorTitle(error)}`,
      body: errorHelp(error),
      details: errorDetails(error, doing),
      error,
      path: null,
    });
  }

  dismiss(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }

  private push(notice: Omit<Notice, 'id'>): number {
    const id = this.next++;
    const same = (other: Notice) => other.kind === notice.kind && other.title === notice.title;
    // The same error again takes the place of the first.
    this.list = [...this.list.filter((other) => !same(other)), { id, ...notice }].slice(-5);
    return id;
  }
}
