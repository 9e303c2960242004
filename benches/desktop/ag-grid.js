// AG Grid Community with all rows in the page, as its documentation has them: the columns that the app shows at
// first, the quick filter over texts with its cache on, transactions for changes.
/* global agGrid */

const text = { getQuickFilterText: ({ value }) => value ?? '' };
const other = { getQuickFilterText: () => '' };
const ago = ({ value }) => {
  if (!value) return 'never';
  const minutes = Math.trunc((Date.now() - Date.parse(value)) / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${minutes} min ago`;
  return minutes < 1440 ? `${Math.trunc(minutes / 60)} hr ago` : new Date(value).toLocaleDateString('en-GB');
};
const version = (a, b) => {
  const [x, y] = [a, b].map((value) => (value ?? '').split('.').map(Number));
  for (let i = 0; i < 4; i += 1) if ((x[i] ?? 0) !== (y[i] ?? 0)) return (x[i] ?? 0) - (y[i] ?? 0);
  return 0;
};

const columnDefs = [
  { field: 'link', width: 150, ...other },
  { field: 'organization', width: 220, ...text },
  { field: 'chain', width: 124, ...text },
  { field: 'crm_id', width: 82, ...text },
  { field: 'name', width: 104, ...text },
  { field: 'pos_version', width: 118, comparator: version, ...text },
  { field: 'version_updated_at', width: 118, valueFormatter: ago, ...other },
  { field: 'last_success_at', width: 148, valueFormatter: ago, ...other },
  { field: 'error', width: 236, ...text },
  { field: 'behind', width: 150, ...other },
  { field: 'offline', width: 216, ...other },
  { field: 'active_job', width: 150, ...other },
  // The app's quick search looks in these as well, though they are not shown at first.
  { field: 'address', hide: true, ...text },
  { field: 'required_version', hide: true, ...text },
  { field: 'connector_version', hide: true, ...text },
];

const flat = (status) => ({
  id: status.id,
  link: status.link.state,
  organization: status.outlet.name,
  chain: status.chain.name,
  crm_id: status.outlet.crm_id,
  name: status.name,
  pos_version: status.pos.version,
  version_updated_at: status.pos.version_updated_at,
  last_success_at: status.exchange.last_success_at,
  error: status.exchange.error && `${status.exchange.error.code} ${status.exchange.error.message}`,
  behind: status.exchange.behind.changes,
  offline: status.link.state === 'offline' ? status.link.since : null,
  active_job: '',
  address: status.outlet.address,
  required_version: status.pos.required_version,
  connector_version: status.link.connector_version,
  highlight: status.highlight,
});

fetch('statuses.json')
  .then((answer) => answer.json())
  .then((statuses) => {
    window.api = agGrid.createGrid(document.getElementById('grid'), {
      columnDefs,
      rowData: statuses.map(flat),
      getRowId: ({ data }) => data.id,
      cacheQuickFilter: true,
      includeHiddenColumnsInQuickFilter: true,
      rowHeight: 30,
      rowSelection: {
        mode: 'multiRow',
        checkboxes: false,
        headerCheckbox: false,
        enableClickSelection: true,
      },
      getRowStyle: ({ data }) => (data.highlight === 'error' ? { background: '#fde6e3' } : undefined),
      asyncTransactionWaitMillis: 50,
      onFirstDataRendered: () => (window.ready = true),
    });
  });
