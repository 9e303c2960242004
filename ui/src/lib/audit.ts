// What belongs to an entry of the audit trail, in words: where there is a plain word for a name or a value, it is used.

import type { AuditEntry } from './backend/types';
import { bytes, number } from './format/number';
import { absolute } from './format/time';
import { m } from './paraglide/messages';
import { detailName, detailValue, errorWord, failureWord, jobKind, jobState, permissionWord } from './words';

export interface Detail {
  name: string;
  value: string;
}

/** A request stands in one detail; what is in it is told like the rest. */
function flattened(details: AuditEntry['details']): [string, string][] {
  return details.flatMap(([name, value]): [string, string][] => {
    if (name !== 'request') return [[name, value]];
    try {
      const parts = Object.entries(JSON.parse(value) as Record<string, unknown>);
      return parts.map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]);
    } catch {
      return [[name, value]];
    }
  });
}

function valueWord(name: string, value: string, called: (id: string) => string | undefined): string {
  switch (name) {
    case 'permission':
      return permissionWord(value);
    case 'kind':
      return jobKind(value);
    case 'state':
      return jobState(value);
    case 'reason':
      // Why a sign-in was refused is the code of an error; other reasons have words of their own.
      return detailValue(value, () => errorWord(value));
    case 'error':
      return failureWord(value);
    case 'user_id':
      return called(`user:${value}`) ?? value;
    case 'size_bytes':
    case 'max_bytes':
      return bytes(Number(value));
    case 'from':
    case 'to':
    case 'expires_at':
      return absolute(value);
  }
  if (value === 'true') return m.detail_yes();
  if (value === 'false') return m.detail_no();
  if (/^\d+$/.test(value) && name !== 'crm_id') return number(Number(value));
  return detailValue(value, () => value);
}

/** The details of an entry; `called` knows what some ids are called. */
export const details = (entry: AuditEntry, called: (id: string) => string | undefined): Detail[] =>
  flattened(entry.details).map(([name, value]) => ({
    name: detailName(name),
    value: valueWord(name, value, called),
  }));
