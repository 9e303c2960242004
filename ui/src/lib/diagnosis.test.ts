import { describe, expect, test } from 'vitest';
import { breakExchange, cutLink, outdate, sampleRow } from './backend/mock-data';
import type { Row } from './backend/types';
import { diagnose } from './diagnosis';

const now = Date.parse('2026-11-21T12:00:00Z');
const store = (change: (row: Row) => void = () => undefined): Row => {
  const row = sampleRow(0, now);
  change(row);
  return row;
};
const actions = (row: Row) =>
  diagnose(row, now).flatMap(({ steps }) => steps.map((step) => (step.by === 'us' ? step.action : 'person')));

describe('a store', () => {
  test('without trouble is well', () => {
    expect(diagnose(store(), now).map(({ kind }) => kind)).toEqual(['well']);
  });

  test('that fell silent most likely lost its internet, which is checked first', () => {
    const [finding] = diagnose(
      store((row) => cutLink(row, now, 'connection_lost', 30)),
      now,
    );
    expect(finding?.more[0]).toContain('Most likely cause: the internet connection of the venue');
    expect(finding?.evidence[0]).toContain('fell silent');
    expect(finding?.steps[0]).toMatchObject({ by: 'person', text: expect.stringContaining('internet') });
    expect(finding?.steps.map((step) => step.text).join(' ')).toContain('services.msc');
  });

  test('whose connector said goodbye is looked for in Windows Services first', () => {
    const [finding] = diagnose(
      store((row) => cutLink(row, now, 'service_stopped', 30)),
      now,
    );
    expect(finding?.more[0]).toContain('the connector service was stopped');
    expect(finding?.steps[0]?.text).toContain('Windows Services');
  });

  test('with an inconsistent database is helped by a reset, after the logs', () => {
    expect(actions(store((row) => breakExchange(row, now, 0, 2)))).toEqual([
      'retrieve_logs',
      'reset_database',
    ]);
  });

  test('with several troubles tells each, the most pressing first', () => {
    const row = store((broken) => {
      breakExchange(broken, now, 1, 2);
      outdate(broken);
      broken.pos_state = 'not_responding';
    });
    expect(diagnose(row, now).map(({ kind }) => kind)).toEqual(['pos', 'exchange', 'version', 'behind']);
  });

  test('that fell silent with many others lost its line with them', () => {
    const [finding] = diagnose(
      store((row) => {
        cutLink(row, now, 'outage_nearby', 3);
        const params = { outlets: '12', of: '40', scope: 'chain', within_seconds: '60' };
        row.evidence = [{ code: 'outage_nearby', at: new Date(now).toISOString(), params }];
      }),
      now,
    );
    expect(finding?.evidence[0]).toContain("12 of the chain's 40 outlets");
  });

  test('whose identity two machines use is not well, though it is online', () => {
    const row = store((cloned) => {
      cloned.evidence = [{ code: 'duplicate_identity', at: new Date(now).toISOString(), params: {} }];
    });
    const [finding] = diagnose(row, now);
    expect(finding).toMatchObject({ kind: 'link', sentence: expect.stringContaining('Two machines') });
    expect(finding?.evidence[0]).toContain('came back');
    expect(finding?.steps[0]?.text).toContain('second machine');
  });

  test('of which the cloud knows nothing is not called broken', () => {
    const row = store((unknown) => (unknown.link_state = 'unknown'));
    expect(diagnose(row, now).map(({ look }) => look)).toEqual(['off']);
  });
});
