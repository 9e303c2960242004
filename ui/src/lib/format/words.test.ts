import { afterEach, describe, expect, test } from 'vitest';
import { m } from '../paraglide/messages';
import { overwriteGetLocale } from '../paraglide/runtime';
import { errorHelp, errorTitle, evidenceSentence, failureWords } from '../words';
import { bytes, number } from './number';
import { absolute, bothZones, relative } from './time';

const speak = (locale: 'en' | 'ru') => overwriteGetLocale(() => locale);
afterEach(() => speak('en'));

const now = Date.parse('2026-11-21T12:00:00Z');
const ago = (minutes: number) => new Date(now - minutes * 60_000).toISOString();

describe('numbers and sizes', () => {
  test('are written as the language does', () => {
    speak('en');
    expect([number(100000), bytes(1536), bytes(64 * 1024 * 1024), bytes(12)]).toEqual([
      '100,000',
      '1.5 KiB',
      '64 MiB',
      '12 B',
    ]);
    speak('ru');
    expect([number(100000).replace(/\s/g, ' '), bytes(1536)]).toEqual(['100 000', '1,5 КиБ']);
  });

  test.each([
    ['en', 1, 'sync error'],
    ['en', 3, 'sync errors'],
    ['ru', 1, 'ошибка обмена'],
    ['ru', 3, 'ошибки обмена'],
    ['ru', 5, 'ошибок обмена'],
    ['ru', 21, 'ошибка обмена'],
  ] as const)('%s has its plural for %i', (locale, count, words) => {
    speak(locale);
    expect(m.tile_errors({ count })).toBe(words);
  });
});

describe('times', () => {
  test('are relative, the shorter the further away', () => {
    speak('en');
    expect(relative(ago(0.5), now, 'UTC')).toBe('just now');
    expect(relative(ago(3), now, 'UTC')).toBe('3 min ago');
    expect(relative(ago(300), now, 'UTC')).toBe('5 hr ago');
    expect(relative(ago(60 * 24 * 3), now, 'UTC')).toBe('3 days ago');
    expect(relative(ago(60 * 24 * 19), now, 'UTC')).toBe('2 Nov');
    expect(relative(ago(60 * 24 * 400), now, 'UTC')).toBe('17 Oct 2025');
    speak('ru');
    expect(relative(ago(3), now, 'UTC')).toBe('3 мин назад');
  });

  test('name their zones on hover', () => {
    speak('en');
    expect(absolute('2026-11-21T12:00:00Z', 'Europe/Riga')).toBe('21 Nov 2026, 14:00');
    expect(bothZones('2026-11-21T12:00:00Z', 'Asia/Almaty')).toContain('17:00 at the outlet (Asia/Almaty)');
    expect(bothZones(null, 'Europe/Riga')).toBeUndefined();
  });
});

describe('codes', () => {
  const error = (code: string) => ({ code, detail: null, request_id: null, params: {} });

  test('have a title and advice; unknown ones too', () => {
    speak('en');
    expect(errorTitle(error('venue_offline'))).toBe('The venue is offline');
    expect(errorTitle(error('brand_new'))).toBe('It did not work');
    expect(errorHelp(error('brand_new'))).toContain('Nothing was lost');
  });

  test('of jobs that failed are sentences, with what the store says', () => {
    const failure = { code: 'pos_not_started', message: 'access is denied' };
    expect(failureWords(failure)).toBe('The POS server could not be started: access is denied');
    speak('ru');
    expect(failureWords(failure)).toBe('POS-сервер не удалось запустить: access is denied');
    expect(failureWords({ code: 'brand_new', message: '' })).toBe('Brand new.');
  });

  test('of evidence that this version does not know stay readable', () => {
    speak('en');
    expect(evidenceSentence({ code: 'power_was_out', at: ago(1), params: {} }, '11:59')).toBe(
      '11:59 · power was out',
    );
  });
});
