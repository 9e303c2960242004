// What docs/security/asvs.md says is there, is there. Whether a test shows what the page says of it, only people can tell.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/lib/run.mjs';

/** The requirements of ASVS 5.0.0: of each level its sections, and which numbers of a section. */
const LEVELS = {
  1: `
    1.2:1-5 1.3:1-2 1.5:1 2.1:1 2.2:1-2 2.3:1 3.2:1-2 3.3:1 3.4:1-2 3.5:1-3 4.1:1 4.4:1 5.2:1-2 5.3:1-2
    6.1:1 6.2:1-8 6.3:1-2 6.4:1-2 7.2:1-4 7.4:1-2 8.1:1 8.2:1-2 8.3:1 9.1:1-3 9.2:1 10.4:1-5 11.3:1-2
    11.4:1 12.1:1 12.2:1-2 13.4:1 14.2:1 14.3:1 15.1:1 15.2:1 15.3:1`,
  2: `
    1.1:1-2 1.2:6-9 1.3:3-11 1.4:1-3 1.5:2 2.1:2-3 2.2:3 2.3:2-4 2.4:1 3.3:2-4 3.4:3-6 3.5:4-5 3.7:1-2
    4.1:2-3 4.2:1 4.3:1-2 4.4:2-4 5.1:1 5.2:3 5.4:1-3 6.1:2-3 6.2:9-12 6.3:3-4 6.4:3-4 6.5:1-5 6.6:1-3
    6.8:1-4 7.1:1-3 7.3:1-2 7.4:3-5 7.5:1-2 7.6:1-2 8.1:2 8.2:3 8.4:1 9.2:2-4 10.1:1-2 10.2:1-2 10.3:1-4
    10.4:6-11 10.5:1-5 10.6:1-2 10.7:1-3 11.1:1-2 11.2:1-3 11.3:3 11.4:2-4 11.5:1 11.6:1 12.1:2-3
    12.3:1-4 13.1:1 13.2:1-5 13.3:1-2 13.4:2-5 14.1:1-2 14.2:2-4 14.3:2-3 15.1:2-3 15.2:2-3 15.3:2-7
    16.1:1 16.2:1-5 16.3:1-4 16.4:1-3 16.5:1-3 17.1:1 17.2:1-4 17.3:1-2`,
};

/** Every requirement of both levels, with its level. */
const standard = new Map(
  Object.entries(LEVELS).flatMap(([level, sections]) =>
    sections
      .trim()
      .split(/\s+/)
      .flatMap((section) => {
        const [name, numbers] = section.split(':');
        return numbers.split(',').flatMap((range) => {
          const [first, last = first] = range.split('-').map(Number);
          return Array.from({ length: last - first + 1 }, (_, at) => [`${name}.${first + at}`, level]);
        });
      }),
  ),
);

const page = readFileSync(path.join(root, 'docs/security/asvs.md'), 'utf8');

/** The part of the page under a heading. */
const part = (heading) =>
  page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? assert.fail(`no part ${heading}`);

/** The rows of the tables in a text, without their heads. */
const rows = (text) =>
  text
    .split('\n')
    .filter((line) => /^\| *\d/.test(line))
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));

const chapters = page.split(/^## (?=V\d)/m).slice(1);
const answered = chapters.flatMap((chapter) => rows(chapter));
const quoted = (text) => [...text.matchAll(/`([^`]+)`/g)].map(([, words]) => words);
const file = (name) => path.join(root, name);

test('every requirement is answered once, under its chapter and with its level', () => {
  const seen = [];
  for (const chapter of chapters) {
    const [number] = chapter.match(/^V\d+/);
    const answers = rows(chapter);
    for (const [id, level] of answers) assert.equal(level, standard.get(id), `the level of ${id}`);
    const spared = [...chapter.matchAll(/^- ([\d., ]+):/gm)].flatMap(([, ids]) => ids.split(', '));
    const ids = [...answers.map(([id]) => id), ...spared];
    for (const id of ids) assert.ok(`V${id}`.startsWith(`${number}.`), `${id} under ${number}`);
    seen.push(...ids);
  }
  const message = 'each of the standard, and nothing twice';
  assert.deepEqual(seen.toSorted(), [...standard.keys()].toSorted(), message);
});

test('what is not met and what is the operator’s stands at the top', () => {
  for (const [heading, words] of [
    ['Not met', '**Not met**: '],
    ['What the operator sees to', '**The operator’s**: '],
  ]) {
    const top = rows(part(heading)).map(([id, level]) => [id, level]);
    const below = answered.filter(([, , , where]) => where.startsWith(words));
    assert.ok(top.length > 0, heading);
    assert.deepEqual(
      top,
      below.map(([id, level]) => [id, level]),
      heading,
    );
  }
});

test('the files and tests that are named are there', () => {
  for (const [id, , requirement, where, shown] of answered) {
    assert.ok(requirement && where && shown, `${id} has an empty cell`);
    const places = quoted(where).filter((words) => /^(\.?[\w-]+\/)+[\w.-]*$|^[\w-]+\.\w+$/.test(words));
    for (const name of places) assert.ok(existsSync(file(name)), `${id} names ${name}`);
    // A file, and the tests in it.
    let content = null;
    for (const words of shown.startsWith('–') ? [] : quoted(shown)) {
      if (/^[\w-]+\/[\w./-]+$/.test(words)) {
        assert.ok(existsSync(file(words)) && statSync(file(words)).isFile(), `${id} names ${words}`);
        content = readFileSync(file(words), 'utf8');
        continue;
      }
      const begins = [`fn ${words}(`, `test('${words}'`];
      assert.ok(content !== null && begins.some((text) => content.includes(text)), `${id}: no test ${words}`);
    }
  }
});
