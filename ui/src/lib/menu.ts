// What the menu and the shortcuts do. The native menu hands its choices over as events.

import { resetReason, restoreReason, runJob } from './actions';
import type { MenuAction } from './backend/types';
import { exportExcel } from './export';
import type { App } from './state/app.svelte';

export function perform(app: App, action: MenuAction): void {
  // What lies over the window has its own search.
  if (app.viewer) {
    if (action === 'find') document.getElementById('viewer-search')?.focus();
    return;
  }
  // A dialog is finished first.
  if (app.session?.state !== 'signed_in' || app.dialog || app.settingsOpen || app.profilesOpen) return;
  if (app.adminOpen) return performInAdmin(app, action);
  const row = app.selectedRow;
  switch (action) {
    case 'export_excel':
      return void exportExcel(app);
    case 'settings':
    case 'about':
      app.settingsOpen = true;
      return;
    case 'sign_out':
      return void app.signOut();
    case 'find': {
      const field = document.getElementById('quick-search') as HTMLInputElement | null;
      field?.focus();
      return field?.select();
    }
    case 'select_all':
      return void app.grid.select({ op: 'all' });
    case 'refresh':
      return void app.refresh();
    case 'clear_filters':
      return void app.filters.clear();
    case 'columns':
      app.columnsOpen = true;
      return;
    case 'views':
      app.viewsOpen = true;
      return;
    case 'activity':
      app.activityOpen = true;
      return;
    case 'administration':
      app.adminOpen = app.session.administers;
      return;
    case 'retrieve_logs':
      if (!app.cloudReason) void app.openLogs();
      return;
    case 'reset_database':
      if (row && resetReason(app, row) === null) void app.openReset(row.id);
      return;
    case 'restore_database':
      if (row && restoreReason(app, row) === null) void app.openRestore(row.id);
      return;
    case 'exchange_now':
    case 'diagnose':
    case 'restart_pos':
      if (row) void runJob(app, row, action);
      return;
  }
}

/** The stores are not on screen: what is for them waits until they are. */
function performInAdmin(app: App, action: MenuAction): void {
  if (action === 'settings' || action === 'about') app.settingsOpen = true;
  else if (action === 'sign_out') void app.signOut();
  else if (action === 'administration') app.adminOpen = false;
  else if (action === 'find') document.getElementById('admin-search')?.focus();
}

/** The action of a shortcut; null when it is none. Letters go by their place, so that any layout will do. */
export function shortcut(event: KeyboardEvent): MenuAction | null {
  if (event.key === 'F5') return 'refresh';
  if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return null;
  if (event.key === ',') return 'settings';
  const letters: Record<string, MenuAction> = { KeyF: 'find', KeyE: 'export_excel', KeyL: 'retrieve_logs' };
  return letters[event.code] ?? null;
}
