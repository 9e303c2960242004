// The selection as text on the clipboard. The core writes it: there may be more rows than are here.

import { number } from './format/number';
import { viewerZone } from './format/time';
import { m } from './paraglide/messages';
import type { App } from './state/app.svelte';
import { columnTitle, exportWords } from './words';

export async function copySelection(app: App): Promise<void> {
  try {
    await app.grid.chosen;
    const rows = await app.backend.copySelection({
      columns: app.columns
        .filter(({ visible }) => visible)
        .map(({ key }) => ({ key, title: columnTitle(key) })),
      words: exportWords(),
      locale: app.locale,
      time_zone: app.settings.times === 'outlet' ? 'outlet' : viewerZone,
    });
    app.notices.info(rows === 0 ? m.copy_none() : m.copy_done({ count: rows, n: number(rows) }));
  } catch (thrown) {
    app.notices.error(thrown, m.action_copy());
  }
}
