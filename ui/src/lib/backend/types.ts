// What the Rust core and the window say to each other. The types are generated from the core's.

import type { AppEvent, commands } from '../bindings';

export type {
  AdminChain,
  AdminOutlet,
  AdminPosServer,
  AdminQuery,
  AdminUser,
  AppError,
  AppEvent,
  AppInfo,
  Archive,
  AuditEntry,
  AuditQuery,
  Backups,
  ColumnSetting,
  Connection,
  CopyRequest,
  Cursor,
  DatabaseBackup,
  Download,
  EnrollmentCode,
  Evidence,
  GridChanges,
  Grant,
  GrantPlace,
  GridQuery,
  GridSummary,
  GridWindow,
  ImportFault,
  ImportPreview,
  Job,
  JobKind,
  JobState,
  Jump,
  Level,
  LogEntry,
  LogFilter,
  LogFound,
  LogLine,
  LogPlace,
  LogShown,
  LogSummary,
  LogWindow,
  MenuAction,
  Only,
  OutletOption,
  OutletOptions,
  OutletTexts,
  Permission,
  Profile,
  Profiles,
  RequestedLogs,
  Row,
  RunnableJob,
  SavedView,
  SelectOp,
  Session,
  Settings,
  Sort,
  SsoProvider,
  SsoTry,
  StoreDevice,
  Timeline,
  TimelineItem,
  UserSession,
  Viewer,
  WhenOffline,
} from '../bindings';

type Commands = typeof commands;
type Call = (...args: never[]) => Promise<unknown>;
type Ok<C extends Call> = Extract<Awaited<ReturnType<C>>, { status: 'ok' }>['data'];
/** Rust's unit is null on the wire and nothing here. */
type Data<C extends Call> = [Ok<C>] extends [null] ? unknown : Ok<C>;

/** Everything the window can ask of the core. A refusal is thrown as an `AppError`. */
export type Backend = {
  [Name in Exclude<keyof Commands, 'subscribe'>]: (
    ...args: Parameters<Commands[Name]>
  ) => Promise<Data<Commands[Name]>>;
} & { subscribe(listener: (event: AppEvent) => void): Promise<void> };
