// Administration of the mock backend: chains, outlets and POS servers of the sample rows, users, the audit trail.

import { refusal } from './mock';
import type { MockRows } from './mock-rows';
import type {
  AdminChain,
  AdminOutlet,
  AdminPosServer,
  AdminQuery,
  AdminUser,
  AuditEntry,
  Backend,
  Grant,
  ImportPreview,
  StoreDevice,
  UserSession,
} from './types';

const day = 24 * 3600_000;
let counter = 0;
const newId = () => `01930000-00ff-7000-8000-${(counter += 1).toString(16).padStart(12, '0')}`;
const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
const ahead = (ms: number) => new Date(Date.now() + ms).toISOString();

const importLines = [
  ['Pasta Nostra', 'Sigulda', '010901', 'Pils iela 3, Sigulda', 'Europe/Riga', 'Main POS'],
  ['Pasta Nostra', 'Sigulda', '010901', 'Pils iela 3, Sigulda', 'Europe/Riga', 'Bar'],
  ['Pasta Nostra', 'Cēsis', '010902', 'Rīgas iela 12, Cēsis', 'Europe/Riga', 'Main POS'],
] as const;

type Calls = Pick<
  Backend,
  | 'adminChains'
  | 'addChain'
  | 'renameChain'
  | 'deleteChain'
  | 'requireVersion'
  | 'adminOutlets'
  | 'addOutlet'
  | 'editOutlet'
  | 'deleteOutlet'
  | 'readImport'
  | 'importOutlets'
  | 'adminPosServers'
  | 'addPosServer'
  | 'renamePosServer'
  | 'removePosServer'
  | 'makeEnrollmentCode'
  | 'revokeEnrollmentCode'
  | 'storeDevices'
  | 'revokeDevice'
  | 'users'
  | 'addUser'
  | 'editUser'
  | 'deleteUser'
  | 'resetPassword'
  | 'unlockUser'
  | 'userSessions'
  | 'endUserSessions'
  | 'grants'
  | 'addGrant'
  | 'removeGrant'
  | 'audit'
>;

/** What tests change of it. */
export interface MockAdmin {
  /** What the file that is chosen next holds. */
  preview: ImportPreview;
  users: AdminUser[];
}

export const goodImport = (): ImportPreview => ({
  file_name: 'outlets.csv',
  chains: 1,
  outlets: 2,
  pos_servers: 3,
  lines: importLines.map(([chain, name, crm_id, address, time_zone, pos_server], i) => ({
    number: i + 2,
    chain,
    name,
    crm_id,
    address,
    time_zone,
    pos_server,
  })),
  faults: [],
});

export const badImport = (): ImportPreview => ({
  file_name: 'outlets.csv',
  chains: 0,
  outlets: 0,
  pos_servers: 0,
  lines: [],
  faults: [
    {
      line: 3,
      code: 'time_zone',
      params: { name: 'Mars/Base' },
      message: '`Mars/Base` is not a known time zone',
    },
    { line: 7, code: 'text_empty', params: { column: 'outlet' }, message: 'outlet is empty' },
    { line: 9, code: 'repeated', params: { line: '8' }, message: 'the same POS server as in line 8' },
    { line: 12, code: 'invented_later', params: {}, message: 'a reason of a newer cloud' },
  ],
});

