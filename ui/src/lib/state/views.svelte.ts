// Saved views: filters, order and columns under a name.

import type { ColumnSetting, GridQuery, SavedView, Settings } from '../backend/types';
import { mergeColumns } from '../columns';
import type { Filters } from './filters.svelte';

/** The longest name that the core keeps. */
export const LONGEST_NAME = 60;
export const MOST_VIEWS = 100;

/** What views are made of and applied to. */
interface Shown {
  settings: Settings;
  columns: ColumnSetting[];
  filters: Filters;
  setColumns(columns: ColumnSetting[]): void;
  saveSettings(change: Partial<Settings>): void;
}

export type NameProblem = 'empty' | 'taken';

export class Views {
  constructor(private readonly app: Shown) {}

  get list(): SavedView[] {
    return this.app.settings.views;
  }

  /** The one that was applied last. */
  get current(): SavedView | null {
    return this.list.find(({ name }) => name === this.app.settings.view) ?? null;
  }

  /** The grid shows something else than the view says. */
  get changed(): boolean {
    const view = this.current;
    return (
      view !== null && written(view.query, view.columns) !== written(this.app.filters.query, this.app.columns)
    );
  }

  async apply(view: SavedView): Promise<void> {
    this.app.setColumns(mergeColumns(view.columns));
    this.app.saveSettings({ view: view.name });
    await this.app.filters.restore(view.query);
  }

  /** Why a name can't be had; null when it can. `own` is the name of the view that is renamed. */
  problem(name: string, own: string | null = null): NameProblem | null {
    const plain = (text: string) => text.trim().toLowerCase();
    if (plain(name) === '') return 'empty';
    return this.list.some((view) => view.name !== own && plain(view.name) === plain(name)) ? 'taken' : null;
  }

  save(name: string): void {
    const view = { name: name.trim(), ...this.shown() };
    const views = [...this.list, view].sort((a, b) => a.name.localeCompare(b.name));
    this.app.saveSettings({ views, view: view.name });
  }

  /** What the grid shows takes the place of what the view says. */
  update(): void {
    const { current } = this;
    if (current) this.replace(current, { ...current, ...this.shown() });
  }

  rename(view: SavedView, name: string): void {
    this.replace(view, { ...view, name: name.trim() });
  }

  /** The grid stays as it is. */
  remove(view: SavedView): void {
    const { settings } = this.app;
    this.app.saveSettings({
      views: settings.views.filter((other) => other !== view),
      view: settings.view === view.name ? null : settings.view,
    });
  }

  private shown(): Pick<SavedView, 'query' | 'columns'> {
    return { query: this.app.filters.query, columns: this.app.columns };
  }

  private replace(view: SavedView, by: SavedView): void {
    const { settings } = this.app;
    this.app.saveSettings({
      views: settings.views
        .map((other) => (other === view ? by : other))
        .sort((a, b) => a.name.localeCompare(b.name)),
      view: settings.view === view.name ? by.name : settings.view,
    });
  }
}

/** The same text for what looks the same. */
function written(query: GridQuery, columns: readonly ColumnSetting[]): string {
  const { chain_id, outlet_id, within, problems_only, search, only, sort } = query;
  return JSON.stringify([
    [chain_id, outlet_id, within, problems_only, search.trim(), only],
    sort.map(({ column, descending }) => [column, descending]),
    mergeColumns(columns).map(({ key, width, visible, pinned }) => [key, width, visible, pinned]),
  ]);
}
