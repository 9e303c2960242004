// Words for codes: whatever the core or a store sends as a code gets its sentence here.

import type { AppError, Evidence, ImportFault } from './backend/types';
import { m } from './paraglide/messages';

type Word = () => string;
const table = m as unknown as Record<string, Word | undefined>;

/** The message `prefix_code`, or what `otherwise` says for a code that this version does not know. */
function word(prefix: string, code: string, otherwise: Word): string {
  return (table[`${prefix}_${code}`] ?? otherwise)();
}

/** Codes of newer stores are shown as they are, in readable form. */
const plain = (code: string) => code.replaceAll('_', ' ');

export const errorTitle = (error: AppError) => word('err', error.code, m.err_other);
/** What a code alone says. */
export const errorWord = (code: string) => word('err', code, () => plain(code));
export const errorHelp = (error: AppError) => word('err', `${error.code}_do`, m.err_other_do);

export const linkWord = (state: string) => word('link', state, m.link_unknown);
export const posWord = (state: string) => word('pos', state, m.pos_unknown);
export const causeShort = (cause: string | null) =>
  word('cause_short', cause ?? 'unknown', m.cause_short_unknown);
export const jobKind = (kind: string) => word('job', kind, () => plain(kind));
export const levelWord = (level: string) => word('level', level, m.level_none);
export const jobState = (state: string) => word('state', state, () => plain(state));
export const phaseWord = (phase: string) => word('phase', phase, () => plain(phase));
export const checkName = (name: string) => word('check', name, () => plain(name));
export const syncError = (code: string) => word('sync', code, () => plain(code));
export const failureWord = (code: string) => word('fail', code, () => plain(code));
/** Why a job failed: our words for it, and what the store says. */
export const failureWords = ({ code, message }: { code: string; message: string }) => {
  const words = failureWord(code);
  const sentence = words.charAt(0).toUpperCase() + words.slice(1);
  return message === '' ? `${sentence}.` : `${sentence}: ${message}`;
};
export const syncErrorShort = (code: string) => word('sync_short', code, () => plain(code));
export const permissionWord = (permission: string) => word('perm', permission, () => plain(permission));
export const actionWord = (action: string) =>
  word('act', action.replaceAll('.', '_'), () => plain(action.replaceAll('.', ': ')));
/** What stands in an entry of the audit trail. */
export const detailName = (name: string) => word('detail', name, () => plain(name));
export const detailValue = (value: string, otherwise: Word) => word('detailis', value, otherwise);
export const columnTitle = (key: string) => word('col', key, () => plain(key));

/** What is wrong with a line of an import; a newer cloud's reason is shown as it says it. */
export function faultSentence({ code, params, message }: ImportFault): string {
  const say = table[`fault_${code}`] as ((params: Record<string, string>) => string) | undefined;
  return say ? say(params) : message;
}

/** The cause of an offline venue as a sentence that says how sure it is. */
export function causeSentence(cause: string | null, confidence: string | null): string {
  const known = word('cause', cause ?? 'unknown', m.cause_unknown);
  if (confidence === 'certain') return m.cause_certain({ cause: known });
  if (confidence === 'likely') return m.cause_likely({ cause: known });
  return m.cause_possible({ cause: known });
}

/** An observation in words; `time` is already written for the person. */
export function evidenceSentence(evidence: Evidence, time: string): string {
  const param = (key: string) => evidence.params[key] ?? '?';
  switch (evidence.code) {
    case 'said_goodbye':
      switch (param('reason')) {
        case 'restarting':
          return m.evidence_restarting({ time });
        case 'updating':
          return m.evidence_updating({ time });
        default:
          return m.evidence_stopping({ time });
      }
    case 'closed_cleanly':
      return m.evidence_closed_cleanly({ time });
    case 'closed_with_error':
      return m.evidence_closed_with_error({ time, code: param('close_code') });
    case 'connection_broken':
      return m.evidence_broken({ time });
    case 'fell_silent':
      return m.evidence_fell_silent({ time });
    case 'protocol_violated':
      return m.evidence_violated({ time });
    case 'outage_nearby':
      return param('scope') === 'cloud'
        ? m.evidence_outage_cloud({ time, outlets: param('outlets'), of: param('of') })
        : m.evidence_outage({ time, outlets: param('outlets'), of: param('of') });
    case 'duplicate_identity':
      return m.evidence_duplicate({ time });
    case 'returned_same_boot':
      return m.evidence_same_boot({ time });
    case 'returned_after_start':
      return m.evidence_after_start({ time });
    case 'https_heartbeat_stopped':
      return m.evidence_heartbeat_stopped({ time });
    case 'https_heartbeat':
      return m.evidence_heartbeat({ time });
    case 'not_back_after_cloud_restart':
      return m.evidence_restart({ time });
    case 'pos_version_too_old':
      return m.evidence_version({ time, version: param('pos_version') });
    case 'credentials_revoked':
      return m.evidence_revoked({ time });
    default:
      return m.evidence_other({ time, code: plain(evidence.code) });
  }
}

/** Every word that the Excel file needs, by the keys that the core uses. */
export function exportWords(): Record<string, string> {
  const words: Record<string, string> = {};
  const put = (prefix: string, codes: string[], say: (code: string) => string) => {
    for (const code of codes) words[`${prefix}.${code}`] = say(code);
  };
  put('link', ['online', 'offline', 'never_connected', 'unknown'], linkWord);
  put('pos', ['running', 'not_responding', 'stopped', 'unknown'], posWord);
  put('cause', causes, causeShort);
  put('sync', syncErrors, syncErrorShort);
  put('job', jobKinds, jobKind);
  put('state', ['queued', 'in_progress', 'cancel_requested'], jobState);
  words['highlight.error'] = m.badge_error();
  words['highlight.update_required'] = m.badge_update();
  words['highlight.none'] = m.none();
  return words;
}

export const causes = [
  'service_stopped',
  'connection_lost',
  'websocket_blocked',
  'version_unsupported',
  'credentials_revoked',
  'outage_nearby',
  'duplicate_identity',
  'unknown',
];

export const syncErrors = [
  'database_inconsistent',
  'database_corrupt',
  'cloud_unreachable',
  'tls_failed',
  'clock_skewed',
  'credentials_revoked',
  'version_unsupported',
  'server_error',
  'disk_full',
];

export const jobKinds = [
  'retrieve_logs',
  'reset_database',
  'restore_database',
  'restart_pos',
  'exchange_now',
  'diagnose',
];

/** What the audit trail tells of, as docs/audit.md lists it. */
export const auditActions = [
  'session.started',
  'session.refused',
  'session.ended',
  'session.token_reused',
  'user.locked_out',
  'user.sso_linked',
  'user.sso_forgotten',
  'user.added',
  'user.edited',
  'user.deleted',
  'user.password_set',
  'user.password_refused',
  'user.unlocked',
  'user.signed_out',
  'grant.added',
  'grant.removed',
  'chain.added',
  'chain.renamed',
  'chain.deleted',
  'outlet.added',
  'outlet.edited',
  'outlet.deleted',
  'pos_server.added',
  'pos_server.renamed',
  'pos_server.removed',
  'fleet.imported',
  'enrollment_code.made',
  'enrollment_code.revoked',
  'device.enrolled',
  'device.revoked',
  'token.added',
  'token.revoked',
  'keys.renewed',
  'release.required',
  'release.cleared',
  'relay.sent',
  'job.requested',
  'job.cancel_requested',
  'job.ended',
  'archive.stored',
  'archive.downloaded',
  'loyalty.changed',
];
