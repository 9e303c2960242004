// Packets that vanish, by rules of the kernel's filter in a network of the tests' own (tests/network/session.mjs).
import { execFileSync } from 'node:child_process';
import { atEnd } from './at-end.mjs';

let tables = 0;

/** Drops, until the test ends, the packets that fit a rule in the language of nft. Gives what stops it earlier. */
export function drop(t, ...rules) {
  const table = `tillwatch_${process.pid}_${(tables += 1)}`;
  const nft = (...words) => execFileSync('nft', words.join(' ').split(' '));
  nft('add table inet', table);
  nft('add chain inet', table, 'input { type filter hook input priority 0 ; }');
  for (const rule of rules) nft('add rule inet', table, 'input', rule, 'drop');
  let there = true;
  const stop = () => {
    if (there) nft('delete table inet', table);
    there = false;
  };
  atEnd(t, stop);
  return stop;
}

/** The local ports of a process's connections to a port. */
export function linksOf(pid, port) {
  const shown = execFileSync('ss', ['-Htnp', 'state', 'established', `( dport = :${port} )`], {
    encoding: 'utf8',
  });
  return shown
    .split('\n')
    .filter((line) => line.includes(`pid=${pid},`))
    .map((line) => Number(/:(\d+)\s/.exec(line)[1]));
}
