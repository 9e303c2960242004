// Something that is asked of the core and shown: what came last stays while it is asked for again.

import type { AppError } from '../backend/types';
import { toAppError } from './errors';

export class Asked<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<AppError | null>(null);
  working = $state(false);
  private turn = 0;

  /** Only the answer to the newest question counts. */
  async ask(question: () => Promise<T>): Promise<void> {
    const turn = (this.turn += 1);
    this.working = true;
    try {
      const value = await question();
      if (turn !== this.turn) return;
      this.value = value;
      this.error = null;
    } catch (thrown) {
      if (turn === this.turn) this.error = toAppError(thrown);
    } finally {
      if (turn === this.turn) this.working = false;
    }
  }
}
