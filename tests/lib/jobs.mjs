// What each kind of job is asked for by.

/** `now` is the store's status, `backups` its backups, the newest first. */
export const jobRequests = {
  diagnose: () => ({}),
  exchange_now: () => ({}),
  restart_pos: () => ({}),
  retrieve_logs: () => ({
    from: new Date(Date.now() - 86_400_000).toISOString(),
    to: new Date(Date.now() + 60_000).toISOString(),
    max_bytes: 1 << 20,
  }),
  reset_database: (now) => ({ confirm: now.outlet.name, expected_generation: now.database.generation }),
  restore_database: (now, backups) => ({ confirm: now.outlet.name, backup_id: backups[0].id }),
};
