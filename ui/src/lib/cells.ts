// What stands in a cell, and what hovering over it adds. The clipboard uses the same words.

import type { Row } from './backend/types';
import { bytes, number } from './format/number';
import { bothZones, date, duration, relative } from './format/time';
import { m } from './paraglide/messages';
import { causeSentence, causeShort, jobKind, jobState, linkWord, syncErrorShort } from './words';

export interface Times {
  now: number;
  /** Null and undefined are the viewer's. */
  zone: string | undefined;
}

export function cellText(key: string, row: Row, { now, zone }: Times): string {
  switch (key) {
    case 'link':
      return linkWord(row.link_state);
    case 'organization':
      return row.organization;
    case 'chain':
      return row.chain;
    case 'crm_id':
      return row.crm_id;
    case 'address':
      return row.address;
    case 'name':
      return row.name;
    case 'pos_version':
      return row.pos_version ?? '';
    case 'required_version':
      return row.required_version ?? '';
    case 'connector_version':
      return row.connector_version ?? '';
    case 'version_updated_at':
      return date(row.version_updated_at, now, zone);
    case 'last_report_at':
      return row.last_report_at ? relative(row.last_report_at, now, zone) : m.never();
    case 'last_success_at':
      return row.last_success_at ? relative(row.last_success_at, now, zone) : m.never();
    case 'error':
      return row.error ? syncErrorShort(row.error.code) : '';
    case 'behind':
      return row.behind_changes === 0
        ? m.behind_none()
        : m.behind_some({
            count: row.behind_changes,
            n: number(row.behind_changes),
            time: relative(row.behind_oldest_at, now, zone),
          });
    case 'offline':
      return row.link_state === 'offline'
        ? m.offline_cell({ time: relative(row.link_since, now, zone), cause: causeShort(row.cause) })
        : '';
    case 'database':
      return row.generation === null || row.db_created_at === null
        ? ''
        : m.database_cell({
            size: row.db_size_bytes === null ? m.unknown_value() : bytes(row.db_size_bytes),
            age: duration(now - Date.parse(row.db_created_at)),
            n: number(row.generation),
          });
    case 'unsent_transactions':
      return row.unsent_transactions === null ? '' : number(row.unsent_transactions);
    case 'active_job':
      return row.active_jobs.map((job) => jobKind(job.kind)).join(', ');
    default:
      return '';
  }
}

/** The hover of a cell: times in both zones, whole texts. */
export function cellTitle(key: string, row: Row): string | undefined {
  switch (key) {
    case 'link':
      return bothZones(row.link_since, row.time_zone);
    case 'organization':
      return [row.organization, row.address].filter(Boolean).join('\n');
    case 'pos_version':
      return row.update_required && row.required_version
        ? m.prob_update({ version: row.pos_version ?? '', required: row.required_version })
        : undefined;
    case 'version_updated_at':
      return bothZones(row.version_updated_at, row.time_zone);
    case 'last_report_at':
      return bothZones(row.last_report_at, row.time_zone);
    case 'last_success_at':
      return bothZones(row.last_success_at, row.time_zone);
    case 'error':
      return row.error ? `${row.error.message}\n${bothZones(row.error.since, row.time_zone)}` : undefined;
    case 'behind':
      return bothZones(row.behind_oldest_at, row.time_zone);
    case 'offline':
      return row.link_state === 'offline'
        ? `${causeSentence(row.cause, row.confidence)}\n${bothZones(row.link_since, row.time_zone) ?? ''}`
        : undefined;
    case 'database':
      return bothZones(row.db_created_at, row.time_zone);
    case 'active_job':
      return (
        row.active_jobs.map((job) => `${jobKind(job.kind)}: ${jobState(job.state)}`).join('\n') || undefined
      );
    default:
      return undefined;
  }
}
