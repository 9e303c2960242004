// What the pictures would tell, and what is found cut off.

import { expect, test } from 'vitest';
import { open } from './browser';
import { cutOff } from './cut-off';
import { isSame, take } from './looks';

test('a picture differs when something has moved by two pixels or has another colour, and else does not', async () => {
  const app = await open('scenario=still');
  await app.page.clock.setFixedTime('2026-11-24T09:30:00Z');
  await app.get('account').click();
  const menu = '[role="menu"]';
  const before = await take(app, menu);
  expect(await isSame(before, await take(app, menu))).toBe(true);
  const item = app.get('menu-sign-out');
  const style = (change: Record<string, string>) =>
    item.evaluate((element, change) => void Object.assign(element.style, change), change);
  await style({ paddingLeft: '10px' });
  expect(await isSame(before, await take(app, menu))).toBe(false);
  await style({ paddingLeft: '', color: 'rgb(60, 60, 60)' });
  expect(await isSame(before, await take(app, menu))).toBe(false);
  await style({ color: '', backgroundColor: 'rgb(242, 242, 242)' });
  expect(await isSame(before, await take(app, menu))).toBe(false);
  await style({ backgroundColor: '' });
  expect(await isSame(before, await take(app, menu))).toBe(true);
});

test('words that are cut off, outside their button or over others are found', async () => {
  const app = await open('scenario=still');
  await app.row(0).waitFor();
  const find = () => app.page.evaluate(cutOff, 'body');
  expect(await find()).toEqual([]);
  const button = app.get('action-retrieve-logs');
  const style = (change: Record<string, string>) =>
    button.evaluate((element, change) => void Object.assign(element.style, change), change);
  await style({ width: '70px' });
  expect(await find()).toEqual([expect.stringContaining('outside: “Retrieve logs”')]);
  await style({ overflow: 'hidden' });
  expect(await find()).toEqual([expect.stringContaining('clipped: “Retrieve logs”')]);
  await style({ width: '', overflow: '', background: 'none', transform: 'translateX(-80px)' });
  expect(await find()).toEqual([expect.stringContaining('over each other')]);
  await style({ background: '', transform: '' });
  await app.get('filter-search').evaluate((field) => (field.style.width = '90px'));
  expect(await find()).toEqual([expect.stringContaining('too long for its field')]);
});

test('at 200 % in a small window nothing is cut off sideways, and everything is reached', async () => {
  const app = await open('scenario=demo', { viewport: { width: 640, height: 400 } });
  await app.row(0).waitFor();
  const overflow = await app.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(overflow).toBeLessThanOrEqual(0);
  await app.row(2).click();
  await app.get('action-retrieve-logs').click();
  await app.get('logs-request').scrollIntoViewIfNeeded();
  await app.get('logs-request').click();
});
