// Periods: the filter's number and unit, and the times that a person types in a named zone.

import { parseAbsolute, parseDateTime, toCalendarDateTime, toZoned } from '@internationalized/date';
import { getLocale } from '../paraglide/runtime';

export type Unit = 'days' | 'hours' | 'minutes';

/** The largest number that the filter takes; more says nothing that "any" does not. */
export const MAX_PERIOD = 9999;

const written: Record<Unit, [string, string]> = {
  days: ['P', 'D'],
  hours: ['PT', 'H'],
  minutes: ['PT', 'M'],
};
const milliseconds: Record<Unit, number> = { days: 86_400_000, hours: 3_600_000, minutes: 60_000 };

export function toIso(value: number, unit: Unit): string {
  const [before, after] = written[unit];
  return `${before}${value}${after}`;
}

export function fromIso(iso: string): { value: number; unit: Unit } | null {
  for (const unit of ['days', 'hours', 'minutes'] as const) {
    const [before, after] = written[unit];
    const match = new RegExp(`^${before}(\\d+)${after}$`).exec(iso);
    if (match) return { value: Number(match[1]), unit };
  }
  return null;
}

export function isoToMilliseconds(iso: string): number {
  const period = fromIso(iso);
  return period ? period.value * milliseconds[period.unit] : Number.POSITIVE_INFINITY;
}

/** What was typed: null is "any", `invalid` can't be used. */
export function readPeriodValue(text: string): number | null | 'invalid' {
  const trimmed = text.trim();
  if (trimmed === '') return null;
  if (!/^\d+$/.test(trimmed)) return 'invalid';
  const value = Number(trimmed);
  return value >= 1 && value <= MAX_PERIOD ? value : 'invalid';
}

/** A local time such as `2026-11-24T09:30` as one types it in the app's language; anything else as it is. */
export function writeTime(local: string): string {
  const parts = /^(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d)$/.exec(local);
  if (!parts) return local;
  const [, year, month, day, time] = parts;
  const between = getLocale() === 'ru' ? '.' : '/';
  return `${[day, month, year].join(between)} ${time}`;
}

/** The local time that was typed, the day first or as ISO 8601 has it; what is none is given back as it is. */
export function readTime(typed: string): string {
  const text = typed.trim();
  const time = String.raw`[ ,T]+(\d{1,2}):(\d\d)$`;
  const parts = new RegExp(String.raw`^(\d{1,2})[./-](\d{1,2})[./-](\d{4})${time}`).exec(text);
  const iso = new RegExp(String.raw`^(\d{4})-(\d\d)-(\d\d)${time}`).exec(text);
  const found = parts ? [parts[3], parts[2], parts[1], parts[4], parts[5]] : iso?.slice(1);
  if (!found) return text;
  const [year, month, day, hour, minute] = found.map((part) => (part ?? '').padStart(2, '0'));
  return `${year}-${month}-${day}T${hour}:${minute}`;
}

/** The local time of a moment in a zone. */
export function toLocal(moment: string, zone: string): string {
  return toCalendarDateTime(parseAbsolute(moment, zone)).toString().slice(0, 16);
}

/** The moment that a local time means in a zone; null when it is empty or no time. */
export function fromLocal(text: string, zone: string): string | null {
  if (text === '') return null;
  try {
    return toZoned(parseDateTime(text), zone).toAbsoluteString();
  } catch {
    return null;
  }
}

export type Preset = 'last_hour' | 'today' | 'yesterday' | 'last_7_days';

/** A preset as the fields show it; ends are rounded up so that the present minute is inside. */
export function presetPeriod(preset: Preset, zone: string, at: number): { from: string; to: string } {
  const present = parseAbsolute(new Date(at).toISOString(), zone);
  const minute = present.set({ second: 0, millisecond: 0 });
  const next = minute.add({ minutes: 1 });
  const midnight = minute.set({ hour: 0, minute: 0 });
  const local = (time: typeof minute) => toCalendarDateTime(time).toString().slice(0, 16);
  switch (preset) {
    case 'last_hour':
      return { from: local(minute.subtract({ hours: 1 })), to: local(next) };
    case 'today':
      return { from: local(midnight), to: local(next) };
    case 'yesterday':
      return { from: local(midnight.subtract({ days: 1 })), to: local(midnight) };
    case 'last_7_days':
      return { from: local(midnight.subtract({ days: 7 })), to: local(next) };
  }
}

export const MIB = 1024 * 1024;

/** Bytes of a size typed in MiB, as the locale writes numbers; null when out of 64 KiB to 2 GiB. */
export function readMaxSize(text: string): number | null {
  const trimmed = text.trim().replace(',', '.');
  if (!/^\d*\.?\d+$|^\d+\.$/.test(trimmed)) return null;
  const bytes = Math.round(Number(trimmed) * MIB);
  return bytes >= 64 * 1024 && bytes <= 2048 * MIB ? bytes : null;
}
