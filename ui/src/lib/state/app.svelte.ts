// Everything the window knows, fed by the core's events.

import { createContext } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';
import type {
  AppEvent,
  AppInfo,
  Archive,
  Backend,
  ColumnSetting,
  Connection,
  Download,
  Job,
  Profile,
  Profiles,
  Row,
  Session,
  Settings,
  Viewer,
} from '../backend/types';
import { clampWidth, mergeColumns, withColumn } from '../columns';
import { isRunning } from '../jobs';
import { perform } from '../menu';
import { m } from '../paraglide/messages';
import { overwriteGetLocale } from '../paraglide/runtime';
import { Clock } from './clock.svelte';
import { Filters, noFilter } from './filters.svelte';
import { toAppError } from './errors';
import { Grid } from './grid.svelte';
import { Notices } from './notices.svelte';
import { Views } from './views.svelte';

export const [getApp, setApp] = createContext<App>();

/** How long the window stays empty at the start for the first rows' sake, in ms: they are there in some. */
const ROWS_PATIENCE = 250;

export type OpenDialog =
  | { kind: 'logs'; rows: Row[] }
  | { kind: 'reset'; row: Row }
  | { kind: 'restore'; row: Row }
  | { kind: 'password' }
  | null;

/** An archive that is looked into, its parts, and what it is called before it has told. */
export interface OpenViewer {
  viewer: Viewer;
  archives: Archive[];
  name: string;
}

export class App {
  readonly clock = new Clock();
  readonly notices = new Notices();
  readonly grid: Grid;
  readonly filters: Filters;
  readonly views = new Views(this);
  info = $state.raw<AppInfo | null>(null);
  session = $state.raw<Session | null>(null);
  profiles = $state.raw<Profiles>({ items: [], current: null });
  connection = $state.raw<Connection>({ state: 'connecting', since: null });
  settings = $state.raw<Settings>({
    language: 'system',
    theme: 'system',
    density: 'compact',
    times: 'viewer',
    notifications: true,
    close_to_tray: false,
    columns: [],
    query: null,
    views: [],
    view: null,
  });
  columns = $state.raw<ColumnSetting[]>(mergeColumns([]));
  readonly jobs = new SvelteMap<string, Job>();
  readonly downloads = new SvelteMap<string, Download>();
  /** The one selected store, for the details. */
  selectedRow = $state.raw<Row | null>(null);
  dialog = $state.raw<OpenDialog>(null);
  /** Asks who it is, over everything: somebody may have found the window open. */
  proving = $state.raw<{ answer: (proved: boolean) => void } | null>(null);
  /** Lies over everything, a dialog too. */
  viewer = $state.raw<OpenViewer | null>(null);
  settingsOpen = $state(false);
  /** The profiles: all of them to manage, or the form for another one. */
  profilesOpen = $state<'manage' | 'add' | null>(null);
  /** The administrator's page, in place of the stores. */
  adminOpen = $state(false);
  detailsOpen = $state(false);
  activityOpen = $state(false);
  columnsOpen = $state(false);
  viewsOpen = $state(false);

  locale = $derived.by((): 'en' | 'ru' => {
    if (this.settings.language !== 'system') return this.settings.language;
    return navigator.language.toLowerCase().startsWith('ru') ? 'ru' : 'en';
  });
  live = $derived(this.connection.state === 'live');
  /** Why what needs the cloud can't be done; null when it can. */
  cloudReason = $derived(this.live ? null : m.why_cloud());
  runningJobs = $derived([...this.jobs.values()].filter(isRunning));
  runningDownloads = $derived([...this.downloads.values()].filter(({ state }) => state === 'running'));

