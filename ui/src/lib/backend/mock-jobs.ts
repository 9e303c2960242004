// Jobs and downloads of the mock backend, played by timers.

import { pause, refusal } from './mock';
import type { MockRows } from './mock-rows';
import type {
  AppEvent,
  Archive,
  Backups,
  DatabaseBackup,
  Download,
  Job,
  JobKind,
  JobState,
  RequestedLogs,
  Row,
  RunnableJob,
  WhenOffline,
} from './types';

const MIB = 1024 * 1024;
const terminal: JobState[] = ['succeeded', 'failed', 'rejected', 'timed_out', 'expired', 'canceled'];

export class MockJobs {
  private readonly list: Job[] = [];
  private readonly kept = new Map<string, DatabaseBackup[]>();
  private readonly downloads = new Map<string, Download>();
  /** Set by tests: the next job ends with this error. */
  failNextJob: { code: string; message: string } | null = null;

  constructor(
    private readonly rows: MockRows,
    private readonly emit: (event: AppEvent) => void,
    private readonly failing: boolean,
    private readonly pace: number,
  ) {}

  all(): Job[] {
    return structuredClone(this.list);
  }

  requestLogs(
    id: string,
    from: string,
    to: string,
    maxBytes: number,
    whenOffline: WhenOffline,
  ): RequestedLogs {
    const row = this.row(id);
    if (row.link_state !== 'online' && whenOffline === 'fail') {
      return { pos_server_id: id, job: null, error: refusal('venue_offline') };
    }
    if (row.link_state !== 'online' && whenOffline === 'skip')
      return { pos_server_id: id, job: null, error: null };
    const job = this.add(row, 'retrieve_logs');
    if (row.link_state === 'online') {
      void this.play(job, [
        ['finding', 3, 'files'],
        ['compressing', Math.min(maxBytes, 62 * MIB), 'bytes'],
        ['uploading', Math.min(maxBytes, 9 * MIB), 'bytes'],
      ]).then((done) => {
        if (done) this.finishLogs(job, row, from, to, Math.min(maxBytes, 9 * MIB));
      });
    }
    return { pos_server_id: id, job: structuredClone(job), error: null };
  }

  reset(id: string, confirm: string, generation: number, collectLogs: boolean, discardUnsent: boolean): Job {
    const row = this.row(id);
    if (row.link_state !== 'online') throw refusal('venue_offline');
    if (confirm !== row.organization) throw refusal('confirmation_mismatch');
    if (generation !== row.generation) throw refusal('generation_changed');
    if (row.unsent_transactions !== 0 && !discardUnsent) throw refusal('unsent_transactions');
    const job = this.add(row, 'reset_database');
    const phases = ['stopping', 'moving_away', 'starting', 'first_exchange'];
    if (collectLogs) phases.unshift('collecting_logs');
    void this.play(
      job,
      phases.map((phase) => [phase, phases.length, 'steps']),
    ).then((done) => {
      if (!done) return;
      const old = row.generation ?? 0;
      const backup = this.putAway(row);
      row.generation = old + 1;
      row.db_created_at = new Date().toISOString();
      row.db_size_bytes = 2 * MIB;
      row.error = null;
      row.highlight = row.update_required ? 'update_required' : 'none';
      row.behind_changes = 0;
      row.unsent_transactions = 0;
      row.last_success_at = new Date().toISOString();
      job.result = JSON.stringify({
        old_generation: old,
        new_generation: old + 1,
        backup_id: backup,
      });
      this.end(job, row, 'succeeded');
    });
    return structuredClone(job);
  }

  /** Jobs of one store, newest first. */
  of(id: string): Job[] {
    return this.list.filter((job) => job.pos_server_id === id);
  }

  backups(id: string): Backups {
    const row = this.row(id);
    return { items: structuredClone(this.keptOf(row)), as_of: row.last_report_at };
  }

  restore(id: string, confirm: string, backupId: string): Job {
    const row = this.row(id);
    if (row.link_state !== 'online') throw refusal('venue_offline');
    if (confirm !== row.organization) throw refusal('confirmation_mismatch');
    const kept = this.keptOf(row);
    if (!kept.some((backup) => backup.id === backupId)) throw refusal('backup_not_found');
    const job = this.add(row, 'restore_database');
    const phases = ['stopping', 'moving_away', 'putting_back', 'starting', 'checking'];
    void this.play(
      job,
      phases.map((phase) => [phase, phases.length, 'steps']),
    ).then((done) => {
      if (!done) return;
      this.putAway(row);
      row.generation = (row.generation ?? 0) + 1;
      job.result = JSON.stringify({ generation: row.generation });
      this.end(job, row, 'succeeded');
    });
    return structuredClone(job);
  }

  /** Each store that was reset keeps the database that was there. */
  private keptOf(row: Row): DatabaseBackup[] {
    let kept = this.kept.get(row.id);
    if (!kept) {
      const before = (row.generation ?? 1) - 1;
      kept = Array.from({ length: Math.min(3, before) }, (_, i) => ({
        id: crypto.randomUUID(),
        generation: before - i,
        created_at: new Date(Date.now() - (i + 1) * 9 * 86_400_000).toISOString(),
        size_bytes: (12 - i) * MIB,
      }));
      this.kept.set(row.id, kept);
    }
    return kept;
  }

  private putAway(row: Row): string {
    const id = crypto.randomUUID();
    this.keptOf(row).unshift({
      id,
      generation: row.generation ?? 0,
      created_at: new Date().toISOString(),
      size_bytes: row.db_size_bytes ?? 0,
    });
    return id;
  }

