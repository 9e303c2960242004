import { describe, expect, test } from 'vitest';
import { overwriteGetLocale } from '../paraglide/runtime';
import {
  fromIso,
  fromLocal,
  presetPeriod,
  readMaxSize,
  readPeriodValue,
  readTime,
  toIso,
  toLocal,
  writeTime,
} from './period';

describe('the period of the filter', () => {
  test.each([
    [5, 'hours', 'PT5H'],
    [2, 'days', 'P2D'],
    [30, 'minutes', 'PT30M'],
  ] as const)('%i %s is %s and back', (value, unit, iso) => {
    expect(toIso(value, unit)).toBe(iso);
    expect(fromIso(iso)).toEqual({ value, unit });
  });

  test.each([
    ['', null],
    ['  ', null],
    ['24', 24],
    ['0', 'invalid'],
    ['-1', 'invalid'],
    ['1.5', 'invalid'],
    ['abc', 'invalid'],
    ['10000', 'invalid'],
  ] as const)('%j reads as %j', (text, value) => expect(readPeriodValue(text)).toBe(value));
});

describe('times typed in a zone', () => {
  test('mean that zone', () => {
    expect(fromLocal('2026-07-01T12:00', 'Europe/Riga')).toBe('2026-07-01T09:00:00.000Z');
    expect(fromLocal('2026-07-01T12:00', 'America/New_York')).toBe('2026-07-01T16:00:00.000Z');
    expect(toLocal('2026-07-01T09:00:00Z', 'Europe/Riga')).toBe('2026-07-01T12:00');
  });

  test('that are none are null', () => {
    expect(fromLocal('', 'UTC')).toBeNull();
    expect(fromLocal('soon', 'UTC')).toBeNull();
  });

  test('in the gap of a change to summer time still are a moment', () => {
    expect(fromLocal('2026-03-29T03:30', 'Europe/Riga')).toBe('2026-03-29T01:30:00.000Z');
  });
});

describe('presets', () => {
  const at = Date.parse('2026-11-21T23:30:40Z');

  test('are of the day in their zone', () => {
    expect(presetPeriod('today', 'Europe/Riga', at)).toEqual({
      from: '2026-11-22T00:00',
      to: '2026-11-22T01:31',
    });
    expect(presetPeriod('today', 'UTC', at)).toEqual({ from: '2026-11-21T00:00', to: '2026-11-21T23:31' });
    expect(presetPeriod('yesterday', 'UTC', at)).toEqual({
      from: '2026-11-20T00:00',
      to: '2026-11-21T00:00',
    });
    expect(presetPeriod('last_7_days', 'UTC', at)).toEqual({
      from: '2026-11-14T00:00',
      to: '2026-11-21T23:31',
    });
  });

  test('of the last hour hold the present minute', () => {
    expect(presetPeriod('last_hour', 'UTC', at)).toEqual({
      from: '2026-11-21T22:30',
      to: '2026-11-21T23:31',
    });
  });
});

test.each([
  ['50', 50 * 1024 * 1024],
  ['0.0625', 64 * 1024],
  ['0,0625', 64 * 1024],
  ['2048', 2 * 1024 ** 3],
  ['2049', null],
  ['0.06', null],
  ['', null],
  ['ten', null],
  ['1e3', null],
])('a size of %j MiB is %j bytes', (text, bytes) => expect(readMaxSize(text)).toBe(bytes));

describe('a time in a field', () => {
  test('is written as the language does', () => {
    overwriteGetLocale(() => 'en');
    expect(writeTime('2026-11-04T09:30')).toBe('04/11/2026 09:30');
    overwriteGetLocale(() => 'ru');
    expect(writeTime('2026-11-04T09:30')).toBe('04.11.2026 09:30');
    expect([writeTime(''), writeTime('soon')]).toEqual(['', 'soon']);
  });

  test.each([
    ['04/11/2026 09:30', '2026-11-04T09:30'],
    [' 4.11.2026, 9:30 ', '2026-11-04T09:30'],
    ['2026-11-04T09:30', '2026-11-04T09:30'],
    ['2026-11-04 09:30', '2026-11-04T09:30'],
    ['', ''],
    ['tomorrow', 'tomorrow'],
    ['4.11.26 9:30', '4.11.26 9:30'],
  ])('typed as "%s" is read', (typed, local) => {
    expect(readTime(typed)).toBe(local);
  });

  test.each(['tomorrow', '2026-02-30T10:00', '2026-11-04T25:00'])('%s is none', (local) => {
    expect(fromLocal(readTime(local), 'Europe/Riga')).toBeNull();
  });
});
