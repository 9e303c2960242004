// How the two grids are used and looked at; each page gets the one of its name.
window.sides = {
  ours: () => {
    const grid = document.querySelector('[data-testid="status-grid"]');
    const search = document.querySelector('[data-testid="filter-search"]');
    const row = (index) => grid.querySelector(`[data-index="${index}"]`);
    const height = () => row(Number(grid.querySelector('[data-index]').dataset.index)).offsetHeight;
    const onScreen = () => {
      const size = height();
      const head = grid.querySelector('[role="columnheader"]').offsetHeight;
      const first = Math.floor(grid.scrollTop / size);
      const last = Math.ceil((grid.scrollTop + grid.clientHeight - head) / size);
      return [first, Math.min(last, Number(grid.ariaRowCount ?? grid.getAttribute('aria-rowcount')) - 1)];
    };
    const isFilled = () => {
      const [first, last] = onScreen();
      for (let index = first; index < last; index += 1) {
        const shown = row(index);
        if (!shown || shown.hasAttribute('aria-busy')) return false;
      }
      return true;
    };
    return {
      scroller: grid,
      rowHeight: height(),
      isFilled,
      type(text) {
        search.value = text;
        search.dispatchEvent(new InputEvent('input', { bubbles: true }));
      },
      sort(column) {
        grid.querySelector(`[data-column="${column}"]`).click();
      },
      /** Whether so many rows match, and this one is the first. */
      isShown: ({ count, first }) =>
        grid.getAttribute('aria-rowcount') === String(count + 1) &&
        (count === 0 || (row(0)?.dataset.testid === `row-${first}` && isFilled())),
      /** What is shown, for who wonders why it is not something else. */
      told: () => `${grid.getAttribute('aria-rowcount')} ${row(0)?.dataset.testid} ${grid.scrollTop}`,
      name: (id) => grid.querySelector(`[data-testid="row-${id}"] .col-name`)?.textContent.trim(),
      idsOnScreen() {
        const [first, last] = onScreen();
        return Array.from({ length: last - first }, (_, n) => row(first + n)?.dataset.testid?.slice(4));
      },
    };
  },
  peer: () => {
    const { api } = window;
    const scroller = document.querySelector('.ag-grid-viewport');
    const row = (index) => document.querySelector(`.ag-row[row-index="${index}"]`);
    return {
      scroller,
      rowHeight: 30,
      isFilled() {
        const first = Math.floor(scroller.scrollTop / 30);
        const last = Math.min(
          Math.ceil((scroller.scrollTop + scroller.clientHeight) / 30),
          api.getDisplayedRowCount(),
        );
        for (let index = first; index < last; index += 1) if (!row(index)) return false;
        return true;
      },
      type: (text) => api.setGridOption('quickFilterText', text),
      sort(column) {
        const before = api.getColumn(column).getSort();
        const sort = before === 'asc' ? 'desc' : before === 'desc' ? null : 'asc';
        api.applyColumnState({ state: [{ colId: column, sort }], defaultState: { sort: null } });
      },
      isShown: ({ count, first }) =>
        api.getDisplayedRowCount() === count && (count === 0 || row(0)?.getAttribute('row-id') === first),
      told: () => `${api.getDisplayedRowCount()} ${row(0)?.getAttribute('row-id')} ${scroller.scrollTop}`,
      /** A change as the app gets one from the core. */
      change(rows) {
        api.applyTransactionAsync({
          update: rows.map(({ id, name }) => ({ ...api.getRowNode(id).data, name })),
        });
      },
    };
  },
};
