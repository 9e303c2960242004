// What the Excel button does: the core writes what is filtered, sorted and visible.

import { number } from './format/number';
import { viewerZone } from './format/time';
import { m } from './paraglide/messages';
import type { App } from './state/app.svelte';
import { columnTitle, exportWords } from './words';

let exporting = false;

export async function exportExcel(app: App): Promise<void> {
  // Menu and shortcut may both ask.
  if (exporting || app.grid.summary.matching === 0) return;
  exporting = true;
  try {
    const written = await app.backend.exportExcel({
      dialog_title: 'Export statuses',
      file_name: m.export_file_name({ date: new Date().toISOString().slice(0, 10) }),
      columns: app.columns
        .filter(({ visible }) => visible)
        .map(({ key }) => ({ key, title: columnTitle(key) })),
      words: exportWords(),
      locale: app.locale,
      time_zone: app.settings.times === 'outlet' ? 'outlet' : viewerZone,
    });
    if (!written) return;
    const file = written.path.split(/[\\/]/).pop() ?? written.path;
    app.notices.info(m.export_done({ count: written.rows, n: number(written.rows), file }), {
      path: written.path,
    });
  } catch (thrown) {
    app.notices.error(thrown, m.action_excel());
  } finally {
    exporting = false;
  }
}
