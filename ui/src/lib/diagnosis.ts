// From a status to plain words: what is wrong, why we think so, and what helps, in order.

import type { Row, RunnableJob } from './backend/types';
import { number } from './format/number';
import { absolute, relative } from './format/time';
import { m } from './paraglide/messages';
import { causeSentence, evidenceSentence, syncError } from './words';

export type StepAction = RunnableJob | 'retrieve_logs' | 'reset_database';

export type Step =
  | { by: 'us'; action: StepAction; text: string; label: string }
  /** Only a person there can do it. */
  | { by: 'person'; text: string };

export interface Finding {
  kind: 'well' | 'link' | 'pos' | 'exchange' | 'version' | 'behind';
  look: 'error' | 'update' | 'off' | 'well';
  sentence: string;
  more: string[];
  evidence: string[];
  steps: Step[];
}

const person = (text: string): Step => ({ by: 'person', text });

function us(action: StepAction): Step {
  const words: Record<StepAction, [() => string, () => string]> = {
    exchange_now: [m.step_exchange_now, m.action_exchange_now],
    diagnose: [m.step_diagnose, m.action_diagnose],
    restart_pos: [m.step_restart_pos, m.action_restart_pos],
    retrieve_logs: [m.step_retrieve_logs, m.action_retrieve_logs],
    reset_database: [m.step_reset_database, m.action_reset_database],
  };
  const [text, label] = words[action];
  return { by: 'us', action, text: text(), label: label() };
}

/** Everything that is wrong with a store, the most pressing first; or that all is well. */
export function diagnose(row: Row, now: number, zone?: string): Finding[] {
  const when = (at: string | null) =>
    at ? `${absolute(at, zone)} (${relative(at, now, zone)})` : m.unknown_value();
  const findings = [
    linkFinding(row, when, zone),
    posFinding(row),
    exchangeFinding(row, when),
    versionFinding(row),
    behindFinding(row, now, when),
  ].filter((finding) => finding !== null);
  if (findings.length > 0) return findings;
  const sentence = row.last_success_at
    ? m.well_body({ time: relative(row.last_success_at, now, zone) })
    : m.well_body_no_exchange();
  return [{ kind: 'well', look: 'well', sentence, more: [], evidence: [], steps: [] }];
}

type When = (at: string | null) => string;

function linkFinding(row: Row, when: When, zone?: string): Finding | null {
  const finding = { kind: 'link', look: 'off', more: [], evidence: [] } as const;
  switch (row.link_state) {
    case 'online':
      // Two connectors that take turns at the link are mostly online, and never well.
      if (!row.evidence.some((item) => item.code === 'duplicate_identity')) return null;
      return {
        ...finding,
        more: [],
        evidence: row.evidence.map((item) => evidenceSentence(item, absolute(item.at, zone))),
        sentence: m.prob_duplicate(),
        steps: [person(m.step_duplicate()), person(m.step_enroll_again())],
      };
    case 'never_connected':
      return {
        ...finding,
        more: [],
        evidence: [],
        sentence: m.prob_never(),
        steps: [person(m.step_enroll_first())],
      };
    case 'unknown':
      return {
        ...finding,
        more: [],
        evidence: [],
        sentence: m.prob_unknown(),
        steps: [person(m.step_wait())],
      };
    case 'offline':
      return {
        kind: 'link',
        look: 'off',
        sentence: row.link_since
          ? m.prob_offline({ time: when(row.link_since) })
          : m.prob_offline_unknown_time(),
        more: [causeSentence(row.cause, row.confidence)],
        evidence: row.evidence.map((item) => evidenceSentence(item, absolute(item.at, zone))),
        steps: offlineSteps(row.cause).map(person),
      };
  }
}

