// A backend of sample data for development and tests; no part of the app that ships.
//
// `?scenario=demo|still|empty|offline|signed-out|expired|errors|many|loading` chooses what it plays, `?stores=N` how
// many, `?lines=N` the lines of an archive, `?archive=CODE` how it can't be looked into, `?role=admin|chains|none` what
// the user administers, `?profiles=N` how many there are, `?password=made-up` that theirs ends, `?language=`, `?theme=` and `?density=` the settings. Tests reach it as `window.tillwatchMock`.

import { cellText } from '../cells';
import { mockAdmin, type MockAdmin } from './mock-admin';
import { breakExchange, cutLink, sampleFleet } from './mock-data';
import { MockJobs } from './mock-jobs';
import { MockRows } from './mock-rows';
import { sampleTimeline } from './mock-timeline';
import { MockViewer } from './mock-viewer';
import type {
  AppError,
  AppEvent,
  Backend,
  Connection,
  Profile,
  Session,
  Settings,
  SsoProvider,
  UserSession,
} from './types';

export interface MockControls {
  rows: MockRows;
  jobs: MockJobs;
  admin: MockAdmin;
  sso: {
    providers: SsoProvider[];
    /** Whether the system opens its browser. */
    opens: boolean;
    /** What the browser brings: nothing for a sign-in, an error for one that did not work; and whom. */
    come(error?: Partial<AppError> & { code: string }, email?: string): void;
  };
  /** The next call of that name is refused. */
  failNext(call: string, error: Partial<AppError> & { code: string }): void;
  setConnection(connection: Connection): void;
  endSession(): void;
  /** As a debug build does with a sign-in on its standard input. */
  signInByItself(): void;
  emit(event: AppEvent): void;
  /** What the dialogs of the system answer: whether they are confirmed. */
  dialogs: { confirmed: boolean };
  calls: { name: string; args: unknown[] }[];
}

declare global {
  interface Window {
    tillwatchMock?: MockControls;
  }
}

export function refusal(code: string, params: Record<string, string> = {}): AppError {
  return { code, detail: null, request_id: crypto.randomUUID(), params };
}