  run(id: string, kind: RunnableJob): Job {
    const row = this.row(id);
    if (row.link_state !== 'online') throw refusal('venue_offline');
    const job = this.add(row, kind);
    void this.play(job, [['checking', 4, 'checks']]).then((done) => {
      if (!done) return;
      if (kind === 'diagnose') {
        const names = ['dns', 'tcp', 'tls', 'clock', 'link', 'exchange', 'pos_server', 'disk'];
        const checks = names.map((name, i) => {
          const ok = name !== 'exchange' || row.error === null;
          return { name, ok, millis: 4 + i * 3, detail: ok ? 'as expected' : (row.error?.message ?? '') };
        });
        job.result = JSON.stringify({ checks });
      }
      if (kind === 'restart_pos') row.pos_state = 'running';
      if (kind === 'exchange_now' && row.error !== null) {
        job.error = { code: row.error.code, message: row.error.message };
        this.end(job, row, 'failed');
        return;
      }
      this.end(job, row, 'succeeded');
    });
    return structuredClone(job);
  }

  cancel(id: string): Job {
    const job = this.list.find((other) => other.id === id);
    if (!job) throw refusal('not_found');
    if (terminal.includes(job.state)) throw refusal('job_ended');
    const row = this.row(job.pos_server_id);
    if (job.state === 'queued') this.end(job, row, 'canceled');
    else {
      job.state = 'cancel_requested';
      this.emit({ type: 'job', job });
    }
    return structuredClone(job);
  }

  async download(archive: Archive): Promise<Download> {
    const download: Download = {
      id: archive.id,
      path: `/home/mara/Downloads/${archive.file_name}`,
      done: 0,
      total: archive.size_bytes,
      state: 'running',
      error: null,
    };
    this.downloads.set(archive.id, download);
    for (let step = 1; step <= 8; step += 1) {
      this.emit({ type: 'download', download });
      await pause(this.pace);
      if (download.state !== 'running') return structuredClone(download);
      download.done = Math.round((archive.size_bytes * step) / 8);
    }
    download.state = this.failing ? 'failed' : 'done';
    if (this.failing) download.error = refusal('checksum_mismatch');
    this.emit({ type: 'download', download });
    return structuredClone(download);
  }

  cancelDownload(id: string): void {
    const download = this.downloads.get(id);
    if (!download || download.state !== 'running') return;
    download.state = 'canceled';
    this.emit({ type: 'download', download });
  }

  private row(id: string): Row {
    const row = this.rows.rows.find((other) => other.id === id);
    if (!row) throw refusal('not_found');
    return row;
  }

  private add(row: Row, kind: JobKind): Job {
    if (row.active_jobs.some((job) => job.kind === kind)) throw refusal('job_in_progress');
    const job: Job = {
      id: crypto.randomUUID(),
      kind,
      pos_server_id: row.id,
      organization: row.organization,
      state: 'queued',
      requested_at: new Date().toISOString(),
      started_at: null,
      finished_at: null,
      progress: null,
      archives: [],
      truncated: false,
      result: null,
      error: null,
    };
    this.list.unshift(job);
    row.active_jobs.push({ id: job.id, kind, state: job.state });
    this.rows.changed();
    this.emit({ type: 'job', job });
    this.emit(this.rows.event());
    return job;
  }

  /** Goes through the phases; false when it was canceled or failed on the way. */
  private async play(job: Job, phases: [string, number, string][]): Promise<boolean> {
    const row = this.row(job.pos_server_id);
    await pause(this.pace);
    for (const [i, [phase, total, unit]] of phases.entries()) {
      for (let step = 1; step <= 4; step += 1) {
        if (job.state === 'cancel_requested') {
          this.end(job, row, 'canceled');
          return false;
        }
        if (terminal.includes(job.state)) return false;
        if (i === phases.length - 1 && step === 3 && this.failNextJob) {
          job.error = this.failNextJob;
          this.failNextJob = null;
          this.end(job, row, 'failed');
          return false;
        }
        job.state = 'in_progress';
        job.started_at ??= new Date().toISOString();
        job.progress = {
          phase,
          done: unit === 'steps' ? i + 1 : Math.round((total * step) / 4),
          total,
          unit,
        };
        this.emit({ type: 'job', job });
        await pause(this.pace);
      }
    }
    return true;
  }

  private finishLogs(job: Job, row: Row, from: string, to: string, size: number): void {
    const parts = row.organization.includes('Harbour') ? 2 : 1;
    job.archives = Array.from({ length: parts }, (_, i) => ({
      id: crypto.randomUUID(),
      file_name: `${row.organization.replaceAll(' ', '-')}-logs${parts > 1 ? `-part${i + 1}` : ''}.zip`,
      size_bytes: Math.round(size / parts),
      sha256: '0'.repeat(64),
      from,
      to,
      expires_at: new Date(Date.now() + 7 * 86_400_000).toISOString(),
    }));
    job.truncated = size < 9 * MIB;
    job.result = JSON.stringify({ files: 4, redactions: 2 });
    this.end(job, row, 'succeeded');
  }

  private end(job: Job, row: Row, state: JobState): void {
    job.state = state;
    job.finished_at = new Date().toISOString();
    row.active_jobs = row.active_jobs.filter((other) => other.id !== job.id);
    row.revision += 1;
    this.rows.changed();
    this.emit({ type: 'job', job });
    this.emit(this.rows.event());
  }
}