  private readingSelection = false;
  private selectionStale = false;
  private viewerTold: Viewer | null = null;
  /** What the core told while it was still asked for the first time. */
  private toldSession: Session | null = null;
  private loading: Promise<void> | null = null;
  private saving: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly backend: Backend) {
    const failed = (thrown: unknown) => this.notices.error(thrown, m.grid_label());
    const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.grid = new Grid(backend, (summary) => this.takeSummary(summary), failed, still);
    this.filters = new Filters(
      backend,
      (summary, query) => {
        this.takeSummary(summary);
        this.saveSettings({ query });
      },
      failed,
    );
    overwriteGetLocale(() => this.locale);
  }

  /** Reads everything once, then lives on events. The rows are the first thing that is asked for. */
  async start(): Promise<void> {
    const subscribed = this.backend.subscribe((event) => this.take(event));
    const [settings, session, info, profiles] = await Promise.all([
      this.backend.settings(),
      this.backend.session(),
      this.backend.appInfo(),
      this.backend.profiles(),
      subscribed,
    ]);
    this.profiles = profiles;
    this.settings = settings;
    this.columns = mergeColumns(settings.columns);
    this.info = info;
    // The grid is laid out and painted once, with its rows, if they come soon.
    await Promise.race([this.grid.settled, new Promise((resolve) => setTimeout(resolve, ROWS_PATIENCE))]);
    this.session = this.toldSession ?? session;
    if (this.session.state !== 'signed_out') await this.load();
  }

  async signIn(url: string, email: string, password: string): Promise<void> {
    await this.keepSettings();
    await this.enter(await this.backend.signIn(url, email, password));
  }

  /** Waits for what was begun in the browser. */
  async finishSso(): Promise<void> {
    const words = {
      language: this.locale,
      done: m.signin_sso_page_done(),
      failed: m.signin_sso_page_failed(),
    };
    await this.keepSettings();
    await this.enter(await this.backend.finishSso(words));
  }

  async switchProfile(profile: Profile): Promise<void> {
    try {
      await this.keepSettings();
      const session = await this.backend.switchProfile(profile.id);
      this.take({ type: 'session', session });
      this.profiles = await this.backend.profiles();
    } catch (thrown) {
      this.notices.error(thrown, m.profile_switch());
    }
  }

  async removeProfile(profile: Profile): Promise<void> {
    await this.keepSettings();
    await this.backend.removeProfile(profile.id);
    this.take({ type: 'session', session: await this.backend.session() });
    this.profiles = await this.backend.profiles();
  }

  /**
   * Does what the cloud lets only those do who signed in a moment ago, and has the user sign in again when it asks for
   * that. Fails as the cloud refused when they do not, or come back as somebody else.
   */
  async proved<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (thrown) {
      if (toAppError(thrown).code !== 'reauthentication_required') throw thrown;
      const before = this.session?.profile;
      const proved = await new Promise<boolean>((answer) => (this.proving = { answer }));
      this.proving = null;
      if (!proved || this.session?.profile !== before) throw thrown;
      return act();
    }
  }

  private async enter(session: Session): Promise<void> {
    this.take({ type: 'session', session });
    if (this.proving) return this.proving.answer(true);
    this.profilesOpen = null;
    if (!session.remembered) this.notices.info(m.signin_not_remembered());
    if (session.password_ends_at) this.dialog = { kind: 'password' };
    this.profiles = await this.backend.profiles();
    await this.load();
  }

  async signOut(): Promise<void> {
    try {
      await this.keepSettings();
      await this.backend.signOut();
      this.take({ type: 'session', session: await this.backend.session() });
      this.profiles = await this.backend.profiles();
    } catch (thrown) {
      this.notices.error(thrown, m.sign_out());
    }
  }

  async refresh(): Promise<void> {
    try {
      await this.backend.refresh();
    } catch (thrown) {
      this.notices.error(thrown, m.action_refresh());
    }
  }

  saveSettings(change: Partial<Settings>): void {
    this.settings = { ...this.settings, ...change };
    clearTimeout(this.saving);
    this.saving = setTimeout(() => void this.saveNow(), 300);
  }

  /** Before another profile is shown: what waits to be kept is this one's. */
  private async keepSettings(): Promise<void> {
    if (this.saving !== undefined) await this.saveNow();
  }

  private async saveNow(): Promise<void> {
    clearTimeout(this.saving);
    this.saving = undefined;
    try {
      await this.backend.saveSettings(this.settings);
    } catch (thrown) {
      this.notices.error(thrown, m.settings());
    }
  }

  setColumns(columns: ColumnSetting[]): void {
    this.columns = columns;
    this.saveSettings({ columns });
  }

  resizeColumn(key: string, width: number): void {
    this.setColumns(withColumn(this.columns, key, { width: clampWidth(width) }));
  }

  /** Puts window and columns back to what they were at the first start. */
  async resetLayout(): Promise<void> {
    try {
      await this.backend.resetWindowLayout();
      this.columns = mergeColumns([]);
      this.saveSettings({ columns: [] });
      this.notices.info(m.settings_reset_layout_done());
    } catch (thrown) {
      this.notices.error(thrown, m.settings_reset_layout());
    }
  }

  /** The zone in which times of this store are written. */
  zone(row: { time_zone: string }): string | undefined {
    return this.settings.times === 'outlet' ? row.time_zone : undefined;
  }

  jobsOf(posServerId: string): Job[] {
    return [...this.jobs.values()]
      .filter((job) => job.pos_server_id === posServerId)
      .sort((a, b) => b.requested_at.localeCompare(a.requested_at));
  }

  async openLogs(rows?: Row[]): Promise<void> {
    try {
      if (!rows) await this.grid.chosen;
      const chosen = rows ?? (await this.backend.selectedRows());
      if (chosen.length > 0) this.dialog = { kind: 'logs', rows: chosen };
    } catch (thrown) {
      this.notices.error(thrown, m.action_retrieve_logs());
    }
  }

  /** For a store, or the one that is selected; read anew, so that the dialog speaks of its present database. */
  async openReset(id?: string): Promise<void> {
    try {
      await this.grid.chosen;
      const [row, another] = id ? [await this.backend.row(id)] : await this.backend.selectedRows();
      if (row && !another) this.dialog = { kind: 'reset', row };
    } catch (thrown) {
      this.notices.error(thrown, m.action_reset_database());
    }
  }

  async openRestore(id: string): Promise<void> {
    try {
      const row = await this.backend.row(id);
      if (row) this.dialog = { kind: 'restore', row };
    } catch (thrown) {
      this.notices.error(thrown, m.action_restore_database());
    }
  }

  /** What was told of it before it was asked about is not lost. */
  showViewer(open: OpenViewer): void {
    const told = this.viewerTold?.id === open.viewer.id ? this.viewerTold : open.viewer;
    this.viewer = { ...open, viewer: told };
  }

  closeViewer(): void {
    if (!this.viewer) return;
    const { id } = this.viewer.viewer;
    this.viewer = null;
    this.backend.closeViewer(id).catch((thrown) => this.notices.error(thrown, m.close()));
  }

  /** Reads what a session shows; asked twice at the same time it does so once. */
  private load(): Promise<void> {
    this.loading ??= this.read().finally(() => (this.loading = null));
    return this.loading;
  }

  private async read(): Promise<void> {
    const [summary, jobs, settings] = await Promise.all([
      this.backend.summary(),
      this.backend.jobs(),
      this.backend.settings(),
    ]);
    // Each user has filters and views of their own.
    if (this.saving === undefined) this.settings = settings;
    for (const job of jobs) this.jobs.set(job.id, job);
    this.takeSummary(summary);
    await this.filters.restore(this.settings.query ?? noFilter);
  }

  private take(event: AppEvent): void {
    switch (event.type) {
      case 'grid':
        return this.takeSummary(event.summary, event.changes, event.cursor);
      case 'clock':
        this.clock.set(event.ahead_seconds);
        return;
      case 'connection':
        this.connection = event.connection;
        return;
      case 'job':
        this.jobs.set(event.job.id, event.job);
        return;
      case 'download':
        this.downloads.set(event.download.id, event.download);
        return;
      case 'viewer':
        this.viewerTold = event.viewer;
        if (this.viewer?.viewer.id === event.viewer.id)
          this.viewer = { ...this.viewer, viewer: event.viewer };
        return;
      case 'session': {
        const before = this.session;
        const { session } = event;
        if (!before) {
          // In which language and colours it is shown is not known yet.
          this.toldSession = session;
          return;
        }
        this.session = session;
        const another = before?.profile !== session.profile && before?.profile != null;
        if (another || session.state === 'signed_out') this.forget();
        if (!session.administers) this.adminOpen = false;
        // The core may sign in by itself; rows of before are there when a profile's session has ended.
        if (session.state !== 'signed_out' && (another || before?.state === 'signed_out')) {
          this.load().catch((thrown) => this.notices.error(thrown, m.signin_title()));
        } else if (session.state === 'signed_in' && before?.state !== 'signed_in') {
          this.load().catch((thrown) => this.notices.error(thrown, m.signin_title()));
        }
        return;
      }
      case 'notice':
        return this.notices.error(event.error, m.app_name());
      case 'menu':
        return perform(this, event.action);
    }
  }

  /** What was on screen of a profile that is not shown any more. */
  private forget(): void {
    this.proving?.answer(false);
    this.jobs.clear();
    this.downloads.clear();
    this.dialog = null;
    this.viewer = null;
    this.detailsOpen = false;
    this.activityOpen = false;
    this.adminOpen = false;
    this.loading = null;
    // What was not kept in time must not become the next profile's.
    clearTimeout(this.saving);
    this.saving = undefined;
  }

  private takeSummary(...told: Parameters<Grid['update']>): void {
    const [summary] = told;
    const before = this.grid.summary;
    this.grid.update(...told);
    if (summary.total !== before.total) this.filters.readChosen();
    void this.readSelection();
  }

  /** Keeps the details true: one read at a time, the last state wins. */
  async readSelection(): Promise<void> {
    this.selectionStale = true;
    if (this.readingSelection) return;
    this.readingSelection = true;
    try {
      while (this.selectionStale) {
        this.selectionStale = false;
        if (this.grid.summary.selected !== 1) {
          this.selectedRow = null;
          continue;
        }
        const [row] = await this.backend.selectedRows();
        this.selectedRow = row ?? null;
      }
    } catch (thrown) {
      this.notices.error(thrown, m.details_label());
    } finally {
      this.readingSelection = false;
    }
  }
}
