// The filters: what is typed (the draft), what is on (the query), and the chips that tell.

import type { Backend, GridQuery, GridSummary, OutletOption, Only, Sort } from '../backend/types';
import { fromIso, readPeriodValue, toIso, type Unit } from '../format/period';

export const noFilter: GridQuery = {
  chain_id: null,
  outlet_id: null,
  within: null,
  problems_only: false,
  search: '',
  only: null,
  sort: [],
};

export type ChipKind = 'organization' | 'period' | 'problems' | 'search' | 'only';

export class Filters {
  /** What the core filters by. */
  query = $state.raw<GridQuery>(noFilter);
  /** The chains and outlets there are; read when somebody asks for one, as there may be very many. */
  options = $state.raw<OutletOption[]>([]);

  chain = $state<string | null>(null);
  outlet = $state<string | null>(null);
  value = $state('');
  unit = $state<Unit>('hours');
  problems = $state(false);
  search = $state('');

  /** The number in the period field can't be used. */
  invalid = $derived(readPeriodValue(this.value) === 'invalid');
  /** Something was changed that Search has not applied yet. */
  dirty = $derived.by(() => {
    const draft = this.draft();
    const { query } = this;
    return (
      draft.chain_id !== query.chain_id ||
      draft.outlet_id !== query.outlet_id ||
      draft.within !== query.within ||
      draft.problems_only !== query.problems_only
    );
  });
  chips = $derived.by(() => {
    const chips: ChipKind[] = [];
    if (this.query.chain_id !== null || this.query.outlet_id !== null) chips.push('organization');
    if (this.query.within !== null) chips.push('period');
    if (this.query.problems_only) chips.push('problems');
    if (this.query.search.trim() !== '') chips.push('search');
    if (this.query.only !== null) chips.push('only');
    return chips;
  });

  private wanted: GridQuery | null = null;
  private running: Promise<void> | null = null;

  constructor(
    private readonly backend: Backend,
    private readonly onApplied: (summary: GridSummary, query: GridQuery) => void,
    private readonly onError: (thrown: unknown) => void,
  ) {}

  /** What the fields say; an unusable number leaves the period as it is. */
  draft(): GridQuery {
    const value = readPeriodValue(this.value);
    return {
      ...this.query,
      chain_id: this.chain,
      outlet_id: this.outlet,
      within: value === 'invalid' ? this.query.within : value === null ? null : toIso(value, this.unit),
      problems_only: this.problems,
      search: this.search,
    };
  }

  /** The Search button. */
  apply(): Promise<void> {
    return this.set(this.draft());
  }

  typeSearch(text: string): void {
    this.search = text;
    void this.set({ ...this.query, search: text });
  }

  toggleOnly(only: Only | null): void {
    void this.set({ ...this.query, only: this.query.only === only ? null : only });
  }

  sort(sort: Sort[]): void {
    void this.set({ ...this.query, sort });
  }

  clear(): Promise<void> {
    return this.restore({ ...noFilter, sort: this.query.sort });
  }

  remove(chip: ChipKind): void {
    const without: Record<ChipKind, Partial<GridQuery>> = {
      organization: { chain_id: null, outlet_id: null },
      period: { within: null },
      problems: { problems_only: false },
      search: { search: '' },
      only: { only: null },
    };
    void this.restore({ ...this.query, ...without[chip] });
  }

  /** Puts a query into the fields and applies it. */
  restore(query: GridQuery): Promise<void> {
    const period = query.within === null ? null : fromIso(query.within);
    this.chain = query.chain_id;
    this.outlet = query.outlet_id;
    this.value = period ? String(period.value) : '';
    if (period) this.unit = period.unit;
    this.problems = query.problems_only;
    this.search = query.search;
    const applied = this.set(query);
    this.readChosen();
    return applied;
  }

  /** What is filtered by has a name among the options; nobody can tell it by an id alone. */
  readChosen(): void {
    if (this.query.chain_id !== null || this.query.outlet_id !== null) void this.readOptions();
  }

  async readOptions(): Promise<void> {
    try {
      this.options = await this.backend.outletOptions();
    } catch (thrown) {
      this.onError(thrown);
    }
  }

  /** The option that stands for what is chosen, when it is known. */
  option(chain: string | null, outlet: string | null): OutletOption | null {
    if (outlet !== null) return this.options.find((option) => option.outlet_id === outlet) ?? null;
    if (chain === null) return null;
    return this.options.find((option) => option.chain_id === chain && option.outlet_id === null) ?? null;
  }

  /** One call at a time; of what is asked meanwhile only the last counts. */
  private set(query: GridQuery): Promise<void> {
    this.query = query;
    this.wanted = query;
    this.running ??= this.run().finally(() => (this.running = null));
    return this.running;
  }

  private async run(): Promise<void> {
    while (this.wanted !== null) {
      const query = this.wanted;
      this.wanted = null;
      try {
        this.onApplied(await this.backend.setQuery(query), query);
      } catch (thrown) {
        this.onError(thrown);
      }
    }
  }
}
