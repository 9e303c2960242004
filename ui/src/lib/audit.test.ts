import { describe, expect, test } from 'vitest';
import { details } from './audit';
import type { AuditEntry } from './backend/types';
import { overwriteGetLocale } from './paraglide/runtime';

const entry = (...details: AuditEntry['details']): AuditEntry => ({
  seq: 1,
  at: '2026-11-24T09:30:00Z',
  actor: 'system',
  actor_name: null,
  action: 'job.requested',
  target: 'user:7',
  target_name: null,
  details,
});
const told = (...given: AuditEntry['details']) =>
  details(entry(...given), (target) => (target === 'user:7' ? 'Anna' : undefined)).map(
    ({ name, value }) => `${name}: ${value}`,
  );

describe('what belongs to an entry', () => {
  test('is told in words where there are any', () => {
    overwriteGetLocale(() => 'en');
    expect(told(['permission', 'retrieve_logs'], ['scope', 'all'])).toEqual([
      'Permission: Retrieve logs',
      'Where: everywhere',
    ]);
    expect(told(['admin', 'false'], ['reason', 'invalid_credentials'], ['user_id', '7'])).toEqual([
      'Administrator: no',
      'Reason: The e-mail or the password is wrong',
      'User: Anna',
    ]);
    expect(told(['state', 'failed'], ['error', 'disk_full'], ['size_bytes', '2097152'])).toEqual([
      'Result: failed',
      'Error: the disk in the store is full',
      'Size: 2 MiB',
    ]);
    overwriteGetLocale(() => 'ru');
    expect(told(['method', 'password'], ['changes', '12000'])).toEqual(['Как: пароль', 'Строк: 12\u00a0000']);
  });

  test('a request is told part by part', () => {
    overwriteGetLocale(() => 'en');
    const request = { kind: 'reset_database', confirm: 'Riga', collect_logs: true, when_offline: 'queue' };
    expect(told(['request', JSON.stringify(request)])).toEqual([
      'What: Reset POS database',
      'Outlet’s name: Riga',
      'Fetch the logs first: yes',
      'If offline: wait',
    ]);
  });

  test('of a newer cloud stays readable', () => {
    overwriteGetLocale(() => 'en');
    expect(told(['shoe_size', '44'], ['reason', 'moon_phase'], ['request', 'no JSON'])).toEqual([
      'shoe size: 44',
      'Reason: moon phase',
      'request: no JSON',
    ]);
    expect(told(['crm_id', '010432'], ['name', '<b>'])).toEqual(['CRM ID: 010432', 'Name: <b>']);
  });
});
