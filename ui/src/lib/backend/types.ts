// What the Rust core and the window say to each other; JSON as serde gives it.

/** An expected failure; `code` decides the words that a person reads. */
export interface AppError {
  code: string;
  detail: string | null;
  request_id: string | null;
  params: Record<string, string>;
}

export interface ColumnSetting {
  key: string;
  width: number;
  visible: boolean;
}

export interface Settings {
  language: 'system' | 'en' | 'ru';
  theme: 'system' | 'light' | 'dark';
  density: 'compact' | 'comfortable';
  times: 'viewer' | 'outlet';
  last_url: string | null;
  last_email: string | null;
  /** In the order of the screen; empty means the defaults. */
  columns: ColumnSetting[];
  query: GridQuery | null;
}

export interface Session {
  state: 'signed_out' | 'signed_in' | 'expired';
  url: string | null;
  email: string | null;
  name: string | null;
  admin: boolean;
  /** Whether the token is kept in the keychain. */
  remembered: boolean;
}

export type Only = 'error' | 'update_required' | 'offline' | 'unknown';

export interface GridQuery {
  chain_id: string | null;
  outlet_id: string | null;
  /** ISO 8601 duration over the last report. */
  within: string | null;
  problems_only: boolean;
  search: string;
  only: Only | null;
  sort: SortKey[];
}

export interface SortKey {
  column: string;
  descending: boolean;
}

export interface GridSummary {
  version: number;
  total: number;
  matching: number;
  selected: number;
  errors: number;
  update_required: number;
  offline: number;
  unknown: number;
  /** When the rows were last known to be true. */
  as_of: string | null;
  loaded: boolean;
}

export type LinkState = 'online' | 'offline' | 'never_connected' | 'unknown';
export type PosState = 'running' | 'not_responding' | 'stopped' | 'unknown';
export type Highlight = 'error' | 'update_required' | 'none';

export interface Evidence {
  code: string;
  at: string;
  params: Record<string, unknown>;
}

export interface ExchangeError {
  code: string;
  message: string;
  since: string;
  consecutive_failures: number;
}

export interface Row {
  id: string;
  name: string;
  revision: number;
  chain_id: string;
  chain: string;
  outlet_id: string;
  organization: string;
  crm_id: string;
  address: string;
  time_zone: string;
  link_state: LinkState;
  link_since: string | null;
  last_seen_at: string | null;
  connector_version: string | null;
  cause: string | null;
  confidence: string | null;
  evidence: Evidence[];
  pos_state: PosState;
  pos_version: string | null;
  version_updated_at: string | null;
  required_version: string | null;
  update_required: boolean;
  last_success_at: string | null;
  last_attempt_at: string | null;
  error: ExchangeError | null;
  behind_changes: number;
  behind_oldest_at: string | null;
  generation: number | null;
  db_created_at: string | null;
  db_size_bytes: number | null;
  /** Null when it is not known. */
  unsent_transactions: number | null;
  last_report_at: string | null;
  highlight: Highlight;
  active_jobs: { id: string; kind: string; state: string }[];
  selected: boolean;
  may_retrieve_logs: boolean;
  may_reset_database: boolean;
}

export interface GridWindow {
  version: number;
  offset: number;
  rows: Row[];
}

/** Indices are positions in the current order. */
export type SelectOp =
  | { op: 'only'; index: number }
  | { op: 'toggle'; index: number }
  | { op: 'range'; from: number; to: number }
  | { op: 'all' }
  | { op: 'none' };

export interface OutletOption {
  chain_id: string;
  chain: string;
  /** Null stands for the whole chain. */
  outlet_id: string | null;
  organization: string | null;
  count: number;
}

export interface Connection {
  state: 'signed_out' | 'connecting' | 'live' | 'cloud_unreachable' | 'no_network' | 'session_ended';
  since: string | null;
}

export interface Archive {
  id: string;
  file_name: string;
  size_bytes: number;
  sha256: string;
  from: string;
  to: string;
  expires_at: string;
}

export interface Job {
  id: string;
  kind: string;
  pos_server_id: string;
  organization: string;
  state: string;
  requested_at: string;
  started_at: string | null;
  finished_at: string | null;
  progress: { phase: string; done: number; total: number | null; unit: string } | null;
  archives: Archive[];
  truncated: boolean;
  /** JSON text of the result, by kind. */
  result: string | null;
  error: { code: string; message: string } | null;
}

export interface Download {
  /** The archive's id. */
  id: string;
  path: string | null;
  done: number;
  total: number;
  state: 'running' | 'done' | 'failed' | 'canceled';
  error: AppError | null;
}

export type AppEvent =
  | { type: 'grid'; summary: GridSummary }
  | { type: 'connection'; connection: Connection }
  | { type: 'job'; job: Job }
  | { type: 'download'; download: Download }
  | { type: 'session'; session: Session };

export type WhenOffline = 'fail' | 'skip' | 'queue';

export interface LogsRequested {
  pos_server_id: string;
  /** Null when the store was skipped or refused. */
  job: Job | null;
  error: AppError | null;
}

export interface ExportRequest {
  dialog_title: string;
  file_name: string;
  columns: { key: string; title: string }[];
  /** Words of the person's language by key, such as `link.online`. */
  words: Record<string, string>;
  locale: string;
  time_zone: string;
}

export interface AppInfo {
  version: string;
  os: string;
  debug: boolean;
}

export type SimpleJob = 'restart_pos' | 'exchange_now' | 'diagnose';

/** Everything the window can ask of the core. A refusal is thrown as an [`AppError`]. */
export interface Backend {
  subscribe(listener: (event: AppEvent) => void): Promise<void>;
  appInfo(): Promise<AppInfo>;
  settings(): Promise<Settings>;
  saveSettings(settings: Settings): Promise<void>;
  session(): Promise<Session>;
  signIn(url: string, email: string, password: string): Promise<Session>;
  trustCertificate(url: string, sha256: string): Promise<void>;
  signOut(): Promise<void>;
  setQuery(query: GridQuery): Promise<GridSummary>;
  summary(): Promise<GridSummary>;
  gridWindow(offset: number, limit: number): Promise<GridWindow>;
  row(id: string): Promise<Row | null>;
  select(op: SelectOp): Promise<GridSummary>;
  /** At most 1000. */
  selectedRows(): Promise<Row[]>;
  outletOptions(): Promise<OutletOption[]>;
  refresh(): Promise<void>;
  requestLogs(
    ids: string[],
    from: string,
    to: string,
    maxBytes: number,
    whenOffline: WhenOffline,
  ): Promise<LogsRequested[]>;
  resetDatabase(
    id: string,
    confirm: string,
    expectedGeneration: number,
    collectLogs: boolean,
    discardUnsent: boolean,
  ): Promise<Job>;
  runJob(id: string, kind: SimpleJob): Promise<Job>;
  cancelJob(jobId: string): Promise<Job>;
  jobs(): Promise<Job[]>;
  /** Null when the dialog was dismissed. Resolves when the file is whole and checked. */
  saveArchive(archive: Archive, dialogTitle: string): Promise<Download | null>;
  saveArchives(archives: Archive[], dialogTitle: string): Promise<Download[] | null>;
  cancelDownload(id: string): Promise<void>;
  showInFolder(path: string): Promise<void>;
  exportExcel(request: ExportRequest): Promise<{ path: string; rows: number } | null>;
}
