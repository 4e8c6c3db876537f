/** Tables of results, as they are printed and as `docs/` has them. */
import {readFileSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {format, resolveConfig} from 'prettier';
import {isReached, type Goal} from '../results/figure';

export interface Table {
  /** Its place in the document: between `<!-- name -->` and `<!-- end -->`. */
  name: string;
  /** For the screen only; the document has words of its own. */
  caption: string;
  header: readonly string[];
  rows: ReadonlyArray<readonly string[]>;
}

export function printTables(tables: readonly Table[]): void {
  for (const {caption, header, rows} of tables) {
    console.log(`\n${caption}\n\n${markdownTable(header, rows)}`);
  }
}

/** A file of `docs/` as it is with these tables in the places of their names. */
export async function documentWith(document: string, tables: readonly Table[]): Promise<string> {
  const file = fileOf(document);
  const text = tables.reduce(
    (before, {name, header, rows}) => withTable(before, name, markdownTable(header, rows)),
    readFileSync(file, 'utf8'),
  );
  return format(text, {...(await resolveConfig(file)), parser: 'markdown'});
}

/** Puts tables into a file of `docs/`. */
export async function writeTables(document: string, tables: readonly Table[]): Promise<void> {
  writeFileSync(fileOf(document), await documentWith(document, tables));
}

function fileOf(document: string): string {
  return fileURLToPath(new URL(`../../docs/${document}`, import.meta.url));
}

export function markdownTable(
  header: readonly string[],
  rows: ReadonlyArray<readonly string[]>,
): string {
  const lines = [header, header.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/**
 * `text` with `table` between `<!-- name -->` and the next `<!-- end -->`, in place of what was there.
 *
 * @throws if there is no such place.
 */
export function withTable(text: string, name: string, table: string): string {
  const [start, end] = [`<!-- ${name} -->`, '<!-- end -->'];
  const from = text.indexOf(start);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`the document has no place '${start} … ${end}'`);
  return `${text.slice(0, from)}${start}\n\n${table}\n\n${text.slice(to)}`;
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);
}

/** As {@link megabytes}; nothing for bytes that the system did not tell. */
export function megabytesIfTold(bytes: number | undefined): string {
  return bytes === undefined ? '' : megabytes(bytes);
}

/**
 * A goal, and whether a value reaches it.
 *
 * @param written How the goal's number is written.
 */
export function verdict(
  value: number,
  goal: Goal,
  written: (bound: number) => string = String,
): string {
  const [sign, bound] = 'atMost' in goal ? ['≤', goal.atMost] : ['≥', goal.atLeast];
  return `${sign} ${written(bound)} ${isReached(value, goal) ? '✓' : '✗'}`;
}
