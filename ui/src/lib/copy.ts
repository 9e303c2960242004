// The selection as tab-separated text.

import { cellText } from './cells';
import { number } from './format/number';
import { m } from './paraglide/messages';
import type { App } from './state/app.svelte';
import { columnTitle } from './words';

/** Texts from stores must not break lines or start a formula where they are pasted. */
function field(text: string): string {
  const flat = text.replaceAll(/[\t\r\n]+/g, ' ');
  return /^[=+@-]/.test(flat) ? `'${flat}` : flat;
}

export async function copySelection(app: App): Promise<void> {
  try {
    const rows = await app.backend.selectedRows();
    if (rows.length === 0) return;
    const columns = app.columns.filter(({ visible }) => visible).map(({ key }) => key);
    const lines = [
      columns.map(columnTitle).join('\t'),
      ...rows.map((row) =>
        columns
          .map((key) => field(cellText(key, row, { now: app.clock.now, zone: app.zone(row) })))
          .join('\t'),
      ),
    ];
    await navigator.clipboard.writeText(lines.join('\n'));
    const cut = app.grid.summary.selected > rows.length;
    const copied = m.copy_done({ count: rows.length, n: number(rows.length) });
    app.notices.info(copied, cut ? { body: m.copy_cut({ n: number(rows.length) }) } : {});
  } catch (thrown) {
    app.notices.error(thrown, m.action_copy());
  }
}
