// What the Rust core does with rows, in small: filter, sort, window, selection.

import { isoToMilliseconds } from '../format/period';
import { compareVersions } from '../format/version';
import type {
  AppEvent,
  GridQuery,
  GridSummary,
  GridWindow,
  OutletOption,
  OutletOptions,
  Row,
  SelectOp,
} from './types';

/** How many choices of the Organization field are offered at a time. */
const OFFERED = 100;

const text = new Intl.Collator('en', { sensitivity: 'base', numeric: true });

function sortValue(row: Row, column: string): string | number | null {
  const time = (at: string | null) => (at === null ? null : Date.parse(at));
  switch (column) {
    case 'link':
      return row.link_state;
    case 'version_updated_at':
      return time(row.version_updated_at);
    case 'last_report_at':
      return time(row.last_report_at);
    case 'last_success_at':
      return time(row.last_success_at);
    case 'error':
      return row.error?.code ?? null;
    case 'behind':
      return row.behind_changes;
    case 'offline':
      return row.link_state === 'offline' ? time(row.link_since) : null;
    case 'database':
      return time(row.db_created_at);
    case 'active_job':
      return row.active_jobs[0]?.kind ?? null;
    default:
      return (row as unknown as Record<string, string | number | null>)[column] ?? null;
  }
}

function compare(a: Row, b: Row, query: GridQuery): number {
  for (const { column, descending } of query.sort) {
    const [x, y] = [sortValue(a, column), sortValue(b, column)];
    if (x === null || y === null) {
      if (x === y) continue;
      return x === null ? 1 : -1;
    }
    const order = column.endsWith('_version')
      ? compareVersions(String(x), String(y))
      : typeof x === 'number' && typeof y === 'number'
        ? x - y
        : text.compare(String(x), String(y));
    if (order !== 0) return descending ? -order : order;
  }
  return a.id < b.id ? -1 : 1;
}

const haystack = (row: Row) =>
  [row.organization, row.chain, row.crm_id, row.address, row.name, row.pos_version, row.error?.code]
    .concat(row.error?.message, row.connector_version)
    .join('\n')
    .toLowerCase();

export class MockRows {
  rows: Row[];
  loaded = true;
  asOf: string | null;
  query: GridQuery = {
    chain_id: null,
    outlet_id: null,
    within: null,
    problems_only: false,
    search: '',
    only: null,
    sort: [],
  };
  matching: Row[] = [];
  version = 1;
  cursor: string | null = null;
  private anchor: string | null = null;
  /** What was asked for last, and each row of it as it was told. */
  private watched: { offset: number; limit: number; version: number; told: string[] } | null = null;
  private readonly texts = new Map<string, string>();

  constructor(rows: Row[]) {
    this.rows = rows;
    this.asOf = new Date().toISOString();
    this.changed();
  }

  changed(): void {
    const { query } = this;
    const now = Date.now();
    const within = query.within === null ? null : isoToMilliseconds(query.within);
    const needle = query.search.trim().toLowerCase();
    this.matching = this.rows.filter((row) => {
      if (query.chain_id !== null && row.chain_id !== query.chain_id) return false;
      if (query.outlet_id !== null && row.outlet_id !== query.outlet_id) return false;
      if (within !== null && (!row.last_report_at || now - Date.parse(row.last_report_at) > within))
        return false;
      const well = row.highlight === 'none' && row.link_state === 'online' && row.pos_state === 'running';
      if (query.problems_only && well) return false;
      if (query.only !== null && !only[query.only](row)) return false;
      if (needle !== '') {
        let hay = this.texts.get(row.id);
        if (hay === undefined) this.texts.set(row.id, (hay = haystack(row)));
        if (!hay.includes(needle)) return false;
      }
      return true;
    });
    this.matching.sort((a, b) => compare(a, b, query));
    this.version += 1;
  }

  summary(): GridSummary {
    const count = (test: (row: Row) => boolean) => this.rows.reduce((n, row) => n + (test(row) ? 1 : 0), 0);
    return {
      version: this.version,
      total: this.rows.length,
      matching: this.matching.length,
      selected: count((row) => row.selected),
      errors: count(only.error),
      update_required: count(only.update_required),
      offline: count(only.offline),
      unknown: count(only.unknown),
      as_of: this.asOf,
      loaded: this.loaded,
    };
  }