export function mock(search: URLSearchParams): Backend {
  const scenario = search.get('scenario') ?? 'demo';
  const counts: Record<string, number> = { many: 100_000, empty: 0, loading: 0 };
  const count = Number(search.get('stores') ?? counts[scenario] ?? 214);
  const now = Date.now();
  const rows = new MockRows(sampleFleet(count, now));
  if (scenario === 'loading') {
    rows.loaded = false;
    rows.asOf = null;
  }
  const listeners: ((event: AppEvent) => void)[] = [];
  const emit = (event: AppEvent) => listeners.forEach((listener) => listener(structuredClone(event)));
  const emitGrid = () => emit(rows.event());
  const jobs = new MockJobs(rows, emit, scenario === 'errors', Number(search.get('pace') ?? 250));

  const viewer = new MockViewer(
    emit,
    Number(search.get('pace') ?? 250),
    Number(search.get('lines') ?? 60_000),
    search.get('archive'),
  );

  let settings: Settings = {
    language: (search.get('language') ?? 'system') as Settings['language'],
    theme: (search.get('theme') ?? 'system') as Settings['theme'],
    density: (search.get('density') ?? 'compact') as Settings['density'],
    times: 'viewer',
    notifications: true,
    close_to_tray: false,
    columns: [],
    query: null,
    views: [],
    view: null,
  };
  const role = search.get('role') ?? 'admin';
  const rights = {
    admin: role === 'admin',
    administers: role !== 'none',
    password_ends_at:
      search.get('password') === 'made-up' ? new Date(Date.now() + 5 * 24 * 3_600_000).toISOString() : null,
  };
  const known: Profile[] = [
    {
      id: 'p1',
      url: 'https://cloud.tillwatch.example',
      email: 'mara@pastanostra.example',
      name: 'Mara Ozola',
    },
    { id: 'p2', url: 'https://other.example', email: 'mara@kafekometa.example', name: 'Mara Ozola' },
    {
      id: 'p3',
      url: 'https://cloud.tillwatch.example',
      email: 'helpdesk@pastanostra.example',
      name: 'Helpdesk',
    },
  ];
  let profiles = known.slice(0, Number(search.get('profiles') ?? (scenario === 'signed-out' ? 0 : 1)));
  const shown = (profile: Profile) => ({
    profile: profile.id,
    url: profile.url,
    email: profile.email,
    name: profile.name,
  });
  const user = shown(known[0] as Profile);
  /** The filters and views of those who are not shown. */
  const personal = new Map<string, Pick<Settings, 'query' | 'views' | 'view'>>();
  /** Who is shown from now on. */
  const show = (next: Session): Session => {
    if (next.profile !== session.profile) {
      const { query, views, view } = settings;
      if (session.profile) personal.set(session.profile, { query, views, view });
      settings = { ...settings, query: null, views: [], view: null, ...personal.get(next.profile ?? '') };
    }
    session = next;
    emit({ type: 'session', session });
    return session;
  };
  /** A user of this cloud, known or new. */
  const enter = (url: string, email: string): Session => {
    const found = profiles.find((profile) => profile.url === url && profile.email === email);
    const profile = found ?? { id: `p${profiles.length + 10}`, url, email, name: 'Mara Ozola' };
    if (!found) profiles = [...profiles, profile];
    show({ state: 'signed_in', ...shown(profile), ...rights, remembered: true });
    controls.setConnection({ state: 'live', since: new Date().toISOString() });
    return session;
  };
  let waiting: { settle: (session: Session) => void; refuse: (error: AppError) => void; url: string } | null =
    null;
  let sessions: UserSession[] = [
    {
      id: 's1',
      created_at: new Date(now - 3_600_000).toISOString(),
      last_used_at: new Date(now).toISOString(),
      current: true,
    },
    {
      id: 's2',
      created_at: new Date(now - 9 * 86_400_000).toISOString(),
      last_used_at: new Date(now - 5 * 86_400_000).toISOString(),
      current: false,
    },
  ];
  const nobody: Session = {
    state: 'signed_out',
    profile: null,
    url: null,
    email: null,
    name: null,
    admin: false,
    administers: false,
    password_ends_at: null,
    remembered: false,
  };
  let session: Session =
    scenario === 'signed-out'
      ? nobody
      : { state: scenario === 'expired' ? 'expired' : 'signed_in', ...user, ...rights, remembered: true };
  let connection: Connection =
    scenario === 'offline'
      ? { state: 'cloud_unreachable', since: new Date(now - 12 * 60_000).toISOString() }
      : { state: session.state === 'signed_in' ? 'live' : 'signed_out', since: new Date(now).toISOString() };
  let trusted: string | null = null;
  if (scenario === 'offline') rows.asOf = count === 0 ? null : connection.since;

  const failures = new Map<string, AppError>();
  const dialogs = { confirmed: true };
  const [adminCalls, admin] = mockAdmin(rows, () => dialogs.confirmed, scenario === 'empty');
  const controls: MockControls = {
    rows,
    jobs,
    admin,
    sso: {
      providers: search.has('sso') ? [{ id: 'work', name: 'Pasta Nostra' }] : [],
      opens: true,
      come(error, email = user.email) {
        if (error) waiting?.refuse({ ...refusal(error.code), ...error });
        else if (waiting) waiting.settle(enter(waiting.url, email));
        waiting = null;
      },
    },
    failNext: (call, error) => failures.set(call, { ...refusal(error.code), ...error }),
    setConnection(next) {
      connection = next;
      emit({ type: 'connection', connection });
    },
    endSession() {
      session = { ...session, state: 'expired' };
      emit({ type: 'session', session });
      controls.setConnection({ state: 'session_ended', since: new Date().toISOString() });
    },
    signInByItself() {
      session = { state: 'signed_in', ...user, ...rights, remembered: false };
      emit({ type: 'session', session });
      controls.setConnection({ state: 'live', since: new Date().toISOString() });
    },
    emit,
    dialogs,
    calls: [],
  };
  window.tillwatchMock = controls;

  if (scenario === 'demo' || scenario === 'many') playLive(rows, emitGrid, () => connection.state === 'live');
  if (scenario === 'errors') {
    for (const call of ['refresh', 'exportExcel', 'runJob', 'saveArchive', 'resetDatabase']) {
      failures.set(call, refusal(call === 'exportExcel' ? 'file_unwritable' : 'internal'));
    }
  }

  const untrusted = 'a1b2c3d4e5f60718293a4b5c6d7e8f90112233445566778899aabbccddeeff00';
  const calls: Backend = {
    ...adminCalls,
    async subscribe(listener) {
      listeners.push(listener);
      listener({ type: 'connection', connection });
    },
    appInfo: async () => ({
      version: '0.1.0',
      os: 'linux',
      debug: true,
      tray: search.get('tray') !== 'none',
    }),
    settings: async () => settings,
    async saveSettings(next) {
      settings = next;
    },
    async resetWindowLayout() {},
    session: async () => session,
    async signIn(url, email, password) {
      await pause(150);
      if (url.includes('untrusted') && trusted !== url) {
        throw refusal('certificate_untrusted', { host: new URL(url).host, sha256: untrusted });
      }
      if (url.includes('expired') && trusted !== url) {
        const params = { host: new URL(url).host, sha256: untrusted, by_date: 'true' };
        throw refusal('certificate_untrusted', params);
      }
      if (url.includes('changed') && trusted !== url) {
        const pinned = untrusted.split('').reverse().join('');
        throw refusal('certificate_changed', { host: new URL(url).host, sha256: untrusted, pinned });
      }
      if (url.includes('down')) throw refusal('cloud_unreachable');
      if (password === 'wrong') throw refusal('invalid_credentials');
      return enter(url, email);
    },
    async ssoProviders(url) {
      await pause(20);
      if (url.includes('untrusted') && trusted !== url)
        throw refusal('certificate_untrusted', { host: new URL(url).host, sha256: untrusted });
      return controls.sso.providers;
    },
    async startSso(url) {
      waiting = { settle: () => undefined, refuse: () => undefined, url };
      return {
        address: 'https://id.pastanostra.example/auth?client_id=tillwatch&state=f3a9c1d2&code_challenge=x',
        opened: controls.sso.opens,
        expires_at: new Date(Date.now() + 600_000).toISOString(),
      };
    },
    finishSso: () =>
      new Promise((settle, refuse) => {
        if (waiting) Object.assign(waiting, { settle, refuse });
      }),
    async cancelSso() {
      waiting?.refuse(refusal('sso_canceled'));
      waiting = null;
      return null;
    },
    profiles: async () => ({ items: profiles, current: session.profile }),
    async switchProfile(id) {
      await pause(50);
      const profile = profiles.find((one) => one.id === id);
      if (!profile) throw refusal('not_found');
      return show({ state: 'signed_in', ...shown(profile), ...rights, remembered: true });
    },
    async removeProfile(id) {
      profiles = profiles.filter((profile) => profile.id !== id);
      if (session.profile === id) await calls.signOut();
      personal.delete(id);
      return null;
    },
    sessions: async () => sessions,
    async endSession(id) {
      sessions = sessions.filter((one) => one.id !== id);
      return null;
    },
    async changePassword(current_password, password) {
      const refused = (field: string) =>
        refusal('invalid_request', { errors: JSON.stringify([{ field, message: 'is refused' }]) });
      if (current_password === 'wrong') throw refused('current_password');
      if (password === 'password123') throw refused('password');
      sessions = sessions.filter((one) => one.current);
      rights.password_ends_at = null;
      session = { ...session, password_ends_at: null };
      emit({ type: 'session', session });
      return null;
    },
    async trustCertificate(url) {
      trusted = url;
    },
    async signOut() {
      show(nobody);
      controls.setConnection({ state: 'signed_out', since: null });
    },
    async setQuery(query) {
      rows.query = structuredClone(query);
      rows.changed();
      return rows.summary();
    },
    summary: async () => rows.summary(),
    gridWindow: async (offset, limit) => rows.window(offset, limit),
    async setCursor(id) {
      rows.cursor = id;
    },
    row: async (id) => structuredClone(rows.rows.find((row) => row.id === id) ?? null),
    async select(op) {
      rows.select(op);
      return rows.summary();
    },
    selectedRows: async () => structuredClone(rows.rows.filter((row) => row.selected).slice(0, 1000)),
    async copySelection({ columns }) {
      const selected = rows.matching.filter((row) => row.selected);
      const zone = undefined;
      const lines = selected.map((row) =>
        columns.map(({ key }) => cellText(key, row, { now: Date.now(), zone })).join('\t'),
      );
      await navigator.clipboard.writeText(
        [columns.map(({ title }) => title).join('\t'), ...lines].join('\n'),
      );
      return selected.length;
    },
    outletOptions: async (search) => rows.options(search),
    outletOption: async (chain, outlet) => rows.option(chain, outlet),
    async refresh() {
      await pause(200);
      rows.asOf = new Date().toISOString();
      emitGrid();
    },
    requestLogs: async (ids, from, to, maxBytes, whenOffline) =>
      ids.map((id) => jobs.requestLogs(id, from, to, maxBytes, whenOffline)),
    resetDatabase: async (id, confirm, expectedGeneration, collectLogs, discardUnsent) =>
      jobs.reset(id, confirm, expectedGeneration, collectLogs, discardUnsent),
    restoreDatabase: async (id, confirm, backupId) => jobs.restore(id, confirm, backupId),
    async timeline(id, from, to) {
      await pause(120);
      const row = rows.rows.find((other) => other.id === id);
      if (!row) throw refusal('not_found');
      return { items: sampleTimeline(row, jobs.of(id), from, to), truncated: false };
    },
    async backups(id) {
      await pause(80);
      return jobs.backups(id);
    },
    runJob: async (id, kind) => jobs.run(id, kind),
    cancelJob: async (id) => jobs.cancel(id),
    jobs: async () => jobs.all(),
    saveArchive: async (archive) => (controls.dialogs.confirmed ? jobs.download(archive) : null),
    saveArchives: async (archives) =>
      controls.dialogs.confirmed ? Promise.all(archives.map((archive) => jobs.download(archive))) : null,
    viewArchives: async (archives) => viewer.open(archives),
    viewerWindow: async (id, offset, limit) => viewer.window(id, offset, limit),
    viewerFilter: async (id, filter, near) => viewer.filter(id, filter, near),
    viewerFind: async (id, text, near) => viewer.find(id, text, near),
    viewerJump: async (id, from, to) => viewer.jump(id, from, to),
    viewerEntry: async (id, place) => viewer.entry(id, place),
    closeViewer: async (id) => viewer.close(id),
    cancelDownload: async (id) => jobs.cancelDownload(id),
    showInFolder: async () => undefined,
    async exportExcel(request) {
      await pause(200);
      if (!controls.dialogs.confirmed) return null;
      return { path: `/home/mara/${request.file_name}.xlsx`, rows: rows.matching.length };
    },
  };
  return recorded(calls, controls, failures);
}