export function mockAdmin(rows: MockRows, confirmed: () => boolean, isEmpty: boolean): [Calls, MockAdmin] {
  const chains = new Map<string, AdminChain>();
  const outlets = new Map<string, AdminOutlet>();
  const servers = new Map<string, AdminPosServer>();
  for (const row of rows.rows) {
    const chain = chains.get(row.chain_id) ?? {
      id: row.chain_id,
      name: row.chain,
      required_version: row.required_version,
      outlets: 0,
      pos_servers: 0,
    };
    chains.set(chain.id, chain);
    outlets.set(row.outlet_id, {
      id: row.outlet_id,
      chain_id: row.chain_id,
      chain: row.chain,
      name: row.organization,
      crm_id: row.crm_id,
      address: row.address,
      time_zone: row.time_zone,
      pos_servers: 1,
    });
    servers.set(row.id, {
      id: row.id,
      name: row.name,
      chain_id: row.chain_id,
      chain: row.chain,
      outlet_id: row.outlet_id,
      outlet: row.organization,
      crm_id: row.crm_id,
      enrolled_at: row.link_state === 'never_connected' ? null : ago(90 * day),
      code_expires_at: row.link_state === 'never_connected' ? ahead(20 * 3600_000) : null,
    });
  }
  const person = (name: string, email: string, more: Partial<AdminUser> = {}): AdminUser => ({
    id: newId(),
    name,
    email,
    admin: false,
    disabled_at: null,
    locked_until: null,
    ...more,
  });
  const state: MockAdmin = {
    preview: goodImport(),
    users: [
      person('Mara Ozola', 'mara@pastanostra.example', { admin: true }),
      person('Jānis Bērziņš', 'janis@pastanostra.example'),
      person('Vera Kask', 'vera@kafekometa.example', { locked_until: ahead(20 * 60_000) }),
      person('Old Account', 'old@pastanostra.example', { disabled_at: ago(30 * day) }),
    ],
  };
  const grants = new Map<string, Grant[]>();
  const sessions = new Map<string, UserSession[]>();
  const devices = new Map<string, StoreDevice[]>();
  let chosen: ImportPreview | null = null;

  const actions = ['session.started', 'job.requested', 'outlet.added', 'grant.added', 'session.refused'];
  const trail: AuditEntry[] = Array.from({ length: isEmpty ? 0 : 230 }, (_, i) => {
    const action = actions[i % actions.length] ?? 'session.started';
    const by = state.users[i % 2];
    const row = rows.rows[i];
    return {
      seq: 230 - i,
      at: ago(i * 47 * 60_000),
      actor: action === 'session.refused' ? 'system' : `user:${by?.id}`,
      actor_name: action === 'session.refused' ? null : (by?.name ?? null),
      action,
      target: action.startsWith('session') ? `user:${by?.id}` : `pos_server:${row?.id ?? newId()}`,
      target_name: action.startsWith('session') || !row ? null : `${row.organization}, ${row.name}`,
      details:
        action === 'job.requested'
          ? [
              [
                'request',
                JSON.stringify({ kind: 'retrieve_logs', from: ago(day), to: ago(0), max_bytes: 1 << 20 }),
              ],
            ]
          : action === 'outlet.added'
            ? [
                ['name', row?.organization ?? ''],
                ['crm_id', row?.crm_id ?? ''],
              ]
            : action === 'grant.added'
              ? [
                  ['permission', 'retrieve_logs'],
                  ['scope', 'all'],
                ]
              : [
                  ['method', 'password'],
                  ...(action === 'session.refused'
                    ? [['reason', 'invalid_credentials'] as [string, string]]
                    : []),
                  ['address', '203.0.113.7'],
                ],
    };
  });

  const count = () => {
    for (const chain of chains.values()) Object.assign(chain, { outlets: 0, pos_servers: 0 });
    for (const outlet of outlets.values()) {
      outlet.pos_servers = 0;
      const chain = chains.get(outlet.chain_id);
      if (chain) chain.outlets += 1;
    }
    for (const { chain_id, outlet_id } of servers.values())
      for (const place of [chains.get(chain_id), outlets.get(outlet_id)]) if (place) place.pos_servers += 1;
  };
  count();

  function found<T extends { chain_id: string }>(all: Iterable<T>, query: AdminQuery) {
    const list = [...all];
    const words = query.search.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = list.filter((item) => {
      const text = Object.values(item).join('\n').toLowerCase();
      return (
        (query.chain_id === null || query.chain_id === item.chain_id) &&
        words.every((word) => text.includes(word))
      );
    });
    return {
      items: structuredClone(matching.slice(0, query.limit)),
      matching: matching.length,
      total: list.length,
    };
  }
  function get<T>(of: Map<string, T>, id: string): T {
    const value = of.get(id);
    if (!value) throw refusal('not_found');
    return value;
  }
  const user = (id: string): AdminUser => {
    const value = state.users.find((one) => one.id === id);
    if (!value) throw refusal('not_found');
    return value;
  };
  const taken = (is: boolean) => {
    if (is) throw refusal('already_exists');
  };

  const calls: Calls = {
    adminChains: async () =>
      structuredClone([...chains.values()].sort((a, b) => a.name.localeCompare(b.name))),
    async addChain(name) {
      taken([...chains.values()].some((chain) => chain.name === name));
      const chain = { id: newId(), name, required_version: null, outlets: 0, pos_servers: 0 };
      chains.set(chain.id, chain);
      return structuredClone(chain);
    },
    async renameChain(id, name) {
      taken([...chains.values()].some((chain) => chain.name === name && chain.id !== id));
      get(chains, id).name = name;
      return structuredClone(get(chains, id));
    },
    async deleteChain(id) {
      if (get(chains, id).outlets > 0) throw refusal('not_empty', { what: 'outlets', count: '9' });
      chains.delete(id);
      return null;
    },
    async requireVersion(ids, version) {
      return ids.map((id) => {
        get(chains, id).required_version = version;
        return { chain_id: id, error: null };
      });
    },
    adminOutlets: async (query) => found(outlets.values(), query),
    async addOutlet(chain_id, texts) {
      taken([...outlets.values()].some((one) => one.chain_id === chain_id && one.name === texts.name));
      const outlet = { id: newId(), chain_id, chain: get(chains, chain_id).name, ...texts, pos_servers: 0 };
      outlets.set(outlet.id, outlet);
      count();
      return structuredClone(outlet);
    },
    async editOutlet(id, texts) {
      Object.assign(get(outlets, id), texts);
      return structuredClone(get(outlets, id));
    },
    async deleteOutlet(id) {
      const { pos_servers } = get(outlets, id);
      if (pos_servers > 0) throw refusal('not_empty', { what: 'POS servers', count: String(pos_servers) });
      outlets.delete(id);
      count();
      return null;
    },
    async readImport() {
      if (!confirmed()) return null;
      chosen = state.preview;
      return structuredClone(chosen);
    },
    async importOutlets() {
      if (!chosen) throw refusal('not_found');
      return { pos_servers: chosen.pos_servers, faults: [] };
    },
    adminPosServers: async (query) => found(servers.values(), query),
    async addPosServer(outlet_id, name) {
      const outlet = get(outlets, outlet_id);
      taken([...servers.values()].some((one) => one.outlet_id === outlet_id && one.name === name));
      const server: AdminPosServer = {
        id: newId(),
        name,
        chain_id: outlet.chain_id,
        chain: outlet.chain,
        outlet_id,
        outlet: outlet.name,
        crm_id: outlet.crm_id,
        enrolled_at: null,
        code_expires_at: null,
      };
      servers.set(server.id, server);
      count();
      return structuredClone(server);
    },
    async renamePosServer(id, name) {
      get(servers, id).name = name;
      return structuredClone(get(servers, id));
    },
    async removePosServer(id) {
      servers.delete(id);
      count();
      return null;
    },
    async makeEnrollmentCode(id) {
      const expires_at = ahead(day);
      get(servers, id).code_expires_at = expires_at;
      return {
        code: 'K7QXD-M2N9R-4TBWH-PY6JC',
        expires_at,
        cloud: 'https://cloud.tillwatch.example',
        needs_certificate: false,
      };
    },
    async revokeEnrollmentCode(id) {
      get(servers, id).code_expires_at = null;
      return null;
    },
    async storeDevices(id) {
      const enrolled_at = get(servers, id).enrolled_at;
      if (enrolled_at && !devices.has(id))
        devices.set(id, [
          { id: newId(), enrolled_at, revoked_at: null },
          { id: newId(), enrolled_at: ago(400 * day), revoked_at: ago(91 * day) },
        ]);
      return structuredClone(devices.get(id) ?? []);
    },
    async revokeDevice(id) {
      for (const [server, list] of devices)
        for (const device of list)
          if (device.id === id) {
            device.revoked_at = new Date().toISOString();
            get(servers, server).enrolled_at = null;
          }
      return null;
    },
    async users(search) {
      const word = search.toLowerCase();
      const items = state.users.filter(({ name, email }) => `${name} ${email}`.toLowerCase().includes(word));
      return { items: structuredClone(items), next: null };
    },
    async addUser(email, name, admin) {
      taken(state.users.some((one) => one.email === email));
      const added = person(name, email, { admin });
      state.users.push(added);
      return { user: structuredClone(added), password: 'vk3t-9qmz-27dw-hx8p' };
    },
    async editUser(id, edit) {
      const one = user(id);
      if (
        one.admin &&
        (edit.admin === false || edit.disabled) &&
        state.users.filter((u) => u.admin).length === 1
      )
        throw refusal('last_admin');
      taken(state.users.some((other) => other.id !== id && other.email === edit.email));
      one.name = edit.name ?? one.name;
      one.email = edit.email ?? one.email;
      one.admin = edit.admin ?? one.admin;
      if (edit.disabled !== null) one.disabled_at = edit.disabled ? new Date().toISOString() : null;
      return structuredClone(one);
    },
    async deleteUser(id) {
      if (user(id).admin) throw refusal('last_admin');
      state.users = state.users.filter((one) => one.id !== id);
      return null;
    },
    async resetPassword(id) {
      user(id);
      return 'vk3t-9qmz-27dw-hx8p';
    },
    async unlockUser(id) {
      user(id).locked_until = null;
      return structuredClone(user(id));
    },
    async userSessions(id) {
      if (!sessions.has(id))
        sessions.set(id, [
          { id: newId(), created_at: ago(2 * day), last_used_at: ago(60_000), current: false },
          { id: newId(), created_at: ago(20 * day), last_used_at: ago(9 * day), current: false },
        ]);
      return structuredClone(sessions.get(id) ?? []);
    },
    async endUserSessions(id, session) {
      const left = session === null ? [] : (sessions.get(id) ?? []).filter((one) => one.id !== session);
      sessions.set(id, left);
      return null;
    },
    async grants(id) {
      const [chain] = chains.values();
      if (!grants.has(id))
        grants.set(
          id,
          chain ? [{ id: newId(), permission: 'outlet_setup', chain: chain.name, outlet: null }] : [],
        );
      return structuredClone(grants.get(id) ?? []);
    },
    async addGrant(id, permission, place) {
      const outlet = place.outlet_id === null ? null : get(outlets, place.outlet_id);
      const chain = place.chain_id === null ? null : get(chains, place.chain_id).name;
      const grant = { id: newId(), permission, chain: outlet?.chain ?? chain, outlet: outlet?.name ?? null };
      grants.set(id, [...(grants.get(id) ?? []), grant]);
      return structuredClone(grant);
    },
    async removeGrant(id) {
      for (const [of, list] of grants)
        grants.set(
          of,
          list.filter((grant) => grant.id !== id),
        );
      return null;
    },
    async audit({ actor, action, from, to, next }) {
      const matching = trail.filter(
        (entry) =>
          (actor === null || entry.actor === actor) &&
          (action === null || entry.action === action) &&
          (from === null || entry.at >= from) &&
          (to === null || entry.at < to),
      );
      const start = Number(next ?? 0);
      const end = start + 100;
      return {
        items: structuredClone(matching.slice(start, end)),
        next: end < matching.length ? String(end) : null,
      };
    },
  };
  return [calls, state];
}
