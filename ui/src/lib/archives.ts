// Asking for archives, and saving them: the core asks where and downloads; its events tell how far it is.

import type { Archive, Row } from './backend/types';
import { m } from './paraglide/messages';
import type { App } from './state/app.svelte';

export async function saveArchive(app: App, archive: Archive): Promise<void> {
  try {
    const download = await app.backend.saveArchive(archive, 'Save archive');
    if (download) app.downloads.set(download.id, download);
  } catch (thrown) {
    app.notices.error(thrown, m.archive_save({ name: archive.file_name }));
  }
}

export async function saveArchives(app: App, archives: Archive[]): Promise<void> {
  try {
    const downloads = await app.backend.saveArchives(archives, 'Save archives');
    for (const download of downloads ?? []) app.downloads.set(download.id, download);
  } catch (thrown) {
    app.notices.error(thrown, m.logs_save_all());
  }
}

/** Shows a saved file where it lies. */
export async function showInFolder(app: App, path: string): Promise<void> {
  try {
    await app.backend.showInFolder(path);
  } catch (thrown) {
    app.notices.error(thrown, m.show_in_folder());
  }
}

export async function cancelDownload(app: App, archive: Archive): Promise<void> {
  try {
    await app.backend.cancelDownload(archive.id);
  } catch (thrown) {
    app.notices.error(thrown, m.download_cancel({ name: archive.file_name }));
  }
}

/** Looks into the parts of an archive without saving them. */
export async function viewArchives(app: App, archives: Archive[], name: string): Promise<void> {
  try {
    app.showViewer({ viewer: await app.backend.viewArchives(archives), archives, name });
  } catch (thrown) {
    app.notices.error(thrown, m.archive_view_label({ name }));
  }
}

/** Stores for which typed times mean the same moments; with no zone given, each outlet's own counts. */
export function idsByZone(rows: Row[], zone: string | null): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const row of rows) {
    const key = zone ?? row.time_zone;
    groups.set(key, [...(groups.get(key) ?? []), row.id]);
  }
  return groups;
}
