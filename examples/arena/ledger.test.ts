import { expect, test } from 'vitest';
import { Ledger } from './ledger.ts';

const none = { moves: 0, hits: 0, drops: 0, gives: 0, banks: 0 };

test('what was sent took effect: nothing to report', () => {
  const ledger = new Ledger();
  for (let n = 1; n <= 3; n++) ledger.sent('moves');
  ledger.sent('banks');
  ledger.receipt(1);
  ledger.tally({ ...none, moves: 3, banks: 1 });
  expect(ledger).toMatchObject({ lost: 0, doubled: 0, checked: 6, findings: [] });
});

test('what was refused does not count', () => {
  const ledger = new Ledger();
  ledger.sent('gives');
  ledger.refused('gives');
  ledger.tally(none);
  expect(ledger.findings).toEqual([]);
});

test('a lost and a doubled message are found, each once', () => {
  const ledger = new Ledger();
  for (let n = 1; n <= 5; n++) ledger.sent('hits');
  ledger.sent('banks');
  ledger.receipt(2);
  ledger.tally({ ...none, hits: 4, banks: 2 });
  ledger.tally({ ...none, hits: 4, banks: 2 });
  expect(ledger).toMatchObject({
    lost: 1,
    doubled: 1,
    findings: ['banks: 1 sent, 2 took effect', 'hits: 5 sent, 4 took effect'],
  });
});

test('an answer that was dropped leaves one message open, not two', () => {
  const ledger = new Ledger();
  for (let n = 1; n <= 4; n++) ledger.sent('gives');
  ledger.unanswered('gives');
  ledger.tally({ ...none, gives: 3 });
  expect(ledger).toMatchObject({ lost: 0, doubled: 0 });
  ledger.sent('gives');
  ledger.unanswered('gives');
  ledger.tally({ ...none, gives: 2 });
  expect(ledger).toMatchObject({ lost: 1, doubled: 0 });
});
