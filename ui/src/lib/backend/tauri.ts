// The backend of the app that ships: typed calls into the Rust core.

import { Channel, invoke } from '@tauri-apps/api/core';
import type { AppEvent, Backend } from './types';

export const tauri: Backend = {
  subscribe(listener) {
    const channel = new Channel<AppEvent>();
    channel.onmessage = listener;
    return invoke('subscribe', { channel });
  },
  appInfo: () => invoke('app_info'),
  settings: () => invoke('settings'),
  saveSettings: (settings) => invoke('save_settings', { settings }),
  session: () => invoke('session'),
  signIn: (url, email, password) => invoke('sign_in', { url, email, password }),
  trustCertificate: (url, sha256) => invoke('trust_certificate', { url, sha256 }),
  signOut: () => invoke('sign_out'),
  setQuery: (query) => invoke('set_query', { query }),
  summary: () => invoke('summary'),
  gridWindow: (offset, limit) => invoke('grid_window', { offset, limit }),
  row: (id) => invoke('row', { id }),
  select: (op) => invoke('select', { op }),
  selectedRows: () => invoke('selected_rows'),
  outletOptions: () => invoke('outlet_options'),
  refresh: () => invoke('refresh'),
  requestLogs: (ids, from, to, maxBytes, whenOffline) =>
    invoke('request_logs', { ids, from, to, maxBytes, whenOffline }),
  resetDatabase: (id, confirm, expectedGeneration, collectLogs, discardUnsent) =>
    invoke('reset_database', { id, confirm, expectedGeneration, collectLogs, discardUnsent }),
  runJob: (id, kind) => invoke('run_job', { id, kind }),
  cancelJob: (jobId) => invoke('cancel_job', { jobId }),
  jobs: () => invoke('jobs'),
  saveArchive: (archive, dialogTitle) => invoke('save_archive', { archive, dialogTitle }),
  saveArchives: (archives, dialogTitle) => invoke('save_archives', { archives, dialogTitle }),
  cancelDownload: (id) => invoke('cancel_download', { id }),
  showInFolder: (path) => invoke('show_in_folder', { path }),
  exportExcel: (request) => invoke('export_excel', { request }),
};
