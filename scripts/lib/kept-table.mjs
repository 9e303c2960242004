// Tables of figures in documents: a run replaces the rows that it made, and leaves the others.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './run.mjs';

const [START, END] = ['<!-- rows -->', '<!-- end of rows -->'];

/**
 * Puts rows into the table between `<!-- rows -->` and `<!-- end of rows -->` of a document. The first `named` cells say
 * which row it is: one that is there is replaced, a new one is added after the last of the same first cell.
 */
export async function keepRows(document, header, rows, named = 2) {
  const file = path.join(root, document);
  const text = readFileSync(file, 'utf8');
  const [start, end] = [text.indexOf(START), text.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`${document} has no place for rows.`);
  const kept = readRows(text.slice(start + START.length, end));
  for (const row of rows.map((cells) => cells.map(cell))) {
    const same = kept.findIndex((other) => row.slice(0, named).every((cell, at) => cell === other[at]));
    const last = kept.findLastIndex((other) => other[0] === row[0]);
    if (same >= 0) kept[same] = row;
    else if (last >= 0) kept.splice(last + 1, 0, row);
    else kept.push(row);
  }
  const lines = [header, header.map(() => '---'), ...kept].map((cells) => `| ${cells.join(' | ')} |`);
  const whole = `${text.slice(0, start)}${START}\n\n${lines.join('\n')}\n\n${text.slice(end)}`;
  // Only here: on a fresh checkout the run that needs it is what installs it.
  const { default: prettier } = await import('prettier');
  const options = { ...(await prettier.resolveConfig(file)), filepath: file };
  writeFileSync(file, await prettier.format(whole, options));
}

/** What a row says of when and on what it was made. */
export function madeOn(cores) {
  return `${new Date().toISOString().slice(0, 10)}, ${cores} cores`;
}

function readRows(text) {
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .replace(/^\||\|$/g, '')
      .split(/(?<!\\)\|/)
      .map((part) => part.trim()),
  );
}

function cell(value) {
  return String(value).replaceAll('|', '\\|').replaceAll('\n', ' ').trim();
}
