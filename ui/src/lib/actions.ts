// What can be done with a store now, and why not when it can't.

import type { Only, Row, RunnableJob } from './backend/types';
import { isRunning } from './jobs';
import { m } from './paraglide/messages';
import type { App } from './state/app.svelte';
import { jobKind } from './words';

export function chipOnly(only: Only): string {
  return {
    error: m.chip_only_error,
    update_required: m.chip_only_update_required,
    offline: m.chip_only_offline,
    unknown: m.chip_only_unknown,
  }[only]();
}

const busy = (row: Row, kinds: string[]) =>
  row.active_jobs.some((job) => kinds.includes(job.kind) && isRunning(job));
const exclusive = ['reset_database', 'restore_database', 'restart_pos'];

export function logsReason(app: App, row: Row): string | null {
  if (app.cloudReason) return app.cloudReason;
  return row.may_retrieve_logs ? null : m.why_permission();
}

export function resetReason(app: App, row: Row): string | null {
  if (app.cloudReason) return app.cloudReason;
  if (!row.may_reset_database) return m.why_permission();
  if (row.link_state !== 'online') return m.why_offline();
  if (row.generation === null) return m.reset_no_generation();
  return busy(row, exclusive) ? m.why_busy() : null;
}

export function restoreReason(app: App, row: Row): string | null {
  if (app.cloudReason) return app.cloudReason;
  if (!row.may_reset_database) return m.why_permission();
  if (row.link_state !== 'online') return m.why_offline();
  return busy(row, exclusive) ? m.why_busy() : null;
}

export function jobReason(app: App, row: Row, kind: RunnableJob): string | null {
  if (app.cloudReason) return app.cloudReason;
  if (kind === 'restart_pos' && !row.may_reset_database) return m.why_permission();
  if (row.link_state !== 'online') return m.why_offline();
  return busy(row, kind === 'restart_pos' ? exclusive : [kind]) ? m.why_busy() : null;
}

export async function runJob(app: App, row: Row, kind: RunnableJob): Promise<void> {
  try {
    const job = await app.backend.runJob(row.id, kind);
    if (!app.jobs.has(job.id)) app.jobs.set(job.id, job);
  } catch (thrown) {
    app.notices.error(thrown, `${jobKind(kind)}, ${row.organization}`);
  }
}

export async function cancelJob(app: App, id: string): Promise<void> {
  try {
    const job = await app.backend.cancelJob(id);
    app.jobs.set(job.id, job);
  } catch (thrown) {
    app.notices.error(thrown, m.cancel());
  }
}
