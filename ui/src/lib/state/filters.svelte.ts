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
  /** The chains and outlets that were chosen: nobody can tell one by an id alone. */
  private known = $state.raw<OutletOption[]>([]);

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

  /** Puts a chain, an outlet, or all of them into the Organization field. */
  choose(option: OutletOption | null): void {
    if (option) this.know(option);
    this.chain = option && option.outlet_id === null ? option.chain_id : null;
    this.outlet = option?.outlet_id ?? null;
  }

  /** Reads what the chain or outlet is called that is filtered by, if one is. */
  readChosen(): void {
    const { chain_id, outlet_id } = this.query;
    if (chain_id === null && outlet_id === null) return;
    this.backend.outletOption(chain_id, outlet_id).then((option) => {
      if (option) this.know(option);
    }, this.onError);
  }

  /** The option that stands for what is chosen, when it is known. */
  option(chain: string | null, outlet: string | null): OutletOption | null {
    const isIt = (option: OutletOption) =>
      outlet === null ? option.outlet_id === null && option.chain_id === chain : option.outlet_id === outlet;
    return this.known.find(isIt) ?? null;
  }

  private know(option: OutletOption): void {
    const { chain_id, outlet_id } = option;
    const others = this.known.filter((other) => other.chain_id !== chain_id || other.outlet_id !== outlet_id);
    this.known = [option, ...others];
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
