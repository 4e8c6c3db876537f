/** Tables of a result, for people. */
import Table from 'cli-table3';
import {inOneLine} from './style';

/** A table with a frame; `numbers` are the columns that are aligned to the right. */
export function newTable(head: readonly string[], numbers: readonly number[] = []): Table.Table {
  return new Table({
    head: [...head],
    colAligns: head.map((_, i) => (numbers.includes(i) ? 'right' : 'left')),
    style: {head: [], border: [], compact: true},
  });
}

/** Characters of a bar. */
const BAR_LENGTH = 12;

/** A part of 1 as a bar. */
export function bar(part: number): string {
  return '█'.repeat(Math.round(BAR_LENGTH * part)).padEnd(BAR_LENGTH, '░');
}

/** Prints names and values, a line each, with the values aligned. */
export function printValues(
  print: (line: string) => void,
  values: ReadonlyArray<readonly [name: string, value: string]>,
): void {
  const width = Math.max(...values.map(([name]) => name.length));
  for (const [name, value] of values) print(`${name.padEnd(width)}  ${inOneLine(value)}`);
}
