// Jobs in words.

import type { Job } from './backend/types';
import { bytes, number } from './format/number';
import { m } from './paraglide/messages';
import { phaseWord } from './words';

const running = ['queued', 'in_progress', 'cancel_requested'];
export const isRunning = (job: { state: string }) => running.includes(job.state);

/** "uploading · 3.1 MiB of 9 MiB · about 5 s left" */
export function progressWords(job: Job, now: number): string {
  const { progress } = job;
  if (!progress) return '';
  const say = progress.unit === 'bytes' ? bytes : number;
  const parts = [phaseWord(progress.phase)];
  if (progress.unit !== 'steps') {
    parts.push(
      progress.total === null
        ? say(progress.done)
        : m.progress_bytes({ done: say(progress.done), total: say(progress.total) }),
    );
  }
  const left = progress.phase === 'uploading' ? secondsLeft(job, now) : null;
  if (left !== null) {
    const time =
      left < 90 ? m.left_seconds({ n: number(left) }) : m.left_minutes({ n: number(Math.round(left / 60)) });
    parts.push(m.progress_left({ time }));
  }
  return parts.join(' · ');
}

const starts = new Map<string, { at: number; done: number }>();

/** From how fast this phase has gone so far; null until that says something. */
function secondsLeft(job: Job, now: number): number | null {
  const { progress } = job;
  if (!progress || progress.total === null || progress.unit !== 'bytes') return null;
  const key = `${job.id} ${progress.phase}`;
  const start = starts.get(key);
  if (!start) {
    starts.set(key, { at: now, done: progress.done });
    return null;
  }
  const seconds = (now - start.at) / 1000;
  const done = progress.done - start.done;
  if (seconds < 1 || done <= 0) return null;
  return Math.ceil(((progress.total - progress.done) * seconds) / done);
}

export interface Check {
  name: string;
  ok: boolean;
  detail: string;
}

/** What a diagnosis found; null for other jobs. */
export function checksOf(job: Job): Check[] | null {
  const result = resultOf(job);
  return Array.isArray(result?.['checks']) ? (result['checks'] as Check[]) : null;
}

export function resultOf(job: Job): Record<string, unknown> | null {
  if (job.result === null || job.result === undefined) return null;
  if (typeof job.result === 'object') return job.result;
  try {
    return JSON.parse(job.result) as Record<string, unknown>;
  } catch {
    return null;
  }
}