  window(offset: number, limit: number): GridWindow {
    const rows = structuredClone(this.matching.slice(offset, offset + limit));
    const told = rows.map((row) => JSON.stringify(row));
    this.watched = { offset, limit, version: this.version, told };
    return { version: this.version, offset, rows };
  }

  /** What the core says when rows have changed. */
  event(): AppEvent {
    const { cursor, watched } = this;
    const at = this.matching.findIndex((row) => row.id === cursor);
    const event: AppEvent = {
      type: 'grid',
      summary: this.summary(),
      changes: null,
      cursor: cursor === null ? null : { id: cursor, index: at < 0 ? null : at },
    };
    if (!watched) return event;
    const { offset, limit, version: since, told } = watched;
    const now = this.matching.slice(offset, offset + limit);
    const rows = now.flatMap((row, i) =>
      JSON.stringify(row) === told[i] ? [] : [{ index: offset + i, row: structuredClone(row) }],
    );
    this.watched = { offset, limit, version: this.version, told: now.map((row) => JSON.stringify(row)) };
    return { ...event, changes: { since, offset, limit, rows } };
  }

  select(op: SelectOp): void {
    const clear = () => this.rows.forEach((row) => (row.selected = false));
    const at = (index: number) => this.matching[index];
    if (op.op !== 'toggle' && !(op.op === 'extend' && op.keep)) clear();
    if (op.op === 'only' || op.op === 'toggle') this.anchor = at(op.index)?.id ?? null;
    if (op.op === 'only') {
      const row = at(op.index);
      if (row) row.selected = true;
    } else if (op.op === 'toggle') {
      const row = at(op.index);
      if (row) row.selected = !row.selected;
    } else if (op.op === 'extend') {
      const found = this.matching.findIndex((row) => row.id === this.anchor);
      const anchor = found < 0 ? op.index : found;
      const [from, to] = [Math.min(anchor, op.index), Math.max(anchor, op.index)];
      for (const row of this.matching.slice(from, to + 1)) row.selected = true;
    } else if (op.op === 'all') {
      for (const row of this.matching) row.selected = true;
    }
    this.version += 1;
  }

  options(search: string): OutletOptions {
    const needle = search.trim().toLowerCase();
    const label = (option: OutletOption) => (option.organization ?? option.chain).toLowerCase();
    const rank = (option: OutletOption) =>
      needle === '' || label(option) === needle ? 0 : label(option).startsWith(needle) ? 1 : 2;
    const found = this.allOptions().filter((option) =>
      `${option.organization ?? ''}\n${option.chain}`.toLowerCase().includes(needle),
    );
    found.sort((a, b) => rank(a) - rank(b));
    return { items: found.slice(0, OFFERED), matching: found.length };
  }

  option(chain: string | null, outlet: string | null): OutletOption | null {
    const isIt = (option: OutletOption) =>
      outlet === null ? option.outlet_id === null && option.chain_id === chain : option.outlet_id === outlet;
    return this.allOptions().find(isIt) ?? null;
  }

  private allOptions(): OutletOption[] {
    const chains = new Map<string, OutletOption>();
    const outlets = new Map<string, OutletOption>();
    for (const row of this.rows) {
      const chain = chains.get(row.chain_id) ?? {
        chain_id: row.chain_id,
        chain: row.chain,
        outlet_id: null,
        organization: null,
        count: 0,
      };
      chain.count += 1;
      chains.set(row.chain_id, chain);
      const outlet = outlets.get(row.outlet_id) ?? {
        ...chain,
        outlet_id: row.outlet_id,
        organization: row.organization,
        count: 0,
      };
      outlet.count += 1;
      outlets.set(row.outlet_id, outlet);
    }
    const byName = (a: OutletOption, b: OutletOption) =>
      text.compare(a.chain, b.chain) || text.compare(a.organization ?? '', b.organization ?? '');
    return [...chains.values(), ...outlets.values()].sort(byName);
  }
}

const only: Record<NonNullable<GridQuery['only']>, (row: Row) => boolean> = {
  error: (row) => row.highlight === 'error',
  update_required: (row) => row.update_required,
  offline: (row) => row.link_state === 'offline',
  unknown: (row) => row.link_state === 'unknown',
};
