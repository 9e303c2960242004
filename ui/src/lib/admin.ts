// What the administrator's forms check before the cloud is asked, and whose field it is that the cloud refused.

import type { AppError } from './backend/types';
import { m } from './paraglide/messages';

/** What is wrong with a name, if anything. */
export function nameProblem(name: string): string | undefined {
  if (name.trim() === '') return m.admin_name_missing();
  return lengthProblem(name);
}

/** What is wrong with a text that may be empty. */
export function lengthProblem(text: string): string | undefined {
  return [...text.trim()].length > 200 ? m.admin_too_long() : undefined;
}

export function emailProblem(email: string): string | undefined {
  return /^[^\s@]+@[^\s@]+$/.test(email.trim()) && email.trim().length <= 254
    ? undefined
    : m.users_email_invalid();
}

export function timeZoneProblem(zone: string): string | undefined {
  try {
    // Offsets such as +02:00 are zones to the browser, but not to the cloud.
    if (!/^[A-Za-z]/.test(zone.trim())) throw new RangeError();
    new Intl.DateTimeFormat('en', { timeZone: zone.trim() });
    return undefined;
  } catch {
    return m.outlets_time_zone_unknown();
  }
}

export function versionProblem(version: string): string | undefined {
  return /^[0-9]+(\.[0-9]+)*([-+ ].*)?$/.test(version.trim()) && version.trim().length <= 64
    ? undefined
    : m.version_invalid();
}

export const timeZones = (): string[] => Intl.supportedValuesOf('timeZone');

/** Problems by field. */
export type Problems = Record<string, string | undefined>;

export const hasProblems = (problems: Problems) => Object.values(problems).some((problem) => problem);

/**
 * What the cloud refused, at the fields that it belongs to; null when it belongs to none, and is an error of the whole.
 * `words` says what codes mean here, and at which field.
 */
export function problemsOf(
  error: AppError,
  words: Partial<Record<string, [field: string, text: string]>>,
): Problems | null {
  const known = words[error.code];
  if (known) return { [known[0]]: known[1] };
  if (error.code !== 'invalid_request') return null;
  try {
    const errors = JSON.parse(error.params['errors'] ?? '') as { field: string; message: string }[];
    const problems = Object.fromEntries(errors.map(({ field, message }) => [field, message]));
    return hasProblems(problems) ? problems : null;
  } catch {
    return null;
  }
}

export type System = 'linux' | 'macos' | 'windows';

/** Where the store's programs lie, as docs/store.md has it. */
export const programFolder = (system: System) =>
  system === 'windows' ? 'C:\\Program Files\\Tillwatch' : '/opt/tillwatch';

/** The one line to run in the store: enrolls, and makes a service of the connector. */
export function enrollLine(
  system: System,
  { cloud, code, needs_certificate }: { cloud: string; code: string; needs_certificate: boolean },
): string {
  const folder = programFolder(system);
  const enroll = `enroll --cloud ${cloud} --code ${code}`;
  if (system === 'windows') {
    const connector = 'tillwatch-connector.exe';
    const ca = needs_certificate ? ' --ca cert.pem' : '';
    return `cd /d "${folder}" && ${connector} ${enroll}${ca} && ${connector} service install && ${connector} service start`;
  }
  const connector = `sudo ${folder}/tillwatch-connector`;
  const ca = needs_certificate ? ` --ca ${folder}/cert.pem` : '';
  return `${connector} ${enroll}${ca} && ${connector} service install && ${connector} service start`;
}