/** The two checks that only somebody in the store can make: internet and Windows Services, the likelier first. */
function offlineSteps(cause: string | null): string[] {
  const internet = [m.step_internet()];
  const services = [m.step_services(), m.step_service_restart(), m.step_service_start()];
  switch (cause) {
    case 'service_stopped':
      return [...services, ...internet];
    case 'websocket_blocked':
      return [m.step_websocket(), ...services];
    case 'version_unsupported':
      return [m.step_update({ required: '34' })];
    case 'credentials_revoked':
      return [m.step_enroll_again()];
    case 'duplicate_identity':
      return [m.step_duplicate(), m.step_enroll_again()];
    case 'outage_nearby':
      return [m.step_internet_nearby(), ...internet, ...services];
    default:
      return [...internet, ...services];
  }
}

function posFinding(row: Row): Finding | null {
  // Without a link nobody could ask it.
  if (row.link_state !== 'online') return null;
  const base = { kind: 'pos', look: 'error', more: [], evidence: [] } as const;
  if (row.pos_state === 'stopped') {
    const start: Step = {
      by: 'us',
      action: 'restart_pos',
      text: m.step_start_pos(),
      label: m.action_start_pos(),
    };
    return {
      ...base,
      more: [],
      evidence: [],
      sentence: m.prob_stopped(),
      steps: [start, us('retrieve_logs')],
    };
  }
  if (row.pos_state !== 'not_responding') return null;
  const steps = [us('diagnose'), us('restart_pos'), us('retrieve_logs'), person(m.step_pos_service())];
  return { ...base, more: [], evidence: [], sentence: m.prob_not_responding(), steps };
}

function exchangeFinding(row: Row, when: When): Finding | null {
  if (!row.error) return null;
  const { code, message, since, consecutive_failures: failures } = row.error;
  const more = [];
  if (failures > 1) more.push(m.prob_error_failures({ count: failures, n: number(failures) }));
  if (message !== '') more.push(m.prob_error_message({ message }));
  return {
    kind: 'exchange',
    look: 'error',
    sentence: m.prob_error({ time: when(since), reason: syncError(code) }),
    more,
    evidence: [],
    steps: exchangeSteps(code),
  };
}

function exchangeSteps(code: string): Step[] {
  switch (code) {
    case 'database_inconsistent':
    case 'database_corrupt':
      return [us('retrieve_logs'), us('reset_database')];
    case 'disk_full':
      return [person(m.step_disk()), us('exchange_now'), us('retrieve_logs')];
    case 'clock_skewed':
      return [person(m.step_clock()), us('exchange_now')];
    case 'tls_failed':
      return [person(m.step_certificate()), us('diagnose'), us('exchange_now')];
    case 'credentials_revoked':
      return [person(m.step_enroll_again())];
    case 'version_unsupported':
      return [person(m.step_update({ required: '34' }))];
    case 'cloud_unreachable':
      return [us('exchange_now'), us('diagnose'), person(m.step_internet()), us('retrieve_logs')];
    default:
      return [us('exchange_now'), us('diagnose'), us('retrieve_logs')];
  }
}

function versionFinding(row: Row): Finding | null {
  if (!row.update_required) return null;
  const required = row.required_version ?? '';
  return {
    kind: 'version',
    look: 'update',
    sentence: row.pos_version
      ? m.prob_update({ version: row.pos_version, required })
      : m.prob_update_unknown({ required }),
    more: [],
    evidence: [],
    steps: [person(m.step_update({ required }))],
  };
}

const PATIENCE = 15 * 60_000;

/** Changes on their way are no trouble; those that wait for long are. */
function behindFinding(row: Row, now: number, when: When): Finding | null {
  if (row.behind_changes === 0 || row.behind_oldest_at === null) return null;
  if (row.error === null && now - Date.parse(row.behind_oldest_at) < PATIENCE) return null;
  return {
    kind: 'behind',
    look: 'off',
    sentence: m.prob_behind({
      count: row.behind_changes,
      n: number(row.behind_changes),
      time: when(row.behind_oldest_at),
    }),
    more: [],
    evidence: [],
    steps: row.error === null && row.link_state === 'online' ? [us('exchange_now')] : [],
  };
}