/** Writes down each call, and refuses those that were told to fail. */
function recorded(calls: Backend, controls: MockControls, failures: Map<string, AppError>): Backend {
  return new Proxy(calls, {
    get(target, name: string) {
      const call = target[name as keyof Backend] as ((...args: unknown[]) => Promise<unknown>) | undefined;
      // An `await` looks for `then`.
      if (!call) return undefined;
      return async (...args: unknown[]) => {
        controls.calls.push({ name, args });
        const failure = failures.get(name);
        failures.delete(name);
        if (failure) throw failure;
        return call(...args);
      };
    },
  });
}

/** A little life: stores sync, and now and then one falls over or recovers. */
function playLive(rows: MockRows, emit: () => void, isLive: () => boolean): void {
  let n = 0;
  setInterval(() => {
    if (!isLive() || rows.rows.length === 0) return;
    n += 1;
    const now = Date.now();
    for (let i = 0; i < 5; i += 1) {
      const row = rows.rows[(n * 31 + i * 17) % rows.rows.length];
      if (row && row.link_state === 'online' && row.error === null) {
        row.last_success_at = new Date(now).toISOString();
        row.last_report_at = row.last_success_at;
        row.revision += 1;
      }
    }
    const troubled = rows.rows[(n * 7) % rows.rows.length];
    if (troubled && n % 40 === 0) breakExchange(troubled, now, n, 0.01);
    if (troubled && n % 60 === 0) cutLink(troubled, now, 'connection_lost', 0);
    rows.asOf = new Date(now).toISOString();
    rows.changed();
    emit();
  }, 3000);
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
