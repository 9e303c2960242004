// As much of a cloud as the desktop needs, with as many stores as wanted, all in memory: the desktop is what is measured.
import http from 'node:http';

const LIMIT = 1000;
const towns = ['Riga', 'Jelgava', 'Liepāja', 'Tallinn', 'Vilnius', 'Kraków', 'Lisboa', 'München', 'Tbilisi'];
const places = [
  'Centrs',
  'Old Town',
  'Station',
  'Harbour',
  'Airport',
  'Park',
  'Market',
  'Mall',
  'University',
];
const chains = ['Pasta Nostra', 'Kafe Kometa', 'Burger Bērzs', 'Sushi Sēta', 'Bakery & Sons'];
const codes = ['database_inconsistent', 'cloud_unreachable', 'disk_full', 'server_error'];

const id = (kind, n) => `01930000-000${kind}-7000-8000-${n.toString(16).padStart(12, '0')}`;

/** Store `n` of the fleet, the same each time. */
export function status(n, now) {
  const at = (secondsAgo) => new Date(now - secondsAgo * 1000).toISOString();
  // Spread so that no column is in the order of another.
  const mixed = (n * 7919) % 100_003;
  const town = towns[n % towns.length];
  const chain = Math.floor(n / 7) % chains.length;
  const failed = n % 61 === 0;
  const outdated = n % 24 === 9;
  const offline = n % 53 === 2;
  return {
    id: id(1, n),
    name: `POS ${1 + (n % 3)}`,
    revision: n + 1,
    chain: { id: id(2, chain), name: chains[chain] },
    outlet: {
      id: id(3, n),
      name: `${town} ${places[mixed % places.length]} ${mixed}`,
      crm_id: String(10_000 + n).padStart(6, '0'),
      address: `Main Street ${1 + (mixed % 180)}, ${town}`,
      time_zone: 'Europe/Riga',
    },
    link: {
      state: offline ? 'offline' : 'online',
      since: at(mixed * 7),
      last_seen_at: at(mixed % 60),
      connector_version: '0.1.0',
      cause: offline ? 'connection_lost' : null,
      confidence: offline ? 'likely' : null,
      evidence: [],
    },
    pos: {
      state: offline ? 'unknown' : 'running',
      version: outdated ? '34.5.2' : `34.6.${mixed % 40}`,
      version_updated_at: at(86_400 + mixed * 30),
      required_version: '34.6.0',
      update_required: outdated,
    },
    exchange: {
      last_success_at: at(mixed * 3 + 1),
      last_attempt_at: at(mixed % 60),
      error: failed
        ? {
            code: codes[n % 4],
            message: 'connect timed out after 10 s',
            since: at(mixed),
            consecutive_failures: 5,
          }
        : null,
      behind: { changes: failed ? 12 : 0, oldest_at: failed ? at(mixed) : null },
    },
    database: {
      generation: 1 + (n % 4),
      created_at: at(86_400 * 30 + mixed),
      size_bytes: 4096 * (1 + mixed),
      unsent_transactions: 0,
    },
    last_report_at: at(mixed % 60),
    highlight: failed ? 'error' : outdated ? 'update_required' : 'none',
    active_jobs: [],
  };
}

/** Serves `count` stores on a port of its own. */
export async function startCloud(count, port = 0) {
  const now = Date.now();
  const statuses = Array.from({ length: count }, (_, n) => status(n, now));
  const streams = new Set();
  let revision = count;
  const user = { id: id(9, 1), email: 'bench@example.com', name: 'Bench', admin: true };
  const me = {
    user,
    everywhere: ['outlet_setup', 'retrieve_logs', 'reset_database'],
    chains: [],
    outlets: [],
  };
  const tokens = () => ({
    access_token: 'access',
    refresh_token: 'refresh',
    expires_at: new Date(Date.now() + 3_600_000).toISOString(),
    user,
  });
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    const json = (body, code = 200, type = 'application/json') => {
      response.writeHead(code, { 'content-type': type });
      response.end(JSON.stringify(body));
    };
    request.resume();
    const path = pathname.replace('/api/v1', '');
    if (path.startsWith('/sessions')) return json(tokens());
    if (request.headers.authorization !== 'Bearer access') {
      const problem = { code: 'unauthorized', title: 't', detail: 'd', status: 401, request_id: 'r' };
      return json(problem, 401, 'application/problem+json');
    }
    if (path === '/me') return json(me);
    if (path === '/jobs') return json({ items: [], next_cursor: null });
    if (path === '/pos-servers') {
      const start = Number(searchParams.get('cursor') ?? 0);
      const end = Math.min(start + LIMIT, count);
      return json({
        items: statuses.slice(start, end),
        next_cursor: end < count ? String(end) : null,
        as_of: new Date().toISOString(),
        revision,
      });
    }
    if (path === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      streams.add(response);
      response.on('close', () => streams.delete(response));
      return undefined;
    }
    return json(
      { code: 'not_found', title: 't', detail: 'd', status: 404, request_id: 'r' },
      404,
      'application/problem+json',
    );
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    port: server.address().port,
    statuses,
    /** Whether the desktop follows. */
    isFollowed: () => streams.size > 0,
    /** Changes stores, each by `change`, and tells who follows. */
    tell(numbers, change) {
      let frames = '';
      for (const n of numbers) {
        revision += 1;
        statuses[n] = { ...change(statuses[n]), revision };
        frames += `event: status\nid: ${revision}\ndata: ${JSON.stringify(statuses[n])}\n\n`;
      }
      for (const stream of streams) stream.write(frames);
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
